"""The account of every layer's error: it is whole, each part is what it says, and the costliest layer is named."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sim import golden
from toolchain import cli
from toolchain.connection import Connection
from toolchain.convert import convert
from toolchain.convert.methods.method import changed
from toolchain.diagnose import PARTS, Deployment, diagnose, diagnose_and_try, find_remedy, stages, try_remedy
from toolchain.errors import InvalidValue
from toolchain.ir import INPUT, SpikingLayer, SpikingNetwork
from toolchain.nn import StReLU, ThresholdLeakyReLU
from toolchain.quantize import quantize, score_scale

FRAMES = np.random.default_rng(5).integers(0, 256, (70, 1, 8, 8)).astype(np.uint8)
INPUTS = torch.tensor(FRAMES).float() / 255


def source(activation=nn.ReLU, seed=0):
    """Untrained, all classes about equally often."""
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), activation(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(36, 24), activation(), nn.Linear(24, 5),
    ).eval()  # fmt: skip
    return centred(module)


def centred(module):
    with torch.no_grad():
        module[-1].bias -= module(INPUTS).mean(dim=0)
    return module


MODULE = source()
LABELS = MODULE(INPUTS).argmax(dim=1).numpy()  # so the source is always right
FIRST, SECOND, READOUT = range(3)

CONVERSIONS = [
    (nn.ReLU, "optimal", {"schedule": "two_phase"}),
    (nn.ReLU, "robust_norm", {"schedule": "stream"}),
    (nn.ReLU, "optimal", {"schedule": "stream", "negative": "correcting"}),
    (nn.ReLU, "snm", {}),
    (nn.ReLU, "max_norm", {"reset": "zero"}),
    (nn.ReLU, "calibration", {}),
    (nn.ReLU, "spike_converter", {"input": "bitplane"}),
    (nn.ReLU, "optimal", {"input": "rate"}),
    (nn.ReLU, "optimal", {"input": "rate", "schedule": "stream"}),
    (lambda: StReLU(0.3), "strelu", {"schedule": "stream"}),
    (lambda: StReLU(0.3), "strelu", {"schedule": "two_phase"}),
    (lambda: StReLU(0.3), "strelu", {"schedule": "radix"}),
    (lambda: ThresholdLeakyReLU(0.3, 0.5), "leaky_relu", {"schedule": "stream"}),
    (lambda: ThresholdLeakyReLU(0.3, 0.5), "leaky_relu", {"schedule": "two_phase"}),
]


def network(method="optimal", steps=4, module=MODULE, **options):
    return convert(module, INPUTS, method, steps, **options)


def account(net, bits=8, module=MODULE, **options):
    return diagnose(module, net, FRAMES, LABELS, bits, **options)


def scaled(net, index, factor):
    layer = net.layers[index]
    return changed(net, index, threshold=layer.threshold * factor, initial=layer.initial * factor)


@pytest.mark.parametrize(("activation", "method", "options"), CONVERSIONS)
def test_parts_sum_to_the_error(activation, method, options):
    module = source(activation)
    net = network(method, module=module, **options)
    found = stages(module, net, FRAMES[:20], 5)
    trace = golden.run(quantize(net, 5), FRAMES[:20], "spikes")
    with torch.no_grad():
        hidden = module[:3](INPUTS[:20])
        activations = [hidden, module[3:7](hidden), module(INPUTS[:20])]
    weights = 2.0 ** np.arange(3, -1, -1) if net.schedule == "radix" else np.ones(4)
    for index, (stage, layer) in enumerate(zip(found, net.layers, strict=True)):
        assert tuple(stage.parts) == PARTS
        whole = sum(stage.parts.values())
        assert np.abs(whole - (stage.integers - stage.activation)).max() < 1e-12 * max(
            1, np.abs(stage.activation).max()
        )
        assert np.allclose(stage.activation, activations[index].reshape(stage.activation.shape), atol=1e-6)
        if layer.threshold is None:
            scores = trace.scores * score_scale(net, 5)
            assert np.allclose(stage.integers[:, :, 0, 0], scores)
            continue
        spikes = np.einsum("ntchw,t->nchw", trace.spikes[index], weights)
        assert np.allclose(stage.integers, spikes * layer.threshold[:, None, None] / net.levels)
        assert net.schedule == "stream" or np.array_equal(stage.fired, stage.collected)
        assert np.allclose(stage.parts["inherited"], 0) or index > 0 or net.input == "rate"
    result = account(net, 5, module)
    for layer in result.layers:
        assert sum(layer.contributions.values()) == pytest.approx(layer.error)
        assert sum(layer.own_contributions.values()) == pytest.approx(layer.own)
    stage = stages(module, net, FRAMES, 5)[SECOND]
    power = (stage.activation**2).mean()
    assert result.layers[SECOND].error == pytest.approx(100 * ((stage.integers - stage.activation) ** 2).mean() / power)
    assert result.layers[SECOND].biases["fixed_point"] == pytest.approx(stage.parts["fixed_point"].mean(), abs=1e-9)


def test_nothing_is_left_out_of_batches():
    """More frames than a batch; accuracies and costs against a run of the whole."""
    net = network("robust_norm", schedule="stream", percentile=90.0)
    result, found = account(net), stages(MODULE, net, FRAMES)
    assert result.images == len(FRAMES) and result.accuracy_source == 100
    readout = found[READOUT]
    for accuracy, scores in ((result.accuracy_spiking, readout.fired), (result.accuracy_integers, readout.integers)):
        assert accuracy == pytest.approx(100 * (scores[:, :, 0, 0].argmax(axis=1) == LABELS).mean())
    for index, rest in ((FIRST, MODULE[3:]), (SECOND, MODULE[7:])):
        parts = found[index].parts
        own = sum(parts[name] for name in PARTS if name != "inherited")
        with torch.no_grad():
            erring = torch.tensor(found[index].activation + own).float()
            scores = rest(erring.flatten(1) if index == SECOND else erring)
        cost = 100 - 100 * (scores.argmax(dim=1).numpy() == LABELS).mean()
        assert result.layers[index].accuracy_cost == pytest.approx(cost)


def test_activations_in_place():
    inplace, net = source(lambda: nn.ReLU(inplace=True)), network(steps=2)
    assert account(net).table().equals(account(net, module=inplace).table())


@pytest.mark.parametrize(("schedule", "unevenness"), [("stream", 0.5), ("two_phase", 0.0)])
def test_bursts_are_unevenness(schedule, unevenness):
    """Two neurons fire once each, one early, one late; the next one gets +1, then −1, of which the source makes 0."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 2))
    values = ([[1.0], [1.0]], [0.0, 0.0], [[1.0, -1.0]], [0.0], [[1.0], [0.0]], [0.0, 0.25])
    for parameter, value in zip(module.parameters(), values, strict=True):
        parameter.data = torch.tensor(value)
    weights = [parameter.detach().numpy()[:, :, None, None] for parameter in module.parameters() if parameter.ndim == 2]
    layers = (
        SpikingLayer("first", (Connection(INPUT, weights[0], kind="linear"),), [1.0, 1.0], [0.0, 0.0], [0.9, 0.0]),
        SpikingLayer("second", (Connection(0, weights[1], kind="linear"),), [1.0], [0.0], [0.0]),
        SpikingLayer("readout", (Connection(1, weights[2], kind="linear"),), None, [0.0, 0.25], [0.0, 0.0]),
    )
    net = SpikingNetwork("made", (1, 1, 1), schedule, 2, layers, pixel_scale=1 / 256)
    parts = {
        name: part.item() for name, part in stages(module, net, np.full((1, 1, 1, 1), 128, np.uint8))[1].parts.items()
    }
    assert parts == {"clipping": 0, "quantization": 0, "inherited": 0, "unevenness": unevenness, "fixed_point": 0}


