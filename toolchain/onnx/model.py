"""An ONNX file as plain nodes and arrays, checked for what any reader may rely on: names, order, one input, one output."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from toolchain.errors import InvalidValue, NetworkFileError, SpikeloomError, ToolMissing, UnsupportedModule
from toolchain.onnx.tensors import FLOATS, NUMBERS, Tensors
from toolchain.onnx.wire import check_wire

__all__ = ["LEAST_OPSET", "MAX_FILE_BYTES", "MAX_NODES", "MOST_OPSET", "Model", "Node", "load_model", "shown"]

LEAST_OPSET, MOST_OPSET = 7, 28
"""Operator sets that are read; 7 brought broadcasting."""
MAX_FILE_BYTES = 1 << 30
MAX_NODES = 20_000
_DOMAINS = ("", "ai.onnx")
_FLOAT, _INT, _STRING, _TENSOR, _FLOATS, _INTS, _STRINGS = 1, 2, 3, 4, 6, 7, 8
"""``AttributeProto.type``."""


def shown(name: str) -> str:
    """A name out of a file for one line of a message: quoted, control characters escaped, no longer than 80 characters."""
    return repr(name if len(name) <= 80 else f"{name[:77]}...")


@dataclass(frozen=True, eq=False)
class Node:
    """One operator: where its values come from and go to. ``name`` is the file's, or its kind and place where it has none."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    domain: str = ""

    def __str__(self) -> str:
        return f"{shown(self.op)[1:-1]} {shown(self.name)}"


@dataclass(frozen=True, eq=False)
class Model:
    """What one file says.

    Members
    -------
    opset : int
        Version of the operators, ``LEAST_OPSET`` to ``MOST_OPSET``.
    nodes : Node
        Those that ``output`` depends on, in order.
    constants : arrays by name
    input, output : names of the frame and of the class scores
    shape : (C, H, W), (C, L) or (F,) of the frame
    batch : its fixed batch size, or ``None``
    broken : names of values that cannot be known, since their tensor or node cannot be read
    problems : why, an error for each
    """

    opset: int
    nodes: tuple[Node, ...]
    constants: dict[str, np.ndarray]
    input: str
    output: str
    shape: tuple[int, ...]
    batch: int | None
    broken: set[str] = field(default_factory=set)
    problems: list[SpikeloomError] = field(default_factory=list)


class _File:
    """Reads one file; every refusal begins with its path."""

    def __init__(self, path: Path):
        self.path = path
        self.tensors = Tensors(path)

    def damaged(self, why: str) -> NoReturn:
        raise NetworkFileError(f"{self.path} {why}; export the model again")

    def refuse(self, why: str) -> NoReturn:
        raise UnsupportedModule(f"{self.path} {why}")

    def parse(self) -> Any:
        """The parsed ``ModelProto``."""
        try:
            import onnx
            from google.protobuf.message import DecodeError
        except ImportError as error:
            raise ToolMissing(f"reading {self.path} needs the package onnx: pip install 'spikeloom[onnx]'") from error
        try:
            if not self.path.is_file():
                raise NetworkFileError(f"cannot read ONNX model {self.path}: no such file, or not a plain one")
            size = self.path.stat().st_size
            if size > MAX_FILE_BYTES:
                raise NetworkFileError(
                    f"{self.path} has {size >> 20} MiB, the limit is {MAX_FILE_BYTES >> 20} MiB; save the weights as external data"
                )
            raw = self.path.read_bytes()
        except OSError as error:
            raise NetworkFileError(f"cannot read ONNX model {self.path}: {error.strerror}") from error
        check_wire(raw, onnx.ModelProto.DESCRIPTOR, self.damaged)
        try:
            return onnx.ModelProto.FromString(raw)
        except DecodeError as error:
            raise NetworkFileError(f"{self.path} is no whole ONNX model; export the model again") from error

    def opset(self, model: Any) -> int:
        """The version of the standard operators."""
        from onnx.defs import onnx_opset_version

        versions = {one.version for one in model.opset_import if one.domain in _DOMAINS}
        if len(versions) != 1:
            self.damaged(f"names {len(versions)} versions of the standard operators, must name one")
        (version,) = versions
        most = min(MOST_OPSET, onnx_opset_version())
        if not LEAST_OPSET <= version <= most:
            self.refuse(
                f"has opset {version}, must be {LEAST_OPSET} to {most}; export with such an opset_version, or use "
                "onnx.version_converter"
            )
        return int(version)

    def attribute(self, proto: Any) -> Any:
        """The value of an attribute, ``None`` for a graph and the like; texts as bytes in the file become str."""
        kind = proto.type
        if proto.ref_attr_name or kind not in (_FLOAT, _INT, _STRING, _TENSOR, _FLOATS, _INTS, _STRINGS):
            return None
        if kind == _TENSOR:
            return self.tensors.array(proto.t, proto.t.name or proto.name)
        if kind == _STRING:
            return proto.s.decode(errors="replace")
        if kind == _STRINGS:
            return tuple(text.decode(errors="replace") for text in proto.strings)
        if kind in (_FLOATS, _INTS):
            return tuple(proto.floats if kind == _FLOATS else proto.ints)
        return proto.f if kind == _FLOAT else proto.i

    def node(self, proto: Any, number: int) -> Node:
        """One node with its attributes."""
        name = proto.name or f"{proto.op_type}_{number}"
        attributes: dict[str, Any] = {}
        node = Node(proto.op_type, name, tuple(proto.input), tuple(proto.output), attributes, proto.domain)
        for one in proto.attribute:
            if one.name in attributes:
                raise InvalidValue(f"{node} has attribute {shown(one.name)} twice; export the model again")
            try:
                attributes[one.name] = self.attribute(one)
            except SpikeloomError as error:
                raise type(error)(f"{node}: {error}") from error
        return node

    def frame(self, value: Any) -> tuple[tuple[int, ...], int | None]:
        """Shape without the batch, and the batch where it is fixed."""
        name, tensor = shown(value.name), value.type.tensor_type
        if value.type.WhichOneof("value") != "tensor_type" or not tensor.HasField("shape"):
            self.refuse(f"does not say the shape of its input {name}; export it with one")
        if tensor.elem_type not in FLOATS:
            label = NUMBERS.get(tensor.elem_type, (str(tensor.elem_type),))[0]
            self.refuse(f"takes its input {name} as {label}, must take float, float16, bfloat16 or double: pixel / 255")
        first, *sizes = tensor.shape.dim or [None]
        if not 1 <= len(sizes) <= 3:
            self.refuse(
                f"takes its input {name} with {len(tensor.shape.dim)} axes, must be [N, C, H, W], [N, C, L] or [N, F]"
            )
        for axis, size in enumerate(sizes, 1):
            if not size.HasField("dim_value") or size.dim_value < 1:
                told = size.dim_param or (size.dim_value if size.HasField("dim_value") else "?")
                self.refuse(
                    f"takes its input {name} with a free size {shown(str(told))} along axis {axis}, only the batch may be free; "
                    "export it for one frame size, or fix it with onnx.tools.update_model_dims"
                )
        batch = first.dim_value if first.HasField("dim_value") and first.dim_value > 0 else None
        return tuple(int(size.dim_value) for size in sizes), batch


