"""Read and write networks as one safetensors file with a JSON header; no pickle, data never code.

The header holds the network's fingerprint (meaning: shapes, schedule, integers) and a checksum over
everything else, so that an edited or truncated file is refused.
"""

import errno
import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from toolchain.connection import Connection
from toolchain.errors import InvalidValue, NetworkFileError
from toolchain.ir import FixedPointLayer, FixedPointNetwork, SpikingLayer, SpikingNetwork
from toolchain.leak import Decay
from toolchain.pooling import MaxPooling

__all__ = [
    "SCHEMA",
    "check_folder",
    "check_writable",
    "load_fixed_point",
    "load_network",
    "load_spiking",
    "make_folder",
    "replacing",
    "save_network",
]

SCHEMA = 2
_KINDS: dict[str, type[SpikingNetwork] | type[FixedPointNetwork]] = {
    "spiking": SpikingNetwork,
    "fixed_point": FixedPointNetwork,
}


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """What goes wrong in making a file beside ``path``, as one clear line."""
    if path.is_dir():
        raise InvalidValue(f"cannot write {path}: Is a directory; name a file in it")
    try:
        yield
    except OSError as error:
        raise InvalidValue(
            f"cannot write {path}: {error.strerror}; choose a folder that exists and is writable"
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and rename it there on success: never half a file.

    Raises
    ------
    InvalidValue
        The folder does not exist, cannot be written, or is full.
    """
    with _writing(path):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        Path(name).chmod(0o644)
    temporary = Path(name)
    try:
        try:
            yield temporary
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise InvalidValue(f"cannot write {path}: {error.strerror}; choose a folder with more room") from error
        with _writing(path):
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there.

    Raises
    ------
    InvalidValue
        It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidValue(f"cannot make folder {folder}: {error.strerror}; choose another") from error


def check_writable(path: Path) -> None:
    """Refuse a ``path`` that ``replacing`` could not write; leaves no trace.

    Raises
    ------
    InvalidValue
        The folder does not exist or cannot be written.
    """
    with _writing(path), tempfile.NamedTemporaryFile(prefix=f".{path.name}.", dir=path.parent):
        return


def check_folder(folder: Path) -> None:
    """Refuse a ``folder`` in which no file could be made, or that could not be made; leaves no trace.

    Raises
    ------
    InvalidValue
        It, or the nearest folder above it that exists, cannot be written, or is a file.
    """
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        with tempfile.TemporaryFile(dir=there):
            return
    except OSError as error:
        raise InvalidValue(
            f"cannot write folder {folder}: {error.strerror}; choose a folder that is writable"
        ) from error


def _brief(error: Exception) -> str:
    """One line of an error that may quote texts of a file, however long."""
    return " ".join(word if len(word) <= 80 else f"{word[:77]}..." for word in str(error).split())[:600]


def _checksum(header: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()


def save_network(network: SpikingNetwork | FixedPointNetwork, path: Path) -> None:
    """Write ``network`` to ``path`` (``.safetensors``), replacing what was there in one step."""
    header = {
        "schema": SCHEMA,
        "kind": next(kind for kind, of in _KINDS.items() if type(network) is of),
        "network": network.header(),
        "provenance": dict(network.provenance),
        "fingerprint": network.fingerprint,
    }
    metadata = {"spikeloom": json.dumps({**header, "checksum": _checksum(header)}, sort_keys=True)}
    tensors = {name: np.ascontiguousarray(array) for name, array in network.arrays().items()}
    with replacing(path) as temporary:
        temporary.write_bytes(save_tensors(tensors, metadata))


def load_network(path: Path) -> SpikingNetwork | FixedPointNetwork:
    """Read either kind of network, checking checksum and fingerprint.

    Raises
    ------
    NetworkFileError
        The file is missing, truncated, edited, of another schema, or not a network.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise NetworkFileError(f"cannot read network file {path}: {error.strerror}") from error
    try:
        header = _read_header(raw)
        arrays = load_tensors(raw)
        checksum = header.pop("checksum")
        if header["schema"] != SCHEMA:
            raise NetworkFileError(
                f"{path} has schema {str(header['schema'])[:40]}, this version reads {SCHEMA}; convert the network again"
            )
        if checksum != _checksum(header):
            raise NetworkFileError(f"{path} was edited: its checksum does not match; convert the network again")
        network = _rebuild(header, arrays)
    except (SafetensorError, InvalidValue) as error:
        raise NetworkFileError(f"{path} is not a whole network file: {_brief(error)}") from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, struct.error, RecursionError) as error:
        raise NetworkFileError(
            f"{path} is not a Spikeloom network file; make one with spikeloom convert or quantize"
        ) from error
    kept = network.arrays()
    if arrays.keys() != kept.keys() or any(arrays[name].dtype != kept[name].dtype for name in kept):
        raise NetworkFileError(f"{path} was edited: its arrays are not those of the network; convert the network again")
    if network.fingerprint != header["fingerprint"]:
        raise NetworkFileError(
            f"{path} was edited: fingerprint {network.fingerprint[:16]} of its contents is not "
            f"{str(header['fingerprint'])[:16]} of its header; convert the network again"
        )
    return network


