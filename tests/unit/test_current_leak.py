"""Synaptic currents that last: golden model against oracle and a literal reading, range, float, files, quantization."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl.program import Program
from sim import floating, golden, oracle
from tests.networks import LEAKY_NEURONS, frames_for, lasting, leaky, lively_lasting_network, random_network
from tests.unit.test_integers import assert_same, drives, make_layer, make_network
from tests.unit.test_leak import decayed, members
from toolchain.checking.network_file import check_network
from toolchain.checking.options import CheckOptions
from toolchain.cli import run as command
from toolchain.connection import Connection
from toolchain.cycles import cycles
from toolchain.diagnose import diagnose
from toolchain.energy import energy_table, estimate, observe
from toolchain.energy.counts import layer_counts
from toolchain.energy.memory import snn_capacities, snn_traffic
from toolchain.errors import InvalidValue, NetworkFileError
from toolchain.ir import INPUT, SpikingLayer, SpikingNetwork
from toolchain.leak import LEAK_ORDERS, Decay
from toolchain.netfile import load_network, save_network
from toolchain.quantize import LeakError, current_leak_errors, dequantize, leak_errors, quantize
from toolchain.segments import segments
from toolchain.sizing.activity import USUAL, expected_scans, passes
from toolchain.sizing.memories import memories
from toolchain.sizing.model import load_models
from toolchain.sizing.prediction import _beyond

SEEDS = st.integers(0, 2**32 - 1)
NEURONS = st.sampled_from(LEAKY_NEURONS)
INPUTS = st.sampled_from(["direct", "bitplane", "rate", "spikes"])


def network_of(seed, neuron, **options):
    """A random network whose currents last, here and there; half of its membranes leak too."""
    network = random_network(seed, neuron=neuron, **options)
    return lasting(leaky(network, seed, 0.5) if seed % 2 else network, seed)


def stepwise(network, index, spikes, frames):
    """Membranes of a layer for its given input: those after the last step, and all that they and the currents took."""
    layer, arriving = network.layers[index], drives(network, index, frames, spikes)
    offset, bias = (values[:, None, None] for values in (layer.offset, layer.bias))
    membrane, current, seen = 0 * arriving[:, 0] + offset, 0 * arriving[:, 0], []
    for step in range(network.time_steps):
        last = step == network.time_steps - 1
        received = arriving[:, step] + bias
        if layer.current_leak is not None:
            current = current + received
            membrane = membrane + current
            seen.append(current)
            current = current if last else decayed(layer.current_leak, current)
            seen.append(current)
        else:
            membrane = membrane + received
        seen.append(membrane)
        fired = 0
        if layer.threshold is not None:
            theta = layer.threshold[:, None, None]
            fired = theta * ((membrane >= theta) if network.compare == "ge" else (membrane > theta))
            assert np.array_equal(fired != 0, spikes[index][:, step])
        leak = layer.leak if not last and layer.leak is not None else Decay((15,))
        kept = decayed(leak, membrane) if layer.leak is not None and not last else membrane
        if network.leak_order == "leak_first" or last or layer.leak is None:
            membrane = np.where(fired, 0, kept) if network.reset == "zero" else kept - fired
        else:
            membrane = decayed(leak, np.where(fired, 0, membrane) if network.reset == "zero" else membrane - fired)
        seen.append(membrane)
    return membrane, seen


@settings(max_examples=150, deadline=None)
@given(seed=SEEDS, neuron=NEURONS, input=INPUTS)
def test_golden_is_the_oracle(seed, neuron, input):
    network = network_of(seed, {**neuron, "input": input})
    frames = frames_for(network, seed, 2)
    assert_same(golden.run(network, frames, "spikes"), oracle.run(network, frames))


@settings(max_examples=150, deadline=None)
@given(seed=SEEDS, neuron=NEURONS)
def test_membranes_are_the_literal_ones_and_both_states_stay_in_the_proven_range(seed, neuron):
    network = network_of(seed, neuron)
    frames = np.concatenate([frames_for(network, seed, 2), np.full((1, *network.input_shape), 255, np.uint8)])
    trace = golden.run(network, frames, "spikes")
    for index, proven in enumerate(network.ranges):
        membrane, seen = stepwise(network, index, trace.spikes, frames)
        assert np.array_equal(membrane, trace.membranes[index])
        assert proven.low <= min(v.min() for v in seen) and max(v.max() for v in seen) <= proven.high


def test_the_range_is_the_sum_of_the_geometric_weights():
    """A readout driven as much as can be: I[t] ends at p / (1 − α), V at that sum over all steps; nothing looser."""
    relay = make_layer(INPUT, [[1]], [1], [0])
    readout = replace(make_layer(0, [[64]], None, [0]), current_leak=Decay((1,)))
    network = make_network("stream", 7, (1, 1, 1), relay, readout)
    currents = [64 * (2 - 2.0**-t) for t in range(7)]
    assert (network.ranges[1].low, network.ranges[1].high) == (0, sum(currents))
    both = replace(network, layers=(relay, replace(readout, leak=Decay((1,)))))
    reached = oracle.run(both, np.full((1, 1, 1, 1), 255, np.uint8)).scores[0, 0]
    assert reached <= both.ranges[1].high <= reached + 2 * 7


def _decayed_before_it_is_added(self, spikes, steps):
    currents = _currents(self, spikes, steps)
    for current in [] if self.layer.current_leak is None else currents:
        golden._decay(current, self.layer.current_leak)
    return currents


def _membranes_shifts(self, spikes, steps):
    own = self.layer
    self.layer = replace(own, current_leak=own.current_leak and (own.leak or Decay((15,))))
    try:
        return _currents(self, spikes, steps)
    finally:
        self.layer = own


def _without_bias(self, spikes, steps):
    """The bias comes to the membrane, and not to the current."""
    bias, self.bias = self.bias, torch.zeros_like(self.bias)
    try:
        return [current + bias for current in _currents(self, spikes, steps)]
    finally:
        self.bias = bias


_currents = golden._Neurons._currents


@pytest.mark.parametrize("fault", [_decayed_before_it_is_added, _membranes_shifts, _without_bias])
@pytest.mark.parametrize("neuron", LEAKY_NEURONS[::2])
def test_a_wrong_current_in_the_golden_model_is_caught(monkeypatch, neuron, fault):
    network = lively_lasting_network({**neuron, "input": "spikes"}, 0)
    frames = frames_for(network, 1, 12)
    exact = oracle.run(network, frames)
    assert_same(golden.run(network, frames, "spikes"), exact)
    monkeypatch.setattr(golden._Neurons, "_currents", fault)
    with pytest.raises(AssertionError):
        assert_same(golden.run(network, frames, "spikes"), exact)


def test_a_current_rounded_towards_zero_is_caught(monkeypatch):
    network = lively_lasting_network({**LEAKY_NEURONS[0], "input": "spikes"}, 0, leaks=0)
    frames = frames_for(network, 1, 12)
    exact = oracle.run(network, frames)

    def towards_zero(value, leak):
        whole = value.clone()
        for term in leak.terms:
            value -= torch.trunc(whole * 2.0 ** -abs(term)) * (-1 if term < 0 else 1)

    assert_same(golden.run(network, frames, "spikes"), exact)
    monkeypatch.setattr(golden, "_decay", towards_zero)
    with pytest.raises(AssertionError):
        assert_same(golden.run(network, frames, "spikes"), exact)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, neuron=NEURONS, input=INPUTS)
def test_anytime_is_one_run_for_each_t(seed, neuron, input):
    network = network_of(seed, {**neuron, "input": input}, time_steps=8)
    frames, steps = frames_for(network, seed, 3), (1, 3, 4, 8)
    for found, t in zip(golden.anytime(network, frames, steps), steps, strict=True):
        shown = frames[:, :t] if input == "spikes" else frames
        assert_same(found, golden.run(replace(network, time_steps=t), shown))


def float_layer(current, leak=None, name="first", fires=True, source=INPUT):
    connection = Connection(source, np.full((2, 2, 1, 1), 0.5), kind="linear")
    threshold = np.ones(2) if fires else None
    return SpikingLayer(name, (connection,), threshold, np.zeros(2), np.zeros(2), leak=leak, current_leak=current)


def float_network(current=0.6, end=0.5, leak=0.9, **members):
    layers = (float_layer(current, leak), float_layer(end, None, "last", False, 0))
    return SpikingNetwork("made", (2, 1, 1), members.pop("schedule", "stream"), 4, layers, **members)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            {"schedule": "two_phase"},
            "layer first has a synaptic current that lasts, which needs schedule stream, not two_phase",
        ),
        ({"schedule": "radix"}, "which needs schedule stream, not radix"),
        ({"schedule": "switched"}, "which needs schedule stream, not switched"),
        (
            {"negative": "symmetric"},
            "layer first has a synaptic current that lasts, which needs negative none, not symmetric",
        ),
    ],
)
def test_neurons_whose_current_cannot_last_are_refused_in_one_line(members, message):
    with pytest.raises(InvalidValue, match=message):
        float_network(leak=None, **members)
    fixed = replace(quantize(float_network(None, None, None)), layers=quantize(float_network(leak=None)).layers)
    if members.get("schedule") != "switched":
        with pytest.raises(InvalidValue, match=message):
            replace(fixed, **members)


def test_reset_zero_and_leak_first_need_no_membrane_that_leaks():
    network = float_network(leak=None, reset="zero", leak_order="leak_first")
    assert quantize(network).lasting and not quantize(network).leaks


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, 1.5, float("nan"), 1, "0.5", True])
def test_bad_shares_are_refused_in_one_line(share):
    with pytest.raises(InvalidValue, match=r"layer first: current leak is .*, must be a number above 0 and below 1"):
        float_layer(share)


def test_wrong_kinds_are_refused():
    with pytest.raises(InvalidValue, match="a fixed-point leak must be a Decay"):
        replace(quantize(float_network()).layers[0], current_leak=0.5)
    with pytest.raises(InvalidValue, match="must be a number"):
        replace(float_network().layers[0], current_leak=Decay((1,)))


@pytest.mark.parametrize("leak", [None, 0.9])
def test_files_keep_it(tmp_path, leak):
    spiking = float_network(leak=leak)
    for network in (spiking, quantize(spiking), replace(quantize(spiking), time_steps=1)):
        save_network(network, tmp_path / "net.safetensors")
        again = load_network(tmp_path / "net.safetensors")
        assert again.fingerprint == network.fingerprint and again.header() == network.header()
        assert [layer.current_leak for layer in again.layers] == [layer.current_leak for layer in network.layers]


@pytest.mark.parametrize("bad", ["abc", [], True, [3, True], {}, 5, [3, 4, 5, 6], [[3]], [3, 3]])
@pytest.mark.parametrize("make", [float_network, lambda: quantize(float_network())])
def test_forged_ones_in_files_are_refused_in_one_line(tmp_path, monkeypatch, make, bad):
    network = make()
    header = json.loads(json.dumps(network.header()))
    header["layers"][0]["current_leak"] = bad
    monkeypatch.setattr(type(network), "header", lambda self: header)  # the checksum is right then
    save_network(network, tmp_path / "net.safetensors")
    monkeypatch.undo()
    with pytest.raises(NetworkFileError, match=r"is not a (whole|Spikeloom) network file"):
        load_network(tmp_path / "net.safetensors")


def test_fingerprints_tell_leaks_of_currents_and_membranes_apart():
    seen = {
        quantize(float_network(current, end, leak)).fingerprint
        for current in (None, 0.6, 0.9)
        for end in (None, 0.9)
        for leak in (None, 0.6, 0.9)
    }
    assert len(seen) == 3 * 2 * 3
    assert "leak" not in str(quantize(float_network(None, None, None)).header())


def test_quantize_chooses_the_nearest_decay_and_states_its_error():
    spiking = float_network(0.6, 0.5, 0.9)
    fixed = quantize(spiking)
    assert [layer.current_leak for layer in fixed.layers] == [Decay.nearest(0.6), Decay.nearest(0.5)]
    assert [layer.current_leak for layer in dequantize(spiking).layers] == [Decay.nearest(0.6).share, 0.5]
    assert current_leak_errors(spiking) == (LeakError.of("first", 0.6), LeakError.of("last", 0.5))
    assert leak_errors(spiking) == (LeakError.of("first", 0.9),)
    assert current_leak_errors(float_network(None, None)) == ()


def test_quantize_shows_it_and_nothing_new_without(tmp_path, capsys):
    for name, network in (("lasting", float_network()), ("leaky", float_network(None, None))):
        source, target = str(tmp_path / name), str(tmp_path / f"{name}.fixed")
        save_network(network, tmp_path / name)
        assert command(["quantize", source, "--no-table", "-o", target]) == 0
        shown = capsys.readouterr().out
        assert ("Currents that last: " in shown and "1 − 2^−1 + 2^−3" in shown) == (name == "lasting")
        assert "Leaks: " in shown
        assert command(["quantize", source, "--no-table", "--json", "-o", target]) == 0
        printed = json.loads(capsys.readouterr().out)
        stated = [{**asdict(leak), "terms": list(leak.terms)} for leak in current_leak_errors(network)]
        assert printed.get("current_leaks") == (stated if name == "lasting" else None)
        assert len(printed["leaks"]) == 1 and printed["fingerprint"] == quantize(network).fingerprint


def test_check_says_what_becomes_of_it():
    found = check_network("net", float_network(0.6, 0.5, 0.9), CheckOptions()).findings
    assert [finding.verdict for finding in found] == ["rounds", "exact"]
    both = "keeps 0.9 of a membrane: 1 − 2^−3 + 2^−5 − 2^−7, off by -0.0016; each step keeps 0.6 of a synaptic current: 1 − 2^−1 + 2^−3"
    assert both in found[0].reason
    assert (
        "each step keeps 0.5 of a synaptic current: 1 − 2^−1" in found[1].reason and "membrane" not in found[1].reason
    )
    found = check_network("net", quantize(float_network(0.6, 0.5, None)), CheckOptions()).findings
    assert [finding.verdict for finding in found] == ["exact", "exact"]
    assert "keeps 0.5 of a synaptic current, 1 − 2^−1" in found[1].reason


def test_energy_charges_the_second_state():
    lasting, plain = quantize(float_network(0.6, 0.5, None)), quantize(float_network(None, None, None))
    frames = np.full((3, 2, 1, 1), 200, np.uint8)
    seen = {n: observe(n, frames, golden.run(n, frames, "counts")) for n in (lasting, plain)}
    counts = {n: layer_counts(n, activity) for n, activity in seen.items()}
    adders = [layer.current_leak.adders for layer in lasting.layers]
    assert [count.decay_adds for count in counts[lasting]] == [3 * 2 * each for each in adders]  # T − 1 = 3, 2 neurons
    assert [count.lasting_adds for count in counts[lasting]] == [4 * 2] * 2
    assert [(count.decay_adds, count.lasting_adds) for count in counts[plain]] == [(None, None)] * 2
    for count in counts[lasting]:
        extra = count.decay_adds + count.lasting_adds
        assert np.array_equal(count.neuron_ops, count.comparisons + count.spikes_out + extra)
    first, before = counts[lasting][0], counts[plain][0]
    assert before.mac_input.tolist() == [4] * 3 and before.current_adds == 4 * 2
    assert first.mac_input.tolist() == [4 * 4] * 3 and first.current_adds == 0  # the frame anew in each of 4 steps
    assert np.array_equal(seen[lasting].effective[:, 0], 4 * seen[plain].effective[:, 0])
    assert np.array_equal(first.mac_nonzero, before.mac_nonzero)  # what an ANN does
    traffic = {n: snn_traffic(n, counts[n], seen[n], "stationary", "bitmap") for n in (lasting, plain)}
    assert [t.state.tolist() for t in traffic[lasting]] == [[2 * 2.0 * lasting.membrane_bits * 4 * 2] * 3] * 2
    assert [t.state.any() for t in traffic[plain]] == [True, False]
    assert snn_capacities(lasting)[1] == 2 * 2 * lasting.membrane_bits
    report = estimate(lasting, seen[lasting])
    assert any("synaptic currents that last" in note for note in report.warnings)
    assert not any("currents that last" in note for note in estimate(plain, seen[plain]).warnings)
    table = energy_table([estimate(lasting, seen[lasting], baseline="int8_dense")])
    assert table.neuron_ops[0] == counts[lasting][0].neuron_ops.mean()


def test_diagnose_refuses_it_in_one_line():
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 2))
    network = float_network(None, 0.5, None)
    with pytest.raises(InvalidValue, match=r"^network made leaks \(layer last\): .* quantize .* certify --spiking "):
        diagnose(module, network, np.zeros((1, 2, 1, 1), np.uint8), np.zeros(1, int))


def test_sizes_count_it_and_are_marked_as_unproven():
    lasting = Program(quantize(float_network(0.6, 0.5, None)), 4)
    plain = Program(quantize(float_network(None, None, None)), 4)
    model = next(iter(load_models().values()))
    assert "leaks" in _beyond(lasting, model, None) and "leaks" not in _beyond(plain, model, None)
    words = [next(m.depth for m in memories(p) if m.name == "membranes") for p in (lasting, plain)]
    assert words == [2, 2] and (lasting.membrane_words, plain.membrane_words) == (2, 1)
    frames = frames_for(lasting.network, 1, 4)
    exact = cycles(lasting.network, frames, golden.run(lasting.network, frames, "spikes"), 4)
    initialization, fire, control = passes(lasting)
    found = [exact.initialization[0], exact.fire[0], exact.control[0]]
    assert [each.tolist() for each in found] == [initialization, fire, control]
    each = [expected_scans(program, USUAL)[0] for program in (lasting, plain)]
    assert each[0] == 4 * each[1]


def test_segments_keep_it():
    network = lively_lasting_network(LEAKY_NEURONS[0], 0)
    parts = segments(network, (1,))
    kept = [layer.current_leak for part in parts for layer in part.layers]
    assert kept == [layer.current_leak for layer in network.layers]


def literal(network, frame):
    """Scores and spike trains of a float network, neuron by neuron, in double precision: snnTorch's Synaptic."""
    values, trains = None, []
    for layer in network.layers:
        weight = layer.connections[0].weight[:, :, 0, 0]
        source = [frame.ravel() * network.pixel_scale] * network.time_steps if values is None else values
        membrane, values = layer.initial.copy(), []
        current = fired = np.zeros_like(membrane)
        for t in range(network.time_steps):
            current = (layer.current_leak or 0) * current + weight @ source[t] + layer.bias
            share = layer.leak or 1
            if t and network.reset == "subtract":
                late = network.leak_order == "leak_first"
                membrane = share * membrane - fired if late else share * (membrane - fired)
            elif t:
                membrane = np.where(fired, 0, share * membrane)
            membrane = membrane + current
            fired = np.zeros_like(membrane)
            if layer.threshold is not None:
                spikes = membrane >= layer.threshold if network.compare == "ge" else membrane > layer.threshold
                fired = spikes * layer.threshold
            values.append(fired)
        trains.append(np.array(values))
    return membrane / network.time_steps, trains[:-1]


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, neuron=NEURONS, steps=st.integers(1, 5))
def test_float_network_is_the_literal_one(seed, neuron, steps):
    """Leaks of few bits and binary fractions, so that float32 is exact."""
    rng = np.random.default_rng(seed)

    def layer(name, channels, source, inputs):
        connection = Connection(source, rng.integers(-8, 9, (channels, inputs, 1, 1)) / 4, kind="linear")
        bias, initial = rng.integers(-4, 5, (2, channels)) / 8
        threshold = None if name == "readout" else 2.0 ** rng.integers(-1, 3, channels)
        leak, current = (rng.choice([0.5, 0.75, None]), rng.choice([0.25, 0.5, None]))
        return SpikingLayer(name, (connection,), threshold, bias, initial, leak=leak, current_leak=current)

    layers = (layer("first", 5, INPUT, 12), layer("second", 4, 0, 5), layer("readout", 3, 1, 4))
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


@pytest.mark.parametrize("order", LEAK_ORDERS)
def test_by_hand(order):
    """One neuron, α = β = 1/2, a spike in the first step alone, θ = 8: I = 10, 5, 3 and V as written here."""
    layer = replace(make_layer(INPUT, [[10]], [8], [1]), leak=Decay((1,)), current_leak=Decay((1,)))
    end = make_layer(0, [[1]], None, [0])
    network = replace(make_network("stream", 3, (1, 1, 1), layer, end), input="spikes", leak_order=order)
    frame = np.array([1, 0, 0], np.int8).reshape(1, 3, 1, 1, 1)
    trace = golden.run(network, frame, "spikes")
    # reset_first: 11 fires → 3 → 2; + 5 = 7 → 4; + 3 = 7.  leak_first: 11 fires → 6 − 8 = −2; + 5 = 3 → 2; + 3 = 5
    assert trace.membranes[0].ravel().tolist() == [{"reset_first": 7, "leak_first": 5}[order]]
    assert trace.spikes[0].ravel().tolist() == [1, 0, 0]
    assert_same(trace, oracle.run(network, frame))
