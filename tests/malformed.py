"""Packets that a core must refuse, each with the error it must name."""

from hdl.host import ErrorCode

__all__ = ["malformed"]


def malformed(good: list[int]) -> list[tuple[list[int], ErrorCode]]:
    """Wrong packets made of a good packet of pixels or spikes."""
    return [
        ([0x03 << 24 | good[0] & 0xFFFFFF, *good[1:]], ErrorCode.TYPE),
        ([good[0] + 1, *good[1:]], ErrorCode.SIZE),
        (good[:-1], ErrorCode.SHORT),
        ([good[0]], ErrorCode.SHORT),
        ([*good, 7, 7], ErrorCode.LONG),
    ]
