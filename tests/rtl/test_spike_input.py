"""Packets of spikes into the core in Amaranth's simulator: wide and narrow fields, timing, malformed packets."""

import numpy as np
import pytest

from hdl.host import PacketType
from hdl.program import Program
from hdl.weighing import amplitude_bits, weighing
from sim import golden
from sim.comparison import Comparison
from sim.packets import input_packet, read_result
from tests.malformed import malformed
from tests.networks import NEURONS, frames_for, lively_network
from tests.rtl.harness import run_core
from tests.unit.test_integers import make_layer, make_network
from toolchain.cycles import cycles
from toolchain.ir import INPUT


def wide(negative, channels=40):
    """Two layers on ``channels`` × 3 × 2 spikes, T = 3."""
    rng = np.random.default_rng(channels)
    hidden = make_layer(INPUT, rng.integers(-9, 10, (5, channels, 2, 2)), [60] * 5, [3] * 5)
    readout = make_layer(0, rng.integers(-9, 10, (3, 5, 2, 1)), None, [0] * 3, kind="linear")
    return make_network("stream", 3, (channels, 3, 2), hidden, readout, negative=negative, input="spikes")


def compared(network, lanes, *, stall=0.0):
    """Differences from golden model and cycle model on three frames, each of them sent right behind the last."""
    frames = frames_for(network, 2, 3)
    program = Program(network, lanes)
    run = run_core(network, [input_packet(f, program) for f in frames], lanes=lanes, stall=stall, seed=1)
    trace = golden.run(network, frames, "spikes")
    expected = cycles(network, frames, trace, lanes)
    comparison = Comparison(network, lanes, trace, expected)
    comparison.results(run.packets)
    comparison.spikes(run.spikes)
    sizes = {"classes": network.shapes[-1][0], "layers": len(network.layers)}
    return comparison.differences, [read_result(p, **sizes).cycles for p in run.packets], expected.total.tolist()


@pytest.mark.parametrize("negative", ["none", "symmetric"])
@pytest.mark.parametrize("lanes", [1, 3, 16, 40, 64])
def test_fields_of_every_width(lanes, negative):
    differences, counted, expected = compared(wide(negative), lanes)
    assert not differences
    assert counted == expected


@pytest.mark.parametrize("lanes", [4, 64])
def test_host_that_holds_back(lanes):
    assert not compared(wide("symmetric"), lanes, stall=0.5)[0]


@pytest.mark.parametrize("schedule", ["stream", "two_phase", "radix"])
def test_no_frame_exceeds_the_longest_inference(schedule):
    network = lively_network(
        dict(zip(NEURONS[0], (schedule, "none", "subtract", "ge"), strict=True)) | {"input": "spikes"}, 0
    )
    frames = np.ones((1, *network.frame_shape), np.int8)
    for lanes in (1, 4):
        spent = cycles(network, frames, golden.run(network, frames, "spikes"), lanes)
        assert spent.latency[0] <= Program(network, lanes).longest_inference


@pytest.mark.parametrize("lanes", [2, 64])
def test_malformed_packets_are_refused_and_the_next_frame_is_right(lanes):
    network = wide("none")
    frame = frames_for(network, 6, 1)
    good = input_packet(frame[0], Program(network, lanes))
    wrong = malformed(good)
    pixels = [PacketType.FRAME << 24 | good[0] & 0xFFFFFF, *good[1:]]
    run = run_core(network, [p for bad, _ in [*wrong, (pixels, 1)] for p in (bad, good)], lanes=lanes)
    for (_, code), answer in zip([*wrong, (pixels, 1)], run.packets[::2], strict=True):
        assert answer == [PacketType.ERROR << 24 | 1, code]
    expected = golden.run(network, frame).scores[0]
    for answer in run.packets[1::2]:
        assert np.array_equal(read_result(answer, classes=3, layers=2).scores, expected)


def test_no_memory_for_pixels_and_no_multiplier_in_the_lanes():
    assert weighing(wide("none")) == "add"
    assert amplitude_bits(wide("none")) == 0
    assert Program(wide("none"), 4).frame_words == 0
