"""QCFS: the quantized activation that a ``two_phase`` neuron computes exactly.

Source: Bu et al., "Optimal ANN-SNN conversion for high-accuracy and ultra-low-latency spiking neural
networks", ICLR 2022, theorem 2: θ = λ, V(0) = θ/2. With T = L and ``two_phase`` the spiking layer is the
activation itself.
"""

from toolchain.convert.methods.method import Method, trained

__all__ = ["QCFS"]

QCFS = Method(trained, activations=("qcfs", "quantized"), shift=True)
