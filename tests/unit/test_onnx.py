"""ONNX models as sources: what is read computes what the reference does, and everything else is one line that names the node."""

import re
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from sim import golden, oracle
from tests.onnx_models import CLASSES, SOUND, chain, frames_of, graph, node, reference
from tests.onnx_mutations import BOMBS, bomb
from toolchain import cli, zoo
from toolchain.convert import convert, replace_max_pooling
from toolchain.errors import InvalidValue, NetworkFileError, SpikeloomError, UnsupportedModule
from toolchain.onnx import LEAST_OPSET, MOST_OPSET, problems, read_onnx
from toolchain.onnx.wire import check_wire
from toolchain.quantize import quantize

RNG = np.random.default_rng(0)


def weights(*shape):
    return RNG.normal(size=shape).astype(np.float32)


@pytest.fixture
def read(tmp_path):
    def read(model):
        path = tmp_path / "m.onnx"
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return read_onnx(path)

    return read


def same(module, model, count=3, tolerance=1e-5):
    """Scores of the module are those of the reference."""
    frames = frames_of(model, count)
    with torch.no_grad():
        found = module(torch.tensor(frames.astype(np.float32))).numpy()
    wanted = reference(model, frames)
    scale = np.abs(wanted).max()
    assert found.shape == wanted.shape and scale > 1e-3
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * scale)


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

R = ("Relu", [], {})
CONV = {"w": weights(4, 2, 3, 3)}
FLAT = [("Relu", [], {}), ("Flatten", [], {})]


def conv(**attributes):
    return chain(("Conv", ["w"], attributes), *FLAT, shape=(2, 7, 8), weights=CONV)


def behind(*steps, opset=17, **more):
    """A convolution to (4, 6, 6), then ``steps``."""
    return chain(("Conv", ["w"], {}), *steps, shape=(2, 8, 8), weights={**CONV, **more}, opset=opset)


def vector(*steps, opset=17, **more):
    """A dense layer of 6, then ``steps``."""
    given = {"d": weights(8, 6), **more}
    return chain(("MatMul", ["d"], {}), *steps, shape=(8,), weights=given, opset=opset)


POOL = {"kernel_shape": [2, 2], "strides": [2, 2]}
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


# ---- refused by name ---------------------------------------------------------------------------

