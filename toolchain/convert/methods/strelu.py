"""stReLU: a symmetric threshold ReLU becomes a neuron that fires either sign.

- ``strelu``: thresholds ±θ, V(0) = 0, since half a threshold would favour one sign; the level is cut off towards
  0. A reconstruction of Machine Intelligence Research 20(3), 2023, from its description.
- ``strelu_floor``: ours. Fires −1 below 0 instead of at −θ, with V(0) = θ/2, so that the level is the nearest one
  on both sides of 0: ⌊V/θ + ½⌋.
"""

from toolchain.convert.methods.method import Method, trained

__all__ = ["STRELU", "STRELU_FLOOR"]

STRELU = Method(trained, activations=("strelu",), negatives=("symmetric",), resets=("subtract",), shift=False)
STRELU_FLOOR = Method(
    trained,
    activations=("strelu",),
    schedules=("two_phase", "stream"),
    negatives=("floor",),
    resets=("subtract",),
    shift=True,
)
