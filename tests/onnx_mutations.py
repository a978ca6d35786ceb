"""Spoilt ONNX models by seed, and what must become of them: a network that computes what the model says, or one clear line."""

import contextlib
import io
import warnings
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import torch
from onnx import AttributeProto, TensorProto, helper

from tests.onnx_models import SOUND, chain, frames_of, reference
from toolchain import cli
from toolchain.convert import convert
from toolchain.errors import SpikeloomError
from toolchain.onnx import problems, read_onnx
from toolchain.onnx.layers import LAYERS
from toolchain.quantize import quantize

__all__ = ["bomb", "outcome_of_file", "outcome_of_graph", "spoilt_file", "spoilt_model"]

OPS = [
    *LAYERS,
    "If",
    "Loop",
    "Scan",
    "Softmax",
    "Sigmoid",
    "Concat",
    "LSTM",
    "QLinearConv",
    "ConvTranspose",
    "Expand",
    "",
    "Nothing",
]
NUMBERS = [0, 1, -1, 2, 3, 7, 255, 2**20, 2**31 - 1, 2**31, 2**40, 2**63 - 1, -(2**63)]
FLOATS = [0.0, -0.0, 0.5, -1.0, 2.0, 1e-38, 1e38, float("inf"), float("-inf"), float("nan")]


@cache
def _sound() -> list[bytes]:
    """Models that convert; weights of whole sixteenths, so that both sides round little."""
    return [SOUND[name](np.random.default_rng(place)).SerializeToString() for place, name in enumerate(SOUND)]


@cache
def _sound_images() -> list[bytes]:
    """Models of 28 × 28 images, for the command line."""
    rng = np.random.default_rng(3)
    weights = {"w": rng.normal(size=(3, 1, 5, 5)).astype(np.float32), "f": rng.normal(size=(27, 10)).astype(np.float32)}
    models = [
        chain(
            ("Conv", ["w"], {"strides": [4, 4]}),
            ("Relu", [], {}),
            ("AveragePool", [], {"kernel_shape": [2, 2], "strides": [2, 2]}),
            ("Flatten", [], {}),
            ("MatMul", ["f"], {}),
            shape=(1, 28, 28),
            weights=weights,
            opset=opset,
        )
        for opset in (9, 20)
    ]
    return [model.SerializeToString() for model in models]


def _pick(rng: np.random.Generator, values):
    return values[int(rng.integers(len(values)))]


def _names(g) -> list[str]:
    return ["", "x", "y", "ghost", *(t.name for t in g.initializer), *(name for n in g.node for name in n.output)]


def _spoil_node(rng: np.random.Generator, g) -> None:
    place = int(rng.integers(len(g.node)))
    n, choice = g.node[place], int(rng.integers(12))
    if choice == 0:
        del g.node[place]
    elif choice == 1:
        g.node.insert(int(rng.integers(len(g.node) + 1)), n)
    elif choice == 2:
        n.op_type = _pick(rng, OPS)
    elif choice == 3 and n.input:
        n.input[int(rng.integers(len(n.input)))] = _pick(rng, _names(g))
    elif choice == 4 and n.output:
        n.output[0] = _pick(rng, _names(g))
    elif choice == 5:
        n.input.append(_pick(rng, _names(g)))
    elif choice == 6:
        n.domain = _pick(rng, ["com.microsoft", "ai.onnx", "x" * 300, "\n"])
    elif choice == 7:
        n.name = _pick(
            rng,
            [
                "",
                "a.b",
                '"]); raise SystemExit("',
                "forward",
                "training",
                "graph",
                "class",
                "_plan",
                "ä\n\x07",
                "x" * 5000,
                "frame",
            ],
        )
    elif choice == 8:  # an operator between, that may change nothing
        value = f"{n.output[0]}_before"
        op = _pick(rng, OPS)
        g.node.insert(
            place + 1,
            helper.make_node(op, [value, *([_pick(rng, _names(g))] if rng.random() < 0.4 else [])], [n.output[0]]),
        )
        g.node[place].output[0] = value
    elif choice == 9 and n.input:
        del n.input[-1]
    elif choice == 10:
        g.node.extend(
            [helper.make_node("Add", [n.output[0] if n.output else "x", _pick(rng, _names(g))], [f"more{place}"])]
        )
        g.output[0].name = f"more{place}"
    else:
        n.output.append(_pick(rng, _names(g)))


