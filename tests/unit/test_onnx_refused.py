"""ONNX models that are refused: everything that does not convert, or is no sound file, is one line that names the node."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from tests.onnx_models import CONV, POOL, SOUND, R, behind, chain, conv, graph, node, same, vector, weights
from tests.onnx_mutations import BOMBS, bomb
from toolchain.convert import convert
from toolchain.errors import InvalidValue, NetworkFileError, SpikeloomError, UnsupportedModule
from toolchain.onnx import problems, read_onnx
from toolchain.onnx.wire import check_wire

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
