"""Max-norm: weights W·λ_in/λ_out with λ the largest activation of a layer, reset to zero.

Source: Diehl et al., "Fast-classifying, high-accuracy spiking deep networks through weight and threshold
balancing", IJCNN 2015, data-based normalization; as thresholds instead of weights, which is the same.
"""

from toolchain.convert.methods.method import Method, largest

__all__ = ["MAX_NORM"]

MAX_NORM = Method(largest, schedules=("stream",), negatives=("none",), resets=("zero", "subtract"), shift=False)
