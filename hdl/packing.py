"""How spikes lie in the 32-bit words of a packet: the core's own spike words, cut to the lanes that they use."""

from dataclasses import dataclass

import numpy as np

from toolchain.connection import Shape
from toolchain.errors import InvalidValue

__all__ = ["SpikePacking"]

_WORD = 32
_MOST_FIELDS = 2**24 - 1
"""A packet's header counts them in 24 bits."""


@dataclass(frozen=True)
class SpikePacking:
    """Spikes ``[T, C, H, W]`` as fields of a packet, in the order of the spike memory of a core of P lanes.

    There is a field for each neuron word and step, ``((y·W + x)·G + g)·T + t`` with ``G = ⌈C / P⌉`` groups of
    P channels. A field holds ``min(C, P)`` spikes, channel ``g·P + p`` in bit p, and above them as many signs where
    spikes have one (1 for a spike of −1). Fields of up to 32 bits take the next power of two, so that a word holds
    ``2^k`` of them, the first in the lowest bits; wider ones take whole words, the lowest first. Bits without a
    channel are 0.

    Raises
    ------
    InvalidValue
        More fields than a header can count.
    """

    shape: Shape
    steps: int
    lanes: int
    signed: bool

    def __init__(self, shape: Shape, steps: int, lanes: int, *, signed: bool):
        for name, value in {"shape": shape, "steps": steps, "lanes": lanes, "signed": signed}.items():
            object.__setattr__(self, name, value)
        if self.fields > _MOST_FIELDS:
            raise InvalidValue(
                f"a frame is {self.fields} spike words on {lanes} lanes, the limit of a packet is {_MOST_FIELDS}; use fewer "
                "time steps or a smaller frame"
            )

    @property
    def used(self) -> int:
        """Lanes that carry a channel, ``min(C, P)``."""
        return min(self.shape[0], self.lanes)

    @property
    def bits(self) -> int:
        """Bits of a field that mean something."""
        return self.used * (1 + self.signed)

    @property
    def groups(self) -> int:
        """G, spike words of one place and step."""
        return -(-self.shape[0] // self.lanes)

    @property
    def fields(self) -> int:
        """Fields of a frame, which are its spike words."""
        return self.shape[1] * self.shape[2] * self.groups * self.steps

    @property
    def field_bits(self) -> int:
        """Bits that a field takes of a word; 32 if it takes whole ones."""
        return min(_WORD, 1 << (self.bits - 1).bit_length())

    @property
    def fields_a_word(self) -> int:
        """Fields in one word of the packet."""
        return _WORD // self.field_bits

    @property
    def words_a_field(self) -> int:
        """Words of the packet that one field takes."""
        return -(-self.bits // _WORD)

    @property
    def words(self) -> int:
        """Words of a frame, its header not counted."""
        return -(-self.fields // self.fields_a_word) * self.words_a_field

    @property
    def fields_in_last(self) -> int:
        """Fields in the last word."""
        return self.fields - (-(-self.fields // self.fields_a_word) - 1) * self.fields_a_word

    def pack(self, spikes: np.ndarray) -> np.ndarray:
        """Words uint32 ``[words]`` of one frame of spikes, int8 ``[T, C, H, W]``."""
        channels, height, width = self.shape
        padded = np.zeros((self.steps, self.groups * self.lanes, height, width), np.int8)
        padded[:, :channels] = spikes
        # [H, W, G, T, P]: one row a field
        rows = padded.reshape(self.steps, self.groups, self.lanes, height, width).transpose(3, 4, 1, 0, 2)
        rows = rows.reshape(self.fields, self.lanes)[:, : self.used]
        bits = np.concatenate([rows != 0, rows < 0], axis=1)[:, : self.bits]
        room = self.words_a_field * _WORD if self.words_a_field > 1 else self.field_bits
        every = np.zeros((self.words * _WORD // room, room), bool)
        every[: self.fields, : self.bits] = bits
        words: np.ndarray = np.packbits(every.reshape(-1), bitorder="little").view("<u4").astype(np.uint32)
        return words
