"""Small ONNX models by ``onnx.helper``: one for each way in which exporters write what converts; and the reference that runs them."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

__all__ = [
    "CLASSES",
    "CONV",
    "FLAT",
    "POOL",
    "R",
    "SOUND",
    "behind",
    "chain",
    "conv",
    "frames_of",
    "graph",
    "node",
    "reference",
    "same",
    "vector",
    "weights",
]

CLASSES = 5


def node(op, inputs, output, name=None, domain="", **attributes):
    """One node, named like its output."""
    outputs = [output] if isinstance(output, str) else list(output)
    return helper.make_node(op, inputs, outputs, name=name or f"the_{outputs[0]}", domain=domain, **attributes)


def graph(nodes, shape, weights, *, opset=17, batch="N", kind=TensorProto.FLOAT, output="y", external=()):
    """A model that reads ``x`` ``[batch, *shape]``; ``weights`` are arrays or ``TensorProto`` by name."""
    tensors = [
        array if isinstance(array, onnx.TensorProto) else numpy_helper.from_array(np.asarray(array), name)
        for name, array in weights.items()
    ]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, [batch, *shape])],
        [helper.make_tensor_value_info(output, kind, None)],
        tensors,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def chain(*steps, shape=(1, 8, 8), weights=None, **options):
    """A model of nodes one behind the other: ``(op, extra inputs, attributes)`` each; values are x, v0, v1, ..., y."""
    nodes, value = [], "x"
    for place, (op, more, attributes) in enumerate(steps):
        given = "y" if place == len(steps) - 1 else f"v{place}"
        nodes.append(node(op, [value, *more], given, **attributes))
        value = given
    return graph(nodes, shape, weights or {}, **options)


def reference(model, frames):
    """What ``onnx.reference`` computes."""
    return ReferenceEvaluator(model).run(None, {"x": frames})[0]


def frames_of(model, count, seed=0):
    """Frames in [0, 1] of the model's type and shape."""
    value = model.graph.input[0]
    shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim][1:]
    kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    return np.random.default_rng(seed).random((count, *shape)).astype(kind)


