"""Spoilt NIR graphs and files by seed, and what must become of them: a valid network, or one clear line."""

import contextlib
import copy
import io
import itertools
import tempfile
from functools import cache
from pathlib import Path

import nir
import numpy as np

from tests.nir_graphs import chain, dense, fires, image, random_lasting, random_spiking
from toolchain import cli
from toolchain.errors import SpikeloomError
from toolchain.interchange import (
    CURRENT_DRIVES,
    DECAYS,
    DRIVES,
    ORDERS_OF_NIR,
    RESETS_OF_NIR,
    STARTS,
    Options,
    import_graph,
    to_nir,
)
from toolchain.interchange.graph import FIELDS, graph_of
from toolchain.interchange.hdf5 import read_contents
from toolchain.interchange.semantics import PRESETS
from toolchain.ir import SpikingNetwork
from toolchain.quantize import quantize

__all__ = ["outcome_of_file", "outcome_of_graph", "spoilt_contents", "spoilt_file"]

KINDS = [*FIELDS, "Delay", "NIRGraph", "Izhikevich", ""]
NUMBERS = [0, 1, -1, 2, 3, 0.5, 1e-300, 1e300, np.inf, -np.inf, np.nan, 2**31, 2**63 - 1, -(2**63)]


def _leaky() -> nir.NIRGraph:
    rng, ones = np.random.default_rng(5), np.ones(4)
    lif = nir.LIF(tau=np.inf * ones, r=np.inf * ones, v_leak=0 * ones, v_threshold=ones)
    cuba = nir.CubaLIF(tau_syn=ones, tau_mem=np.inf * ones, r=np.inf * ones, v_leak=0 * ones, v_threshold=ones)
    inner = nir.NIRGraph(
        {"input": nir.Input(np.array([4])), "w": dense(rng, 4, 4), "n": cuba, "output": nir.Output(np.array([4]))},
        [("input", "w"), ("w", "n"), ("n", "output")],
        type_check=False,
    )
    return chain(dense(rng, 4, 6), lif, inner, nir.Linear(np.ones((3, 4))), nir.I(np.ones(3)))


def _leaking(tau: float) -> nir.NIRGraph:
    """LIF, CubaLIF and LI that leak, towards something else than 0."""
    rng, fours, threes = np.random.default_rng(6), np.ones(4), np.ones(3)
    lif = nir.LIF(tau * fours, tau * fours, 0.25 * fours, fours)
    cuba = nir.CubaLIF(fours, 2 * tau * fours, 2 * tau * fours, -0.5 * fours, fours)
    return chain(dense(rng, 4, 6), lif, dense(rng, 4, 4), cuba, dense(rng, 3, 4), nir.LI(tau * threes, threes, threes))


def _lasting(slow: float) -> nir.NIRGraph:
    """CubaLIF, LI before IF, and CubaLI, whose currents last."""
    rng, fours, threes = np.random.default_rng(7), np.ones(4), np.ones(3)
    cuba = nir.CubaLIF(slow * fours, 3 * fours, 3 * fours, 0 * fours, fours, w_in=slow * fours)
    ends = nir.CubaLI(2 * slow * threes, 3 * threes, 3 * threes, 0 * threes, w_in=2 * slow * threes)
    current = nir.LI(slow * fours, slow * fours, 0 * fours)
    return chain(dense(rng, 4, 6), cuba, dense(rng, 4, 4), current, fires(4), dense(rng, 3, 4), ends)


def _leaking_of_ours() -> SpikingNetwork:
    """The first random network that leaks before it is reset."""
    return next(
        network
        for network in map(random_spiking, itertools.count())
        if network.leaks and network.leak_order == "leak_first"
    )


