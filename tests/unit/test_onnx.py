"""ONNX models as sources: what is read computes what the reference does."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from sim import golden, oracle
from tests.onnx_models import (
    CLASSES,
    CONV,
    FLAT,
    POOL,
    SOUND,
    R,
    behind,
    chain,
    conv,
    graph,
    node,
    same,
    vector,
    weights,
)
from toolchain import cli, zoo
from toolchain.convert import convert, replace_max_pooling
from toolchain.errors import InvalidValue, UnsupportedModule
from toolchain.onnx import LEAST_OPSET, MOST_OPSET, problems, read_onnx
from toolchain.quantize import quantize


def integers(module, shape, method="optimal", steps=4):
    frames = np.random.default_rng(7).integers(0, 256, (16, *shape)).astype(np.uint8)
    network = quantize(convert(module, frames.astype(np.float32) / 255, method, steps), 8)
    return network, frames[:2]


def check_models_agree(network, frames):
    """Golden model and oracle give the same spikes and scores, and something fires."""
    one, other = golden.run(network, frames, "spikes"), oracle.run(network, frames)
    assert one.spikes is not None and other.spikes is not None and any(train.any() for train in one.spikes)
    assert all((a == b).all() for a, b in zip(one.spikes, other.spikes, strict=True))
    assert (one.scores == other.scores).all()


@pytest.mark.parametrize("name", SOUND)
def test_sound_models(name, read):
    model = SOUND[name](np.random.default_rng(1))
    module = read(model)
    same(module, model, tolerance=1e-2 if name == "separable" else 1e-5)  # float16
    shape = tuple(dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:])
    network, frames = integers(module, shape)
    check_models_agree(network, frames.reshape(2, *network.input_shape))


# ---- every form of every operator --------------------------------------------------------------

FORMS = {
    "strides": conv(strides=[2, 3]),
    "dilations": conv(dilations=[2, 1]),
    "pads": conv(pads=[1, 2, 1, 2]),
    "lopsided pads": conv(pads=[0, 1, 2, 0]),
    "same upper": conv(auto_pad="SAME_UPPER", strides=[2, 2]),
    "same lower": conv(auto_pad="SAME_LOWER", strides=[2, 2]),
    "valid": conv(auto_pad="VALID", kernel_shape=[3, 3]),
    "groups": chain(("Conv", ["w"], {"group": 2}), *FLAT, shape=(4, 5, 5), weights={"w": weights(6, 2, 3, 3)}),
    "depthwise": chain(("Conv", ["w"], {"group": 4}), *FLAT, shape=(4, 5, 5), weights={"w": weights(4, 1, 3, 3)}),
    "bias as addition": behind(("Add", ["b"], {}), *FLAT, b=weights(4, 1, 1)),
    "bias with all axes": behind(("Add", ["b"], {}), *FLAT, b=weights(1, 4, 1, 1)),
    "scalar bias": behind(("Sub", ["b"], {}), *FLAT, b=np.float32(0.25)),
    "factor": behind(("Mul", ["b"], {}), ("Div", ["c"], {}), *FLAT, b=weights(4, 1, 1), c=np.float32(-3)),
    "batch norm": behind(("BatchNormalization", list("smvu"), {"epsilon": 0.01}), *FLAT, s=weights(4), m=weights(4), v=weights(4), u=weights(4) ** 2),
    "clip of inputs": behind(("Clip", ["lo", "hi"], {}), ("Flatten", [], {}), lo=np.float32(0), hi=np.float32(1)),
    "clip without maximum": behind(("Clip", ["lo"], {}), ("Flatten", [], {}), lo=np.float32(0)),
    "clip of attributes": behind(("Clip", [], {"min": 0.0, "max": 6.0}), ("Flatten", [], {}), opset=9),
    "symmetric clip": behind(("Clip", ["lo", "hi"], {}), ("Flatten", [], {}), lo=np.float32(-1), hi=np.float32(1)),
    "clip behind relu": behind(("Relu", [], {}), ("Min", ["hi"], {}), ("Flatten", [], {}), hi=np.float32(0.5)),
    "max with 0": behind(("Max", ["lo"], {}), ("Flatten", [], {}), lo=np.float32(0)),
    "relu twice": behind(("Relu", [], {}), ("Relu", [], {}), ("Flatten", [], {})),
    "leaky": behind(("LeakyRelu", [], {"alpha": 0.3}), ("Flatten", [], {})),
    "prelu of one slope": behind(("PRelu", ["a"], {}), ("Flatten", [], {}), a=np.full((1, 1, 1), 0.3, np.float32)),
    "average pool": behind(("Relu", [], {}), ("AveragePool", [], POOL), ("Flatten", [], {})),
    "count_include_pad without pads": behind(("Relu", [], {}), ("AveragePool", [], {**POOL, "count_include_pad": 1}), ("Flatten", [], {})),
    "ceil mode that divides": behind(("Relu", [], {}), ("AveragePool", [], {**POOL, "ceil_mode": 1}), ("Flatten", [], {})),
    "pool of the rim": behind(("Relu", [], {}), ("AveragePool", [], {"kernel_shape": [4, 4], "strides": [4, 4]}), ("Flatten", [], {})),
    "one window, stride 1": behind(("Relu", [], {}), ("AveragePool", [], {"kernel_shape": [6, 6]}), ("Flatten", [], {})),
    "global pool": behind(("Relu", [], {}), ("GlobalAveragePool", [], {}), ("Flatten", [], {"axis": -3})),
    "mean by attribute": behind(("Relu", [], {}), ("ReduceMean", [], {"axes": [-1, -2], "keepdims": 0})),
    "mean by input": behind(("Relu", [], {}), ("ReduceMean", ["a"], {}), ("Flatten", [], {}), opset=18, a=np.array([2, 3])),
    "reshape to 0 and -1": behind(("Relu", [], {}), ("Reshape", ["s"], {}), s=np.array([0, -1])),
    "reshape to -1 and features": behind(("Relu", [], {}), ("Reshape", ["s"], {}), s=np.array([-1, 144])),
    "reshape to the same": behind(("Relu", [], {}), ("Reshape", ["s"], {}), ("Flatten", [], {}), s=np.array([-1, 4, 6, 6])),
    "squeeze": behind(("Relu", [], {}), ("GlobalAveragePool", [], {}), ("Squeeze", [], {"axes": [2, 3]}), opset=12),
    "pad node": behind(("Relu", [], {}), ("Pad", ["p"], {}), ("Flatten", [], {}), p=np.array([0, 0, 1, 2, 0, 0, 3, 0])),
    "pad of attributes": behind(("Relu", [], {}), ("Pad", [], {"pads": [0, 0, 1, 2, 0, 0, 3, 0]}), ("Flatten", [], {}), opset=10),
    "pad of axes": behind(("Relu", [], {}), ("Pad", ["p", "", "a"], {}), ("Flatten", [], {}), opset=18, p=np.array([1, 2]), a=np.array([-1])),
    "slice": behind(("Relu", [], {}), ("Slice", ["z", "e", "a", "t"], {}), ("Flatten", [], {}), z=np.array([0, 0]), e=np.array([2**62, 6]), a=np.array([2, 3]), t=np.array([2, 3])),
    "identity, dropout, cast": behind(("Identity", [], {}), ("Dropout", [], {}), ("Cast", [], {"to": 1}), *FLAT),
    "transpose of one place": behind(("Relu", [], {}), ("GlobalAveragePool", [], {}), ("Transpose", [], {"perm": [0, 1, 3, 2]}), ("Flatten", [], {})),
    "gemm": vector(("Relu", [], {}), ("Gemm", ["g", "c"], {"alpha": 0.5, "beta": 2.0}), g=weights(6, 5), c=weights(1, 5)),
    "gemm transB, scalar bias": vector(("Relu", [], {}), ("Gemm", ["g", "c"], {"transB": 1}), g=weights(5, 6), c=np.float32(2)),
    "batch norm of vectors": vector(("BatchNormalization", list("smvu"), {}), s=weights(6), m=weights(6), v=weights(6), u=weights(6) ** 2),
    "constant minus": graph([node("MatMul", ["x", "d"], "a"), node("Sub", ["c", "a"], "y")], (8,), {"d": weights(8, 6), "c": weights(6)}),
    "sum of three": graph(
        [
            node("MatMul", ["x", "d"], "a"), node("Relu", ["a"], "a1"), node("MatMul", ["a1", "e"], "b"), node("MatMul", ["a1", "f"], "c"),
            node("Sum", ["b", "a1", "c", "k"], "s"), node("Relu", ["s"], "y"),
        ],
        (8,), {"d": weights(8, 6), "e": weights(6, 6), "f": weights(6, 6), "k": weights(6)},
    ),
    "vectors that were frames": chain(("Flatten", [], {}), ("MatMul", ["d"], {}), shape=(3, 2, 2), weights={"d": weights(12, 4)}),
    "one row as series": chain(("Squeeze", ["a"], {}), ("Conv", ["w"], {}), *FLAT, shape=(2, 1, 9), weights={"w": weights(4, 2, 3), "a": np.array([2])}),
    "series as one row": chain(("Conv", ["w"], {}), R, ("Unsqueeze", ["a"], {}), ("AveragePool", [], {"kernel_shape": [1, 2], "strides": [1, 2]}), ("Flatten", [], {}), shape=(2, 9), weights={"w": weights(4, 2, 2), "a": np.array([-2])}),
    "weights computed": graph(
        [
            node("Constant", [], "h", value_float=0.5), node("Mul", ["w", "h"], "w1"), node("Unsqueeze", ["w1", "ax"], "w2"), node("Squeeze", ["w2", "ax"], "w3"),
            node("Slice", ["w3", "z", "e"], "w4"), node("Concat", ["w4", "w4"], "w5", axis=0), node("Identity", ["w5"], "w6"), node("Conv", ["x", "w6"], "y"),
        ],
        (2, 5, 5), {**CONV, "ax": np.array([0]), "z": np.array([1]), "e": np.array([3])},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_forms(name, read):
    same(read(FORMS[name]), FORMS[name])


@pytest.mark.parametrize("opset", range(LEAST_OPSET, MOST_OPSET + 1))
def test_every_opset(opset, read):
    """One network of what every opset has, from the least to the most."""
    limits = {"min": 0.0, "max": 1.0} if opset < 11 else {}
    model = chain(
        ("Conv", ["w", "b"], {"pads": [1, 1, 1, 1]}),
        ("Clip", [] if limits else ["lo", "hi"], limits),
        ("AveragePool", [], POOL),
        ("Dropout", [], {}),
        ("Reshape", ["s"], {}),
        ("Gemm", ["d", "c"], {"transB": 1}),
        weights={
            "w": weights(4, 1, 3, 3), "b": weights(4), "d": weights(CLASSES, 64), "c": weights(CLASSES), "s": np.array([0, -1]),
            **({} if limits else {"lo": np.float32(0), "hi": np.float32(1)}),
        },
        opset=opset,
    )  # fmt: skip
    same(read(model), model)


@pytest.mark.parametrize("opset", [LEAST_OPSET, 9, 13, 14, MOST_OPSET])
def test_batch_norm_of_every_kind(opset, read):
    """Against the formula, since the reference normalizes by the batch in opsets 9 to 13."""
    s, m, v = weights(4), weights(4), weights(4) ** 2
    model = chain(
        ("Conv", ["w"], {}),
        ("BatchNormalization", ["s", "s", "m", "v"], {}),
        ("Flatten", [], {}),
        shape=(2, 3, 3),
        weights={**CONV, "s": s, "m": m, "v": v},
        opset=opset,
    )
    x = torch.rand(2, 2, 3, 3)
    before = torch.nn.functional.conv2d(x, torch.tensor(CONV["w"])).flatten(1).numpy()
    np.testing.assert_allclose(
        read(model)(x).detach().numpy(), (before - m) / np.sqrt(v + 1e-5) * s + s, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("kind", ["float", "float16", "double", "bfloat16"])
@pytest.mark.parametrize("typed", [False, True])
def test_types_of_weights(kind, typed, read):
    code = {"float": 1, "float16": 10, "double": 11, "bfloat16": 16}[kind]
    values = np.round(weights(5, 8) * 8) / 8  # bfloat16 holds these
    tensor = helper.make_tensor("d", code, (5, 8), values.reshape(-1).tolist())
    if not typed:
        tensor = numpy_helper.from_array(numpy_helper.to_array(tensor), "d")
        assert tensor.raw_data
    module = read(chain(("Gemm", ["d"], {"transB": 1}), shape=(8,), weights={"d": tensor}, kind=code))
    assert (module._modules["the_y"].weight.detach().numpy() == values).all()


# ---- what torch.onnx.export writes -------------------------------------------------------------


class Flattening(nn.Module):
    """Ways of forward to flatten, pad, clip and average, around two convolutions."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 4, 3, padding="same"), nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2)
        self.norm, self.last = nn.BatchNorm2d(4), nn.Linear(8, 3)

    def forward(self, x):
        x = nn.functional.relu6(self.norm(self.one(x)))
        shortcut = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        x = torch.relu(self.two(x) + shortcut).mean((2, 3))
        return self.last(x.view(x.size(0), -1))


