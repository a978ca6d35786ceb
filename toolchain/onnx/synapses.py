"""Weighted sums of an ONNX graph: convolutions, products with constant matrices, batch norm, biases, additions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from toolchain.errors import InvalidValue, UnsupportedModule
from toolchain.onnx.builder import Builder, Flow, Value
from toolchain.onnx.model import Node
from toolchain.onnx.places import around, constant, extents, flow_of, padding, pads_of, spikes
from toolchain.parts import Addition

__all__ = ["add", "batch_norm", "convolution", "divide", "gemm", "matmul", "multiply", "subtract", "summed"]

_NO_CONSTANT = "move the constant into the weights or the bias of the layer before it"


def _tensor(values: np.ndarray) -> Tensor:
    """float32, as frames are; what float32 cannot hold becomes infinite, which the conversion refuses."""
    with np.errstate(all="ignore"):
        return torch.from_numpy(np.array(values, np.float32))


def _set(module: Any, **values: np.ndarray | None) -> Any:
    """Give parameters and buffers their values."""
    for name, value in values.items():
        if value is None:
            module.register_parameter(name, None)
        elif name in module._buffers:
            module.register_buffer(name, _tensor(value))
        else:
            setattr(module, name, nn.Parameter(_tensor(value)))
    return module


def _one_a_channel(node: Node, what: str, values: np.ndarray, channels: int) -> np.ndarray:
    if values.shape != (channels,):
        raise InvalidValue(f"{node}: {what} has shape {values.shape}, must be ({channels},), one value a channel")
    return values


def convolution(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    """``Conv``; zeros that differ before and behind are a step of their own."""
    flow, weight = spikes(builder, node, values[0]), constant(node, "weight W", values, 1)
    places = len(flow.shape) - 1
    if not 1 <= places <= 2 or weight.ndim != 2 + places:
        raise UnsupportedModule(
            f"{node} of weights {weight.shape} reads {flow.shape}; only Conv of [N, C, H, W] or [N, C, L] converts, "
            "not behind a Flatten"
        )
    outputs, inputs, *kernel = weight.shape
    groups = node.attributes.get("group", 1)
    if min(weight.shape) < 1 or groups < 1 or inputs * groups != flow.shape[0] or outputs % groups:
        raise InvalidValue(f"{node}: weights {weight.shape} in {groups} groups do not fit {flow.shape[0]} channels")
    if node.attributes.get("kernel_shape", tuple(kernel)) != tuple(kernel):
        raise InvalidValue(
            f"{node}: kernel_shape {node.attributes['kernel_shape']} is not that of the weights, {tuple(kernel)}"
        )
    stride, dilation = (extents(node, what, (1,) * places, least=1) for what in ("strides", "dilations"))
    spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    pads = pads_of(node, flow.shape[1:], spans, stride)
    padded = padding(node, flow.shape, pads)
    symmetric = all(before == behind for before, behind in pads)
    if not symmetric:
        flow = around(builder, node, flow, pads)
    kind: type[nn.Conv1d] | type[nn.Conv2d] = nn.Conv1d if places == 1 else nn.Conv2d
    module = kind(
        flow.shape[0],
        outputs,
        tuple(kernel),  # type: ignore[arg-type]
        stride,  # type: ignore[arg-type]
        tuple(before for before, _ in pads) if symmetric else 0,  # type: ignore[arg-type]
        dilation,  # type: ignore[arg-type]
        groups,
        device="meta",
    )
    bias = constant(node, "bias B", values, 2) if len(values) > 2 and values[2] is not None else None
    _set(module, weight=weight, bias=None if bias is None else _one_a_channel(node, "bias", bias, outputs))
    size = tuple((p - span) // s + 1 for p, span, s in zip(padded[1:], spans, stride, strict=True))
    return builder.flow(node, module, (outputs, *size), flow, waits=True)


def _linear(builder: Builder, node: Node, flow: Flow, weight: np.ndarray, bias: np.ndarray | None) -> Flow:
    """``x @ weight.T + bias`` of vectors, weight ``[outputs, inputs]``."""
    if len(flow.shape) != 1:
        raise UnsupportedModule(f"{node} reads {flow.shape}, must read a vector; put a Flatten before it")
    if weight.ndim != 2 or min(weight.shape) < 1 or weight.shape[1] != flow.shape[0]:
        raise InvalidValue(f"{node}: its matrix takes {weight.shape[1:]} values, it reads {flow.shape}")
    module = _set(nn.Linear(weight.shape[1], weight.shape[0], device="meta"), weight=weight, bias=bias)
    return builder.flow(node, module, (weight.shape[0],), flow, waits=True)


def gemm(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    """``alpha · A @ B + beta · C`` with the flow as A."""
    flow = spikes(builder, node, values[0])
    if node.attributes.get("transA", 0):
        raise UnsupportedModule(f"{node} turns the batch and the values of its input round (transA); leave transA 0")
    weight = constant(node, "matrix B", values, 1).astype(np.float64)
    if weight.ndim != 2:
        raise InvalidValue(f"{node}: matrix B has shape {weight.shape}, must have 2 axes")
    weight = node.attributes.get("alpha", 1.0) * (weight if node.attributes.get("transB", 0) else weight.T)
    bias = None
    if len(values) > 2 and values[2] is not None:
        given = constant(node, "bias C", values, 2)
        bias = node.attributes.get("beta", 1.0) * _per_channel(node, given, (weight.shape[0],))
    return _linear(builder, node, flow, weight, bias)


def matmul(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    """``A @ B`` with the flow as A."""
    if not isinstance(values[0], Flow) or isinstance(values[1], Flow):
        raise UnsupportedModule(
            f"{node} multiplies two flows, or a matrix from the left, which is no weighted sum of one layer's values; use x @ W"
        )
    flow, weight = spikes(builder, node, values[0]), constant(node, "matrix B", values, 1)
    if weight.ndim != 2:
        raise UnsupportedModule(f"{node}: its matrix has shape {weight.shape}, must have 2 axes")
    return _linear(builder, node, flow, weight.T, None)


def batch_norm(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    """``BatchNormalization`` of inference."""
    flow = flow_of(node, values[0])
    if node.attributes.get("training_mode", 0) or any(builder.readers[name] for name in node.outputs[1:]):
        raise UnsupportedModule(f"{node} is in training mode; export the network in evaluation mode")
    if node.attributes.get("spatial", 1) != 1:
        raise UnsupportedModule(f"{node} has statistics for each place (spatial = 0); one for each channel converts")
    names = ("weight", "bias", "running_mean", "running_var")
    parts = {name: constant(node, name, values, place) for place, name in enumerate(names, 1)}
    for name, given in parts.items():
        _one_a_channel(node, name, given, flow.shape[0])
    epsilon = node.attributes.get("epsilon", 1e-5)
    if not 0 <= epsilon < 1e30:
        raise InvalidValue(f"{node}: epsilon is {epsilon:g}, must be 0 or more")
    return _normalized(builder, node, flow, parts, epsilon, "move it between a Conv or Gemm and its activation")


def _normalized(
    builder: Builder, node: Node, flow: Flow, parts: dict[str, np.ndarray], epsilon: float, way_out: str
) -> Flow:
    if not flow.waits:
        raise UnsupportedModule(
            f"{node} does not stand behind a Conv, Gemm, MatMul or addition, before its activation; {way_out}"
        )
    kind: type[nn.BatchNorm1d] | type[nn.BatchNorm2d] = nn.BatchNorm2d if len(flow.shape) == 3 else nn.BatchNorm1d
    module = _set(kind(flow.shape[0], eps=epsilon, device="meta"), **parts)
    module.register_buffer("num_batches_tracked", torch.tensor(0))
    return builder.flow(node, module.eval(), flow.shape, flow, waits=True)


def _per_channel(node: Node, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A constant that stands against ``[N, *shape]`` as one value a channel, float64 ``[C]``."""
    sizes = (1,) * (1 + len(shape) - values.ndim) + values.shape
    if (
        len(sizes) > 1 + len(shape)
        or sizes[1] not in (1, shape[0])
        or set(sizes) - {1, sizes[1]}
        or np.prod(sizes) != sizes[1]
    ):
        raise UnsupportedModule(
            f"{node} has a constant of shape {values.shape} against [N, {', '.join(map(str, shape))}]; one value a channel converts"
        )
    return np.broadcast_to(values.reshape(-1).astype(np.float64), shape[:1])