@cache
def _sound() -> list[bytes]:
    """Files of graphs that import: images, vectors, joins, leaks, one inside another, our own with metadata."""
    rng = np.random.default_rng(0)
    line = nir.Conv1d(16, rng.normal(size=(3, 2, 5)), 2, 1, 1, 1, np.zeros(3))
    graphs = [
        image(rng),
        _leaky(),
        _leaking(2.5),
        _leaking(40.0),
        _lasting(2.5),
        chain(line, fires(3, 7), nir.Flatten(np.array([3, 7]), 0, -1), dense(rng, 3, 21), shape=(2, 16)),
        *(to_nir(random_spiking(seed)) for seed in range(4)),
        to_nir(_leaking_of_ours()),
        to_nir(random_lasting(3)),
    ]
    files = []
    with tempfile.TemporaryDirectory() as folder:
        for graph in graphs:
            nir.write(Path(folder) / "x.nir", graph)
            files.append((Path(folder) / "x.nir").read_bytes())
    return files


@cache
def _contents() -> list[dict]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for raw in _sound():
            (Path(folder) / "x.nir").write_bytes(raw)
            found.append(read_contents(Path(folder) / "x.nir"))
    return found


def _array(rng: np.random.Generator, old) -> object:
    """Another value in the place of one."""
    choice = int(rng.integers(14))
    if choice == 0:
        return None
    if choice == 1:
        return str(rng.choice(["", "same", "valid", "x" * 300, "{", "[[1]]"]))
    if choice == 2 or not isinstance(old, np.ndarray) or old.dtype.kind not in "iuf":
        return np.array(rng.choice(NUMBERS))
    if choice == 3:
        return np.array(rng.choice(NUMBERS, int(rng.integers(0, 5))))
    if choice == 4:
        return rng.normal(size=tuple(int(n) for n in rng.integers(0, 6, int(rng.integers(0, 5)))))
    if choice == 5:
        return old.reshape(-1)
    if choice == 6:
        return old[None] if rng.random() < 0.5 else np.swapaxes(old, 0, -1) if old.ndim else old
    new = old.astype(np.float64) if choice == 7 else old.copy()
    if new.size:
        with np.errstate(all="ignore"):
            new.reshape(-1)[int(rng.integers(new.size))] = rng.choice(
                NUMBERS[:6] if new.dtype.kind in "iu" else NUMBERS
            )
    return new


def _mutate(rng: np.random.Generator, top: dict) -> None:
    """Spoil one thing in a graph, in place."""
    nodes, edges = top["nodes"], top["edges"]
    names = list(nodes)
    if not names or not isinstance(edges, list):
        return
    name = str(rng.choice(names))
    ends = [*names, "ghost", ""]
    choice = int(rng.integers(24))
    if choice == 0:
        del nodes[name]
    elif choice == 1 and isinstance(nodes[name], dict):
        nodes[name]["type"] = str(rng.choice(KINDS))
    elif choice == 2:
        edges.append([str(rng.choice(ends)), str(rng.choice(ends))])
    elif choice == 3 and edges:
        del edges[int(rng.integers(len(edges)))]
    elif choice == 4 and edges:
        edges[int(rng.integers(len(edges)))] = [[], ["a"], "ab", [1, 2], None, ["a", "b", "c"]][int(rng.integers(6))]
    elif choice == 5:
        nodes[str(rng.choice(["copy", "x" * 400, "\n", "ä"]))] = copy.deepcopy(nodes[name])
    elif choice == 6:
        key = str(rng.choice(["nodes", "edges", "metadata", "type"]))
        top[key] = [None, [], {}, "text", np.zeros(3)][int(rng.integers(5))]
    elif choice == 7 and isinstance(top.get("metadata"), dict):
        text = top["metadata"].get("spikeloom", "{}")
        place = int(rng.integers(len(text)))
        top["metadata"]["spikeloom"] = text[:place] + str(rng.choice(["", "9", "-", '"', "null"])) + text[place + 1 :]
    elif choice == 8:
        nodes[name] = copy.deepcopy(top)
    elif isinstance(nodes[name], dict):
        values = [key for key in nodes[name] if key != "type"]
        if values:
            key = str(rng.choice(values))
            nodes[name][key] = _array(rng, nodes[name][key])


