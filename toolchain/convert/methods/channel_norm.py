"""Channel norm: θ_c is a percentile of each channel's own activations.

Source: Kim et al., "Spiking-YOLO: spiking neural network for energy-efficient object detection", AAAI 2020,
channel-wise normalization.
"""

import numpy as np

from toolchain.convert.graph import Activation
from toolchain.convert.methods.method import Method, Options
from toolchain.convert.statistics import Distribution

__all__ = ["CHANNEL_NORM"]


def _channel_percentile(activation: Activation, values: Distribution, options: Options) -> np.ndarray:
    """A channel that is silent on the calibration set takes the layer's percentile."""
    assert options.percentile is not None
    own = values.percentile(options.percentile, per_channel=True)
    return np.where(values.largest > 0, own, values.percentile(options.percentile, per_channel=False))


CHANNEL_NORM = Method(_channel_percentile, histograms=True, percentile=99.9)
