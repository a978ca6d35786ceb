"""Meaning of the integers (design, section 3): hand-worked numbers, conservation, bounds, determinism."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import golden, oracle
from tests.networks import NEURONS, fixed_point_networks, frames_for, random_network, rate_spikes
from toolchain.connection import Connection
from toolchain.fixedpoint import signed_width, weight_limit
from toolchain.ir import INPUT, SCHEDULES, FixedPointLayer, FixedPointNetwork

SEEDS = st.integers(0, 2**32 - 1)
RUNS = {"oracle": oracle.run, "golden": partial(golden.run, record="spikes")}
both_models = pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)


def make_layer(source, weight, threshold, offset, bias=None, **geometry):
    """One layer with one connection; a weight of two dimensions is linear on a vector."""
    weight = np.array(weight)
    if weight.ndim == 2:
        weight, geometry = weight[:, :, None, None], {"kind": "linear", **geometry}
    bias = np.zeros(len(weight), int) if bias is None else np.array(bias)
    connection = Connection(source, weight.astype(np.int32), **geometry)
    return FixedPointLayer(f"from {source}", (connection,), threshold, bias, np.array(offset))


def make_network(schedule, steps, shape, *layers, bits=8, **neuron):
    """The layers as a network."""
    return FixedPointNetwork("made", shape, schedule, steps, layers, weight_bits=bits, **neuron)


def two_neurons(schedule, threshold, bias=None, readout_bias=None):
    """Two pixels, two hidden neurons, two classes, T = 4."""
    hidden = make_layer(INPUT, [[2, -1], [-1, 4]], threshold, [3, -2], bias)
    return make_network(schedule, 4, (2, 1, 1), hidden, make_layer(0, [[1, -2], [2, 3]], None, [5, -1], readout_bias))


def pooled(schedule, threshold):
    """Three pixels in a row, a neuron each, one class that reads pairs: the third lies on the dropped rim; T = 3."""
    readout = make_layer(0, [[[[7]]]], None, [0], pool=(1, 2), kind="linear")
    return make_network(schedule, 3, (1, 1, 3), make_layer(INPUT, [[[[1]]]], [threshold], [0]), readout)


# network, pixels, a train for each hidden neuron, hidden membranes, scores; events, operations, spikes of each layer
BY_HAND = [
    # neuron 0: 3, +17 → 20, 37 fires → 12, 29 fires → 4, 21; neuron 1: −2, +6 → 4, 10 fires → 0, 6, 12 fires → 2
    # scores: 5 + 2·1 − 2·2; −1 + 4·1 + 2·2 + 2·3
    (two_neurons("stream", [25, 10], [1, 0], [0, 1]), (10, 4), "0110 0101", [21, 2], [3, 13], [2, 4], [4, 8], [4, 0]),
    # 3 + 20 − 4 = 19 = 3·5 + 4; −2 − 10 + 16 = 4 < 7; scores 5 + 3, −1 + 2·3
    (two_neurons("two_phase", [5, 7]), (10, 4), "1110 0000", [4, 4], [8, 5], [2, 3], [4, 6], [3, 0]),
    # 3 + 400 = 403: at most T spikes, 383 stay; a zero pixel makes no event
    (two_neurons("two_phase", [5, 7]), (200, 0), "1111 0000", [383, -202], [9, 7], [1, 4], [2, 8], [4, 0]),
    # 100, 50 and 250 a step; 7 for each of the 3 + 1 spikes that reach the class
    (pooled("stream", 100), (100, 50, 250), "111 010 111", [0, 50, 450], [28], [3, 4], [3, 4], [7, 0]),
    # ⌊100/34⌋ = 2, ⌊50/34⌋ = 1, ⌊250/34⌋ = 7 of which T = 3
    (pooled("two_phase", 34), (100, 50, 250), "110 100 111", [32, 16, 148], [21], [3, 3], [3, 3], [6, 0]),
]


@both_models
@pytest.mark.parametrize("network, pixels, trains, membranes, scores, events, operations, spikes", BY_HAND)
def test_numbers_by_hand(run, network, pixels, trains, membranes, scores, events, operations, spikes):
    trace = run(network, np.array(pixels, np.uint8).reshape(1, *network.input_shape))
    fired = trace.spikes[0][0].reshape(network.time_steps, -1).T
    assert " ".join("".join(map(str, train)) for train in fired) == trains
    assert trace.counts[0].ravel().tolist() == [train.count("1") for train in trains.split()]
    assert [values.ravel().tolist() for values in trace.membranes] == [membranes, scores]
    assert trace.scores.tolist() == [scores]
    activity = (trace.activity.events, trace.activity.operations, trace.activity.spikes)
    assert [values[0].tolist() for values in activity] == [events, operations, spikes]


def weighted(connection, values, part=lambda w: w):
    """Weighted sums of ``values`` [..., C, H, W] by numpy; ``part`` picks the weights that count."""
    flat = values.reshape(-1, *values.shape[-3:]).astype(np.int64)
    (ky, kx), (sy, sx) = connection.pool, connection.stride
    count, channels, height, width = flat.shape
    flat = flat[:, :, : height // ky * ky, : width // kx * kx]
    flat = flat.reshape(count, channels, height // ky, ky, width // kx, kx).sum(axis=(3, 5))
    flat = np.pad(flat, ((0, 0), (0, 0), *[(p, p) for p in connection.padding]))
    windows = np.lib.stride_tricks.sliding_window_view(flat, connection.kernel, axis=(2, 3))[:, :, ::sy, ::sx]
    sums = np.einsum("nchwyx,ocyx->nohw", windows, part(connection.weight.astype(np.int64)))
    return sums.reshape(*values.shape[:-3], *sums.shape[1:])


def worth(network):
    """What a spike of each step stands for, int64 [T, 1, 1, 1]."""
    steps = np.arange(network.time_steps)[::-1] if network.schedule == "radix" else np.zeros(network.time_steps, int)
    return 2 ** steps[:, None, None, None]


def charge(layer, spikes):
    """What spikes [..., C, H, W] take off the membrane."""
    below = layer.threshold if layer.negative_threshold is None else layer.negative_threshold
    return np.where(spikes < 0, below[:, None, None], layer.threshold[:, None, None]) * spikes


def drives(network, index, frames, spikes, part=lambda w: w):
    """What arrives at a layer at each step, int64 [N, T, C, H, W]; in ``radix`` at its worth."""
    layer = network.layers[index]
    if layer.connections[0].source == INPUT and network.input == "rate":
        return weighted(layer.connections[0], rate_spikes(network, frames), part)
    if not network.reads_frame(layer):
        return sum(weighted(c, spikes[c.source] * worth(network), part) for c in layer.connections)
    held = np.ones(network.time_steps, int) if network.schedule == "stream" else np.arange(network.time_steps) == 0
    return weighted(layer.connections[0], frames, part)[:, None] * held[:, None, None, None]


@settings(max_examples=80, deadline=None)
@given(network=fixed_point_networks([n for n in NEURONS if n["reset"] == "subtract"]), seed=SEEDS)
def test_charge_is_conserved(network, seed):
    frames = frames_for(network, seed, 2)
    trace = golden.run(network, frames, "spikes")
    for index, layer in enumerate(network.layers):
        once = (layer.offset + network.time_steps * layer.bias)[:, None, None]
        spent = 0
        if layer.threshold is not None:
            spent = (charge(layer, trace.spikes[index]) * worth(network)).sum(axis=1)
        supplied = once + drives(network, index, frames, trace.spikes).sum(axis=1)
        assert np.array_equal(trace.membranes[index] + spent, supplied)


@both_models
@settings(max_examples=60, deadline=None)
@given(data=st.data(), threshold=st.integers(1, 32767), steps=st.integers(1, 40))
def test_constant_current_fires_at_its_rate(run, data, threshold, steps):
    current = data.draw(st.one_of(st.integers(0, threshold), st.just(threshold)))
    offset = data.draw(st.integers(0, threshold - 1))
    hidden = make_layer(INPUT, [[current]], [threshold], [offset])
    network = make_network("stream", steps, (1, 1, 1), hidden, make_layer(0, [[1]], None, [0]), bits=16)
    trace = run(network, np.ones((1, 1, 1, 1), np.uint8))
    assert trace.scores[0, 0] == trace.counts[0].item() == (offset + steps * current) // threshold


@both_models
@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, steps=st.integers(1, 7))
def test_stream_spikes_never_depend_on_later_steps(run, seed, steps):
    network = random_network(seed, schedule="stream", time_steps=8)
    frames = frames_for(network, seed, 1)
    whole, short = run(network, frames), run(replace(network, time_steps=steps), frames)
    assert all(np.array_equal(late[:, :steps], early) for late, early in zip(whole.spikes, short.spikes, strict=True))


def extremes(network, index, frames):
    """(lowest, highest) membrane while a layer integrates, for any order of events within a step."""
    layer, spikes = network.layers[index], golden.run(network, frames, "spikes").spikes
    up, down = (lambda w: np.maximum(w, 0)), (lambda w: np.minimum(w, 0))
    rises, falls = drives(network, index, frames, spikes, up), drives(network, index, frames, spikes, down)
    if network.signed_spikes and layer.connections[0].source != INPUT:
        sent, taken = ([part(train) for train in spikes] for part in (up, down))
        rises = drives(network, index, frames, sent, up) + drives(network, index, frames, taken, down)
        falls = drives(network, index, frames, sent, down) + drives(network, index, frames, taken, up)
    seen = [0 * rises[:, 0] + layer.offset[:, None, None]]
    for step in range(network.time_steps):
        membrane, rise, fall = seen[-1], rises[:, step], falls[:, step]
        arrived = membrane + rise + fall
        seen += [membrane + rise, membrane + fall, arrived, arrived + layer.bias[:, None, None]]
        if network.schedule == "stream" and layer.threshold is not None:
            fired = spikes[index][:, step]
            left = seen[-1] - charge(layer, fired)
            seen.append(left if network.reset == "subtract" else np.where(fired, 0, left))
    return min(int(v.min()) for v in seen), max(int(v.max()) for v in seen)


@settings(max_examples=80, deadline=None)
@given(network=fixed_point_networks(), seed=SEEDS)
def test_membranes_never_leave_the_proven_range(network, seed):
    frames = np.concatenate([frames_for(network, seed, 2), np.full((1, *network.input_shape), 255, np.uint8)])
    for index, proven in enumerate(network.ranges):
        low, high = extremes(network, index, frames)
        assert proven.low <= low <= high <= proven.high


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("pool", [(1, 1), (2, 2), (1, 3)])
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, steps=st.integers(1, 16), span=st.sampled_from([(-127, 127), (0, 127), (-127, 0)]))
def test_bound_is_reached_within_one_bit(schedule, pool, seed, steps, span):
    rng = np.random.default_rng(seed)
    weight = rng.integers(*span, (4, 3, 3, 3), endpoint=True)
    # the relay fires at every step where its pixel is 255, never where it is 0
    steps = min(steps, 8) if schedule == "radix" else steps
    levels = {"stream": 1, "two_phase": steps, "radix": 2**steps - 1}[schedule]
    relay = make_layer(INPUT, np.eye(3)[:, :, None, None], [255 // levels] * 3, [0] * 3)
    threshold, offset = rng.integers(1, 3000, 4), rng.integers(-300, 300, 4)
    bias = rng.integers(-99, 99, 4) * (schedule == "stream")
    hidden = make_layer(0, weight, threshold, offset, bias, padding=(1, 1), pool=pool)
    readout = make_layer(1, np.ones((1, 4, 3, 3), int), None, [0], kind="linear")
    network = make_network(schedule, steps, (3, 3 * pool[0], 3 * pool[1]), relay, hidden, readout)
    # for each channel, the frames that excite and inhibit its middle neuron most
    chosen = np.concatenate([weight > 0, weight < 0]).repeat(pool[0], axis=2).repeat(pool[1], axis=3)
    for index in (0, 1):
        low, high = extremes(network, index, np.where(chosen, 255, 0).astype(np.uint8))
        proven = network.ranges[index]
        assert proven.low <= low <= high <= proven.high
        assert signed_width(low, high) >= proven.bits - 1
        # a range always holds 0
        assert schedule == "stream" or (min(low, 0), max(high, 0)) == (proven.low, proven.high)


def test_bound_knows_the_neuron_that_just_does_not_fire():
    relay, hidden = make_layer(INPUT, np.eye(2), [255, 255], [0, 0]), make_layer(0, [[9, 1]], [10], [0])
    network = make_network("stream", 2, (2, 1, 1), relay, hidden, make_layer(1, [[1]], None, [0]))
    frame = np.array([255, 128], np.uint8).reshape(1, 2, 1, 1)  # relays fire at both steps, and at the second: 9, 19
    assert extremes(network, 1, frame) == (0, 19) == (network.ranges[1].low, network.ranges[1].high)


@pytest.mark.parametrize("bits", range(2, 9))
@settings(max_examples=8, deadline=None)
@given(seed=SEEDS, signs=st.sampled_from([(1,), (-1,), (-1, 1)]))
def test_weights_at_their_limits(bits, seed, signs):
    rng, network = np.random.default_rng(seed), random_network(seed)

    def extreme(connection):
        return replace(connection, weight=weight_limit(bits) * rng.choice(signs, connection.weight.shape))

    layers = tuple(replace(layer, connections=tuple(map(extreme, layer.connections))) for layer in network.layers)
    network, frames = replace(network, layers=layers, weight_bits=bits), frames_for(network, seed, 1)
    assert_same(golden.run(network, frames, "spikes"), oracle.run(network, frames))


def assert_same(one, other, part=slice(None)):
    """All that ``other`` holds equals images ``part`` of ``one``."""
    assert np.array_equal(one.scores[part], other.scores)
    for name in ("events", "operations", "spikes"):
        assert np.array_equal(getattr(one.activity, name)[part], getattr(other.activity, name))
    for name in ("counts", "spikes", "membranes"):
        if getattr(other, name) is not None:
            assert all(map(np.array_equal, [v[part] for v in getattr(one, name)], getattr(other, name)))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_result_is_free_of_batching_and_record(schedule):
    rng = np.random.default_rng(1)
    conv = make_layer(INPUT, rng.integers(-9, 10, (64, 1, 3, 3)), [900] * 64, range(64), padding=(1, 1))
    readout = make_layer(0, rng.integers(-9, 10, (3, 64, 4, 4)), None, [1, 2, 3], pool=(2, 2), kind="linear")
    network = make_network(schedule, 8 if schedule == "radix" else 16, (1, 8, 8), conv, readout)
    frames = frames_for(network, 3, 240)  # several chunks of the golden model in either schedule
    whole = golden.run(network, frames, "spikes", progress=(chunks := []).append)
    assert len(chunks) > 1 and sum(chunks) == 240
    for part in (*(slice(image, image + 1) for image in range(0, 240, 14)), slice(50, 240)):
        assert_same(whole, golden.run(network, frames[part], "spikes"), part)
    for record in ("scores", "counts"):
        assert_same(whole, golden.run(network, frames, record))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_exact_beyond_float32(schedule):
    rng = np.random.default_rng(4)
    alone = make_layer(INPUT, rng.integers(30000, 32768, (4, 8)), None, [1, 0, 1, 0])
    hidden = make_layer(INPUT, rng.integers(-9999, 32768, (3, 8)), [7_000_001, 5_000_001, 3], [1, 2, 3])
    readout = make_layer(0, rng.integers(-32767, 32768, (2, 3)), None, [5, 6])
    for layers in ((alone,), (hidden, readout)):
        network = make_network(schedule, 7, (8, 1, 1), *layers, bits=16)
        exact = oracle.run(network, frames := frames_for(network, 4, 9))
        assert_same(golden.run(network, frames, "spikes"), exact)
        reached = exact.membranes[0] + (0 if len(layers) == 1 else hidden.threshold[:, None, None] * exact.counts[0])
        assert (reached != reached.astype(np.float32)).any()  # float32 could not hold them


@settings(max_examples=80, deadline=None)
@given(data=st.data(), threshold=st.integers(1, 2**30), limit=st.sampled_from([2**24 - 256, 2**31 - 256]))
def test_quotient_is_exact_on_both_sides_of_every_multiple(data, threshold, limit):
    multiple = data.draw(st.integers(1, min(1024, max(1, limit // threshold))))
    hidden = make_layer(INPUT, [[1]], [threshold], [multiple * threshold - 1])
    network = make_network("two_phase", 1024, (1, 1, 1), hidden, make_layer(0, [[1]], None, [0]))
    trace = golden.run(network, np.array([0, 1], np.uint8).reshape(2, 1, 1, 1))
    assert trace.scores.tolist() == [[multiple - 1], [multiple]]


@pytest.mark.parametrize("negative", ["symmetric", "floor"])
@pytest.mark.parametrize("threshold", [8355583, 8355584, 4177791])
def test_signed_neurons_are_exact_beyond_float32(negative, threshold):
    hidden = make_layer(INPUT, [[-32767, -32767]], [threshold], [0])
    network = make_network("two_phase", 8, (2, 1, 1), hidden, make_layer(0, [[1]], None, [0]), bits=16)
    signed = replace(network, negative=negative)
    frames = np.full((1, 2, 1, 1), 255, np.uint8)
    assert_same(golden.run(signed, frames, "spikes"), oracle.run(signed, frames))


@pytest.mark.parametrize("steps", [1, 2])
def test_range_of_floor_holds_what_is_left_after_the_last_firing(steps):
    hidden = make_layer(INPUT, [[-1]], [1000], [0])
    network = replace(
        make_network("stream", steps, (1, 1, 1), hidden, make_layer(0, [[1]], None, [0])), negative="floor"
    )
    rest = oracle.run(network, np.array([1], np.uint8).reshape(1, 1, 1, 1)).membranes[0].item()
    assert network.ranges[0].low <= rest <= network.ranges[0].high
    assert steps > 1 or rest == 999
