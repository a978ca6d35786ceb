"""TSC, temporal switch coding: one spike switches a synaptic current on, a second one switches it off.

A reconstruction of Han & Roy, "Deep spiking neural network: energy efficiency through time based coding",
ECCV 2020, from its description; θ = largest activation. It needs a second integrator in every neuron and so
exists in floating point only.
"""

from toolchain.convert.methods.method import Method, largest

__all__ = ["TSC"]

TSC = Method(
    largest,
    schedules=("switched",),
    negatives=("none",),
    resets=("subtract",),
    inputs=("direct",),
    shift=False,
)
