"""A network with max pooling, converted from its source, in Verilog: golden model = naive oracle = RTL; a fault is caught."""

import numpy as np
import pytest
import torch
from torch import nn

import toolchain.emit
from sim import golden, oracle, runner
from tests.architectures import settled
from tests.cosim.planted import faulty_core
from toolchain.cycles import cycles
from toolchain.nn import QCFS

pytestmark = pytest.mark.usefixtures("fast_compile")


class Block(nn.Module):
    """Max pooling before an activation, in a shortcut, with padding, and before average pooling."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.stem = nn.Sequential(
            nn.Conv2d(2, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.MaxPool2d(3, 2, 1), QCFS(4, 2.0)
        )
        self.body = nn.Sequential(nn.Conv2d(6, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6))
        self.around, self.act = nn.MaxPool2d(2), QCFS(4, 2.0)
        self.last = nn.Sequential(nn.Conv2d(6, 7, 1), QCFS(4, 2.0), nn.MaxPool2d(2, 1), nn.AvgPool2d(2))
        self.head = nn.Linear(7, 5)

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.last(self.act(self.body(x) + self.around(x))).flatten(1))


def pooled():
    network, frames = settled(Block(), (2, 12, 12))
    assert [c.maximum is not None for layer in network.layers for c in layer.connections] == [
        False,
        True,
        True,
        False,
        True,
    ]
    return network, frames


@pytest.mark.parametrize(("lanes", "stall"), [(4, 0.0), (3, 0.3)])
def test_max_pooling_in_hardware(tmp_path, lanes, stall):
    network, frames = pooled()
    trace, exact = golden.run(network, frames, "spikes"), oracle.run(network, frames)
    assert np.array_equal(trace.scores, exact.scores) and trace.activity == exact.activity
    assert all(np.array_equal(a, b) and a.any() for a, b in zip(trace.spikes, exact.spikes, strict=True))
    result = runner.verify(toolchain.emit.emit(network, tmp_path, lanes=lanes), network, frames, stall=stall)
    assert result.passed, result.differences
    assert result.activity == trace.activity
    assert result.spikes_compared == len(frames) * 4 * sum(int(np.prod(s)) for s in network.shapes[:-1])
    if not stall:
        assert np.array_equal(result.layer_cycles, cycles(network, frames, trace, lanes).layers)


def test_and_instead_of_or_is_caught(tmp_path, monkeypatch):
    network, frames = pooled()
    fault = ("counted | Mux(first, 0, before)", "counted & Mux(first, -1, before)")
    with faulty_core("hdl.scanner", (fault,)) as core:
        monkeypatch.setattr(toolchain.emit, "Core", core)
        bundle = toolchain.emit.emit(network, tmp_path, lanes=4)
    result = runner.verify(bundle, network, frames)
    assert not result.passed and result.spike_mismatches > 0
