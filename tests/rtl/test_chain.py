"""Chains of cores in Amaranth's simulator against the golden model and the single core, over random networks and cuts."""

import random

import numpy as np
import pytest

from hdl.host import PacketType
from hdl.program import Program
from sim import golden
from sim.comparison import Comparison
from sim.packets import input_packet, read_result
from tests.malformed import malformed
from tests.networks import NEURONS, frames_for, lively_network, random_network
from tests.rtl.harness import run_core
from toolchain.cycles import cycles
from toolchain.segments import cut_places

PLAIN = {"negative": "none", "reset": "subtract", "compare": "ge"}


def check(network, cuts, seed, *, lanes=None, stall=None):
    """Three frames: spikes, scores, counters, cycles of every layer."""
    choice = random.Random(seed)
    lanes = lanes or choice.choice([1, 2, 3, 4, 8, 16, 64])
    stall = choice.choice([0, 0.4]) if stall is None else stall
    frames = frames_for(network, seed, 3)
    program = Program(network, lanes)
    packets = [input_packet(f, program) for f in frames]
    run = run_core(network, packets, lanes=lanes, stall=stall, seed=seed, cuts=cuts)
    trace = golden.run(network, frames, "spikes")
    comparison = Comparison(network, lanes, trace, cycles(network, frames, trace, lanes))
    comparison.results(run.packets)
    comparison.spikes(run.spikes)
    assert not comparison.differences
    return run


@pytest.mark.parametrize("seed", range(12))
def test_chain_equals_golden_model(seed):
    networks = (random_network(s, unusual=seed % 3 == 0) for s in range(100 * seed, 100 * seed + 100))
    network = next(n for n in networks if cut_places(n))
    places = cut_places(network)
    cuts = places if seed % 2 else places[:1]
    check(network, cuts, seed)


@pytest.mark.parametrize("neuron", NEURONS[::3], ids=["-".join(neuron.values()) for neuron in NEURONS[::3]])
def test_every_third_neuron_in_a_chain(neuron):
    network = next(
        n for n in (lively_network({**neuron, "input": "direct"}, k) for k in range(9)) if len(cut_places(n)) == 2
    )
    check(network, (1, 2), 5)


@pytest.mark.parametrize("input", ["bitplane", "rate", "spikes"])
def test_every_input_into_a_chain(input):
    network = lively_network({"schedule": "two_phase", **PLAIN, "input": input}, 1)
    check(network, cut_places(network), 3)


def test_errors_pass_through_in_order_and_good_frames_are_right():
    network = next(
        n
        for n in (lively_network({"schedule": "stream", **PLAIN, "input": "direct"}, k) for k in range(9))
        if len(cut_places(n)) == 2
    )
    frames = frames_for(network, 1, 1)
    good = input_packet(frames[0], Program(network, 3))
    wrong = malformed(good)
    expected = golden.run(network, frames).scores[0]
    run = run_core(network, [p for bad, _ in wrong for p in (bad, good, good)], lanes=3, stall=0.2, cuts=(1, 2))
    for (_, code), *answers in zip(wrong, run.packets[::3], run.packets[1::3], run.packets[2::3], strict=True):
        assert answers[0] == [PacketType.ERROR << 24 | 1, code]
        for answer in answers[1:]:
            result = read_result(answer, classes=len(expected), layers=3)
            assert np.array_equal(result.scores, expected)
            assert result.network_id == int(network.fingerprint[:8], 16)
