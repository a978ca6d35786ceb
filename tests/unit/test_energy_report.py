"""Reports of the energy model (sections 3 to 5 and 7): vectors, policies, baselines, break-even, files."""

import json
from dataclasses import fields, replace
from io import StringIO
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sim import golden
from tests.networks import NEURONS, fixed_point_networks, frames_for, random_network
from tests.unit.test_energy import TWO_NEURONS, observed
from tests.unit.test_integers import make_layer, make_network
from toolchain import flow
from toolchain.convert import convert
from toolchain.cycles import cycles
from toolchain.datasets import Dataset
from toolchain.density import source_macs
from toolchain.energy import (
    ANN_POLICIES,
    BASELINES,
    COLUMNS,
    SNN_POLICIES,
    Memory,
    break_even,
    energy_content,
    energy_table,
    estimate,
    load_profile,
)
from toolchain.energy.memory import snn_capacities
from toolchain.errors import InvalidValue
from toolchain.flow import energy_sweep, fixed_energy, write_energy
from toolchain.ir import INPUT, FixedPointNetwork
from toolchain.quantize import quantize
from toolchain.trace import Activity

INTEGER = load_profile("45nm-int")
PAIRS = tuple(product(SNN_POLICIES, ANN_POLICIES))
KB8 = INTEGER.sram(2**16)


@pytest.mark.parametrize(
    ("star", "mac", "synapse", "density"),
    [
        (5.11, 4.6, 0.9, 1),
        (3.67, INTEGER.mac(8, 8, 24), INTEGER.add(24), 1),
        (3.00, INTEGER.mac(8, 8, 32), INTEGER.add(32), 1),
        *(
            (star, INTEGER.mac(8, bits, 24), INTEGER.add(24), 1)
            for bits, star in enumerate([1.33, 1.67, 2.00, 2.33, 2.67], 1)
        ),
        # 8 KB: no_reuse reads 8 + 8 bits, event_driven 8 and twice 24, stationary 8
        (0.314, INTEGER.mac(8, 8, 24) + 16 * KB8, INTEGER.add(24) + 56 * KB8, 1),
        (0.157, INTEGER.mac(8, 8, 24) + 16 * KB8, INTEGER.add(24) + 56 * KB8, 0.5),
        (2.09, INTEGER.mac(8, 8, 24) + 16 * KB8, INTEGER.add(24) + 8 * KB8, 1),
        (1.05, INTEGER.mac(8, 8, 24) + 16 * KB8, INTEGER.add(24) + 8 * KB8, 0.5),
    ],
)
def test_vectors_of_the_energy_model(star, mac, synapse, density):
    assert break_even(density, mac, synapse) == pytest.approx(star, abs=0.5 * 10 ** -(3 if star < 1 else 2))


def test_vectors_in_a_report():
    """A readout of silent-input neurons, 24-bit membranes, memories of at most 8 KB: the policies of a whole network."""
    layers = (
        make_layer(INPUT, np.ones((4, 1), int), [1] * 4, [0] * 4),
        make_layer(0, np.full((3, 4), 127), None, [2**22 - 1 - 127 * 16] * 3),
    )
    network = make_network("two_phase", 4, (1, 1, 1), *layers)
    assert network.membrane_bits == 24 - 1  # one bit less, so 54 bits instead of 56 for an operation
    readout = estimate(network, observed(network, np.full((1, 1, 1, 1), 255, np.uint8))).layers[1]
    events = (16 * KB8 + 3 * INTEGER.add(23)) / 12  # 4 trains of 4 bits and 3 offsets, for each of 12 synapses
    for policy, bits in {"event_driven": 54, "stationary": 8}.items():
        found = readout.at("int8_dense", policy, "no_reuse")
        mac = INTEGER.mac(8, 8, 19) + 16 * KB8  # 4·127·255 < 2^17, and the sign
        mac += INTEGER.add(18) - INTEGER.add(19)
        assert found.sigma_star == pytest.approx((mac - events) / (INTEGER.add(23) + bits * KB8), rel=1e-9)
        assert found.sigma == 4 and found.rate_star == found.sigma_star / 4


