"""What conversion computes: the source's own numbers, for QCFS exactly, and thresholds over the whole calibration set."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sim import floating, golden, oracle
from toolchain import cli, zoo
from toolchain.cli import networks
from toolchain.convert import METHODS, convert
from toolchain.errors import InvalidValue
from toolchain.netfile import load_network, load_spiking
from toolchain.nn import QCFS
from toolchain.quantize import quantize
from toolchain.train import load_source, pixels_to_input


def frames(seed, images, shape=(1, 12, 12)):
    return np.random.default_rng(seed).integers(0, 256, (images, *shape)).astype(np.uint8)


def inputs(pixels):
    return pixels_to_input(torch.tensor(pixels))


def settle(module, pixels):
    """Batch norm statistics of these pixels; the module in evaluation mode."""
    with torch.no_grad():
        for _ in range(30):
            module.train()(inputs(pixels))
    return module.eval()


@pytest.mark.parametrize("seed", range(8))
def test_qcfs_at_t_equal_l_is_the_source(seed):
    torch.manual_seed(seed)
    levels = 2 + seed % 5
    module = settle(
        nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), QCFS(levels, 1.7), nn.AvgPool2d(2),
            nn.Conv2d(6, 8, 3, stride=2), nn.BatchNorm2d(8), QCFS(levels, 0.9), nn.Flatten(),
            nn.Linear(32, 12), nn.BatchNorm1d(12), QCFS(levels, 1.1), nn.Linear(12, 5),
        ),
        frames(seed, 64),
    )  # fmt: skip
    pixels = frames(seed + 100, 64)
    with torch.no_grad():
        expected = module(inputs(pixels)).numpy()
    scores = floating.run(convert(module, inputs(pixels), "qcfs", levels), pixels)
    # float32 on both sides: a membrane on a threshold may fall either way, which no image here does
    assert np.abs(scores - expected).max() < 1e-4


def test_thresholds_of_optimal_are_maxima_over_all_batches():
    torch.manual_seed(1)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 7), nn.ReLU(), nn.Linear(7, 3))
    pixels = frames(2, 600) // 4
    pixels[-1] *= 4  # the maxima come with the last of several batches
    with torch.no_grad():
        hidden = [module[:2](inputs(pixels)).max().item(), module[:5](inputs(pixels)).max().item()]
        assert hidden[0] > module[:2](inputs(pixels[:-1])).max().item()
    for shift in (True, False):
        network = convert(module, inputs(pixels), "optimal", 8, shift=shift)
        for layer, largest in zip(network.layers, hidden, strict=False):
            # the same float32 network in other batch sizes
            assert layer.threshold == pytest.approx(largest, rel=1e-5)
            assert np.array_equal(layer.initial, layer.threshold / 2 if shift else 0 * layer.threshold)


class Functional(nn.Module):
    """'same' padding, ReLU6 as module and as function, batch norm behind both kinds of synapse, no bias."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 5, 3, padding="same", bias=False), nn.BatchNorm2d(5, eps=0.1)
        self.second, self.six = nn.Conv2d(5, 6, 3, padding=(1, 0), stride=(2, 1)), nn.ReLU6()
        self.third, self.norm1 = nn.Linear(6 * 3 * 4, 10, bias=False), nn.BatchNorm1d(10, affine=False)
        self.head = nn.Linear(10, 4)

    def forward(self, x):
        x = F.avg_pool2d(F.relu6(self.norm(self.first(x))), 2)
        x = self.six(self.second(x)).flatten(1)
        return self.head(torch.relu(self.norm1(self.third(x))))


@pytest.mark.parametrize("schedule", ["two_phase", "stream", "radix"])
def test_many_steps_approach_the_source(schedule):
    torch.manual_seed(3)
    module = settle(Functional(), frames(3, 64))
    module.norm.weight.data *= 6  # so that ReLU6 clips
    pixels = frames(4, 40)
    with torch.no_grad():
        clipped = F.relu6(module.norm(module.first(inputs(pixels))))
        assert clipped.max() == 6
        expected = module(inputs(pixels)).numpy()
    steps = {"two_phase": (8, 512), "stream": (8, 512), "radix": (3, 9)}[schedule]
    errors = [
        np.abs(floating.run(convert(module, inputs(pixels), "optimal", t, schedule=schedule), pixels) - expected).max()
        for t in steps
    ]
    # a rate is off by at most a level in each neuron, so 64 times the levels leave little of the error
    assert errors[1] < errors[0] / 8
    assert errors[1] < 0.02 * np.abs(expected).max()


def test_conversion_is_deterministic():
    module = load_source(zoo.BUNDLED_WEIGHTS).module
    pixels = frames(5, 20, (1, 28, 28))
    threads = torch.get_num_threads()
    prints = set()
    for count in (1, 2, 1):
        torch.set_num_threads(count)
        network = convert(module, inputs(pixels), "qcfs", 4)
        prints.add((network.fingerprint, quantize(network).fingerprint))
    torch.set_num_threads(threads)
    assert len(prints) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("schedule", ["two_phase", "stream", "radix"])
