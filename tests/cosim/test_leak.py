"""Leaky networks in Verilog, in both orders: golden model = naive oracle = RTL, cycles as said; faults are caught."""

import numpy as np
import pytest

import toolchain.emit
from sim import golden, oracle, runner
from tests.cosim.planted import faulty_core
from tests.networks import frames_for, lively_leaky_network
from toolchain.cycles import cycles
from toolchain.leak import LEAK_ORDERS

pytestmark = pytest.mark.usefixtures("fast_compile")


def leaky(order):
    network = lively_leaky_network(
        {"schedule": "stream", "reset": "subtract", "compare": "gt", "leak_order": order, "input": "direct"}, 1
    )
    assert all(layer.leak for layer in network.layers)
    return network, frames_for(network, 4, 3)


@pytest.mark.parametrize("order", LEAK_ORDERS)
def test_leaks_in_verilog(tmp_path, order):
    network, frames = leaky(order)
    trace, exact = golden.run(network, frames, "spikes"), oracle.run(network, frames)
    assert np.array_equal(trace.scores, exact.scores)
    assert all(np.array_equal(a, b) for a, b in zip(trace.spikes, exact.spikes, strict=True))
    result = runner.verify(toolchain.emit.emit(network, tmp_path, lanes=4), network, frames)
    assert result.passed, result.differences
    assert result.activity == trace.activity
    assert result.spikes_compared == len(frames) * network.time_steps * sum(
        int(np.prod(s)) for s in network.shapes[:-1]
    )
    assert np.array_equal(result.layer_cycles, cycles(network, frames, trace, 4).layers)


def test_a_leak_in_the_last_step_is_caught(tmp_path, monkeypatch):
    network, frames = leaky("reset_first")
    with faulty_core("hdl.core", (("per_step & ~last", "per_step"),)) as core:
        monkeypatch.setattr(toolchain.emit, "Core", core)
        bundle = toolchain.emit.emit(network, tmp_path, lanes=4)
    result = runner.verify(bundle, network, frames)
    assert not result.passed and result.spike_mismatches == 0  # scores alone