def _spoil_attribute(rng: np.random.Generator, g) -> None:
    n = _pick(rng, g.node)
    choice = int(rng.integers(8))
    if choice < 5 and n.attribute:
        a = _pick(rng, n.attribute)
        if choice == 0:
            n.attribute.remove(a)
        elif choice == 1:
            a.type = int(rng.integers(0, 15))
        elif choice == 2:
            a.i, a.f = _pick(rng, NUMBERS), _pick(rng, FLOATS)
            a.s = _pick(rng, [b"", b"SAME_LOWER", b"VALID", b"constant", b"\xff\xfe", b"reflect"])
        elif choice == 3 and a.ints:
            a.ints[int(rng.integers(len(a.ints)))] = _pick(rng, NUMBERS[:7] if rng.random() < 0.7 else NUMBERS)
        elif choice == 4:
            del a.ints[:1]
    elif choice == 5 and n.attribute:
        n.attribute.append(_pick(rng, n.attribute))
    elif choice == 6:
        inner = g.SerializeToString()
        a = n.attribute.add(name=_pick(rng, ["body", "then_branch", "x"]), type=AttributeProto.GRAPH)
        a.g.MergeFromString(inner)
    else:
        known = [
            "group",
            "pads",
            "strides",
            "dilations",
            "auto_pad",
            "ceil_mode",
            "axis",
            "axes",
            "keepdims",
            "alpha",
            "beta",
            "transA",
        ]
        value = _pick(rng, [0, 1, 2, -1, 0.5, "SAME_UPPER", [1, 1], [0, 1, 1, 0], [2, 2], [2], [2, 3], [2**40, 1]])
        n.attribute.append(helper.make_attribute(_pick(rng, known), value))


def _spoil_tensor(rng: np.random.Generator, g) -> None:
    t = _pick(rng, g.initializer)
    choice = int(rng.integers(12))
    if choice == 0 and t.dims:
        t.dims[int(rng.integers(len(t.dims)))] = _pick(rng, NUMBERS)
    elif choice == 1:
        t.dims.append(_pick(rng, NUMBERS))
    elif choice == 2:
        t.data_type = int(rng.integers(0, 26))
    elif choice == 3:
        t.raw_data = t.raw_data[: int(rng.integers(len(t.raw_data) + 1))]
    elif choice == 4:
        t.float_data.extend([1.0] * int(rng.integers(1, 4)))
    elif choice == 5:
        t.data_location = TensorProto.EXTERNAL
        if rng.random() < 0.8:
            t.ClearField("raw_data")
            t.external_data.add(
                key="location",
                value=_pick(rng, ["/etc/passwd", "../x", "x.onnx", "", ".", "a\0b", "C:\\x", "/dev/zero"]),
            )
            t.external_data.add(key="offset", value=str(_pick(rng, ["0", "-1", "9" * 30, "x", "1"])))
            t.external_data.add(key="length", value=str(_pick(rng, ["0", "16", "9" * 18, "", str(len(t.raw_data))])))
    elif choice == 6:
        t.name = _pick(rng, _names(g))
    elif choice == 7:
        g.initializer.append(_pick(rng, g.initializer))
    elif choice == 8 and t.raw_data:
        raw = bytearray(t.raw_data)
        raw[int(rng.integers(len(raw)))] ^= 1 << int(rng.integers(8))
        t.raw_data = bytes(raw)
    elif choice == 9 and t.dims:
        del t.dims[0]
    elif choice == 10:
        t.segment.begin = 1
    elif len(t.dims) > 1:
        t.dims[0], t.dims[1] = t.dims[1], t.dims[0]


