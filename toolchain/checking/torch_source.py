"""Check a PyTorch module, trained or not: every layer and call that its scores depend on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import nn

from toolchain import zoo
from toolchain.checking.finding import Checked, Finding, finding_of
from toolchain.checking.network_file import integers
from toolchain.checking.options import USUAL_STEPS, CheckOptions
from toolchain.connection import Shape
from toolchain.convert.graph import Found, SourceGraph, read_module
from toolchain.convert.methods import METHODS
from toolchain.convert.replace import replace_max_pooling
from toolchain.errors import InvalidValue, SpikeloomError, UnsupportedModule
from toolchain.ir import SpikingLayer, SpikingNetwork
from toolchain.sources import load_module

__all__ = ["NOTES", "check_module", "check_source", "neuron", "sketch"]

_NOTES = {
    ("Conv2d", "Conv1d"): "a convolution",
    ("Linear",): "synapses from all to all",
    ("BatchNorm2d", "BatchNorm1d"): "folded into the weights before it",
    ("AvgPool2d", "AvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool1d", "mean", "avg_pool2d", "avg_pool1d"): (
        "folded into the weights behind it"
    ),
    (
        "MaxPool2d",
        "MaxPool1d",
        "AdaptiveMaxPool2d",
        "AdaptiveMaxPool1d",
        "max_pool2d",
        "max_pool1d",
        "adaptive_max_pool2d",
        "adaptive_max_pool1d",
        "amax",
    ): "the OR of each window's spike trains, exact in two_phase",
    ("Frame",): "the frame",
    ("add", "Addition"): "one layer with a connection for each branch",
    (
        "Flatten",
        "flatten",
        "view",
        "reshape",
        "squeeze",
        "Dropout",
        "Dropout1d",
        "Dropout2d",
        "dropout",
        "Identity",
        "Row",
    ): ("costs nothing"),
    ("ZeroPad2d", "ZeroPad1d", "pad"): "padding of the layer behind it",
    ("getitem", "Subsampling"): "stride of the shortcut",
}
NOTES = {kind: note for kinds, note in _NOTES.items() for kind in kinds}
"""What becomes of a layer that converts exactly, by kind."""
ASSUMED_LIMIT = 1.0
"""Largest activation of a ReLU whose calibration is still to come."""


def neuron(kind: str, levels: int | None) -> tuple[str, str]:
    """Verdict and reason of an activation of the reader's ``kind``."""
    if kind in ("qcfs", "quantized"):
        return "exact", f"a neuron; exact with T = {levels} steps in two_phase, its levels"
    if kind == "leaky":
        return "rounds", "a neuron with a threshold for each sign; its value is rounded to T levels each way"
    if kind == "strelu":
        return "rounds", "a neuron with negative spikes; its value is rounded to T levels each way"
    limit = "its limit" if kind == "threshold" else "the largest value of the calibration set"
    return "rounds", f"a neuron; clipped at {limit} and rounded to T levels (QCFS would be exact)"


def _method_problem(graph: SourceGraph) -> Finding | None:
    """Whether some conversion method takes all activations together."""
    kinds = {block.activation.kind for block in graph.blocks if block.activation is not None}
    if any(kinds <= set(method.activations) for method in METHODS.values()):
        return None
    usual = [block.activation for block in graph.blocks if block.activation is not None]
    names = ", ".join(f"{a.name!r} is {a.kind}" for a in usual[:4])
    return Finding(
        "", "activations", "change", f"no method takes {' and '.join(sorted(kinds))} together: {names}",
        "use activations of one kind in all layers",
    )  # fmt: skip


def _maxima_problems(graph: SourceGraph, layers: list[tuple[str, str]]) -> list[Finding]:
    """Max poolings of a network whose spikes have a sign: no schedule makes them exact."""
    if not graph.maxima or _negative(graph) == "none":
        return []
    return [
        Finding(
            name, kind, "change", "with negative spikes a maximum of spikes is not a maximum of rates",
            "use ReLU or QCFS activations, or average pooling (toolchain.convert.replace_max_pooling), and fine-tune",
        )
        for name, kind in dict.fromkeys(layers) if f"{kind} {name!r}" in graph.maxima
    ]  # fmt: skip


def _negative(graph: SourceGraph) -> str:
    """The kind of negative spikes that a graph's activations need."""
    kinds = {block.activation.kind for block in graph.blocks if block.activation is not None}
    return "asymmetric" if "leaky" in kinds else "symmetric" if "strelu" in kinds else "none"


def sketch(name: str, graph: SourceGraph, time_steps: int) -> SpikingNetwork:
    """A network of the graph's shapes and weights, its thresholds set without calibration: for sizes only."""
    negative = _negative(graph)
    layers = []
    for block in graph.blocks:
        threshold = below = None
        if block.activation is not None:
            threshold = np.full(len(block.bias), block.activation.limit or ASSUMED_LIMIT)
            if negative == "asymmetric":
                below = threshold / (block.activation.slope or 1.0)
        initial = np.zeros(len(block.bias)) if threshold is None or negative != "none" else threshold / 2
        layers.append(
            SpikingLayer(block.name, block.connections, threshold, block.bias, initial, negative_threshold=below)
        )
    return SpikingNetwork(name, graph.input_shape, "two_phase", time_steps, tuple(layers), negative=negative)


