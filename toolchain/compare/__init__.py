"""Several networks or settings side by side: accuracy, latency, energy bounds, size, and which are worth choosing."""

from toolchain.compare.candidates import Candidate, Settings, candidates_of, number_list
from toolchain.compare.conclusion import AXES, conclusion
from toolchain.compare.front import dominates, dominators, front
from toolchain.compare.measure import AGAINST, COLUMNS, Comparison, Measured, compare, runs
from toolchain.compare.size import CoreSize, core_size

__all__ = [
    "AGAINST",
    "AXES",
    "COLUMNS",
    "Candidate",
    "Comparison",
    "CoreSize",
    "Measured",
    "Settings",
    "candidates_of",
    "compare",
    "conclusion",
    "core_size",
    "dominates",
    "dominators",
    "front",
    "number_list",
    "runs",
]
