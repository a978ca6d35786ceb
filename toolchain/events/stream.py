"""What an event camera gives: pixels that report, each at its own time, that they became brighter or darker."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from toolchain.errors import InvalidValue

__all__ = ["MAX_SIDE", "MAX_TIME", "EventStream", "check_sensor"]

MAX_SIDE = 8192
"""Widest and highest sensor, in pixels."""
MAX_TIME = 1 << 62
"""Time stamps lie below, in µs; those of clocks that count from 1970 do by far."""


def check_sensor(width: int, height: int, where: str) -> None:
    """Refuse a sensor without pixels, or larger than ``MAX_SIDE``."""
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise InvalidValue(f"{where}: sensor is {width}x{height}, each side must be 1 to {MAX_SIDE} pixels")


def _numbers(values: Any, name: str, where: str, first: int) -> np.ndarray:
    """A column as int64, unless it holds what is no whole number."""
    column = np.asarray(values)
    if column.dtype.kind not in "biuf":
        raise InvalidValue(f"{where}: {name} is {column.dtype}, must be numbers")
    if column.dtype.kind == "f":
        wrong = np.flatnonzero(~np.isfinite(column) | (column != np.floor(column)) | (np.abs(column) >= MAX_TIME))
    else:
        wrong = np.flatnonzero(column >= MAX_TIME)
    if wrong.size:
        value = column[wrong[0]]
        raise InvalidValue(
            f"{where}: event {first + wrong[0]} has {name} {value}, must be a whole number below 2^62; check the order of columns and "
            "the unit of time"
        )
    return column.astype(np.int64)


@dataclass(frozen=True, eq=False)
class EventStream:
    """Events in the order of their time; immutable.

    Members
    -------
    name : str
        Of the recording, for messages.
    t : int64 [M]
        µs, 0 to 2^62, never decreasing.
    x, y : uint16 [M]
        Column from the left, row from the top.
    polarity : bool [M]
        ``True`` where a pixel became brighter (ON). Given as 0 and 1, −1 and 1, or bool.
    width, height : int
        Of the sensor, in pixels, to ``MAX_SIDE``.
    first : int
        Number of the first event within its recording, if this is a part of one; messages count from there.

    Raises
    ------
    InvalidValue
        Columns of different lengths, values that are no whole numbers, time stamps that decrease, pixels outside of
        the sensor, a polarity other than 0, 1 and −1.
    """

    name: str
    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    polarity: np.ndarray
    width: int
    height: int
    first: int = 0

    def __post_init__(self) -> None:
        check_sensor(self.width, self.height, self.name)
        columns = {name: np.asarray(getattr(self, name)) for name in ("t", "x", "y", "polarity")}
        if any(column.ndim != 1 or len(column) != len(columns["t"]) for column in columns.values()):
            shapes = ", ".join(f"{name} {column.shape}" for name, column in columns.items())
            raise InvalidValue(f"{self.name}: columns have shapes {shapes}, must be [M] of one length")
        t, x, y, p = (_numbers(column, name, self.name, self.first) for name, column in columns.items())
        self._refuse(t < 0, lambda i: f"has time stamp {t[i]} µs, must be 0 or later")
        self._refuse(
            np.concatenate([[False], t[1:] < t[:-1]]),
            lambda i: (
                f"at {t[i]} µs comes after one at {t[i - 1]} µs; sort the events by time, or check the order of columns"
            ),
        )
        for axis, place, side in (("x", x, self.width), ("y", y, self.height)):
            self._refuse(
                (place < 0) | (place >= side),
                lambda i, axis=axis, place=place, side=side: (
                    f"has {axis} = {place[i]}, outside of the sensor of {self.width}x{self.height} (0 to {side - 1}); give "
                    "the right sensor size, or check the order of columns"
                ),
            )
        self._refuse(
            (p < -1) | (p > 1), lambda i: f"has polarity {p[i]}, must be 0 or 1, or -1 or 1; check the order of columns"
        )
        if (p < 0).any() and (p == 0).any():
            raise InvalidValue(
                f"{self.name}: polarities are -1, 0 and 1, must be two values, 0 and 1 or -1 and 1: what is 0?"
            )
        for name, values in {"t": t, "x": x.astype(np.uint16), "y": y.astype(np.uint16), "polarity": p > 0}.items():
            values.setflags(write=False)
            object.__setattr__(self, name, values)

    def _refuse(self, wrong: np.ndarray, message: Any) -> None:
        found = np.flatnonzero(wrong)
        if found.size:
            raise InvalidValue(f"{self.name}: event {self.first + found[0]} {message(int(found[0]))}")

    def __len__(self) -> int:
        return len(self.t)

    def part(self, start: int, end: int) -> "EventStream":
        """Events number ``start`` to ``end`` − 1 of this stream."""
        of = slice(start, end)
        return EventStream(
            self.name,
            self.t[of],
            self.x[of],
            self.y[of],
            self.polarity[of],
            self.width,
            self.height,
            self.first + start,
        )

    def between(self, start: int, end: int) -> "EventStream":
        """Events of ``start`` ≤ t < ``end``, in µs."""
        first, last = np.searchsorted(self.t, (start, end))
        return self.part(int(first), int(last))