def test_energy_by_hand():
    """4 MACs, 8 SOPs, 8 currents, 8 biases, 12 neuron operations; membranes of 13 bits; T = 4."""
    frames = np.array([10, 4], np.uint8).reshape(1, 2, 1, 1)
    total = estimate(TWO_NEURONS, observed(TWO_NEURONS, frames)).total
    add = 13 * 0.003125
    expected = {
        "sop": 8 * add,
        "input": 4 * (0.2 + add) + 8 * add,
        "bias": 8 * add,
        "neuron": 12 * add,
        "weights": 12 * 8 * KB8,
        "events": (2 * 8 + 2 * 2 * 4) * KB8,  # two pixels; two trains of 4 bits, written and read
        "static": 0,
    }
    scan = 2 * 13 * 2 * 4 * KB8
    for policy, state in {"event_driven": scan + 2 * 13 * 12 * KB8, "stationary": scan}.items():
        parts = {part: float(values[0]) for part, values in total.parts[policy].items()}
        assert parts == pytest.approx({**expected, "state": state}, rel=1e-9)
        assert total.energy(policy)[0] == pytest.approx(sum(expected.values()) + state, rel=1e-9)
    # 255·(2 + 3) = 1275: 12 bits; T = 4 needs 3 bits, of pixels 8 still: 4 MACs each
    acc = {"fp32_dense": None, "int8_dense": 12, "int8_zero_skipping": 12}
    for name, bits in acc.items():
        mac, width = (4.6, 32) if bits is None else (0.2 + 0.003125 * bits, 8)
        assert total.ann[name]["no_reuse"][0] == pytest.approx(8 * (mac + 2 * width * KB8), rel=1e-9)
        moved = 8 * width + (2 + 2 + 2 + 2) * width  # weights; inputs and outputs of both layers
        assert total.ann[name]["ideal_reuse"][0] == pytest.approx(8 * mac + moved * KB8, rel=1e-9)
    # the readout sums values of at most 4, the hidden layer pixels: 255·4 = 1020, 11 bits
    equal = 4 * (0.2 + 11 * 0.003125 + 16 * KB8) + 4 * (0.2 * 3 / 8 + 11 * 0.003125 + 11 * KB8)
    assert total.ann["equal_information_dense"]["no_reuse"][0] == pytest.approx(equal, rel=1e-9)


def activity_of(network, seed, images):
    return observed(network, frames_for(network, seed, images))


@settings(max_examples=40, deadline=None)
@given(network=fixed_point_networks(), seed=st.integers(0, 2**32 - 1), events=st.sampled_from(["bitmap", "list"]))
def test_sums_bounds_and_break_even(network, seed, events):
    activity = activity_of(network, seed, 3)
    report = estimate(network, activity, memory=Memory(events=events), cycles=np.full((3, len(network.layers) + 1), 7))
    assert [b.name for b in report.baselines] == list(BASELINES)
    for policy in SNN_POLICIES:
        parts = [layer.energy(policy) for layer in report.layers]
        assert np.allclose(np.sum(parts, axis=0), report.total.energy(policy), rtol=1e-12)
        assert np.allclose(
            sum(f(policy) for f in (report.total.compute, report.total.memory, report.total.static)),
            np.sum(parts, axis=0),
        )
    low, high = report.total.snn_bounds
    assert low <= high and low == report.total.energy("stationary").mean()
    for layer in (*report.layers, report.total):
        assert len(layer.break_even) in (0, len(BASELINES) * len(PAIRS))
        for found in layer.break_even:
            snn, ann = layer.energy(found.snn).mean(), layer.ann[found.baseline][found.ann].mean()
            assert np.isclose(found.ratio, ann / snn) if snn else found.ratio is None
            if not np.isclose(snn, ann, rtol=1e-9):
                assert (found.margin > 0) == (snn < ann)  # σ < σ* says the same as the energies
        for dense, skipping in (
            ("int8_dense", "int8_zero_skipping"),
            ("equal_information_dense", "equal_information_zero_skipping"),
        ):
            assert (layer.macs[skipping] <= layer.macs[dense]).all()
            assert layer.ann[skipping]["no_reuse"].mean() <= layer.ann[dense]["no_reuse"].mean()