def spoilt_contents(seed: int) -> dict:
    """The contents of a file with one to three things spoilt."""
    rng = np.random.default_rng([seed, 1])
    sound = _contents()
    content = copy.deepcopy(sound[int(rng.integers(len(sound)))])
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        if isinstance(content["node"].get("nodes"), dict):
            _mutate(rng, content["node"])
    return content


def _options(seed: int) -> Options:
    rng = np.random.default_rng([seed, 2])
    presets = [None, *PRESETS]
    steps = int(rng.integers(1, 20)) if rng.random() < 0.9 else None
    if rng.random() < 0.7:  # rules under which every sound graph imports
        return Options("snntorch", reset="value", dt=1.0, time_steps=steps)
    chosen = presets[int(rng.integers(len(presets)))]
    if rng.random() < 0.5:
        return Options(chosen, time_steps=steps)
    free = {"decay": DECAYS, "drive": DRIVES, "leak_order": ORDERS_OF_NIR, "start": STARTS, "reset": RESETS_OF_NIR}
    drawn = {key: str(rng.choice(values)) for key, values in {**free, "current_drive": CURRENT_DRIVES}.items()}
    tau_syn = float(rng.choice([0.5, 3.0])) if rng.random() < 0.3 else None
    return Options(chosen, dt=1.0, time_steps=steps, tau_syn=tau_syn, **drawn)


def _back(network: SpikingNetwork) -> None:
    graph = to_nir(network)
    assert import_graph(graph_of(graph), Options()).fingerprint == network.fingerprint


def outcome_of_graph(seed: int) -> str:
    """Import a spoilt graph: ``network``, or the name of the error that it must be. Anything else is raised."""
    try:
        network = import_graph(graph_of(spoilt_contents(seed)["node"]), _options(seed))
    except SpikeloomError as error:
        text = str(error)
        assert text and len(text) < 1000, text[:2000]
        return type(error).__name__
    assert network.shapes and network.fingerprint
    for onward in (lambda: quantize(network, 8), lambda: _back(network)):  # a valid network: one clear line here too
        with contextlib.suppress(SpikeloomError):
            onward()
    return "network"


def spoilt_file(seed: int) -> bytes:
    """A file with some bytes changed, or cut off, or doubled."""
    rng = np.random.default_rng([seed, 3])
    sound = _sound()
    raw = bytearray(sound[int(rng.integers(len(sound)))])
    for _ in range(int(rng.choice([1, 1, 2, 4, 16, 256]))):
        raw[int(rng.integers(len(raw)))] = int(rng.choice([0, 255, int(rng.integers(256))]))
    if rng.random() < 0.1:
        raw = raw[: int(rng.integers(len(raw)))]
    elif rng.random() < 0.1:
        place, length = int(rng.integers(len(raw))), int(rng.integers(1, 400))
        raw[place : place + length] = raw[int(rng.integers(len(raw))) :][:length]
    return bytes(raw)


def outcome_of_file(seed: int, folder: Path) -> str:
    """Run ``spikeloom import`` on a spoilt file: ``network``, or, with one line of error, ``refused``, ``crashed`` or ``hung``."""
    path, target = folder / "x.nir", folder / "x.safetensors"
    path.write_bytes(spoilt_file(seed))
    target.unlink(missing_ok=True)
    with contextlib.redirect_stderr(io.StringIO()) as told, contextlib.redirect_stdout(io.StringIO()):
        code = cli.run(["import", str(path), "-T", "4", "--preset", "snntorch", "--dt", "1", "-o", str(target)])
    lines = [line for line in told.getvalue().splitlines() if not line.startswith("warning: ")]
    assert code in (0, 2) and (code == 0) == target.exists()
    assert len(lines) == (code == 2) and all(line.startswith("error: ") for line in lines), lines
    if code == 0:
        return "network"
    return "crashed" if "crashes on it" in lines[0] else "hung" if "takes too long" in lines[0] else "refused"
