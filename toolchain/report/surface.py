"""The break-even map: ANN over SNN at every T and spike rate, the line where it is 1, and where a network lies."""

from collections.abc import Sequence
from itertools import product
from math import ceil, floor, log10
from typing import Any

from toolchain.energy import ANN_POLICIES, SNN_POLICIES, BreakEven, EnergyReport

__all__ = ["RATES", "surface"]

RATES = 61
"""Rates of a row, evenly spaced in their logarithm."""
_LEAST, _MOST = 1e-4, 1e2


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """Whole decades around all positive ``values``, within bounds, two at least."""
    kept = [min(max(value, _LEAST), _MOST) for value in values if value > 0]
    low, high = floor(log10(min(kept))), ceil(log10(max(kept)))
    return float(min(low, high - 2)), float(high)


def _row(level: BreakEven, steps: int, rates: Sequence[float]) -> list[float | None]:
    costs = [level.e_fixed + rate * steps * level.e_synapse for rate in rates]
    return [level.e_ann / cost if cost > 0 else None for cost in costs]


def surface(reports: Sequence[EnergyReport]) -> dict[str, Any] | None:
    """As JSON values, for reports of one profile in the order of T; ``None`` without a baseline or without spikes.

    ``rate`` is σ/T, synaptic operations for each synapse and step. Along a row everything else is held at what was counted
    at that T, as σ* has it: ``ratio = e_ann / (e_fixed + T·rate·e_synapse)``, which is 1 at ``rate_star`` and the
    report's own at ``rate``.
    """
    reports = [report for report in reports if report.baseline is not None]
    levels = {
        f"{snn}/{ann}": [report.total.at(report.baseline, snn, ann) for report in reports]
        for snn, ann in product(SNN_POLICIES, ANN_POLICIES)
    }
    known = {pair: [level for level in found if level is not None] for pair, found in levels.items()}
    if not reports or not any(level.sigma > 0 for found in known.values() for level in found):
        return None
    steps = [report.network.time_steps for report in reports]
    values = [
        rate
        for found in known.values()
        for level, t in zip(found, steps, strict=True)
        for rate in (level.sigma / t, level.rate_star)
    ]
    low, high = _ends(values)
    rates = [10 ** (low + (high - low) * index / (RATES - 1)) for index in range(RATES)]
    return {
        "status": "estimated",
        "T": steps,
        "baseline": reports[0].baseline,
        "rates": rates,
        "pairs": {
            pair: {
                "ratio": [_row(level, t, rates) for level, t in zip(found, steps, strict=True)],
                "rate_star": [level.rate_star for level in found],
                "rate": [level.sigma / t for level, t in zip(found, steps, strict=True)],
                "own_ratio": [level.ratio for level in found],
            }
            for pair, found in known.items()
        },
    }