def _read_header(raw: bytes) -> dict[str, Any]:
    (length,) = struct.unpack("<Q", raw[:8])
    header: dict[str, Any] = json.loads(json.loads(raw[8 : 8 + length])["__metadata__"]["spikeloom"])
    return header


def _whole(values: Any) -> tuple[Any, ...]:
    """Whole numbers of a header, where JSON also has true, false and fractions."""
    if any(type(value) is not int for value in values):
        raise TypeError(f"{values} are not whole numbers")
    return tuple(values)


def _maximum(members: dict[str, list[int]]) -> MaxPooling:
    return MaxPooling(**{name: _whole(pair) for name, pair in members.items()})


def _rebuild(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> SpikingNetwork | FixedPointNetwork:
    fields = dict(header["network"])
    kind = _KINDS[header["kind"]]
    layer_of: Callable[..., Any] = SpikingLayer if kind is SpikingNetwork else FixedPointLayer
    once = "initial" if kind is SpikingNetwork else "offset"
    layers = []
    for index, layer in enumerate(fields.pop("layers")):
        connections = tuple(
            Connection(
                source=_whole([c["source"]])[0],
                weight=arrays[f"{index}.weight.{number}"],
                stride=_whole(c["stride"]),
                padding=_whole(c["padding"]),
                pool=_whole(c["pool"]),
                kind=c["kind"],
                padding_after=_whole(c.get("padding_after", c["padding"])),
                dilation=_whole(c.get("dilation", (1, 1))),
                groups=_whole([c.get("groups", 1)])[0],
                maximum=_maximum(c["maximum"]) if "maximum" in c else None,
            )
            for number, c in enumerate(layer["connections"])
        )
        leaks = {name: layer.get(name) for name in ("leak", "current_leak")}
        if kind is FixedPointNetwork:
            leaks = {name: None if leak is None else Decay(_whole(leak)) for name, leak in leaks.items()}
        layers.append(
            layer_of(
                name=layer["name"],
                connections=connections,
                threshold=arrays[f"{index}.threshold"] if layer["fires"] else None,
                bias=arrays[f"{index}.bias"],
                negative_threshold=arrays.get(f"{index}.negative_threshold"),
                **leaks,
                **{once: arrays[f"{index}.{once}"]},
            )
        )
    fields["input_shape"] = _whole(fields["input_shape"])
    _whole([fields[name] for name in ("time_steps", "weight_bits", "seed") if name in fields])
    return kind(layers=tuple(layers), provenance=header["provenance"], **fields)


def load_spiking(path: Path) -> SpikingNetwork:
    """Read a floating-point spiking network; a fixed-point one is refused."""
    network = load_network(path)
    if not isinstance(network, SpikingNetwork):
        raise NetworkFileError(
            f"{path} holds a fixed-point network, a spiking network is needed here: the result of spikeloom convert"
        )
    return network


def load_fixed_point(path: Path) -> FixedPointNetwork:
    """Read a fixed-point network; a floating-point one is refused."""
    network = load_network(path)
    if not isinstance(network, FixedPointNetwork):
        raise NetworkFileError(
            f"{path} holds a floating-point network, integers are needed here: run spikeloom quantize {path}"
        )
    return network
