"""From the nodes of an ONNX graph to the steps of a module: constants computed, every node checked, all problems collected."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from torch import nn

from toolchain.errors import InvalidValue, SpikeloomError, UnsupportedModule
from toolchain.onnx.builder import MAX_VALUES, Builder, Flow, Value
from toolchain.onnx.folding import BATCH, FOLDED, fold
from toolchain.onnx.layers import LAYERS, build, refusal
from toolchain.onnx.model import Model, Node, shown
from toolchain.onnx.network import OnnxNetwork, Step
from toolchain.parts import Frame, Unread

__all__ = ["MAX_FOLDED_BYTES", "assembled", "module_of", "translate"]

MAX_FOLDED_BYTES = 1 << 29
"""All computed constants together."""
_DOMAINS = ("", "ai.onnx")
_SAME_SHAPE = {
    "BatchNormalization", "Cast", "Celu", "Clip", "Dropout", "Elu", "Gelu", "HardSigmoid", "HardSwish", "InstanceNormalization", "LRN",
    "LeakyRelu", "LogSoftmax", "Mish", "PRelu", "Relu", "Selu", "Sigmoid", "Softmax", "Softplus", "Tanh",
}  # fmt: skip
"""Operators behind which it is known what flows even where they are refused, so that what follows is looked at too."""


def _check_schema(node: Node, opset: int) -> None:
    """Refuse a node that its operator's definition in this opset does not allow."""
    from onnx import defs

    try:
        schema = defs.get_schema(node.op, opset)
    except defs.SchemaError as error:
        raise UnsupportedModule(f"{node} is no standard operator of opset {opset}; export it as one") from error
    least, most, given = schema.min_input, schema.max_input, len(node.inputs)
    if not least <= given <= most or "" in node.inputs[:least]:
        raise InvalidValue(
            f"{node} has {given} inputs, must have {least} to {min(most, 1000)}, none of the first {least} left out"
        )
    for name, attribute in schema.attributes.items():
        if attribute.required and name not in node.attributes:
            raise InvalidValue(f"{node} has no attribute {shown(name)}, which it must have; export the model again")
    for name, value in node.attributes.items():
        if name not in schema.attributes:
            raise UnsupportedModule(
                f"{node} has an attribute {shown(name)}, which opset {opset} does not know; export it anew"
            )
        wanted = schema.attributes[name].type.name
        if not _IS[wanted](value):
            raise InvalidValue(f"{node}: attribute {shown(name)} must be of type {wanted}")


def _tuple_of(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, tuple) and all(isinstance(one, kind) for one in value)


_IS: dict[str, Callable[[Any], bool]] = {
    "FLOAT": lambda value: isinstance(value, float),
    "INT": lambda value: isinstance(value, int),
    "STRING": lambda value: isinstance(value, str),
    "TENSOR": lambda value: isinstance(value, np.ndarray),
    "FLOATS": _tuple_of(float),
    "INTS": _tuple_of(int),
    "STRINGS": _tuple_of(str),
    **dict.fromkeys(
        ("GRAPH", "GRAPHS", "SPARSE_TENSOR", "TYPE_PROTO", "SPARSE_TENSORS", "TENSORS", "TYPE_PROTOS"),
        lambda value: False,
    ),
}


def _shape_of(node: Node, value: Value) -> np.ndarray:
    """``Shape``, with the batch as ``BATCH`` where it reads a flow."""
    sizes = list(value.shape) if isinstance(value, np.ndarray) else [BATCH, *(value.shape if value else ())]
    part = sizes[node.attributes.get("start", 0) : node.attributes.get("end", len(sizes))]
    found = np.empty(len(part), object)
    found[:] = part
    return found if any(one is BATCH for one in part) else found.astype(np.int64)


def _check_known(node: Node) -> None:
    """Refuse an operator that is never read, whatever its inputs."""
    if node.domain not in _DOMAINS:
        raise UnsupportedModule(
            f"{node} is an operator of the domain {shown(node.domain)}; export with standard operators, functions inlined "
            "(onnx.inliner)"
        )
    if node.op not in LAYERS and node.op not in FOLDED and node.op != "Shape":
        raise refusal(node)


