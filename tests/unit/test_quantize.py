"""Folding into integers (design, section 3, Quantization): formulas, rounding, agreement with the float network."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import floating, golden
from toolchain.connection import Connection
from toolchain.errors import InvalidValue
from toolchain.fixedpoint import round_half_up
from toolchain.ir import INPUT, SCHEDULES, SpikingLayer, SpikingNetwork
from toolchain.quantize import CLIPPINGS, dequantize, error_table, quantize

SEEDS = st.integers(0, 2**32 - 1)
SCHEDULE = st.sampled_from(SCHEDULES)
CASES = {"seed": SEEDS, "clipping": st.sampled_from(["max", "mse"]), "schedule": SCHEDULE, "steps": st.integers(1, 8)}


def spiking_network(seed, schedule, steps):
    """Three layers from 5 × 6 pixels: a padded convolution, a pooled one, a pooled readout that may join both."""
    rng = np.random.default_rng(seed)

    def connection(source, *shape, **geometry):
        return Connection(source, rng.uniform(-0.6, 0.6, shape), **geometry)

    def layer(name, *connections, fires=True):
        channels = len(connections[0].weight)
        threshold = rng.uniform(1, 3, channels) if fires else None
        return SpikingLayer(name, connections, threshold, rng.normal(0, 0.3, channels), rng.uniform(-0.5, 1, channels))

    joins = [connection(1, 3, 4, 1, 2, pool=(2, 1), kind="linear")]
    if rng.random() < 0.5:
        joins.append(connection(0, 3, 3, 2, 2, pool=(2, 3), kind="linear"))
    conv = layer("conv", connection(INPUT, 3, 2, 2, 3, padding=(0, 1)))
    pooled = layer("pooled", connection(0, 4, 3, 1, 2, pool=(2, 2)))
    layers = (conv, pooled, layer("readout", *joins, fires=False))
    return SpikingNetwork("made", (2, 5, 6), schedule, steps, layers, pixel_scale=1 / 100)


def pixels(seed, images=3):
    """Frames over the whole range, uint8 [N, C, H, W]."""
    return np.random.default_rng(seed).integers(0, 256, (images, 2, 5, 6)).astype(np.uint8)


def charges(network, layer):
    """W·λ_in of each connection, θ, offset, bias in units of potential: design section 3 written down once more."""
    worth = []
    for c in layer.connections:
        spike = network.pixel_scale if c.source == INPUT else network.layers[c.source].threshold[:, None, None]
        worth.append(c.weight * spike)
    if network.schedule == "stream":
        return worth, layer.threshold, layer.initial, layer.bias
    # a frame arrives once instead of T times: λ/T instead of λ
    times, share = (1, network.levels) if network.reads_frame(layer) else (network.levels, 1)
    threshold = None if layer.threshold is None else layer.threshold / share
    return worth, threshold, layer.initial / share + times * layer.bias, np.zeros(layer.channels)


def scales(network, layer, bits, clipping, back):
    """s_c of each output channel; for the readout, which has one for all, what its dequantized weights show."""
    worth, limit = charges(network, layer)[0], 2 ** (bits - 1) - 1
    rows = np.concatenate([w.reshape(len(w), -1) for w in worth], axis=1)
    if layer.threshold is not None:
        return np.abs(rows).max(axis=1) / limit if clipping == "max" else CLIPPINGS[clipping](rows, limit)
    largest = max(np.abs(w).max() for w in charges(back, back.layers[-1])[0]) / limit
    # a quotient of float64 values: equal but for rounding
    assert clipping == "mse" or largest == pytest.approx(np.abs(rows).max() / limit, rel=1e-12)
    return np.full(len(rows), largest)


def half_up(values):
    """⌊x + ½⌋ from floor and fraction."""
    return np.floor(values) + (values - np.floor(values) >= 0.5)


@settings(max_examples=60, deadline=None)
@given(bits=st.one_of(st.integers(2, 8), st.just(16)), **CASES)
def test_integers_follow_the_formula(seed, bits, clipping, schedule, steps):
    network = spiking_network(seed, schedule, steps)
    fixed, back = (fold(network, bits, clipping=clipping) for fold in (quantize, dequantize))
    limit = 2 ** (bits - 1) - 1
    assert (fixed.weight_bits, fixed.schedule, fixed.time_steps) == (bits, schedule, steps)
    for layer, integer in zip(network.layers, fixed.layers, strict=True):
        worth, threshold, offset, bias = charges(network, layer)
        scale = scales(network, layer, bits, clipping, back)
        for c, w, i in zip(layer.connections, worth, integer.connections, strict=True):
            assert (i.source, i.stride, i.padding, i.pool, i.kind) == (c.source, c.stride, c.padding, c.pool, c.kind)
            assert np.array_equal(i.weight, np.clip(half_up(w / scale[:, None, None, None]), -limit, limit))
        assert max(np.abs(c.weight).max() for c in integer.connections) == limit
        assert np.array_equal(integer.offset, half_up(offset / scale))
        assert np.array_equal(integer.bias, half_up(bias / scale))
        assert threshold is None or np.array_equal(integer.threshold, half_up(threshold / scale))
    assert quantize(network, bits, clipping=clipping).fingerprint == fixed.fingerprint


@settings(max_examples=60, deadline=None)
@given(bits=st.integers(2, 8), **CASES)
def test_dequantized_network_does_what_the_integers_do(seed, bits, clipping, schedule, steps):
    network = spiking_network(seed, schedule, steps)
    fixed, back = (fold(network, bits, clipping=clipping) for fold in (quantize, dequantize))
    # Half a unit of membrane more changes no V ≥ θ between integers and keeps float32 off every tie, so that spikes
    # are the same and a score, in units of the readout's scale, is off by rounding only.
    layers = []
    for layer, integer, float_ in zip(network.layers, fixed.layers, back.layers, strict=True):
        scale = scales(network, layer, bits, clipping, back)
        unit = scale * (network.levels if schedule != "stream" and network.reads_frame(layer) else 1)
        nudged = replace(float_, initial=(integer.offset + 0.5) * unit)
        layers.append(float_ if layer.threshold is None else nudged)
    frames = pixels(seed) // 4
    exact = golden.run(fixed, frames, "spikes")
    # float32 keeps 24 bits: below 2^20 units the rounding of some tens of sums stays under 1/2
    assert max(np.abs(membrane).max() for membrane in exact.membranes) < 2**20
    scores = floating.run(replace(back, layers=tuple(layers)), frames) * (network.levels / scale[0])
    assert np.array_equal(np.rint(scores), exact.scores)


def dyadic(network, seed, bits):
    """The same geometry with every scale a power of two, so that float32 sums are exact; and the readout's scale.

    Not for ``radix``, whose 2^T − 1 levels divide no power of two.

    Weights lie a quarter beside integers, thresholds up to a half below powers of two: both get rounded.
    """
    rng, limit, layers = np.random.default_rng(seed), 2 ** (bits - 1) - 1, []
    for layer in network.layers:
        channels, fires = layer.channels, layer.threshold is not None
        scale = 2.0 ** rng.integers(-3, 3, channels if fires else 1) * np.ones(channels)
        connections = []
        for c in layer.connections:
            values = rng.integers(1 - limit, limit, c.weight.shape) + rng.choice([0, 0.25, -0.25], c.weight.shape)
            values[:, 0, 0, 0] = limit
            spike = 1 / 256 if c.source == INPUT else layers[c.source].threshold[:, None, None]
            connections.append(replace(c, weight=values * scale[:, None, None, None] / spike))
        share = network.levels if network.schedule != "stream" and network.reads_frame(layer) else 1
        threshold = (2.0 ** rng.integers(2, 8, channels) - rng.choice([0, 0.5], channels)) * scale * share
        threshold[0] = 16 * scale[0] * share  # holds the largest weights, whose product must be exact
        bias, initial = rng.integers(-9, 10, (2, channels)) * scale / 4
        layers.append(SpikingLayer(layer.name, tuple(connections), threshold if fires else None, bias, initial))
    return replace(network, layers=tuple(layers), pixel_scale=1 / 256), scale[0]


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    bits=st.integers(2, 8),
    schedule=st.sampled_from(["stream", "two_phase"]),
    steps=st.sampled_from([1, 2, 4, 8]),
)
def test_dequantized_scores_are_equal_where_float32_is_exact(seed, bits, schedule, steps):
    network, scale = dyadic(spiking_network(seed, schedule, steps), seed, bits)
    frames = pixels(seed)
    exact, scores = golden.run(quantize(network, bits), frames), floating.run(dequantize(network, bits), frames)
    assert np.array_equal(scores * steps / scale, exact.scores)
    assert np.array_equal(scores.argmax(axis=1), exact.predictions)


def one_layer(weight, *values):
    """Hidden neurons of one weight row each, with thresholds, biases and initial membranes; stream, T = 4."""
    weight = np.array(weight, float)[:, :, None, None]
    hidden = SpikingLayer("hidden", (Connection(INPUT, weight, kind="linear"),), *map(np.array, values))
    joined = Connection(0, np.ones((1, len(weight), 1, 1)), kind="linear")
    readout = SpikingLayer("readout", (joined,), None, np.ones(1), np.ones(1))
    return SpikingNetwork("one", (weight.shape[1], 1, 1), "stream", 4, (hidden, readout), pixel_scale=1.0)


def test_halves_round_up():
    halves = [0.5, 1.5, 2.5, -0.5, -1.5]
    assert round_half_up(halves).tolist() == [1, 2, 3, 0, -1]
    network = one_layer([[127, *halves]] * 3, [0.5, 1.5, 2.5], [0.5, 2.5, -0.5], [-1.5, -2.5, 2.5])
    layer = quantize(network, 8).layers[0]
    assert layer.connections[0].weight[:, :, 0, 0].tolist() == [[127, 1, 2, 3, 0, -1]] * 3
    assert [v.tolist() for v in (layer.threshold, layer.bias, layer.offset)] == [[1, 2, 3], [1, 3, 0], [-1, -2, 3]]


def test_channel_without_weights_keeps_its_bias():
    fixed = quantize(one_layer([[0, 0], [1, 2]], [0.3, 6], [0.15, 0], [0, 0]), 8)
    assert not fixed.layers[0].connections[0].weight[0].any()
    spikes = golden.run(fixed, np.zeros((1, 2, 1, 1), np.uint8), "spikes").spikes[0]
    assert spikes[0, :, 0].ravel().tolist() == [0, 1, 0, 1]  # 0.15 a step against 0.3


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("clipping", ["max", "mse"])
def test_error_table_says_what_each_layer_costs(schedule, clipping):
    network, frames = spiking_network(46, schedule, 4), pixels(46, 60)
    labels = floating.run(network, frames).argmax(axis=1)
    fixed, back = (fold(network, 3, clipping=clipping) for fold in (quantize, dequantize))
    table = error_table(network, frames, labels, 3, clipping=clipping)
    assert ",".join(table) == "layer,weight_sqnr_db,threshold_min,threshold_error,membrane_bits,accuracy_cost"
    assert table.layer.tolist() == ["conv", "pooled", "readout"]
    assert table.membrane_bits.tolist() == [proven.bits for proven in fixed.ranges]
    for index, (layer, integer, row) in enumerate(zip(network.layers, fixed.layers, table.itertuples(), strict=True)):
        worth, threshold = charges(network, layer)[:2]
        scale = scales(network, layer, 3, clipping, back)
        pairs = zip(worth, integer.connections, strict=True)
        noise = sum(((w - c.weight * scale[:, None, None, None]) ** 2).sum() for w, c in pairs)
        alone = floating.run(dequantize(network, 3, clipping=clipping, only=index), frames).argmax(axis=1)
        sqnr_db, smallest, drift = 10 * np.log10(sum((w**2).sum() for w in worth) / noise), np.nan, np.nan
        if threshold is not None:
            smallest, drift = integer.threshold.min(), np.abs(integer.threshold * scale / threshold - 1).max()
        found = [row.weight_sqnr_db, row.threshold_min, row.threshold_error, row.accuracy_cost]
        # float64 sums in another order
        assert found == pytest.approx([sqnr_db, smallest, drift, 100 * (alone != labels).mean()], rel=1e-9, nan_ok=True)
    assert table.accuracy_cost.min() >= 0 and table.accuracy_cost.max() > 0  # three bits do cost something here


@cache
def sqnr(clipping):
    """Signal to rounding noise in dB, [10 networks, 2 to 8 bits, layer]."""
    networks, one = [spiking_network(seed, "stream", 1) for seed in range(10)], (pixels(0, 1), np.zeros(1, int))
    tables = [[error_table(n, *one, bits, clipping=clipping) for bits in range(2, 9)] for n in networks]
    return np.array([[table.weight_sqnr_db for table in row] for row in tables])


@pytest.mark.parametrize("clipping", ["max", "mse"])
def test_signal_to_noise_rises_with_every_bit(clipping):
    assert (np.diff(sqnr(clipping), axis=1) > 0).all()
    # a bit halves the rounding error: 6.02 dB, up to the luck of some hundred weights
    assert np.diff(sqnr(clipping).mean(axis=(0, 2)))[2:] == pytest.approx(6.02, abs=0.7)


@pytest.mark.parametrize("layer", range(3))
def test_mse_clipping_is_never_worse_than_max(layer):
    gain = (sqnr("mse") - sqnr("max"))[:, :, layer]
    assert gain.min() >= -1e-9  # float64 sums, in dB
    assert gain.max() > 0.5


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, limit=st.sampled_from([1, 3, 7, 127]))
def test_mse_scale_is_the_best_of_its_candidates(seed, limit):
    rows = np.random.default_rng(seed).normal(0, 1, (3, 20))

    def error(row, scale):
        return ((row - np.clip(half_up(row / scale), -limit, limit) * scale) ** 2).sum()

    for row, chosen in zip(rows, CLIPPINGS["mse"](rows, limit), strict=True):
        best = min(error(row, np.abs(row).max() / limit * factor) for factor in np.linspace(1, 0.25, 64))
        assert error(row, chosen) <= best * (1 + 1e-12)  # float64 sums in another order


@pytest.mark.parametrize("index", range(3))
def test_only_rounds_one_layer(index):
    network = spiking_network(3, "two_phase", 4)
    alone, back = dequantize(network, 4, only=index), dequantize(network, 4)
    for place, layer in enumerate(alone.layers):
        meant = back if place == index else network
        assert np.array_equal(layer.threshold, meant.layers[place].threshold)
        worths = zip(charges(alone, layer)[0], charges(meant, meant.layers[place])[0], strict=True)
        # a spike is worth what it was, whatever its threshold rounds to; scaled there and back in float64
        assert all(np.allclose(ours, theirs, rtol=1e-12, atol=0) for ours, theirs in worths)


def test_a_channel_without_weights_does_not_rule_the_power_of_two():
    rng = np.random.default_rng(3)
    weight = rng.normal(size=(5, 6, 1, 1))
    weight[2] = 0

    def network(kept):
        theta = np.full(len(kept), 3.0)
        hidden = SpikingLayer("hidden", (Connection(INPUT, weight[kept], kind="linear"),), theta, 0 * theta, theta / 2)
        readout = SpikingLayer(
            "out",
            (Connection(0, rng.normal(size=(3, len(kept), 1, 1)), kind="linear"),),
            None,
            np.zeros(3),
            np.zeros(3),
        )
        return SpikingNetwork("dead", (6, 1, 1), "two_phase", 4, (hidden, readout))

    alive, all_of_them = [0, 1, 3, 4], [0, 1, 2, 3, 4]
    without, with_it = (quantize(network(kept), 8, pow2=True).layers[0] for kept in (alive, all_of_them))
    assert set(with_it.threshold) == set(without.threshold) and (with_it.threshold & (with_it.threshold - 1) == 0).all()
    assert np.array_equal(with_it.connections[0].weight[alive], without.connections[0].weight)
    assert np.abs(without.connections[0].weight).max() > 40


def test_weights_beyond_floating_point():
    """Refused: as integers they would be anything."""
    network = spiking_network(3, "stream", 4)
    first, second, last = network.layers
    big = replace(second.connections[0], weight=second.connections[0].weight * 1e308)
    layers = (replace(first, threshold=first.threshold * 1e3), replace(second, connections=(big,)), last)
    with pytest.raises(InvalidValue, match=r"layer pooled: its weights, .* exceed floating point; repair its weights"):
        quantize(replace(network, layers=layers))
