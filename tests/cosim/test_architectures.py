"""Residual, depthwise, dilated and one-dimensional networks in hardware: golden model = naive oracle = RTL, cycles as predicted."""

import numpy as np
import pytest
import torch
from torch import nn

import toolchain.emit
from hdl.program import Program
from sim import golden, oracle, runner
from tests.cosim.planted import faulty_core
from toolchain import zoo
from toolchain.buffers import last_reads, peak
from toolchain.convert import convert
from toolchain.cycles import cycles
from toolchain.emit import emit
from toolchain.nn import QCFS
from toolchain.quantize import quantize
from toolchain.train import pixels_to_input


def settled(module, shape):
    """Frames, and the module with the batch norm of them; T = 4 integers of it."""
    torch.manual_seed(0)
    frames = np.random.default_rng(0).integers(0, 256, (16, *shape)).astype(np.uint8)
    inputs = pixels_to_input(torch.tensor(frames))
    with torch.no_grad():
        for _ in range(20):
            module.train()(inputs)
    return quantize(convert(module.eval(), inputs, "qcfs", 4)), frames[:2]


def residual():
    """ResNet-20 with a block a stage and a quarter of the channels."""
    torch.manual_seed(1)
    return settled(zoo.resnet(lambda: QCFS(4, 2.0), 10, (4, 8, 16), 1), (3, 32, 32))


def separable(inputs, outputs, stride=1, dilation=1):
    """Depthwise 3 × 3, then pointwise, as in MobileNet."""
    return [
        nn.Conv2d(inputs, inputs, 3, stride, dilation, dilation, groups=inputs, bias=False), nn.BatchNorm2d(inputs), QCFS(4, 2.0),
        nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), QCFS(4, 2.0),
    ]  # fmt: skip


def mobile():
    """Depthwise separable convolutions, one dilated, a grouped one, lopsided padding, global average pooling."""
    torch.manual_seed(2)
    module = nn.Sequential(
        nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 8, 3, 2, bias=False), nn.BatchNorm2d(8), QCFS(4, 2.0),
        *separable(8, 12), *separable(12, 16, stride=2), *separable(16, 16, dilation=2),
        nn.Conv2d(16, 8, 3, padding=1, groups=4), nn.BatchNorm2d(8), QCFS(4, 2.0),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip
    return settled(module, (3, 16, 16))


def series():
    """Conv1d on [N, 2, 1, 64]."""
    torch.manual_seed(3)
    module = nn.Sequential(
        nn.Flatten(2), nn.Conv1d(2, 8, 5, stride=2, padding=2), nn.BatchNorm1d(8), QCFS(4, 2.0),
        nn.Conv1d(8, 8, 3, padding=4, dilation=4, groups=8), nn.BatchNorm1d(8), QCFS(4, 2.0), nn.AvgPool1d(2),
        nn.Conv1d(8, 6, 3), nn.BatchNorm1d(6), QCFS(4, 2.0), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(6, 3),
    )  # fmt: skip
    return settled(module, (2, 1, 64))


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
    "first word's lanes in every word": ("hdl.synapses", "Mux(group == 0, first, 0)", "first", "spike"),
    "taps not spread": ("hdl.program", "column_words=taps[1].output_step * groups", "column_words=groups", "spike"),
    "operations of the whole word": ("hdl.core", "word.last - word.first + 1", "program.lanes", "counter"),
    "buffers of a chain": ("hdl.program", "place(self.spike_sizes, last_reads(self.network))",
                           "place(self.spike_sizes, tuple(i + 1 for i in range(len(self.spike_sizes) - 1)) + (len(self.spike_sizes),))", "spike"),
}  # fmt: skip


@pytest.mark.usefixtures("fast_compile")
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_in_them_are_caught(tmp_path, monkeypatch, fault):
    module, healthy, faulty, kind = FAULTS[fault]
    network, frames = residual() if "buffers" in fault else mobile()
    with faulty_core(module, ((healthy, faulty),)) as core:
        monkeypatch.setattr(toolchain.emit, "Core", core)
        bundle = emit(network, tmp_path, lanes=3)
    result = runner.verify(bundle, network, frames)
    assert not result.passed and kind in {difference.what for difference in result.differences}


@pytest.mark.slow
def test_whole_resnet20_on_two_images(tmp_path):
    torch.manual_seed(1)
    network, frames = settled(zoo.build("resnet20"), (3, 32, 32))
    trace = golden.run(network, frames, "spikes")
    result = runner.verify(emit(network, tmp_path, lanes=16), network, frames)
    assert result.passed, result.differences
    assert result.activity == trace.activity and all(train.any() for train in trace.spikes)
