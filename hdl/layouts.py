"""Named payloads that cross block boundaries."""

from amaranth import Shape, signed, unsigned
from amaranth.lib import data

__all__ = [
    "AxiWord",
    "channel_layout",
    "coordinate_layout",
    "event_layout",
    "lanes_layout",
    "synapse_layout",
    "width_for",
]


def width_for(largest: int) -> int:
    """Bits of an unsigned signal that holds ``0 … largest``, at least 1 (no zero-width ports)."""
    return max(1, int(largest).bit_length())


class AxiWord(data.Struct):
    """One AXI4-Stream transfer: 32 data bits and the end-of-packet mark."""

    data: unsigned(32)
    last: unsigned(1)


def coordinate_layout(weight: int, membrane: int, count: int) -> data.StructLayout:
    """Entry of a coordinate table; arguments are the largest values of the three fields."""
    return data.StructLayout(
        {
            "weight": unsigned(width_for(weight)),
            "membrane": unsigned(width_for(membrane)),
            "count": unsigned(width_for(count)),
        }
    )


def channel_layout(weight: int, membrane: int, words: int, lanes: int) -> data.StructLayout:
    """Entry of the channel table; the first three arguments are the largest values of the fields."""
    return data.StructLayout(
        {
            "weight": unsigned(width_for(weight)),
            "membrane": unsigned(width_for(membrane)),
            "words": unsigned(width_for(words)),
            "first": unsigned(width_for(lanes - 1)),
            "last": unsigned(width_for(lanes - 1)),
        }
    )


def event_layout(
    weight_bits: int, membrane_bits: int, count_bits: int, amplitude: Shape, channel: data.StructLayout | None = None
) -> data.StructLayout:
    """One spike or pixel: address of its first synapse word, valid taps along y and x, amplitude.

    ``rows`` and ``columns`` count the taps after the first. With a ``channel`` table also the ``words`` of a tap
    after the first, its ``first`` lane in the first of them and its ``last`` lane in the last.
    """
    ranged = {} if channel is None else {name: channel[name].shape for name in ("words", "first", "last")}
    return data.StructLayout(
        {
            "weight": unsigned(weight_bits),
            "membrane": unsigned(membrane_bits),
            "rows": unsigned(count_bits),
            "columns": unsigned(count_bits),
            "amplitude": amplitude,
            **ranged,
        }
    )


def synapse_layout(weight_bits: int, membrane_bits: int, amplitude: Shape, lanes: int = 0) -> data.StructLayout:
    """One synapse word: weight address, membrane address, amplitude, whether it is the last group.

    With ``lanes`` also the ``first`` and the ``last`` lane that it means.
    """
    lane = unsigned(width_for(lanes - 1))
    return data.StructLayout(
        {
            "weight": unsigned(weight_bits),
            "membrane": unsigned(membrane_bits),
            "amplitude": amplitude,
            "last_group": unsigned(1),
            **({"first": lane, "last": lane} if lanes else {}),
        }
    )


def lanes_layout(bits: int, lanes: int) -> data.ArrayLayout:
    """One memory word of signed lane values."""
    return data.ArrayLayout(signed(bits), lanes)