_REPLACED = "average pooling in place of max pooling"


def _with_average_pooling(
    source: str, module: nn.Module, input_shape: Shape, options: CheckOptions, kinds: set[str]
) -> Checked | None:
    """The same with average pooling, where layers of max pooling are all ``kinds`` that are wrong."""
    if not kinds <= {"MaxPool1d", "MaxPool2d"}:
        return None
    try:
        checked = check_module(source, replace_max_pooling(module), input_shape, options)
    except UnsupportedModule:  # windows that overlap
        return None
    return checked if checked.converts else None


@contextmanager
def _one_thread() -> Iterator[None]:
    """One frame is little work: several threads would wait for each other for longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def check_module(source: str, module: nn.Module, input_shape: Shape, options: CheckOptions) -> Checked:
    """Every layer of a module that takes frames of ``input_shape`` (C, H, W); (C, 1, 1) are vectors.

    Raises
    ------
    InvalidValue
        The module does not accept such frames.
    """
    found = Found()
    steps = USUAL_STEPS if options.time_steps is None else options.time_steps
    kind = f"PyTorch module {type(module).__name__}"
    try:
        with _one_thread():
            graph = read_module(module, input_shape, found=found)
    except UnsupportedModule as error:  # not even its layers can be told
        return Checked(source, kind, (finding_of("", type(module).__name__, error),), None)
    wrong: dict[str, list[SpikeloomError]] = {}
    for name, _, problem in found.problems:
        wrong.setdefault(name, []).append(problem)
    neurons = {block.activation.name: block.activation for block in graph.blocks if block.activation is not None}
    listed = []
    for name, layer in dict.fromkeys(found.layers):
        if name in wrong:
            listed += [finding_of(name, layer, problem) for problem in wrong.pop(name)]
        elif name in neurons:
            listed.append(Finding(name, layer, *neuron(neurons[name].kind, neurons[name].levels)))
        else:
            listed.append(Finding(name, layer, "exact", NOTES.get(layer, "converts")))
    pooled = {f.layer: f for f in ([] if found.problems else _maxima_problems(graph, found.layers))}
    listed = [pooled.get(finding.layer, finding) for finding in listed]
    findings = [*(finding_of(name, "", each) for name, problems in wrong.items() for each in problems), *listed]
    if found.problems or pooled:
        kinds = {kind for _, kind, _ in found.problems} | {each.kind for each in pooled.values()}
        replaced = _with_average_pooling(source, module, input_shape, options, kinds)
        if replaced is None:
            return Checked(source, kind, tuple(findings), None)
        return Checked(source, kind, tuple(findings), replaced.network, (_REPLACED, *replaced.assumed))
    mixed = _method_problem(graph)
    if mixed is not None:
        return Checked(source, kind, (mixed, *findings), None)
    fixed, problems = integers(sketch(source, graph, steps), options.bits)
    assumed = []
    if options.time_steps is None:
        assumed.append(f"T = {steps} (-T)")
    if options.weight_bits is None:
        assumed.append(f"{options.bits}-bit weights (-b)")
    assumed.append("two_phase")
    if any(a.limit is None for a in neurons.values()):
        assumed.append(
            f"thresholds of {ASSUMED_LIMIT:g}, since nothing was calibrated: the membranes' width may differ by some bits"
        )
    return Checked(source, kind, (*problems, *findings), fixed, tuple(assumed))


def check_source(source: str, options: CheckOptions) -> Checked:
    """``bundled``, a checkpoint of ``spikeloom train``, FILE.py:FUNCTION, or the name of an architecture, untrained.

    Raises
    ------
    InvalidValue, NetworkFileError
        There is no such source, or the shape of its frames is not known.
    """
    options.refuse(f"{source}, a PyTorch source", "preset")
    shape = options.input_shape
    if source in zoo.ARCHITECTURES:
        options.refuse(f"{source}, which is untrained", "weights")
        architecture = zoo.ARCHITECTURES[source]
        module = zoo.build(source, activation=options.activation or "qcfs")
        checked = check_module(source, module, shape or architecture.input_shape, options)
        return Checked(
            source, f"untrained {source}", checked.findings, checked.network, ("random weights", *checked.assumed)
        )
    if options.activation is not None:
        raise InvalidValue(
            f"--activation {options.activation} goes with an untrained architecture: {', '.join(zoo.ARCHITECTURES)}"
        )
    if source == "bundled" or source.endswith(".safetensors"):
        options.refuse(f"{source}, which holds its own", "weights")
        from toolchain.train import load_source  # with its data sets, which no other source needs

        path = zoo.BUNDLED_WEIGHTS if source == "bundled" else Path(source)
        trained = load_source(path)
        shape = shape or zoo.ARCHITECTURES[trained.provenance["architecture"]].input_shape
        return check_module(path.stem, trained.module, shape, options)
    if ":" not in source:
        raise InvalidValue(
            f"no model {source!r}; there are files, bundled, FILE.py:FUNCTION, and untrained {', '.join(zoo.ARCHITECTURES)}"
        )
    module = load_module(source, options.weights)
    if shape is None:
        raise InvalidValue(f"{source} does not say what frames it takes; give --input-shape, such as 1,28,28")
    return check_module(source, module, shape, options)
