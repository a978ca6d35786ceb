"""Spike-Norm: θ_l is the largest weighted input that one step brings when the layers before it already spike.

Source: Sengupta et al., "Going deeper in spiking neural networks: VGG and residual architectures",
Frontiers in Neuroscience 2019, algorithm 1. The weighted input includes the bias.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sim.passage import passages
from toolchain.convert.graph import Activation
from toolchain.convert.methods.method import Method, Options, changed, largest
from toolchain.convert.statistics import Observed
from toolchain.errors import InvalidValue
from toolchain.ir import PIXEL_INPUTS, SpikingNetwork

__all__ = ["NORM_STEPS", "SPIKE_NORM"]

NORM_STEPS = 100
"""Steps over which the largest weighted input is taken; a longer look can only find a larger one."""


def _balance(network: SpikingNetwork, observed: Observed, options: Options) -> SpikingNetwork:
    """Threshold after threshold, input to readout; memory does not grow with the calibration set."""
    for index, layer in enumerate(network.layers[:-1]):
        peak = 0.0
        for passage in passages(network.with_time_steps(NORM_STEPS), observed.frames, depth=index + 1):
            if passage.layer == index:
                peak = max(peak, float(passage.inputs.max()))
        if not peak > 0:
            raise InvalidValue(
                f"layer {layer.name!r} is not excited within {NORM_STEPS} steps while the layers before it spike, so its "
                "threshold would be 0; give more or other calibration images, or use method rmp"
            )
        network = changed(network, index, threshold=np.full(layer.channels, peak))
    return network


def _notes(activations: Sequence[Activation], options: Options) -> dict[str, Any]:
    return {"norm_steps": NORM_STEPS}


SPIKE_NORM = Method(
    largest,  # until the layer's own turn comes
    refine=_balance,
    inputs=PIXEL_INPUTS,
    notes=_notes,
    schedules=("stream",),
    negatives=("none",),
    resets=("zero", "subtract"),
    shift=False,
)
