"""The core in Amaranth's simulator against the golden model, over random geometry, lanes and stalls."""

import random
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hdl.host import COUNTERS, PacketType
from hdl.program import Program
from sim import golden
from sim.comparison import Comparison
from sim.packets import frame_packet, input_packet, read_result
from tests.malformed import malformed
from tests.networks import NEURONS, frames_for, lively_network, random_network
from tests.rtl.harness import run_core
from toolchain.connection import Connection
from toolchain.cycles import cycles
from toolchain.energy import energy_table, estimate, observe
from toolchain.ir import INPUT, INPUTS, SCHEDULES, FixedPointLayer, FixedPointNetwork
from toolchain.trace import Activity


@pytest.mark.parametrize("seed", range(30))
def test_core_equals_golden_model(seed):
    check(random_network(seed), seed)


@pytest.mark.parametrize("seed", range(30))
def test_core_with_groups_dilation_and_lopsided_padding_equals_golden_model(seed):
    check(random_network(seed, unusual=True), seed)


@pytest.mark.parametrize("number", range(2))
@pytest.mark.parametrize("neuron", NEURONS, ids=["-".join(neuron.values()) for neuron in NEURONS])
def test_every_neuron_equals_golden_model(neuron, number):
    check(lively_network(neuron, number), number)


@pytest.mark.parametrize("input", INPUTS)
@pytest.mark.parametrize("negative", ["none", "symmetric"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_input_equals_golden_model(schedule, negative, input):
    if (schedule, input) != ("radix", "rate"):
        neuron = {"schedule": schedule, "negative": negative, "reset": "subtract", "compare": "ge", "input": input}
        check(lively_network(neuron, 2), 5)


@pytest.mark.parametrize("input", ["direct", "bitplane"])
def test_longest_radix_train_and_two_layers_that_read_the_frame(input):
    rng = np.random.default_rng(5)

    def layer(source, outputs, inputs, threshold, **geometry):
        weight = rng.integers(-7, 8, (outputs, inputs, 3, 3)).astype(np.int32)
        nothing = np.zeros(outputs, int)
        return FixedPointLayer(
            "",
            (Connection(source, weight, **geometry),),
            threshold and np.full(outputs, threshold),
            nothing,
            nothing + 40,
        )

    first, second = layer(INPUT, 3, 1, 50, padding=(1, 1)), layer(INPUT, 5, 1, 40, padding=(1, 1))
    joined = replace(layer(0, 4, 3, None), connections=(
        replace(layer(0, 4, 3, None).connections[0], kind="linear"), replace(layer(1, 4, 5, None).connections[0], source=1, kind="linear")
    ))  # fmt: skip
    network = FixedPointNetwork("corner", (1, 3, 3), "radix", 10, (first, second, joined), input=input)
    check(network, 3)


@pytest.mark.parametrize("thresholds", [1, 16])
@pytest.mark.parametrize("negative", ["asymmetric", "memory"])
def test_powers_of_two_beside_negative_spikes(negative, thresholds):
    network = lively_network({"schedule": "stream", "negative": negative, "reset": "subtract", "compare": "gt"}, 0)
    layers = tuple(
        layer if layer.threshold is None else replace(layer, threshold=np.full(layer.channels, thresholds))
        for layer in network.layers
    )
    check(replace(network, layers=layers), 3)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_thresholds_of_powers_of_two_leave_the_parameter_memory(schedule):
    network = lively_network(dict(zip(NEURONS[0], (schedule, "none", "subtract", "ge"), strict=True)), 1)
    layers = tuple(
        layer if layer.threshold is None else replace(layer, threshold=np.full(layer.channels, 1 << index + 4))
        for index, layer in enumerate(network.layers)
    )
    powers = replace(network, layers=layers)
    assert "threshold" in Program(network, 4).parameter_words[0][0]
    assert "threshold" not in Program(powers, 4).parameter_words[0][0]
    check(powers, 1)


def check(network, seed):
    """Two frames on random lanes, 64 with seed 0, half the time with stalls: spikes, scores, counters, cycles and their bound."""
    choice = random.Random(seed)
    lanes, stall = choice.choice([1, 2, 3, 4, 8, 16]) if seed else 64, choice.choice([0, 0.4])
    frames = frames_for(network, seed, 2)
    program = Program(network, lanes)
    run = run_core(network, [input_packet(f, program) for f in frames], lanes=lanes, stall=stall, seed=seed)
    trace = golden.run(network, frames, "spikes")
    expected = cycles(network, frames, trace, lanes)
    comparison = Comparison(network, lanes, trace, expected)
    comparison.results(run.packets)
    comparison.spikes(run.spikes)
    assert not comparison.differences
    classes, layers = network.shapes[-1][0], len(network.layers)
    counted = [read_result(packet, classes=classes, layers=layers).cycles for packet in run.packets]
    if not stall:  # which makes the frame longer to arrive
        assert counted == expected.total.tolist()
        assert max(counted) <= program.longest_inference


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_counters_give_the_energy_of_the_golden_model(schedule):
    neuron = {"schedule": schedule, "negative": "none", "reset": "subtract", "compare": "ge", "input": "direct"}
    network = lively_network(neuron, 1)
    frames = frames_for(network, 4, 3)
    run = run_core(network, [frame_packet(f) for f in frames], lanes=4)
    sizes = {"classes": network.shapes[-1][0], "layers": len(network.layers)}
    results = [read_result(packet, **sizes) for packet in run.packets]
    counted = dict(zip(COUNTERS, np.moveaxis(np.stack([r.counters for r in results]), 2, 0), strict=True))
    clocks = counted.pop("cycles")
    outside = np.array([[r.cycles] for r in results]) - clocks.sum(axis=1, keepdims=True)
    activity = Activity(**counted)
    expected = observe(network, frames, golden.run(network, frames, "counts"))
    assert activity == expected
    options = {"cycles": np.concatenate([clocks, outside], axis=1), "baseline": "int8_dense"}
    hardware, model = (energy_table([estimate(network, a, **options)]) for a in (activity, expected))
    pd.testing.assert_frame_equal(hardware.drop(columns="sop_effective"), model.drop(columns="sop_effective"))


def test_malformed_packets_are_refused_and_the_next_frame_is_right():
    network = random_network(16)
    frames = frames_for(network, 1, 1)
    good = frame_packet(frames[0])
    wrong = malformed(good)
    packets = [packet for bad, _ in wrong for packet in (bad, good)]
    run = run_core(network, packets, lanes=3)
    for (_, code), answer in zip(wrong, run.packets[::2], strict=True):
        assert answer == [PacketType.ERROR << 24 | 1, code]
    expected = golden.run(network, frames).scores[0]
    for answer in run.packets[1::2]:
        result = read_result(answer, classes=len(expected), layers=len(network.layers))
        assert np.array_equal(result.scores, expected)
