"""The format in which N-MNIST and N-Caltech101 are published."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from toolchain.errors import InvalidValue
from toolchain.events.npy import CHUNK, Columns

__all__ = ["NMNIST_SENSOR", "nmnist_columns"]

NMNIST_SENSOR = (34, 34)
"""Width and height of N-MNIST's frames; N-Caltech101's differ from recording to recording."""
_BYTES = 5
_OVERFLOW_ROW = 240
"""Row of entries that say that the clock wrapped: 2^13 µs are added from there on."""
_WRAP = 1 << 13


def nmnist_columns(path: Path) -> Iterator[Columns]:
    """Events of a ``.bin`` file, at most ``CHUNK`` at once: 40 bits each, x, y, polarity and 23 bits of µs.

    Source: Orchard et al., "Converting static image datasets to spiking neuromorphic datasets using saccades",
    Frontiers in Neuroscience 9:437, 2015, and its ``Read_Ndataset.m``.

    Raises
    ------
    InvalidValue
        The file cannot be read, or its length is no multiple of 5 bytes.
    """
    try:
        size = path.stat().st_size
        if size % _BYTES:
            raise InvalidValue(f"{path} has {size} bytes, a file of N-MNIST's format has {_BYTES} for each event")
        wrapped = 0
        with path.open("rb") as file:
            while raw := file.read(CHUNK * _BYTES):
                entries = np.frombuffer(raw, np.uint8).reshape(-1, _BYTES).astype(np.int64)
                wraps = entries[:, 1] == _OVERFLOW_ROW
                stamps = (entries[:, 2] & 0x7F) << 16 | entries[:, 3] << 8 | entries[:, 4]
                t = stamps + (wrapped + np.cumsum(wraps)) * _WRAP
                wrapped += int(wraps.sum())
                events = entries[~wraps]
                yield {"t": t[~wraps], "x": events[:, 0], "y": events[:, 1], "p": events[:, 2] >> 7}
    except OSError as error:
        raise InvalidValue(f"cannot read {path}: {error.strerror}") from error
