"""Build generated hardware for a simulator, drive it through cocotb, and verify it against the golden model."""

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from threading import Thread

import numpy as np
from cocotb_tools.runner import get_results, get_runner

from hdl.capacity import Capacity
from hdl.program import Program
from hdl.tiles import program_of
from sim import golden, verilator
from sim.comparison import Comparison
from sim.packets import input_packet
from sim.result import VerificationResult
from toolchain.bundle import TESTBENCH, RtlBundle
from toolchain.cycles import cycles
from toolchain.encoding import check_frames
from toolchain.errors import InvalidValue, ToolMissing
from toolchain.ir import FixedPointNetwork
from toolchain.loading import load_packet, loaded_answer
from toolchain.segments import segments
from toolchain.tools import Simulator, find_simulator

__all__ = ["MOST_LATENCY", "Answers", "build", "check", "check_latency", "environment", "exchange", "verify"]

MOST_LATENCY = 10_000
"""Clocks that the memory of the test bench may take."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What came back from the simulated core.

    Members
    -------
    simulator : Simulator
    packets : list of list of int
        Fewer than were sent if the core fell silent.
    clocks : int64 [packets, 3]
        First word in, answer offered, last word taken.
    spike_text : bytes
        The spike file of the test bench.
    elapsed : int
        Clocks simulated; ``seconds``: wall time of the simulation.
    """

    simulator: Simulator
    packets: list[list[int]]
    clocks: np.ndarray
    spike_text: bytes
    elapsed: int
    seconds: float

    def spike_words(self) -> Iterator[tuple[int, int, int, int, int]]:
        """(packets answered before, layer, step, neuron word, bits) in order of writing.

        Raises
        ------
        ToolMissing
            A word that is not binary: the simulator saw an undefined value.
        """
        for line in self.spike_text.splitlines():
            try:
                answered, layer, step, word, bits = (int(field, 16) for field in line.split())
            except ValueError:
                shown = line.decode(errors="replace")
                raise ToolMissing(f"the simulation wrote an undefined spike word: {shown!r}") from None
            yield answered, layer, step, word, bits


@contextmanager
def environment(changes: dict[str, str]) -> Iterator[None]:
    """Environment of cocotb's runner, which reads ``os.environ``; child Pythons do not import from the folder they run in."""
    before = dict(os.environ)
    os.environ.update(changes, PYTHONSAFEPATH="1")
    os.environ.pop("PYTEST_CURRENT_TEST", None)  # under pytest the runner would exit instead of returning
    logging.getLogger("Icarus").setLevel(logging.ERROR)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _build_icarus(bundle: RtlBundle, folder: Path, log: Path) -> None:
    runner = get_runner("icarus")
    runner.build(
        sources=[*bundle.sources],
        hdl_toplevel=TESTBENCH,
        build_args=["-g2005"],  # later standards do not run "always @*" at time 0: all outputs would be X
        build_dir=folder,
        timescale=("1ns", "1ps"),
        always=True,
        log_file=log,
    )


def build(bundle: RtlBundle, simulator: Simulator) -> Path:
    """Compile the core for a simulator, in ``bundle.folder/build-SIMULATOR``; skipped if nothing changed.

    Raises
    ------
    ToolMissing
        The simulator or the compiler fails.
    """
    folder = bundle.folder.resolve() / f"build-{simulator.name}"
    stamp = folder / "sources.sha256"
    digest = hashlib.sha256(f"{simulator} {verilator.MAKE_OPTIONS}".encode())
    for source in bundle.sources:
        try:
            digest.update(source.read_bytes())
        except OSError as error:
            raise InvalidValue(f"cannot read {source}: {error.strerror}; run spikeloom generate again") from error
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return folder
    try:
        if folder.exists():
            shutil.rmtree(folder)  # make would keep objects that other options made
        folder.mkdir()
    except OSError as error:
        raise InvalidValue(f"cannot write {folder}: {error.strerror}; choose a folder that is writable") from error
    log = folder / "build.log"
    if simulator.name == "verilator":
        verilator.build(bundle, simulator, folder, log)
    else:
        with environment(simulator.environment):
            try:
                _build_icarus(bundle, folder, log)
            except RuntimeError as error:
                raise ToolMissing(f"Icarus cannot compile {bundle.verilog}: {error}; log in {log}") from error
    stamp.write_text(digest.hexdigest())
    return folder


