"""The cycle model against the core's counters where queues fill and run dry, and against slower hardware."""

import numpy as np
import pytest

from sim import golden
from sim.comparison import Comparison
from sim.packets import frame_packet, read_result
from tests.cosim.planted import faulty_core
from tests.rtl import harness
from tests.unit.test_integers import make_layer, make_network
from toolchain.cycles import cycles
from toolchain.ir import INPUT

KERNELS = {(1, 1): (1, 1), (1, 2): (1, 1), (3, 3): (2, 2), (5, 5): (1, 3)}
"""Kernel: stride."""
SLOWER = {
    "wait after the fire pass": (
        "hdl.sequencer",
        'm.State("FIRE"), m.If(~self.engines_busy):',
        'm.State("FIRE"), m.If(~self.engines_busy):\n                m.next = "LATE"\n            with m.State("LATE"):',
    ),
    "wait between events": ("hdl.scanner", "ready.eq(fifo.level <= _FIFO_DEPTH - _IN_FLIGHT)", "ready.eq(~ready & (fifo.level <= _FIFO_DEPTH - _IN_FLIGHT))"),
    "wait before a round": ("hdl.neurons", 'f"valid_{stage}") for stage in (1, 2, 3, 4)', 'f"valid_{stage}") for stage in (1, 2, 3, 4, 5)'),
    "queue shorter by one": ("hdl.scanner", "_IN_FLIGHT = 5", "_IN_FLIGHT = 6"),
}  # fmt: skip
"""Module, healthy text, faulty text: everything right but late."""


def bursty(kernel, schedule, input):
    """A convolution to 5 channels and a readout of 2 × 2 pooled spikes, with a frame of 9 × 16 in runs of pixels and gaps."""
    rng = np.random.default_rng(kernel[0] * 10 + kernel[1])
    weight = rng.integers(-3, 8, (5, 1, *kernel))
    stride = KERNELS[kernel]
    places = [(extent - k) // s + 1 for extent, k, s in zip((9, 16), kernel, stride, strict=True)]
    readout = rng.integers(-7, 8, (3, 5, places[0] // 2, places[1] // 2))
    layers = (
        make_layer(INPUT, weight, np.full(5, 40 * weight[0].size), np.zeros(5), stride=stride),
        make_layer(0, readout, None, np.zeros(3), pool=(2, 2), kind="linear"),
    )
    runs = [pixels for _ in range(9) for pixels in ([255] * rng.integers(1, 16), [0] * rng.integers(1, 60))]
    frame = np.concatenate(runs)[: 9 * 16].astype(np.uint8).reshape(1, 1, 9, 16)
    return make_network(schedule, 4, (1, 9, 16), *layers, input=input), frame


def run(network, frame, lanes):
    """Differences from the models, and the total cycles counted and expected."""
    answers = harness.run_core(network, [frame_packet(frame[0])], lanes=lanes)
    trace = golden.run(network, frame, "spikes")
    expected = cycles(network, frame, trace, lanes)
    comparison = Comparison(network, lanes, trace, expected)
    comparison.results(answers.packets)
    comparison.spikes(answers.spikes)
    counted = read_result(answers.packets[0], classes=3, layers=2).cycles
    return comparison.differences, counted, int(expected.total[0])


@pytest.mark.parametrize("input", ["direct", "bitplane"])
@pytest.mark.parametrize("schedule", ["two_phase", "stream"])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("lanes", [1, 2])
def test_cycles_are_exact_however_events_queue(kernel, schedule, input, lanes):
    differences, counted, expected = run(*bursty(kernel, schedule, input), lanes)
    assert not differences
    assert counted == expected


@pytest.mark.parametrize("fault", SLOWER)
def test_slower_hardware_differs_in_cycles_alone(monkeypatch, fault):
    module, healthy, faulty = SLOWER[fault]
    with faulty_core(module, ((healthy, faulty),)) as core:
        monkeypatch.setattr(harness, "Core", core)
        differences, counted, expected = run(*bursty((3, 3), "two_phase", "bitplane"), 2)
    assert differences and all(d.what == "counter" and "cycles" in str(d.seen) for d in differences)
    assert counted > expected
