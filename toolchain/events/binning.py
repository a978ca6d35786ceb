"""From events to the spikes of T steps: binary, with an account of every event that does not become one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Self

import numpy as np

from toolchain.connection import Shape
from toolchain.errors import InvalidValue
from toolchain.events.recording import Recording
from toolchain.events.stream import EventStream
from toolchain.ir import MAX_TIME_STEPS

__all__ = ["BY", "POLARITIES", "Account", "Binned", "Binning", "Window", "bin_windows"]

BY = ("time", "events")
"""Steps of equal time, or of equal numbers of events."""
POLARITIES = ("both", "on", "off", "merged")
"""Two channels, OFF (0) and ON (1); one of events of one kind; one of all events."""
MAX_SAMPLE = 1 << 28
"""Places of one sample, T·C·H·W."""


@dataclass(frozen=True)
class Window:
    """A part of a recording: ``start`` ≤ t < ``end``, in µs of its time stamps, and its class, if that is known."""

    start: int
    end: int
    label: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise InvalidValue(f"window is {self.start} to {self.end} µs, must start at 0 or later and end behind that")


@dataclass(frozen=True)
class Account:
    """Where the events of windows went: ``events`` = ``spikes`` + ``merged`` + ``left_out``.

    Members
    -------
    events : int
        In the windows.
    spikes : int
        Places (t, c, y, x) with at least one event.
    merged : int
        Lost, because another event of the same place and step had made the spike: it is binary.
    left_out : int
        Of the other polarity, outside of the crop, or on the rim that pooling drops.
    """

    events: int = 0
    spikes: int = 0
    merged: int = 0
    left_out: int = 0

    def __add__(self, other: "Account") -> "Account":
        return Account(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True, eq=False)
class Binned:
    """A sample: ``spikes`` int8 ``[T, C, H, W]`` of 0 and 1, its window, and its account."""

    spikes: np.ndarray
    window: Window
    account: Account


@dataclass(frozen=True)
class Binning:
    """How events become spikes.

    Members
    -------
    steps : int
        T, 1 to ``MAX_TIME_STEPS``.
    by : str
        One of ``BY``. ``time``: an event at t is in step ⌊(t − start)·T / (end − start)⌋. ``events``: number k of the n
        events that are not left out is in step ⌊k·T / n⌋.
    polarity : str
        One of ``POLARITIES``.
    crop : (left, top, width, height) or None
        The part of the sensor that is looked at.
    pool : int
        k: a place is k × k pixels, and spikes if any of them does; an incomplete rim is left out.

    Raises
    ------
    InvalidValue
        A member outside of its limits.
    """

    steps: int
    by: str = "time"
    polarity: str = "both"
    crop: tuple[int, int, int, int] | None = None
    pool: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= MAX_TIME_STEPS:
            raise InvalidValue(f"time steps is {self.steps}, must be 1 to {MAX_TIME_STEPS}")
        for name, allowed in (("by", BY), ("polarity", POLARITIES)):
            if getattr(self, name) not in allowed:
                raise InvalidValue(f"{name} is {getattr(self, name)!r}, must be one of {', '.join(allowed)}")
        if self.pool < 1:
            raise InvalidValue(f"pool is {self.pool}, must be at least 1")
        if self.crop is not None and (min(self.crop[:2]) < 0 or min(self.crop[2:]) < 1):
            raise InvalidValue(f"crop is {self.crop}, must be left and top from 0, width and height from 1")

    def area(self, width: int, height: int, where: str) -> tuple[int, int, int, int]:
        """(left, top, width, height) of what is looked at, whole places only."""
        left, top, across, down = self.crop or (0, 0, width, height)
        if left + across > width or top + down > height:
            raise InvalidValue(
                f"{where}: crop {left},{top},{across},{down} reaches beyond the sensor of {width}x{height}; it is left,top,width,height"
            )
        if min(across, down) < self.pool:
            raise InvalidValue(f"{where}: pool {self.pool} is more than the {across}x{down} pixels looked at")
        return left, top, across // self.pool * self.pool, down // self.pool * self.pool

    def shape(self, width: int, height: int, where: str = "recording") -> Shape:
        """(C, H, W) of spikes from a sensor of ``width`` × ``height``.

        Raises
        ------
        InvalidValue
            A crop beyond the sensor, pooling larger than what is left, or more than ``MAX_SAMPLE`` places.
        """
        _, _, across, down = self.area(width, height, where)
        channels = 2 if self.polarity == "both" else 1
        shape = (channels, down // self.pool, across // self.pool)
        places = self.steps * channels * shape[1] * shape[2]
        if places > MAX_SAMPLE:
            raise InvalidValue(
                f"{where}: a sample of shape {(self.steps, *shape)} has {places} places, the limit is {MAX_SAMPLE}; crop or "
                "pool it, or take fewer steps"
            )
        return shape

    def chosen(self, events: EventStream) -> tuple[np.ndarray, np.ndarray]:
        """Which events are not left out, bool ``[M]``, and the places (c·H + y)·W + x of those, int64."""
        left, top, across, down = self.area(events.width, events.height, events.name)
        x, y = events.x.astype(np.int64) - left, events.y.astype(np.int64) - top
        kept = (x >= 0) & (x < across) & (y >= 0) & (y < down)
        if self.polarity in ("on", "off"):
            kept &= events.polarity == (self.polarity == "on")
        height, width = down // self.pool, across // self.pool
        channel = events.polarity[kept].astype(np.int64) if self.polarity == "both" else 0
        return kept, (channel * height + y[kept] // self.pool) * width + x[kept] // self.pool


class _Sample:
    """A window that is being filled."""

    def __init__(self, binning: Binning, window: Window, recording: Recording, total: int):
        self.binning, self.window, self.total = binning, window, total
        self.shape = binning.shape(recording.width, recording.height, recording.name)
        self.spikes = np.zeros((binning.steps, int(np.prod(self.shape))), np.int8)
        self.events = self.taken = 0

    def add(self, events: EventStream) -> Self:
        """Further events of the window."""
        kept, places = self.binning.chosen(events)
        if self.binning.by == "time":
            passed = events.t[kept] - self.window.start
            step = _scaled(passed, self.binning.steps, self.window.end - self.window.start)
        else:
            step = _scaled(np.arange(self.taken, self.taken + len(places)), self.binning.steps, self.total)
        self.spikes[step, places] = 1
        self.events += len(events)
        self.taken += len(places)
        return self

    def done(self) -> Binned:
        spikes = int(self.spikes.sum(dtype=np.int64))
        account = Account(self.events, spikes, self.taken - spikes, self.events - self.taken)
        trains = self.spikes.reshape(self.binning.steps, *self.shape)
        trains.setflags(write=False)
        return Binned(trains, self.window, account)


def _scaled(values: np.ndarray, steps: int, total: int) -> np.ndarray:
    """⌊values · steps / total⌋ of int64 values below ``total``, which may be too large to multiply first."""
    if total < 1 << 52:
        return values * steps // max(total, 1)
    return np.array([value * steps // total for value in values.tolist()], np.int64)


def _check_windows(recording: Recording, windows: Sequence[Window]) -> None:
    for before, after in pairwise(windows):
        if after.start < before.end:
            raise InvalidValue(
                f"{recording.name}: window {after.start} to {after.end} µs begins before the one of {before.start} to "
                f"{before.end} µs ends; give windows in order of time that do not overlap"
            )


def _parts(recording: Recording, windows: Sequence[Window]) -> Iterator[tuple[int, EventStream | None]]:
    """The events of each window, piece by piece, as (number, events); (number, None) where a window is over."""
    number = 0
    for part in recording.chunks():
        while number < len(windows):
            window = windows[number]
            inside = part.between(window.start, window.end)
            if len(inside):
                yield number, inside
            if part.t[-1] < window.end:
                break
            yield number, None
            number += 1
    for rest in range(number, len(windows)):
        yield rest, None


def bin_windows(recording: Recording, windows: Sequence[Window], binning: Binning) -> Iterator[Binned]:
    """A sample for each window, in order; of the recording, one piece and one sample are in memory.

    A window without events gives a sample without spikes. With ``by = "events"`` the recording is read twice.

    Raises
    ------
    InvalidValue
        Windows that overlap, a crop or pooling that does not fit, and what ``Recording.chunks`` refuses.
    """
    _check_windows(recording, windows)
    binning.shape(recording.width, recording.height, recording.name)
    totals = [0] * len(windows)
    if binning.by == "events":
        for number, events in _parts(recording, windows):
            totals[number] += 0 if events is None else int(binning.chosen(events)[0].sum())
    sample = None
    for number, events in _parts(recording, windows):
        if sample is None:
            sample = _Sample(binning, windows[number], recording, totals[number])
        if events is not None:
            sample.add(events)
        else:
            yield sample.done()
            sample = None
