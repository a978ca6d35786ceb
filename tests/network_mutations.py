"""Spoilt network files (.safetensors) by seed, and what must become of them: the same kind of network, or one clear line."""

import contextlib
import copy
import io
import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from sim import golden
from tests.networks import NEURONS, random_network
from tests.nir_graphs import random_spiking
from toolchain import cli, netfile, zoo
from toolchain.errors import InvalidValue, NetworkFileError, SpikeloomError
from toolchain.ir import FixedPointNetwork, SpikingNetwork
from toolchain.quantize import quantize
from toolchain.train import TrainedSource, load_source, save_source

__all__ = ["outcome_of_contents", "outcome_of_file", "spoilt_contents", "spoilt_file"]

NUMBERS = [0, 1, -1, 2, 0.5, 1e308, 2**31, 2**63, 10**40, float("nan"), float("inf"), True, None]
TEXTS = ["", "stream", "two_phase", "radix", "symmetric", "identity", "linear", "\x00\n", "x" * 4000]
OPERATIONS = 200_000
"""Synaptic operations of a network that is also run."""


@cache
def _sound(folder: Path) -> list[bytes]:
    """Files of networks of both kinds, plain and unusual, and of a source."""
    networks = [
        *(random_spiking(seed) for seed in range(3)),
        *(random_network(seed, neuron=NEURONS[(5 * seed) % len(NEURONS)], unusual=seed % 2 == 1) for seed in range(6)),
    ]
    files = []
    for network in networks:
        netfile.save_network(network, folder / "sound")
        files.append((folder / "sound").read_bytes())
    save_source(TrainedSource(zoo.build("mlp"), {"architecture": "mlp", "levels": 4}), folder / "sound")
    return [*files, (folder / "sound").read_bytes()]


def _pick(rng: np.random.Generator, values):
    return values[int(rng.integers(len(values)))]


def _value(rng: np.random.Generator, old):
    """Another JSON value in the place of one."""
    choice = int(rng.integers(7))
    if choice == 0:
        return _pick(rng, NUMBERS)
    if choice == 1:
        return _pick(rng, TEXTS)
    if choice == 2:
        return _pick(rng, [[], {}, [[]], [1, 2, 3], {"a": 1}, [10**9, 10**9], [-1, -1]])
    if choice == 3 and isinstance(old, list) and old:
        return [*old, copy.deepcopy(_pick(rng, old))]
    if choice == 4 and isinstance(old, list) and old:
        return old[:-1]
    if isinstance(old, int) and not isinstance(old, bool):
        return old + int(rng.integers(-2, 3))
    return _pick(rng, NUMBERS) if not isinstance(old, str) else _pick(rng, TEXTS)


def _spoil_json(rng: np.random.Generator, tree) -> None:
    """Change, delete or double one member, at any depth."""
    while True:
        inner = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        if not inner:
            return
        key = _pick(rng, inner)
        if isinstance(tree[key], dict | list) and tree[key] and rng.random() < 0.8:
            tree = tree[key]
            continue
        if rng.random() < 0.15:
            del tree[key]
        else:
            tree[key] = _value(rng, tree[key])
        return


def _spoil_arrays(rng: np.random.Generator, arrays: dict[str, np.ndarray]) -> None:
    name = _pick(rng, sorted(arrays))
    old, choice = arrays[name], int(rng.integers(9))
    if choice == 0:
        del arrays[name]
    elif choice == 1:
        arrays[str(_pick(rng, ["0.weight.9", "99.bias", "x", "0.negative_threshold"]))] = old
    elif choice == 2:
        arrays[name] = old.astype(
            _pick(rng, [np.float32, np.float64, np.int8, np.uint8, np.int64, np.bool_, np.float16])
        )
    elif choice == 3:
        arrays[name] = old.reshape(-1)
    elif choice == 4 and old.ndim:
        arrays[name] = np.swapaxes(old, 0, -1).copy()
    elif choice == 5:
        arrays[name] = old.reshape(-1)[:0]
    elif choice == 6 and old.ndim:
        arrays[name] = np.concatenate([old, old])
    elif old.size:
        new = old.copy()
        with np.errstate(all="ignore"):
            if new.dtype.kind == "f":
                new.reshape(-1)[int(rng.integers(new.size))] = _pick(rng, [np.nan, np.inf, -1.0, 0.0, 1e300, -1e300])
            else:
                new.reshape(-1)[int(rng.integers(new.size))] = _pick(
                    rng, [0, -1, 1, np.iinfo(new.dtype).max, np.iinfo(new.dtype).min]
                )
        arrays[name] = new


def _sealed(header: dict, arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
    """A file whose checksum is right, and its fingerprint where the contents are a network: what a forger would write."""
    header = {key: value for key, value in header.items() if key != "checksum"}
    with contextlib.suppress(Exception):  # whatever rebuilding raises: then there is no fingerprint to forge
        header["fingerprint"] = netfile._rebuild(header, arrays).fingerprint
    text = json.dumps({**header, "checksum": netfile._checksum(header)})
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, {**metadata, "spikeloom": text})