def series():
    return nn.Sequential(
        nn.Conv1d(2, 4, 5, padding=2), nn.BatchNorm1d(4), nn.ReLU(), nn.AvgPool1d(2), nn.Conv1d(4, 4, 3, groups=4), nn.ReLU(),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip


EXPORTED = {
    "cnn": (lambda: zoo.build("cnn", activation="relu"), (1, 28, 28)),
    "mlp": (lambda: zoo.build("mlp", activation="threshold_relu"), (1, 28, 28)),
    "resnet": (lambda: zoo.resnet(nn.ReLU, 10, (4, 8), 1), (3, 16, 16)),
    "flattening": (Flattening, (1, 8, 8)),
    "series": (series, (2, 20)),
}


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("name", EXPORTED)
def test_exports_of_torch(name, dynamo, tmp_path):
    """Both of PyTorch's exporters: the same scores, and integers with as many layers as from the module itself."""
    make, shape = EXPORTED[name]
    torch.manual_seed(0)
    module = make()
    batch = torch.rand(8, *shape)
    with torch.no_grad():
        for _ in range(5):
            module.train()(batch)
    module.eval()
    if name == "resnet":
        module[-3] = nn.AvgPool2d(8)
    path = tmp_path / "m.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            torch.onnx.export(
                module, (batch[:2],), path, dynamo=True, verbose=False, dynamic_shapes=({0: torch.export.Dim("n")},)
            )
        else:
            torch.onnx.export(module, (batch[:2],), path, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "n"}})
    assert problems(path) == []
    found = read_onnx(path)
    with torch.no_grad():
        torch.testing.assert_close(found(batch), module(batch), rtol=1e-4, atol=1e-5)
    network, frames = integers(found, shape)
    own, _ = integers(module, shape)
    assert [c.weight.shape for layer in network.layers for c in layer.connections] == [
        c.weight.shape for layer in own.layers for c in layer.connections
    ]
    if name in ("flattening", "series"):
        check_models_agree(network, frames.reshape(2, *network.input_shape))


