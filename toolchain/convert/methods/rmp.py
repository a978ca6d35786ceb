"""RMP, residual membrane potential: threshold balancing with a reset by subtraction.

Source: Han et al., "RMP-SNN: residual membrane potential neuron for enabling deeper high-accuracy and
low-latency spiking neural network", CVPR 2020.
"""

from toolchain.convert.methods.method import Method, largest

__all__ = ["RMP"]

RMP = Method(largest, schedules=("stream",), negatives=("none",), resets=("subtract",), shift=False)
