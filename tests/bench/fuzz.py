"""``python tests/bench/fuzz.py REPORT.md [nir onnx network]``: spoil 10,000 files of each kind, and report what became of them.

A case fails if it raises anything but a one-line error, kills its process, takes longer than 120 s, or needs more than 6 GiB.
Cases run in a process of their own, which is started again behind one that it did not survive.
"""

import argparse
import os
import platform
import resource
import select
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests import network_mutations, nir_mutations, onnx_mutations
from toolchain import tools
from toolchain.interchange import hdf5_child

SECONDS, MEMORY = 120, 6 << 30

Case = Callable[[int, Path], str]
PARTS: dict[str, dict[str, tuple[int, Case]]] = {
    "nir": {
        "graphs": (7000, lambda seed, folder: nir_mutations.outcome_of_graph(seed)),
        "files": (3000, nir_mutations.outcome_of_file),
    },
    "onnx": {"graphs": (7000, onnx_mutations.outcome_of_graph), "files": (3000, onnx_mutations.outcome_of_file)},
    "network": {
        "contents": (7000, network_mutations.outcome_of_contents),
        "files": (3000, network_mutations.outcome_of_file),
    },
}
"""For each kind its parts: how many cases, and what gives the outcome of a seed in an empty folder."""


@dataclass
class Found:
    """What became of the cases of one part; ``memory`` in KiB."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0
    memory: int = 0


def _forked(arguments: Sequence[str | Path], *, seconds: float, environment: dict[str, str]) -> int | None:
    """``toolchain.tools.run_limited`` for ``hdf5_child`` without starting an interpreter."""
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os._exit(hdf5_child.main(*map(str, arguments[3:])))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _serve(case: Case, seeds: range, pipe: int, folder: Path) -> None:
    """Run cases within the limits and tell each outcome as a line; never returns."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")  # overflow in arrays of 1e300, which are then refused
    tools.run_limited = _forked
    for seed in seeds:
        try:
            line = f"ok {case(seed, folder)}"
        except BaseException as error:  # whatever it is, it is a failure of this seed
            line = f"wrong {type(error).__name__}: {' '.join(str(error).split())[:120]}"
        os.write(pipe, f"{line}\n".encode())
    os._exit(0)


def _lines(pipe: int) -> "list[str] | None":
    """The next lines, none at the end, ``None`` when time is up."""
    ready, _, _ = select.select([pipe], [], [], SECONDS)
    return os.read(pipe, 65536).decode(errors="replace").splitlines() if ready else None


def campaign(case: Case, cases: int, folder: Path) -> Found:
    """Run the seeds from 0, each in a process with limits."""
    found, seed = Found(), 0
    while seed < cases:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            _serve(case, range(seed, cases), writing, folder)
        os.close(writing)
        begin = time.perf_counter()
        while lines := _lines(reading):
            for line in lines:
                kind, _, what = line.partition(" ")
                if kind == "ok":
                    found.outcomes[what] += 1
                else:
                    found.failures.append(f"seed {seed}: {what}")
                seed += 1
            now = time.perf_counter()
            begin, found.slowest = now, max(found.slowest, now - begin)
        late = lines is None
        if late:
            os.kill(child, signal.SIGKILL)
        _, status, usage = os.wait4(child, 0)
        found.memory = max(found.memory, usage.ru_maxrss)
        os.close(reading)
        if seed < cases:  # the one that it did not survive
            told = f"longer than {SECONDS} s" if late else f"exit code {os.waitstatus_to_exitcode(status)}"
            found.failures.append(f"seed {seed}: {told}")
            seed += 1
    return found


def _row(kind: str, part: str, cases: int, found: Found) -> str:
    network, crashed, hung = (found.outcomes[name] for name in ("network", "crashed", "hung"))
    refused = found.outcomes.total() - network
    return (
        f"| {kind} {part} | {cases:,} | {network:,} | {refused:,} | {crashed} | {hung} | {len(found.failures)} | "
        f"{found.slowest:.1f} | {found.memory >> 10} |"
    )


TEXT = """# Spoilt NIR graphs, ONNX models and network files (measured)

    python tests/bench/fuzz.py reports/interchange/fuzz.md

Seeds from 0. A valid network or one clear line is right; anything else, a process that dies, more than 120 s or 6 GiB is wrong, and so
are Python's warnings in reading, converting and quantizing ONNX models and in quantizing network files.

- NIR: a graph has one to four nodes, edges or values spoilt (groups, dilations and joins among them) and is imported; what imports is also
  quantized, exported and imported again. A file has 1 to 256 bytes changed, is cut or has a part doubled, and goes through
  `spikeloom import`. The process that reads a file is forked here, not started anew, under the same limits; the normal suite starts it.
- ONNX: a model has one to four nodes, attributes, tensors or declarations spoilt (operators of all kinds, cycles, names that stand twice, huge
  sizes, external data elsewhere); one in 500 is a bomb: nested 3,000 deep, millions of fields, constants that double, sums added
  to themselves, huge frames or padding. What is read must compute what `onnx.reference` computes, where that runs, and is converted and
  quantized; `toolchain.onnx.problems` must list what is refused. Files as above, a tenth of them through `spikeloom convert`.
- Network files: one to four members of the header or arrays spoilt, and checksum and fingerprint made right again, as a forger would; read
  as network and as source of `spikeloom train`. What is read must write, read back the same and, where small, run. Files as above, a tenth
  through `spikeloom quantize`; the checksum refuses most.

| what | cases | valid network | refused in one line | HDF5 crashed | HDF5 hung | wrong | slowest, s | memory, MiB |
|---|---|---|---|---|---|---|---|---|
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("kinds", nargs="*", choices=[*PARTS, []], help="all by default; rows of others are kept")
    parser.add_argument("--cases", type=int, help="of each part, to try it out")
    chosen = parser.parse_args()
    kept = chosen.report.read_text().splitlines() if chosen.report.exists() else []
    rows, failures = [], []
    for kind, parts in PARTS.items():
        if chosen.kinds and kind not in chosen.kinds:
            rows += [line for line in kept if line.startswith(f"| {kind} ")]
            continue
        for part, (usual, case) in parts.items():
            cases = usual if chosen.cases is None else chosen.cases
            with tempfile.TemporaryDirectory() as folder:
                case(0, Path(folder))  # what all cases share is made once
                found = campaign(case, cases, Path(folder))
            rows.append(_row(kind, part, cases, found))
            failures += [f"- {kind} {part}, {line}" for line in found.failures]
            print(rows[-1], *found.failures, sep="\n", flush=True)
    names = ("nir", "h5py", "onnx", "protobuf", "safetensors", "torch")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    lines = [
        *rows,
        "",
        f"{versions}, Python {platform.python_version()}.",
        *(["", "Wrong:", "", *failures] if failures else []),
    ]
    chosen.report.parent.mkdir(parents=True, exist_ok=True)
    chosen.report.write_text(TEXT + "\n".join(lines) + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
