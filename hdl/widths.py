"""Widths of signals; plain Python, so that what only plans memories need not load Amaranth."""

__all__ = ["width_for"]


def width_for(largest: int) -> int:
    """Bits of an unsigned signal that holds ``0 … largest``, at least 1 (no zero-width ports)."""
    return max(1, int(largest).bit_length())