def _spoil_frame(rng: np.random.Generator, m) -> None:
    g, choice = m.graph, int(rng.integers(9))
    dims = g.input[0].type.tensor_type.shape.dim if g.input else []
    if choice == 0 and dims:
        _pick(rng, dims).dim_value = _pick(rng, NUMBERS)
    elif choice == 1 and dims:
        _pick(rng, dims).dim_param = "n"
    elif choice == 2 and g.input:
        g.input[0].type.tensor_type.elem_type = int(rng.integers(0, 25))
    elif choice == 3 and g.input:
        g.input.append(g.input[0])
    elif choice == 4 and g.output:
        (g.output if rng.random() < 0.5 else g.input)[0].name = _pick(rng, _names(g))
    elif choice == 5:
        m.opset_import[0].version = _pick(rng, [*range(5, 30), *NUMBERS])
    elif choice == 6:
        m.ClearField(_pick(rng, ["graph", "opset_import", "ir_version"]))
    elif choice == 7 and g.input:
        g.input[0].type.tensor_type.ClearField("shape") if rng.random() < 0.5 else dims.add(
            dim_value=_pick(rng, NUMBERS)
        )
    else:
        m.functions.add(name="Relu", domain="", output=["y"])


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def bomb(kind: str) -> bytes:
    """A small file that asks for much memory, time or recursion."""
    if kind == "nested":  # graphs in attributes of nodes, in graphs
        raw = b""
        for _ in range(3000):
            raw = _field(1, _field(5, _field(6, raw)))
        return _field(7, raw)
    if kind == "fields":
        return _field(7, _field(1, b"") * 3_000_000)
    if kind == "constants":
        many = [("ConstantOfShape", 0)] * 60
        m = chain(
            ("Flatten", [], {}),
            ("MatMul", ["w"], {}),
            shape=(4,),
            weights={"w": np.ones((4, 5), np.float32), "s": np.array([2**12, 2**12])},
        )
        for place, _ in enumerate(many):
            m.graph.node.insert(0, helper.make_node("ConstantOfShape", ["s"], [f"c{place}"]))
            m.graph.node.append(helper.make_node("Add", [m.graph.output[0].name, f"c{place}"], [f"z{place}"]))
            m.graph.output[0].name = f"z{place}"
        return m.SerializeToString()
    if kind == "doubling":  # constants twice as long each time
        m = chain(("Flatten", [], {}), ("MatMul", ["c60"], {}), shape=(4,), weights={"c0": np.ones((4, 4), np.float32)})
        for place in range(60, 0, -1):
            m.graph.node.insert(0, helper.make_node("Concat", [f"c{place - 1}"] * 2, [f"c{place}"], axis=0))
        return m.SerializeToString()
    if kind == "additions":  # a sum added to itself
        m = chain(
            ("Flatten", [], {}), ("MatMul", ["w"], {}), ("Relu", [], {}), *[("Add", ["again"], {})] * 60, ("Relu", [], {}), ("MatMul", ["w"], {}),
            shape=(4,), weights={"w": np.ones((4, 4), np.float32)},
        )  # fmt: skip
        for n in m.graph.node:
            if n.op_type == "Add":
                n.input[1] = n.input[0]
        return m.SerializeToString()
    if kind == "broadcast":
        column, row = np.ones((2**13, 1), np.float32), np.ones((1, 2**13), np.float32)
        m = chain(("Flatten", [], {}), ("MatMul", ["w"], {}), shape=(4,), weights={"a": column, "b": row})
        m.graph.node.insert(0, helper.make_node("Mul", ["a", "b"], ["w"]))
        return m.SerializeToString()
    if kind == "pads":
        w = np.ones((1, 1, 1, 1), np.float32)
        return chain(
            ("Conv", ["w"], {"pads": [2**19] * 4}), ("Relu", [], {}), ("Flatten", [], {}), weights={"w": w}
        ).SerializeToString()
    assert kind == "frame"
    w = np.ones((2**20, 1), np.float32)
    return chain(
        ("Flatten", [], {}), ("MatMul", ["w"], {}), shape=(2**30, 2**30, 2**30), weights={"w": w}
    ).SerializeToString()


BOMBS = ("nested", "fields", "constants", "doubling", "additions", "broadcast", "pads", "frame")


def spoilt_model(seed: int) -> bytes:
    """A model with one to four things spoilt; one in 500 asks for much instead."""
    rng = np.random.default_rng([seed, 4])
    if rng.random() < 0.002:
        return bomb(_pick(rng, BOMBS))
    m = onnx.ModelProto.FromString(_pick(rng, _sound()))
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        kind = rng.random()
        if kind > 0.85 or not m.graph.node or not m.graph.initializer:
            _spoil_frame(rng, m)
        else:
            (_spoil_node if kind < 0.35 else _spoil_attribute if kind < 0.6 else _spoil_tensor)(rng, m.graph)
    return m.SerializeToString()


