"""What shifts and adders make of a leak: β from 0.5 to 0.99, as CSV.

    python tests/bench/leak_rounding.py reports/interchange/leaks.csv

For each β the decay of up to three signed powers of two that ``quantize`` chooses, the errors of β and of the time constant
τ = −1/ln β, and what that and rounding down cost a neuron: 2,000 neurons for 200 steps, each with integer inputs of its own, the
same for both, that are as often below 0 as their drive of a third to three times ``θ·(1 − β)`` a step lets them be. One neuron
leaks in float64 by β, the other by shifts; both are reset by subtraction before they leak. ``steps_that_differ`` is the share of steps in which one
fires and the other does not, ``spikes`` and ``spikes_shifts`` are spikes a step, for each θ.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from toolchain.leak import Decay
from toolchain.netfile import replacing
from toolchain.quantize import LeakError

SHARES = (*(round(0.5 + 0.05 * number, 2) for number in range(10)), 0.98, 0.99)
THRESHOLDS = (100, 1000)
NEURONS, STEPS = 2000, 200


def decayed(decay: Decay, membrane: np.ndarray) -> np.ndarray:
    """decay(V), int64 of any shape."""
    off = sum((membrane >> shift for shift in decay.taken), np.zeros_like(membrane))
    return membrane - off + sum((membrane >> shift for shift in decay.given_back), np.zeros_like(membrane))


def compared(share: float, threshold: int) -> dict[str, float]:
    """Spikes a step of the float neurons and of those of shifts, and the share of steps that differ, in per cent."""
    rng, decay = np.random.default_rng(1), Decay.nearest(share)
    drive = threshold * (1 - share) * rng.uniform(1 / 3, 3, NEURONS)
    exact, shifted = np.zeros(NEURONS), np.zeros(NEURONS, np.int64)
    fired = np.zeros((2, STEPS, NEURONS), bool)
    for step in range(STEPS):
        arriving = rng.normal(drive, drive).round().astype(np.int64)
        exact, shifted = exact * share + arriving, decayed(decay, shifted) + arriving
        fired[:, step] = exact >= threshold, shifted >= threshold
        exact, shifted = exact - threshold * fired[0, step], shifted - threshold * fired[1, step]
    mean = fired.mean(axis=(1, 2))
    names = ("spikes", "spikes_shifts", "steps_that_differ_percent")
    values = (mean[0], mean[1], 100 * (fired[0] != fired[1]).mean())
    return {f"{name}_at_{threshold}": round(float(value), 4) for name, value in zip(names, values, strict=True)}


def main(target: Path) -> None:
    """A row for each β."""
    rows = []
    for share in SHARES:
        error = LeakError.of("", share)
        rows.append(
            {
                "beta": share,
                "terms": Decay(error.terms).text(),
                "beta_shifts": error.share,
                "error": round(error.error, 8),
                "tau": round(error.time_constant, 4),
                "tau_shifts": round(error.time_constant_kept, 4),
                "tau_error_percent": round(100 * (error.time_constant_kept / error.time_constant - 1), 3),
                "rounding_a_step": round(error.rounding, 4),
                "adders": Decay(error.terms).adders,
                **{name: value for threshold in THRESHOLDS for name, value in compared(share, threshold).items()},
            }
        )
    with replacing(target) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
