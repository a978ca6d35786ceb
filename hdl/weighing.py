"""What a core computes, as far as its blocks must know, and how its synapses weigh events."""

from typing import Protocol

from toolchain.ir import PIXEL_MAX

__all__ = ["Neuron", "amplitude_bits", "weighing"]


class Neuron(Protocol):
    """What a core computes, as networks and capacities say it: their members of the same names."""

    @property
    def schedule(self) -> str: ...
    @property
    def negative(self) -> str: ...
    @property
    def reset(self) -> str: ...
    @property
    def compare(self) -> str: ...
    @property
    def input(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def time_steps(self) -> int: ...
    @property
    def signed_spikes(self) -> bool: ...


def weighing(neuron: Neuron) -> str:
    """How a synapse weighs an event: ``multiply`` by its amplitude, ``shift`` by its exponent, or ``add``."""
    if neuron.input == "direct":
        return "multiply"
    return "shift" if neuron.schedule == "radix" or neuron.input == "bitplane" else "add"


def amplitude_bits(neuron: Neuron) -> int:
    """Width of an event's amplitude, with a sign if spikes have one.

    ``multiply``: a pixel, or what a spike of ``radix`` is worth, in two's complement; ``shift``: the exponent
    of that, the sign above it; ``add``: the sign alone.
    """
    exponent = neuron.time_steps - 1 if neuron.schedule == "radix" else 0
    kind = weighing(neuron)
    if kind == "multiply":
        bits = max(PIXEL_MAX, 2**exponent).bit_length()
    elif kind == "shift":
        bits = max(exponent, 7 if neuron.input == "bitplane" else 0).bit_length()
    else:
        bits = 0
    return bits + neuron.signed_spikes
