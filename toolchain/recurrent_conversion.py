"""Recurrent source network → spiking network → integers: the recurrent half of ``toolchain.convert`` and ``quantize``."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from toolchain.errors import InvalidValue, UnsupportedModule
from toolchain.fixedpoint import round_half_up, weight_limit
from toolchain.ir import PIXEL_MAX
from toolchain.quantize import CLIPPINGS
from toolchain.recurrent import (
    FixedPointRecurrentLayer,
    FixedPointRecurrentNetwork,
    RecurrentLayer,
    RecurrentNetwork,
)
from toolchain.recurrent_source import RecurrentSource, ResidualThresholdReLU
from toolchain.train import pixels_to_input

__all__ = ["THRESHOLDS", "convert_recurrent", "quantize_recurrent"]

THRESHOLDS = ("trained", "largest")
"""θ of a layer: y_th of its source layer, or the largest activation that the calibration set reaches, at most y_th."""


def _read(module: nn.Module, name: str, weights: nn.Linear, inputs: int) -> RecurrentLayer:
    """A dense layer without threshold, shift and leak, its numbers checked."""
    weight = weights.weight.detach().double().numpy()
    bias = np.zeros(len(weight)) if weights.bias is None else weights.bias.detach().double().numpy()
    if weight.shape[1] != inputs:
        raise InvalidValue(f"layer {name} of {type(module).__name__} has {weight.shape[1]} inputs, its source {inputs}")
    return RecurrentLayer(name, weight, None, bias, np.zeros_like(bias), None)


def convert_recurrent(
    module: nn.Module,
    calibration: np.ndarray,
    time_steps: int = 8,
    *,
    schedule: str = "two_phase",
    shift: bool = True,
    threshold: str = "trained",
    tokens: int | None = None,
    name: str = "recurrent",
) -> RecurrentNetwork:
    """Convert a trained ``RecurrentSource``: W, b and τ copied, θ as ``threshold`` says, no reset between tokens.

    In ``two_phase`` the scores approach the source's as T grows. In ``stream``, the schedule of the method's table,
    they do not quite: a charge carried over its threshold fires before the token that would take it away has arrived.

    Parameters
    ----------
    calibration : uint8 [N, S, C]
        Sequences of pixels, what the source sees times 255.
    shift : bool
        Lend θ/2 to every membrane during a token (``toolchain.recurrent``).
    threshold : str
        One of ``THRESHOLDS``.
    tokens : int
        Longest sequence to run, ``None`` for that of ``calibration``.

    Raises
    ------
    UnsupportedModule
        The module is not a ``RecurrentSource`` of ``ResidualThresholdReLU``.
    InvalidValue
        Bad calibration data, schedule, T or threshold, NaN weights, or a layer that is silent on all of
        ``calibration`` (``largest``).
    """
    if not isinstance(module, RecurrentSource):
        raise UnsupportedModule(f"{type(module).__name__} is no recurrent source; train one with train_recurrent")
    if threshold not in THRESHOLDS:
        raise InvalidValue(f"no threshold {threshold!r}; there are {', '.join(THRESHOLDS)}")
    if calibration.ndim != 3 or 0 in calibration.shape or calibration.dtype != np.uint8:
        raise InvalidValue(
            f"calibration is {calibration.dtype} of shape {calibration.shape}, must be uint8 [N, S, C], each at least 1"
        )
    layers, width = [], calibration.shape[2]
    values = pixels_to_input(torch.tensor(calibration))
    for index, source in enumerate(module.layers):
        if not isinstance(source, ResidualThresholdReLU):
            raise UnsupportedModule(f"layers.{index} is a {type(source).__name__}, must be a ResidualThresholdReLU")
        layer = _read(module, f"layers.{index}", source.synapses, width)
        limit = source.activation.threshold
        if threshold == "largest":
            with torch.inference_mode():
                values = source(values)
            limit = min(limit, float(values.max()))
            if not limit > 0:
                raise InvalidValue(
                    f"layer {layer.name} is silent on all {len(calibration)} calibration sequences, its threshold "
                    "would be 0; give more sequences or take threshold trained"
                )
        theta = np.full(layer.channels, limit)
        layers.append(replace(layer, threshold=theta, shift=theta / 2 * shift, leak=source.leak))
        width = layer.channels
    layers.append(_read(module, "readout", module.readout, width))
    return RecurrentNetwork(
        name,
        calibration.shape[2],
        schedule,
        time_steps,
        calibration.shape[1] if tokens is None else tokens,
        tuple(layers),
        {"method": "optimal, recurrent", "shift": shift, "threshold": threshold, "calibration": len(calibration)},
        pixel_scale=1 / PIXEL_MAX,
    )


def _quantize_layer(
    layer: RecurrentLayer, worth: np.ndarray, biases: int, weight_bits: int, clipping: str
) -> FixedPointRecurrentLayer:
    """``worth`` [C_in] or [1]: what one input spike or pixel step stands for; ``biases``: how many b are added at once."""
    limit = weight_limit(weight_bits)
    weight, bias = layer.weight * worth, layer.bias * biases
    if layer.threshold is None:  # class scores compare, so they share one scale
        scale = np.repeat(CLIPPINGS[clipping](weight.reshape(1, -1), limit), layer.channels)
    else:
        scale = CLIPPINGS[clipping](weight, limit)
    # a channel without weights keeps its threshold and bias at any scale
    largest = np.abs(bias) if layer.threshold is None else np.maximum(np.abs(bias), layer.threshold)
    scale = np.where(scale > 0, scale, np.where(largest > 0, largest, 1.0) / limit)

    def integers(kind: str, values: np.ndarray) -> np.ndarray:
        if np.abs(values / scale).max() >= 2**31 - 1:
            raise InvalidValue(
                f"layer {layer.name}: {kind} {np.abs(values / scale).max():.3g} exceeds the limit of 31 bits: its weights "
                "are far smaller than its threshold or bias; retrain with weight decay on the bias"
            )
        return round_half_up(values / scale)

    threshold = None if layer.threshold is None else integers("threshold", layer.threshold)
    if threshold is not None and layer.threshold is not None and not (threshold > 0).all():
        channel = int(np.argmin(threshold))
        raise InvalidValue(
            f"layer {layer.name}: the threshold of channel {channel} rounds to 0 (θ/s = "
            f"{float((layer.threshold / scale)[channel]):.3g}, at least 0.5 needed); use more weight bits than {weight_bits}"
        )
    return FixedPointRecurrentLayer(
        layer.name,
        np.clip(round_half_up(weight / scale[:, None]), -limit, limit),
        threshold,
        integers("bias", bias),
        integers("shift", layer.shift),
        layer.leak,
    )


def quantize_recurrent(
    network: RecurrentNetwork, weight_bits: int = 8, *, clipping: str = "max"
) -> FixedPointRecurrentNetwork:
    """Integers for every weight, threshold, bias and shift, rounded half up, one scale a channel (readout: one in all).

    The leak stays as it is: it acts on membranes of any scale. ``two_phase`` rounds ``T·b``, ``stream`` b.

    Parameters
    ----------
    weight_bits : int
        2 to 16, sign included.
    clipping : str
        A name of ``toolchain.quantize.CLIPPINGS``.

    Raises
    ------
    InvalidValue
        Bits out of range, a threshold that rounds to 0, or a membrane beyond 32 bits; names the layer.
    """
    if type(weight_bits) is not int or not 2 <= weight_bits <= 16:
        raise InvalidValue(f"weight bits is {weight_bits}, must be 2 to 16")
    if clipping not in CLIPPINGS:
        raise InvalidValue(f"no clipping {clipping!r}; there are {', '.join(CLIPPINGS)}")
    layers: list[FixedPointRecurrentLayer] = []
    worth = np.array([network.pixel_scale])
    for layer in network.layers:
        biases = 1 if network.schedule == "stream" else network.time_steps
        layers.append(_quantize_layer(layer, worth, biases, weight_bits, clipping))
        if layer.threshold is not None:
            worth = layer.threshold
    return FixedPointRecurrentNetwork(
        network.name,
        network.inputs,
        network.schedule,
        network.time_steps,
        network.tokens,
        tuple(layers),
        {**network.provenance, "source_fingerprint": network.fingerprint, "clipping": clipping},
        weight_bits=weight_bits,
    )
