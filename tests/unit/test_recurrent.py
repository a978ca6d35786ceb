"""Recurrent conversion: the leak in integers, two readings of one network, proven ranges, and digits read row by row."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sim import recurrent, recurrent_oracle
from toolchain import datasets
from toolchain.errors import InvalidValue, UnsupportedModule
from toolchain.fixedpoint import weight_limit
from toolchain.recurrent import (
    MAX_LEAK_SHIFT,
    RECURRENT_SCHEDULES,
    FixedPointRecurrentLayer,
    FixedPointRecurrentNetwork,
    Leak,
    RecurrentLayer,
    RecurrentNetwork,
)
from toolchain.recurrent_conversion import convert_recurrent, quantize_recurrent
from toolchain.recurrent_source import (
    RecurrentSource,
    ResidualThresholdReLU,
    accuracy,
    rows,
    train_recurrent,
)
from toolchain.train import pixels_to_input

EVERY_LEAK = [Leak(a, b) for a in range(1, MAX_LEAK_SHIFT + 1) for b in (None, *range(a + 1, MAX_LEAK_SHIFT + 1))]
SMALL_LEAKS = [leak for leak in EVERY_LEAK if leak.first <= 4 and (leak.second or 0) <= 6]


# --- leak ---------------------------------------------------------------------------------------------------------


@given(leak=st.sampled_from(EVERY_LEAK), values=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=2))
def test_leak_rounds_down_by_less_than_two_and_is_monotone(leak, values):
    leaked = leak.shifted(np.sort(np.array(values, np.int64)))
    exact = np.sort(np.array(values, np.int64)) * leak.value  # a double holds 31 + 15 bits
    most = (1 if leak.second is None else 2) - leak.value
    assert (leaked <= exact).all() and (exact - leaked <= most).all()
    assert (np.diff(leaked) >= 0).all()


@settings(max_examples=50)
@given(leak=st.sampled_from(EVERY_LEAK), start=st.integers(-(2**31), 2**31 - 1))
def test_leak_alone_costs_at_most_8_lsb_in_all(leak, start):
    value, exact = np.array([start]), float(start)
    for _ in range(100):
        value, exact = leak.shifted(value), leak.value * exact
        assert 0 <= exact - value[0] < 2 / (1 - leak.value) <= 8


@given(tau=st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_nearest_leak(tau):
    found = Leak.nearest(tau)
    assert abs(found.value - tau) == min(abs(leak.value - tau) for leak in EVERY_LEAK)


def test_nearest_leak_finds_each_leak_and_saturates():
    assert all(Leak.nearest(leak.value) == leak for leak in EVERY_LEAK)
    assert Leak.nearest(0.99) == Leak(1, 2) and Leak(1, 2).value == 0.75
    assert Leak.nearest(0.4375) == Leak(1)  # 7/16 lies between 3/8 and 1/2


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Leak(0), "leak shift is 0, must be 1 to 15"),
        (lambda: Leak(16), "leak shift is 16"),
        (lambda: Leak(2, 2), "second leak shift is 2, must be above the first, 2"),
        (lambda: Leak(1, 16), "second leak shift is 16"),
        (lambda: Leak(True), "leak shift is True"),
        (lambda: Leak.nearest(1.0), "leak τ is 1.0, must lie between 0 and 1"),
        (lambda: Leak.nearest(float("nan")), "leak τ is nan"),
    ],
)
def test_bad_leaks(make, message):
    with pytest.raises(InvalidValue, match=message):
        make()


# --- integers -----------------------------------------------------------------------------------------------------


READOUT = FixedPointRecurrentLayer("readout", np.array([[1]]), None, np.array([0]), np.array([0]), None)


def random_recurrent(seed, schedule=None, tokens=6):
    """A valid network of 1 to 3 layers of up to 5 neurons, with thresholds from silent to overdriven."""
    rng = np.random.default_rng(seed)
    bits = int(rng.integers(2, 9))
    limit = weight_limit(bits)
    sizes = rng.integers(1, 6, int(rng.integers(2, 5)))
    layers = []
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        readout = index == len(sizes) - 2
        reach = limit * inputs * (255 if index == 0 else 1)
        threshold = rng.integers(1, 2 + reach // int(rng.integers(1, 9)), outputs)
        layers.append(
            FixedPointRecurrentLayer(
                f"layer {index}",
                rng.integers(-limit, limit + 1, (outputs, inputs)),
                None if readout else threshold,
                rng.integers(-reach, reach + 1, outputs) // int(rng.integers(1, 9)),
                np.zeros(outputs, int) if readout or rng.random() < 0.3 else (threshold + 1) // 2,
                None if readout else SMALL_LEAKS[rng.integers(len(SMALL_LEAKS))],
            )
        )
    schedule = schedule or str(rng.choice(RECURRENT_SCHEDULES))
    steps = int(rng.integers(1, 7))
    return FixedPointRecurrentNetwork("random", int(sizes[0]), schedule, steps, tokens, tuple(layers), weight_bits=bits)


def random_sequences(seed, network, images=2):
    rng = np.random.default_rng(seed)
    shape = (images, int(rng.integers(1, network.tokens + 1)), network.inputs)
    if rng.random() < 0.5:
        return rng.choice([0, 255], shape).astype(np.uint8)
    return rng.integers(0, 256, shape).astype(np.uint8)


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), schedule=st.sampled_from(RECURRENT_SCHEDULES))
def test_model_equals_oracle_and_stays_in_the_proven_range(seed, schedule):
    network = random_recurrent(seed, schedule)
    sequences = random_sequences(seed, network)
    fast, naive = recurrent.run(network, sequences), recurrent_oracle.run(network, sequences)
    assert fast.fingerprint == naive.fingerprint == network.fingerprint
    assert np.array_equal(fast.scores, naive.scores)
    for ours, theirs in zip(fast.spikes + fast.charges, naive.spikes + naive.charges, strict=True):
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    for seen, proven in zip(naive.extremes, network.ranges, strict=True):
        assert proven.low <= seen.low and seen.high <= proven.high


@pytest.mark.parametrize("schedule", RECURRENT_SCHEDULES)
@pytest.mark.parametrize("leak", [Leak(1, 2), Leak(1), Leak(2, 5)])
def test_adversarial_input_reaches_the_proven_bound(schedule, leak):
    """All pixels that only take away, or only add, token after token: the geometric series itself."""
    weight = np.array([[127, -127, 90, -41]])
    layer = FixedPointRecurrentLayer("h", weight, np.array([5000]), np.array([3]), np.array([2500]), leak)
    network = FixedPointRecurrentNetwork("adversary", 4, schedule, 8, 60, (layer, READOUT))
    for worst in (weight[0] < 0, weight[0] > 0):
        sequence = np.broadcast_to((255 * worst).astype(np.uint8), (1, 60, 4))
        seen = recurrent_oracle.run(network, sequence).extremes[0]
        proven = network.ranges[0]
        assert proven.low <= seen.low and seen.high <= proven.high
        if worst[1]:
            assert seen.low <= 0.99 * proven.low
            assert seen.low < -1.2 * 8 * 255 * 168  # beyond what one token alone can take away
        else:
            assert seen.high >= 0.99 * proven.high


def test_range_covers_the_leaked_charge_itself():
    """A firing to 0 leaves U = −1, which leaks to −2 before shift and bias lift it again."""
    layer = FixedPointRecurrentLayer("h", np.array([[1]]), np.array([5]), np.array([1]), np.array([1]), Leak(1, 2))
    network = FixedPointRecurrentNetwork("lifted", 1, "stream", 1, 2, (layer, READOUT))
    seen = recurrent_oracle.run(network, np.array([[[3], [0]]], np.uint8)).extremes[0]
    assert seen.low == network.ranges[0].low == -2


@pytest.mark.parametrize("schedule", RECURRENT_SCHEDULES)
def test_hidden_ranges_do_not_depend_on_the_number_of_tokens(schedule):
    for seed in range(40):
        short, long = random_recurrent(seed, schedule, tokens=1), random_recurrent(seed, schedule, tokens=500)
        assert short.ranges[:-1] == long.ranges[:-1]
        assert long.ranges[-1].magnitude == 500 * short.ranges[-1].magnitude


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_two_phase_is_the_quantized_source_layer(seed):
    """count = clip(⌊V/θ⌋, 0, T) of the summed token, token after token, on the oracle."""
    network = random_recurrent(seed, "two_phase")
    sequences = random_sequences(seed, network)
    trace = recurrent_oracle.run(network, sequences)
    inputs = sequences.astype(np.int64) * network.time_steps
    for layer, spikes, charges in zip(network.layers[:-1], trace.spikes, trace.charges, strict=False):
        carried = np.zeros_like(charges[:, 0])
        for token in range(sequences.shape[1]):
            z = inputs[:, token] @ layer.weight.T + layer.bias + layer.leak.shifted(carried)
            count = np.clip((z + layer.shift) // layer.threshold, 0, network.time_steps)
            assert np.array_equal(spikes[:, token].sum(axis=1), count)
            carried = z - count * layer.threshold
            assert np.array_equal(charges[:, token], carried)
        inputs = spikes.sum(axis=2, dtype=np.int64)


@pytest.mark.parametrize(
    "shift, mean", [(True, 0.0), (False, -0.25 / 2)], ids=["lent shift is unbiased", "without it rates are too low"]
)
def test_lent_shift_keeps_the_rate_unbiased(shift, mean):
    """Mean of count·θ/T − a over drives inside [0, θ], in units of θ/T: 0, or −(1 − τ)/2."""
    theta, steps, leak = 1.0, 4, Leak(1, 2)
    layer = RecurrentLayer("h", np.eye(1), np.array([theta]), np.zeros(1), np.array([theta / 2 * shift]), leak)
    readout = RecurrentLayer("r", np.eye(1), None, np.zeros(1), np.zeros(1), None)
    network = RecurrentNetwork("one", 1, "two_phase", steps, 40, (layer, readout))
    sequences = np.random.default_rng(0).integers(40, 216, (500, 40, 1)).astype(np.uint8)
    count = recurrent.run_float(network, sequences).spikes[0].sum(axis=2)
    error = (count - steps * (sequences / 255))[:, 10:]  # settled
    # 15,000 errors with a deviation of at most 0.5: three standard deviations of their mean are 0.0123
    assert abs(error.mean() - mean) < 0.0123


def test_fingerprint_covers_meaning_only():
    network = random_recurrent(3)
    assert random_recurrent(3).fingerprint == network.fingerprint
    assert replace(network, name="other", provenance={"a": 1}).fingerprint == network.fingerprint
    hidden = network.layers[0]
    other = replace(hidden, leak=Leak(hidden.leak.first + 1)) if hidden.leak else replace(hidden, bias=hidden.bias + 1)
    assert replace(network, layers=(other, *network.layers[1:])).fingerprint != network.fingerprint
    assert replace(network, tokens=5).fingerprint != network.fingerprint


def test_arrays_are_read_only():
    for array in random_recurrent(3).layers[0].arrays().values():
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


# --- bad input ----------------------------------------------------------------------------------------------------


def fixed_layer(**changes):
    values = {
        "name": "h",
        "weight": np.array([[1, 2]]),
        "threshold": np.array([4]),
        "bias": np.array([0]),
        "shift": np.array([2]),
        "leak": Leak(1),
    }
    return FixedPointRecurrentLayer(**{**values, **changes})


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"weight": np.array([1, 2])}, r"weight has shape \(2,\), must be \[C_out, C_in\]"),
        ({"weight": np.array([[1.0, 2.0]])}, "weight is float64, must be integers"),
        ({"bias": np.array([2**31])}, "bias holds integers beyond 32 bits"),
        ({"bias": np.array([0, 0])}, r"bias has shape \(2,\), must be \(1,\)"),
        ({"threshold": np.array([0])}, "threshold of channel 0 is 0, must be above 0"),
        ({"shift": np.array([5])}, "shift of channel 0 is 5, must be 0 to the threshold, 4"),
        ({"shift": np.array([-1])}, "shift of channel 0 is -1"),
        ({"leak": None}, "has a threshold and no leak"),
        ({"threshold": None}, "has no threshold and a leak"),
    ],
)
def test_bad_layers(changes, message):
    with pytest.raises(InvalidValue, match=message):
        fixed_layer(**changes)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"schedule": "radix"}, "schedule is 'radix', must be one of stream, two_phase"),
        ({"time_steps": 0}, "time steps is 0, must be 1 to 1024"),
        ({"tokens": 0}, "tokens is 0, must be 1 to 65536"),
        ({"weight_bits": 17}, "weight bits is 17, must be 2 to 16"),
        ({"weight_bits": 2}, "layer h: weight 2 exceeds 1, the limit of 2 bits"),
        ({"inputs": 3}, "expects 2 inputs, its source has 3"),
        ({"layers": ()}, "no layer"),
        ({"layers": (fixed_layer(),)}, "layer h fires: the last layer, and no other, must be a readout"),
        ({"layers": (READOUT, READOUT), "inputs": 1}, "layer readout never fires"),
        (
            {"layers": (fixed_layer(bias=np.array([2**31 - 1])), READOUT)},
            "layer h needs a 36-bit membrane, the limit is 32; use fewer weight bits or time steps",
        ),
        (
            {"layers": (fixed_layer(), replace(READOUT, bias=np.array([2**30]))), "tokens": 9},
            "layer readout needs a .*fewer weight bits, tokens or time steps",
        ),
    ],
)
def test_bad_networks(changes, message):
    values = {"inputs": 2, "schedule": "stream", "time_steps": 4, "tokens": 3, "layers": (fixed_layer(), READOUT)}
    with pytest.raises(InvalidValue, match=message):
        FixedPointRecurrentNetwork(name="bad", **{**values, **changes})


@pytest.mark.parametrize("run", [recurrent.run, recurrent_oracle.run])
@pytest.mark.parametrize(
    "sequences, message",
    [
        (np.zeros((1, 2, 2)), "sequences are float64, must be uint8"),
        (np.zeros((1, 2, 3), np.uint8), r"must be \[N, S, C\] with C = 2"),
        (np.zeros((2, 2), np.uint8), r"must be \[N, S, C\]"),
        (np.zeros((0, 2, 2), np.uint8), "no sequence to run"),
        (np.zeros((1, 0, 2), np.uint8), "0 tokens, this network takes 1 to 3"),
        (np.zeros((1, 4, 2), np.uint8), "4 tokens, this network takes 1 to 3; convert it with more tokens"),
    ],
)
def test_bad_sequences(run, sequences, message):
    network = FixedPointRecurrentNetwork("n", 2, "stream", 4, 3, (fixed_layer(), READOUT))
    with pytest.raises(InvalidValue, match=message):
        run(network, sequences)


# --- digits, row by row -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    """Test sequences, labels, calibration sequences, the trained source and its scores; some seconds."""
    training, test = datasets.load("digits", "train"), datasets.load("digits", "test")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        source = train_recurrent(training, test)
    finally:
        torch.set_num_threads(threads)
    with torch.inference_mode():
        scores = source.module(pixels_to_input(torch.tensor(rows(test)))).numpy()
    return rows(test), test.labels, rows(training), source, scores


def test_source_learns_and_remembers(digits):
    sequences, labels, _, source, _ = digits
    assert source.provenance["test_accuracy"] >= 93
    assert accuracy(source.module, sequences, labels) == pytest.approx(source.provenance["test_accuracy"], abs=0.01)
    # the order of rows is half of what it knows
    assert accuracy(source.module, np.ascontiguousarray(sequences[:, ::-1]), labels) < 80


def test_source_layer_is_the_rule():
    layer = ResidualThresholdReLU(1, 1, Leak(1, 2))
    with torch.no_grad():
        layer.synapses.weight.fill_(1)
        layer.synapses.bias.fill_(0)
        values = layer(torch.tensor([[[3.0], [0.0], [-4.0], [1.0]]]))[0, :, 0]
    # z = 3, 1.5, −3.625, −1.71875: r = 2, 0.5, −3.625, −1.71875
    assert values.tolist() == [1.0, 1.0, 0.0, 0.0]


def test_float_network_approaches_the_source(digits):
    """two_phase: a rounding of ±θ/2T in each neuron, so the error of the scores halves as T doubles."""
    sequences, _, calibration, source, scores = digits
    errors = {}
    for schedule in RECURRENT_SCHEDULES:
        for steps in (2, 8, 32, 256) if schedule == "two_phase" else (2, 8, 32):
            network = convert_recurrent(source.module, calibration, steps, schedule=schedule)
            errors[schedule, steps] = np.abs(recurrent.run_float(network, sequences).scores - scores).mean()
    assert errors["two_phase", 8] < errors["two_phase", 2] / 2.5
    assert errors["two_phase", 32] < errors["two_phase", 8] / 2.5
    assert errors["two_phase", 256] < errors["two_phase", 32] / 5
    # stream falls too, but to a floor: charges carried over θ fire too early
    assert errors["stream", 32] < errors["stream", 8] < errors["stream", 2] / 2
    assert errors["stream", 32] > 2 * errors["two_phase", 32]


@pytest.mark.parametrize("schedule", RECURRENT_SCHEDULES)
@pytest.mark.parametrize("threshold", ["trained", "largest"])
def test_quantized_accuracy(digits, schedule, threshold):
    """Within 2.5 points of the source at 8 bits and T = 16.

    9 of 359 images: a network that is right with probability 0.95 and differs from the source by chance alone
    would scatter by 1.1 points, so this is a little over two standard deviations.
    """
    sequences, labels, calibration, source, _ = digits
    network = convert_recurrent(source.module, calibration, 16, schedule=schedule, threshold=threshold)
    fixed = quantize_recurrent(network)
    assert abs(recurrent.accuracy(fixed, sequences, labels) - source.provenance["test_accuracy"]) <= 2.5
    assert recurrent.accuracy(network, sequences, labels) >= source.provenance["test_accuracy"] - 2.5
    # at 14 bits integers decide as the float network does, but for near ties
    fine = recurrent.run(quantize_recurrent(network, 14), sequences).scores.argmax(axis=1)
    assert (fine == recurrent.run_float(network, sequences).scores.argmax(axis=1)).mean() >= 0.98


@pytest.mark.parametrize("schedule", RECURRENT_SCHEDULES)
def test_state_between_tokens_matters(digits, schedule):
    """Reset, a shorter leak, or another order of rows: each changes the scores and costs accuracy."""
    sequences, labels, calibration, source, _ = digits
    fixed = quantize_recurrent(convert_recurrent(source.module, calibration, 8, schedule=schedule))
    scores = recurrent.run(fixed, sequences).scores
    kept = 100 * (scores.argmax(axis=1) == labels).mean()
    # each token as a sequence of its own: the readout is a sum, so these are the scores with a reset
    reset = sum(recurrent.run(fixed, sequences[:, t : t + 1]).scores for t in range(sequences.shape[1]))
    assert np.array_equal(
        recurrent.run(fixed, sequences[:, :1]).charges[0][:, 0], recurrent.run(fixed, sequences).charges[0][:, 0]
    )
    assert 100 * (reset.argmax(axis=1) == labels).mean() < kept - 20
    shorter = replace(fixed, layers=tuple(replace(x, leak=Leak(4)) if x.leak is not None else x for x in fixed.layers))
    assert recurrent.accuracy(shorter, sequences, labels) < kept - 10
    backwards = recurrent.run(fixed, np.ascontiguousarray(sequences[:, ::-1])).scores
    assert not np.array_equal(backwards, scores)
    assert 100 * (backwards.argmax(axis=1) == labels).mean() < kept - 10
    without = recurrent.run(fixed, np.ascontiguousarray(sequences[:, [1, 0, *range(2, 8)]])).scores
    assert not np.array_equal(without, scores)


def test_oracle_agrees_on_digits(digits):
    sequences, _, calibration, source, _ = digits
    for schedule in RECURRENT_SCHEDULES:
        fixed = quantize_recurrent(convert_recurrent(source.module, calibration, 4, schedule=schedule))
        fast, naive = recurrent.run(fixed, sequences[:2]), recurrent_oracle.run(fixed, sequences[:2])
        for ours, theirs in zip(fast.spikes + fast.charges, naive.spikes + naive.charges, strict=True):
            assert np.array_equal(ours, theirs)


def test_same_seed_same_network():
    training, test = datasets.load("digits", "train").take(100), datasets.load("digits", "test").take(20)
    prints = set()
    for seed in (1, 1, 2):
        source = train_recurrent(training, test, hidden=(8,), epochs=2, seed=seed)
        prints.add(quantize_recurrent(convert_recurrent(source.module, rows(test))).fingerprint)
    assert len(prints) == 2


def test_bad_sources_and_options(digits):
    sequences, _, calibration, source, _ = digits
    module = source.module
    with pytest.raises(UnsupportedModule, match="Linear is no recurrent source; train one with train_recurrent"):
        convert_recurrent(nn.Linear(8, 10), calibration)
    with pytest.raises(InvalidValue, match="calibration is float64"):
        convert_recurrent(module, calibration / 255)
    with pytest.raises(InvalidValue, match=r"layers\.0 of RecurrentSource has 8 inputs, its source 4"):
        convert_recurrent(module, calibration[:, :, :4])
    with pytest.raises(InvalidValue, match="no threshold 'mean'; there are trained, largest"):
        convert_recurrent(module, calibration, threshold="mean")
    with pytest.raises(InvalidValue, match="schedule is 'radix'"):
        convert_recurrent(module, calibration, schedule="radix")
    network = convert_recurrent(module, calibration, tokens=3)
    with pytest.raises(InvalidValue, match="8 tokens, this network takes 1 to 3"):
        recurrent.run_float(network, sequences)
    with pytest.raises(InvalidValue, match="weight bits is 1, must be 2 to 16"):
        quantize_recurrent(network, 1)
    with pytest.raises(InvalidValue, match="no clipping 'none'; there are max, mse"):
        quantize_recurrent(network, clipping="none")
    small = replace(network.layers[1], threshold=np.full(64, 1e-9), shift=np.zeros(64))
    with pytest.raises(InvalidValue, match=r"layers.1: the threshold of channel \d+ rounds to 0"):
        quantize_recurrent(replace(network, layers=(network.layers[0], small, network.layers[2])))
    silent = RecurrentSource((8, 4, 10), Leak(1))
    with torch.no_grad():
        silent.layers[0].synapses.weight.fill_(-1)
        silent.layers[0].synapses.bias.fill_(-1)
    with pytest.raises(InvalidValue, match=r"layers\.0 is silent on all 5 calibration sequences"):
        convert_recurrent(silent, calibration[:5], threshold="largest")
    with torch.no_grad():
        silent.readout.weight.fill_(float("nan"))
    with pytest.raises(InvalidValue, match="layer readout: weight holds NaN"):
        convert_recurrent(silent, calibration)
    silent.layers[0] = nn.ReLU()
    with pytest.raises(UnsupportedModule, match=r"layers\.0 is a ReLU, must be a ResidualThresholdReLU"):
        convert_recurrent(silent, calibration)


def test_bad_training_options():
    training, test = datasets.load("digits", "train"), datasets.load("digits", "test")
    with pytest.raises(InvalidValue, match="epochs is 0"):
        train_recurrent(training, test, epochs=0)
    with pytest.raises(InvalidValue, match=r"sizes is \(8, 10\), must be inputs, hidden channels and classes"):
        train_recurrent(training, test, hidden=())
    with pytest.raises(InvalidValue, match=r"frames \(1, 28, 28\).*take both from one data set"):
        train_recurrent(training, datasets.load("bundled"))
    coloured = datasets.Dataset("rgb", np.zeros((2, 3, 8, 8), np.uint8), np.zeros(2, np.int64))
    with pytest.raises(InvalidValue, match="frames have 3 channels, rows are read from 1"):
        rows(coloured)


def test_channel_without_weights_keeps_its_bias():
    layer = RecurrentLayer("h", np.zeros((2, 1)), np.ones(2), np.array([0.5, 0.0]), np.full(2, 0.5), Leak(2))
    readout = RecurrentLayer("r", np.eye(2), None, np.zeros(2), np.zeros(2), None)
    network = RecurrentNetwork("bias", 1, "two_phase", 4, 2, (layer, readout))
    trace = recurrent.run(quantize_recurrent(network), np.zeros((1, 2, 1), np.uint8))
    assert trace.spikes[0].sum(axis=2).tolist() == [[[2, 0], [2, 0]]]
