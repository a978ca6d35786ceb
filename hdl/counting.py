"""Counting in few levels of logic: loops that know their last turn, and sums."""

from collections.abc import Sequence

from amaranth import Module, Signal
from amaranth.hdl import Value, ValueLike

__all__ = ["countdown", "total"]


def countdown(m: Module, name: str, count: Signal, *, start: ValueLike, step: ValueLike) -> Signal:
    """Add to ``m`` a loop of ``count`` turns, at least 1; returns the register that is 1 in the last turn.

    ``start`` begins a first turn in the next cycle; ``step`` ends a turn, and after the last one the loop
    begins again. What it returns comes from a flip-flop: it is computed one turn ahead, so that no
    comparison stands in the path of those who wait for it. ``count`` is read at each beginning.
    """
    left, last = Signal.like(count, name=f"{name}_left"), Signal(name=f"last_{name}")
    with m.If(start | (step & last)):
        m.d.sync += [left.eq(count), last.eq(count == 1)]
    with m.Elif(step):
        m.d.sync += [left.eq(left - 1), last.eq(left == 2)]
    return last


def total(values: Sequence[Value]) -> Value:
    """The sum of ``values``, which are unsigned: a balanced tree of adders."""
    if len(values) == 1:
        return values[0]
    half = len(values) // 2
    return total(values[:half]) + total(values[half:])
