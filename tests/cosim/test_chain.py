"""Chains of cores on Verilator: spikes, scores and counters of every core, packets that are wrong."""

import json

import numpy as np
import pytest

from hdl.host import PacketType
from sim import golden, runner
from sim.packets import frame_packet, read_result
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
