"""Columns of events in numpy files, read piece by piece: what is in memory does not grow with the file."""

import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from toolchain.errors import InvalidValue
from toolchain.npz import read_header, told

__all__ = ["CHUNK", "Columns", "MAX_EVENTS", "Layout", "npy_columns", "npz_columns"]

CHUNK = 1 << 18
"""Events in memory at once."""
MAX_EVENTS = 1 << 30
_MAX_FORTRAN = 1 << 28
"""Bytes of a table that is kept column by column, which is read whole."""

Columns = Mapping[str, np.ndarray]
"""``t``, ``x``, ``y``, ``p``, of one length."""

_NAMES = {
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
    "x": ("x",),
    "y": ("y",),
    "p": ("p", "pol", "polarity", "polarities", "on"),
}
"""What files call the fields, in capitals or not."""


@dataclass(frozen=True)
class Layout:
    """What numpy files do not say: the order of a table's columns, and the unit of time in µs.

    ``columns`` is an order of the letters t, x, y, p, such as ``txyp``.
    """

    columns: str = "txyp"
    unit: float = 1.0

    def __post_init__(self) -> None:
        if sorted(self.columns) != sorted("txyp"):
            raise InvalidValue(f"columns are {self.columns!r}, must be an order of t, x, y and p, such as t,x,y,p")

    def named(self, names: tuple[str, ...], where: str) -> dict[str, str]:
        """The field of each of t, x, y, p among ``names``."""
        found = {}
        for key, known in _NAMES.items():
            of = [name for name in names if name.lower() in known]
            if len(of) != 1:
                what = "no field" if not of else f"{len(of)} fields"
                raise InvalidValue(
                    f"{where}: {what} for {key} among {', '.join(names) or 'none'}; it may be called {', '.join(known)}"
                )
            found[key] = of[0]
        return found

    def microseconds(self, t: np.ndarray) -> np.ndarray:
        """Time stamps in µs, rounded to the nearest."""
        if self.unit == 1.0:
            return t
        with np.errstate(over="ignore", invalid="ignore"):
            return np.floor(t.astype(np.float64) * self.unit + 0.5)


@dataclass
class _Array:
    """An array in an open file, read from its beginning."""

    file: IO[bytes]
    where: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @staticmethod
    def of(file: IO[bytes], where: str) -> "_Array | np.ndarray":
        shape, fortran, dtype = read_header(file, where)
        if any(extent < 0 for extent in shape) or (shape and shape[0] > MAX_EVENTS):
            raise InvalidValue(f"{where} has shape {shape}, the limit is {MAX_EVENTS} events; cut the recording")
        array = _Array(file, where, shape, dtype)
        if not fortran or len(shape) < 2:
            return array
        size = prod(shape) * dtype.itemsize
        if len(shape) != 2 or size > _MAX_FORTRAN:
            raise InvalidValue(
                f"{where} is kept column by column and has {size} bytes, the limit is {_MAX_FORTRAN}; save "
                "numpy.ascontiguousarray(events)"
            )
        return array.take_items(prod(shape)).reshape(shape[::-1]).T

    def take(self, count: int) -> np.ndarray:
        """The next ``count`` rows."""
        return self.take_items(count * prod(self.shape[1:])).reshape(count, *self.shape[1:])

    def take_items(self, items: int) -> np.ndarray:
        size = items * self.dtype.itemsize
        with told(self.where, "numpy"):
            raw = self.file.read(size)
        if len(raw) != size:
            raise InvalidValue(f"{self.where} is cut short: {len(raw)} of {size} bytes are there")
        return np.frombuffer(raw, self.dtype)


def _taker(array: "_Array | np.ndarray") -> Callable[[int, int], np.ndarray]:
    """Rows from here to there, asked for in order."""
    if isinstance(array, _Array):
        return lambda start, end: array.take(end - start)
    return lambda start, end: array[start:end]


def _rows(array: "_Array | np.ndarray", layout: Layout, where: str) -> Iterator[Columns]:
    """Events of one array: of named fields ``[M]``, or a table ``[M, 4]``."""
    names, shape = array.dtype.names, array.shape
    if names is not None:
        if len(shape) != 1:
            raise InvalidValue(f"{where} has shape {shape}, an array of named fields must be [M]")
        fields = layout.named(names, where)
    elif len(shape) != 2 or shape[1] != 4:
        raise InvalidValue(f"{where} has shape {shape}, a table of events must be [M, 4], or [M] with named fields")
    take = _taker(array)
    for start in range(0, shape[0], CHUNK):
        rows = take(start, min(start + CHUNK, shape[0]))
        if names is not None:
            columns = {key: rows[field] for key, field in fields.items()}
        else:
            columns = {key: rows[:, index] for index, key in enumerate(layout.columns)}
        yield {**columns, "t": layout.microseconds(columns["t"])}


def npy_columns(path: Path, layout: Layout) -> Iterator[Columns]:
    """Events of a ``.npy`` file, in µs, at most ``CHUNK`` at once."""
    with told(str(path), "numpy"), path.open("rb") as file:
        yield from _rows(_Array.of(file, str(path)), layout, str(path))


def npz_columns(path: Path, layout: Layout) -> Iterator[Columns]:
    """Events of a ``.npz`` file: an array for each of t, x, y and p, or one array as in a ``.npy`` file.

    Other arrays are not read.
    """
    where = str(path)
    with told(where, "numpy"), ExitStack() as stack:
        archive = stack.enter_context(zipfile.ZipFile(path))
        names = [entry.filename for entry in archive.infolist() if entry.filename.endswith(".npy")]

        def opened(name: str) -> "_Array | np.ndarray":
            return _Array.of(stack.enter_context(archive.open(name)), f"{where}: {name}")

        if len(names) == 1:
            yield from _rows(opened(names[0]), layout, f"{where}: {names[0]}")
            return
        fields = layout.named(tuple(name.removesuffix(".npy") for name in names), where)
        arrays = {key: opened(f"{field}.npy") for key, field in fields.items()}
        lengths = {array.shape for array in arrays.values()}
        if len(lengths) != 1 or len(next(iter(lengths))) != 1:
            raise InvalidValue(
                f"{where}: t, x, y and p have shapes {', '.join(str(a.shape) for a in arrays.values())}, must be [M] of one length"
            )
        takers = {key: _taker(array) for key, array in arrays.items()}
        count = arrays["t"].shape[0]
        for start in range(0, count, CHUNK):
            columns = {key: take(start, min(start + CHUNK, count)) for key, take in takers.items()}
            yield {**columns, "t": layout.microseconds(columns["t"])}
