"""Naive oracle: the integers once more, as nested loops over Python integers, for small networks.

Written from design section 3 alone and deliberately without numpy arithmetic, torch, or any closed
form, so that an error in the golden model or the hardware cannot repeat itself here.
"""

import itertools

import numpy as np

from toolchain.ir import INPUT, Connection, FixedPointLayer, FixedPointNetwork, Shape
from toolchain.trace import Activity, SpikeTrace

__all__ = ["run"]

Place = tuple[int, int, int]
Train = set[tuple[int, Place]]
"""Spikes of one layer: (time step, place)."""


def _places(shape: Shape) -> list[Place]:
    return list(itertools.product(range(shape[0]), range(shape[1]), range(shape[2])))


def _deliver(connection: Connection, source: Shape, output: Shape, place: Place) -> list[tuple[Place, int]]:
    """Every (target neuron, weight) that a spike at ``place`` of the unpooled source reaches."""
    channel, y, x = place
    y, x = y // connection.pool[0], x // connection.pool[1]
    if y >= source[1] // connection.pool[0] or x >= source[2] // connection.pool[1]:
        return []
    reached = []
    for oy, ox in itertools.product(range(output[1]), range(output[2])):
        ky = y + connection.padding[0] - oy * connection.stride[0]
        kx = x + connection.padding[1] - ox * connection.stride[1]
        if 0 <= ky < connection.kernel[0] and 0 <= kx < connection.kernel[1]:
            reached += [
                ((target, oy, ox), int(connection.weight[target, channel, ky, kx])) for target in range(output[0])
            ]
    return reached


def _arrivals(
    network: FixedPointNetwork,
    index: int,
    frame: np.ndarray,
    trains: list[Train],
) -> tuple[list[dict[Place, int]], int, int]:
    """What a layer receives at each step, ``{target: sum}``, and its events and synaptic operations."""
    layer, shape = network.layers[index], network.shapes[index]
    arriving: list[dict[Place, int]] = [dict.fromkeys(_places(shape), 0) for _ in range(network.time_steps)]
    events = operations = 0
    for connection in layer.connections:
        source = network.source_shape(connection)
        if connection.source == INPUT:
            emitted = [(0, place, int(frame[place])) for place in _places(source) if frame[place] != 0]
        else:
            emitted = [(t, place, 1) for t, place in sorted(trains[connection.source])]
        for t, place, amplitude in emitted:
            reached = _deliver(connection, source, shape, place)
            events += 1 if reached else 0
            operations += len(reached)
            for target, weight in reached:
                arriving[t][target] += weight * amplitude
    if network.reads_frame(layer) and network.schedule == "stream":
        arriving = [arriving[0]] * network.time_steps  # the frame is a constant current
    return arriving, events, operations


def _fire(layer: FixedPointLayer, v: dict[Place, int], t: int, train: Train) -> None:
    """One firing of every neuron: ``if V ≥ θ: s = 1, V −= θ``."""
    if layer.threshold is None:
        return
    for place in v:
        theta = int(layer.threshold[place[0]])
        if v[place] >= theta:
            v[place] -= theta
            train.add((t, place))


def _run_frame(
    network: FixedPointNetwork, frame: np.ndarray
) -> tuple[list[Train], list[dict[Place, int]], list[tuple[int, int, int]]]:
    """Spike trains, final membranes and (events, operations, spikes) of each layer."""
    trains: list[Train] = []
    membranes: list[dict[Place, int]] = []
    activity = []
    for index, layer in enumerate(network.layers):
        arriving, events, operations = _arrivals(network, index, frame, trains)
        v = {place: int(layer.offset[place[0]]) for place in _places(network.shapes[index])}
        train: Train = set()
        for t in range(network.time_steps):
            for place in v:
                v[place] += arriving[t][place] + int(layer.bias[place[0]])
            if network.schedule == "stream":
                _fire(layer, v, t, train)
        if network.schedule == "two_phase":
            for t in range(network.time_steps):
                _fire(layer, v, t, train)
        trains.append(train)
        membranes.append(v)
        activity.append((events, operations, len(train)))
    return trains, membranes, activity


def run(network: FixedPointNetwork, frames: np.ndarray) -> SpikeTrace:
    """Run uint8 frames ``[N, C, H, W]``; always records spikes and membranes. Slow: small networks only."""
    images, steps = len(frames), network.time_steps
    firing = [i for i, layer in enumerate(network.layers) if layer.threshold is not None]
    spikes = [np.zeros((images, steps, *network.shapes[i]), np.uint8) for i in firing]
    membranes = [np.zeros((images, *shape), np.int64) for shape in network.shapes]
    counts = np.zeros((3, images, len(network.layers)), np.int64)
    for image, frame in enumerate(frames):
        trains, final, activity = _run_frame(network, frame)
        for number, i in enumerate(firing):
            for t, place in trains[i]:
                spikes[number][(image, t, *place)] = 1
        for array, v in zip(membranes, final, strict=True):
            for place, value in v.items():
                array[(image, *place)] = value
        counts[:, image] = np.array(activity).T
    return SpikeTrace(
        network.fingerprint,
        membranes[-1][:, :, 0, 0],
        Activity(*counts),
        tuple(s.sum(axis=1, dtype=np.uint16) for s in spikes),
        tuple(spikes),
        tuple(membranes),
    )