@pytest.mark.parametrize("order", [(R, ("MaxPool", [], POOL)), (("MaxPool", [], POOL), R)])
def test_max_pooling_converts_or_is_replaced(read, tmp_path, order):
    """Behind the activation or before it; where spikes have a sign, a copy with average pooling does."""
    model = chain(
        ("Conv", ["w"], {}), *order, ("Flatten", [], {}), ("MatMul", ["d"], {}),
        shape=(2, 8, 8), weights={**CONV, "d": weights(36, 5)},
    )  # fmt: skip
    module = read(model)
    same(module, model)
    assert problems(tmp_path / "m.onnx") == []
    frames = np.random.default_rng(0).random((4, 2, 8, 8)).astype(np.float32)
    layers = convert(module, frames, "optimal", 4).layers
    assert len(layers) == 2 and layers[1].connections[0].maximum is not None
    with pytest.raises(UnsupportedModule, match=r"MaxPool2d .*replace_max_pooling"):
        convert(module, frames, "max_norm", 4)


def test_max_pooling_can_be_replaced(read):
    model = chain(
        ("Conv", ["w"], {}), R, ("MaxPool", [], POOL), ("Flatten", [], {}), ("MatMul", ["d"], {}),
        shape=(2, 8, 8), weights={**CONV, "d": weights(36, 5)},
    )  # fmt: skip
    frames = np.random.default_rng(0).random((4, 2, 8, 8)).astype(np.float32)
    layers = convert(replace_max_pooling(read(model)), frames, "optimal", 4).layers
    assert layers[1].connections[0].pool == (2, 2)


