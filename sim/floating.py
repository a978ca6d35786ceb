"""Float simulation of a spiking network: what conversion costs before any integer is chosen."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sim.golden import check_increasing
from sim.passage import Passage, passages
from toolchain.ir import SpikingNetwork

__all__ = ["FloatTrace", "accuracy", "anytime", "run", "trace"]


@dataclass(frozen=True, eq=False)
class FloatTrace:
    """What a run computed besides its scores, on the scales of the source network.

    Members
    -------
    scores : float32 [N, classes]
    inputs : tuple of float32 [N, C, H, W]
        For each layer the mean weighted input of a step, bias included: stands for the pre-activation.
    outputs : tuple of float32 [N, C, H, W]
        For each firing layer θ·(value of the train)/levels: stands for the activation.
    spikes : int64 [N]
        Spikes of all layers; those of a rate-coded input are not counted.
    """

    scores: np.ndarray
    inputs: tuple[np.ndarray, ...]
    outputs: tuple[np.ndarray, ...]
    spikes: np.ndarray


class _Readout:
    """Membranes ``[N, classes]`` of the last layer for one batch after another."""

    def __init__(self, network: SpikingNetwork):
        layer = network.layers[-1]
        self.initial, self.leak, self.current_leak = torch.tensor(layer.initial).float(), layer.leak, layer.current_leak
        self.membrane = self.current = self.initial

    def steps(self, passage: Passage) -> Iterator[tuple[int, Tensor]]:
        """Number of each step of a block, and the membranes after it."""
        if passage.first == 0:
            self.membrane = self.initial.expand(passage.inputs.shape[1], -1).clone()
            self.current = torch.zeros_like(self.membrane)
        for step, inputs in enumerate(passage.inputs.flatten(2), passage.first):
            if self.current_leak is not None:
                self.current.mul_(self.current_leak).add_(inputs)
            if self.leak is not None and step:
                self.membrane *= self.leak
            self.membrane += inputs if self.current_leak is None else self.current
            yield step, self.membrane


def _scores(
    network: SpikingNetwork, frames: np.ndarray, time_steps: Sequence[int], progress: Callable[[int], None] | None
) -> np.ndarray:
    """Membrane of the readout over the levels so far, after each of some steps; float32 ``[S, N, classes]``."""
    last = len(network.layers) - 1
    scores = np.zeros((len(time_steps), len(frames), network.layers[last].channels), np.float32)
    readout = _Readout(network)
    for passage in passages(network, frames):
        if passage.layer != last:
            continue
        for number, membrane in readout.steps(passage):
            step = number + 1 if network.schedule == "stream" else network.time_steps
            if step in time_steps:
                levels = step if network.schedule == "stream" else network.levels
                scores[time_steps.index(step), passage.frames] = (membrane / levels).numpy()
            if progress and step == network.time_steps:
                progress(len(membrane))
    return scores


def run(network: SpikingNetwork, frames: np.ndarray, *, progress: Callable[[int], None] | None = None) -> np.ndarray:
    """Class scores of uint8 frames ``[N, C, H, W]`` after T steps, float32 ``[N, classes]``.

    In float32, step by step in ``stream``, by closed form in ``two_phase`` and ``radix``; scores are on the
    scale of the source network, a readout's membrane divided by the levels, whether it leaks or not. ``switched`` is temporal switch coding: a neuron integrates over a window
    of T steps, then says n = clip(⌊V/θ⌋, 0, T) with two spikes, one that switches a synaptic current on and
    one, n steps later, that switches it off; its scores are those of ``two_phase``. A reconstruction of
    Han & Roy, ECCV 2020, from its description.

    Raises
    ------
    InvalidValue
        Frames of the wrong type or shape.
    """
    scores: np.ndarray = _scores(network, frames, (network.time_steps,), progress)[0]
    return scores


def anytime(network: SpikingNetwork, frames: np.ndarray, time_steps: Sequence[int]) -> np.ndarray:
    """Class scores after each of some T, float32 ``[S, N, classes]``.

    In ``stream`` from one run of the largest T, whose readout is read on the way; elsewhere a run for each T,
    since no layer starts to fire before the one before it has ended.

    Parameters
    ----------
    time_steps : sequence of int
        Increasing; replaces the network's T.

    Raises
    ------
    InvalidValue
        No T, not increasing, or out of range; frames of the wrong type or shape.
    """
    steps = check_increasing(time_steps)
    networks = [network.with_time_steps(t) for t in steps]
    if network.schedule == "stream":
        return _scores(networks[-1], frames, steps, None)
    return np.stack([run(each, frames) for each in networks])


def _spikes(network: SpikingNetwork, passage: Passage) -> Tensor:
    """Spikes that a layer fired for each frame, int64 ``[N]``."""
    assert passage.spikes is not None
    values = passage.spikes.abs().transpose(0, 1).flatten(1).long()
    if network.schedule == "switched":
        values = 2 * (values > 0)
    elif network.schedule == "radix":
        values = sum(((values >> bit) & 1 for bit in range(network.time_steps)), torch.zeros_like(values))
    return values.sum(dim=1)


def trace(network: SpikingNetwork, frames: np.ndarray) -> FloatTrace:
    """Run uint8 frames ``[N, C, H, W]`` and keep what every layer received and gave; memory grows with N.

    Raises
    ------
    InvalidValue
        Frames of the wrong type or shape.
    """
    images, levels = len(frames), network.levels
    inputs = [np.zeros((images, *shape), np.float32) for shape in network.shapes]
    outputs = [np.zeros_like(inputs[i]) for i, layer in enumerate(network.layers) if layer.threshold is not None]
    spikes = np.zeros(images, np.int64)
    summed = network.layers[-1].leak is None and network.layers[-1].current_leak is None
    readout, scores = _Readout(network), np.zeros((images, network.shapes[-1][0]), np.float32)
    for passage in passages(network, frames):
        inputs[passage.layer][passage.frames] += passage.inputs.sum(dim=0).numpy()
        if passage.spikes is not None:
            outputs[passage.layer][passage.frames] += passage.spikes.sum(dim=0).numpy()
            spikes[passage.frames] += _spikes(network, passage).numpy()
        elif not summed:
            for _, membrane in readout.steps(passage):
                scores[passage.frames] = membrane.numpy() / np.float32(levels)
    if summed:
        scores = (inputs[-1][:, :, 0, 0] + network.layers[-1].initial.astype(np.float32)) / np.float32(levels)
    for value in inputs:
        value /= levels
    for value, layer in zip(outputs, network.layers, strict=False):
        assert layer.threshold is not None
        value *= layer.threshold.astype(np.float32)[:, None, None] / levels
    return FloatTrace(scores, tuple(inputs), tuple(outputs), spikes)


def accuracy(
    network: SpikingNetwork,
    frames: np.ndarray,
    labels: np.ndarray,
    *,
    progress: Callable[[int], None] | None = None,
) -> float:
    """Share of right predictions in per cent; ``labels`` int64 ``[N]``."""
    return 100 * float((run(network, frames, progress=progress).argmax(axis=1) == labels).mean())
