"""Robust norm: θ is the 99.9th percentile of a layer's activations, so that single large ones do not rule.

Source: Rueckauer et al., "Conversion of continuous-valued deep networks to efficient event-driven networks
for image classification", Frontiers in Neuroscience 2017.
"""

import numpy as np

from toolchain.convert.graph import Activation
from toolchain.convert.methods.method import Method, Options
from toolchain.convert.statistics import Distribution

__all__ = ["ROBUST_NORM"]


def _percentile(activation: Activation, values: Distribution, options: Options) -> np.ndarray:
    assert options.percentile is not None
    return values.percentile(options.percentile, per_channel=False)


ROBUST_NORM = Method(_percentile, histograms=True, percentile=99.9)