@settings(max_examples=30, deadline=None)
@given(network=fixed_point_networks(), seed=st.integers(0, 2**32 - 1))
def test_images_add_up(network, seed):
    """Energies of images do not depend on which others ran with them; mean, deviation and percentile are over images."""
    frames = frames_for(network, seed, 4)
    whole = estimate(network, observed(network, frames))
    parts = [estimate(network, observed(network, part)) for part in np.split(frames, [1])]
    for policy in SNN_POLICIES:
        alone = np.concatenate([part.total.energy(policy) for part in parts])
        assert np.allclose(alone, whole.total.energy(policy), rtol=1e-12)
    spread = energy_content([whole])["reports"][0]["total"]["snn"]["stationary"]["e_total_pJ"]
    values = np.concatenate([part.total.energy("stationary") for part in parts])
    assert spread == pytest.approx({"mean": values.mean(), "std": values.std(), "p95": np.percentile(values, 95)})


@settings(max_examples=20, deadline=None)
@given(network=fixed_point_networks(), seed=st.integers(0, 2**32 - 1), weights=st.sampled_from(["sram", "dram"]))
def test_energies_grow_with_every_constant(network, seed, weights):
    activity = activity_of(network, seed, 1)
    options = {"memory": Memory(weights=weights), "cycles": 100, "clock_mhz": 1.0}
    constant = {"unit": "-", "source": "-", "status": "assumed"}
    extra = {"clock_cycle": {"value": 5.0, **constant}, "static_power": {"value": 3.0, **constant}}
    profile = replace(INTEGER, constants={**INTEGER.constants, **extra})

    def energies(of):
        report = estimate(network, activity, profile=of, **options)
        snn = [layer.energy(policy)[0] for layer in (*report.layers, report.total) for policy in SNN_POLICIES]
        return np.array([*snn, *(energy[0] for ann in report.total.ann.values() for energy in ann.values())])

    before = energies(profile)
    for name, entry in profile.constants.items():
        if name == "sram_divisor":
            continue
        value = [2 * v for v in entry["value"]] if isinstance(entry["value"], list) else 2 * entry["value"]
        after = energies(replace(profile, constants={**profile.constants, name: {**entry, "value": value}}))
        assert (after >= before).all(), name
        if name in extra:
            assert (after > before).sum() == 2 + 2  # the total and what belongs to no layer, under two policies


@pytest.mark.parametrize("neuron", NEURONS, ids=["-".join(neuron.values()) for neuron in NEURONS])
def test_a_silent_network_costs_neurons_and_biases_only(neuron):
    hidden = make_layer(INPUT, [[1]], [9], [1])
    if neuron["negative"] == "asymmetric":
        hidden = replace(hidden, negative_threshold=[9])
    readout = make_layer(0, [[1]], None, [0])
    network = FixedPointNetwork("silent", (1, 1, 1), time_steps=3, layers=(hidden, readout), **neuron)
    activity = observed(network, np.zeros((2, 1, 1, 1), np.uint8))
    assert not activity.spikes.any()
    report = estimate(network, activity, memory=Memory(events="list"))
    for policy, part in product(SNN_POLICIES, report.total.parts["stationary"]):
        spent = report.total.parts[policy][part].any()
        # state: the fire scan of the neurons; stream adds its current in every step, be it 0, and has no bias here
        rows = ("neuron", "state", "input") if network.schedule == "stream" else ("neuron", "state", "bias")
        assert spent == (part in rows), part


