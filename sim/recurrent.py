"""Vectorized simulation of recurrent spiking networks: in floating point, and bit-exact in integers.

Both go layer by layer, since no layer reads a later one, and keep each layer's charge from token to token. The
equations are those of ``toolchain.recurrent``; integers are int64 throughout, where a proven 32-bit membrane and the
sums that make it cannot overflow.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from toolchain.recurrent import FixedPointRecurrentNetwork, RecurrentLayer, RecurrentNetwork, RecurrentTrace

__all__ = ["accuracy", "run", "run_float"]


def _fire_at_once(membrane: np.ndarray, threshold: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Closed form of ``two_phase``: V after T firings and the spikes, ``[N, T, C]``."""
    count = np.clip(membrane // threshold, 0, steps)
    return membrane - count * threshold, np.arange(steps)[None, :, None] < count[:, None]


def _fire_along(drive: np.ndarray, membrane: np.ndarray, threshold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``stream``: V after the drives ``[N, T, C]`` of a token and one firing after each, and the spikes."""
    spikes = np.zeros(drive.shape, np.bool_)
    for step in range(drive.shape[1]):
        membrane = membrane + drive[:, step]
        spikes[:, step] = membrane >= threshold
        membrane = membrane - spikes[:, step] * threshold
    return membrane, spikes


def _run_layer(
    layer: RecurrentLayer, drive: np.ndarray, steps: int, leaked: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Charges ``[N, S, C]`` and spikes int8 ``[N, S, T, C]`` of one layer.

    ``drive`` holds weighted inputs and bias, ``[N, S, T, C]`` of every step in ``stream``, ``[N, S, 1, C]`` of the
    whole token in ``two_phase``.
    """
    if layer.threshold is None:
        return drive.sum(axis=2).cumsum(axis=1), None
    images, tokens, rounds, channels = drive.shape
    charge = np.zeros((images, channels), drive.dtype)
    charges = np.zeros((images, tokens, channels), drive.dtype)
    spikes = np.zeros((images, tokens, steps, channels), np.int8)
    for token in range(tokens):
        membrane = leaked(charge) + layer.shift
        if rounds == steps:  # with T = 1 both schedules are the same
            membrane, spikes[:, token] = _fire_along(drive[:, token], membrane, layer.threshold)
        else:
            membrane, spikes[:, token] = _fire_at_once(membrane + drive[:, token, 0], layer.threshold, steps)
        charge = membrane - layer.shift
        charges[:, token] = charge
    return charges, spikes


def _presented(values: np.ndarray, schedule: str, steps: int) -> np.ndarray:
    """Pixels ``[N, S, C]`` as inputs of every step, ``[N, S, T, C]``, or of the whole token, ``[N, S, 1, C]``."""
    if schedule == "stream":
        return np.broadcast_to(values[:, :, None], (*values.shape[:2], steps, values.shape[2]))
    return values[:, :, None] * steps


def _gathered(spikes: np.ndarray, schedule: str) -> np.ndarray:
    """Spikes as inputs of every step, or summed over the token, int64."""
    return spikes.astype(np.int64) if schedule == "stream" else spikes.sum(axis=2, keepdims=True, dtype=np.int64)


def run(network: FixedPointRecurrentNetwork, sequences: np.ndarray) -> RecurrentTrace:
    """Run uint8 sequences ``[N, S, C]`` through the integers, exactly; memory grows with N·S·T·C.

    Raises
    ------
    InvalidValue
        Sequences of the wrong type or shape, or longer than the network was proven for.
    """
    network.check(sequences)
    steps = network.time_steps
    inputs = _presented(sequences.astype(np.int64), network.schedule, steps)
    trains, charges = [], []
    for layer in network.layers:
        leaked = layer.leak.shifted if layer.leak else np.copy
        charge, spikes = _run_layer(layer, inputs @ layer.weight.T + layer.bias, steps, leaked)
        charges.append(charge)
        if spikes is not None:
            trains.append(spikes)
            inputs = _gathered(spikes, network.schedule)
    return RecurrentTrace(network.fingerprint, charges[-1][:, -1], tuple(trains), tuple(charges))


def run_float(network: RecurrentNetwork, sequences: np.ndarray) -> RecurrentTrace:
    """Run uint8 sequences ``[N, S, C]`` in float64: what conversion costs before any integer is chosen.

    Raises
    ------
    InvalidValue
        As ``run``.
    """
    network.check(sequences)
    steps = network.time_steps
    inputs = _presented(sequences * network.pixel_scale, network.schedule, steps)
    trains, charges = [], []
    for layer in network.layers:
        tau = layer.leak.value if layer.leak else 1.0  # the readout asks for none
        bias = layer.bias if network.schedule == "stream" else steps * layer.bias
        charge, spikes = _run_layer(layer, inputs @ layer.weight.T + bias, steps, partial(np.multiply, tau))
        charges.append(charge)
        if spikes is not None and layer.threshold is not None:
            trains.append(spikes)
            inputs = _gathered(spikes, network.schedule) * layer.threshold
    return RecurrentTrace(network.fingerprint, charges[-1][:, -1] / steps, tuple(trains), tuple(charges))


def accuracy(
    network: FixedPointRecurrentNetwork | RecurrentNetwork, sequences: np.ndarray, labels: np.ndarray
) -> float:
    """Share of right predictions in per cent; ``labels`` int64 ``[N]``."""
    if isinstance(network, RecurrentNetwork):
        trace = run_float(network, sequences)
    else:
        trace = run(network, sequences)
    return 100 * float((trace.predictions == labels).mean())
