"""Quantized ReLU with negative spikes that take back what was fired too early.

θ is the trained limit, or the largest activation of a source that is not quantized; with T = L the spikes of a
neuron then sum to the level that the source quantized to, but for what arrives after the last step.

- ``fast_snn``: fires −1 below 0, V(0) = θ/2, so that levels are rounded to nearest. Source: Hu et al.,
  "Fast-SNN: fast spiking neural network by converting quantized ANN", IEEE TPAMI 2023.
- ``snm``: fires −1 at −θ, V(0) = 0. Source: Wang et al., "Signed neuron with memory: towards simple,
  accurate and high-efficient ANN-SNN conversion", IJCAI 2022.
- ``ca_lif``: fires −1 below 0 while its calcium, the sum of its spikes, is above 0. A reconstruction of
  Ca-LIF, Frontiers in Neuroscience 2023, from its description; V(0) = θ/2 is our choice, since its source
  rounds, and makes it the neuron of ``fast_snn``.
"""

import numpy as np

from toolchain.convert.graph import Activation
from toolchain.convert.methods.method import Method, Options, largest, trained
from toolchain.convert.statistics import Distribution

__all__ = ["CA_LIF", "FAST_SNN", "SNM"]


def _limit(activation: Activation, values: Distribution, options: Options) -> np.ndarray:
    return (largest if activation.limit is None else trained)(activation, values, options)


FAST_SNN = Method(_limit, schedules=("stream",), negatives=("correcting",), resets=("subtract",), shift=True)
CA_LIF = Method(_limit, schedules=("stream",), negatives=("correcting",), resets=("subtract",), shift=True)
SNM = Method(_limit, schedules=("stream",), negatives=("memory",), resets=("subtract",), shift=False)
