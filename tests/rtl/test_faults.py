"""Verification has teeth: faults planted in the hardware's source, each found by running against the golden model."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from hdl.host import COUNTERS
from sim import golden
from tests.networks import frames_for, random_network
from tests.rtl import harness

FAULTS = {
    "greater_instead_of_at_least": ("hdl.lane", "(excess >= 0)", "(excess > 0)"),
    "missed_forwarding": ("hdl.neurons", "forward_last.eq(valid[2] &", "forward_last.eq(0 & valid[2] &"),
    "missed_second_forwarding": ("hdl.neurons", "forward_before.eq(valid[3] &", "forward_before.eq(0 & valid[3] &"),
    "stale_membrane": ("hdl.neurons", "sweep.write_initial | sweep.write_after", "sweep.write_after"),
    "lane_swap": ("hdl.neurons", "self.spike_bits[number].eq(lane.spike)", "self.spike_bits[number ^ 1].eq(lane.spike)"),
    "lost_event": ("hdl.scanner", "fifo.w_en.eq(total_valid)", "fifo.w_en.eq(total_valid & ~fifo.level[1])"),
    "overrun_fifo": ("hdl.scanner", "fifo.level <= _FIFO_DEPTH - _IN_FLIGHT", "fifo.level <= _FIFO_DEPTH"),
    "off_by_one_tap": ("hdl.synapses", "tap_membrane - self.groups", "tap_membrane - self.groups - 1"),
    "wrong_stride": ("hdl.program", "column_stride=connection.stride[1] * groups", "column_stride=groups"),
    "dropped_offset": ("hdl.program", "two_phase\":\n            return threshold, layer.offset,", "two_phase\":\n            return threshold, 0 * layer.offset,"),
    "counter_off_by_one": ("hdl.counters", "operations.eq(operations + self.operations)", "operations.eq(operations + self.operations + self.event)"),
    "bias_twice": ("hdl.lane", "loaded = self.membrane + self.addend", "loaded = self.membrane + self.addend + self.addend"),
}  # fmt: skip
SEEDS = (1, 4, 7, 9, 11, 38, 53, 54, 56, 57, 59)


def agrees(network, frames, run):
    trace = golden.run(network, frames, "spikes")
    classes, layers = network.shapes[-1][0], len(network.layers)
    for image, words in enumerate(run.packets):
        scores = np.array(words[2 : 2 + classes], np.uint32).astype(np.int32)
        counters = np.array(words[3 + classes : -1]).reshape(layers, len(COUNTERS))
        expected = [getattr(trace.activity, name)[image] for name in COUNTERS[1:]]
        if not np.array_equal(scores, trace.scores[image]) or not np.array_equal(counters[:, 1:].T, expected):
            return False
    return True


def test_without_a_fault_all_agree():
    for seed in SEEDS:
        network = random_network(seed)
        frames = frames_for(network, seed, 2)
        packets = [harness.frame_packet(frame) for frame in frames]
        assert agrees(network, frames, harness.run_core(network, packets, lanes=2))


@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault_is_caught(name, monkeypatch):
    module, healthy, faulty = FAULTS[name]
    source = Path(importlib.import_module(module).__file__).read_text()
    assert source.count(healthy) == 1, f"{module} no longer holds {healthy!r} exactly once"
    fresh = {key: value for key, value in sys.modules.items() if key != "hdl" and not key.startswith("hdl.")}
    for key in [key for key in sys.modules if key.startswith("hdl.")]:
        monkeypatch.delitem(sys.modules, key)
    planted = type(sys)(module)
    planted.__file__ = importlib.util.find_spec(module).origin
    monkeypatch.setitem(sys.modules, module, planted)
    exec(compile(source.replace(healthy, faulty), planted.__file__, "exec"), planted.__dict__)
    core = importlib.import_module("hdl.core").Core
    monkeypatch.setattr(harness, "Core", core)
    caught = False
    try:
        for seed in SEEDS:
            network = random_network(seed)
            frames = frames_for(network, seed, 2)
            packets = [harness.frame_packet(frame) for frame in frames]
            try:
                run = harness.run_core(network, packets, lanes=2, limit=30_000)
            except AssertionError:
                caught = True
            else:
                caught = not agrees(network, frames, run)
            if caught:
                break
    finally:
        for key in [key for key in sys.modules if key.startswith("hdl.") and key not in fresh]:
            del sys.modules[key]
    assert caught, f"{name} went unnoticed"
