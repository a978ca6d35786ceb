"""Input ``spikes``: frames that are trains of spikes drive the first layers as a hidden layer's would."""

from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hdl.packing import SpikePacking
from hdl.program import Program
from sim import floating, golden, oracle
from sim.packets import input_packet
from tests.networks import NEURONS, frames_for, lively_network, random_network
from tests.unit.test_integers import assert_same, make_layer, make_network
from toolchain.buffers import peak
from toolchain.convert import METHODS, convert
from toolchain.encoding import input_events, input_values
from toolchain.energy import layer_counts, observe
from toolchain.energy.memory import snn_capacities
from toolchain.errors import InvalidValue
from toolchain.ir import INPUT, SpikingLayer, SpikingNetwork
from toolchain.netfile import load_fixed_point, save_network
from toolchain.quantize import quantize

SEEDS = st.integers(0, 2**32 - 1)
SPIKES = [{**neuron, "input": "spikes"} for neuron in NEURONS]
one_of_each = pytest.mark.parametrize("schedule", ["stream", "two_phase", "radix"])


def usual(schedule, negative="none"):
    return {"schedule": schedule, "negative": negative, "reset": "subtract", "compare": "ge", "input": "spikes"}


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, neuron=st.sampled_from(SPIKES), unusual=st.booleans())
def test_golden_model_equals_oracle_within_the_proven_ranges(seed, neuron, unusual):
    network = random_network(seed, neuron=neuron, unusual=unusual)
    frames = frames_for(network, seed, 2)
    trace = golden.run(network, frames, "spikes")
    assert_same(trace, oracle.run(network, frames))
    for proven, membranes in zip(network.ranges, trace.membranes, strict=True):
        assert proven.low <= membranes.min() and membranes.max() <= proven.high


def is_chain(network):
    return all(len(layer.connections) == 1 for layer in network.layers)


def cut(network, first):
    """The layers from ``first`` on, as a network that reads the spikes of the layer before."""
    layers = tuple(
        replace(layer, connections=tuple(replace(c, source=c.source - first) for c in layer.connections))
        for layer in network.layers[first:]
    )
    return replace(network, input="spikes", input_shape=network.shapes[first - 1], layers=layers)


@pytest.mark.parametrize("neuron", NEURONS, ids=["-".join(neuron.values()) for neuron in NEURONS])
def test_spikes_of_a_layer_drive_the_rest_as_the_layer_does(neuron):
    network = next(n for n in (lively_network({**neuron, "input": "direct"}, k) for k in count(1)) if is_chain(n))
    frames = frames_for(network, 3, 4)
    whole = golden.run(network, frames, "spikes")
    for first in (1, 2):
        part = golden.run(cut(network, first), whole.spikes[first - 1], "spikes")
        assert np.array_equal(part.scores, whole.scores)
        for name in ("events", "operations", "spikes"):
            counted = getattr(whole.activity, name)
            assert np.array_equal(getattr(part.activity, name), counted[:, first:])
        assert all(map(np.array_equal, part.spikes, whole.spikes[first:]))
        assert all(map(np.array_equal, part.membranes, whole.membranes[first:]))


def test_a_layer_may_join_input_spikes_with_those_of_a_layer():
    rng = np.random.default_rng(0)
    hidden = make_layer(INPUT, rng.integers(-9, 10, (3, 3, 3, 3)), [20] * 3, [5] * 3, padding=(1, 1))
    joined = make_layer(0, rng.integers(-9, 10, (3, 3, 3, 3)), [30] * 3, [9] * 3, padding=(1, 1))
    shortcut = replace(
        make_layer(INPUT, 15 * np.eye(3)[:, :, None, None], None, [0] * 3).connections[0], kind="identity"
    )
    joined = replace(joined, connections=(*joined.connections, shortcut))
    readout = make_layer(1, rng.integers(-9, 10, (2, 3, 4, 4)), None, [1, 2], kind="linear")
    network = make_network("stream", 5, (3, 4, 4), hidden, joined, readout, input="spikes")
    frames = frames_for(network, 1, 3)
    assert_same(trace := golden.run(network, frames, "spikes"), oracle.run(network, frames))
    without = replace(network, layers=(hidden, replace(joined, connections=joined.connections[:1]), readout))
    assert not np.array_equal(trace.scores, golden.run(without, frames).scores)
    with pytest.raises(InvalidValue, match="mixes the input frame with spikes"):
        replace(network, input="direct")


