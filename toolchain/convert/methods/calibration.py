"""Calibration: thresholds by squared error, then biases and start potentials that undo the error that is left.

Source: Li et al., "A free lunch from ANN: towards efficient, accurate spiking neural networks calibration",
ICML 2021: per channel the best of 95 thresholds, bias correction (light pipeline), initial potential.
All of it is for one T, which the provenance names as ``calibrated_for``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sim.passage import passages
from toolchain.convert.graph import Activation
from toolchain.convert.methods.method import Method, Options, changed
from toolchain.convert.statistics import Distribution, Observed
from toolchain.ir import PIXEL_INPUTS, SpikingNetwork

__all__ = ["CALIBRATION", "CANDIDATES"]

CANDIDATES = 1 - 0.01 * np.arange(95)
"""Thresholds that are tried, as shares of a channel's largest activation."""


def _least_error(activation: Activation, values: Distribution, options: Options) -> np.ndarray:
    """θ_c whose T levels ``θ·clip(⌊xT/θ + shift⌋/T, 0, 1)`` lie nearest to the activations.

    A channel that is silent on the calibration set takes the layer's largest activation.
    """
    best = np.where(values.largest > 0, values.largest, values.largest.max())
    widest, least = best, np.full(best.shape, np.inf)
    for share in CANDIDATES:
        threshold = share * widest
        error = values.quantization_error(threshold, options.time_steps, 0.5 if options.shift else 0.0)
        best, least = np.where(error < least, threshold, best), np.minimum(error, least)
    return best


def _mean_output(network: SpikingNetwork, frames: np.ndarray, index: int) -> np.ndarray:
    """Mean over images and places of what a layer gives, on the source's scale, float64 ``[C]``."""
    layer = network.layers[index]
    total = np.zeros(layer.channels)
    for passage in passages(network, frames, depth=index + 1):
        if passage.layer == index:
            given = passage.inputs if passage.spikes is None else passage.spikes
            total += given.numpy().sum(axis=(0, 1, 3, 4), dtype=np.float64)
    places = len(frames) * network.shapes[index][1] * network.shapes[index][2]
    if layer.threshold is None:
        return (total / places + layer.initial) / network.levels
    return layer.threshold * total / places / network.levels


def _correct(network: SpikingNetwork, observed: Observed, options: Options) -> SpikingNetwork:
    """b += mean(ANN) − mean(SNN), then V(0) += T·(the difference that is left), per channel and layer by layer.

    The layers before already spike, corrected. The readout, whose scores are linear in b, needs no second turn.
    """
    for index, layer in enumerate(network.layers):
        missing = observed.means[index] - _mean_output(network, observed.frames, index)
        network = changed(network, index, bias=layer.bias + missing)
        if layer.threshold is not None:
            missing = observed.means[index] - _mean_output(network, observed.frames, index)
            network = changed(network, index, initial=layer.initial + network.time_steps * missing)
    return network


def _notes(activations: Sequence[Activation], options: Options) -> dict[str, Any]:
    return {"calibrated_for": options.time_steps}


CALIBRATION = Method(
    _least_error,
    refine=_correct,
    inputs=PIXEL_INPUTS,
    notes=_notes,
    schedules=("stream", "two_phase"),
    resets=("subtract",),
    histograms=True,
    for_one_t=True,
)