def _affine(builder: Builder, node: Node, flow: Flow, factor: np.ndarray, shift: np.ndarray) -> Flow:
    """``flow · factor + shift``, one value a channel each, as a batch norm of mean 0 and variance 1."""
    ones = np.ones(flow.shape[0])
    parts = {"weight": ones * factor, "bias": ones * shift, "running_mean": 0 * ones, "running_var": ones}
    return _normalized(builder, node, flow, parts, 0.0, _NO_CONSTANT)


def _sides(node: Node, values: Sequence[Value]) -> tuple[Flow, np.ndarray] | None:
    """A flow and a float64 constant that fits it, or ``None`` where both are flows."""
    flows = [value for value in values if isinstance(value, Flow)]
    if len(flows) != 1:
        return None
    place = 1 if isinstance(values[0], Flow) else 0
    return flows[0], _per_channel(node, constant(node, "constant", values, place), flows[0].shape)


def _joined(builder: Builder, node: Node, one: Flow, other: Flow) -> Flow:
    if one.shape != other.shape:
        raise UnsupportedModule(
            f"{node} adds {builder.steps[one.step].name!r} of shape {one.shape} to {builder.steps[other.step].name!r} of shape "
            f"{other.shape}; bring both to one shape, for instance by a 1 × 1 convolution with a stride on the shortcut"
        )
    return builder.flow(node, Addition(), one.shape, one, other, waits=True)


def summed(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    """``Add`` and ``Sum``: residual joins, and biases behind a weighted sum."""
    flows = [value for value in values if isinstance(value, Flow)]
    result = flows[0]
    for other in flows[1:]:
        result = _joined(builder, node, result, other)
    for place, value in enumerate(values):
        if not isinstance(value, Flow):
            shift = _per_channel(node, constant(node, "constant", values, place), result.shape)
            result = _affine(builder, node, result, np.ones(1), shift)
    return result


def add(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    """``Add``."""
    return summed(builder, node, values)


def subtract(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    """``Sub`` of a flow and a constant, either way round."""
    sides = _sides(node, values)
    if sides is None:
        raise UnsupportedModule(
            f"{node} subtracts one flow from another; add them, with the sign in the weights of one"
        )
    flow, constants = sides
    first = isinstance(values[0], Flow)
    return _affine(builder, node, flow, np.full(1, 1.0 if first else -1.0), -constants if first else constants)


def multiply(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    """``Mul`` by a constant."""
    sides = _sides(node, values)
    if sides is None:
        raise UnsupportedModule(
            f"{node} is a product of two branches (attention, squeeze and excitation), which is no sum of spikes; leave it out"
        )
    return _affine(builder, node, *sides, np.zeros(1))


def divide(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    """``Div`` by a constant."""
    sides = _sides(node, values)
    if sides is None or not isinstance(values[0], Flow):
        raise UnsupportedModule(f"{node} divides by what the network computes, which is no sum of spikes; leave it out")
    with np.errstate(all="ignore"):
        return _affine(builder, node, sides[0], 1 / sides[1], np.zeros(1))