def test_names(read):
    """Names of nodes are made safe and unique, since torch.fx writes code with them."""
    names = ["a.b", "a_b", "", 'x"); raise SystemExit("', "forward", "class", "graph", "_plan", "/a/b", "x" * 500]
    value, nodes = "x", []
    for place, name in enumerate(names):
        nodes += [node("MatMul", [value, "d"], f"m{place}"), node("Relu", [f"m{place}"], f"r{place}", name=f"{name}r")]
        nodes[-2].name = name
        value = f"r{place}"
    nodes.append(node("MatMul", [value, "d"], "y"))
    module = read(graph(nodes, (4,), {"d": np.abs(weights(4, 4)) / 2}))
    network = convert(module, np.full((2, 4), 0.5, np.float32), "optimal", 4)
    found = [layer.name for layer in network.layers]
    assert len(set(found)) == len(found) == len(names) + 1
    assert all(re.fullmatch(r"[0-9A-Za-z_/]{1,84}", name) for name in found)


def test_frames_of_another_shape(read):
    """Refused before anything is computed, where a fully convolutional network would take them."""
    model = chain(
        ("Conv", ["w"], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}), R, ("GlobalAveragePool", [], {}), ("Flatten", [], {}), ("MatMul", ["d"], {}),
        shape=(2, 8, 8), weights={**CONV, "d": weights(4, 5)},
    )  # fmt: skip
    module = read(model)
    frames = np.random.default_rng(0).random((4, 2, 9, 9)).astype(np.float32)
    message = r"frames have shape \(2, 9, 9\), the model takes \(2, 8, 8\); choose data of that shape"
    with pytest.raises(InvalidValue, match=message):
        convert(module, frames, "optimal", 4)
    with pytest.raises(InvalidValue, match=message):
        module(torch.tensor(frames))


