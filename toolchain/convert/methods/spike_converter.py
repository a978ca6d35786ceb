"""SpikeConverter: an inverse-leaky neuron V ← 2V + Σ W x − θ s, integration and firing apart in time.

A reconstruction of SpikeConverter, AAAI 2022, from its abstract, with an inverse leak of 2.
"""

from toolchain.convert.methods.method import Method, largest

__all__ = ["SPIKE_CONVERTER"]

SPIKE_CONVERTER = Method(
    largest, schedules=("radix",), negatives=("none",), resets=("subtract",), inputs=("direct", "bitplane", "spikes")
)
