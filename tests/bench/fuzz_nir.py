"""``python tests/bench/fuzz_nir.py REPORT.md``: spoil 9,000 NIR graphs and 1,000 files, and report what became of them.

A case fails if it raises anything but a one-line error, takes longer than 30 s, or needs more than 6 GiB.
"""

import argparse
import platform
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import h5py
import nir

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.nir_mutations import outcome_of_file, outcome_of_graph

SECONDS, MEMORY = 30, 6 << 30


def campaign(cases: int, run: Callable[[int], str]) -> tuple[Counter[str], list[str], float]:
    """Outcomes, failures, and the seconds of the slowest case."""
    outcomes: Counter[str] = Counter()
    failures, slowest = [], 0.0
    for seed in range(cases):
        begin = time.perf_counter()
        signal.alarm(SECONDS)
        try:
            outcomes[run(seed)] += 1
        except BaseException as error:  # whatever it is, it is a failure of this seed
            failures.append(f"seed {seed}: {type(error).__name__}: {str(error)[:120]}")
        finally:
            signal.alarm(0)
        slowest = max(slowest, time.perf_counter() - begin)
    return outcomes, failures, slowest


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--graphs", type=int, default=9000)
    parser.add_argument("--files", type=int, default=1000)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")  # overflow in arrays of 1e300, which are then refused
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    outcome_of_graph(0)  # files of the sound graphs are written once
    with tempfile.TemporaryDirectory() as folder:
        parts = {
            "graphs": (chosen.graphs, campaign(chosen.graphs, outcome_of_graph)),
            "files": (chosen.files, campaign(chosen.files, lambda seed: outcome_of_file(seed, Path(folder)))),
        }
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    rows = [
        f"| {name} | {cases:,} | {outcomes['network']:,} | {sum(outcomes.values()) - outcomes['network']:,} | {len(failed)} | {slowest:.1f} |"
        for name, (cases, (outcomes, failed, slowest)) in parts.items()
    ]
    failures = [line for _, (_, failed, _) in parts.values() for line in failed]
    lines = [
        "# Spoilt NIR graphs and files (measured)",
        "",
        "    python tests/bench/fuzz_nir.py reports/interchange/fuzz.md",
        "",
        "Seeds from 0. A graph has one to four nodes, edges or values spoilt and is imported in the process; what imports is",
        "also quantized, exported and imported again. A file has 1 to 256 bytes changed, is cut or has a part doubled, and goes",
        "through `spikeloom import`. A valid network or one clear line is right; anything else, more than 30 s or 6 GiB is wrong.",
        "",
        "| what | cases | valid network | refused in one line | wrong | slowest, s |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        f"Largest resident memory of this process or a reading one: {peak >> 10} MiB. nir {nir.version}, h5py {h5py.__version__}, "
        f"HDF5 {h5py.version.hdf5_version}, Python {platform.python_version()}.",
        *(["", "Wrong:", "", *(f"- {line}" for line in failures)] if failures else []),
    ]
    chosen.report.parent.mkdir(parents=True, exist_ok=True)
    chosen.report.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
