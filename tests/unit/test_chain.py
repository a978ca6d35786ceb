"""Convert, quantize and count on the bundled network, and refusals."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from sim import floating, golden
from toolchain import datasets, zoo
from toolchain.convert import convert
from toolchain.energy import layer_counts, observe
from toolchain.errors import InvalidValue, UnsupportedModule
from toolchain.nn import StReLU
from toolchain.quantize import quantize
from toolchain.train import calibration, load_source

BATCH = torch.zeros(2, 1, 8, 8)


@pytest.fixture(scope="module")
def bundled():
    return datasets.load("bundled")


def spiking(bundled, steps=4, schedule="two_phase"):
    module = load_source(zoo.BUNDLED_WEIGHTS).module
    return convert(module, calibration(bundled, 50), "qcfs", steps, schedule=schedule)


def integer_ann(network, frames):
    """The integer ANN: clip(⌊(W·a + offset)/θ⌋, 0, T) layer by layer, in int64 by numpy alone."""
    values = frames.astype(np.int64)
    for layer in network.layers:
        c = layer.connections[0]
        ky, kx = c.pool
        n, channels, h, w = values.shape
        pooled = values[:, :, : h // ky * ky, : w // kx * kx].reshape(n, channels, h // ky, ky, w // kx, kx)
        padded = np.pad(pooled.sum(axis=(3, 5)), ((0, 0), (0, 0), *[(p, p) for p in c.padding]))
        windows = np.lib.stride_tricks.sliding_window_view(padded, c.kernel, axis=(2, 3))
        windows = windows[:, :, :: c.stride[0], :: c.stride[1]]
        values = np.tensordot(windows, c.weight.astype(np.int64), axes=([1, 4, 5], [1, 2, 3])).transpose(0, 3, 1, 2)
        values = values + layer.offset[None, :, None, None]
        if layer.threshold is not None:
            values = np.clip(values // layer.threshold[None, :, None, None], 0, network.time_steps)
    return values[:, :, 0, 0]


def test_two_phase_is_the_integer_ann(bundled):
    network = quantize(spiking(bundled))
    frames = bundled.frames[:200]
    assert np.array_equal(golden.run(network, frames).scores, integer_ann(network, frames))


def test_radix_says_in_4_steps_what_two_phase_says_in_15(bundled):
    frames = bundled.frames[:100]
    brief, long = (quantize(spiking(bundled, steps, schedule)) for steps, schedule in ((4, "radix"), (15, "two_phase")))
    coded, counted = golden.run(brief, frames), golden.run(long, frames)
    assert np.array_equal(coded.scores, counted.scores)
    assert coded.activity.spikes.sum() < counted.activity.spikes.sum() / 3
    assert brief.membrane_bits == long.membrane_bits


def test_symmetric_threshold_relu(bundled):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 5, stride=2),
        StReLU(0.3),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 6, 3),
        StReLU(0.2),
        nn.Flatten(),
        nn.Linear(96, 10),
    )
    batch = calibration(bundled, 50)
    expected = module(batch).detach().numpy()
    errors = []
    for steps in (4, 16, 64, 256):
        network = convert(module, batch, "strelu", steps)
        assert (network.negative, network.schedule) == ("symmetric", "two_phase")
        errors.append(np.abs(floating.run(network, bundled.frames[:50]) - expected).max())
        assert (golden.run(quantize(network, 8), bundled.frames[:5], "spikes").spikes[1] == -1).any()
    # a truncated rate is off by up to a level in each neuron: the error falls as 1/T
    assert all(later < earlier / 3 for earlier, later in pairwise(errors))
    with pytest.raises(UnsupportedModule, match="use method strelu"):
        convert(module, batch, "optimal", 4)


@pytest.mark.full_data
def test_two_phase_is_the_integer_ann_on_all_images(bundled):
    network = quantize(spiking(bundled))
    dataset = datasets.load("fashion-mnist")
    trace = golden.run(network, dataset.frames)
    accuracy = 100 * float((trace.predictions == dataset.labels).mean())
    assert accuracy >= 92.5
    assert accuracy >= load_source(zoo.BUNDLED_WEIGHTS).provenance["test_accuracy"] - 0.2
    for start in range(0, len(dataset.frames), 250):
        part = slice(start, start + 250)
        assert np.array_equal(trace.predictions[part], integer_ann(network, dataset.frames[part]).argmax(axis=1))


def test_counts_equal_the_golden_model(bundled):
    for schedule in ("two_phase", "stream"):
        network = quantize(spiking(bundled, schedule=schedule))
        frames = bundled.frames[:20]
        trace = golden.run(network, frames, "counts")
        first, *others = layer_counts(network, observe(network, frames, trace))
        assert np.array_equal(first.mac_input, trace.activity.operations[:, 0]) and not first.sop.any()
        for index, layer in enumerate(others, 1):
            assert np.array_equal(layer.sop, trace.activity.operations[:, index])
            assert (layer.sop_effective <= layer.sop).all()


def chain(*layers):
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(3))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (chain(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2, dilation=2)), "MaxPool2d '2'"),
        (chain(nn.Conv2d(1, 2, 3), nn.Sigmoid()), "Sigmoid '1'"),
        (chain(nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), nn.ReLU()), "padding mode is circular"),
        (chain(nn.Conv2d(1, 2, 3), nn.AvgPool2d(2), nn.ReLU()), "behind the activation"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.ReLU()), "ends with it"),
    ],
)
def test_unsupported_modules_are_refused_by_name(module, message):
    module(torch.zeros(2, 1, 8, 8))
    with pytest.raises(UnsupportedModule, match=message):
        convert(module, BATCH, "optimal")


def test_functional_and_folded_layers_convert():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4)
            self.hidden, self.norm1, self.head = nn.Linear(16, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)

        def forward(self, x):
            x = nn.functional.avg_pool2d(torch.relu(self.norm(self.conv(x))), 2)
            x = x.view(x.size(0), -1)
            return self.head(self.norm1(self.hidden(x)).relu())

    torch.manual_seed(0)
    net = Net()
    net(torch.rand(32, 1, 8, 8))  # batch norm statistics
    network = convert(net, torch.rand(8, 1, 8, 8), "optimal", 8)
    assert [layer.name for layer in network.layers] == ["conv", "hidden", "head"]


@pytest.mark.parametrize(
    ("calibration_batch", "message"),
    [
        (torch.zeros(0, 1, 8, 8), "empty"),
        (torch.zeros(8, 1, 1, 8, 8), "shape"),
        (torch.full((1, 1, 8, 8), -1.0), "must lie in"),
        (torch.full((1, 1, 8, 8), float("nan")), "NaN"),
        (torch.zeros(1, 2, 8, 8), "channels"),
    ],
)
def test_bad_calibration(calibration_batch, message):
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
    with pytest.raises(InvalidValue, match=message):
        convert(module, calibration_batch, "optimal")


def test_nan_weight():
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    module[1].weight.data[0, 0] = float("nan")
    with pytest.raises(InvalidValue, match="'1': weight holds 1 NaN"):
        convert(module, BATCH, "optimal")


def test_bits_steps_and_vanishing_threshold(bundled):
    network = spiking(bundled)
    for bits in (1, 17):
        with pytest.raises(InvalidValue, match="weight bits"):
            quantize(network, bits)
    with pytest.raises(InvalidValue, match="time steps is 0"):
        network.with_time_steps(0)
    with pytest.raises(InvalidValue, match="rounds to 0"):
        quantize(network.with_time_steps(1024), 2)
