"""Naive oracle: the integers once more, as nested loops over Python integers, for small networks.

Written from design section 3 alone and deliberately without numpy arithmetic, torch, or any closed
form, so that an error in the golden model or the hardware cannot repeat itself here.
"""

import itertools

import numpy as np

from toolchain.connection import Connection, Shape
from toolchain.ir import INPUT, FixedPointLayer, FixedPointNetwork
from toolchain.leak import Decay
from toolchain.trace import Activity, SpikeTrace

__all__ = ["run"]

Place = tuple[int, int, int]
Train = dict[tuple[int, Place], int]
"""Spikes of one layer: (time step, place) → 1 or −1."""


def _places(shape: Shape) -> list[Place]:
    return list(itertools.product(range(shape[0]), range(shape[1]), range(shape[2])))


def _deliver(connection: Connection, source: Shape, output: Shape, place: Place) -> list[tuple[Place, int]]:
    """Every (target neuron, weight) that a spike at ``place`` of the source reaches, before average pooling."""
    channel, y, x = place
    y, x = y // connection.pool[0], x // connection.pool[1]
    if y >= source[1] // connection.pool[0] or x >= source[2] // connection.pool[1]:
        return []
    per_group = (output[0] // connection.groups, source[0] // connection.groups)
    group, row = channel // per_group[1], channel % per_group[1]
    reached = []
    for ky, kx in itertools.product(range(connection.kernel[0]), range(connection.kernel[1])):
        # the output place whose window has this place under (k_y, k_x)
        corner_y = y + connection.padding[0] - ky * connection.dilation[0]
        corner_x = x + connection.padding[1] - kx * connection.dilation[1]
        if corner_y % connection.stride[0] or corner_x % connection.stride[1]:
            continue
        oy, ox = corner_y // connection.stride[0], corner_x // connection.stride[1]
        if 0 <= oy < output[1] and 0 <= ox < output[2]:
            targets = range(group * per_group[0], (group + 1) * per_group[0])
            reached += [((target, oy, ox), int(connection.weight[target, row, ky, kx])) for target in targets]
    return reached


Emitted = list[tuple[int, Place, int]]
"""(time step, place, amplitude) of every event."""


def _windows(extent: int, window: int, stride: int, before: int, after: int) -> list[list[int]]:
    """Places of the frame under each window along one axis: windows start at −before as long as they end by ``after``."""
    found = []
    start = -before
    while start + window <= extent + after:
        found.append([place for place in range(start, start + window) if 0 <= place < extent])
        start += stride
    return found


def _pooled(connection: Connection, source: Shape, train: Train) -> tuple[Shape, Emitted]:
    """The OR, step by step, of the spikes under each window of the max pooling; and how many places come out."""
    pooling = connection.maximum
    assert pooling is not None
    rows, columns = (
        _windows(*axis)
        for axis in zip(source[1:], pooling.window, pooling.stride, pooling.padding, pooling.padding_after, strict=True)
    )
    emitted = []
    for t in sorted({t for t, _ in train}):
        for channel, (oy, ys), (ox, xs) in itertools.product(range(source[0]), enumerate(rows), enumerate(columns)):
            if any((t, (channel, y, x)) in train for y in ys for x in xs):
                emitted.append((t, (channel, oy, ox), 1))
    return (source[0], len(rows), len(columns)), emitted


def _direct(network: FixedPointNetwork, frame: np.ndarray) -> Emitted:
    return [(0, place, int(frame[place])) for place in _places(network.input_shape) if frame[place] != 0]


def _bitplane(network: FixedPointNetwork, frame: np.ndarray) -> Emitted:
    """Eight planes, most significant first; ``V ← 2V`` between them makes a spike of plane k worth ``2^(7−k)``."""
    worth = [1] * 8
    for plane in range(1, 8):
        worth[:plane] = [2 * earlier for earlier in worth[:plane]]
    planes = [(plane, place) for plane in range(8) for place in _places(network.input_shape)]
    return [(0, place, worth[plane]) for plane, place in planes if format(int(frame[place]), "08b")[plane] == "1"]


def _rate(network: FixedPointNetwork, frame: np.ndarray) -> Emitted:
    """Shift the register eight times for each pixel and step, in the order in which the frame is walked."""
    channels, height, width = network.input_shape
    walk = [(c, y, x) for y in range(height) for x in range(width) for c in range(channels)]
    visits = [(t, place) for t in range(network.time_steps) for place in walk]
    if network.schedule != "stream":
        visits = [(t, place) for place in walk for t in range(network.time_steps)]
    register = [int(bit) for bit in format(network.seed, "032b")]
    emitted = []
    for t, place in visits:
        if int(frame[place]) > int("".join(map(str, register[24:])), 2):
            emitted.append((t, place, 1))
        for _ in range(8):
            out = register[31]
            register = [0, *register[:31]]
            for exponent in (32, 22, 2, 1):  # x^32 + x^22 + x^2 + x + 1
                register[32 - exponent] ^= out
    return emitted


def _spikes(network: FixedPointNetwork, frame: np.ndarray) -> Emitted:
    visits = itertools.product(range(network.time_steps), _places(network.input_shape))
    return [(t, place, int(frame[(t, *place)])) for t, place in visits if frame[(t, *place)] != 0]


_INPUT = {"direct": _direct, "bitplane": _bitplane, "rate": _rate, "spikes": _spikes}


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
            emitted = _INPUT[network.input](network, frame)
        elif connection.maximum is not None:
            source, emitted = _pooled(connection, source, trains[connection.source])
        else:
            emitted = [(t, place, s) for (t, place), s in sorted(trains[connection.source].items())]
        for t, place, amplitude in emitted:
            reached = _deliver(connection, source, shape, place)
            events += 1 if reached else 0
            operations += len(reached)
            for target, weight in reached:
                arriving[t][target] += weight * amplitude
    if network.reads_frame(layer) and network.schedule == "stream":
        arriving = [arriving[0]] * network.time_steps  # the frame is a constant current
        if layer.current_leak is not None:  # which is integrated in every step, onto what is left of it
            events, operations = events * network.time_steps, operations * network.time_steps
    if network.reads_frame(layer) and network.schedule == "radix":
        arriving.reverse()  # the frame arrives once, at full worth: with the last step
    return arriving, events, operations


def _fire(
    network: FixedPointNetwork, layer: FixedPointLayer, v: dict[Place, int], t: int, train: Train, worth: int = 1
) -> None:
    """One firing of every neuron against ``θ · worth``; the positive test comes first."""
    if layer.threshold is None:
        return
    for place in v:
        theta = int(layer.threshold[place[0]]) * worth
        count = sum(train.get((step, place), 0) for step in range(t))
        if v[place] > theta or (v[place] == theta and network.compare == "ge"):
            v[place] = v[place] - theta if network.reset == "subtract" else 0
            train[(t, place)] = 1
        elif network.negative in ("symmetric", "asymmetric", "memory"):
            if network.negative == "asymmetric":
                assert layer.negative_threshold is not None
                theta = int(layer.negative_threshold[place[0]]) * worth
            reached = v[place] < -theta or (v[place] == -theta and network.compare == "ge")
            if reached and (network.negative != "memory" or count > 0):
                v[place] += theta
                train[(t, place)] = -1
        elif v[place] < 0 and (network.negative == "floor" or (network.negative == "correcting" and count > 0)):
            v[place] += theta
            train[(t, place)] = -1


def _decayed(leak: Decay | None, value: int) -> int:
    """``V − Σ ±(V >> k)``: each shift is a division that rounds down."""
    assert leak is not None
    left = value
    for term in leak.terms:
        part = value // 2 ** abs(term)
        left = left + part if term < 0 else left - part
    return left


def _leak(
    network: FixedPointNetwork,
    layer: FixedPointLayer,
    v: dict[Place, int],
    before: dict[Place, int],
    t: int,
    train: Train,
) -> None:
    """What stays of the membranes for the step after step t; ``before`` are those before they fired."""
    for place in v:
        if network.leak_order == "reset_first":
            v[place] = _decayed(layer.leak, v[place])
        else:
            v[place] = _decayed(layer.leak, before[place])
            if (t, place) in train:
                assert layer.threshold is not None
                v[place] -= int(layer.threshold[place[0]])


def _run_frame(
    network: FixedPointNetwork, frame: np.ndarray
) -> tuple[list[Train], list[dict[Place, int]], list[tuple[int, int, int]]]:
    """Spike trains, final membranes and (events, operations, spikes) of each layer."""
    trains: list[Train] = []
    membranes: list[dict[Place, int]] = []
    activity = []
    for index, layer in enumerate(network.layers):
        arriving, events, operations = _arrivals(network, index, frame, trains)
        radix, places = network.schedule == "radix", _places(network.shapes[index])
        offset = {place: int(layer.offset[place[0]]) for place in places}
        v = dict.fromkeys(places, 0) if radix else dict(offset)
        train: Train = {}
        i = dict.fromkeys(places, 0)
        for t in range(network.time_steps):
            for place in v:
                received = arriving[t][place] + int(layer.bias[place[0]])
                if layer.current_leak is not None:
                    kept = _decayed(layer.current_leak, i[place]) if t else 0
                    received = i[place] = kept + received
                v[place] = (2 * v[place] if radix else v[place]) + received
            if network.schedule == "stream":
                before = dict(v)
                _fire(network, layer, v, t, train)
                if layer.leak is not None and t < network.time_steps - 1:
                    _leak(network, layer, v, before, t, train)
        if network.schedule == "two_phase":
            for t in range(network.time_steps):
                _fire(network, layer, v, t, train)
        if radix:
            v = {place: v[place] + offset[place] for place in places}
            for t in range(network.time_steps):
                _fire(network, layer, v, t, train, worth=2 ** (network.time_steps - 1))
                v = {place: 2 * v[place] for place in places}
            v = {place: v[place] // 2**network.time_steps for place in places}  # the trace's scale; nothing is lost
        trains.append(train)
        membranes.append(v)
        activity.append((events, operations, len(train)))
    return trains, membranes, activity


def run(network: FixedPointNetwork, frames: np.ndarray) -> SpikeTrace:
    """Run uint8 frames ``[N, C, H, W]``, or int8 spikes ``[N, T, C, H, W]``; always records spikes and membranes. Slow: small networks only."""
    images, steps = len(frames), network.time_steps
    firing = [i for i, layer in enumerate(network.layers) if layer.threshold is not None]
    spikes = [np.zeros((images, steps, *network.shapes[i]), np.int8) for i in firing]
    membranes = [np.zeros((images, *shape), np.int64) for shape in network.shapes]
    counts = np.zeros((3, images, len(network.layers)), np.int64)
    for image, frame in enumerate(frames):
        trains, final, activity = _run_frame(network, frame)
        for number, i in enumerate(firing):
            for (t, place), s in trains[i].items():
                spikes[number][(image, t, *place)] = s
        for array, v in zip(membranes, final, strict=True):
            for place, value in v.items():
                array[(image, *place)] = value
        counts[:, image] = np.array(activity).T
    return SpikeTrace(
        network.fingerprint,
        membranes[-1][:, :, 0, 0],
        Activity(*counts),
        tuple(np.abs(s).sum(axis=1, dtype=np.uint16) for s in spikes),
        tuple(spikes),
        tuple(membranes),
    )