REFUSED = {
    "max pooling of another kind": (behind(R, ("MaxPool", [], {**POOL, "ceil_mode": 1})), r"MaxPool 'the_y' has pads .* AveragePool and fine-tune"),
    "overlapping pool": (behind(R, ("AveragePool", [], {"kernel_shape": [3, 3], "strides": [2, 2]})), r"AveragePool 'the_y' .* stride \(2, 2\).*do not overlap"),
    "padded pool": (behind(R, ("AveragePool", [], {**POOL, "pads": [1] * 4})), r"AveragePool 'the_y' .*pads \(\(1, 1\)"),
    "ceil mode": (behind(R, ("AveragePool", [], {"kernel_shape": [4, 4], "strides": [4, 4], "ceil_mode": 1})), r"AveragePool 'the_y' of places \(6, 6\): .*ceil_mode 1; only windows"),
    "dilated pool": (behind(R, ("AveragePool", [], {**POOL, "dilations": [2, 2]}), opset=19), r"AveragePool 'the_y' .*only windows that do not overlap"),
    "split": (graph([node("Split", ["x"], ["y", "z"], axis=1)], (4,), {}), r"Split 'the_y' .*give each branch a layer of its own"),
    "too many nodes": (graph([node("Identity", [f"v{k}" if k else "x"], f"v{k + 1}") for k in range(20001)], (4,), {}, output="v20001"), r"has 20001 nodes, the limit is 20000"),
    "pool before activation": (behind(("AveragePool", [], POOL)), r"reads 'the_v0' without an activation between"),
    "two layers without activation": (behind(("Conv", ["w2"], {}), w2=weights(2, 4, 1, 1)), r"Conv 'the_y' reads 'the_v0' without an activation"),
    "activation behind activation": (behind(R, ("LeakyRelu", [], {})), r"LeakyRelu 'the_y' does not stand right behind"),
    "batch norm behind activation": (behind(R, ("BatchNormalization", list("ssss"), {}), s=weights(4)), r"BatchNormalization 'the_y' does not stand behind a Conv"),
    "training batch norm": (behind(("BatchNormalization", list("ssss"), {"training_mode": 1}), s=weights(4)), r"'the_y' is in training mode; export"),
    "spatial batch norm": (behind(("BatchNormalization", list("ssss"), {"spatial": 0}), opset=7, s=weights(4)), r"'the_y' has statistics for each place"),
    "training dropout": (behind(R, ("Dropout", ["r", "t"], {}), r=np.float32(0.5), t=np.array(True)), r"Dropout 'the_y' is in training mode"),
    "clip from 1": (behind(("Clip", ["lo", "hi"], {}), lo=np.float32(1), hi=np.float32(2)), r"Clip 'the_y' clips from 1 to 2; clip from 0"),
    "clip without minimum": (behind(("Clip", ["", "hi"], {}), hi=np.float32(2)), r"clips from -inf to 2"),
    "computed limit": (behind(("Clip", ["v0"], {})), r"Clip 'the_y': its min is computed or left out"),
    "slope above 1": (behind(("LeakyRelu", [], {"alpha": 2.0})), r"LeakyRelu 'the_y': its slope is 2, must be above 0"),
    "slopes of channels": (behind(("PRelu", ["a"], {}), a=weights(4, 1, 1)), r"PRelu 'the_y' has 4 slopes"),
    "sigmoid": (behind(("Sigmoid", [], {})), r"Sigmoid 'the_y' has no exact spiking counterpart; train with Relu"),
    "softmax": (behind(("Softmax", [], {})), r"Softmax 'the_y' .*leave it out .*arg-max"),
    "unknown operator": (behind(("Frobnicate", [], {})), r"Frobnicate 'the_y' has no exact spiking counterpart; use Conv, Gemm"),
    "younger operator": (graph([node("ConstantOfShape", ["s"], "c"), node("MatMul", ["x", "c"], "y")], (4,), {"s": np.array([4, 4])}, opset=8), r"ConstantOfShape 'the_c' is no standard operator of opset 8"),
    "graph as attribute": (behind(("Relu", [], {"alpha": helper.make_graph([], "inner", [], [])})), r"Relu 'the_y' has an attribute 'alpha', which opset 17 does not know"),
    "custom domain": (behind(("Relu", [], {"domain": "com.microsoft"})), r"Relu 'the_y' is an operator of the domain 'com\.microsoft'"),
    "concatenation": (behind(R, ("Concat", ["v1"], {"axis": 1})), r"Concat 'the_y' .*adding them"),
    "product of branches": (behind(R, ("Mul", ["v1"], {})), r"Mul 'the_y' is a product of two branches"),
    "difference of branches": (behind(R, ("Sub", ["v1"], {})), r"Sub 'the_y' subtracts one flow from another"),
    "division by a flow": (graph([node("Div", ["c", "x"], "y")], (8,), {"c": weights(8)}), r"Div 'the_y' divides by what the network computes"),
    "factor behind activation": (behind(R, ("Mul", ["c"], {}), c=np.float32(2)), r"Mul 'the_y' does not stand behind .* move the constant"),
    "normalized frame": (chain(("Sub", ["c"], {}), shape=(3, 4, 4), weights={"c": weights(3, 1, 1)}), r"Sub 'the_y' .* move the constant into the weights"),
    "constant for each place": (behind(("Add", ["c"], {}), c=weights(4, 6, 6)), r"Add 'the_y' has a constant of shape \(4, 6, 6\).*one value a channel"),
    "shapes that differ": (graph([node("Conv", ["x", "w"], "a"), node("Conv", ["x", "w"], "b", strides=[2, 2]), node("Add", ["a", "b"], "y")], (2, 8, 8), CONV), r"Add 'the_y' adds 'the_a' of shape \(4, 6, 6\) to 'the_b' .*1 × 1 convolution"),
    "branching before activation": (graph([node("Conv", ["x", "w"], "a"), node("Relu", ["a"], "b"), node("Relu", ["a"], "c"), node("Add", ["b", "c"], "y")], (2, 8, 8), CONV), r"Relu 'the_c' and others read 'the_a' before its activation"),
    "transA": (chain(("Gemm", ["d"], {"transA": 1}), shape=(8,), weights={"d": weights(8, 5)}), r"Gemm 'the_y' turns the batch .*transA"),
    "matrix from the left": (graph([node("MatMul", ["d", "x"], "y")], (8,), {"d": weights(5, 8)}), r"MatMul 'the_y' multiplies two flows, or a matrix from the left"),
    "attention": (graph([node("MatMul", ["x", "x"], "y")], (8,), {}), r"MatMul 'the_y' multiplies two flows"),
    "dense layer of frames": (chain(("MatMul", ["d"], {}), shape=(3, 8), weights={"d": weights(8, 5)}), r"MatMul 'the_y' reads \(3, 8\).*put a Flatten"),
    "bias for each image": (chain(("Gemm", ["d", "c"], {}), shape=(8,), weights={"d": weights(8, 5), "c": weights(4, 5)}), r"Gemm 'the_y' has a constant of shape \(4, 5\)"),
    "3D convolution": (chain(("Conv", ["w"], {}), shape=(2, 8, 8), weights={"w": weights(4, 2, 3, 3, 3)}), r"Conv 'the_y' of weights \(4, 2, 3, 3, 3\)"),
    "channels": (chain(("Conv", ["w"], {}), shape=(3, 8, 8), weights=CONV), r"Conv 'the_y': weights \(4, 2, 3, 3\) in 1 groups do not fit 3 channels"),
    "kernel larger than frame": (chain(("Conv", ["w"], {}), shape=(2, 2, 2), weights=CONV), r"Conv 'the_y' gives \(4, 0, 0\), must be at least 1"),
    "kernel_shape": (behind(R, ("Conv", ["v"], {"kernel_shape": [2, 2]}), v=weights(2, 4, 1, 1)), r"kernel_shape \(2, 2\) is not that of the weights"),
    "negative pads": (conv(pads=[-1, 0, 0, 0]), r"Conv 'the_v0': pads is \(-1, 0, 0, 0\), must be 4 numbers from 0"),
    "auto_pad": (conv(auto_pad="SAME"), r"auto_pad is 'SAME', must be NOTSET"),
    "weights computed from the frame": (graph([node("Conv", ["x", "x"], "y")], (2, 4, 4), {}), r"Conv 'the_y': its weight W is computed"),
    "integer weights": (chain(("MatMul", ["d"], {}), shape=(8,), weights={"d": np.ones((8, 5), np.int8)}), r"matrix B is int8, must be floating point"),
    "reflecting pad": (behind(R, ("Pad", ["p"], {"mode": "reflect"}), p=np.array([0, 0, 1, 1] * 2)), r"Pad 'the_y' pads by mode 'reflect'"),
    "pad of ones": (behind(R, ("Pad", ["p", "c"], {}), p=np.array([0, 0, 1, 1] * 2), c=np.float32(1)), r"Pad 'the_y' puts other values than zeros"),
    "negative pad": (behind(R, ("Pad", ["p"], {}), p=np.array([0, 0, -1, 0] * 2)), r"Pad 'the_y' pads by .*none less than 0"),
    "slice of a part": (behind(R, ("Slice", ["z", "e", "a"], {}), z=np.array([1]), e=np.array([4]), a=np.array([2])), r"Slice 'the_y' takes a part of axis 2"),
    "slice of channels": (behind(R, ("Slice", ["z", "e", "a", "t"], {}), z=np.array([0]), e=np.array([9]), a=np.array([1]), t=np.array([2])), r"takes a part of axis 1"),
    "mean over channels": (behind(R, ("ReduceMean", [], {"axes": [1]})), r"ReduceMean 'the_y' takes the mean over axes \(1,\)"),
    "flatten from axis 2": (behind(R, ("Flatten", [], {"axis": 2})), r"Flatten 'the_y' flattens from axis 2"),
    "reshape to frames": (vector(R, ("Reshape", ["s"], {}), s=np.array([-1, 2, 3])), r"Reshape 'the_y' from \[N, 6\] to \[-1, 2, 3\] is not a flattening"),
    "reshape of a batch of one": (behind(R, ("Reshape", ["s"], {}), s=np.array([1, 144])), r"to \[1, 144\] is not a flattening .*free batch"),
    "allowzero": (behind(R, ("Reshape", ["s"], {"allowzero": 1}), s=np.array([0, -1])), r"Reshape 'the_y' .* is not a flattening"),
    "channels last": (behind(R, ("Transpose", [], {"perm": [0, 2, 3, 1]})), r"Transpose 'the_y' moves axes to \(0, 2, 3, 1\).*channels first"),
    "unsqueeze": (vector(R, ("Unsqueeze", ["a"], {}), a=np.array([2])), r"Unsqueeze 'the_y' puts axes \(2,\) into \[N, 6\].*declare the input with all its axes"),
    "squeeze of channels": (behind(R, ("Squeeze", ["a"], {}), a=np.array([1])), r"Squeeze 'the_y' squeezes axes \(1,\)"),
    "squeeze without axes": (chain(("Squeeze", [], {}), shape=(1, 1, 5)), r"Squeeze 'the_y' may squeeze batch or channels"),
    "integers of frames": (behind(R, ("Cast", [], {"to": 7})), r"Cast 'the_y' makes data type 7"),
    "quantized": (chain(("QuantizeLinear", ["s"], {}), shape=(4,), weights={"s": np.float32(1)}), r"QuantizeLinear 'the_y' .*export the float network"),
    "recurrent": (chain(("LSTM", ["w", "w"], {"hidden_size": 2}), shape=(4, 4), weights={"w": weights(1, 8, 4)}), r"LSTM 'the_y' .*toolchain\.recurrent"),
    "transposed convolution": (chain(("ConvTranspose", ["w"], {}), shape=(4, 4, 4), weights=CONV), r"ConvTranspose 'the_y' .*use Conv"),
    "mask of dropout": (graph([node("Dropout", ["x"], ["a", "m"]), node("Cast", ["m"], "y", to=1)], (4,), {}), r"Dropout 'the_a': its output 'm' is read"),
    "unknown attribute": (conv(alpha=1.0), r"Conv 'the_v0' has an attribute 'alpha', which opset 17 does not know"),
    "attribute of another type": (conv(group=1.0), r"Conv 'the_v0': attribute 'group' must be of type INT"),
    "missing attribute": (behind(R, ("AveragePool", [], {})), r"AveragePool 'the_y' has no attribute 'kernel_shape'"),
    "too many inputs": (behind(("Relu", ["w"], {})), r"Relu 'the_y' has 2 inputs, must have 1 to 1"),
    "scores without frames": (graph([node("Identity", ["c"], "y")], (4,), {"c": weights(4)}), r"scores 'y' do not depend on the frames"),
    "computed constant": (graph([node("Exp", ["c"], "d"), node("MatMul", ["x", "d"], "y")], (4,), {"c": weights(4, 4)}), r"Exp 'the_d' has no exact spiking"),
    "infinite epsilon": (behind(("BatchNormalization", list("ssss"), {"epsilon": float("inf")}), s=weights(4)), r"epsilon is inf, must be 0 or more"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, read, tmp_path):
    model, expected = REFUSED[name]
    with pytest.raises((UnsupportedModule, InvalidValue), match=expected) as caught:
        read(model)
    assert str(caught.value) in problems(tmp_path / "m.onnx")


def test_control_flow(read):
    inner = helper.make_graph([], "inner", [], [])
    with pytest.raises(
        UnsupportedModule, match=r"If 'the_y' has no exact spiking counterpart; export a graph without control flow"
    ):
        read(graph([node("If", ["x"], "y", then_branch=inner, else_branch=inner)], (4,), {}))


def _changed(change):
    model = SOUND["plain"](np.random.default_rng(1))
    change(model)
    return model


def _dim(place, **value):
    def change(model):
        dim = model.graph.input[0].type.tensor_type.shape.dim[place]
        dim.Clear()
        for name, one in value.items():
            setattr(dim, name, one)

    return change


def _external(**entries):
    def change(model):
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=value)

    return change