@pytest.mark.parametrize("negative", ["none", "symmetric"])
def test_only_the_sums_of_trains_count_in_two_phase_and_their_numbers_in_radix(negative):
    rng = np.random.default_rng(2)
    network = replace(lively_network(usual("two_phase", negative), 0), time_steps=4)
    frames = frames_for(network, 5, 3)
    shuffled = rng.permuted(frames, axis=1)
    assert not np.array_equal(frames, shuffled)
    assert_same(golden.run(network, frames, "spikes"), golden.run(network, shuffled, "spikes"))
    # V = Σ w · Σ_t s·2^(T−1−t)
    weight = rng.integers(-99, 100, (3, 4))
    radix = make_network("radix", 5, (4, 1, 1), make_layer(INPUT, weight, None, [7, 8, 9]), input="spikes")
    trains = rng.integers(0, 2, (6, 5, 4, 1, 1)).astype(np.int8)
    numbers = (trains[:, :, :, 0, 0] * 2 ** np.arange(4, -1, -1)[:, None]).sum(axis=1)
    assert np.array_equal(golden.run(radix, trains).scores, numbers @ weight.T + [7, 8, 9])


@one_of_each
def test_cut_short_trains_are_what_anytime_shows(schedule):
    network = lively_network(usual(schedule), 0)
    frames = frames_for(network, 8, 3)
    if schedule != "stream":
        with pytest.raises(InvalidValue, match="must be stream"):
            golden.anytime(network, frames, (1, 2))
        return
    network = replace(network, time_steps=6)
    frames = frames_for(network, 8, 3)
    for step, trace in zip((2, 6), golden.anytime(network, frames, (2, 6)), strict=True):
        assert_same(golden.run(replace(network, time_steps=step), frames[:, :step]), trace)


def dyadic(network):
    """The integers as a float network: thresholds are powers of two, so that dividing by them is exact."""
    thresholds = [None if x.threshold is None else 2.0 ** np.ceil(np.log2(x.threshold)) for x in network.layers]
    layers = []
    for layer, threshold in zip(network.layers, thresholds, strict=True):
        connections = tuple(
            replace(c, weight=c.weight / (1.0 if c.source == INPUT else c.fed_by(thresholds[c.source])))
            for c in layer.connections
        )
        layers.append(SpikingLayer(layer.name, connections, threshold, layer.bias, layer.offset))
    fixed = tuple(
        replace(layer, threshold=None if t is None else t.astype(int))
        for layer, t in zip(network.layers, thresholds, strict=True)
    )
    spiking = SpikingNetwork(
        "dyadic",
        network.input_shape,
        network.schedule,
        network.time_steps,
        tuple(layers),
        input="spikes",
        pixel_scale=1.0,
    )
    return spiking, replace(network, layers=fixed)


@one_of_each
def test_float_simulation_fires_the_same_trains(schedule):
    spiking, fixed = dyadic(lively_network(usual(schedule), 1))
    frames = frames_for(fixed, 4, 5)
    trace = golden.run(fixed, frames, "spikes")
    assert trace.activity.spikes.any()
    assert np.allclose(floating.run(spiking, frames) * (spiking.levels), trace.scores)


def test_quantized_source_on_spikes_counts_and_keeps_its_predictions(tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 8, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32, 4),
    ).eval()
    rng = np.random.default_rng(1)
    rates = rng.random((40, 1, 2, 8, 8)) ** 3
    frames = (rng.random((40, 64, 2, 8, 8)) < rates).astype(np.int8)
    spiking = convert(module, torch.tensor(frames.mean(axis=1, dtype=np.float32)), "optimal", 64, input="spikes")
    assert (spiking.input, spiking.pixel_scale, spiking.frame_shape) == ("spikes", 1.0, (64, 2, 8, 8))
    fixed = quantize(spiking, 8)
    with torch.inference_mode():
        wanted = module(torch.tensor(input_values(spiking, frames))).argmax(dim=1).numpy()
    assert (golden.run(fixed, frames).predictions == wanted).mean() >= 0.9
    assert floating.accuracy(spiking, frames, wanted) >= 90
    save_network(fixed, tmp_path / "net.safetensors")
    again = load_fixed_point(tmp_path / "net.safetensors")
    assert again.fingerprint == fixed.fingerprint != replace(fixed, input="rate").fingerprint
    # the first layer does synaptic operations and no multiplication
    activity = observe(fixed, frames, golden.run(fixed, frames, "counts"))
    first, *_ = layer_counts(fixed, activity)
    assert (
        first.input_kind == "spikes" and not first.mac_input.any() and not first.plane_sums.any() and not first.random
    )
    assert np.array_equal(first.sop, activity.operations[:, 0]) and first.sop.all()
    assert np.array_equal(first.spikes_in, input_events(fixed, frames).sum(axis=(1, 2, 3)))
    # input spikes are held until the first layer has run
    held = 64 * np.array([2 * 8 * 8, 6 * 8 * 8, 8 * 2 * 2])
    assert snn_capacities(fixed)[2] == max(held[0] + held[1], held[1] + held[2])


