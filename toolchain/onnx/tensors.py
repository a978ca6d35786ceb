"""Tensors of an ONNX file as arrays: sizes are compared with the bytes there are before anything is allocated."""

from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from toolchain.errors import NetworkFileError, UnsupportedModule

__all__ = ["BFLOAT16", "FLOATS", "MAX_ARRAY_BYTES", "NUMBERS", "Tensors"]

MAX_ARRAY_BYTES = 1 << 30
"""All tensors of a model together, external ones included."""
MAX_RANK = 8
BFLOAT16 = 16
NUMBERS: dict[int, tuple[str, str, str]] = {
    # data type of ONNX: (name, numpy's, field of values that are not raw)
    1: ("float", "<f4", "float_data"),
    2: ("uint8", "<u1", "int32_data"),
    3: ("int8", "<i1", "int32_data"),
    4: ("uint16", "<u2", "int32_data"),
    5: ("int16", "<i2", "int32_data"),
    6: ("int32", "<i4", "int32_data"),
    7: ("int64", "<i8", "int64_data"),
    9: ("bool", "?", "int32_data"),
    10: ("float16", "<f2", "int32_data"),
    11: ("double", "<f8", "double_data"),
    12: ("uint32", "<u4", "uint64_data"),
    13: ("uint64", "<u8", "uint64_data"),
    BFLOAT16: ("bfloat16", "<u2", "int32_data"),
}
"""Data types that are read; float16 and bfloat16 that are not raw stand as their bits in whole numbers."""
FLOATS = (1, 10, 11, BFLOAT16)
"""Data types that activations may have."""
_EXTERNAL = 1
_VALUES = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")


def _number(text: str) -> int | None:
    """A whole number from 0 on of at most 19 digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _values(tensor: Any, field: str, kind: str, bits: bool) -> np.ndarray:
    """What a field of numbers holds; values outside the type are an OverflowError."""
    held = getattr(tensor, field)
    values = np.fromiter(held, kind if not bits else "<i8", len(held))
    if bits and values.size and (values.min() < 0 or values.max() > 0xFFFF):
        raise OverflowError
    return values.astype("<u2").view("<f2" if kind == "<f2" else "<u2") if bits else values


@dataclass
class Tensors:
    """Reads the tensors of one model, whose file is ``path``, and keeps account of their bytes."""

    path: Path
    left: int = MAX_ARRAY_BYTES

    def refuse(self, name: str, why: str) -> NetworkFileError:
        """The error of a tensor that cannot be read."""
        return NetworkFileError(f"{self.path}: tensor {name[:80]!r} {why}")

    def array(self, tensor: Any, name: str) -> np.ndarray:
        """The values of a ``TensorProto``, bfloat16 as float32.

        Raises
        ------
        NetworkFileError
            Its bytes are not those of its shape, too many, or in a file that is not beside the model.
        UnsupportedModule
            Its type is none of ``NUMBERS``.
        """
        if tensor.data_type not in NUMBERS:
            raise UnsupportedModule(
                f"{self.path}: tensor {name[:80]!r} has data type {tensor.data_type}, which is not read; use float, float16 or double"
            )
        label, kind, field = NUMBERS[tensor.data_type]
        shape = tuple(tensor.dims)
        if len(shape) > MAX_RANK or any(extent < 0 for extent in shape) or tensor.HasField("segment"):
            raise self.refuse(
                name, f"has {len(shape)} axes {shape[:MAX_RANK]}, or only a part of them; export it whole"
            )
        count, width = prod(shape), np.dtype(kind).itemsize
        self.left -= 4 * count if tensor.data_type == BFLOAT16 else width * count
        if self.left < 0:
            raise self.refuse(name, f"brings all tensors to more than {MAX_ARRAY_BYTES >> 20} MiB, the limit")
        held = [one for one in _VALUES if len(getattr(tensor, one))]
        if tensor.data_location == _EXTERNAL:
            if held:
                raise self.refuse(name, f"has values in {held[0]} and in an external file, must have one of both")
            raw = self._external(tensor, name, count * width)
        elif held in ([], ["raw_data"]):
            raw = tensor.raw_data
        elif held == [field]:
            return self._typed(tensor, name, field, kind, shape)
        else:
            raise self.refuse(name, f"of type {label} has values in {' and '.join(held)}, must have them in {field}")
        if len(raw) != count * width:
            raise self.refuse(
                name, f"of type {label} and shape {shape} has {len(raw)} bytes, must have {count * width}"
            )
        values = np.frombuffer(raw, kind).reshape(shape)
        return self._widened(values) if tensor.data_type == BFLOAT16 else values

    def _typed(self, tensor: Any, name: str, field: str, kind: str, shape: tuple[int, ...]) -> np.ndarray:
        length = len(getattr(tensor, field))
        if length != prod(shape):
            raise self.refuse(name, f"of shape {shape} has {length} values, must have {prod(shape)}")
        try:
            values = _values(tensor, field, kind, tensor.data_type in (10, BFLOAT16)).reshape(shape)
        except (OverflowError, ValueError) as error:
            raise self.refuse(name, f"has values in {field} that its type cannot hold") from error
        return self._widened(values) if tensor.data_type == BFLOAT16 else values

    def _widened(self, bits: np.ndarray) -> np.ndarray:
        """bfloat16 bits as float32."""
        return (bits.astype("<u4") << np.uint32(16)).view("<f4")

    def _external(self, tensor: Any, name: str, size: int) -> bytes:
        """``size`` bytes of a file in the model's folder."""
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        offset, length = _number(entries.get("offset") or "0"), _number(entries.get("length") or str(size))
        told = location[:80]
        if offset is None or length != size:
            raise self.refuse(name, f"takes {entries.get('length')!r:.30} bytes of {told!r}, its shape needs {size}")
        parts = PurePosixPath(location).parts
        outside = ".." in parts or PurePosixPath(location).is_absolute() or bool(PureWindowsPath(location).anchor)
        if not location or "\0" in location or "\\" in location or outside:
            raise self.refuse(
                name, f"lies in {told!r}, which is not inside the model's folder; save the weights beside the model"
            )
        try:
            folder = self.path.parent.resolve()
            file = (folder / location).resolve()
            if not file.is_relative_to(folder):
                raise self.refuse(
                    name, f"lies in {told!r}, a link that leaves the model's folder; copy the weights beside the model"
                )
            if not file.is_file() or file.stat().st_size < offset + size:
                raise self.refuse(
                    name, f"needs bytes {offset} to {offset + size} of {told!r} beside the model, which has no so many"
                )
            with file.open("rb") as opened:
                opened.seek(offset)
                return opened.read(size)
        except (OSError, RuntimeError) as error:  # resolve tells a loop of links so
            raise self.refuse(name, f"lies in {told!r} beside the model, which cannot be read") from error
