"""The core in Amaranth's simulator against the golden model, over random geometry, lanes and stalls."""

import random

import numpy as np
import pytest

from hdl.host import COUNTERS, ErrorCode, PacketType
from hdl.program import Program
from sim import golden
from tests.networks import frames_for, random_network
from tests.rtl.harness import frame_packet, run_core


def check(network, packets, trace, run, lanes):
    classes, layers = network.shapes[-1][0], len(network.layers)
    for image, words in enumerate(packets):
        scores = np.array(words[2 : 2 + classes], np.uint32).astype(np.int32)
        assert np.array_equal(scores, trace.scores[image])
        assert words[2 + classes] == trace.predictions[image]
        counters = np.array(words[3 + classes : -1]).reshape(layers, len(COUNTERS))
        for place, name in enumerate(COUNTERS[1:], 1):
            assert np.array_equal(counters[:, place], getattr(trace.activity, name)[image])
    program = Program(network, lanes)
    seen = [np.zeros_like(train) for train in trace.spikes]
    for image, layer, step, word, bits in run.spikes:
        channels, _, width = network.shapes[layer]
        groups = program.groups(channels)
        y, x, first = word // groups // width, word // groups % width, word % groups * lanes
        group = seen[layer][image, step, first : first + lanes, y, x]
        group[:] = [bits >> lane & 1 for lane in range(len(group))]
        assert bits >> len(group) == 0
    for ours, theirs in zip(seen, trace.spikes, strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("seed", range(30))
def test_core_equals_golden_model(seed):
    network = random_network(seed)
    choice = random.Random(seed)
    lanes, stall = choice.choice([1, 2, 3, 4, 8, 16, 64]), choice.choice([0, 0.4])
    frames = frames_for(network, seed, 2)
    run = run_core(network, [frame_packet(f) for f in frames], lanes=lanes, stall=stall, seed=seed)
    check(network, run.packets, golden.run(network, frames, "spikes"), run, lanes)


def test_malformed_packets_are_refused_and_the_next_frame_is_right():
    network = random_network(16)
    frames = frames_for(network, 1, 1)
    good = frame_packet(frames[0])
    wrong = [
        ([0x02 << 24 | good[0] & 0xFFFFFF, *good[1:]], ErrorCode.TYPE),
        ([good[0] + 1, *good[1:]], ErrorCode.SIZE),
        (good[:-1], ErrorCode.SHORT),
        ([good[0]], ErrorCode.SHORT),
        ([*good, 7, 7], ErrorCode.LONG),
    ]
    packets = [packet for bad, _ in wrong for packet in (bad, good)]
    run = run_core(network, packets, lanes=3)
    for (_, code), answer in zip(wrong, run.packets[::2], strict=True):
        assert answer == [PacketType.ERROR << 24 | 1, code]
    expected = golden.run(network, frames).scores[0]
    for answer in run.packets[1::2]:
        scores = np.array(answer[2 : 2 + len(expected)], np.uint32).astype(np.int32)
        assert np.array_equal(scores, expected)