def test_methods_that_run_pixels_refuse_spikes():
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    for method in ("calibration", "spike_norm"):
        with pytest.raises(InvalidValue, match=f"input is 'spikes', must be one of .* with method {method}"):
            convert(module, torch.rand(4, 1, 2, 2), method, input="spikes")
    assert sum("spikes" in method.inputs for method in METHODS.values()) >= 10
    with pytest.raises(InvalidValue, match=r"calibration lies in .*, must lie in \[0, 1\]"):
        convert(module, 2 * torch.rand(4, 1, 2, 2) + 1, "optimal", input="spikes")


BAD = [
    (lambda f: f.astype(np.uint8), "none", "frames are uint8, must be int8 spikes of 0 and 1"),
    (lambda f: f[:, :2], "none", r"frames have shape \(2, 2, .*must be \[N, T, C, H, W\] with \(T, C, H, W\) = \(4, "),
    (lambda f: f[0], "none", "frames have shape"),
    (lambda f: f[:0], "none", "there is no frame to run"),
    (lambda f: 2 * np.abs(f), "none", "frames hold 2, spikes must be 0 to 1: one spike a step at most"),
    (lambda f: -np.abs(f), "none", "frames hold -1, spikes must be 0 to 1: .*none negative with negative none"),
    (lambda f: -2 * np.abs(f), "symmetric", "frames hold -2, spikes must be -1 to 1: one spike a step at most"),
]


@pytest.mark.parametrize(("change", "negative", "message"), BAD)
def test_what_is_no_train_of_spikes_is_refused(change, negative, message):
    network = replace(lively_network(usual("stream", negative), 0), time_steps=4)
    frames = np.ones((2, *network.frame_shape), np.int8)
    with pytest.raises(InvalidValue, match=message):
        golden.run(network, change(frames))


PACKINGS = [
    # (shape, T, lanes, signed): bits of a field, fields a word, words a field, words
    (((2, 3, 3), 4, 16, False), (2, 16, 1, 3)),
    (((1, 3, 3), 4, 16, False), (1, 32, 1, 2)),
    (((2, 3, 3), 4, 1, True), (2, 16, 1, 5)),
    (((3, 1, 5), 2, 16, False), (4, 8, 1, 2)),
    (((20, 1, 2), 1, 16, False), (16, 2, 1, 2)),
    (((40, 1, 2), 3, 64, False), (32, 1, 2, 12)),
    (((40, 1, 2), 3, 64, True), (32, 1, 3, 18)),
]


@pytest.mark.parametrize(("sizes", "expected"), PACKINGS)
def test_fields_of_a_packet(sizes, expected):
    shape, steps, lanes, signed = sizes
    packing = SpikePacking(shape, steps, lanes, signed=signed)
    assert (packing.field_bits, packing.fields_a_word, packing.words_a_field, packing.words) == expected
    rng = np.random.default_rng(3)
    frame = rng.integers(-1 if signed else 0, 2, (steps, *shape)).astype(np.int8)
    words = packing.pack(frame)
    assert words.dtype == np.uint32 and len(words) == packing.words
    bits = "".join(format(int(word), "032b")[::-1] for word in words)
    room = packing.field_bits * packing.words_a_field
    places = [
        (y, x, g, t)
        for y in range(shape[1])
        for x in range(shape[2])
        for g in range(packing.groups)
        for t in range(steps)
    ]
    for (y, x, g, t), start in zip(places, range(0, len(bits), room), strict=False):
        channels = [c if c < shape[0] else None for c in range(g * lanes, g * lanes + packing.used)]
        spikes = [0 if c is None else int(frame[t, c, y, x]) for c in channels]
        field = [abs(s) for s in spikes] + ([int(s < 0) for s in spikes] if signed else [])
        assert bits[start : start + room] == "".join(map(str, field)).ljust(room, "0")
    assert not int(bits[len(places) * room :] or "0", 2)


def test_a_frame_that_no_header_can_count_is_refused():
    network = make_network(
        "two_phase", 1024, (1, 128, 129), make_layer(INPUT, np.ones((1, 1, 128, 129), int), None, [0]), input="spikes"
    )
    with pytest.raises(
        InvalidValue, match="16908288 spike words on 4 lanes, the limit of a packet is 16777215; use fewer"
    ):
        input_packet(np.zeros(network.frame_shape, np.int8), Program(network, 4))


def test_input_spikes_share_memory_with_layers_that_come_later():
    network = lively_network(usual("two_phase"), 0)
    program = Program(network, 2)
    given, sizes = program.packing.fields, program.spike_sizes
    assert program.spike_words == peak((given, *sizes), (1, 2, 3, 3)) < given + sum(sizes)
    assert program.frame_words == 0
