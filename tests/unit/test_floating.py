"""The float simulator against a literal reading of design, section 3: one frame, one neuron, one step at a time."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import floating, passage
from toolchain.connection import Connection
from toolchain.errors import InvalidValue
from toolchain.ir import INPUT, SpikingLayer, SpikingNetwork
from toolchain.lfsr import random_bytes

SEEDS = st.integers(0, 2**32 - 1)
SHAPE = (2, 2, 3)
NEURONS = [
    ("stream", negative, reset)
    for negative, reset in [
        ("none", "subtract"), ("none", "zero"), ("symmetric", "subtract"), ("asymmetric", "subtract"),
        ("correcting", "subtract"), ("memory", "subtract"), ("floor", "subtract"),
    ]
] + [(s, n, "subtract") for s in ("two_phase", "radix") for n in ("none", "symmetric", "asymmetric")]  # fmt: skip
NEURONS += [("two_phase", "floor", "subtract"), ("switched", "none", "subtract")]


def network_of(seed, schedule, steps, negative="none", reset="subtract", input="direct", compare="ge"):
    """12 pixels, 5 and 4 neurons, a readout of 3 that reads both; binary fractions, so that float32 sums are exact."""
    rng = np.random.default_rng(seed)

    def layer(name, channels, *sources):
        connections = tuple(
            Connection(s, rng.integers(-8, 9, (channels, *shape)) / 4, kind="linear") for s, shape in sources
        )
        fires = name != "readout"
        threshold = 2.0 ** rng.integers(-1, 3, channels) if fires else None
        below = 2.0 ** rng.integers(-1, 3, channels) if fires and negative == "asymmetric" else None
        bias, initial = rng.integers(-4, 5, (2, channels)) / 8
        return SpikingLayer(name, connections, threshold, bias, initial, negative_threshold=below)

    layers = (
        layer("first", 5, (INPUT, SHAPE)),
        layer("second", 4, (0, (5, 1, 1))),
        layer("readout", 3, (0, (5, 1, 1)), (1, (4, 1, 1))),
    )
    neuron = {"negative": negative, "reset": reset, "input": input, "compare": compare, "seed": 1 + seed % 1000}
    return SpikingNetwork("made", SHAPE, schedule, steps, layers, **neuron, pixel_scale=1 / 256)


def frames_of(seed, images=3):
    return np.random.default_rng(seed).integers(0, 256, (images, *SHAPE)).astype(np.uint8)


def presented(network, frame):
    """What the first layer's synapses see in each step, in units of activation; [T, C, H, W]."""
    steps = network.time_steps
    if network.input != "rate":
        return np.array([frame * network.pixel_scale] * steps)
    channels, _, width = SHAPE
    values, spikes = random_bytes(network.seed, steps * frame.size), np.zeros((steps, *SHAPE))
    for t in range(steps):
        for c, y, x in np.ndindex(SHAPE):
            i = (y * width + x) * channels + c
            n = t * frame.size + i if network.schedule == "stream" else i * steps + t
            spikes[t, c, y, x] = values[n] < frame[c, y, x]
    return spikes * 256 * network.pixel_scale


def fire(network, layer, c, v, total, unit=1):
    """One firing: the spike, and the membrane after it."""
    theta = layer.threshold[c] * unit
    below = theta if layer.negative_threshold is None else layer.negative_threshold[c] * unit
    reached = (lambda a, b: a >= b) if network.compare == "ge" else (lambda a, b: a > b)
    if reached(v, theta):
        return 1, v - theta if network.reset == "subtract" else 0
    if network.negative in ("symmetric", "asymmetric") and reached(-v, below):
        return -1, v + below
    if v < 0 and (network.negative == "floor" or (network.negative == "correcting" and total > 0)):
        return -1, v + theta
    if network.negative == "memory" and reached(-v, theta) and total > 0:
        return -1, v + theta
    return 0, v