def test_nothing_at_all():
    network = make_network("two_phase", 1, (1, 1, 1), make_layer(INPUT, [[1]], None, [0]))
    report = estimate(network, observed(network, np.zeros((1, 1, 1, 1), np.uint8)), memory=Memory(events="list"))
    assert report.total.snn_bounds == (0, 0) and report.total.ratio_bounds("int8_dense") is None
    assert report.total.verdict("int8_dense") == "SNN"
    json.dumps(energy_content([report]), allow_nan=False)


def test_baselines_have_the_widths_they_claim():
    expected = {"two_phase": (3, 5), "radix": (5, 31)}
    for schedule, (bits, levels) in expected.items():
        network = make_network(schedule, 5, (2, 1, 1), *TWO_NEURONS_LAYERS)
        assert network.levels == levels
        report = estimate(network, activity_of(network, 1, 2))
        equal = report.baselines[-1]
        assert (equal.activation_bits, equal.output_bits, equal.weight_bits) == ((8, bits), (bits, bits), 8)
    assert report.baseline == "equal_information_zero_skipping" and equal.zeros == "spiking network"


TWO_NEURONS_LAYERS = tuple(replace(layer, bias=np.zeros(2, int)) for layer in TWO_NEURONS.layers)


def source():
    """A small network in torch, and its conversion."""
    torch.manual_seed(2)
    module = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(3, 4, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 3),
    )
    calibration = torch.rand(8, 1, 6, 6)
    return module, convert(module, calibration, "optimal", 4)


def test_zeros_of_the_source():
    module, network = source()
    frames = np.random.default_rng(0).integers(0, 256, (5, 1, 6, 6)).astype(np.uint8)
    frames[:, :, 2:4] = 0
    found = source_macs(module, network, frames)
    inputs = [
        torch.tensor(frames) / 255,
        module[:2](torch.tensor(frames) / 255),
        module[:5](torch.tensor(frames) / 255),
    ]
    zero = [torch.round(x * 255 / x.max()) == 0 for x in inputs]
    kept = [1 - zero[0].double(), nn.functional.max_pool2d(1 - zero[1].double(), 2), 1 - zero[2].double()]
    layers = [(module[0], 3), (module[3], 4)]
    for index, (conv, channels) in enumerate(layers):
        ones = torch.ones(channels, conv.in_channels, *conv.kernel_size).double()
        macs = nn.functional.conv2d(kept[index], ones, padding=conv.padding).sum(dim=(1, 2, 3))
        assert found[:, index].tolist() == macs.tolist()
    assert found[:, 2].tolist() == (3 * kept[2].sum(dim=(1, 2, 3))).tolist()
    assert 0 < found.sum() < 5 * (3 * 9 * 36 + 4 * 12 * 4 + 48)

    fixed = quantize(network)
    activity = observed(fixed, frames)
    own, measured = estimate(fixed, activity), estimate(fixed, activity, source_macs=found)
    assert any("zeros of int8 are those of the spiking" in text for text in own.warnings)
    assert not any("zeros of int8" in text for text in measured.warnings)
    assert np.array_equal(measured.total.macs["int8_zero_skipping"], found.sum(axis=1))
    assert np.array_equal(own.total.macs["int8_zero_skipping"], activity.nonzero.sum(axis=1))
    with pytest.raises(InvalidValue, match=r"have shape \(4, 3\), must be \[5, 3\]"):
        estimate(fixed, activity, source_macs=found[:4])
    with pytest.raises(InvalidValue, match="not that of the network"):
        source_macs(nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), network, frames)


def test_hardware_counters_alone():
    """What the four counters do not tell is missing, everything else the same."""
    network = random_network(11)
    full = activity_of(network, 11, 3)
    report, known = (estimate(network, a) for a in (Activity(full.events, full.operations, full.spikes), full))
    for policy in SNN_POLICIES:
        assert np.array_equal(report.total.energy(policy), known.total.energy(policy))
    assert [b.name for b in report.baselines] == ["fp32_dense", "int8_dense", "equal_information_dense"]
    assert report.baseline == "equal_information_dense" and "sop_effective" not in report.total.numbers
    assert any("hardware counters do not tell" in text for text in report.warnings)
    assert energy_table([report])["sop_effective"].isna().any()
    with pytest.raises(InvalidValue, match=r"no baseline 'int8_zero_skipping' .* there are fp32_dense, int8_dense"):
        estimate(network, Activity(full.events, full.operations, full.spikes), baseline="int8_zero_skipping")