def test_uneven_layer_is_named():
    result = account(network("robust_norm", 8, schedule="stream"))
    assert result.layers[SECOND].own_contributions["unevenness"] > 0
    assert result.layers[FIRST].own_contributions["unevenness"] == pytest.approx(0, abs=1e-6)  # a constant current
    settled = account(network("robust_norm", 8, schedule="two_phase"))
    assert all(layer.contributions["unevenness"] == 0 for layer in settled.layers)


@pytest.mark.parametrize(("factor", "cause"), [(0.05, "clipping"), (20.0, "quantization")])
def test_spoilt_threshold_is_named(factor, cause):
    net = network(steps=16)
    result = account(net)
    assert all(layer.contributions["clipping"] == 0 for layer in result.layers)  # θ is the largest activation
    spoilt = account(scaled(net, SECOND, factor))
    assert (spoilt.worst, spoilt.layers[SECOND].cause) == (SECOND, cause)
    assert spoilt.layers[SECOND].accuracy_cost > 10
    assert (spoilt.layers[SECOND].clipped > 25) == (cause == "clipping")
    remedy = find_remedy(spoilt, Deployment(scaled(net, SECOND, factor)))
    assert try_remedy(remedy, FRAMES, LABELS) > spoilt.accuracy_integers


def test_coarse_layer_is_named():
    """An input that never fires has one huge weight, which makes the scales of its layer coarse."""
    module = source(seed=3)
    with torch.no_grad():
        module[0].bias[0] = -100.0
        module[5].weight[:, :9] = 20.0  # of channel 0
    labels = centred(module)(INPUTS).argmax(dim=1).numpy()
    net = network(steps=32, module=module)
    result = diagnose(module, net, FRAMES, labels, 6)
    assert (result.worst, result.layers[SECOND].cause) == (SECOND, "fixed_point")
    remedy = find_remedy(result, Deployment(net, 6))
    assert (remedy.advice, remedy.tried) == ("quantize with -b 12", "-b 12")
    assert try_remedy(remedy, FRAMES, labels) > result.accuracy_integers


