"""The core in Amaranth's simulator against the golden model, over random geometry, lanes and stalls."""

import random
from dataclasses import replace

import numpy as np
import pytest

from hdl.host import PacketType
from hdl.program import Program
from sim import golden
from sim.comparison import Comparison
from sim.packets import frame_packet, read_result
from tests.malformed import malformed
from tests.networks import NEURONS, frames_for, lively_network, random_network
from tests.rtl.harness import run_core
from toolchain.cycles import cycles
from toolchain.ir import INPUTS, SCHEDULES


@pytest.mark.parametrize("seed", range(30))
def test_core_equals_golden_model(seed):
    check(random_network(seed), seed)


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
    """Two frames on random lanes, half the time with stalls: spikes, scores, counters, cycles and their bound."""
    choice = random.Random(seed)
    lanes, stall = choice.choice([1, 2, 3, 4, 8, 16, 64]), choice.choice([0, 0.4])
    frames = frames_for(network, seed, 2)
    run = run_core(network, [frame_packet(f) for f in frames], lanes=lanes, stall=stall, seed=seed)
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
        assert max(counted) <= Program(network, lanes).longest_inference


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