FILES = {
    "free height": (_dim(2, dim_param="height"), r"free size 'height' along axis 2, only the batch may be free; export it for one frame size"),
    "no height": (_dim(2), r"free size '\?' along axis 2"),
    "zero height": (_dim(2, dim_value=0), r"free size '0' along axis 2"),
    "no shape": (lambda m: m.graph.input[0].type.tensor_type.ClearField("shape"), r"does not say the shape of its input 'x'"),
    "five axes": (lambda m: m.graph.input[0].type.tensor_type.shape.dim.add(dim_value=2), r"with 5 axes, must be \[N, C, H, W\]"),
    "bytes as frames": (lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 2), r"takes its input 'x' as uint8, must take float"),
    "two inputs": (lambda m: m.graph.input.append(helper.make_tensor_value_info("z", 1, [1])), r"takes 2 values \('x', 'z'\), must be one"),
    "two outputs": (lambda m: m.graph.output.append(m.graph.output[0]), r"gives 2 values .*cut the others off with onnx\.utils\.extract_model"),
    "old opset": (lambda m: setattr(m.opset_import[0], "version", 6), r"has opset 6, must be 7 to \d+; .*version_converter"),
    "future opset": (lambda m: setattr(m.opset_import[0], "version", 99), r"has opset 99, must be 7 to"),
    "no opset": (lambda m: m.ClearField("opset_import"), r"names 0 versions"),
    "no graph": (lambda m: m.ClearField("graph"), r"takes 0 values"),
    "cycle": (lambda m: m.graph.node[0].input.__setitem__(0, "v3"), r"Conv 'the_v0' reads 'v3', which AveragePool 'the_v3' makes only later: a cycle"),
    "dangling": (lambda m: m.graph.node[1].input.__setitem__(0, "ghost"), r"reads 'ghost', which nothing makes"),
    "made twice": (lambda m: m.graph.node.append(m.graph.node[0]), r"Conv 'the_v0' makes 'v0', which is there already"),
    "two tensors": (lambda m: m.graph.initializer.append(m.graph.initializer[0]), r"has 2 tensors named 'w'"),
    "output of nothing": (lambda m: setattr(m.graph.output[0], "name", "z"), r"gives 'z', which nothing makes"),
    "sparse": (lambda m: m.graph.sparse_initializer.add(), r"has sparse weights"),
    "attribute twice": (lambda m: m.graph.node[0].attribute.append(m.graph.node[0].attribute[0]), r"Conv 'the_v0' has attribute '\w+' twice"),
    "too few bytes": (lambda m: setattr(m.graph.initializer[0], "raw_data", b"abc"), r"tensor 'w' of type float and shape \(4, 1, 3, 3\) has 3 bytes, must have 144"),
    "huge tensor": (lambda m: m.graph.initializer[0].dims.append(2**40), r"tensor 'w' brings all tensors to more than 1024 MiB"),
    "negative tensor": (lambda m: m.graph.initializer[0].dims.append(-1), r"tensor 'w' has 5 axes"),
    "other values": (lambda m: m.graph.initializer[0].float_data.append(1), r"has values in raw_data and float_data, must have them in float_data"),
    "float8": (lambda m: setattr(m.graph.initializer[0], "data_type", 17), r"tensor 'w' has data type 17, which is not read"),
    "outside the folder": (_external(location="../w", length="144"), r"lies in '../w', which is not inside the model's folder"),
    "absolute path": (_external(location="/etc/passwd", length="144"), r"lies in '/etc/passwd', which is not inside"),
    "other system's path": (_external(location="C:\\w", length="144"), r"which is not inside the model's folder"),
    "no location": (_external(length="144"), r"lies in '', which is not inside"),
    "missing file": (_external(location="w", length="144"), r"needs bytes 0 to 144 of 'w' beside the model"),
    "beyond the file": (_external(location="m.onnx", length="144", offset="99999999"), r"needs bytes 99999999 to 100000143 of 'm.onnx'"),
    "folder": (_external(location=".", length="144"), r"needs bytes 0 to 144 of '.'"),
    "length": (_external(location="m.onnx", length="99"), r"takes '99' bytes of 'm.onnx', its shape needs 144"),
    "offset": (_external(location="m.onnx", offset="-1"), r"takes None bytes of 'm.onnx'"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_files(name, read, tmp_path):
    change, expected = FILES[name]
    with pytest.raises((UnsupportedModule, NetworkFileError, InvalidValue), match=expected) as caught:
        read(_changed(change))
    assert str(caught.value) in problems(tmp_path / "m.onnx") and len(str(caught.value).splitlines()) == 1


def test_links_that_leave_the_folder(read, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "w").write_bytes(bytes(144))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "w").symlink_to(tmp_path / "elsewhere" / "w")
    path = tmp_path / "model" / "m.onnx"
    path.write_bytes(_changed(_external(location="w", length="144")).SerializeToString())
    with pytest.raises(
        NetworkFileError, match=r"'w', a link that leaves the model's folder; copy the weights beside the model"
    ):
        read_onnx(path)