def test_cycles_decide_on_a_small_fpga():
    network = random_network(11)
    activity = activity_of(network, 11, 2)
    layers = len(network.layers)
    cycles = np.arange(2 * layers).reshape(2, layers)
    report = estimate(network, activity, profile="ice40up5k", cycles=cycles, clock_mhz=12.0)
    assert [layer.static("stationary").tolist() for layer in report.layers] == [
        pytest.approx([c * (53 + 112 / 12) for c in column]) for column in cycles.T
    ]
    whole = estimate(network, activity, profile="ice40up5k", cycles=cycles.sum(axis=1), clock_mhz=12.0)
    assert np.allclose(whole.total.energy("stationary"), report.total.energy("stationary"))
    assert [layer.name for layer in whole.layers][-1] == "beside the layers" and len(report.layers) == layers
    assert report.verdict == "unknown" and report.baseline is None and not report.baselines
    assert any("cycles decide" in text for text in report.warnings)
    json.dumps(energy_content([report]), allow_nan=False)
    assert energy_table([report])["ratio"].isna().all()
    for options, message in [
        ({}, "charges clock cycles: give those of an image"),
        ({"cycles": 5}, "static power: give the clock"),
        ({"cycles": 5, "clock_mhz": 0.0}, r"clock is 0.0 MHz, must be above 0"),
        ({"cycles": [1, 2, 3], "clock_mhz": 1.0}, r"cycles have shape \(3,\), must be one number or one for each of 2"),
        ({"cycles": np.ones((2, 9)), "clock_mhz": 1.0}, r"must be \[2, \d\], a value for each layer"),
        ({"cycles": -1, "clock_mhz": 1.0}, "cycles reach from -1.0 to 0.0, must be finite"),
    ]:
        with pytest.raises(InvalidValue, match=message):
            estimate(network, activity, profile="ice40up5k", **options)


def test_energy_is_of_the_cores_own_cycles(monkeypatch):
    monkeypatch.setattr(flow.accounts, "_BATCH_STEPS", 8)  # several batches
    network = random_network(11, neuron={"schedule": "two_phase"})
    frames = frames_for(network, 11, 7)
    dataset = Dataset("seven", frames, np.zeros(7, np.int64))
    trace = golden.run(network, frames, "spikes")
    of_profiles = [load_profile("ice40up5k"), INTEGER]
    for lanes in (1, 3):
        counted = cycles(network, frames, trace, lanes)
        board, chip = fixed_energy(network, dataset, profiles=of_profiles, lanes=lanes, clock_mhz=12.0)
        for layer, expected in zip(board.layers[:-1], counted.layers.T, strict=True):
            assert layer.numbers["cycles"].tolist() == expected.tolist()
            assert layer.static("stationary") == pytest.approx(expected * (53 + 112 / 12), rel=1e-12)
        assert board.layers[-1].numbers["cycles"].tolist() == (counted.receiving + counted.sending).tolist()
        assert board.total.numbers["cycles"].tolist() == counted.latency.tolist()
        assert board.latency_us == pytest.approx(counted.latency / 12, rel=1e-12)
        used = trace.activity.operations.sum(axis=1) / (lanes * counted.latency)
        assert board.utilization == pytest.approx(used, rel=1e-12)
        # without a cost of cycles the table has a row for each layer, and latency all the same
        assert len(chip.layers) == len(network.layers)
        described = energy_content([chip])["reports"][0]["latency"]
        assert [described["lanes"], described["clock_MHz"], described["cycles"]["mean"]] == [
            lanes, 12.0, counted.latency.mean()
        ]  # fmt: skip
    (stated,) = fixed_energy(network, dataset, profiles=[INTEGER], cycles=5)
    assert stated.total.numbers["cycles"].tolist() == 7 * [5] and stated.lanes is stated.utilization is None
    (silent,) = fixed_energy(network, dataset, profiles=[INTEGER], lanes=None)
    assert energy_content([silent])["reports"][0]["latency"] is None and silent.latency_us is None