def _check_outputs(node: Node, readers: Counter[str]) -> None:
    for name in node.outputs[1:]:
        if name and readers[name]:
            raise UnsupportedModule(
                f"{node}: its output {shown(name)} is read, only the first one of a node can be; export the network for inference"
            )


def _read(builder: Builder, node: Node, budget: list[int]) -> Value:
    """What one node makes, all of whose inputs are known."""
    values = [builder.values[name] if name else None for name in node.inputs]
    if node.op == "Shape":
        return _shape_of(node, values[0])
    if any(isinstance(value, Flow) for value in values):
        return build(builder, node, values)
    arrays = [value if isinstance(value, np.ndarray) else None for value in values]
    if budget[0] >= 0:
        result = fold(node, arrays)
        if not any(array is not None and np.may_share_memory(result, array) for array in arrays):
            budget[0] -= result.nbytes
    if budget[0] < 0:
        raise UnsupportedModule(
            f"{node} brings computed constants to more than {MAX_FOLDED_BYTES >> 20} MiB, the limit; simplify the model, as onnxsim does"
        )
    return result


def _in_place_of(builder: Builder, node: Node, flow: Flow) -> Flow:
    """What goes on behind a refused node that leaves shapes alone."""
    if node.op == "BatchNormalization":
        return replace(flow, waits=True)
    return Flow(builder.add(node.name, Unread(node.op), flow.step), flow.shape)


def translate(model: Model) -> Builder:
    """Read every node of a model; those that cannot be read stand in ``problems``, in order, each with its name.

    Nodes behind such a one are checked only as far as that does not depend on what it gives.
    """
    readers = Counter([*(name for node in model.nodes for name in node.inputs), model.output])
    builder = Builder(model.opset, model.batch, readers, problems=list(model.problems))
    builder.values.update(model.constants)
    if prod(model.shape) > MAX_VALUES:
        builder.problems.append(
            InvalidValue(f"input {shown(model.input)} has shape {model.shape}, must be {MAX_VALUES:,} values at most")
        )
        return builder
    builder.values[model.input] = Flow(builder.add("frame", Frame(model.shape)), model.shape)
    builder.belongs(None)
    budget = [MAX_FOLDED_BYTES]
    for node in model.nodes:
        try:
            _check_outputs(node, readers)
            _check_known(node)
            _check_schema(node, model.opset)
            if all(name in builder.values for name in node.inputs if name):
                builder.values[node.outputs[0]] = _read(builder, node, budget)
        except SpikeloomError as error:
            error.__cause__ = None  # tracebacks would keep the arrays that were at hand
            builder.problems.append(error.with_traceback(None))
            flow = builder.values.get(node.inputs[0]) if node.inputs else None
            if node.op in _SAME_SHAPE and isinstance(flow, Flow):
                builder.values[node.outputs[0]] = _in_place_of(builder, node, flow)
        builder.belongs(node)
    if isinstance(builder.values.get(model.output), np.ndarray):
        builder.problems.append(
            InvalidValue(f"the scores {shown(model.output)} do not depend on the frames; export the model again")
        )
    builder.belongs(None)
    return builder


def module_of(model: Model) -> OnnxNetwork:
    """The module of a model.

    Raises
    ------
    SpikeloomError
        The first problem that keeps it from being built.
    """
    builder = translate(model)
    for problem in builder.problems:
        raise problem
    return assembled(builder, model)


def assembled(builder: Builder, model: Model) -> OnnxNetwork:
    """The steps that the scores of a translated model, which must be known, depend on; an ``Unread`` node is one of them."""
    result = builder.values[model.output]
    assert isinstance(result, Flow)
    needed, waiting = set(), [result.step]
    while waiting:
        place = waiting.pop()
        if place not in needed:
            needed.add(place)
            waiting += builder.steps[place].sources
    order = sorted(needed)  # what only shapes were taken of is left out
    place_of = {old: new for new, old in enumerate(order)}
    steps = [
        Step(step.name, step.module, tuple(place_of[source] for source in step.sources))
        for step in (builder.steps[old] for old in order)
    ]
    frame = steps[0].module
    behind = [step.module for step in steps if 0 in step.sources]
    if isinstance(frame, Frame) and all(isinstance(module, nn.Flatten) and module.start_dim == 1 for module in behind):
        frame.flattened = True
    return OnnxNetwork(steps)
