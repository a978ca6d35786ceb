"""How many bits the memories of a core hold: what ``hdl.Core`` instantiates, unused lanes of a word included."""

from dataclasses import dataclass
from math import prod

from hdl.program import Program
from toolchain.ir import COUNTING_NEGATIVES, FixedPointNetwork

__all__ = ["CoreSize", "core_size"]

_FRAME_WORD_BITS = 32
_PIXELS_A_WORD = 4
_LEAST_WORDS = 2
"""No memory of the core is shallower."""


@dataclass(frozen=True)
class CoreSize:
    """Bits of the core's memories.

    Members
    -------
    weights, parameters : int
        Read only: weights; thresholds, offsets and biases of each channel.
    membranes : int
        Of the largest layer, not of the sum; with the sums of spikes that ``correcting`` and ``memory`` keep.
    events : int
        Frame memory, and spike bitmaps over all T steps of the layers alive at the same time; input spikes lie with them.
    """

    weights: int
    parameters: int
    membranes: int
    events: int

    @property
    def total(self) -> int:
        """Of all four. Program, coordinate tables and counters are not in it."""
        return self.weights + self.parameters + self.membranes + self.events


def core_size(network: FixedPointNetwork, lanes: int) -> CoreSize:
    """Memories of a core of ``lanes`` lanes for ``network``.

    Raises
    ------
    InvalidValue
        Lanes out of range.
    """
    program = Program(network, lanes)
    parameters = program.parameter_words
    # a threshold is above 0, so it has no sign
    lane_bits = sum(network.membrane_bits - ("threshold" in name) for name in parameters[0][0])
    weight_words = sum(
        prod(c.weight.shape[1:]) * program.groups(layer.channels) for layer in network.layers for c in layer.connections
    )
    sums = network.time_steps.bit_length() if network.negative in COUNTING_NEGATIVES else 0
    frame_words = 0 if network.input == "spikes" else max(_LEAST_WORDS, -(-program.pixels // _PIXELS_A_WORD))
    return CoreSize(
        weights=max(_LEAST_WORDS, weight_words) * lanes * network.weight_bits,
        parameters=max(_LEAST_WORDS, len(parameters)) * lanes * lane_bits,
        membranes=max(_LEAST_WORDS, program.membrane_words) * lanes * (network.membrane_bits + sums),
        events=frame_words * _FRAME_WORD_BITS + max(_LEAST_WORDS, program.spike_words) * program.spike_bits,
    )
