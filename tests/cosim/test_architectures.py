"""Residual, depthwise, dilated and one-dimensional networks in hardware: golden model = naive oracle = RTL, cycles as predicted."""

import numpy as np
import pytest

import toolchain.emit
from hdl.program import Program
from sim import golden, oracle, runner
from tests.architectures import mobile, residual, resnet20, series
from tests.cosim.planted import faulty_core
from toolchain.buffers import last_reads, peak
from toolchain.cycles import cycles
from toolchain.emit import emit


def check(network, frames, folder, lanes, stall=0.0):
    """Golden model = oracle = RTL; counters and cycles too; the spike memory is what was predicted."""
    trace, exact = golden.run(network, frames, "spikes"), oracle.run(network, frames)
    assert np.array_equal(trace.scores, exact.scores) and trace.activity == exact.activity
    assert all(np.array_equal(a, b) and a.any() for a, b in zip(trace.spikes, exact.spikes, strict=True))
    result = runner.verify(emit(network, folder, lanes=lanes), network, frames, stall=stall)
    assert result.passed, result.differences
    assert result.activity == trace.activity
    assert result.spikes_compared == len(frames) * 4 * sum(int(np.prod(s)) for s in network.shapes[:-1])
    if not stall:
        assert np.array_equal(result.layer_cycles, cycles(network, frames, trace, lanes).layers)
    program = Program(network, lanes)
    assert program.spike_words == peak(program.spike_sizes, last_reads(network)) < sum(program.spike_sizes)
    return result


@pytest.mark.usefixtures("fast_compile")
@pytest.mark.parametrize(
    ("make", "lanes", "stall"),
    [(residual, 4, 0.0), (residual, 3, 0.3), (mobile, 4, 0.0), (mobile, 16, 0.2), (series, 5, 0.0)],
)
def test_architectures_in_hardware(tmp_path, make, lanes, stall):
    network, frames = make()
    check(network, frames, tmp_path, lanes, stall)


FAULTS = {
    "a lane too many": ("hdl.neurons", "(synapse.last >= number)", "(synapse.last + 1 >= number)", "spike"),
    "first word's lanes in every word": ("hdl.synapses", "Mux(first_group, first, 0)", "first", "counter"),
    "taps not spread": ("hdl.program", "column_words=taps[1].output_step * groups", "column_words=groups", "spike"),
    "operations of the whole word": ("hdl.core", "word.last - word.first + 1", "sizes.lanes", "counter"),
    "shortcut's buffer not held": (
        "hdl.program", "return place(sizes, last), sizes",
        "return place(sizes, tuple(range(len(sizes)))), sizes", "spike",
    ),
}  # fmt: skip


@pytest.mark.usefixtures("fast_compile")
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_in_them_are_caught(tmp_path, monkeypatch, fault):
    module, healthy, faulty, kind = FAULTS[fault]
    network, frames = residual() if "shortcut" in fault else mobile()
    with faulty_core(module, ((healthy, faulty),)) as core:
        monkeypatch.setattr(toolchain.emit, "Core", core)
        bundle = emit(network, tmp_path, lanes=3)
    result = runner.verify(bundle, network, frames)
    assert not result.passed
    assert {"spike": result.spike_mismatches, "counter": result.counter_mismatches}[kind] > 0


@pytest.mark.slow
def test_whole_resnet20_on_two_images(tmp_path):
    network, frames = resnet20()
    trace = golden.run(network, frames, "spikes")
    result = runner.verify(emit(network, tmp_path, lanes=16), network, frames)
    assert result.passed, result.differences
    assert result.activity == trace.activity and all(train.any() for train in trace.spikes)
