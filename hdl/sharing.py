"""Lay runs of entries into one table so that equal ones stand there once. Plain Python."""

from collections.abc import Hashable, Sequence
from typing import TypeVar

__all__ = ["shared"]

_Entry = TypeVar("_Entry", bound=Hashable)


def shared(runs: Sequence[tuple[_Entry, ...]]) -> tuple[tuple[_Entry, ...], tuple[int, ...]]:
    """A table that holds each of ``runs`` as neighbours in their order, and for each run the place of its first entry.

    The longest run is laid down first; a run that stands anywhere in the table by then, as a whole or as part of longer
    ones, takes no room of its own. Runs that overlap only in part are not merged.
    """
    table: list[_Entry] = []
    begins: dict[_Entry, list[int]] = {}
    places: dict[tuple[_Entry, ...], int] = {}
    objects = {id(run): run for run in runs}  # most equal runs are one object, and to hash a long one takes time
    for run in sorted(dict.fromkeys(objects.values()), key=len, reverse=True):
        starts = begins.get(run[0], []) if run else [0]
        place = next((start for start in starts if tuple(table[start : start + len(run)]) == run), None)
        if place is None:
            place = len(table)
            for entry in run:
                begins.setdefault(entry, []).append(len(table))
                table.append(entry)
        places[run] = place
    place_of = {key: places[run] for key, run in objects.items()}
    return tuple(table), tuple(place_of[id(run)] for run in runs)
