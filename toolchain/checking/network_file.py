"""Check a network file: it was converted already; what is left is whether it becomes integers."""

from dataclasses import replace
from math import prod
from typing import Any

from toolchain.checking.finding import Checked, Finding, finding_of
from toolchain.checking.options import CheckOptions
from toolchain.errors import InvalidValue
from toolchain.ir import SCHEDULES, FixedPointNetwork, Layer, Network, SpikingNetwork
from toolchain.leak import Decay
from toolchain.quantize import quantize, quantize_layer

__all__ = ["check_network", "integers", "layer_kind"]


def layer_kind(network: Network[Any], layer: Layer) -> str:
    """Connections of a layer in words."""
    kinds = "+".join(c.kind for c in layer.connections)
    return kinds if layer.threshold is not None else f"{kinds}, readout"


def integers(network: SpikingNetwork, weight_bits: int) -> tuple[FixedPointNetwork | None, list[Finding]]:
    """The network in integers, or all that hinders it, layer by layer."""
    if network.schedule not in SCHEDULES:
        reason = f"schedule {network.schedule} needs a second integrator, which integers and hardware do not have"
        return None, [Finding("", "schedule", "change", reason, "convert with schedule two_phase: the same scores")]
    problems = []
    for layer in network.layers:
        try:
            quantize_layer(network, layer, weight_bits)
        except InvalidValue as error:
            problems.append(finding_of(layer.name, layer_kind(network, layer), error))
    if problems:
        return None, problems
    try:
        return quantize(network, weight_bits), []
    except InvalidValue as error:
        wide = [finding_of(_named(network, each), "membrane", each) for each in (error, *error.also)]
        return None, wide


def _named(network: Network[Any], error: InvalidValue) -> str:
    """The layer that an error is about."""
    return next((layer.name for layer in network.layers if str(error).startswith(f"layer {layer.name} ")), "")


def _said(network: Network[Any], index: int) -> str:
    """What a layer is, for a reader."""
    layer, shape = network.layers[index], network.shapes[index]
    size = " × ".join(map(str, shape))
    weights = sum(c.weight.size for c in layer.connections)
    fires = "neurons" if layer.threshold is not None else "scores"
    said = f"{prod(shape):,} {fires} ({size}), {weights:,} weights"
    for leak, state in ((layer.leak, "a membrane"), (layer.current_leak, "a synaptic current")):
        said += _kept(leak, state)
    return said


def _kept(leak: float | Decay | None, state: str) -> str:
    """What stays of a state in each step, and what shifts make of it."""
    if leak is None:
        return ""
    if isinstance(leak, Decay):
        return f"; each step keeps {leak.share:.6g} of {state}, {leak.text()}"
    near = Decay.nearest(leak)
    off = f", off by {near.share - leak:+.2g}" if near.share != leak else ""
    return f"; each step keeps {leak:.6g} of {state}: {near.text()}{off}"


def _verdict(layer: Layer) -> str:
    """``rounds`` where no shifts are a leak."""
    leaks = (leak for leak in (layer.leak, layer.current_leak) if isinstance(leak, float))
    return "rounds" if any(Decay.nearest(leak).share != leak for leak in leaks) else "exact"


def check_network(source: str, network: SpikingNetwork | FixedPointNetwork, options: CheckOptions) -> Checked:
    """Every layer of a network file, and its integers."""
    options.refuse(f"{source}, a network file", "input_shape", "weights", "activation", "preset")
    assumed: tuple[str, ...] = ()
    fixed: FixedPointNetwork | None
    problems: list[Finding] = []
    if isinstance(network, FixedPointNetwork):
        given = {"T": (options.time_steps, network.time_steps), "-b": (options.weight_bits, network.weight_bits)}
        for name, (asked, has) in given.items():
            if asked not in (None, has):
                raise InvalidValue(
                    f"{source} holds integers, whose {name} is {has}, not {asked}; check the spiking network"
                )
        fixed, kind = network, "fixed-point network"
    else:
        if options.time_steps is not None:
            network = replace(network, time_steps=options.time_steps)
        fixed, problems = integers(network, options.bits)
        kind = "spiking network"
        if options.weight_bits is None:
            assumed = (f"{options.bits}-bit weights (-b)",)
    wrong = {problem.layer: problem for problem in problems}
    findings = [
        wrong.pop(layer.name)
        if layer.name in wrong
        else Finding(layer.name, layer_kind(network, layer), _verdict(layer), _said(network, index))
        for index, layer in enumerate(network.layers)
    ]
    return Checked(source, kind, (*wrong.values(), *findings), fixed, assumed)