def _check_stall(stall: float) -> None:
    if not 0 <= stall < 1:
        raise InvalidValue(f"stall is {stall}, must be at least 0 and below 1")


def check_latency(latency: int | None, memories: str) -> None:
    """Refuse a latency of the test bench's memory that is out of range, or for hardware that has no such memory."""
    if latency is None:
        return
    if memories != "external":
        raise InvalidValue(f"--memory-latency needs --memories external: hardware of memories {memories} reads none")
    if not 1 <= latency <= MOST_LATENCY:
        raise InvalidValue(f"memory latency is {latency} clocks, must be 1 to {MOST_LATENCY:,}")


def check(network: FixedPointNetwork, frames: np.ndarray, *, simulator: str, stall: float) -> None:
    """Refuse at once what ``verify`` would refuse after hardware was generated; raises as ``verify`` does."""
    check_frames(frames, network)
    _check_stall(stall)
    find_simulator(simulator)


def exchange(
    bundle: RtlBundle,
    packets: Sequence[Sequence[int]],
    *,
    patience: int,
    simulator: str = "verilator",
    stall: float = 0.0,
    seed: int = 0,
    plusargs: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
) -> Answers:
    """Send packets to the simulated core and collect as many answers.

    Parameters
    ----------
    patience : int
        Clocks without stalls in which each answer must come; then the exchange ends without it.
    stall : float
        Chance, 0 to less than 1, that the host's end of a stream holds back in a clock.
    plusargs : sequence of str
        For the test bench: ``+latency=`` and ``+slverr=`` of its external memory.
    progress : callable
        Called with the number of answers since the last call.

    Raises
    ------
    InvalidValue
        ``stall`` out of range, unknown simulator.
    ToolMissing
        No simulator or compiler, or the simulation did not run to its end.
    """
    _check_stall(stall)
    found = find_simulator(simulator)
    built = build(bundle, found)
    with tempfile.TemporaryDirectory(prefix="spikeloom-") as name:
        job = Path(name)
        np.savez(
            job / "packets.npz",
            words=np.concatenate([np.array(p, np.uint32) for p in packets]),
            lengths=np.array([len(p) for p in packets]),
        )
        limit = ceil((patience + max(map(len, packets))) / (1 - stall))
        (job / "job.json").write_text(json.dumps({"stall": stall, "seed": seed, "patience": limit}))
        begun = time.perf_counter()
        with environment({**found.environment, "SPIKELOOM_JOB": str(job), "COCOTB_LOG_LEVEL": "WARNING"}):
            _simulate(found.name, built, job, seed, progress, bundle, plusargs)
        seconds = time.perf_counter() - begun
        if not (job / "answers.npz").exists():
            log = (job / "simulation.log").read_text(errors="replace").strip().splitlines()
            kept = built / "simulation.log"
            kept.write_text("\n".join(log) + "\n")
            raise ToolMissing(f"the simulation did not finish: {log[-1] if log else 'no output'}; log in {kept}")
        if get_results(job / "results.xml") != (1, 0):
            raise ToolMissing("the bench did not run exactly one cocotb test without failure")
        with np.load(job / "answers.npz") as file:
            ends = np.cumsum(file["lengths"])
            received = [part.tolist() for part in np.split(file["words"], ends)[:-1]]
            clocks, elapsed = file["clocks"], int(file["elapsed"])
        spikes = job / "spikes.txt"
        return Answers(found, received, clocks, spikes.read_bytes() if spikes.exists() else b"", elapsed, seconds)


def _simulate(
    simulator: str,
    built: Path,
    job: Path,
    seed: int,
    progress: Callable[[int], None] | None,
    bundle: RtlBundle,
    plusargs: Sequence[str],
) -> None:
    """Run the bench in a thread and report its progress file meanwhile."""

    weights = [] if bundle.external is None else [f"+weights={bundle.weights.resolve()}"]

    def run() -> None:
        try:
            get_runner(simulator).test(
                test_module="sim.bench",
                hdl_toplevel=TESTBENCH,
                hdl_toplevel_lang="verilog",
                build_dir=built,
                test_dir=job,
                seed=seed,
                plusargs=[f"+spikes={job / 'spikes.txt'}", *weights, *plusargs],
                results_xml=str(job / "results.xml"),
                log_file=job / "simulation.log",
                timescale=("1ns", "1ps"),
            )
        except (RuntimeError, SystemExit):  # the caller sees that there are no answers
            return

    thread = Thread(target=run)
    thread.start()
    reported = 0
    while thread.is_alive():
        thread.join(0.1)
        if progress and (job / "progress").exists():
            answered = (job / "progress").stat().st_size
            if answered > reported:
                progress(answered - reported)
                reported = answered


