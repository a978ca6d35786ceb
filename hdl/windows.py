"""Max pooling on the way from spike memory to events: walk the words of a window and OR them."""

from amaranth import Module, Mux, Signal, unsigned
from amaranth.hdl import Value
from amaranth.lib import data

from hdl.counting import countdown
from hdl.instruction import WINDOW_PLACES, WINDOW_STEPS
from hdl.layouts import width_for
from hdl.program import Program

__all__ = ["Windows", "window_layout", "windows_of"]


def window_layout(
    address_bits: int, row_bits: int, column_bits: int, place_bits: int | None = None
) -> data.StructLayout:
    """The instruction's members about windows; those about places only with ``place_bits``, where windows reach into padding."""
    places = {} if place_bits is None else dict.fromkeys(WINDOW_PLACES, unsigned(place_bits))
    return data.StructLayout(
        {
            "window_rows": unsigned(row_bits),
            "window_columns": unsigned(column_bits),
            **dict.fromkeys(WINDOW_STEPS, unsigned(address_bits)),
            **places,
        }
    )


def windows_of(program: Program) -> data.StructLayout | None:
    """Layout for a core's windows; ``None`` without max pooling."""
    if not program.maxima:
        return None
    padded = any(any((*m.padding, *m.padding_after)) for m in program.maxima)
    tall, wide = (max(m.window[axis] for m in program.maxima) for axis in (0, 1))
    return window_layout(program.address_bits, width_for(tall), width_for(wide), program.place_bits if padded else None)


class Windows:
    """Loops over the words of a window, inside those of a walk over pooled places; part of ``Scanner``, no block of its own.

    A window takes ``window_rows × window_columns`` steps, one word of spike memory each, row by row; those in the
    padding take their step too, and read a word that counts as 0. A connection without max pooling has windows of one word.

    Parameters
    ----------
    m : Module
    window : data.View
        Of ``window_layout``, constant during a walk.
    start, step : Value
        Begin a walk; the next word.

    Members
    -------
    first, complete : Value, whether the word of this step is the window's first, its last
    inside : Value or None, whether it is no padding; ``None`` if none has padding
    """

    def __init__(self, m: Module, window: data.View, *, start: Value, step: Value):
        self._window, self._start, self._step = window, start, step
        self._last_column = countdown(m, "window_column", window.window_columns, start=start, step=step)
        row_done = step & self._last_column
        last_row = countdown(m, "window_row", window.window_rows, start=start, step=row_done)
        self.first = Signal(name="window_first")
        self.complete = self._last_column & last_row
        with m.If(start):
            m.d.sync += self.first.eq(1)
        with m.Elif(step):
            m.d.sync += self.first.eq(self.complete)
        self.inside: Value | None = None

    def address_step(self, next_column: Value, next_row: Value) -> Value:
        """What takes the address of this word to that of the next one."""
        window = self._window
        within = Mux(self._last_column, window.tap_row_step, window.tap_step)
        onward = Mux(next_row, window.row_step, Mux(next_column, window.column_step, window.word_step))
        return Mux(self.complete, onward, within)

    def track(self, m: Module, next_column: Value, next_row: Value) -> None:
        """Keep the place of the word, and with it ``inside``; ``next_column`` and ``next_row`` end a window's last word."""
        window = self._window
        if "window_column" not in dict(window.shape()):
            return
        column, first_column, row, first_row = (
            Signal(window.window_column.shape(), name=f"place_{name}")
            for name in ("column", "first_column", "row", "first_row")
        )
        later_column = Mux(
            next_row, window.window_column, Mux(next_column, first_column + window.column_shift, first_column)
        )
        later_row = Mux(next_row, first_row + window.row_shift, first_row)
        with m.If(self._start):
            m.d.sync += [
                column.eq(window.window_column),
                first_column.eq(window.window_column),
                row.eq(window.window_row),
                first_row.eq(window.window_row),
            ]
        with m.Elif(self._step):
            m.d.sync += [first_column.eq(later_column), first_row.eq(later_row)]
            m.d.sync += column.eq(Mux(self._last_column, later_column, column + 1))
            with m.If(self._last_column):
                m.d.sync += row.eq(Mux(self.complete, later_row, row + 1))
        inside = Signal(name="window_inside")
        m.d.comb += inside.eq((column < window.frame_columns) & (row < window.frame_rows))
        self.inside = inside
