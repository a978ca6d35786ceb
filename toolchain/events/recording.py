"""Recordings: files of events that are read as often as needed, a piece at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from toolchain.errors import InvalidValue
from toolchain.events.aedat import aedat_columns, aedat_sensor
from toolchain.events.nmnist import NMNIST_SENSOR, nmnist_columns
from toolchain.events.npy import MAX_EVENTS, Columns, Layout, npy_columns, npz_columns
from toolchain.events.stream import EventStream, check_sensor

__all__ = ["ENDINGS", "Recording", "Span", "open_recording"]


@dataclass(frozen=True)
class Span:
    """Extent of a recording: its first and last time stamp in µs, and its number of events."""

    first: int
    last: int
    events: int


@dataclass(frozen=True, eq=False)
class Recording:
    """A file of events, or streams in memory; ``chunks`` starts anew each time.

    Members
    -------
    name : str
        For messages.
    width, height : int
        Of the sensor.
    columns : callable
        Gives the raw columns t (µs), x, y, p piece by piece.
    """

    name: str
    width: int
    height: int
    columns: Callable[[], Iterator[Columns]]

    def __post_init__(self) -> None:
        check_sensor(self.width, self.height, self.name)

    @staticmethod
    def of(stream: EventStream) -> "Recording":
        """A stream that is in memory."""
        columns = {"t": stream.t, "x": stream.x, "y": stream.y, "p": stream.polarity}
        return Recording(stream.name, stream.width, stream.height, lambda: iter([columns]))

    def chunks(self) -> Iterator[EventStream]:
        """The events in order of time, none of the parts empty.

        Raises
        ------
        InvalidValue
            As ``EventStream`` does, over the borders of parts too; the file cannot be read.
        """
        count, last = 0, 0
        for columns in self.columns():
            part = EventStream(
                self.name, columns["t"], columns["x"], columns["y"], columns["p"], self.width, self.height, count
            )
            if not len(part):
                continue
            if part.t[0] < last:
                raise InvalidValue(
                    f"{self.name}: event {count} at {part.t[0]} µs comes after one at {last} µs; sort the events by time"
                )
            count, last = count + len(part), int(part.t[-1])
            if count > MAX_EVENTS:
                raise InvalidValue(f"{self.name} holds more than {MAX_EVENTS} events, the limit; cut the recording")
            yield part

    def span(self) -> Span:
        """Read all of it and say how far it goes; a recording without events is refused."""
        first, last, count = -1, -1, 0
        for part in self.chunks():
            first = int(part.t[0]) if first < 0 else first
            last, count = int(part.t[-1]), count + len(part)
        if not count:
            raise InvalidValue(f"{self.name} holds no event")
        return Span(first, last, count)


@dataclass(frozen=True)
class _Format:
    """How a kind of file is read; ``sensor`` finds (width, height) where the kind or the file says."""

    columns: Callable[[Path, Layout], Iterator[Columns]]
    sensor: Callable[[Path], tuple[int, int]] | None = None
    own_layout: bool = False


_FORMATS = {
    ".npy": _Format(npy_columns),
    ".npz": _Format(npz_columns),
    ".aedat4": _Format(lambda path, _: aedat_columns(path), aedat_sensor, own_layout=True),
    ".bin": _Format(lambda path, _: nmnist_columns(path), lambda path: NMNIST_SENSOR, own_layout=True),
}
ENDINGS = tuple(_FORMATS)
"""Of files that are read."""
_ELSEWHERE = {
    ".raw": "convert it with metavision_file_to_csv or Metavision's EventsIterator to a .npy file of its structured array",
    ".aedat": "AEDAT 2 and 3 are not read: convert it to .aedat4 with DV, or to .npy with Tonic",
    ".hdf5": "save its events as a .npy file of a structured array",
}


def open_recording(path: Path, sensor: tuple[int, int] | None = None, layout: Layout | None = None) -> Recording:
    """A file of events; the kind is told by its ending.

    Parameters
    ----------
    sensor : (int, int)
        Width and height in pixels; needed where the file does not say it, overrules where it does.
    layout : Layout
        Of numpy files; t, x, y, p and µs by default.

    Raises
    ------
    InvalidValue
        No such file, a kind that is not read, an unknown sensor size.
    ToolMissing
        AEDAT4 without its reader.
    """
    if not path.is_file():
        raise InvalidValue(f"no recording {path}")
    known = _FORMATS.get(path.suffix.lower())
    if known is None:
        way_out = _ELSEWHERE.get(path.suffix.lower(), f"there are {', '.join(ENDINGS)}")
        raise InvalidValue(f"{path} is no kind of recording that is read; {way_out}")
    if layout is not None and known.own_layout:
        raise InvalidValue(f"{path} says its own columns and µs: leave out --columns and --time-unit")
    if sensor is None:
        if known.sensor is None:
            raise InvalidValue(f"{path} does not say how large the sensor is: give --sensor, such as --sensor 128x128")
        sensor = known.sensor(path)
    return Recording(str(path), *sensor, partial(known.columns, path, layout or Layout()))