@pytest.mark.parametrize("negative", ["correcting", "memory"])
def test_sums_of_spikes_are_state(negative):
    """Networks that differ in nothing but the sum that each neuron keeps: T = 4 takes 3 bits of it."""
    layers = make_layer(INPUT, [[1]], np.array([3]), [0]), make_layer(0, [[1]], None, [0])
    kept = make_network("stream", 4, (1, 1, 1), *layers, negative=negative)
    plain = replace(kept, negative="symmetric")
    silent = Activity(*(np.zeros((1, 2), np.int64) for _ in range(3)))
    bits = [estimate(n, silent).total.bits["stationary"].state[0] for n in (kept, plain)]
    assert bits == [2 * (n.membrane_bits + extra) * 4 for n, extra in ((kept, 3), (plain, 0))]
    assert [snn_capacities(n)[1] for n in (kept, plain)] == [kept.membrane_bits + 3, plain.membrane_bits]


def test_sensitivity_and_memory_of_weights():
    network = random_network(11)
    activity = activity_of(network, 11, 2)
    report = estimate(network, activity)
    assert list(report.sensitivity) == ["sram / 2.4", "sram / 2.8"]
    compute = report.total.compute("stationary").mean()
    for divisor, (snn, _) in zip((2.4, 2.8), report.sensitivity.values(), strict=True):
        memory = [report.total.memory(policy).mean() for policy in SNN_POLICIES]
        assert snn == pytest.approx([compute + m / divisor for m in memory], rel=1e-12)
    dram = estimate(network, activity, memory=Memory(weights="dram"))
    bits = report.total.bits["stationary"].weights.mean()
    assert dram.total.parts["stationary"]["weights"].mean() == pytest.approx(20.3 * bits, rel=1e-12)
    bare = replace(
        INTEGER, constants={k: v for k, v in INTEGER.constants.items() if k in ("add_per_bit", "multiply_8x8", "sram")}
    )
    assert [b.name for b in estimate(network, activity, profile=bare).baselines] == list(BASELINES)[1:]
    with pytest.raises(InvalidValue, match="has no constant dram; add it, or keep weights in sram"):
        estimate(network, activity, profile=bare, memory=Memory(weights="dram"))
    for field in fields(Memory):
        with pytest.raises(InvalidValue, match=f"memory {field.name} is 'none', must be one of"):
            Memory(**{field.name: "none"})


