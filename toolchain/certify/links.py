"""The links of the chain from a source network to a netlist, each compared on images, as JSON values.

Float and integer networks differ by nature: such a link tells errors and on how many images predictions agree, and
has no verdict. From the integers on, everything must be equal: such a link counts mismatches.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn

from sim import floating, golden, oracle
from sim.result import VerificationResult
from toolchain.datasets import Dataset
from toolchain.diagnose.source import SourceRun, pair
from toolchain.errors import InvalidValue
from toolchain.ir import FixedPointNetwork, SpikingNetwork
from toolchain.quantize import quantize
from toolchain.trace import SpikeTrace

__all__ = [
    "LINKS", "ORACLE_OPERATIONS", "hardware_link", "integer_link", "left_out", "oracle_images", "oracle_link", "source_link",
]  # fmt: skip

LINKS = {
    "source-spiking": ("source network", "spiking network, float"),
    "spiking-integers": ("spiking network, float", "integers (golden model)"),
    "integers-oracle": ("integers (golden model)", "naive oracle"),
    "integers-rtl": ("integers (golden model)", "generated Verilog"),
    "integers-netlist": ("integers (golden model)", "synthesized netlist"),
}
"""The chain: between what each link is, in order."""
ORACLE_OPERATIONS = 5_000_000
"""Synaptic operations and neuron steps that the nested loops of the oracle are given, some half a minute of work."""
_BATCH = 50


def _link(name: str, kind: str, **members: Any) -> dict[str, Any]:
    first, second = LINKS[name]
    return {"link": name, "from": first, "to": second, "kind": kind, "done": True, **members}


def left_out(name: str, reason: str) -> dict[str, Any]:
    """A link that was not looked at, and why."""
    first, second = LINKS[name]
    return {"link": name, "from": first, "to": second, "kind": "none", "done": False, "reason": reason}


def _rounded(value: float) -> float:
    """Three decimals: float sums differ between machines by less."""
    return round(value, 3)


def _batches(dataset: Dataset) -> Iterator[np.ndarray]:
    for start in range(0, len(dataset.frames), _BATCH):
        yield dataset.frames[start : start + _BATCH]


def _right(predictions: np.ndarray, dataset: Dataset, labelled: bool) -> int | None:
    return int((predictions == dataset.labels).sum()) if labelled else None


class _Errors:
    """Mean square of what a layer gives beyond the layer before it in the chain, in % of the mean square of that."""

    def __init__(self, names: tuple[str, ...]):
        self._names = names
        self._error, self._signal = np.zeros((2, len(names)))

    def add(self, index: int, before: np.ndarray, after: np.ndarray) -> None:
        self._error[index] += float(((after - before) ** 2).sum())
        self._signal[index] += float((before**2).sum())

    def layers(self) -> list[dict[str, Any]]:
        return [
            {"layer": name, "error_percent": _rounded(100 * error / signal) if signal else None}
            for name, error, signal in zip(self._names, self._error, self._signal, strict=True)
        ]


def source_link(module: nn.Module, spiking: SpikingNetwork, dataset: Dataset, labelled: bool) -> dict[str, Any]:
    """Activations of the source against what the float spiking network's trains stand for.

    Raises
    ------
    UnsupportedModule, InvalidValue
        ``spiking`` is no conversion of ``module``, or the images do not fit.
    """
    graph = pair(module, spiking)
    run = SourceRun(graph)
    errors = _Errors(tuple(layer.name for layer in spiking.layers))
    before, after = [], []
    for frames in _batches(dataset):
        with torch.inference_mode():
            _, activations = run.layers(torch.tensor(frames).float() * spiking.pixel_scale)
        trace = floating.trace(spiking, frames)
        for index, activation in enumerate(activations):
            expected = activation.numpy().astype(np.float64).reshape(len(frames), *spiking.shapes[index])
            given = trace.outputs[index] if index < len(trace.outputs) else trace.scores[:, :, None, None]
            errors.add(index, expected, given.astype(np.float64))
        before.append(activations[-1].numpy().reshape(len(frames), -1).argmax(axis=1))
        after.append(trace.scores.argmax(axis=1))
    first, second = np.concatenate(before), np.concatenate(after)
    return _link(
        "source-spiking",
        "error",
        images=len(dataset.frames),
        predictions_agree=int((first == second).sum()),
        right_before=_right(first, dataset, labelled),
        right_after=_right(second, dataset, labelled),
        layers=errors.layers(),
    )


def _train_values(network: FixedPointNetwork, spikes: np.ndarray) -> np.ndarray:
    """Values of spike trains ``[N, T, C, H, W]``, int64 ``[N, C, H, W]``."""
    steps = network.time_steps
    worth = 2 ** np.arange(steps - 1, -1, -1) if network.schedule == "radix" else np.ones(steps, np.int64)
    return np.tensordot(spikes.astype(np.int64), worth, axes=(1, 0))


def _requantized(spiking: SpikingNetwork, fixed: FixedPointNetwork) -> bool:
    """Whether ``quantize`` makes the very same integers of ``spiking`` again."""
    said = fixed.provenance
    clipping, pow2 = str(said.get("clipping", "max")), bool(said.get("pow2", False))
    return quantize(spiking, fixed.weight_bits, clipping=clipping, pow2=pow2).fingerprint == fixed.fingerprint


def integer_link(spiking: SpikingNetwork, fixed: FixedPointNetwork, dataset: Dataset, labelled: bool) -> dict[str, Any]:
    """Trains of the float spiking network against those of the integers: how many neurons sum to other spikes.

    ``requantized`` says that ``quantize`` makes the same integers of ``spiking`` again, bit by bit, which is the verdict.

    Raises
    ------
    InvalidValue
        The two have other shapes.
    """
    spiking = spiking.with_time_steps(fixed.time_steps)
    if (spiking.shapes, spiking.schedule) != (fixed.shapes, fixed.schedule):
        raise InvalidValue(
            f"spiking network {spiking.name!r} has other layers or another schedule than the integers; give the network that "
            "they were quantized from"
        )
    firing = [index for index, layer in enumerate(fixed.layers) if layer.threshold is not None]
    errors = _Errors(tuple(fixed.layers[index].name for index in firing))
    different = np.zeros(len(firing), np.int64)
    before, after = [], []
    for frames in _batches(dataset):
        given = floating.trace(spiking, frames)
        trace = golden.run(fixed, frames, "spikes")
        assert trace.spikes is not None
        for number, index in enumerate(firing):
            threshold = spiking.layers[index].threshold
            assert threshold is not None
            worth = threshold[:, None, None] / spiking.levels
            values = np.rint(given.outputs[number] / worth)
            integers = _train_values(fixed, trace.spikes[number])
            different[number] += int((values != integers).sum())
            errors.add(number, values * worth, integers * worth)
        before.append(given.scores.argmax(axis=1))
        after.append(trace.predictions)
    first, second = np.concatenate(before), np.concatenate(after)
    sizes = [len(dataset.frames) * prod(fixed.shapes[index]) for index in firing]
    layers = [
        {**row, "neurons": size, "neurons_different": int(wrong)}
        for row, size, wrong in zip(errors.layers(), sizes, different, strict=True)
    ]
    return _link(
        "spiking-integers",
        "error",
        images=len(dataset.frames),
        predictions_agree=int((first == second).sum()),
        right_before=_right(first, dataset, labelled),
        right_after=_right(second, dataset, labelled),
        requantized=_requantized(spiking, fixed),
        layers=layers,
    )


def _oracle_work(network: FixedPointNetwork, frames: np.ndarray) -> np.ndarray:
    """Operations and neuron steps of the oracle for each image, int64 ``[N]``."""
    operations = golden.run(network, frames).activity.operations.sum(axis=1)
    steps: np.ndarray = operations + network.neurons * network.time_steps**2
    return steps


def oracle_images(network: FixedPointNetwork, frames: np.ndarray) -> int:
    """How many of the first images the oracle can be asked for within ``ORACLE_OPERATIONS``; 0 if not even one."""
    return int((np.cumsum(_oracle_work(network, frames)) <= ORACLE_OPERATIONS).sum())


def _mismatches(one: SpikeTrace, other: SpikeTrace, network: FixedPointNetwork) -> list[dict[str, Any]]:
    assert one.spikes is not None and one.membranes is not None
    assert other.spikes is not None and other.membranes is not None
    spikes = dict(zip([i for i, layer in enumerate(network.layers) if layer.threshold is not None], zip(one.spikes, other.spikes, strict=True), strict=True))  # fmt: skip
    rows = []
    for index, layer in enumerate(network.layers):
        pairs = [(one.membranes[index], other.membranes[index])]
        pairs += [spikes[index]] if index in spikes else []
        rows.append(
            {
                "layer": layer.name,
                "compared": sum(a.size for a, _ in pairs),
                "mismatches": sum(int((a != b).sum()) for a, b in pairs),
            }
        )
    return rows


def oracle_link(network: FixedPointNetwork, frames: np.ndarray) -> dict[str, Any]:
    """Golden model against the nested loops: every spike, final membrane, score and count."""
    trace, naive = golden.run(network, frames, "spikes"), oracle.run(network, frames)
    rows = _mismatches(trace, naive, network)
    scores = int((trace.scores != naive.scores).sum()) + int((trace.predictions != naive.predictions).sum())
    counters = sum(
        int((getattr(trace.activity, name) != getattr(naive.activity, name)).sum())
        for name in ("events", "operations", "spikes")
    )
    return _equality("integers-oracle", len(frames), rows, scores, counters, "spikes and final membranes")


def _equality(
    name: str, images: int, layers: list[dict[str, Any]], scores: int, counters: int, what: str, **more: Any
) -> dict[str, Any]:
    mismatches = sum(row["mismatches"] for row in layers) + scores + counters + more.get("protocol_mismatches", 0)
    return _link(
        name,
        "equality",
        images=images,
        what=what,
        layers=layers,
        score_mismatches=scores,
        counter_mismatches=counters,
        mismatches=mismatches,
        **more,
    )


def hardware_link(name: str, result: VerificationResult, **more: Any) -> dict[str, Any]:
    """What ``sim.runner.verify`` found, on Verilog or netlist: spikes of each layer, scores, counters and cycles."""
    layers: list[dict[str, Any]] = [
        {"layer": layer, "compared": int(seen), "mismatches": int(wrong)}
        for layer, (seen, wrong) in zip(result.layers, result.layer_spikes, strict=True)
        if seen
    ]
    protocol = result.spike_mismatches - int(result.layer_spikes[:, 1].sum())
    return _equality(
        name,
        result.images,
        layers,
        result.score_mismatches,
        result.counter_mismatches,
        "spikes; scores and predictions; counters and cycles of every layer",
        protocol_mismatches=protocol,
        simulator=f"{result.simulator} {result.simulator_version}",
        **more,
    )
