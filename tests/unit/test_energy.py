"""Operation counts and energies (energy model, sections 1 and 2), profiles and the files they end in."""

import csv
import json
import tomllib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import golden, oracle
from tests.networks import fixed_point_networks, frames_for, random_network, rate_spikes
from tests.unit.test_integers import make_layer, make_network, two_neurons
from toolchain.datasets import Dataset
from toolchain.energy import PROFILES, SCOPE, Counts, accumulator_bits, count, energy_rows, load_profile
from toolchain.errors import InvalidValue
from toolchain.flow import write_energy
from toolchain.ir import INPUT, SCHEDULES

GOOD = """
name = "own"
label = "my chip"
kind = "integer"
[add_per_bit]
value = 0.5
unit = "pJ/bit"
status = "measured"
source = "my bench"
[multiply_8x8]
value = 4
unit = "pJ"
status = "assumed"
source = "a guess"
"""


TWO_NEURONS = two_neurons("stream", [25, 10], [1, 0], [0, 1])
"""Two pixels, two hidden neurons, two classes, T = 4; its spikes are worked out in test_integers."""


def counted(network, frames):
    """Counts of a golden run."""
    return count(network, frames, golden.run(network, frames, "counts"))


@pytest.mark.parametrize(
    ("profile", "weight_bits", "activation_bits", "accumulator", "ratio"),
    [
        ("45nm-fp32-legacy", 32, 32, 32, 5.11),
        ("45nm-int", 8, 8, 24, 3.67),
        ("45nm-int", 8, 8, 32, 3.00),
        *(("45nm-int", 8, bits, 24, ratio) for bits, ratio in enumerate([1.33, 1.67, 2.00, 2.33, 2.67], 1)),
    ],
)
def test_vectors_of_the_energy_model(profile, weight_bits, activation_bits, accumulator, ratio):
    loaded = load_profile(profile)
    assert round(loaded.mac(weight_bits, activation_bits, accumulator) / loaded.add(accumulator), 2) == ratio


def test_shipped_constants():
    integer, legacy = map(load_profile, PROFILES)
    # float64 products of decimal constants
    assert [integer.add(32), integer.mac(8, 8, 0), integer.mac(4, 8, 24)] == pytest.approx([0.1, 0.2, 0.175], rel=1e-12)
    assert (legacy.add(1), legacy.add(64), legacy.mac(1, 1, 1), legacy.mac(16, 8, 64)) == (0.9, 0.9, 4.6, 4.6)
    for profile in (integer, legacy):
        assert all(entry["source"] and entry["status"] == "fitted" for entry in profile.constants.values())


