"""Counts and constants of the energy model (sections 1 and 2): brute force, other counters, profiles."""

import tomllib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import golden, oracle
from tests.networks import fixed_point_networks, frames_for, random_network, rate_spikes
from tests.unit.test_integers import make_layer, make_network, two_neurons
from toolchain.energy import PROFILES, accumulator_bits, layer_counts, load_profile, load_published, observe
from toolchain.errors import InvalidValue
from toolchain.geometry import fan_out
from toolchain.ir import INPUT, SCHEDULES, FixedPointNetwork
from toolchain.trace import Activity

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
[sram]
value = 0.25
unit = "pJ/bit"
status = "simulated"
source = "my memory compiler"
"""


TWO_NEURONS = two_neurons("stream", [25, 10], [1, 0], [0, 1])
"""Two pixels, two hidden neurons, two classes, T = 4; its spikes are worked out in test_integers."""


def observed(network, frames):
    """Activity of a golden run, with what its spike counts tell."""
    return observe(network, frames, golden.run(network, frames, "counts"))


NUMBERS = {
    "sop": "sop", "sop_effective": "sop_effective", "mac_input": "mac_input", "input_adds": "input_adds", "ac_bias": "ac_bias",
    "neuron_ops": "neuron_ops", "spikes": "spikes_out", "mac": "synapses", "mac_nonzero": "mac_nonzero",
}  # fmt: skip


def counted(network, frames):
    """Sums over layers and images."""
    layers = layer_counts(network, observed(network, frames))

    def total(values):
        return int(values.sum()) if isinstance(values, np.ndarray) else values * len(frames)

    return {name: sum(total(getattr(layer, member)) for layer in layers) for name, member in NUMBERS.items()}


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
    integer, legacy, fpga = map(load_profile, PROFILES)
    # float64 products of decimal constants
    assert [integer.add(32), integer.mac(8, 8, 0), integer.mac(4, 8, 24)] == pytest.approx([0.1, 0.2, 0.175], rel=1e-12)
    assert (legacy.add(1), legacy.add(64), legacy.mac(1, 1, 1), legacy.mac(16, 8, 64)) == (0.9, 0.9, 4.6, 4.6)
    assert (integer.mac_float32, legacy.mac_float32, fpga.mac_float32) == (4.6, 4.6, None)
    # 10, 20 and 100 pJ for 64 bits of 8 KB, 32 KB and 1 MB, as fitted; a smaller memory costs what 8 KB do
    assert [64 * integer.sram(bits) for bits in (2**16, 2**18, 2**23)] == pytest.approx([10, 20, 100], rel=1e-3)
    assert integer.sram(1) == integer.sram(2**16) and (integer.beyond(2**23), integer.beyond(2**23 + 1)) == (
        False,
        True,
    )
    assert integer.divided(2.4).sram(2**20) == pytest.approx(integer.sram(2**20) / 2.4, rel=1e-12)
    assert (fpga.value("clock_cycle"), fpga.value("static_power"), fpga.mac(8, 8, 24), fpga.add(24)) == (53, 112, 24, 0)
    for profile in (integer, legacy, fpga):
        assert all(
            entry["source"] and entry["status"] in ("fitted", "simulated", "measured")
            for entry in profile.constants.values()
        )


def test_published_energies_are_for_orientation():
    chips = {chip.chip: chip.pj_per_sop for chip in load_published()}
    assert chips == {"Tianjic": 1.54, "TrueNorth": 2.5, "SENECA": 2.8, "ReckOn": 5.3, "SpiNNaker2": 10, "ODIN": 12.7,
                     "Loihi": 23.6, "SpiNNaker": 45}  # fmt: skip
    assert "conflict" in load_published()[-1].note and all("PMC10326429" in chip.source for chip in load_published())


def synapses(connection, source, shape, spikes, active):
    """Operations, those on weights that are not 0, dense synapses, those with an active source, by visiting every tap.

    ``spikes`` is the sum over all images, ``active`` bool [N, C, H, W].
    """
    executed = effective = dense = nonzero = 0
    (sy, sx), (py, px), (ky, kx) = connection.stride, connection.padding, connection.pool
    for oy, ox, dy, dx in np.ndindex(*shape[1:], *connection.kernel):
        y, x = oy * sy - py + dy, ox * sx - px + dx
        if not (0 <= y < source[1] // ky and 0 <= x < source[2] // kx):
            continue
        arriving = spikes[:, y * ky : (y + 1) * ky, x * kx : (x + 1) * kx].sum(axis=(1, 2))
        executed += int(arriving.sum()) * shape[0]
        effective += int((arriving * (connection.weight[:, :, dy, dx] != 0)).sum())
        dense += source[0] * shape[0]
        window = active[:, :, y * ky : (y + 1) * ky, x * kx : (x + 1) * kx]
        nonzero += int(window.any(axis=(2, 3)).sum()) * shape[0]
    return executed, effective, dense, nonzero


def arriving(network, frames):
    """Events of each pixel."""
    if network.input == "rate":
        return rate_spikes(network, frames).sum(axis=1)
    bits = np.unpackbits(frames[..., None], axis=-1).sum(axis=-1)
    return bits if network.input == "bitplane" else frames != 0


def by_brute_force(network, frames, trains):
    """The counts from spike trains [N, T, C, H, W] by loops alone."""
    images, steps, stream = len(frames), network.time_steps, network.schedule == "stream"
    found = dict.fromkeys(NUMBERS, 0)
    for index, (layer, shape) in enumerate(zip(network.layers, network.shapes, strict=True)):
        for c in layer.connections:
            each = arriving(network, frames) if c.source == INPUT else trains[c.source].sum(axis=1, dtype=int)
            shapes = network.source_shape(c), shape
            executed, effective, dense, nonzero = synapses(c, *shapes, each.sum(axis=0, dtype=int), each > 0)
            found["mac"] += dense * images
            found["mac_nonzero"] += nonzero
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
    return found


@settings(max_examples=60, deadline=None)
@given(network=fixed_point_networks(), seed=st.integers(0, 2**32 - 1))
def test_counts_equal_brute_force(network, seed):
    frames = frames_for(network, seed, 2)
    expected = by_brute_force(network, frames, [np.abs(train) for train in oracle.run(network, frames).spikes])
    assert counted(network, frames) == expected


def test_counts_by_hand():
    frames = np.array([10, 4], np.uint8).reshape(1, 2, 1, 1)
    # 4 spikes × 2 classes; 2 pixels × 2 neurons; T = 4 times: 2 currents, 1 + 1 biases, 2 comparisons, and 4 spikes
    assert list(counted(TWO_NEURONS, frames).values()) == [8, 8, 4, 8, 8, 12, 4, 8, 8]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_batches_join_to_the_whole(schedule):
    network = random_network(11, schedule=schedule)
    frames = frames_for(network, 11, 4)
    parts = [observed(network, part) for part in np.split(frames, [2, 3])]
    joined, whole = Activity.joined(parts), observed(network, frames)
    assert joined == whole
    assert np.array_equal(joined.effective, whole.effective) and np.array_equal(joined.nonzero, whole.nonzero)
    assert Activity.joined([parts[0], replace(parts[1], effective=None)]).effective is None


def test_counting_needs_counts_of_the_same_network():
    network, other = random_network(1), random_network(2)
    frames = frames_for(network, 1, 1)
    with pytest.raises(InvalidValue, match="record='counts'"):
        observe(network, frames, golden.run(network, frames))
    with pytest.raises(InvalidValue, match="trace of this network"):
        observe(other, frames, golden.run(network, frames, "counts"))
    with pytest.raises(InvalidValue, match=r"activity is of 1 images and 1 layers, must be .* the network's \d layers"):
        layer_counts(random_network(11), Activity(*np.zeros((3, 1, 1), np.int64)))


def test_counts_stay_exact_beyond_float32():
    channels, steps = 16500, 1024
    ones = np.ones((channels, 1), int)
    hidden = make_layer(INPUT, ones, [1] * channels, [steps] * (channels - 1) + [1])
    network = make_network("two_phase", steps, (1, 1, 1), hidden, make_layer(0, ones.T, None, [0]))
    frames = np.zeros((1, 1, 1, 1), np.uint8)
    spikes = (channels - 1) * steps + 1
    assert counted(network, frames)["sop"] == spikes > 2**24
    assert golden.run(network, frames).activity.operations.tolist() == [[0, spikes]]


@pytest.mark.parametrize("pool", [1, 2, 3])
def test_accumulator_is_free_of_pooling(pool):
    weight = np.concatenate([np.full((1, 1, 2, 2), 127), np.full((1, 1, 2, 2), -127)])
    layer = make_layer(INPUT, weight, None, [0, 0], pool=(pool, pool), kind="linear")
    network = make_network("two_phase", 1, (1, 2 * pool, 2 * pool), layer)
    assert accumulator_bits(network, 8) == 18  # 2^16 < 4·127·255 = 129540 < 2^17, and the sign


def own(folder, text):
    """Load ``text`` as a profile."""
    (folder / "own.toml").write_text(text)
    return load_profile(str(folder / "own.toml"))


def test_own_profile(tmp_path):
    profile = own(tmp_path, GOOD)
    assert (profile.name, profile.label, profile.kind) == ("own", "my chip", "integer")
    assert (profile.add(6), profile.mac(4, 8, 6)) == (3.0, 5.0)
    assert profile.constants == {name: tomllib.loads(GOOD)[name] for name in ("add_per_bit", "multiply_8x8", "sram")}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"integer"', '"int"', "kind is 'int', must be one of integer, float32, cycles"),
        ('kind = "integer"', "", "kind is None"),
        ('"integer"', '["integer"]', "kind is"),
        ('"integer"', '"float32"', "constant mac is missing"),
        ("[multiply_8x8]", "[multiply]", "constant multiply_8x8 is missing"),
        ("[sram]", "[clock_cyle]", "constant sram is missing"),
        ('label = "my chip"', "clock_cyle = 3", "no constant 'clock_cyle' in kind integer; it has .* clock_cycle"),
        ('label = "my chip"', "clock_cycle = 3", "clock_cycle is missing"),
        ('label = "my chip"', "orientation = 3", "orientation is 3, must be a table"),
        ("value = 0.25", "value = [1.0, 2.0]", "sram is .*must be a number, or the coefficients"),
        ("value = 0.25", "value = [0.0, 0.0, 1.0]", "sram: range is None, must be the smallest and the largest"),
        ("value = 0.25", "value = [0.0, 0.0, -1.0]\nrange = [64, 128]", r"coefficients give -10 pJ/bit for 2\^10 bits"),
        ("value = 0.25", "value = -0.25", "sram is -0.25, must be a number above 0"),
        ("value = 4", "value = -4", "multiply_8x8 is -4, must be a number above 0"),
        *(("value = 0.5", f"value = {bad}", "add_per_bit is .*number above") for bad in ("nan", "inf", "true", '"1"')),
        ("value = 0.5", "", "add_per_bit is None"),
        ('"pJ/bit"', '"nJ"', "add_per_bit is in 'nJ', must be in pJ/bit"),
        ('"measured"', '"certain"', "add_per_bit needs a unit, a source and a status"),
        ('source = "a guess"', 'source = ""', "multiply_8x8 needs a unit, a source"),
        ("[add_per_bit]", "[add_per_bit", "is not TOML"),
    ],
)
def test_bad_profiles_are_refused(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(InvalidValue, match=message):
        own(tmp_path, GOOD.replace(old, new, 1))


def test_missing_profile_names_those_there_are(tmp_path):
    for name in ("46nm", str(tmp_path)):
        with pytest.raises(InvalidValue, match="there are 45nm-int, 45nm-fp32-legacy, ice40up5k, or give a TOML file"):
            load_profile(name)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 3),
    groups=st.sampled_from([1, 2]),
)
def test_effective_fan_out_of_dilation_and_groups(seed, stride, padding, dilation, groups):
    """Both become weights that are 0 here; F is the transposed convolution of ones with 1[w ≠ 0]."""
    rng = np.random.default_rng(seed)
    small = rng.integers(-1, 2, (4, 2 // groups, 3, 2))
    weight = np.zeros((4, 2, 2 * dilation + 1, dilation + 1), np.int64)
    for o in range(4):
        first = o // (4 // groups) * (2 // groups)
        weight[o, first : first + 2 // groups, ::dilation, ::dilation] = small[o]
    layer = make_layer(INPUT, weight, [1] * 4, [0] * 4, stride=(stride, stride), padding=(padding, padding))
    (connection,) = layer.connections
    source = (2, 8, 7)
    found = np.zeros(source, int)
    shape = connection.output(source)
    per_group = 2 // groups
    for o, oy, ox, i, ky, kx in np.ndindex(*shape, per_group, 3, 2):
        y, x = oy * stride - padding + ky * dilation, ox * stride - padding + kx * dilation
        if 0 <= y < 8 and 0 <= x < 7 and small[o, i, ky, kx]:
            found[o // (4 // groups) * per_group + i, y, x] += 1
    assert np.array_equal(fan_out(connection, source, effective=True), found)


def chain(rng):
    """A network of a convolution and a dense layer on spikes alone (``rate``), some weights 0, without bias."""
    first = make_layer(INPUT, rng.integers(-3, 4, (4, 2, 3, 3)), [5] * 4, [0] * 4, stride=(2, 1), padding=(1, 0))
    second = make_layer(0, rng.integers(-3, 4, (5, 4, 4, 4)), None, [0] * 5, kind="linear")
    return FixedPointNetwork("chain", (2, 7, 6), "stream", 4, (first, second), input="rate")


def modules(network):
    """The same synapses in torch, without bias."""
    conv = torch.nn.Conv2d(2, 4, 3, stride=(2, 1), padding=(1, 0), bias=False)
    linear = torch.nn.Linear(64, 5, bias=False)
    for module, layer in zip((conv, linear), network.layers, strict=True):
        module.weight.data = torch.tensor(layer.connections[0].weight).float().reshape(module.weight.shape)
    return conv, linear


def spikes_of(network, frames):
    """What both layers receive, float32 [T, N, C, H, W] each."""
    trains = golden.run(network, frames, "spikes").spikes
    return [torch.tensor(np.swapaxes(x, 0, 1)).float() for x in (rate_spikes(network, frames), trains[0])]


def test_operations_equal_neurobench():
    metrics = pytest.importorskip("neurobench.metrics.workload", exc_type=ImportError)
    network = chain(np.random.default_rng(3))
    frames = frames_for(network, 3, 2)
    counts = layer_counts(network, observed(network, frames))
    for module, count, received in zip(modules(network), counts, spikes_of(network, frames), strict=True):
        # a step without any spike is neither binary nor not
        steps = [step.flatten(1) if isinstance(module, torch.nn.Linear) else step for step in received if step.any()]
        hook = SimpleNamespace(
            inputs=[(step,) for step in steps], layer=module, hook=SimpleNamespace(remove=int), register_hook=int
        )
        found = metrics.SynapticOperations()(SimpleNamespace(connection_hooks=[hook]), None, (torch.tensor(frames),))
        assert found["Effective_MACs"] == 0
        assert found["Effective_ACs"] == count.sop_effective.mean() > 0
        assert found["Dense"] == len(steps) * count.synapses


def test_operations_equal_spikingjelly():
    counters = pytest.importorskip("spikingjelly.activation_based.op_counter")
    network = chain(np.random.default_rng(3))
    frames = frames_for(network, 3, 2)
    counts = layer_counts(network, observed(network, frames))
    for module, count, received in zip(modules(network), counts, spikes_of(network, frames), strict=True):
        counter = counters.SynOpCounter()
        with counters.DispatchCounterMode([counter]), torch.no_grad():
            for step in received:
                module(step.flatten(1) if isinstance(module, torch.nn.Linear) else step)
        assert counter.get_total() == count.sop.sum() > 0
