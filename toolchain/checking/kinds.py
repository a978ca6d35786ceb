"""Kinds of model by the ending of their file, each with the function that checks it: a plain dict, so that another kind joins by an entry."""

import gc
import json
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from toolchain.checking.finding import Checked
from toolchain.checking.network_file import check_network
from toolchain.checking.options import CheckOptions
from toolchain.errors import InvalidValue
from toolchain.netfile import load_network

__all__ = ["KINDS", "check"]


def _holds_source(path: Path) -> bool:
    """Whether a safetensors file is a trained source, and no network; a file that is neither counts as a network."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            return "spikeloom_source" in json.loads(file.read(min(length, 1 << 20))).get("__metadata__", {})
    except (OSError, ValueError, struct.error, AttributeError, RecursionError):
        return False


@contextmanager
def _loading() -> Iterator[None]:
    """While torch is loaded: modules are no garbage, and looking for some among them takes a seventh of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _safetensors(path: Path, options: CheckOptions) -> Checked:
    if _holds_source(path):
        return _torch(str(path), options)
    return check_network(path.name, load_network(path), options)


def _nir(path: Path, options: CheckOptions) -> Checked:
    from toolchain.checking.nir_graph import check_nir

    return check_nir(path, options)


def _onnx(path: Path, options: CheckOptions) -> Checked:
    with _loading():
        from toolchain.checking.onnx_model import check_onnx

    return check_onnx(path, options)


def _torch(source: str, options: CheckOptions) -> Checked:
    with _loading():  # which network files do without
        from toolchain.checking.torch_source import check_source

    return check_source(source, options)


KINDS: dict[str, Callable[[Path, CheckOptions], Checked]] = {
    ".safetensors": _safetensors,
    ".nir": _nir,
    ".onnx": _onnx,
}
"""By ending; anything else is a source for torch: ``bundled``, FILE.py:FUNCTION, or the name of an architecture."""


def check(model: str, options: CheckOptions) -> Checked:
    """Check a model, whatever it is.

    Raises
    ------
    InvalidValue, NetworkFileError
        There is no such model, its file is damaged, or ``options`` do not go with it.
    """
    path = Path(model)
    kind = KINDS.get(path.suffix.lower())
    if kind is not None:
        return kind(path, options)
    if path.suffix and ":" not in model:
        raise InvalidValue(
            f"no kind of model ends in {path.suffix}; these do: {', '.join(KINDS)}, FILE.py:FUNCTION with its weights in --weights FILE.safetensors"
        )
    return _torch(model, options)
