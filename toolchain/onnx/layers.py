"""Every operator of ONNX that becomes a layer, by name; the activations; and what is told about all others."""

from collections.abc import Callable, Sequence
from math import inf

import numpy as np
from torch import nn

from toolchain.errors import InvalidValue, UnsupportedModule
from toolchain.onnx import places, synapses
from toolchain.onnx.builder import Builder, Flow, Value
from toolchain.onnx.model import Node
from toolchain.onnx.tensors import FLOATS

__all__ = ["LAYERS", "build", "refusal"]


def _activation(builder: Builder, node: Node, flow: Flow, module: nn.Module) -> Flow:
    if not flow.waits:
        raise UnsupportedModule(
            f"{node} does not stand right behind a Conv, Gemm, MatMul, BatchNormalization or addition; put pooling behind the "
            "activation and have one activation for each layer"
        )
    return builder.flow(node, module, flow.shape, flow)


def _rectified(builder: Builder, node: Node, flow: Flow) -> bool:
    """Whether the flow comes right from a ReLU that nothing else reads."""
    return type(builder.steps[flow.step].module) is nn.ReLU and builder.readers[node.inputs[0]] == 1


def _relu(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    flow = places.flow_of(node, values[0])
    if isinstance(builder.steps[flow.step].module, nn.ReLU):
        return flow
    return _activation(builder, node, flow, nn.ReLU())


def _clipped(builder: Builder, node: Node, flow: Flow, low: float, high: float) -> Flow:
    """A clip from ``low`` to ``high``, infinite where there is no limit."""
    if low <= 0 < high and _rectified(builder, node, flow):
        if high < inf:
            builder.replace(flow, nn.Hardtanh(0.0, high))
        return flow
    if low == 0 and high == inf:
        return _activation(builder, node, flow, nn.ReLU())
    if not (0 < high < inf and low in (0, -high)):
        raise UnsupportedModule(f"{node} clips from {low:g} to {high:g}; clip from 0, or symmetrically")
    return _activation(builder, node, flow, nn.Hardtanh(low, high))


def _limit(node: Node, values: Sequence[Value], what: str, place: int, usual: float) -> float:
    """A limit that was an attribute in early opsets and is an input in later ones."""
    if what in node.attributes:
        return float(node.attributes[what])
    if place >= len(values) or values[place] is None:
        return usual
    return _number(node, what, values, place)


def _number(node: Node, what: str, values: Sequence[Value], place: int) -> float:
    given = places.constant(node, what, values, place)
    if given.size != 1:
        raise UnsupportedModule(f"{node}: its {what} has shape {given.shape}, must be one number")
    return float(given.reshape(-1)[0])


def _clip(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    flow = places.flow_of(node, values[0])
    largest = float(np.finfo(np.float32).max)  # what exporters write for no limit, and early opsets have by default
    low, high = _limit(node, values, "min", 1, -inf), _limit(node, values, "max", 2, inf)
    return _clipped(builder, node, flow, -inf if low <= -largest else low, inf if high >= largest else high)


def _extreme(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    """``Max`` and ``Min`` of a flow and a number."""
    if len(values) != 2 or all(isinstance(value, Flow) for value in values):
        raise UnsupportedModule(f"{node} compares {len(values)} values; of a flow and one number it is a clip")
    place = 0 if isinstance(values[1], Flow) else 1
    flow, limit = places.flow_of(node, values[1 - place]), _number(node, "limit", values, place)
    if place == 0:
        node = Node(node.op, node.name, node.inputs[::-1], node.outputs, node.attributes)
    low, high = (limit, inf) if node.op == "Max" else (-inf, limit)
    return _clipped(builder, node, flow, low, high)


def _leaky(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    """``LeakyRelu``, and ``PRelu`` of one slope."""
    flow = places.flow_of(node, values[0])
    slope = float(node.attributes.get("alpha", 0.01))
    if node.op == "PRelu":
        slopes = np.unique(places.constant(node, "slope", values, 1))
        if slopes.size != 1:
            raise UnsupportedModule(f"{node} has {slopes.size} slopes, one converts; train it with LeakyRelu or Relu")
        slope = float(slopes[0])
    if not 0 < slope <= 1:
        raise UnsupportedModule(
            f"{node}: its slope is {slope:g}, must be above 0 and at most 1; train it with such a slope or Relu"
        )
    return _activation(builder, node, flow, nn.LeakyReLU(slope))


def _same(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    return places.flow_of(node, values[0])


def _dropout(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    training = values[2] if len(values) > 2 else None
    if isinstance(training, Flow) or (training is not None and np.any(training)):
        raise UnsupportedModule(f"{node} is in training mode; export the network in evaluation mode")
    return places.flow_of(node, values[0])


def _cast(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    to = node.attributes.get("to")
    if to not in FLOATS:
        raise UnsupportedModule(f"{node} makes data type {to} of the network's values; only floating point converts")
    return places.flow_of(node, values[0])


def _transpose(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    flow = places.flow_of(node, values[0])
    order = tuple(node.attributes.get("perm", tuple(range(len(flow.shape) + 1))[::-1]))
    if sorted(order) != list(range(len(flow.shape) + 1)):
        raise InvalidValue(f"{node}: perm {order} of {len(flow.shape) + 1} axes")
    moved = [axis for axis in order if axis == 0 or flow.shape[axis - 1] > 1]
    if order[0] == 0 and moved == sorted(moved) and [flow.shape[axis - 1] for axis in order[1:]] == list(flow.shape):
        return flow
    raise UnsupportedModule(
        f"{node} moves axes to {order}; export with channels first, [N, C, H, W] (tf2onnx: --inputs-as-nchw), and flatten that order"
    )


LAYERS: dict[str, Callable[[Builder, Node, Sequence[Value]], Flow]] = {
    "Add": synapses.add,
    "AveragePool": places.average_pool,
    "BatchNormalization": synapses.batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Conv": synapses.convolution,
    "Div": synapses.divide,
    "Dropout": _dropout,
    "Flatten": places.flatten,
    "Gemm": synapses.gemm,
    "GlobalAveragePool": places.global_average_pool,
    "Identity": _same,
    "LeakyRelu": _leaky,
    "MatMul": synapses.matmul,
    "Max": _extreme,
    "MaxPool": places.max_pool,
    "Min": _extreme,
    "Mul": synapses.multiply,
    "PRelu": _leaky,
    "Pad": places.pad,
    "ReduceMean": places.mean,
    "Relu": _relu,
    "Reshape": places.reshape,
    "Slice": places.subsample,
    "Squeeze": places.squeeze,
    "Sub": synapses.subtract,
    "Sum": synapses.summed,
    "Transpose": _transpose,
    "Unsqueeze": places.unsqueeze,
}
"""Operators on what flows from the frame."""

_SCORES = "leave it out (onnx.utils.extract_model cuts before it): the arg-max of the scores is the same"
_AVERAGE = "a maximum of spikes is not a maximum of rates: use average pooling and fine-tune"
_FLOAT = "export the float network; spikeloom quantize makes the integers"
_UNROLLED = "export a graph without control flow, of fixed sizes"
_RECURRENT = "dense layers with a state are in toolchain.recurrent, from Python"
_SMOOTH = "train with Relu, LeakyRelu or Clip from 0"
_WAYS_OUT = {
    "ArgMax": _SCORES,
    "Concat": "branches are joined by adding them: use channels of one layer instead of a concatenation",
    "ConvTranspose": "use Conv",
    "GRU": _RECURRENT,
    "GlobalMaxPool": _AVERAGE,
    "GroupNormalization": "train with batch norm",
    "If": _UNROLLED,
    "InstanceNormalization": "train with batch norm",
    "LRN": "train with batch norm",
    "LSTM": _RECURRENT,
    "LayerNormalization": "train with batch norm",
    "LogSoftmax": _SCORES,
    "Loop": _UNROLLED,
    "RNN": _RECURRENT,
    "Scan": _UNROLLED,
    "Softmax": _SCORES,
    "Split": "give each branch a layer of its own",
    **dict.fromkeys(
        ("Celu", "Elu", "Gelu", "HardSigmoid", "HardSwish", "Mish", "Selu", "Sigmoid", "Softplus", "Swish", "Tanh"),
        _SMOOTH,
    ),
    **dict.fromkeys(
        ("ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QuantizeLinear"), _FLOAT
    ),
    **dict.fromkeys(("QLinearConv", "QLinearMatMul"), _FLOAT),
}


def refusal(node: Node) -> UnsupportedModule:
    """The error of an operator that is not read, with a way out."""
    way_out = _WAYS_OUT.get(
        node.op,
        "use Conv, Gemm, MatMul, BatchNormalization, Relu, LeakyRelu, Clip, AveragePool, GlobalAveragePool, Flatten, Add, Dropout or "
        "Identity",
    )
    return UnsupportedModule(f"{node} has no exact spiking counterpart; {way_out}")


def build(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    """Add what a node does to ``builder``.

    Raises
    ------
    UnsupportedModule
        No exact spiking counterpart, by the node's name, with a way out.
    InvalidValue
        Attributes or inputs that do not fit each other.
    """
    if node.op not in LAYERS:
        raise refusal(node)
    return LAYERS[node.op](builder, node, values)