def test_large_files(tmp_path):
    """By their size, before a byte is read."""
    with (tmp_path / "m.onnx").open("wb") as file:
        file.truncate((1 << 30) + 1)
    with pytest.raises(
        NetworkFileError, match=r"has 1024 MiB, the limit is 1024 MiB; save the weights as external data"
    ):
        read_onnx(tmp_path / "m.onnx")


def test_external_data(tmp_path):
    """What onnx itself saves beside the model reads back."""
    model = SOUND["plain"](np.random.default_rng(1))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    assert (tmp_path / "m.data").stat().st_size > 1000
    same(read_onnx(tmp_path / "m.onnx"), SOUND["plain"](np.random.default_rng(1)))


@pytest.mark.parametrize("kind", BOMBS)
def test_bombs(kind, read):
    with pytest.raises(SpikeloomError) as caught:
        convert(read(bomb(kind)), np.full((2, 4), 0.5, np.float32), "optimal", 4)
    assert len(str(caught.value)) < 500


def test_wire_is_checked_before_parsing():
    """Everything that the parser takes passes the check, and every cut of it is refused by one of both."""
    raw = SOUND["plain"](np.random.default_rng(1)).SerializeToString()
    told = []

    def refuse(why):
        told.append(why)
        raise NetworkFileError(why)

    check_wire(raw, onnx.ModelProto.DESCRIPTOR, refuse)
    for end in range(1, 200):
        try:
            check_wire(raw[:-end], onnx.ModelProto.DESCRIPTOR, refuse)
        except NetworkFileError:
            continue
        onnx.ModelProto.FromString(raw[:-end])  # a cut between fields
    assert len(told) > 150


def test_problems_are_all_told(tmp_path):
    """Not only the first; what is behind one is still looked at, as far as its shape is known."""
    model = behind(
        ("Sigmoid", [], {}), ("MaxPool", [], POOL), ("Resize", [], {}), R, ("Frobnicate", [], {}), ("Softmax", [], {})
    )
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    names = [line.split("'")[1] for line in problems(tmp_path / "m.onnx")]
    assert names == ["the_v1", "the_v3", "the_v5", "the_y"]
    assert problems(tmp_path / "none.onnx")[0].startswith("cannot read ONNX model")


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


def test_additions_of_a_sum_to_itself_are_limited():
    """What a module of the user's own can ask for, too."""

    class Doubling(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            x = torch.relu(self.one(x))
            x = x + x
            for _ in range(40):
                x = x + x
            return self.two(torch.relu(x))

    with pytest.raises(UnsupportedModule, match=r"joins 512 branches, the limit is 256"):
        convert(Doubling(), np.full((2, 2), 0.5, np.float32), "optimal", 4)


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
