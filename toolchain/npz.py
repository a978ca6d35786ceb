"""Arrays of numpy's files, without pickle: sizes are known before anything is read, and damage is one line."""

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from toolchain.errors import DatasetMissing, InvalidValue, SpikeloomError

__all__ = ["array_names", "opened", "read_array", "read_header", "told"]


@contextmanager
def told(where: str, kind: str) -> Iterator[None]:
    """What numpy and zipfile say of a damaged file of a ``kind``, as one line."""
    try:
        yield
    except SpikeloomError:
        raise
    except OSError as error:
        raise InvalidValue(f"cannot read {where}: {error.strerror or error}") from error
    except Exception as error:  # ValueError, BadZipFile, zlib.error, TokenError: whatever is made of damaged bytes
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InvalidValue(f"{where} is not a whole {kind} file: {reason}") from error


@contextmanager
def opened(path: Path, missing: str) -> Iterator[zipfile.ZipFile]:
    """The archive ``path``; ``missing`` says what to do where there is none.

    Raises
    ------
    DatasetMissing
        No such file.
    InvalidValue
        It cannot be read, or is damaged, now or while it is read.
    """
    with told(str(path), ".npz"):
        try:
            archive = zipfile.ZipFile(path)
        except FileNotFoundError as error:
            raise DatasetMissing(missing) from error
        with archive:
            yield archive


def array_names(path: Path) -> frozenset[str]:
    """Names of the arrays in an archive; of what cannot be read, none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy"))
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return frozenset()


def read_header(file: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether column by column, and type of the array that ``file`` goes on with; nothing is allocated."""
    with told(where, "numpy"):
        version = np.lib.format.read_magic(file)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = reader(file)
    if dtype.hasobject:
        raise InvalidValue(f"{where} holds Python objects, which are not read; save plain numbers")
    return shape, fortran, dtype


def read_array(
    archive: zipfile.ZipFile, name: str, where: str, check: Callable[[tuple[int, ...], np.dtype[Any]], None]
) -> np.ndarray:
    """A whole array; ``check`` refuses shapes, types and sizes before anything is allocated.

    Raises
    ------
    InvalidValue
        It is refused, or not as long as it says.
    """
    with archive.open(name) as file:
        shape, fortran, dtype = read_header(file, where)
        check(shape, dtype)
        size = prod(shape) * dtype.itemsize
        raw = file.read(size)
        if len(raw) != size or file.read(1):
            raise InvalidValue(f"{where} is not as long as its header says: {size} bytes")
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")