def spoilt_contents(seed: int, folder: Path) -> bytes:
    """A network file with one to four members or arrays spoilt, sealed again."""
    rng = np.random.default_rng([seed, 6])
    raw = _pick(rng, _sound(folder))
    if rng.random() < 0.01:  # deep JSON, a long number, a header of 2^62 bytes, huge shapes
        deep = '{"spikeloom": "' + "[" * 100_000 + '"}'
        return _pick(
            rng,
            [
                (len(deep) + 17).to_bytes(8, "little") + ('{"__metadata__": ' + deep + "}").encode(),
                (2**62).to_bytes(8, "little") + b"{}",
                b"\x60"
                + bytes(7)
                + b'{"a":{"dtype":"F64","shape":[1152921504606846976,16],"data_offsets":[0,0]}}'.ljust(96),
                b"\x60" + bytes(7) + b'{"a":{"dtype":"F64","shape":[2,2],"data_offsets":[0,1099511627776]}}'.ljust(96),
            ],
        )
    arrays = {name: array.copy() for name, array in load(raw).items()}
    length = int.from_bytes(raw[:8], "little")
    metadata = json.loads(raw[8 : 8 + length])["__metadata__"]
    if "spikeloom" not in metadata:  # a source, whose provenance is all that it says
        header = json.loads(metadata["spikeloom_source"])
        if rng.random() < 0.5:
            _spoil_json(rng, header)
        else:
            _spoil_arrays(rng, arrays)
        return save({n: np.ascontiguousarray(a) for n, a in arrays.items()}, {"spikeloom_source": json.dumps(header)})
    header = json.loads(metadata.pop("spikeloom"))
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        if rng.random() < 0.75:
            _spoil_json(
                rng, header["network"] if rng.random() < 0.8 and isinstance(header.get("network"), dict) else header
            )
        elif arrays:
            _spoil_arrays(rng, arrays)
    return _sealed(header, arrays, metadata)


def _use(network: SpikingNetwork | FixedPointNetwork, folder: Path) -> None:
    """A network that was read is a whole one: it writes, reads back the same, and computes if it is small."""
    netfile.save_network(network, folder / "again")
    assert netfile.load_network(folder / "again").fingerprint == network.fingerprint
    fixed = network if isinstance(network, FixedPointNetwork) else None
    if isinstance(network, SpikingNetwork):
        with contextlib.suppress(SpikeloomError), warnings.catch_warnings():
            warnings.simplefilter("error")  # a user would see it
            fixed = quantize(network, 8)
    places = sum(int(np.prod(shape)) for shape in network.shapes)
    if fixed is not None and places * max(network.weights, 1) * network.time_steps < OPERATIONS * 100:
        frames = np.full((1, *network.input_shape), 200, np.uint8)
        with contextlib.suppress(InvalidValue):
            golden.run(fixed, frames)


def outcome_of_contents(seed: int, folder: Path) -> str:
    """Read a spoilt and sealed file as network and as source: ``network``, or the name of the error that it must be."""
    path = folder / "x.safetensors"
    path.write_bytes(spoilt_contents(seed, folder))
    outcome = ""
    for read in (netfile.load_network, load_source):
        try:
            found = read(path)
        except NetworkFileError as error:
            text = str(error)
            assert text and len(text) < 1000, text[:2000]
            outcome = outcome or type(error).__name__
        else:
            outcome = "network"
            if not isinstance(found, TrainedSource):
                _use(found, folder)
    return outcome


def spoilt_file(seed: int, folder: Path) -> bytes:
    """A file with some bytes changed, or cut off, or doubled."""
    rng = np.random.default_rng([seed, 7])
    raw = bytearray(_pick(rng, _sound(folder)))
    for _ in range(int(rng.choice([1, 1, 2, 4, 16, 256]))):
        place = int(rng.integers(len(raw) if rng.random() < 0.5 else min(len(raw), 2000)))
        raw[place] = int(rng.choice([0, 255, int(rng.integers(256))]))
    if rng.random() < 0.1:
        raw = raw[: int(rng.integers(len(raw)))]
    elif rng.random() < 0.1:
        place, length = int(rng.integers(len(raw))), int(rng.integers(1, 400))
        raw[place : place + length] = raw[int(rng.integers(len(raw))) :][:length]
    return bytes(raw)


def outcome_of_file(seed: int, folder: Path) -> str:
    """Read a spoilt file, every tenth by ``spikeloom quantize``: ``network``, or, with one line of error, ``refused``."""
    path, target = folder / "x.safetensors", folder / "y.safetensors"
    path.write_bytes(spoilt_file(seed, folder))
    target.unlink(missing_ok=True)
    if seed % 10:
        outcome = "refused"
        for read in (netfile.load_network, load_source):
            with contextlib.suppress(NetworkFileError):
                read(path)
                outcome = "network"
        return outcome
    with contextlib.redirect_stderr(io.StringIO()) as told, contextlib.redirect_stdout(io.StringIO()):
        code = cli.run(["quantize", str(path), "--no-table", "-o", str(target)])
    lines = told.getvalue().splitlines()
    assert code in (0, 2) and (code == 0) == target.exists()
    assert len(lines) == (code == 2) and all(line.startswith("error: ") for line in lines), lines
    return "network" if code == 0 else "refused"
