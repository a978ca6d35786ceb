"""Which parts of which recordings are samples, and of what class: folders, tables of labels, time windows."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np

from toolchain.errors import InvalidValue
from toolchain.events.binning import Window
from toolchain.events.recording import ENDINGS, Span
from toolchain.npz import read_header

__all__ = ["MAX_LABEL", "Found", "LabelTable", "WindowRule", "find_recordings", "labelled", "read_labels"]

MAX_LABEL = 65_535
_MAX_TABLE = 1 << 26
"""Bytes of a table of labels."""
_COLUMNS = {
    "file": ("file", "recording", "name"),
    "label": ("label", "class"),
    "start": ("start", "start_us", "starttime_usec"),
    "end": ("end", "end_us", "endtime_usec"),
    "duration": ("duration", "duration_us"),
}
"""What tables call their columns; those of DVS128 Gesture are among them."""


@dataclass(frozen=True)
class Found:
    """A recording, the class that its folder or a table says, and the windows that a table says."""

    path: Path
    label: int | None = None
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True)
class WindowRule:
    """Which windows of a recording are samples, where no table says it. Times in µs.

    Members
    -------
    start : int
        After the first event.
    duration : int or None
        Of a sample; ``None`` goes to the last event.
    split : bool
        As many samples of ``duration`` side by side as fit before the last event; an incomplete one is left out.
    """

    start: int = 0
    duration: int | None = None
    split: bool = False

    def __post_init__(self) -> None:
        if self.start < 0:
            raise InvalidValue(f"start is {self.start} µs, must be 0 or more, counted from the first event")
        if self.duration is not None and self.duration < 1:
            raise InvalidValue(f"duration is {self.duration} µs, must be at least 1")
        if self.split and self.duration is None:
            raise InvalidValue("splitting needs the duration of a sample")

    def windows(self, span: Span, label: int | None, where: str) -> tuple[Window, ...]:
        """The samples of a recording of extent ``span``.

        Raises
        ------
        InvalidValue
            The recording ends before the first sample begins, or before it is whole.
        """
        first, end = span.first + self.start, span.last + 1
        if first >= end:
            raise InvalidValue(
                f"{where}: start {self.start} µs is behind the last event, {span.last - span.first} µs after the first"
            )
        if self.duration is None:
            return (Window(first, end, label),)
        if not self.split:
            return (Window(first, first + self.duration, label),)
        count = (end - first) // self.duration
        if count == 0:
            raise InvalidValue(f"{where}: {end - first} µs hold no whole sample of {self.duration} µs")
        starts = range(first, first + count * self.duration, self.duration)
        return tuple(Window(start, start + self.duration, label) for start in starts)


def _is_recording(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in ENDINGS and not path.name.startswith(".")


def _recordings(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _is_recording(path))


def _class_numbers(names: Sequence[str]) -> dict[str, int]:
    """Their own numbers if all are numbers, such as 0 to 9; else in the order of the alphabet, from 0."""
    if all(name.isascii() and name.isdigit() and int(name) <= MAX_LABEL for name in names):
        return {name: int(name) for name in names}
    return {name: number for number, name in enumerate(sorted(names))}


def find_recordings(paths: Iterable[Path]) -> tuple[list[Found], dict[str, int]]:
    """Files as they are named, files of folders in the order of their names, and the class of each folder's name.

    A folder with folders of recordings in it has a class in each, as N-MNIST has ``Train/0`` to ``Train/9``; all such
    folders that are given have their classes by one numbering. Its recordings come class by class in turn, so that the
    first of them are of all classes.

    Raises
    ------
    InvalidValue
        Nothing there, a folder without recordings, or one with recordings beside folders of recordings.
    """
    found: list[tuple[Path, str | None]] = []
    for path in paths:
        if not path.is_dir():
            found.append((path, None))
            continue
        own = _recordings(path)
        inside = sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))
        classes = {folder.name: _recordings(folder) for folder in inside}
        empty = [name for name, files in classes.items() if not files]
        if own and len(empty) < len(classes):
            raise InvalidValue(f"folder {path} holds recordings beside folders of recordings; name one or the other")
        if not own and (not classes or empty):
            which = f"{path / empty[0]}" if empty else f"{path}"
            raise InvalidValue(f"folder {which} holds no recording; there are {', '.join(ENDINGS)}")
        found += [(file, None) for file in own]
        turns = [[(file, name) for file in files] for name, files in classes.items() if not own]
        found += [one for turn in zip_longest(*turns) for one in turn if one is not None]
    numbers = _class_numbers(sorted({name for _, name in found if name is not None}))
    if numbers and any(name is None for _, name in found):
        raise InvalidValue("some recordings are in folders of classes and some are not; name one or the other")
    return [Found(path, None if name is None else numbers[name]) for path, name in found], numbers


@dataclass(frozen=True)
class LabelTable:
    """Labels of recordings: in their order, by their file's name, or of windows within them.

    Members
    -------
    name : str
        For messages.
    ordered : tuple of int
        One for each recording, in order; empty where the table names files or windows.
    by_file : mapping
        Label of each file name.
    windows : mapping
        Windows of each file name; of ``""`` where the table names no file.
    """

    name: str
    ordered: tuple[int, ...] = ()
    by_file: Mapping[str, int] | None = None
    windows: Mapping[str, tuple[Window, ...]] | None = None


def _label(value: int | float | str, where: str) -> int:
    try:
        number = int(value)
    except ValueError:
        number = -1
    if not 0 <= number <= MAX_LABEL:
        raise InvalidValue(f"{where}: label is {str(value)[:40]!r}, must be a number from 0 to {MAX_LABEL}")
    return number


def _time(row: Mapping[str, str], column: str, where: str) -> int:
    try:
        return int(row[column])
    except (ValueError, TypeError):
        raise InvalidValue(f"{where}: {column} is {str(row[column])[:40]!r}, must be whole µs") from None


def _npy_labels(path: Path) -> LabelTable:
    try:
        with path.open("rb") as file:
            shape, _, dtype = read_header(file, str(path))
            if len(shape) != 1 or dtype.kind not in "iu" or shape[0] * dtype.itemsize > _MAX_TABLE:
                raise InvalidValue(f"{path} is {dtype} of shape {shape}, labels must be whole numbers [N]")
            size = shape[0] * dtype.itemsize
            raw = file.read(size)
    except OSError as error:
        raise InvalidValue(f"cannot read labels {path}: {error.strerror}") from error
    if len(raw) != size:
        raise InvalidValue(f"{path} is cut short: it holds {len(raw)} of {size} bytes of labels")
    values = np.frombuffer(raw, dtype)
    return LabelTable(str(path), tuple(_label(value, f"{path}, label {i}") for i, value in enumerate(values.tolist())))


def _csv_rows(path: Path) -> list[dict[str, str]]:
    """Rows with our names of columns; a table without header has labels only."""
    try:
        if path.stat().st_size > _MAX_TABLE:
            raise InvalidValue(f"{path} has {path.stat().st_size} bytes, the limit of labels is {_MAX_TABLE}")
        rows = [row for row in csv.reader(path.read_text(encoding="utf-8").splitlines()) if row]
    except OSError as error:
        raise InvalidValue(f"cannot read labels {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidValue(f"{path} is no table of text: {error}") from error
    if not rows:
        raise InvalidValue(f"{path} holds no label")
    if all(len(row) == 1 for row in rows) and rows[0][0].strip().isdigit():
        return [{"label": row[0].strip()} for row in rows]
    known = {spelling: column for column, spellings in _COLUMNS.items() for spelling in spellings}
    header = [known.get(name.strip().lower(), "") for name in rows[0]]
    if header.count("label") != 1 or len(set(header) - {""}) != len([name for name in header if name]):
        raise InvalidValue(
            f"{path} begins with {','.join(rows[0])[:80]!r}, must name its columns: label, and maybe file, start and end or duration"
        )
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise InvalidValue(f"{path}, row {number + 1} has {len(row)} columns, the first has {len(header)}")
    return [{name: cell.strip() for name, cell in zip(header, row, strict=True) if name} for row in rows[1:]]


def read_labels(path: Path) -> LabelTable:
    """A ``.npy`` of whole numbers [N], or a CSV table.

    The table has a column ``label``, and where wanted ``file`` (a recording's file name), and ``start`` with ``end`` or
    ``duration`` (µs, in the recording's own time stamps), then each row is a sample. DVS128 Gesture's tables
    (``class,startTime_usec,endTime_usec``) are of that form.

    Raises
    ------
    InvalidValue
        Not such a file, a label outside of 0 to ``MAX_LABEL``, windows that are no windows.
    """
    if path.suffix.lower() == ".npy":
        return _npy_labels(path)
    rows = _csv_rows(path)
    name, columns = str(path), set(rows[0]) if rows else set()
    if not rows:
        raise InvalidValue(f"{path} holds no label")
    labels = [_label(row["label"], f"{path}, row {number + 2}") for number, row in enumerate(rows)]
    if "start" not in columns:
        if "file" not in columns:
            return LabelTable(name, tuple(labels))
        by_file = {row["file"]: label for row, label in zip(rows, labels, strict=True)}
        if len(by_file) != len(rows):
            raise InvalidValue(f"{path} names a file twice without start; give start and end for parts of one")
        return LabelTable(name, by_file=by_file)
    if ("end" in columns) == ("duration" in columns):
        raise InvalidValue(f"{path} has a column start, must have either end or duration too")
    windows: dict[str, list[Window]] = {}
    for number, (row, label) in enumerate(zip(rows, labels, strict=True)):
        where = f"{path}, row {number + 2}"
        start = _time(row, "start", where)
        end = _time(row, "end", where) if "end" in row else start + _time(row, "duration", where)
        try:
            windows.setdefault(row.get("file", ""), []).append(Window(start, end, label))
        except InvalidValue as error:
            raise InvalidValue(f"{where}: {error}") from error
    ordered = {file: tuple(sorted(of, key=lambda window: window.start)) for file, of in windows.items()}
    return LabelTable(name, windows=ordered)


def labelled(found: Sequence[Found], table: LabelTable) -> list[Found]:
    """The recordings with the labels, or the windows, that a table says of them.

    Raises
    ------
    InvalidValue
        Another number of labels than of recordings, a file that the table does not name, or windows of several
        recordings without their names.
    """
    if table.ordered:
        if len(table.ordered) != len(found):
            raise InvalidValue(f"{table.name} holds {len(table.ordered)} labels, there are {len(found)} recordings")
        return [replace(one, label=label) for one, label in zip(found, table.ordered, strict=True)]
    named = table.windows if table.windows is not None else table.by_file
    assert named is not None
    if "" in named:
        if len(found) != 1:
            raise InvalidValue(f"{table.name} names no files, there are {len(found)} recordings; add a column file")
        return [replace(found[0], windows=table.windows[""])] if table.windows is not None else list(found)
    missing = [one.path.name for one in found if one.path.name not in named]
    if missing:
        raise InvalidValue(f"{table.name} says nothing of {missing[0]} ({len(missing)} of {len(found)} recordings)")
    if table.windows is not None:
        return [replace(one, windows=table.windows[one.path.name]) for one in found]
    return [replace(one, label=named[one.path.name]) for one in found]  # type: ignore[arg-type]
