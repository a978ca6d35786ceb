"""Naive oracle of recurrent networks: nested loops over Python integers, one event at a time, small networks only.

Written from the equations of ``toolchain.recurrent`` alone, without numpy arithmetic, shifts or any closed form, so
that an error in ``sim.recurrent`` cannot repeat itself here. It watches every value that a membrane takes.
"""

import numpy as np

from toolchain.fixedpoint import MembraneRange
from toolchain.recurrent import FixedPointRecurrentLayer, FixedPointRecurrentNetwork, RecurrentTrace

__all__ = ["run"]


class _Neuron:
    """One neuron: its membrane, 0 before the first token, and the extremes it has seen."""

    def __init__(self, layer: FixedPointRecurrentLayer, channel: int):
        self.weight = [int(w) for w in layer.weight[channel]]
        self.bias, self.shift = int(layer.bias[channel]), int(layer.shift[channel])
        self.threshold = None if layer.threshold is None else int(layer.threshold[channel])
        self.leak = layer.leak
        self.low = self.high = self.v = 0

    def set(self, value: int) -> None:
        self.v = value
        self.low, self.high = min(self.low, value), max(self.high, value)

    def begin(self) -> None:
        """Leak, then lend the shift."""
        if self.leak is not None:
            first = self.v // 2**self.leak.first  # rounds down, also below zero
            self.set(first if self.leak.second is None else first + self.v // 2**self.leak.second)
        self.set(self.v + self.shift)

    def end(self) -> None:
        self.set(self.v - self.shift)

    def receive(self, inputs: list[int]) -> None:
        for weight, amplitude in zip(self.weight, inputs, strict=True):
            if amplitude:
                self.set(self.v + weight * amplitude)

    def fire(self) -> int:
        if self.threshold is None or self.v < self.threshold:
            return 0
        self.set(self.v - self.threshold)
        return 1


def _token(neurons: list[_Neuron], schedule: str, steps: list[list[int]]) -> list[list[int]]:
    """Spikes ``[T][C]`` of a layer for the inputs ``[T][C_in]`` of one token."""
    fired: list[list[int]] = [[] for _ in steps]
    for neuron in neurons:
        neuron.begin()
        for t, inputs in enumerate(steps):
            neuron.receive(inputs)
            if schedule == "stream":
                neuron.set(neuron.v + neuron.bias)
                fired[t].append(neuron.fire())
        if schedule == "two_phase":
            neuron.set(neuron.v + neuron.bias)
            for train in fired:
                train.append(neuron.fire())
        neuron.end()
    return fired


def run(network: FixedPointRecurrentNetwork, sequences: np.ndarray) -> RecurrentTrace:
    """Run uint8 sequences ``[N, S, C]``; also records ``extremes``.

    Raises
    ------
    InvalidValue
        As ``sim.recurrent.run``.
    """
    network.check(sequences)
    images, tokens, _ = sequences.shape
    spikes = [np.zeros((images, tokens, network.time_steps, x.channels), np.int8) for x in network.layers[:-1]]
    charges = [np.zeros((images, tokens, layer.channels), np.int64) for layer in network.layers]
    extremes = [(0, 0)] * len(network.layers)
    for image in range(images):
        stack = [[_Neuron(layer, channel) for channel in range(layer.channels)] for layer in network.layers]
        for token in range(tokens):
            inputs = [[int(pixel) for pixel in sequences[image, token]]] * network.time_steps
            for index, neurons in enumerate(stack):
                inputs = _token(neurons, network.schedule, inputs)
                if index < len(spikes):
                    spikes[index][image, token] = inputs
                charges[index][image, token] = [neuron.v for neuron in neurons]
        for index, neurons in enumerate(stack):
            low, high = min(n.low for n in neurons), max(n.high for n in neurons)
            extremes[index] = (min(extremes[index][0], low), max(extremes[index][1], high))
    return RecurrentTrace(
        network.fingerprint,
        charges[-1][:, -1],
        tuple(spikes),
        tuple(charges),
        tuple(MembraneRange(low, high) for low, high in extremes),
    )
