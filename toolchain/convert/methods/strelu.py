"""stReLU: a symmetric threshold ReLU becomes a neuron that fires either sign.

Thresholds ±θ, V(0) = 0, since half a threshold would favour one sign. A reconstruction of Machine
Intelligence Research 20(3), 2023, from its description.
"""

from toolchain.convert.methods.method import Method, trained

__all__ = ["STRELU"]

STRELU = Method(trained, activations=("strelu",), negatives=("symmetric",), resets=("subtract",), shift=False)
