"""Every conversion method on a small trained network: golden model = naive oracle = hardware on 20 images."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from sim import golden, oracle, runner
from toolchain import datasets
from toolchain import nn as activations
from toolchain.convert import METHODS, convert
from toolchain.emit import emit
from toolchain.quantize import quantize
from toolchain.train import calibration

IMAGES = 20
SOURCES = {
    # kind of activation: the module
    "relu": nn.ReLU,
    "qcfs": lambda: activations.QCFS(4, 2.0),
    "quantized": lambda: activations.QuantizedReLU(2),
    "strelu": activations.StReLU,
    "leaky": activations.ThresholdLeakyReLU,
}
HARDWARE = [name for name, method in METHODS.items() if method.schedules[0] != "switched"]


@cache
def trained(kind: str) -> nn.Module:
    """8×8-6C3-AP2-8C3-10 after one pass over scikit-learn's digits."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), SOURCES[kind](), nn.AvgPool2d(2),
        nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), SOURCES[kind](), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip
    data = datasets.load("digits", "train")
    x, labels = calibration(data, len(data.frames)), torch.tensor(data.labels)
    optimizer = torch.optim.Adam(module.parameters(), 0.02)
    for part in torch.arange(len(x)).split(32):
        nn.functional.cross_entropy(module(x[part]), labels[part]).backward()
        optimizer.step()
        optimizer.zero_grad()
    return module.eval()


@pytest.mark.usefixtures("fast_compile")
@pytest.mark.parametrize("method", HARDWARE)
def test_golden_model_oracle_and_hardware_agree(tmp_path, method):
    kind = next(kind for kind in METHODS[method].activations if kind in SOURCES)
    data = datasets.load("digits")
    network = quantize(convert(trained(kind), calibration(data, 100), method), 8)
    frames = data.frames[:IMAGES]
    trace, exact = golden.run(network, frames, "spikes"), oracle.run(network, frames)
    assert np.array_equal(trace.scores, exact.scores) and trace.activity == exact.activity
    assert all(np.array_equal(a, b) for a, b in zip(trace.spikes, exact.spikes, strict=True))
    assert all(train.any() for train in trace.spikes)
    result = runner.verify(emit(network, tmp_path, lanes=4), network, frames)
    assert result.passed, result.differences
    assert (result.images, result.spike_mismatches, result.score_mismatches, result.counter_mismatches) == (
        IMAGES,
        0,
        0,
        0,
    )
    assert result.spikes_compared == IMAGES * network.time_steps * (6 * 8 * 8 + 8 * 2 * 2)