def literal(network, frame):
    """Scores and the number of spikes."""
    steps, radix, switched = network.time_steps, network.schedule == "radix", network.schedule == "switched"
    trains, spikes = [], 0  # what each layer's spikes are worth in each step
    for layer in network.layers:
        arriving = np.zeros((steps, layer.channels))
        for c in layer.connections:
            source = presented(network, frame) if c.source == INPUT else trains[c.source]
            drive = source.reshape(steps, -1) @ c.weight.reshape(layer.channels, -1).T
            # in switched a spike changes a synaptic current, which stays
            arriving += np.cumsum(drive, axis=0) if switched and c.source != INPUT else drive
        train, final = np.zeros((steps, layer.channels)), np.zeros(layer.channels)
        for neuron in range(layer.channels):
            v, counted = 0 if radix else layer.initial[neuron], 0
            fires = layer.threshold is not None
            for t in range(steps):
                v = (2 * v if radix else v) + arriving[t, neuron] + layer.bias[neuron]
                if fires and network.schedule == "stream":
                    train[t, neuron], v = fire(network, layer, neuron, v, counted)
                    counted += train[t, neuron]
            v = v + layer.initial[neuron] if radix else v
            for t in range(steps if fires and network.schedule != "stream" else 0):
                s, v = fire(network, layer, neuron, v, counted, 2 ** (steps - 1) if radix else 1)
                v *= 2 if radix else 1
                counted += s
                train[t, neuron] = s
            if switched and fires:
                spikes += 2 * (counted > 0)
                train[:, neuron] = 0
                train[0, neuron] += counted > 0
                if 0 < counted < steps:
                    train[int(counted), neuron] -= 1
            final[neuron] = v
        spikes += 0 if switched else int(np.abs(train).sum())
        trains.append(train if layer.threshold is None else train * layer.threshold)
    return final / network.levels, spikes


@settings(max_examples=150, deadline=None)
@given(
    seed=SEEDS,
    neuron=st.sampled_from(NEURONS),
    steps=st.integers(1, 9),
    input=st.sampled_from(["direct", "bitplane", "rate"]),
    compare=st.sampled_from(["ge", "gt"]),
)
def test_every_neuron_and_input_is_the_literal_one(seed, neuron, steps, input, compare):
    schedule, negative, reset = neuron
    if schedule == "switched" or (schedule == "radix" and input == "rate"):
        input = "direct"
    network, frames = network_of(seed, schedule, steps, negative, reset, input, compare), frames_of(seed)
    found = floating.trace(network, frames)
    expected = [literal(network, frame) for frame in frames]
    # membranes are exact; their quotient by the levels is rounded once in float32
    assert found.scores == pytest.approx(np.array([scores for scores, _ in expected]), rel=1e-6, abs=1e-6)
    assert found.spikes.tolist() == [spikes for _, spikes in expected]
    assert np.array_equal(found.scores, floating.run(network, frames))


@pytest.mark.parametrize("input", ["direct", "rate"])
@pytest.mark.parametrize("neuron", NEURONS)
def test_blocks_and_batches_change_nothing(monkeypatch, neuron, input):
    schedule, negative, reset = neuron
    if schedule in ("radix", "switched"):
        input = "direct"
    network, frames = network_of(7, schedule, 9, negative, reset, input), frames_of(7, 70)
    whole = floating.trace(network, frames)
    monkeypatch.setattr(passage, "_BLOCK_VALUES", 48)  # 4 frames of 12 pixels at once, or fewer and some steps
    monkeypatch.setattr(passage, "_BATCH", 2)
    parts = floating.trace(network, frames)
    assert np.array_equal(whole.scores, parts.scores) and np.array_equal(whole.spikes, parts.spikes)
    for a, b in zip((*whole.inputs, *whole.outputs), (*parts.inputs, *parts.outputs), strict=True):
        assert np.array_equal(a, b)
    assert whole.spikes.max() > 0


def test_passages_side_by_side_leave_their_users_gradients_alone():
    network, frames = network_of(7, *NEURONS[0][:1], 3, *NEURONS[0][1:], "direct"), frames_of(7)
    for one, other in zip(passage.passages(network, frames), passage.passages(network, frames), strict=True):
        assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        assert torch.equal(one.inputs, other.inputs)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("input", ["direct", "rate"])
@pytest.mark.parametrize("neuron", NEURONS)
def test_anytime_is_one_run_for_each_t(neuron, input):
    schedule, negative, reset = neuron
    if schedule in ("radix", "switched"):
        input = "direct"
    network, frames, steps = network_of(3, schedule, 4, negative, reset, input), frames_of(3, 40), (1, 3, 4, 8)
    found = floating.anytime(network, frames, steps)
    assert found.dtype == np.float32 and found.shape == (4, 40, 3)
    separate = [floating.run(network.with_time_steps(t), frames) for t in steps]
    assert np.array_equal(found, separate)
    assert not np.array_equal(found[0], found[3])


