"""Named payloads that cross block boundaries."""

from amaranth import Shape, signed, unsigned
from amaranth.lib import data

__all__ = [
    "AxiWord",
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


def event_layout(weight_bits: int, membrane_bits: int, count_bits: int, amplitude: Shape) -> data.StructLayout:
    """One spike or pixel: address of its first synapse word, valid taps along y and x, amplitude.

    ``rows`` and ``columns`` count the taps after the first.
    """
    return data.StructLayout(
        {
            "weight": unsigned(weight_bits),
            "membrane": unsigned(membrane_bits),
            "rows": unsigned(count_bits),
            "columns": unsigned(count_bits),
            "amplitude": amplitude,
        }
    )


def synapse_layout(weight_bits: int, membrane_bits: int, amplitude: Shape) -> data.StructLayout:
    """One synapse word: weight address, membrane address, amplitude, whether it is the last group."""
    return data.StructLayout(
        {
            "weight": unsigned(weight_bits),
            "membrane": unsigned(membrane_bits),
            "amplitude": amplitude,
            "last_group": unsigned(1),
        }
    )


def lanes_layout(bits: int, lanes: int) -> data.ArrayLayout:
    """One memory word of signed lane values."""
    return data.ArrayLayout(signed(bits), lanes)
