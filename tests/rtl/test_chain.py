"""Chains of cores in Amaranth's simulator against the golden model and the single core, over random networks and cuts."""

import random
from itertools import pairwise

import numpy as np
import pytest

from hdl.chain import Chain
from hdl.harness import TOP, harness_rtlil
from hdl.host import PacketType
from hdl.program import Program
from sim import golden
from sim.comparison import Comparison
from sim.packets import input_packet, read_result
from tests.cosim.planted import faulty_chain
from tests.malformed import malformed
from tests.networks import NEURONS, frames_for, lively_network, random_network
from tests.pooled_networks import pooled_network
from tests.rtl import harness
from tests.rtl.harness import run_core
from toolchain.balance import split_at
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


def three_cores(schedule="two_phase", **neuron):
    """A random network whose three layers may each have a core."""
    networks = (lively_network({"schedule": schedule, **PLAIN, "input": "direct", **neuron}, k) for k in range(9))
    return next(n for n in networks if len(cut_places(n)) == 2)


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_max_pooling_across_a_cut(seed):
    networks = (pooled_network(s) for s in range(50 * seed, 50 * seed + 50))
    network = next(n for n in networks if 1 in cut_places(n))
    assert network.layers[1].connections[0].maximum is not None
    check(network, cut_places(network), seed)


@pytest.mark.parametrize("cuts", [(1,), (2,), (1, 2)])
@pytest.mark.parametrize("schedule", ["two_phase", "stream"])
def test_a_frame_takes_the_cycles_of_the_slowest_core_exactly(schedule, cuts):
    """The same frame again and again: once the chain is full, answers come at the slowest core's pace."""
    network, lanes = three_cores(schedule), 2
    frame = frames_for(network, 5, 1)
    packet = input_packet(frame[0], Program(network, lanes))
    run = run_core(network, [packet] * 9, lanes=lanes, cuts=cuts)
    split = split_at(network, frame, lanes=lanes, cuts=cuts)
    assert [b - a for a, b in pairwise(run.ends)][-3:] == [int(split.cycles)] * 3


def test_cycles_of_a_result_hold_the_waits_between_cores():
    network, lanes = three_cores(), 2
    frame = frames_for(network, 5, 1)
    packet = input_packet(frame[0], Program(network, lanes))
    counted = [
        read_result(p, classes=network.shapes[-1][0], layers=3).cycles
        for p in run_core(network, [packet] * 4, lanes=lanes, cuts=(1, 2)).packets
    ]
    split = split_at(network, frame, lanes=lanes, cuts=(1, 2))
    assert (
        sum(cycles(network, frame, golden.run(network, frame, "spikes"), lanes).layers[0])
        < counted[0]
        <= sum(split.stages)
    )
    assert sorted(counted) == counted


FAULTS = {
    # fault: (negative spikes, kinds of difference it must show, module, replacements)
    "fields_sent_in_another_order": (
        "none", "spike score", "hdl.sender", (("added >> unfilled, added", "added >> unfilled, added ^ 1"),),
    ),
    "signs_of_spikes_lost_on_the_way": (
        "symmetric", "spike score", "hdl.sender", (("field = Cat(field, self.spikes[lanes : lanes + used])", "field = Cat(field, self.spikes[lanes : lanes + used] & 0)"),),
    ),
    "spikes_of_another_buffer_sent": (
        "none", "spike score", "hdl.sender", (("self.address.eq(self._base)", "self.address.eq(self._base + 1)"),),
    ),
    "counters_of_the_first_core_lost": (
        "none", "counter", "hdl.counters", (("write.en.eq(1),\n                ]", "write.en.eq(0),\n                ]"),),
    ),
    "time_from_the_last_core_on": (
        "none", "counter", "hdl.counters", (("self.origin.eq(self.origin_given)", "self.origin.eq(now)"),),
    ),
    "words_lost_between_cores": (
        "none", "protocol", "hdl.chain", (("queue.w_en.eq(before.m_axis_tvalid)", "queue.w_en.eq(before.m_axis_tvalid & (queue.w_level != 2))"),),
    ),
    "identity_of_a_part_sent": (
        "none", "protocol", "hdl.chain", (("place=ChainPlace(before, identity)", "place=ChainPlace(before, identity ^ 1)"),),
    ),
}  # fmt: skip


def kinds_seen(network, cuts=(1, 2)):
    """Kinds of difference that three frames show, too few cycles and silence included."""
    lanes, frames = 2, frames_for(network, 4, 3)
    program, trace = Program(network, lanes), golden.run(network, frames, "spikes")
    expected = cycles(network, frames, trace, lanes)
    packets = [input_packet(f, program) for f in frames]
    try:
        run = run_core(network, packets, lanes=lanes, cuts=cuts, limit=4 * int(expected.total.sum()) + 4000)
    except AssertionError:
        return {"protocol"}
    comparison = Comparison(network, lanes, trace, expected)
    comparison.results(run.packets)
    comparison.spikes(run.spikes)
    kinds = {difference.what for difference in comparison.differences}
    results = [read_result(packet, classes=network.shapes[-1][0], layers=3) for packet in run.packets]
    return kinds | {"counter" for r in results if r.cycles < r.counters[:, 0].sum()}


@pytest.mark.parametrize("negative", ["none", "symmetric"])
def test_healthy_chain_shows_nothing(negative):
    assert not kinds_seen(three_cores("two_phase", negative=negative))


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_caught(monkeypatch, name):
    negative, caught, module, replacements = FAULTS[name]
    with faulty_chain(module, replacements) as chain:
        monkeypatch.setattr(harness, "Chain", chain)
        kinds = kinds_seen(three_cores("two_phase", negative=negative))
    assert kinds & set(caught.split()), kinds


def test_harness_takes_a_chain():
    """What ``synth`` places: every core and the queues between them, behind ten pins."""
    text = harness_rtlil(Chain(three_cores(), lanes=2, cuts=(1, 2)))
    for part in ("core_0", "core_1", "core_2", "queue_0", "queue_1"):
        assert f"{TOP}.harness.core.{part}" in text
