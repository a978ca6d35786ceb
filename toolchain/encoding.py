"""How often each pixel of a frame arrives, in the manner of the network's input."""

from typing import Any

import numpy as np

from toolchain.ir import Network
from toolchain.lfsr import random_bytes

__all__ = ["input_events", "rate_numbers"]


def rate_numbers(network: Network[Any]) -> np.ndarray:
    """Random numbers of ``rate``: a pixel spikes in step t if it exceeds its own; uint8 ``[T, C, H, W]``."""
    channels, height, width = network.input_shape
    steps, pixels = network.time_steps, channels * height * width
    numbers = random_bytes(network.seed, steps * pixels)
    by_step = numbers.reshape(steps, pixels) if network.schedule == "stream" else numbers.reshape(pixels, steps).T
    return np.ascontiguousarray(by_step.reshape(steps, height, width, channels).transpose(0, 3, 1, 2))


def input_events(network: Network[Any], frames: np.ndarray) -> np.ndarray:
    """Events of each pixel of uint8 frames ``[N, C, H, W]``, int64 of the same shape.

    ``direct``: 1 unless it is 0; ``bitplane``: its bits that are 1; ``rate``: its spikes.
    """
    if network.input == "direct":
        return (frames != 0).astype(np.int64)
    if network.input == "bitplane":
        return np.bitwise_count(frames).astype(np.int64)
    events = np.zeros(frames.shape, np.int64)
    for numbers in rate_numbers(network):
        events += frames > numbers
    return events