def _reaching(nodes: list[Any], output: str) -> Iterator[int]:
    """Places of the nodes that ``output`` depends on, last first; nodes must be in order."""
    needed = {output}
    for place in range(len(nodes) - 1, -1, -1):
        if needed & set(nodes[place].output) - {""}:
            needed |= set(nodes[place].input)
            yield place


def _label(proto: Any, number: int) -> str:
    return str(Node(proto.op_type, proto.name or f"{proto.op_type}_{number}", (), (), {}))


def _check_names(file: _File, protos: list[Any], known: set[str]) -> None:
    """Every name made once, and before it is read."""
    makers = {name: place for place, proto in enumerate(protos) for name in proto.output}
    for place, proto in enumerate(protos):
        for name in proto.input:
            if name and name not in known:
                told = f"{_label(proto, place)} reads {shown(name)}, which"
                if name not in makers:
                    file.damaged(f": {told} nothing makes")
                file.damaged(
                    f": {told} {_label(protos[makers[name]], makers[name])} makes only later: a cycle, or nodes out of order"
                )
        for name in proto.output:
            if name in known:
                file.damaged(f": {_label(proto, place)} makes {shown(name)}, which is there already")
            known |= {name} - {""}


def load_model(path: Path) -> Model:
    """Read one ONNX file, data only: nothing in it is run, and external data are read from its own folder only.

    Raises
    ------
    NetworkFileError
        The file cannot be read, is damaged, too large, or its graph is not one.
    UnsupportedModule
        Opset, number or shape of inputs and outputs.
    ToolMissing
        The package ``onnx`` is not installed.
    """
    file = _File(path)
    model = file.parse()
    opset, graph = file.opset(model), model.graph
    if len(graph.node) > MAX_NODES:
        file.refuse(f"has {len(graph.node)} nodes, the limit is {MAX_NODES}")
    if graph.sparse_initializer:
        file.refuse("has sparse weights; save them as dense ones")
    names = {tensor.name for tensor in graph.initializer}
    if len(names) < len(graph.initializer):
        ((twice, times),) = Counter(tensor.name for tensor in graph.initializer).most_common(1)
        file.damaged(f"has {times} tensors named {shown(twice)}")
    inputs = [value for value in graph.input if value.name not in names]
    for kind, values, way_out in (
        ("takes", inputs, "one frame; make the others constants"),
        ("gives", graph.output, "the class scores; cut the others off with onnx.utils.extract_model"),
    ):
        if len(values) != 1:
            told = ", ".join(shown(value.name) for value in values[:4])
            file.refuse(f"{kind} {len(values)} values ({told}), must be one, {way_out}")
    shape, batch = file.frame(inputs[0])
    protos, output = list(graph.node), graph.output[0].name
    _check_names(file, protos, {*names, inputs[0].name})
    made = {name for proto in protos for name in proto.output} | {inputs[0].name, *names}
    if not output or output not in made:
        file.damaged(f"gives {shown(output)}, which nothing makes")
    nodes: list[Node] = []
    constants: dict[str, np.ndarray] = {}
    broken: set[str] = set()
    problems: list[SpikeloomError] = []
    read = {output}
    for place in reversed(list(_reaching(protos, output))):
        read.update(protos[place].input)
        try:
            nodes.append(file.node(protos[place], place))
        except SpikeloomError as error:
            problems.append(error)
            broken.update(protos[place].output)
    for tensor in graph.initializer:
        if tensor.name in read:
            try:
                constants[tensor.name] = file.tensors.array(tensor, tensor.name)
            except SpikeloomError as error:
                problems.append(error)
                broken.add(tensor.name)
    return Model(opset, tuple(nodes), constants, inputs[0].name, output, shape, batch, broken, problems)