def test_csv_and_json_say_the_same(tmp_path):
    _, network = source()
    frames = np.random.default_rng(0).integers(0, 256, (6, 1, 6, 6)).astype(np.uint8)
    dataset = Dataset("six", frames, np.zeros(6, np.int64))
    profiles = [INTEGER, load_profile("45nm-fp32-legacy")]
    reports = energy_sweep(network, dataset, profiles=profiles, time_steps=[1, 3])
    assert [(r.network.time_steps, r.profile.name) for r in reports] == [(t, p.name) for t in (1, 3) for p in profiles]
    content = write_energy(
        reports, dataset, tmp_path / "e.csv", tmp_path / "deep" / "e.json", provenance={"accuracy_source": 1.0}
    )
    assert json.loads((tmp_path / "deep" / "e.json").read_text()) == content
    assert (tmp_path / "e.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
    assert ",".join(COLUMNS) == (
        "layer,type,T,input_kind,neurons,synapses_dense,spikes_in,rate,sigma,sop_executed,sop_effective,mac_input,ac_bias,neuron_ops,"
        "weight_bits_read,state_bits_moved,event_bits_moved,e_compute_pJ,e_memory_pJ,e_static_pJ,e_total_pJ,ann_mac_dense,"
        "ann_mac_effective,ann_e_total_pJ,ratio,sigma_star,margin"
    )
    table = energy_table(reports[::2])
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "e.csv", dtype={"layer": str}), table, check_exact=True)
    pd.testing.assert_frame_equal(
        pd.read_csv(StringIO(table.to_csv(index=False)), dtype={"layer": str}), table, check_exact=True
    )
    assert table["layer"].tolist() == 2 * [layer.name for layer in network.layers]

    described = [content[name] for name in ("schema", "status", "images", "dataset", "source")]
    assert described == [3, "simulated", 6, "six", {"accuracy_source": 1.0}]
    assert content["profiles"] == {profile.name: profile.describe() for profile in profiles}
    for found, report in zip(content["reports"], reports, strict=True):
        assert (found["T"], found["samples"], found["fingerprint"]) == (
            report.network.time_steps,
            6,
            report.network.fingerprint,
        )
        assert found["accuracy"] == report.accuracy and found["warnings"] == list(report.warnings)
        total = found["total"]
        assert total["snn_bounds_pJ"] == sorted(total["snn"][policy]["e_total_pJ"]["mean"] for policy in SNN_POLICIES)
        assert {"mean", "std", "p95"} == set(total["counts"]["sigma"])
        if report.profile is INTEGER:
            rows = table[table["T"] == found["T"]]
            assert rows["e_total_pJ"].sum() == pytest.approx(
                total["snn"]["event_driven"]["e_total_pJ"]["mean"], rel=1e-12
            )
            assert rows["ann_e_total_pJ"].sum() == pytest.approx(
                total["ann"][found["baseline"]]["no_reuse"]["e_total_pJ"]["mean"]
            )
            assert [layer["layer"] for layer in found["layers"]] == rows["layer"].tolist()
            assert len(total["break_even"]) == len(BASELINES) * len(PAIRS)
    assert write_energy(reports, dataset, None, None, provenance={})["reports"] == content["reports"]
    html = reports[0]._repr_html_()
    assert (
        html.count("<tr") == 1 + len(network.layers)
        and "equal_information_zero_skipping" in html
        and reports[0].verdict in html
    )


def test_policies_of_the_table():
    network = random_network(11)
    activity = activity_of(network, 11, 2)
    for (snn, ann), baseline in product(PAIRS, BASELINES):
        report = estimate(network, activity, memory=Memory(snn, ann), baseline=baseline)
        table = energy_table([report])
        assert table["e_total_pJ"].sum() == pytest.approx(report.total.energy(snn).mean())
        assert table["ann_e_total_pJ"].sum() == pytest.approx(report.total.ann[baseline][ann].mean())
        assert report.verdict == report.total.verdict(baseline)


def test_legacy_custom_is_labelled():
    network = random_network(11)
    activity = activity_of(network, 11, 2)
    report = estimate(network, activity, profile="45nm-fp32-legacy")
    assert report.baseline == "fp32_dense" and "legacy" in report.baselines[0].label
    assert any("legacy custom" in text for text in report.warnings)
    assert not report.total.memory("event_driven").any() and len(set(report.total.snn_bounds)) == 1
    with pytest.raises(
        InvalidValue, match=r"no baseline 'int8_dense' under profile 45nm-fp32-legacy .* there are fp32_dense"
    ):
        estimate(network, activity, profile="45nm-fp32-legacy", baseline="int8_dense")


def test_large_memories_are_extrapolated():
    weight = np.zeros((1100, 1000), int)
    network = make_network("two_phase", 1, (1000, 1, 1), make_layer(INPUT, weight, None, [0] * 1100))
    activity = golden.run(network, np.zeros((1, 1000, 1, 1), np.uint8)).activity
    assert any("35200000 bits lies beyond" in text for text in estimate(network, activity).warnings)
    fp32 = estimate(network, activity, memory=Memory(weights="dram"))
    assert not any("lies beyond" in text for text in fp32.warnings)