def verify(
    bundle: RtlBundle,
    network: FixedPointNetwork,
    frames: np.ndarray,
    *,
    simulator: str = "verilator",
    stall: float = 0.0,
    seed: int = 0,
    memory_latency: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> VerificationResult:
    """Compare the generated core, or its netlist, with the golden model on frames, uint8 ``[N, C, H, W]`` or int8 spikes ``[N, T, C, H, W]``.

    Every spike of every layer and step, every score, the prediction, and the counters must be equal, each
    layer's cycles to ``toolchain.cycles``; the cycle counter must equal the clocks that the bench saw. ``stall`` makes the host's end of both
    streams hold back at random, reproducibly for one ``seed``. Hardware whose memories are loaded gets the network first. Where
    weights come from external memory, the test bench's one holds back at random too, so that the cycles of a layer must not be
    less than the model's, but may be more; with ``memory_latency`` it does not, and a burst's first beat comes so many clocks after its request.

    Raises
    ------
    InvalidValue
        The bundle belongs to another network, or has no room for it, wrong frames, ``stall`` or ``memory_latency`` out of range.
    ToolMissing
        No simulator or compiler, or it fails.
    """
    check_latency(memory_latency, bundle.memories)
    capacity = None if bundle.capacity is None else Capacity.restored(bundle.capacity)
    if capacity is None and bundle.fingerprint != network.fingerprint:
        raise InvalidValue(
            f"{bundle.folder} was generated from network {bundle.fingerprint[:16]}, not {network.fingerprint[:16]}; "
            "generate it again"
        )
    trace = golden.run(network, frames, "spikes")
    program = program_of(bundle.external, network, bundle.lanes)
    cores = [Program(part, bundle.lanes) for part in segments(network, bundle.cuts)] if bundle.cuts else [program]
    loads = [] if capacity is None else [load_packet(network, capacity).tolist()]
    answers = exchange(
        bundle,
        [*loads, *(input_packet(frame, program) for frame in frames)],
        patience=2 * sum(core.longest_inference for core in cores) + 1000,
        simulator=simulator,
        stall=stall,
        seed=seed,
        plusargs=() if memory_latency is None else (f"+latency={memory_latency}",),
        progress=progress,
    )
    before = len(loads)
    started, offered, taken = answers.clocks[before:].T
    spent = cycles(network, frames, trace, bundle.lanes, program)
    comparison = Comparison(network, bundle.lanes, trace, spent, waits=bundle.external is not None)
    if loads:
        comparison.loaded(answers.packets[:1], loaded_answer(network))
    comparison.results(answers.packets[before:], (offered - started).tolist())
    comparison.spikes(
        (answered - before, layer, step, word, bits) for answered, layer, step, word, bits in answers.spike_words()
    )
    counted = comparison.counted
    return VerificationResult(
        simulator=answers.simulator.name,
        simulator_version=answers.simulator.version,
        fingerprint=network.fingerprint,
        lanes=bundle.lanes,
        images=len(frames),
        spikes_compared=comparison.spikes_compared,
        spike_mismatches=counted["spike"] + counted["protocol"],
        score_mismatches=counted["score"] + counted["prediction"],
        counter_mismatches=counted["counter"],
        differences=tuple(comparison.differences),
        cycles=taken - started + 1,
        interval=float((taken[-1] - taken[0]) / (len(taken) - 1)) if len(taken) > 1 else None,
        cores=bundle.cores,
        activity=comparison.activity,
        layers=tuple(layer.name for layer in network.layers),
        layer_cycles=comparison.layer_cycles,
        stall=stall,
        seed=seed,
        clocks_per_second=answers.elapsed / answers.seconds,
        layer_spikes=comparison.layer_spikes,
        netlist=bundle.netlist,
    )