def _w(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def _bn(rng, channels, name):
    one = lambda: rng.uniform(0.5, 1.5, channels).astype(np.float32)  # noqa: E731
    return {f"{name}{part}": one() for part in "sbmv"}


def plain(rng):
    """Conv, batch norm, ReLU, average pooling, Flatten, Gemm."""
    weights = {
        "w": _w(rng, 4, 1, 3, 3),
        "b": _w(rng, 4),
        "f": _w(rng, CLASSES, 64),
        "c": _w(rng, CLASSES),
        **_bn(rng, 4, "n"),
    }
    return chain(
        ("Conv", ["w", "b"], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
        ("BatchNormalization", ["ns", "nb", "nm", "nv"], {"epsilon": 1e-3}),
        ("Relu", [], {}),
        ("AveragePool", [], {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Flatten", [], {}),
        ("Gemm", ["f", "c"], {"transB": 1}),
        weights=weights,
    )


def residual(rng):
    """A block with a projection, one with an identity, global average pooling."""
    weights = {
        "w": _w(rng, 4, 2, 3, 3), "p": _w(rng, 4, 4, 1, 1), "q": _w(rng, 4, 4, 3, 3), "r": _w(rng, 4, 4, 3, 3), "f": _w(rng, 4, CLASSES)
    }  # fmt: skip
    same = {"pads": [1, 1, 1, 1]}
    nodes = [
        node("Conv", ["x", "w"], "a", **same), node("Relu", ["a"], "a1"),
        node("Conv", ["a1", "p"], "s", strides=[2, 2]), node("Conv", ["a1", "q"], "t", strides=[2, 2], **same),
        node("Add", ["s", "t"], "j"), node("Relu", ["j"], "j1"),
        node("Conv", ["j1", "r"], "u", **same), node("Add", ["u", "j1"], "k"), node("Clip", ["k", "zero", "six"], "k1"),
        node("GlobalAveragePool", ["k1"], "m"), node("Squeeze", ["m", "axes"], "n"), node("MatMul", ["n", "f"], "y"),
    ]  # fmt: skip
    numbers = {"zero": np.float32(0), "six": np.float32(6), "axes": np.array([2, 3])}
    return graph(nodes, (2, 6, 6), {**weights, **numbers})


def separable(rng):
    """Depthwise with SAME padding, dilated and grouped, lopsided pads, a Pad node, float16."""
    weights = {
        "d": _w(rng, 3, 1, 3, 3), "p": _w(rng, 6, 3, 1, 1), "g": _w(rng, 6, 3, 2, 2), "f": _w(rng, CLASSES, 6)
    }  # fmt: skip
    numbers = {"pads": np.array([0, 0, 1, 0, 0, 0, 0, 1]), "axes": np.array([2, 3])}
    half = {name: value.astype(np.float16) for name, value in weights.items()}
    return chain(
        ("Pad", ["pads"], {}),
        ("Conv", ["d"], {"group": 3, "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        ("Relu", [], {}),
        ("Conv", ["p"], {}),
        ("Relu", [], {}),
        ("Conv", ["g"], {"group": 2, "dilations": [2, 2], "pads": [1, 1, 0, 2]}),
        ("Relu", [], {}),
        ("ReduceMean", ["axes"], {"keepdims": 0}),
        ("Dropout", [], {}),
        ("Gemm", ["f"], {"transB": 1, "alpha": 0.5}),
        shape=(3, 7, 7),
        weights={**half, **numbers},
        opset=18,
        kind=TensorProto.FLOAT16,
    )


def series(rng):
    """Conv1d on [N, C, L], biases as additions, flattening computed from the shape as early exporters wrote it."""
    weights = {"w": _w(rng, 4, 2, 5), "b": _w(rng, 4, 1), "f": _w(rng, 16, CLASSES), "c": _w(rng, CLASSES)}
    numbers = {"zero": np.array(0), "axes": np.array([0]), "rest": np.array([-1])}
    nodes = [
        node("Conv", ["x", "w"], "a", strides=[2], pads=[2, 2]), node("Add", ["a", "b"], "a1"), node("Relu", ["a1"], "a2"),
        node("AveragePool", ["a2"], "p", kernel_shape=[2], strides=[2]),
        node("Shape", ["p"], "s"), node("Gather", ["s", "zero"], "n", axis=0), node("Unsqueeze", ["n", "axes"], "n1"),
        node("Concat", ["n1", "rest"], "r", axis=0), node("Reshape", ["p", "r"], "v"),
        node("MatMul", ["v", "f"], "u"), node("Add", ["u", "c"], "y"),
    ]  # fmt: skip
    return graph(nodes, (2, 16), {**weights, **numbers})


def dense(rng):
    """An MLP in double with typed data, a Constant, a transposed matrix and a scaled sum."""
    typed = helper.make_tensor("w", TensorProto.DOUBLE, (6, 12), rng.normal(size=72).tolist())
    weights = {"w": typed, "f": rng.normal(size=(CLASSES, 6)), "h": np.array(0.5)}
    nodes = [
        node("Constant", [], "b", value=numpy_helper.from_array(rng.normal(size=6))),
        node("Flatten", ["x"], "x1"), node("Transpose", ["w"], "wt", perm=[1, 0]), node("MatMul", ["x1", "wt"], "a"),
        node("Add", ["a", "b"], "a1"), node("Mul", ["a1", "h"], "a2"), node("Relu", ["a2"], "a3"), node("Gemm", ["a3", "f"], "y", transB=1),
    ]  # fmt: skip
    return graph(nodes, (3, 4), weights, kind=TensorProto.DOUBLE)


SOUND = {"plain": plain, "residual": residual, "separable": separable, "series": series, "dense": dense}
"""Models that convert, from a random generator."""


RNG = np.random.default_rng(0)


def weights(*shape):
    """Others with each call, float32."""
    return RNG.normal(size=shape).astype(np.float32)


def same(module, model, count=3, tolerance=1e-5):
    """Scores of the module are those of the reference."""
    frames = frames_of(model, count)
    with torch.no_grad():
        found = module(torch.tensor(frames.astype(np.float32))).numpy()
    wanted = reference(model, frames)
    scale = np.abs(wanted).max()
    assert found.shape == wanted.shape and scale > 1e-3
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * scale)


R = ("Relu", [], {})
CONV = {"w": weights(4, 2, 3, 3)}
FLAT = [("Relu", [], {}), ("Flatten", [], {})]
POOL = {"kernel_shape": [2, 2], "strides": [2, 2]}


def conv(**attributes):
    """A convolution with ``attributes``, ReLU, Flatten."""
    return chain(("Conv", ["w"], attributes), *FLAT, shape=(2, 7, 8), weights=CONV)


def behind(*steps, opset=17, **more):
    """A convolution to (4, 6, 6), then ``steps``."""
    return chain(("Conv", ["w"], {}), *steps, shape=(2, 8, 8), weights={**CONV, **more}, opset=opset)


def vector(*steps, opset=17, **more):
    """A dense layer of 6, then ``steps``."""
    given = {"d": weights(8, 6), **more}
    return chain(("MatMul", ["d"], {}), *steps, shape=(8,), weights=given, opset=opset)
