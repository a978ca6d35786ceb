"""Training-free thresholds of each channel, θ_c ← θ_c + 2·mean((x − θ_c)+).

Source: inference-scale complexity conversion, 2024/25, as its description states it; a reconstruction.
"""

import numpy as np

from toolchain.convert.graph import Activation
from toolchain.convert.methods.method import Method, Options
from toolchain.convert.statistics import Distribution

__all__ = ["TRAINING_FREE"]

CLIPPED_SHARE = 0.02
MOST_ITERATIONS = 1000


def _expected_excess(activation: Activation, values: Distribution, options: Options) -> np.ndarray:
    threshold = np.zeros_like(values.largest)
    mean = values.excess(threshold)
    for _ in range(MOST_ITERATIONS):
        excess = values.excess(threshold)
        going = excess > CLIPPED_SHARE * mean
        if not going.any():
            break
        threshold = np.where(going, np.minimum(threshold + 2 * excess, values.largest), threshold)
    return np.where(values.largest > 0, threshold, values.largest.max())


TRAINING_FREE = Method(_expected_excess, histograms=True)
