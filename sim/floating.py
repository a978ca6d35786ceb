"""Float simulation of a spiking network: what conversion costs before any integer is chosen."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sim.golden import check_frames
from toolchain.ir import INPUT, SpikingLayer, SpikingNetwork

__all__ = ["run"]

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


def _run_batch(network: SpikingNetwork, pixels: Tensor) -> Tensor:
    """Each layer's mean output a step, in units of activation; scores are a mean over steps too."""
    steps = network.time_steps
    trains: list[Tensor] = []  # [T, N, C, H, W], a spike worth its threshold
    for layer in network.layers:
        current = _channel(layer.bias)
        if layer.connections[0].source == INPUT:
            drives = [_drive(layer, [pixels]) + current] * steps
        else:
            drives = [_drive(layer, [trains[c.source][t] for c in layer.connections]) + current for t in range(steps)]
        membrane = _channel(layer.initial).expand_as(drives[0]).clone()
        if layer.threshold is None:
            return (membrane + torch.stack(drives).sum(dim=0)).flatten(1) / steps
        threshold = _channel(layer.threshold)
        if network.schedule == "two_phase":
            membrane += torch.stack(drives).sum(dim=0)
        train = []
        for t in range(steps):
            if network.schedule == "stream":
                membrane += drives[t]
            spikes = (membrane >= threshold).float() * threshold
            membrane -= spikes
            train.append(spikes)
        trains.append(torch.stack(train))
    raise AssertionError("a network ends with a readout")


def run(network: SpikingNetwork, frames: np.ndarray) -> np.ndarray:
    """Class scores of uint8 frames ``[N, C, H, W]`` after T steps, float32 ``[N, classes]``.

    Steps are simulated one by one in float32; scores are on the scale of the source network.

    Raises
    ------
    InvalidValue
        Frames of the wrong type or shape.
    """
    check_frames(frames, network.input_shape)
    with torch.inference_mode():
        parts = torch.tensor(frames).split(_BATCH)
        scores = [_run_batch(network, part.float() * network.pixel_scale) for part in parts]
    return torch.cat(scores).numpy()
