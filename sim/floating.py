"""Float simulation of a spiking network: what conversion costs before any integer is chosen."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sim.golden import check_frames
from toolchain.ir import SpikingLayer, SpikingNetwork

__all__ = ["accuracy", "run"]

_BATCH = 100


def _drive(layer: SpikingLayer, inputs: list[Tensor]) -> Tensor:
    """Weighted input of one presentation, pooling as a plain average scaled back to a sum."""
    total: Tensor | None = None
    for connection, x in zip(layer.connections, inputs, strict=True):
        window = connection.pool[0] * connection.pool[1]
        pooled = F.avg_pool2d(x, connection.pool, divisor_override=1) if window > 1 else x
        part = F.conv2d(
            pooled, torch.tensor(connection.weight).float(), stride=connection.stride, padding=connection.padding
        )
        total = part if total is None else total + part
    assert total is not None
    return total


def _channel(values: np.ndarray) -> Tensor:
    return torch.tensor(values).float()[:, None, None]


def _fire_at_once(network: SpikingNetwork, membrane: Tensor, threshold: Tensor) -> Tensor:
    """Value of the spike train that ``two_phase`` or ``radix`` makes of a membrane (closed forms of design, section 3)."""
    symmetric = network.negative == "symmetric"
    quotient = (membrane.abs() if symmetric else membrane) / threshold
    value = quotient.floor() if network.compare == "ge" else quotient.ceil() - 1
    value = value.clamp(0, network.levels)
    return value * membrane.sign() if symmetric else value


def _fire(network: SpikingNetwork, membrane: Tensor, threshold: Tensor, total: Tensor) -> Tensor:
    """One firing of ``stream``: spikes, taken off ``membrane`` in place; ``total`` is the sum of all before."""
    reached = torch.ge if network.compare == "ge" else torch.gt
    spikes = reached(membrane, threshold).float()
    if network.negative == "symmetric":
        spikes -= reached(-membrane, threshold).float()
    elif network.negative == "correcting":
        spikes -= ((membrane < 0) & (total > 0)).float()
    if network.reset == "zero":
        membrane *= 1 - spikes
    else:
        membrane -= spikes * threshold
    return spikes


def _run_batch(network: SpikingNetwork, pixels: Tensor) -> Tensor:
    """Class scores, a mean over levels; spikes travel as their thresholds' worth."""
    steps, stream = (network.time_steps, True) if network.schedule == "stream" else (network.levels, False)
    outputs: list[Tensor] = []  # stream: [T, N, C, H, W], otherwise [N, C, H, W] summed over levels
    for layer in network.layers:
        reads_frame = network.reads_frame(layer)
        current = _channel(layer.bias)
        sources = [pixels if reads_frame else outputs[c.source] for c in layer.connections]
        threshold = None if layer.threshold is None else _channel(layer.threshold)
        if not stream:
            drive = _drive(layer, sources) * (steps if reads_frame else 1)
            membrane = drive + steps * current + _channel(layer.initial)
            if threshold is None:
                return membrane.flatten(1) / steps
            outputs.append(_fire_at_once(network, membrane, threshold) * threshold)
            continue
        drives = [_drive(layer, sources if reads_frame else [s[t] for s in sources]) + current for t in range(steps)]
        membrane = _channel(layer.initial).expand_as(drives[0]).clone()
        if threshold is None:
            return (membrane + torch.stack(drives).sum(dim=0)).flatten(1) / steps
        train, total = [], torch.zeros_like(membrane)
        for drive in drives:
            membrane += drive
            train.append(_fire(network, membrane, threshold, total))
            total += train[-1]
        outputs.append(torch.stack(train) * threshold)
    raise AssertionError("a network ends with a readout")


def run(network: SpikingNetwork, frames: np.ndarray, *, progress: Callable[[int], None] | None = None) -> np.ndarray:
    """Class scores of uint8 frames ``[N, C, H, W]`` after T steps, float32 ``[N, classes]``.

    In float32, step by step in ``stream``, by closed form elsewhere; scores are on the scale of the source network.

    Raises
    ------
    InvalidValue
        Frames of the wrong type or shape.
    """
    check_frames(frames, network.input_shape)
    with torch.inference_mode():
        scores = []
        for part in torch.tensor(frames).split(_BATCH):
            scores.append(_run_batch(network, part.float() * network.pixel_scale))
            if progress:
                progress(len(part))
    return torch.cat(scores).numpy()


def accuracy(
    network: SpikingNetwork,
    frames: np.ndarray,
    labels: np.ndarray,
    *,
    progress: Callable[[int], None] | None = None,
) -> float:
    """Share of right predictions in per cent; ``labels`` int64 ``[N]``."""
    return 100 * float((run(network, frames, progress=progress).argmax(axis=1) == labels).mean())