@pytest.mark.parametrize("steps", [(), (4, 4), (4, 2), (0, 4)])
def test_anytime_refuses_what_is_no_increasing_list(steps):
    with pytest.raises(InvalidValue, match=r"time steps (are|is) .*(in increasing order|must be 1 to)"):
        floating.anytime(network_of(3, "stream", 4), frames_of(3), steps)


@pytest.mark.parametrize("steps", [1, 2, 7, 16])
def test_switched_gives_the_scores_of_two_phase_with_two_spikes(steps):
    network, frames = network_of(5, "two_phase", steps), frames_of(5, 60)
    switched = replace(network, schedule="switched")
    # binary fractions: the sums are exact in any order
    assert np.array_equal(floating.run(switched, frames), floating.run(network, frames))
    fired = np.concatenate([(o != 0).reshape(60, -1) for o in floating.trace(network, frames).outputs], axis=1)
    assert fired.any() and floating.trace(switched, frames).spikes.tolist() == (2 * fired.sum(axis=1)).tolist()


def test_trace_stands_for_the_values_of_the_source():
    network, frames = network_of(11, "two_phase", 1024, "asymmetric"), frames_of(11, 30)
    found = floating.trace(network, frames)
    first, second = network.layers[:2]
    x = frames.reshape(30, -1) / 256
    before = x @ first.connections[0].weight.reshape(5, -1).T + first.bias
    assert found.inputs[0][:, :, 0, 0] == pytest.approx(before, abs=1e-5)
    slope = first.threshold / first.negative_threshold
    after = np.clip(np.where(before > 0, before, slope * before), -first.threshold, first.threshold)
    assert (after == first.threshold).any() and (after < 0).any() and (after == -first.threshold).any()
    # at most one of 1,024 levels short of the value, and the initial membrane: 4.5 levels of the least threshold 1/2
    assert found.outputs[0][:, :, 0, 0] == pytest.approx(after, abs=6 * first.threshold.max() / 1024)
    then = found.outputs[0][:, :, 0, 0] @ second.connections[0].weight.reshape(4, -1).T + second.bias
    assert found.inputs[1][:, :, 0, 0] == pytest.approx(then, abs=1e-4)


@pytest.mark.parametrize(("schedule", "steps"), [("two_phase", 1000), ("stream", 1000), ("radix", 10)])
@pytest.mark.parametrize("slope", [0.1, 0.5, 1.0])
def test_asymmetric_approaches_leaky_relu(schedule, steps, slope):
    rng = np.random.default_rng(1)
    weight, theta = rng.normal(0, 1, (6, *SHAPE)) / 2, 3.0
    hidden = SpikingLayer(
        "hidden",
        (Connection(INPUT, weight, kind="linear"),),
        np.full(6, theta),
        np.zeros(6),
        np.zeros(6),
        negative_threshold=np.full(6, theta / slope),
    )
    eye = Connection(0, np.eye(6)[:, :, None, None], kind="linear")
    readout = SpikingLayer("readout", (eye,), None, np.zeros(6), np.zeros(6))
    network = SpikingNetwork("leaky", SHAPE, schedule, steps, (hidden, readout), negative="asymmetric")
    frames = frames_of(2, 50)
    x = torch.tensor(frames.reshape(50, -1) / 255 @ weight.reshape(6, -1).T)
    expected = F.leaky_relu(x, slope).clamp(-theta, theta).numpy()
    assert expected.min() < -0.05 and expected.max() > 1
    error = np.abs(floating.run(network, frames) - expected).max()
    assert error < 2 * theta / 1000


@pytest.mark.parametrize("schedule", ["stream", "two_phase"])
def test_rate_input_approaches_direct_in_the_mean(schedule):
    frames, errors = frames_of(4, 20), []
    for steps in (16, 1024):
        network = network_of(4, schedule, steps, input="rate")
        drive = floating.trace(network, frames).inputs[0]
        meant = floating.trace(replace(network, input="direct"), frames).inputs[0]
        errors.append(np.abs(drive - meant).mean())
    # 64 times as many random bits: about an eighth of the error
    assert errors[1] < errors[0] / 4
    assert errors[1] < 0.05
    other = floating.trace(replace(network, seed=network.seed + 1), frames).inputs[0]
    assert not np.array_equal(drive, other)