def _plausible(raw: bytes) -> bool:
    """Whether the reference can run it: finite weights, nothing huge."""
    model = onnx.ModelProto.FromString(raw)
    tensors = model.graph.initializer
    if 9 <= model.opset_import[0].version < 14 and any(n.op_type == "BatchNormalization" for n in model.graph.node):
        return False  # there the reference normalizes by the batch
    try:
        values = [onnx.numpy_helper.to_array(t).astype(np.float64) for t in tensors]
    except Exception:  # a tensor that nothing reads may be spoilt
        return False
    return all(v.size < 10_000 and np.isfinite(v).all() and np.abs(v).max(initial=0) < 1e3 for v in values)


def _same_as_reference(raw: bytes, module: torch.nn.Module) -> None:
    """What the module computes equals what the reference does, where that runs."""
    model = onnx.ModelProto.FromString(raw)
    frames = frames_of(model, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wanted = reference(model, frames)
        except Exception:  # it refuses, or has no such operator: whatever it raises, there is nothing to compare with
            return
    found = module(torch.tensor(frames.astype(np.float32))).detach().numpy()
    half = frames.dtype == np.float16
    scale = float(np.abs(wanted.astype(np.float64)).max(initial=0)) + 1e-3
    if np.isfinite(scale):
        np.testing.assert_allclose(found, wanted.reshape(found.shape), rtol=0, atol=(0.05 if half else 1e-3) * scale)


def outcome_of_graph(seed: int, folder: Path) -> str:
    """Read and convert a spoilt model: ``network``, or the name of the error that it must be. Anything else is raised."""
    path, raw = folder / "x.onnx", spoilt_model(seed)
    path.write_bytes(raw)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        listed = problems(path)
    try:
        module = read_onnx(path)
    except SpikeloomError as error:
        text = str(error)
        assert text and len(text) < 1000 and text in listed, text[:2000]
        return type(error).__name__
    assert all("MaxPool" in line for line in listed), listed
    if _plausible(raw):
        _same_as_reference(raw, module)
    frames = frames_of(onnx.ModelProto.FromString(raw), 8, seed).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # a user would see it
        try:
            network = quantize(convert(module, np.round(frames * 255) / 255, "optimal", 4), 8)
        except SpikeloomError as error:
            text = str(error)
            assert text and len(text) < 1000, text[:2000]
            return type(error).__name__
    assert network.shapes and network.fingerprint
    return "network"


def spoilt_file(seed: int) -> bytes:
    """A file with some bytes changed, or cut off, or doubled."""
    rng = np.random.default_rng([seed, 5])
    raw = bytearray(_pick(rng, _sound_images()))
    for _ in range(int(rng.choice([1, 1, 2, 4, 16, 256]))):
        # the end of the file is where the graph's structure is, not its weights
        place = int(rng.integers(len(raw))) if rng.random() < 0.5 else int(rng.choice([*range(250), *range(-120, 0)]))
        raw[place] = int(rng.choice([0, 255, int(rng.integers(256))]))
    if rng.random() < 0.1:
        raw = raw[: int(rng.integers(len(raw)))]
    elif rng.random() < 0.1:
        place, length = int(rng.integers(len(raw))), int(rng.integers(1, 400))
        raw[place : place + length] = raw[int(rng.integers(len(raw))) :][:length]
    return bytes(raw)


def outcome_of_file(seed: int, folder: Path) -> str:
    """Convert a spoilt file, every tenth by ``spikeloom convert``: ``network``, or, with one line of error, ``refused``."""
    path, target = folder / "x.onnx", folder / "x.safetensors"
    path.write_bytes(spoilt_file(seed))
    target.unlink(missing_ok=True)
    if seed % 10:
        try:
            convert(
                read_onnx(path), np.random.default_rng(seed).random((4, 1, 28, 28)).astype(np.float32), "optimal", 4
            )
        except SpikeloomError as error:
            assert 0 < len(str(error)) < 1000, str(error)[:2000]
            return "refused"
        return "network"
    with (
        contextlib.redirect_stderr(io.StringIO()) as told,
        contextlib.redirect_stdout(io.StringIO()),
        mock.patch("toolchain.cli.networks.COMPARED_IMAGES", 4),
    ):
        code = cli.run(["convert", str(path), "-m", "optimal", "--images", "4", "-o", str(target)])
    lines = told.getvalue().splitlines()
    assert code in (0, 2) and (code == 0) == target.exists()
    assert len(lines) == (code == 2) and all(line.startswith("error: ") for line in lines), lines
    return "network" if code == 0 else "refused"