def test_golden_model_on_a_gpu_is_the_one_on_the_cpu(schedule):
    module = load_source(zoo.BUNDLED_WEIGHTS).module
    pixels = frames(7, 200, (1, 28, 28))
    network = quantize(convert(module, inputs(pixels[:20]), "qcfs", 4, schedule=schedule))
    ours, theirs = (golden.run(network, pixels, "spikes", device=device) for device in ("cpu", "cuda"))
    assert np.array_equal(ours.scores, theirs.scores) and ours.activity == theirs.activity
    assert all(np.array_equal(a, b) for a, b in zip(ours.spikes, theirs.spikes, strict=True))


def test_the_command_line_names_every_method():
    assert tuple(METHODS) == networks.METHOD_NAMES


def test_the_command_line_passes_input_seed_and_powers_of_two(tmp_path):
    spiking, fixed = str(tmp_path / "snn.safetensors"), str(tmp_path / "net.safetensors")
    neuron = ["--schedule", "stream", "--input", "rate", "--seed", "5"]
    assert cli.run(["convert", "bundled", "--images", "20", "-T", "3", *neuron, "-o", spiking]) == 0
    network = load_spiking(Path(spiking))
    assert (network.input, network.seed, network.schedule, network.time_steps) == ("rate", 5, "stream", 3)
    assert cli.run(["quantize", spiking, "--pow2", "--images", "5", "-o", fixed]) == 0
    integers = load_network(Path(fixed))
    assert (integers.input, integers.seed, integers.provenance["pow2"]) == ("rate", 5, True)
    for layer in integers.layers[:-1]:
        assert len(set(layer.threshold)) == 1 and int(layer.threshold[0]).bit_count() == 1


def plain_relu(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(150, 8), nn.ReLU(), nn.Linear(8, 4))  # fmt: skip


@pytest.mark.parametrize(("method", "per_channel"), [("robust_norm", False), ("channel_norm", True)])
@pytest.mark.parametrize("share", [50.0, 99.0, 100.0])
def test_percentiles_are_taken_over_the_whole_calibration_set(method, per_channel, share):
    module, pixels = plain_relu(1), frames(8, 600)
    with torch.no_grad():
        values = module[:2](inputs(pixels)).transpose(0, 1).flatten(1).double().numpy()
    network = convert(module, inputs(pixels), method, 4, percentile=share)
    rows = values if per_channel else np.broadcast_to(values.reshape(1, -1), (6, values.size))
    expected = np.percentile(rows, share, axis=1, method="inverted_cdf")
    # the histogram's bins are a 4096th of the largest value, and an edge is not below the value
    assert (network.layers[0].threshold >= expected - 1e-9).all()
    assert (network.layers[0].threshold <= expected + values.max() / 4096 + 1e-9).all()


@pytest.mark.parametrize("method", [name for name, made in METHODS.items() if "relu" in made.activations])
def test_every_method_for_relu_converts_and_approaches_the_source(method):
    module, pixels = plain_relu(2), frames(9, 60)
    with torch.no_grad():
        expected = module(inputs(pixels)).numpy()
    steps = 9 if METHODS[method].schedules == ("radix",) else 512
    share = None if METHODS[method].percentile is None else 100.0
    network = convert(module, inputs(pixels), method, steps, percentile=share)
    assert (network.schedule, network.reset) == (METHODS[method].schedules[0], METHODS[method].resets[0])
    error = np.abs(floating.run(network, pixels) - expected).max() / np.abs(expected).max()
    # a reset to zero loses charge at every spike, and an iterated threshold clips: neither reaches the source
    assert error < {"max_norm": 0.5, "spike_norm": 0.5, "training_free": 0.1}.get(method, 0.02)
    if network.schedule == "switched":
        with pytest.raises(InvalidValue, match="schedule switched exists in floating point only"):
            quantize(network)
        return
    fixed = quantize(network.with_time_steps(4), 8)
    trace, exact = golden.run(fixed, pixels[:2], "spikes"), oracle.run(fixed, pixels[:2])
    assert np.array_equal(trace.scores, exact.scores)
    assert all(np.array_equal(a, b) for a, b in zip(trace.spikes, exact.spikes, strict=True))


def test_methods_refuse_other_neurons_and_silent_layers():
    module, pixels = plain_relu(3), frames(10, 20)
    for method, neuron in (
        ("rmp", {"schedule": "two_phase"}),
        ("spike_converter", {"schedule": "stream"}),
        ("rmp", {"reset": "zero"}),
    ):
        with pytest.raises(InvalidValue, match=f"with method {method}"):
            convert(module, inputs(pixels), method, 4, **neuron)
    silent = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(200, 3))
    with pytest.raises(InvalidValue, match="silent on the whole calibration set"):
        convert(silent, inputs(0 * pixels), "robust_norm", 4)
    with pytest.raises(InvalidValue, match="percentile is 0"):
        convert(module, inputs(pixels), "robust_norm", 4, percentile=0)