def synapses(connection, source, shape, spikes):
    """(operations, those on weights that are not 0, dense synapses) by visiting every output and every tap."""
    executed = effective = dense = 0
    (sy, sx), (py, px), (ky, kx) = connection.stride, connection.padding, connection.pool
    for oy, ox, dy, dx in np.ndindex(*shape[1:], *connection.kernel):
        y, x = oy * sy - py + dy, ox * sx - px + dx
        if not (0 <= y < source[1] // ky and 0 <= x < source[2] // kx):
            continue
        arriving = spikes[:, y * ky : (y + 1) * ky, x * kx : (x + 1) * kx].sum(axis=(1, 2))
        executed += int(arriving.sum()) * shape[0]
        effective += int((arriving * (connection.weight[:, :, dy, dx] != 0)).sum())
        dense += source[0] * shape[0]
    return executed, effective, dense


def arriving(network, frames):
    """Events of each pixel over all frames."""
    if network.input == "rate":
        return rate_spikes(network, frames).sum(axis=(0, 1))
    bits = np.unpackbits(frames[..., None], axis=-1).sum(axis=-1)
    return (bits if network.input == "bitplane" else frames != 0).sum(axis=0)


def by_brute_force(network, frames, trains):
    """The counts from spike trains [N, T, C, H, W] by loops alone."""
    images, steps, stream = len(frames), network.time_steps, network.schedule == "stream"
    found = dict.fromkeys(Counts.__dataclass_fields__, 0)
    for index, (layer, shape) in enumerate(zip(network.layers, network.shapes, strict=True)):
        for c in layer.connections:
            spikes = arriving(network, frames) if c.source == INPUT else trains[c.source].sum(axis=(0, 1), dtype=int)
            executed, effective, dense = synapses(c, network.source_shape(c), shape, spikes)
            found["mac"] += dense * images
            if c.source == INPUT and network.input != "rate":
                found[{"direct": "mac_input", "bitplane": "input_adds"}[network.input]] += executed
            else:
                found["sop"] += executed
                found["sop_effective"] += effective
        for channel, _, _ in np.ndindex(shape):
            found["input_adds"] += images * steps if stream and network.reads_frame(layer) else 0
            found["ac_bias"] += images * (steps * bool(layer.bias[channel]) if stream else bool(layer.offset[channel]))
            compared = 0 if layer.threshold is None else 1 if network.negative == "none" else 2
            found["neuron_ops"] += images * steps * compared
        if layer.threshold is not None:
            found["spikes"] += int(trains[index].sum(dtype=int))
    found["neuron_ops"] += found["spikes"]
    found["input_adds"] += 2 * images * steps * frames[0].size if network.input == "rate" else 0
    return Counts(**{name: total / images for name, total in found.items()})


@settings(max_examples=60, deadline=None)
@given(network=fixed_point_networks(), seed=st.integers(0, 2**32 - 1))
def test_counts_equal_brute_force(network, seed):
    frames = frames_for(network, seed, 2)
    expected = by_brute_force(network, frames, [np.abs(train) for train in oracle.run(network, frames).spikes])
    assert counted(network, frames) == expected


def test_counts_by_hand():
    frames = np.array([10, 4], np.uint8).reshape(1, 2, 1, 1)
    # 4 spikes × 2 classes; 2 pixels × 2 neurons; T = 4 times: 2 currents, 1 + 1 biases, 2 comparisons, and 4 spikes
    assert counted(TWO_NEURONS, frames) == Counts(8, 8, 4, 8, 8, 12, 4, 8)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_mean_over_batches_is_the_mean_over_images(schedule):
    network = random_network(11, schedule=schedule)
    frames, sizes = frames_for(network, 11, 4), [2, 1, 1]  # powers of two: no rounding anywhere
    parts = [counted(network, part) for part in np.split(frames, [2, 3])]
    assert parts[0] != parts[1]
    assert Counts.mean(parts, sizes) == counted(network, frames)


def test_counting_needs_counts_of_the_same_network():
    network, other = random_network(1), random_network(2)
    frames = frames_for(network, 1, 1)
    with pytest.raises(InvalidValue, match="record='counts'"):
        count(network, frames, golden.run(network, frames))
    with pytest.raises(InvalidValue, match="trace of this network"):
        count(other, frames, golden.run(network, frames, "counts"))


def test_counts_stay_exact_beyond_float32():
    channels, steps = 16500, 1024
    ones = np.ones((channels, 1), int)
    hidden = make_layer(INPUT, ones, [1] * channels, [steps] * (channels - 1) + [1])
    network = make_network("two_phase", steps, (1, 1, 1), hidden, make_layer(0, ones.T, None, [0]))
    frames = np.zeros((1, 1, 1, 1), np.uint8)
    spikes = (channels - 1) * steps + 1
    assert counted(network, frames).sop == spikes > 2**24
    assert golden.run(network, frames).activity.operations.tolist() == [[0, spikes]]


def test_energy_by_hand():
    rows = energy_rows(TWO_NEURONS, Counts(8, 7, 4, 8, 8, 12, 4, 8), 50.0, 1, list(map(load_profile, PROFILES)))
    for row in rows:
        # membranes reach −2 + 4·1020 − 3·10 = 4048: 13 bits; as an ANN 255·(2 + 3) = 1275: 12 bits
        assert (row.snn_bits, row.ann_bits, row.weight_bits, row.time_steps) == (13, 12, 8, 4)
        assert row.ratio == row.e_ann_pj / row.e_snn_pj
    # 4 MACs and 8 + 8 + 8 + 12 additions against 8 MACs; sums of decimal constants in float64
    integer, legacy = ([row.e_snn_pj, row.e_ann_pj] for row in rows)
    assert integer == pytest.approx([4 * (0.2 + 0.040625) + 36 * 0.040625, 8 * (0.2 + 0.0375)], rel=1e-12)
    assert legacy == pytest.approx([4 * 4.6 + 36 * 0.9, 8 * 4.6], rel=1e-12)


@pytest.mark.parametrize("pool", [1, 2, 3])
def test_accumulator_is_free_of_pooling(pool):
    weight = np.concatenate([np.full((1, 1, 2, 2), 127), np.full((1, 1, 2, 2), -127)])
    layer = make_layer(INPUT, weight, None, [0, 0], pool=(pool, pool), kind="linear")
    network = make_network("two_phase", 1, (1, 2 * pool, 2 * pool), layer)
    assert accumulator_bits(network) == 18  # 2^16 < 4·127·255 = 129540 < 2^17, and the sign


def test_a_network_that_does_nothing():
    network = make_network("two_phase", 1, (1, 1, 1), make_layer(INPUT, [[1]], None, [0]))
    counts = counted(network, np.zeros((1, 1, 1, 1), np.uint8))
    (row,) = energy_rows(network, counts, 0.0, 1, [load_profile("45nm-int")])
    assert (row.e_snn_pj, row.ratio) == (0, None)


def own(folder, text):
    """Load ``text`` as a profile."""
    (folder / "own.toml").write_text(text)
    return load_profile(str(folder / "own.toml"))


def test_own_profile(tmp_path):
    profile = own(tmp_path, GOOD)
    assert (profile.name, profile.label, profile.kind) == ("own", "my chip", "integer")
    assert (profile.add(6), profile.mac(4, 8, 6)) == (3.0, 5.0)
    assert profile.constants == {name: tomllib.loads(GOOD)[name] for name in ("add_per_bit", "multiply_8x8")}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"integer"', '"int"', "kind is 'int', must be one of integer, float32"),
        ('kind = "integer"', "", "kind is None"),
        ('"integer"', '["integer"]', "kind is"),
        ('"integer"', '"float32"', "constant mac is missing"),
        ("[multiply_8x8]", "[multiply]", "constant multiply_8x8 is missing"),
        ("value = 4", "value = -4", "multiply_8x8 is -4, must be a number above 0"),
        *(("value = 0.5", f"value = {bad}", "add_per_bit is .*number above") for bad in ("nan", "inf", "true", '"1"')),
        ("value = 0.5", "", "add_per_bit is None"),
        ('"pJ/bit"', '"nJ"', "add_per_bit is in 'nJ', must be in pJ/bit"),
        ('"measured"', '"certain"', "add_per_bit needs a source and a status"),
        ('source = "a guess"', 'source = ""', "multiply_8x8 needs a source"),
        ("[add_per_bit]", "[add_per_bit", "is not TOML"),
    ],
)
def test_bad_profiles_are_refused(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(InvalidValue, match=message):
        own(tmp_path, GOOD.replace(old, new, 1))


def test_missing_profile_names_those_there_are(tmp_path):
    for name in ("46nm", str(tmp_path)):
        with pytest.raises(InvalidValue, match="there are 45nm-int, 45nm-fp32-legacy, or give a TOML file"):
            load_profile(name)


@pytest.mark.parametrize("extra", ["", "accessed = 2024-05-01"])
def test_csv_and_json_hold_the_same_numbers(tmp_path, extra):
    network = random_network(11)
    frames = frames_for(network, 11, 3)
    profiles = [*map(load_profile, PROFILES), own(tmp_path, GOOD.replace('"my bench"', f'"my bench"\n{extra}'))]
    rows = energy_rows(network, counted(network, frames), 100 / 3, 3, profiles)
    dataset = Dataset("three", frames, np.zeros(3, np.int64))
    content = write_energy(rows, profiles, dataset, tmp_path / "e.csv", tmp_path / "deep" / "e.json", provenance={})
    assert json.loads((tmp_path / "deep" / "e.json").read_text()) == content
    assert content["rows"] == [vars(row) for row in rows]
    with (tmp_path / "e.csv").open(newline="") as file:
        pairs = list(zip(csv.DictReader(file), content["rows"], strict=True))
    assert [{k: type(row[k])(text) for k, text in line.items()} for line, row in pairs] == content["rows"]
    assert len(pairs) == 3 and {line["fingerprint"] for line, _ in pairs} == {network.fingerprint}
    described = [content[name] for name in ("scope", "status", "images", "dataset")]
    assert described == [SCOPE, "simulated", 3, "three"]
    assert content["profiles"] == {profile.name: profile.constants for profile in profiles}
    assert write_energy(rows, profiles, dataset, None, None, provenance={}) == content