def test_wider_weights_and_more_steps():
    fixed = [account(network(), bits).layers[SECOND].own_contributions["fixed_point"] for bits in (3, 16)]
    assert fixed[0] > 1 and abs(fixed[1]) < 0.01
    levels = [
        account(network(steps=steps), 16).layers[SECOND].own_contributions["quantization"] for steps in (2, 16, 128)
    ]
    assert levels[0] > 10 * levels[1] > 100 * levels[2]


@pytest.mark.parametrize(
    ("method", "options", "bits", "deployment", "advice", "tried"),
    [
        ("max_norm", {"reset": "zero", "steps": 64}, 8, {}, "--reset subtract|at θ/2", "--reset subtract|at θ/2"),
        ("optimal", {"shift": False}, 8, {}, "--shift .*-T 8", "at θ/2"),
        ("optimal", {}, 8, {}, "more time steps: convert with -T 8", "-T 8"),
        ("spike_converter", {"shift": True}, 8, {}, "-T 5", "-T 5"),
        ("optimal", {"steps": 256}, 2, {}, "--clipping mse, or with more weight bits, such as -b 4", "--clipping mse"),
        ("optimal", {"steps": 256}, 2, {"clipping": "mse"}, "quantize with -b 4", "-b 4"),
        ("optimal", {"steps": 64}, 5, {"pow2": True}, "without --pow2", "no --pow2"),
        ("optimal", {"steps": 256, "input": "rate"}, 8, {}, "--input direct", "--input direct"),
        (
            "robust_norm",
            {"steps": 64, "percentile": 60.0},
            8,
            {},
            "--percentile 99.99 instead of 60",
            "θ of this layer raised",
        ),
        ("training_free", {"steps": 256}, 8, {}, "-m robust_norm --percentile 99.99 or with -m optimal", "raised"),
    ],
)
def test_remedies(method, options, bits, deployment, advice, tried):
    net = network(method, **options)
    found = diagnose_and_try(MODULE, Deployment(net, bits, **deployment), FRAMES, LABELS)
    assert re.search(advice, found.remedy.advice)
    assert re.search(tried, found.remedy.tried)
    assert found.accuracy_tried >= found.diagnosis.accuracy_integers


