"""Chains of cores on Verilator: spikes, scores and counters of every core, packets that are wrong, planted faults."""

import json

import numpy as np
import pytest

import toolchain.emit
from hdl.host import PacketType
from sim import golden, runner
from sim.packets import frame_packet, read_result
from tests.cosim.planted import faulty_chain
from tests.malformed import malformed
from tests.networks import frames_for, lively_network
from toolchain.bundle import load_bundle
from toolchain.emit import emit
from toolchain.segments import cut_places
from toolchain.testbench import write_testbench

pytestmark = pytest.mark.usefixtures("fast_compile")
LANES = 2


def three_cores(schedule, negative="none"):
    """A random network whose three layers may each have a core."""
    neuron = {"schedule": schedule, "negative": negative, "reset": "subtract", "compare": "ge", "input": "direct"}
    return next(n for n in (lively_network(neuron, k) for k in range(9)) if len(cut_places(n)) == 2)


STREAM, SIGNED = three_cores("stream"), three_cores("two_phase", "symmetric")
FAULTS = {
    # fault: (network, kinds of difference it must show, module, replacements)
    "fields_sent_in_another_order": (
        STREAM, "spike", "hdl.sender", (("added >> unfilled, added", "added >> unfilled, added ^ 1"),),
    ),
    "signs_of_spikes_lost_on_the_way": (
        SIGNED, "spike", "hdl.sender", (("field = Cat(field, self.spikes[lanes : lanes + used])", "field = Cat(field, self.spikes[lanes : lanes + used] & 0)"),),
    ),
    "spikes_of_another_buffer_sent": (
        STREAM, "spike", "hdl.sender", (("self.address.eq(self._base)", "self.address.eq(self._base + 1)"),),
    ),
    "counters_of_the_first_core_lost": (
        STREAM, "counter", "hdl.counters", (("write.en.eq(1),\n                ]", "write.en.eq(0),\n                ]"),),
    ),
    "time_from_the_last_core_on": (
        STREAM, "counter", "hdl.counters", (("self.origin.eq(self.origin_given)", "self.origin.eq(now)"),),
    ),
    "words_lost_between_cores": (
        STREAM, "protocol", "hdl.chain", (("queue.w_en.eq(before.m_axis_tvalid)", "queue.w_en.eq(before.m_axis_tvalid & (queue.w_level != 2))"),),
    ),
    "identity_of_a_part_sent": (
        STREAM, "protocol", "hdl.chain", (("link=Link(before, identity)", "link=Link(before, identity ^ 1)"),),
    ),
}  # fmt: skip


@pytest.mark.parametrize("network", [STREAM, SIGNED], ids=["stream", "signed"])
def test_chain_equals_golden_model_and_its_own_test_bench(tmp_path, network):
    frames = frames_for(network, 4, 5)
    bundle = emit(network, tmp_path, lanes=LANES, cuts=(1, 2))
    result = runner.verify(bundle, network, frames, stall=0.2, seed=3)
    assert result.passed, result.differences
    assert (result.cores, result.images, result.spikes_compared > 0) == (3, 5, True)
    assert result.interval < result.cycles_per_image  # several images are on their way at once
    assert load_bundle(tmp_path) == bundle
    write_testbench(bundle, network, frames[:1])
    ports = json.loads((tmp_path / "ports.json").read_text())
    assert (ports["cores"], ports["cuts"], len(ports["memories"])) == (3, [1, 2], 3)
    assert json.loads((tmp_path / "vectors.json").read_text())["vectors"][0]["answer"][0] >> 24 == PacketType.RESULT


def test_errors_pass_through_and_the_next_frame_is_right(tmp_path):
    frames = frames_for(STREAM, 1, 1)
    good = frame_packet(frames[0])
    wrong = malformed(good)
    bundle = emit(STREAM, tmp_path, lanes=3, cuts=(1, 2))
    answers = runner.exchange(bundle, [p for bad, _ in wrong for p in (bad, good)], patience=20_000, stall=0.3)
    assert answers.packets[::2] == [[PacketType.ERROR << 24 | 1, code] for _, code in wrong]
    expected = golden.run(STREAM, frames).scores[0]
    for answer in answers.packets[1::2]:
        assert np.array_equal(read_result(answer, classes=len(expected), layers=3).scores, expected)


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_caught(tmp_path, monkeypatch, name):
    network, caught, module, replacements = FAULTS[name]
    with faulty_chain(module, replacements) as chain:
        monkeypatch.setattr(toolchain.emit, "Chain", chain)
        bundle = emit(network, tmp_path, lanes=LANES, cuts=(1, 2))
    result = runner.verify(bundle, network, frames_for(network, 4, 3))
    kinds = {difference.what for difference in result.differences}
    assert not result.passed and caught in kinds, kinds
