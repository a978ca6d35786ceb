"""What a frame is and how often each place of it arrives, in the manner of the network's input."""

from typing import Any

import numpy as np

from toolchain.errors import InvalidValue
from toolchain.ir import PIXEL_MAX, Network
from toolchain.lfsr import random_bytes

__all__ = ["check_frames", "input_events", "input_values", "rate_numbers"]


def check_frames(frames: np.ndarray, network: Network[Any]) -> None:
    """Refuse what is not at least one frame of the network's input.

    uint8 ``[N, C, H, W]`` pixels; for input ``spikes`` int8 ``[N, T, C, H, W]`` of 0 and 1, and −1 where the
    network's spikes have a sign.
    """
    shape = network.frame_shape
    if network.input == "spikes":
        if frames.dtype != np.int8:
            raise InvalidValue(
                f"frames are {frames.dtype}, must be int8 spikes of 0 and 1: the network's input is spikes; "
                "--data events, or a file of spikeloom bin, has such"
            )
        form, sizes = "[N, T, C, H, W]", "(T, C, H, W)"
    else:
        if frames.dtype != np.uint8:
            raise InvalidValue(f"frames are {frames.dtype}, must be uint8 pixels of 0 to {PIXEL_MAX}")
        form, sizes = "[N, C, H, W]", "(C, H, W)"
    if frames.ndim != 1 + len(shape) or frames.shape[1:] != shape:
        raise InvalidValue(f"frames have shape {frames.shape}, must be {form} with {sizes} = {shape}")
    if len(frames) == 0:
        raise InvalidValue("there is no frame to run, at least 1 is needed")
    if network.input == "spikes":
        low, high = int(frames.min()), int(frames.max())
        least = -1 if network.signed_spikes else 0
        if low < least or high > 1:
            raise InvalidValue(
                f"frames hold {low if low < least else high}, spikes must be {least} to 1: one spike a step at most"
                + ("" if network.signed_spikes or low >= 0 else ", none negative with negative none")
            )


def input_values(network: Network[Any], frames: np.ndarray) -> np.ndarray:
    """What frames say of each place, float32 ``[N, C, H, W]``: pixels; of spikes the value of the train over ``levels``.

    Times ``pixel_scale``, the input of the network that a spiking one was converted from.
    """
    if network.input != "spikes":
        return frames.astype(np.float32)
    steps = np.arange(network.time_steps)[::-1] if network.schedule == "radix" else np.zeros(network.time_steps)
    found: np.ndarray = np.einsum("ntchw,t->nchw", frames.astype(np.float64), 2.0**steps) / network.levels
    return found.astype(np.float32)


def rate_numbers(network: Network[Any]) -> np.ndarray:
    """Random numbers of ``rate``: a pixel spikes in step t if it exceeds its own; uint8 ``[T, C, H, W]``."""
    channels, height, width = network.input_shape
    steps, pixels = network.time_steps, channels * height * width
    numbers = random_bytes(network.seed, steps * pixels)
    by_step = numbers.reshape(steps, pixels) if network.schedule == "stream" else numbers.reshape(pixels, steps).T
    return np.ascontiguousarray(by_step.reshape(steps, height, width, channels).transpose(0, 3, 1, 2))


def input_events(network: Network[Any], frames: np.ndarray) -> np.ndarray:
    """Events of each place of frames as ``check_frames`` wants them, int64 ``[N, C, H, W]``.

    ``direct``: 1 unless the pixel is 0; ``bitplane``: its bits that are 1; ``rate``, ``spikes``: its spikes.
    """
    if network.input == "spikes":
        return np.abs(frames).sum(axis=1, dtype=np.int64)
    if network.input == "direct":
        return (frames != 0).astype(np.int64)
    if network.input == "bitplane":
        return np.bitwise_count(frames).astype(np.int64)
    events = np.zeros(frames.shape, np.int64)
    for numbers in rate_numbers(network):
        events += frames > numbers
    return events
