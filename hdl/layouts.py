"""Named payloads that cross block boundaries."""

from amaranth import Shape, signed, unsigned
from amaranth.lib import data

from hdl.widths import width_for

__all__ = [
    "AxiWord",
    "channel_layout",
    "coordinate_layout",
    "event_layout",
    "lanes_layout",
    "load_layout",
    "settings_layout",
    "synapse_layout",
    "width_for",
]


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


def load_layout(entries: int, words: int, sections: int) -> data.StructLayout:
    """One word on its way into a memory: ``word`` of ``entry`` of ``section``, and the ``bank`` that is read meanwhile.

    Arguments are the largest number of entries, of words in one, and of sections.
    """
    return data.StructLayout(
        {
            "write": unsigned(1),
            "section": unsigned(width_for(sections - 1)),
            "entry": unsigned(width_for(entries - 1)),
            "word": unsigned(width_for(words - 1)),
            "data": unsigned(32),
            "bank": unsigned(1),
        }
    )


def settings_layout(
    *,
    pixels: int,
    time_steps: int,
    layers: int,
    classes: int,
    instructions: int,
    worth: int,
    spike_words: int = 0,
    leak_orders: bool = False,
) -> data.StructLayout:
    """What a loaded network changes beside memories; arguments are the largest values.

    ``last_…`` are those numbers less 1, ``result_words`` the words of a result after its header, ``worth`` what the first
    spike of a train is worth. With ``spike_words``, where frames may be spikes, also whether they are (``spiking``), how they are packed
    (``used`` lanes, ``fields_a_word``, ``last_part`` of a field of several words), and where they go (``frame_base``); ``pixels`` are
    then the frame's fields. With ``leak_orders`` also whether membranes leak before a reset (``leaks_first``).
    """
    spiking = {
        "spiking": unsigned(1),
        "used": unsigned(7),
        "fields_a_word": unsigned(6),
        "last_part": unsigned(2),
        "frame_base": unsigned(width_for(spike_words - 1)),
    }
    return data.StructLayout(
        {
            "loaded": unsigned(1),
            "network_id": unsigned(32),
            "seed": unsigned(32),
            "stream": unsigned(1),
            "pixels": unsigned(width_for(max(pixels, spike_words))),
            "last_frame_word": unsigned(width_for(-(-pixels // 4))),
            "time_steps": unsigned(width_for(time_steps)),
            "last_step": unsigned(width_for(time_steps - 1)),
            "last_layer": unsigned(width_for(layers - 1)),
            "last_class": unsigned(width_for(classes - 1)),
            "last_instruction": unsigned(width_for(instructions - 1)),
            "result_words": unsigned(24),
            "worth": unsigned(width_for(worth)),
            **(spiking if spike_words else {}),
            **({"leaks_first": unsigned(1)} if leak_orders else {}),
        }
    )
