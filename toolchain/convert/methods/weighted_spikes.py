"""Weighted spikes: a spike's worth halves with each phase, and 8 phases carry an 8-bit pixel as its bits.

Source: Kim et al., "Deep neural networks with weighted spikes", Neurocomputing 2018. Here one period, and a
layer waits for the whole period of the one before it; θ = largest activation.
"""

from toolchain.convert.methods.method import Method, largest

__all__ = ["WEIGHTED_SPIKES"]

WEIGHTED_SPIKES = Method(
    largest,
    schedules=("radix",),
    negatives=("none",),
    resets=("subtract",),
    inputs=("bitplane", "direct", "spikes"),
    time_steps=8,
    shift=False,
)