def test_schedule_without_integers():
    result = account(network("tsc", 4))
    assert result.accuracy_integers is None
    assert all(layer.contributions["fixed_point"] == 0 for layer in result.layers)
    assert result.layers[SECOND].own == pytest.approx(result.layers[SECOND].own_contributions["quantization"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda net: source(seed=1), "layer 0: weights or biases are not those of the source"),
        (lambda net: nn.Sequential(*MODULE[:5], nn.Linear(36, 5)), "source has 2 layers, the spiking network 3"),
        (lambda net: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), *MODULE[3:]), "layer 0: weights or biases"),
        (
            lambda net: nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), *MODULE[1:]),
            "takes 36 features, its input .* has 64",
        ),
        (
            lambda net: nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), *MODULE[5:]),
            r"layer 0: stride is \(1, 1\), in the source \(2, 2\)",
        ),
        (
            lambda net: nn.Sequential(*MODULE[:5], nn.Linear(36, 20), nn.ReLU(), nn.Linear(20, 5)),
            r"layer 5: weights have shape \(24, 4, 3, 3\), in the source \(20, 4, 3, 3\); give the source",
        ),
    ],
)
def test_wrong_pairs(change, message):
    net = network()
    with pytest.raises(InvalidValue, match=message):
        account(net, module=change(net))


def test_bias_of_another_source_is_refused_unless_calibrated():
    net = network()
    moved = changed(net, SECOND, bias=net.layers[SECOND].bias + 1)
    with pytest.raises(InvalidValue, match="layer 5: weights or biases"):
        account(moved)
    account(replace(moved, provenance={"calibrated_for": 4}))


def test_nothing_to_remedy_and_nothing_to_measure():
    module = centred(nn.Sequential(nn.Flatten(), nn.Linear(64, 5)))
    net = network("tsc", module=module)
    found = diagnose_and_try(module, Deployment(net), FRAMES, LABELS)
    assert found.diagnosis.layers[0].own < 1e-6 and found.accuracy_tried is None
    with pytest.raises(InvalidValue, match=r"layer 5 of the source is silent on all 1 images, .*; give more or other"):
        dark = nn.Sequential(*MODULE[:5], nn.Linear(36, 24), *MODULE[6:])
        net = network(module=dark)
        with torch.no_grad():
            dark[5].bias.fill_(-100.0)
        bias = dark[5].bias.detach().numpy()
        diagnose(dark, changed(net, SECOND, bias=bias), FRAMES[:1], LABELS[:1])


def test_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["convert", "bundled", "-T", "2", "--images", "50", "-o", "snn.safetensors"]) == 0
    command = "diagnose bundled snn.safetensors --images 40"
    for name in ("a", "b"):
        for ending in ("svg", "png", "pdf"):
            more = f"--picture {name}.{ending} --csv {name}.csv"
            assert cli.run(f"{command} {more} {'--json' if name == 'b' else ''}".split()) == 0
        assert capsys.readouterr().err == ""
    for ending, start in {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF", "csv": b"layer,"}.items():
        first = (tmp_path / f"a.{ending}").read_bytes()
        assert first.startswith(start) and first == (tmp_path / f"b.{ending}").read_bytes()
    capsys.readouterr()
    assert cli.run([*command.split(), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [row["layer"] for row in rows] == [row["layer"] for row in content["layers"]] == ["0", "4", "8", "13"]
    for row in rows:
        assert sum(float(row[part]) for part in PARTS) == pytest.approx(float(row["error"]), rel=1e-4)
    assert content["worst"] in {row["layer"] for row in rows} and content["cause"] == "quantization"
    assert cli.run(command.split()) == 0
    text = capsys.readouterr().out
    assert "most of it by quantization" in text and "Remedy: " in text and "-T 4" in text
    for part in ("clip", "quant.", "inherit", "uneven", "fixed", "whole", "own", "points"):
        assert part in text
    assert cli.run(["convert", "bundled", "-m", "tsc", "-T", "4", "--images", "50", "-o", "tsc.safetensors"]) == 0
    assert cli.run(["diagnose", "bundled", "tsc.safetensors", "--images", "10", "--picture", "t.svg"]) == 0
    assert "no integers for this schedule" in capsys.readouterr().out
    assert "fixed-point" not in (tmp_path / "t.svg").read_text()