def test_vectors_and_series_take_frames(read):
    """A model of [N, 12] takes any frames of 12 values, one of [N, C, L] frames (C, 1, L), both also their own shape."""
    dense = chain(
        ("MatMul", ["d"], {}), R, ("MatMul", ["e"], {}), shape=(12,), weights={"d": weights(12, 6), "e": weights(6, 3)}
    )
    flat = read(dense)
    x = np.random.default_rng(0).random((4, 3, 2, 2)).astype(np.float32)
    one, other = convert(flat, x, "optimal", 4), convert(flat, x.reshape(4, 12), "optimal", 4)
    assert one.input_shape == (3, 2, 2) and other.input_shape == (12, 1, 1)
    line = read(SOUND["series"](np.random.default_rng(1)))
    s = np.random.default_rng(0).random((4, 2, 1, 16)).astype(np.float32)
    assert convert(line, s, "optimal", 4).fingerprint == convert(line, s[:, :, 0], "optimal", 4).fingerprint


# ---- the command line --------------------------------------------------------------------------


def test_command_line(tmp_path, capsys):
    """From an exported network to integers, with its name and accuracy told."""
    torch.manual_seed(0)
    module = zoo.build("cnn", activation="relu").eval()
    path = tmp_path / "small.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.zeros(1, 1, 28, 28),), path, dynamo=False)  # a fixed batch of 1
    target = tmp_path / "snn.safetensors"
    assert cli.run(["convert", str(path), "-m", "optimal", "--images", "20", "-o", str(target)]) == 0
    assert "4 layers" in capsys.readouterr().out
    assert cli.run(["diagnose", str(path), str(target), "--images", "5"]) == 0


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, r"cannot read ONNX model .*m\.onnx: no such file"),
        (b"", r"names 0 versions of the standard operators"),
        (b"PK\x03\x04 not a model", r"is no whole ONNX model: .*; export the model again"),
        (b"\x12\x02\xff\xfe", r"is no whole ONNX model: a name at byte 2 is not UTF-8"),
        (b"\x3a\x7f", r"is no whole ONNX model: a field reaches over its end"),
    ],
)
def test_command_line_refuses(content, expected, tmp_path, capsys):
    path, target = tmp_path / "m.onnx", tmp_path / "x.safetensors"
    if content is not None:
        path.write_bytes(content)
    assert cli.run(["convert", str(path), "-m", "optimal", "-o", str(target)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and re.search(expected, line) and not target.exists()


def test_weights_belong_to_python_files(tmp_path, capsys):
    assert cli.run(["convert", "m.onnx", "--weights", "w.safetensors", "-o", str(tmp_path / "x.safetensors")]) == 2
    assert "goes with FILE.py:FUNCTION only" in capsys.readouterr().err


def test_package_missing(tmp_path, monkeypatch, capsys):
    """What to install where onnx is not there."""
    path = tmp_path / "m.onnx"
    path.write_bytes(SOUND["plain"](np.random.default_rng(1)).SerializeToString())
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    assert cli.run(["convert", str(path), "-o", str(Path(tmp_path) / "x.safetensors")]) == 2
    assert "pip install 'spikeloom[onnx]'" in capsys.readouterr().err
