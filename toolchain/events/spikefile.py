"""Samples of spikes in a file: ``.npz`` with ``spikes`` [N, T, C, H, W], ``labels`` [N] and what they were made from.

Any program that reads numpy files reads it; a file of another program with an array ``spikes`` is read here. No pickle.
"""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from toolchain.errors import InvalidValue
from toolchain.netfile import replacing
from toolchain.npz import opened, read_array

__all__ = ["MAX_BYTES", "Spikes", "SpikeWriter", "load_spikes", "rebinned", "writing_spikes"]

MAX_BYTES = 1 << 31
"""Of spikes, a byte each, in a file."""
MAX_SAMPLES = 1 << 24
_SPIKES, _LABELS, _ABOUT = "spikes.npy", "labels.npy", "about.json"
_MAX_ABOUT = 1 << 24


@dataclass(frozen=True, eq=False)
class Spikes:
    """Samples: ``spikes`` int8 ``[N, T, C, H, W]``, ``labels`` int64 ``[N]`` or ``None``, and JSON values ``about`` them."""

    spikes: np.ndarray
    labels: np.ndarray | None
    about: Mapping[str, Any] = field(default_factory=dict)


class SpikeWriter:
    """Takes samples one after the other; only one of them is in memory."""

    def __init__(self, file: IO[bytes], shape: tuple[int, ...]):
        self._file, self._shape, self._written = file, shape, 0

    def add(self, spikes: np.ndarray) -> None:
        """The next sample, int8 ``[T, C, H, W]``."""
        assert spikes.shape == self._shape[1:] and spikes.dtype == np.int8 and self._written < self._shape[0]
        self._file.write(np.ascontiguousarray(spikes).tobytes())
        self._written += 1

    @property
    def complete(self) -> bool:
        """Whether all samples were taken."""
        return self._written == self._shape[0]


def _entry(name: str) -> zipfile.ZipInfo:
    """A compressed member of an archive, without the time of writing."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, values, allow_pickle=False)
    return buffer.getvalue()


@contextmanager
def writing_spikes(
    path: Path, shape: tuple[int, ...], labels: Sequence[int] | None, about: dict[str, Any]
) -> Iterator[SpikeWriter]:
    """Write samples of ``shape`` [N, T, C, H, W] to ``path``, which appears when all are written; equal samples, equal files.

    ``about`` is written last, so that the caller may add to it.

    Raises
    ------
    InvalidValue
        ``path`` cannot be written, or the samples are more than ``MAX_BYTES`` or ``MAX_SAMPLES``.
    """
    _check_size(shape, str(path))
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        if labels is not None:
            archive.writestr(_entry(_LABELS), _npy(np.array(labels, np.int64)))
        with archive.open(_entry(_SPIKES), "w", force_zip64=True) as file:
            header = {"descr": "|i1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            writer = SpikeWriter(file, shape)
            yield writer
        assert writer.complete
        archive.writestr(_entry(_ABOUT), json.dumps(about, indent=1, sort_keys=True))


def _check_size(shape: tuple[int, ...], where: str) -> None:
    if len(shape) != 5 or min(shape) < 1:
        raise InvalidValue(f"{where}: spikes have shape {shape}, must be [N, T, C, H, W], each at least 1")
    if prod(shape) > MAX_BYTES or shape[0] > MAX_SAMPLES:
        raise InvalidValue(
            f"{where}: {shape[0]} samples of shape {shape[1:]} are {prod(shape)} bytes, the limits are {MAX_SAMPLES} and "
            f"{MAX_BYTES}; make several files, or crop and pool"
        )


def _array(archive: zipfile.ZipFile, name: str, path: Path, what: int) -> np.ndarray:
    """An array of whole numbers with ``what`` dimensions; its size is known before it is read."""
    where = f"{path}: {name}"

    def check(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        if dtype.kind not in "biu" or len(shape) != what:
            raise InvalidValue(
                f"{where} is {dtype} of shape {shape}, spikes must be whole numbers [N, T, C, H, W], labels [N]"
            )
        if what == 5:
            _check_size(shape, str(path))
        elif shape[0] > MAX_SAMPLES:
            raise InvalidValue(f"{where} has {shape[0]} labels, the limit is {MAX_SAMPLES}")
        size = prod(shape) * dtype.itemsize
        if size > MAX_BYTES:
            raise InvalidValue(f"{where} has {size} bytes, the limit is {MAX_BYTES}; save spikes as int8")

    return read_array(archive, name, where, check)


def load_spikes(path: Path) -> Spikes:
    """Read a file of ``writing_spikes``, or any ``.npz`` with an array ``spikes`` of 0 and 1 (or −1), and maybe ``labels``.

    Raises
    ------
    DatasetMissing
        No such file.
    InvalidValue
        Not such a file, values that are no spikes, more than ``MAX_BYTES``.
    """
    with opened(path, f"no file of spikes {path}; make it with spikeloom bin from recordings of events") as archive:
        names = set(archive.namelist())
        if _SPIKES not in names:
            raise InvalidValue(
                f"{path} holds no array spikes [N, T, C, H, W]; make it with spikeloom bin from recordings of events"
            )
        spikes = _array(archive, _SPIKES, path, 5)
        labels = _array(archive, _LABELS, path, 1) if _LABELS in names else None
        about = _about(archive, path) if _ABOUT in names else {}
    low, high = int(spikes.min()), int(spikes.max())
    if low < -1 or high > 1:
        raise InvalidValue(f"{path} holds {low if low < -1 else high}, spikes are 0 or 1, or -1 where they have a sign")
    if labels is not None and (labels.shape != (len(spikes),) or int(labels.min()) < 0):
        raise InvalidValue(f"{path} holds labels of shape {labels.shape}, must be [{len(spikes)}] and from 0")
    spikes = np.ascontiguousarray(spikes, np.int8)
    spikes.setflags(write=False)
    return Spikes(spikes, None if labels is None else labels.astype(np.int64), about)


def _about(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    entry = archive.getinfo(_ABOUT)
    if entry.file_size > _MAX_ABOUT:
        raise InvalidValue(f"{path}: {_ABOUT} has {entry.file_size} bytes, the limit is {_MAX_ABOUT}")
    with archive.open(entry) as file:
        content = json.loads(file.read(_MAX_ABOUT))
    return content if isinstance(content, dict) else {}


def rebinned(spikes: np.ndarray, steps: int) -> np.ndarray:
    """Spikes ``[N, T, C, H, W]`` in fewer steps, of which ``steps`` must divide T: neighbouring steps by or.

    For steps of equal time, and of equal numbers of events, these are the spikes that binning into ``steps`` gives.

    Raises
    ------
    InvalidValue
        ``steps`` does not divide T, or spikes have a sign.
    """
    images, have, *shape = spikes.shape
    if steps == have:
        return spikes
    if steps < 1 or have % steps:
        raise InvalidValue(
            f"spikes of {have} steps cannot be had in {steps}: that must divide {have}; bin the recordings again, with -T {steps}"
        )
    if spikes.min() < 0:
        raise InvalidValue("spikes of -1 cannot be had in fewer steps: steps are joined by or")
    found: np.ndarray = spikes.reshape(images, steps, have // steps, *shape).max(axis=2)
    return found
