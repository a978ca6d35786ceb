"""Images of one's own in a file: ``.npz`` with ``images`` uint8 [N, C, H, W] or [N, H, W], and ``labels`` [N].

``numpy.savez("mine.npz", images=images, labels=labels)`` writes one. No pickle; sizes are known before anything is allocated.
"""

import zipfile
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.errors import InvalidValue
from toolchain.npz import opened, read_array

__all__ = ["MAX_BYTES", "load_images"]

MAX_BYTES = 1 << 31
"""Of images, a byte a pixel, in a file."""
MAX_IMAGES = 1 << 24
_IMAGES, _LABELS = "images.npy", "labels.npy"


def _numbers(archive: zipfile.ZipFile, name: str, path: Path, limit: int) -> np.ndarray:
    """A whole array, of at most ``limit`` bytes."""
    where = f"{path}: {name}"

    def check(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        size = prod(shape) * dtype.itemsize
        if min(shape, default=1) < 0 or size > limit:
            raise InvalidValue(f"{where} has shape {shape}, {size} bytes, the limit is {limit}; make several files")

    return read_array(archive, name, where, check)


def _frames(images: np.ndarray, path: Path) -> np.ndarray:
    """Frames uint8 ``[N, C, H, W]``."""
    if images.dtype != np.uint8:
        raise InvalidValue(
            f"{path} holds images of {images.dtype}, must be uint8, 0 to 255: networks see pixel / 255; save "
            "(255 * images).round().astype('uint8') if they are 0 to 1"
        )
    if images.ndim not in (3, 4) or min(images.shape) < 1:
        raise InvalidValue(f"{path} holds images of shape {images.shape}, must be [N, C, H, W] or [N, H, W]")
    if images.ndim == 4 and images.shape[3] in (1, 3) and images.shape[1] not in (1, 3):
        raise InvalidValue(
            f"{path} holds images of shape {images.shape}, channels last, must be [N, C, H, W]; save images.transpose(0, 3, 1, 2)"
        )
    return np.ascontiguousarray(images if images.ndim == 4 else images[:, None])


def load_images(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Frames uint8 ``[N, C, H, W]``, and labels int64 ``[N]`` if there are any.

    Raises
    ------
    DatasetMissing
        No such file.
    InvalidValue
        Not such a file, other types or shapes, more than ``MAX_BYTES``.
    """
    with opened(path, f"no file of images {path}; write it with numpy.savez") as archive:
        frames = _frames(_numbers(archive, _IMAGES, path, MAX_BYTES), path)
        labels = _numbers(archive, _LABELS, path, 8 * MAX_IMAGES) if _LABELS in archive.namelist() else None
    if labels is None:
        return frames, None
    if labels.dtype.kind not in "iu" or labels.shape != (len(frames),) or int(labels.min()) < 0:
        raise InvalidValue(
            f"{path} holds labels of {labels.dtype} and shape {labels.shape}, must be whole numbers from 0, [{len(frames)}]"
        )
    if int(labels.max()) >= 1 << 31:
        raise InvalidValue(f"{path} holds label {int(labels.max())}, must be below {1 << 31}")
    return frames, labels.astype(np.int64)
