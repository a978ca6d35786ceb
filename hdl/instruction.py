"""What the core's program and tables are made of: an instruction for each connection, and entries of the tables that it points into."""

from dataclasses import dataclass

__all__ = ["WINDOW_MEMBERS", "WINDOW_PLACES", "WINDOW_STEPS", "ChannelRange", "CoordinateTaps", "Instruction"]

WINDOW_STEPS = ("tap_step", "tap_row_step", "word_step", "column_step", "row_step", "window_base")
"""Members of an instruction about max pooling that are added to addresses."""
WINDOW_PLACES = ("window_column", "window_row", "column_shift", "row_shift", "frame_columns", "frame_rows")
"""Those about rows and columns, needed where windows reach into padding."""
WINDOW_MEMBERS = ("window_rows", "window_columns", *WINDOW_STEPS, *WINDOW_PLACES)
"""All that only a core with max pooling reads."""


@dataclass(frozen=True)
class Instruction:
    """One connection of one layer; all members are non-negative integers.

    Members
    -------
    frame : source is the frame memory (one pixel a word), otherwise spike memory
    per_step : the layer fires after each step (``stream`` on spikes); otherwise once, T firings in a row
    first, last : first and last connection of its layer
    sweep : the layer has a fire pass; ``fires``: and spikes come out of it (no readout, whose fire pass adds or leaks)
    source_base, source_rows, source_columns, source_groups : what the scanner walks, behind max pooling; a group is a word
    row_base, column_base : first entry in the coordinate tables
    channel_base : first entry in the channel table, where the program has one
    group_stride, lane_stride : weight words from one source group (lane) to the next; with a channel table its entries
    row_stride, column_stride : weight words from one valid tap to the next along y (x)
    groups : G of the target
    row_words, column_words : neuron words from one valid tap to the one before it along y (x); G and W·G if not dilated
    last_lanes : channels in the target's last group
    words : neuron words of the target
    parameter_base : first word in the parameter memory
    threshold_exponent : the layer's threshold is a power of two, where that holds for all layers; otherwise 0
    target_base : first spike word of the target
    leak : 0 where the layer's membranes do not leak, n for the n-th of ``Program.decays``; in cores whose networks are loaded
        ``hdl.leak_word.leak_word``
    current_leak : the same of its currents; 0 where none lasts, so that events add to the membranes
    window_rows, window_columns : places of a max pooling's window; 1 each without
    window_base : from ``source_base`` to the first window's first word, less than it by the padding
    tap_step, tap_row_step, word_step, column_step, row_step : what the scanner adds to the address of a window's word for
        the next one along x, the first one of the next row, the first one of the next word, and the first one behind the
        last word of a column and of a row, modulo the memory's size
    window_column, window_row : where the first window begins, modulo ``2^place_bits``; then from one to the next
        ``column_shift`` and ``row_shift``; places beyond ``frame_columns`` and ``frame_rows`` are padding
    """

    frame: int
    per_step: int
    first: int
    last: int
    sweep: int
    fires: int
    source_base: int
    source_rows: int
    source_columns: int
    source_groups: int
    row_base: int
    column_base: int
    channel_base: int
    group_stride: int
    lane_stride: int
    row_stride: int
    column_stride: int
    groups: int
    row_words: int
    column_words: int
    last_lanes: int
    words: int
    parameter_base: int
    threshold_exponent: int
    target_base: int
    window_rows: int = 1
    window_columns: int = 1
    window_base: int = 0
    tap_step: int = 1
    tap_row_step: int = 1
    word_step: int = 1
    column_step: int = 1
    row_step: int = 1
    window_column: int = 0
    window_row: int = 0
    column_shift: int = 1
    row_shift: int = 1
    frame_columns: int = 0
    frame_rows: int = 0
    leak: int = 0
    current_leak: int = 0


@dataclass(frozen=True)
class CoordinateTaps:
    """First valid tap of one source coordinate along one axis and how many follow.

    ``weight`` and ``membrane`` are the parts of the two addresses that this coordinate contributes.
    """

    weight: int
    membrane: int
    count: int


@dataclass(frozen=True)
class ChannelRange:
    """Target words that one source channel of a connection reaches, and the lanes it means in them.

    ``weight`` is the address of its first weight word from the connection's base, ``membrane`` the first word's
    place among the target's groups; ``words`` counts those after the first. ``first`` is the first lane in the
    first word, ``last`` the last lane in the last; between them all lanes are meant.
    """

    weight: int
    membrane: int
    words: int
    first: int
    last: int
