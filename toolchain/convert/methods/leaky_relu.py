"""LeakyReLU as a neuron with two thresholds: θ above 0 and θ⁻ = θ/slope below.

A spike is worth ±θ, and |x|/θ⁻ negative ones a step make −slope·|x|. θ is the trained limit, or the largest
magnitude of an activation; V(0) = 0, since half a threshold would favour one sign. The comparator that stReLU
is measured against in Machine Intelligence Research 20(3), 2023; a reconstruction from its description.
"""

import numpy as np

from toolchain.convert.graph import Activation
from toolchain.convert.methods.method import Method, Options
from toolchain.convert.statistics import Distribution

__all__ = ["LEAKY_RELU"]


def _threshold(activation: Activation, values: Distribution, options: Options) -> np.ndarray:
    return np.full(values.largest.shape, activation.limit or values.magnitude)


def _below(activation: Activation, values: Distribution, options: Options) -> np.ndarray:
    assert activation.slope is not None
    return _threshold(activation, values, options) / activation.slope


LEAKY_RELU = Method(
    _threshold, _below, activations=("leaky",), negatives=("asymmetric",), resets=("subtract",), shift=False
)
