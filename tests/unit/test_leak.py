"""Leaky membranes: the shift-add decay, its range, golden model against oracle and against a literal reading, files."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl.program import Program
from sim import floating, golden, oracle
from tests.networks import LEAKY_NEURONS, frames_for, leaky, lively_leaky_network, random_decay, random_network
from tests.unit.test_integers import BY_HAND, assert_same, drives, make_layer, make_network
from toolchain.checking.network_file import check_network
from toolchain.checking.options import CheckOptions
from toolchain.cli import run as command
from toolchain.connection import Connection
from toolchain.diagnose import diagnose
from toolchain.energy import energy_table, estimate, observe
from toolchain.energy.counts import layer_counts
from toolchain.energy.memory import snn_traffic
from toolchain.errors import InvalidValue, NetworkFileError
from toolchain.ir import INPUT, SpikingLayer, SpikingNetwork
from toolchain.leak import LEAK_ORDERS, MAX_DECAY_SHIFT, Decay, time_constant
from toolchain.netfile import load_network, save_network
from toolchain.quantize import dequantize, leak_errors, quantize
from toolchain.segments import segments
from toolchain.sizing.model import load_models
from toolchain.sizing.prediction import _beyond
from toolchain.sources import load_module

SEEDS = st.integers(0, 2**32 - 1)
NEURONS = st.sampled_from(LEAKY_NEURONS)
DECAYS = st.integers(0, 2**32 - 1).map(lambda seed: random_decay(np.random.default_rng(seed), MAX_DECAY_SHIFT))


def decayed(decay, membrane):
    """decay(V) of int64, by the sentence that defines it."""
    return membrane - sum((membrane >> abs(k)) * (-1 if k < 0 else 1) for k in decay.terms)


def network_of(seed, neuron, **options):
    """A random leaky network; a quarter of its layers does not leak."""
    return leaky(random_network(seed, neuron=neuron, **options), seed)


def stepwise(network, index, spikes, frames):
    """Membranes of a layer for its given input: those after the last step, and all that it took, in numpy."""
    layer, arriving = network.layers[index], drives(network, index, frames, spikes)
    offset, bias = (values[:, None, None] for values in (layer.offset, layer.bias))
    membrane, seen = 0 * arriving[:, 0] + offset, []
    for step in range(network.time_steps):
        if step and layer.leak is not None and network.leak_order == "reset_first":
            membrane = decayed(layer.leak, membrane)
        seen.append(membrane)
        membrane = membrane + arriving[:, step] + bias
        seen.append(membrane)
        fired = 0
        if layer.threshold is not None:
            theta = layer.threshold[:, None, None]
            fired = (membrane >= theta) if network.compare == "ge" else (membrane > theta)
            assert np.array_equal(fired, spikes[index][:, step])
            fired = theta * fired
        if network.leak_order == "leak_first" and layer.leak is not None and step < network.time_steps - 1:
            membrane = decayed(layer.leak, membrane) - fired
        elif network.reset == "zero":
            membrane = np.where(fired, 0, membrane)
        else:
            membrane = membrane - fired
        seen.append(membrane)
    return membrane, seen


@settings(max_examples=150, deadline=None)
@given(seed=SEEDS, neuron=NEURONS)
def test_golden_is_the_oracle(seed, neuron):
    network = network_of(seed, neuron)
    frames = frames_for(network, seed, 2)
    assert_same(golden.run(network, frames, "spikes"), oracle.run(network, frames))


@settings(max_examples=150, deadline=None)
@given(seed=SEEDS, neuron=NEURONS)
def test_membranes_are_the_literal_ones_and_stay_in_the_proven_range(seed, neuron):
    network = network_of(seed, neuron)
    frames = np.concatenate([frames_for(network, seed, 2), np.full((1, *network.input_shape), 255, np.uint8)])
    trace = golden.run(network, frames, "spikes")
    for index, proven in enumerate(network.ranges):
        membrane, seen = stepwise(network, index, trace.spikes, frames)
        assert np.array_equal(membrane, trace.membranes[index])
        assert proven.low <= min(v.min() for v in seen) and max(v.max() for v in seen) <= proven.high


def _towards_zero(membrane, leak):
    whole = membrane.clone()
    for term in leak.terms:
        membrane -= torch.trunc(whole * 2.0 ** -abs(term)) * (-1 if term < 0 else 1)


def _one_shift_less(membrane, leak):
    whole = membrane.clone()
    for term in leak.terms:
        membrane -= torch.floor(whole * 2.0 ** -abs(term + (1 if term > 0 else 0))) * (-1 if term < 0 else 1)


def _last_alone(membrane, leak):
    for term in leak.terms:
        membrane -= torch.floor(membrane * 2.0 ** -abs(term)) * (-1 if term < 0 else 1)


@pytest.mark.parametrize("fault", [_towards_zero, _one_shift_less, _last_alone])
@pytest.mark.parametrize("neuron", LEAKY_NEURONS)
def test_a_wrong_decay_in_the_golden_model_is_caught(monkeypatch, neuron, fault):
    network = lively_leaky_network(neuron, 0)
    frames = frames_for(network, 1, 12)
    exact = oracle.run(network, frames)
    assert_same(golden.run(network, frames, "spikes"), exact)
    monkeypatch.setattr(golden, "_decay", fault)
    with pytest.raises(AssertionError):
        assert_same(golden.run(network, frames, "spikes"), exact)


@pytest.mark.parametrize("neuron", LEAKY_NEURONS)
def test_a_decay_after_the_last_step_or_in_the_wrong_order_is_caught(neuron):
    network = lively_leaky_network(neuron, 0)
    frames = frames_for(network, 1, 12)
    exact = oracle.run(network, frames)
    trace = golden.run(network, frames, "spikes")
    late = decayed(network.layers[-1].leak, trace.scores)
    with pytest.raises(AssertionError):
        assert_same(replace(trace, scores=late), exact)
    if network.reset == "subtract":
        other = next(order for order in LEAK_ORDERS if order != network.leak_order)
        with pytest.raises(AssertionError):
            assert_same(golden.run(replace(network, leak_order=other), frames, "spikes"), exact)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, neuron=NEURONS, input=st.sampled_from(["direct", "rate", "spikes"]))
def test_anytime_is_one_run_for_each_t(seed, neuron, input):
    network = network_of(seed, {**neuron, "input": input}, time_steps=8)
    frames, steps = frames_for(network, seed, 3), (1, 3, 4, 8)
    for found, t in zip(golden.anytime(network, frames, steps), steps, strict=True):
        shown = frames[:, :t] if input == "spikes" else frames
        assert_same(found, golden.run(replace(network, time_steps=t), shown))


@pytest.mark.parametrize("order", LEAK_ORDERS)
def test_numbers_by_hand(order):
    # β = 3/4 as V − (V >> 2); 7 a step, θ = 10
    # reset first: 7 → 6 (7 − 1); 13 fires, 3 → 3; 10 fires, 0; 7
    # leak first:  7 → 6; 13 fires: 13 − 3 − 10 = 0; 7 → 6; 13 fires, no decay in the last step: 3
    hidden = replace(make_layer(INPUT, [[7]], [10], [0]), leak=Decay((2,)))
    readout = replace(make_layer(0, [[-5]], None, [0]), leak=Decay((1,)))
    network = make_network("stream", 4, (1, 1, 1), hidden, readout, leak_order=order)
    trains = {"reset_first": [0, 1, 1, 0], "leak_first": [0, 1, 0, 1]}
    # −5 + 3 = −2, since −5 >> 1 is −3; −7 + 4 = −3; −2 + 1 − 5 = −6
    scores = {"reset_first": -3, "leak_first": -6}
    for run in (oracle.run, lambda *a: golden.run(*a, "spikes")):
        trace = run(network, np.ones((1, 1, 1, 1), np.uint8))
        assert trace.spikes[0].ravel().tolist() == trains[order]
        assert trace.membranes[0].item() == {"reset_first": 7, "leak_first": 3}[order]
        assert trace.scores.item() == scores[order]


def test_exact_beyond_float32():
    rng = np.random.default_rng(4)
    hidden = replace(
        make_layer(INPUT, rng.integers(-9999, 32768, (3, 8)), [7_000_001] * 3, [1, 2, 3]), leak=Decay((3, -7))
    )
    readout = replace(
        make_layer(0, rng.integers(-32767, 32768, (2, 3)), None, [2**27, -(2**27) - 1]), leak=Decay((9, 11))
    )
    for order in LEAK_ORDERS:
        network = make_network("stream", 7, (8, 1, 1), hidden, readout, bits=16, leak_order=order)
        frames = frames_for(network, 4, 9)
        exact = oracle.run(network, frames)
        assert_same(golden.run(network, frames, "spikes"), exact)
        assert (exact.scores != exact.scores.astype(np.float32)).any()  # float32 could not hold them


@settings(max_examples=200, deadline=None)
@given(decay=DECAYS, low=st.integers(-(2**31), 2**31), span=st.integers(0, 200))
def test_extremes_hold_every_value(decay, low, span):
    membrane = np.arange(low, low + span + 1)
    values = decayed(decay, membrane)
    least, most = decay.extremes(membrane[:1], membrane[-1:])
    assert least.item() <= values.min() and values.max() <= most.item()
    exact = decay.share * membrane  # at most 33 + 16 bits: exact in float64
    assert (values > exact - 2).all() and (values < exact + 3).all()
    assert (np.sign(values) * np.sign(membrane) >= 0)[membrane >= 0].all() and (values <= membrane)[membrane >= 0].all()
    assert (
        least.item() >= math.floor(decay.share * low) - 2 and most.item() <= math.ceil(decay.share * (low + span)) + 3
    )


@settings(max_examples=50, deadline=None)
@given(decay=DECAYS)
def test_bias_is_the_mean_of_the_rounding(decay):
    period = np.arange(-(2**MAX_DECAY_SHIFT), 2**MAX_DECAY_SHIFT)
    assert (decayed(decay, period) - decay.share * period).mean() == decay.bias


def test_a_leak_keeps_a_membrane_bounded():
    """Of a readout without leak the range grows by T; with one it ends at p / (1 − β) and what rounding adds."""
    relay = make_layer(INPUT, [[1]], [1], [0])
    widths = []
    for leak in (None, Decay((3,))):
        readout = replace(make_layer(0, [[100]], None, [0]), leak=leak)
        widths.append(make_network("stream", 1024, (1, 1, 1), relay, readout).ranges[1].high)
    assert widths[0] == 102400 and 800 <= widths[1] <= 808


@pytest.mark.parametrize(
    ("share", "terms"),
    [(0.5, (1,)), (0.75, (2,)), (0.25, (0, -2)), (0.9375, (4,)), (0.875, (3,)), (0.9, (3, -5, 7)), (0.99, (7, 9, 12))],
)
def test_nearest(share, terms):
    found = Decay.nearest(share)
    assert found.terms == terms and found.share == 1 - sum((1 if k >= 0 else -1) * 2.0 ** -abs(k) for k in terms)


@settings(max_examples=60, deadline=None)
@given(share=st.floats(2**-15, 1 - 2**-15), other=DECAYS)
def test_no_other_decay_is_nearer(share, other):
    found = Decay.nearest(share)
    assert abs(found.share - share) <= abs(other.share - share)
    if abs(found.share - share) == abs(other.share - share):
        assert len(found.terms) <= len(other.terms)
    assert Decay.nearest(other.share).share == other.share


@pytest.mark.parametrize(
    "terms", [(), (1, 2, 3, 4), (3, 3), (5, 3), (-1,), (0,), (0, 1), (1.5,), (True,), (16,), (-3, 5), (2, 1.0)]
)
def test_bad_terms_are_refused_in_one_line(terms):
    with pytest.raises(InvalidValue, match=r"leak is .* must be"):
        Decay(terms)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, 1.5, math.nan, math.inf, 1, "0.5", True])
def test_bad_shares_are_refused_in_one_line(share):
    with pytest.raises(InvalidValue, match=r"leak is .*, must be a number above 0 and below 1"):
        float_layer(share)


def test_time_constant():
    assert math.exp(-1 / time_constant(0.9)) == pytest.approx(0.9)


def float_layer(leak, name="first", fires=True, source=INPUT):
    weight = np.full((2, 2, 1, 1), 0.5)
    connection = Connection(source, weight, kind="linear")
    return SpikingLayer(name, (connection,), np.ones(2) if fires else None, np.zeros(2), np.zeros(2), leak=leak)


def float_network(leak=0.9, end=0.5, **members):
    layers = (float_layer(leak), float_layer(end, "last", False, 0))
    return SpikingNetwork("made", (2, 1, 1), members.pop("schedule", "stream"), 4, layers, **members)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"schedule": "two_phase"}, "layer first leaks, which needs schedule stream, not two_phase"),
        ({"schedule": "radix"}, "layer first leaks, which needs schedule stream, not radix"),
        ({"schedule": "switched"}, "layer first leaks, which needs schedule stream, not switched"),
        ({"negative": "symmetric"}, "layer first leaks, which needs negative none, not symmetric"),
        ({"reset": "zero", "leak_order": "leak_first"}, "leak_first, which needs reset subtract"),
        ({"leak_order": "later"}, "leak_order is 'later', must be one of reset_first, leak_first"),
    ],
)
def test_neurons_that_cannot_leak_are_refused_in_one_line(members, message):
    with pytest.raises(InvalidValue, match=message):
        float_network(**members)
    fixed = replace(quantize(float_network(None, None)), layers=quantize(float_network()).layers)
    if members.get("schedule") != "switched":
        with pytest.raises(InvalidValue, match=message):
            replace(fixed, **members)


def test_wrong_kinds_of_leak_are_refused():
    fixed = quantize(float_network())
    with pytest.raises(InvalidValue, match="a fixed-point leak must be a Decay"):
        replace(fixed.layers[0], leak=0.5)
    with pytest.raises(InvalidValue, match="must be a number"):
        replace(float_network().layers[0], leak=Decay((1,)))


@pytest.mark.parametrize("order", LEAK_ORDERS)
def test_files_keep_leaks(tmp_path, order):
    spiking = float_network(leak_order=order)
    for network in (spiking, quantize(spiking), replace(quantize(spiking), time_steps=1)):
        save_network(network, tmp_path / "net.safetensors")
        again = load_network(tmp_path / "net.safetensors")
        assert again.fingerprint == network.fingerprint and again.header() == network.header()
        assert [layer.leak for layer in again.layers] == [layer.leak for layer in network.layers]
        assert again.leak_order == order


def test_fingerprints_tell_leaks_and_orders_apart():
    seen = {
        quantize(float_network(leak, end, leak_order=order)).fingerprint
        for leak in (None, 0.9, 0.8)
        for end in (None, 0.9)
        for order in LEAK_ORDERS
    }
    assert len(seen) == 3 * 2 * 2 - 1  # without a leak its order means nothing
    assert "leak" not in str(quantize(float_network(None, None)).header())


def test_old_fingerprints_stay():
    """Integers of networks without leak, as they were before there were leaks."""
    found = [network.fingerprint[:16] for network, *_ in BY_HAND[:2]]
    assert found == ["a062447a39114195", "45e2c8272177ce56"]


def test_quantize_chooses_the_nearest_decay_and_dequantize_means_it():
    spiking = float_network(0.9, 0.3, leak_order="leak_first")
    fixed = quantize(spiking)
    assert [layer.leak for layer in fixed.layers] == [Decay.nearest(0.9), Decay.nearest(0.3)]
    assert fixed.leak_order == "leak_first"
    again = dequantize(spiking)
    assert [layer.leak for layer in again.layers] == [layer.leak.share for layer in fixed.layers]
    only = dequantize(spiking, only=1)
    assert [layer.leak for layer in only.layers] == [0.9, fixed.layers[1].leak.share]


def test_segments_keep_leaks():
    network = lively_leaky_network(LEAKY_NEURONS[-1], 0)
    assert network.leak_order == "leak_first"
    parts = segments(network, (1,))
    assert [layer.leak for part in parts for layer in part.layers] == [layer.leak for layer in network.layers]
    assert all(part.leak_order == "leak_first" for part in parts)


def literal(network, frame):
    """Scores and spike trains of a float network, neuron by neuron, in double precision."""
    values, trains = None, []
    for layer in network.layers:
        weight = layer.connections[0].weight[:, :, 0, 0]
        source = [frame.ravel() * network.pixel_scale] * network.time_steps if values is None else values
        membrane, values = layer.initial.copy(), []
        before, fired = membrane, np.zeros_like(membrane)
        for t in range(network.time_steps):
            if t and layer.leak is not None:
                membrane = layer.leak * before - fired if network.leak_order == "leak_first" else layer.leak * membrane
            elif t and network.leak_order == "leak_first":
                membrane = before - fired
            membrane = before = membrane + weight @ source[t] + layer.bias
            fired = np.zeros_like(membrane)
            if layer.threshold is not None:
                spikes = membrane >= layer.threshold if network.compare == "ge" else membrane > layer.threshold
                fired = spikes * layer.threshold
                if network.leak_order == "reset_first":
                    membrane = membrane - fired if network.reset == "subtract" else np.where(spikes, 0, membrane)
            values.append(fired)
        trains.append(np.array(values))
    return membrane / network.time_steps, trains[:-1]


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS, neuron=NEURONS, steps=st.integers(1, 12))
def test_float_network_is_the_literal_one(seed, neuron, steps):
    """Leaks of few bits and binary fractions, so that float32 is exact."""
    rng = np.random.default_rng(seed)
    leaks = rng.choice([0.25, 0.5, 0.75, None], 3)

    def layer(name, channels, source, inputs, leak):
        connection = Connection(source, rng.integers(-8, 9, (channels, inputs, 1, 1)) / 4, kind="linear")
        bias, initial = rng.integers(-4, 5, (2, channels)) / 8
        threshold = None if name == "readout" else 2.0 ** rng.integers(-1, 3, channels)
        return SpikingLayer(name, (connection,), threshold, bias, initial, leak=leak)

    layers = (
        layer("first", 5, INPUT, 12, leaks[0]),
        layer("second", 4, 0, 5, leaks[1]),
        layer("readout", 3, 1, 4, leaks[2]),
    )
    steps = min(steps, 6)
    network = SpikingNetwork("made", (12, 1, 1), "stream", steps, layers, pixel_scale=1 / 256, **members(neuron))
    frames = rng.integers(0, 256, (3, 12, 1, 1)).astype(np.uint8)
    found = floating.trace(network, frames)
    expected = [literal(network, frame) for frame in frames]
    assert found.scores == pytest.approx(np.array([scores for scores, _ in expected]), rel=1e-6, abs=1e-6)
    fired = [sum(int(train.astype(bool).sum()) for train in trains) for _, trains in expected]
    assert found.spikes.tolist() == fired
    assert np.array_equal(found.scores, floating.run(network, frames))
    times = tuple(range(1, steps + 1))
    anytime = floating.anytime(network, frames, times)
    assert np.array_equal(anytime, [floating.run(network.with_time_steps(t), frames) for t in times])


def members(neuron):
    return {name: value for name, value in neuron.items() if name != "schedule"}


def test_errors_of_leaks_are_stated():
    assert leak_errors(float_network(None, None)) == ()
    first, last = leak_errors(float_network(0.9, 0.5))
    assert (first.layer, first.leak, first.terms, first.share) == ("first", 0.9, (3, -5, 7), 0.8984375)
    assert first.error == 0.8984375 - 0.9
    assert first.time_constant == pytest.approx(9.49122) and first.time_constant_kept == pytest.approx(9.33723)
    assert first.rounding == (7 / 8 - 31 / 32 + 127 / 128) / 2
    assert (last.terms, last.error, last.rounding) == ((1,), 0, 0.25)


def test_quantize_shows_leaks_and_nothing_new_without(tmp_path, capsys):
    for name, network in (("leaky", float_network()), ("plain", float_network(None, None))):
        save_network(network, tmp_path / name)
        assert command(["quantize", str(tmp_path / name), "--no-table", "-o", str(tmp_path / f"{name}.fixed")]) == 0
        shown = capsys.readouterr().out
        assert ("Leaks: " in shown and "1 − 2^−3 + 2^−5 − 2^−7" in shown) == (name == "leaky")
        assert (
            command(["quantize", str(tmp_path / name), "--no-table", "--json", "-o", str(tmp_path / f"{name}.fixed")])
            == 0
        )
        printed = json.loads(capsys.readouterr().out)
        leaks = [{**asdict(leak), "terms": list(leak.terms)} for leak in leak_errors(network)]
        assert printed.get("leaks") == (leaks if name == "leaky" else None)
        assert printed["fingerprint"] == quantize(network).fingerprint


def test_check_says_what_becomes_of_a_leak():
    found = check_network("net", float_network(0.9, 0.5), CheckOptions()).findings
    assert [finding.verdict for finding in found] == ["rounds", "exact"]
    assert "keeps 0.9 of a membrane: 1 − 2^−3 + 2^−5 − 2^−7, off by -0.0016" in found[0].reason
    assert "keeps 0.5 of a membrane: 1 − 2^−1" in found[1].reason
    found = check_network("net", quantize(float_network(0.9, 0.5)), CheckOptions()).findings
    assert [finding.verdict for finding in found] == ["exact", "exact"]
    assert "keeps 0.898438 of a membrane, 1 − 2^−3 + 2^−5 − 2^−7" in found[0].reason


def test_energy_charges_the_additions_and_a_swept_readout():
    leaking, plain = quantize(float_network(0.9, 0.5)), quantize(float_network(None, None))
    frames = np.full((3, 2, 1, 1), 200, np.uint8)
    seen = {n: observe(n, frames, golden.run(n, frames, "counts")) for n in (leaking, plain)}
    counts = {n: layer_counts(n, activity) for n, activity in seen.items()}
    assert [count.decay_adds for count in counts[leaking]] == [3 * 2 * 3, 3 * 2 * 1]  # T − 1 = 3, 2 neurons
    assert [count.decay_adds for count in counts[plain]] == [None, None]
    for count in counts[leaking]:
        assert np.array_equal(count.neuron_ops, count.comparisons + count.spikes_out + count.decay_adds)
    traffic = {n: snn_traffic(n, counts[n], seen[n], "stationary", "bitmap") for n in (leaking, plain)}
    assert [t.state.tolist() for t in traffic[leaking]] == [[2.0 * leaking.membrane_bits * 4 * 2] * 3] * 2
    assert [t.state.any() for t in traffic[plain]] == [True, False]
    table = energy_table([estimate(leaking, seen[leaking], baseline="int8_dense")])
    assert table.neuron_ops[0] == counts[leaking][0].neuron_ops.mean()
    assert any("leaks" in note for note in estimate(leaking, seen[leaking]).warnings)
    assert not any("leaks" in note for note in estimate(plain, seen[plain]).warnings)


def test_diagnose_refuses_leaks_in_one_line():
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 2))
    for shares, named in (((0.9, 0.5), "first"), ((None, 0.5), "last")):
        with pytest.raises(
            InvalidValue, match=rf"^network made leaks \(layer {named}\): .* quantize .* certify --spiking "
        ):
            diagnose(module, float_network(*shares), np.zeros((1, 2, 1, 1), np.uint8), np.zeros(1, int))


def test_a_graph_is_no_source():
    with pytest.raises(
        InvalidValue, match=r"^source 'net.nir' is a NIR graph, .*: spikeloom import reads it; .* or leave"
    ):
        load_module("net.nir")


def test_sizes_are_marked_as_unproven():
    assert "leaks" in _beyond(Program(quantize(float_network()), 4), next(iter(load_models().values())), None)
    assert "leaks" not in _beyond(
        Program(quantize(float_network(None, None)), 4), next(iter(load_models().values())), None
    )


@pytest.mark.parametrize("bad", ["abc", [], True, [3, True], {}, 5, 2.5, [3, 4, 5, 6], "0.9", [[3]], [3, 3]])
@pytest.mark.parametrize("make", [float_network, lambda: quantize(float_network())])
def test_forged_leaks_in_files_are_refused_in_one_line(tmp_path, monkeypatch, make, bad):
    network = make()
    header = json.loads(json.dumps(network.header()))
    header["layers"][0]["leak"] = bad
    monkeypatch.setattr(type(network), "header", lambda self: header)  # the checksum is right then
    save_network(network, tmp_path / "net.safetensors")
    monkeypatch.undo()
    with pytest.raises(NetworkFileError, match=r"is not a (whole|Spikeloom) network file"):
        load_network(tmp_path / "net.safetensors")
