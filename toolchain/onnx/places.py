"""What an ONNX graph does with places and axes: padding, pooling, subsampling, flattening; and how nodes read their inputs."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from torch import nn

from toolchain.errors import InvalidValue, UnsupportedModule
from toolchain.onnx.builder import MAX_VALUES, Builder, Flow, Value
from toolchain.onnx.folding import BATCH, numbers
from toolchain.onnx.model import Node
from toolchain.parts import Row, Subsampling

__all__ = [
    "argument", "around", "average_pool", "constant", "extents", "flatten", "flow_of", "global_average_pool", "max_pool", "mean",
    "pad", "padding", "pads_of", "reshape", "spikes", "squeeze", "subsample", "unsqueeze",
]  # fmt: skip

MAX_EXTENT = 1 << 20
"""Of a kernel, stride, dilation or padding."""
MAX_CHANNEL_PAIRS = 1 << 26
"""Channels before times behind padding them, as a shortcut's kernel may hold."""

Pads = tuple[tuple[int, int], ...]


def flow_of(node: Node, value: Value) -> Flow:
    """An input that must come from the frame."""
    if not isinstance(value, Flow):
        raise UnsupportedModule(
            f"{node} reads a constant where the network's values belong; use x · W, with the constant second"
        )
    return value


def spikes(builder: Builder, node: Node, value: Value) -> Flow:
    """An input that must come from an activation or the frame, whatever it went through since."""
    flow = flow_of(node, value)
    if flow.waits:
        raise UnsupportedModule(
            f"{node} reads {builder.steps[flow.step].name!r} without an activation between them; put a Relu between, "
            "or merge the two layers"
        )
    return flow


def constant(node: Node, what: str, values: Sequence[Value], place: int) -> np.ndarray:
    """An input that must be a constant of floating-point numbers."""
    value = values[place] if place < len(values) else None
    if not isinstance(value, np.ndarray):
        raise UnsupportedModule(
            f"{node}: its {what} is computed or left out, must be a constant; export the trained network"
        )
    if value.dtype.kind != "f":
        raise UnsupportedModule(
            f"{node}: its {what} is {value.dtype}, must be floating point; export the float network"
        )
    return value


def extents(node: Node, what: str, usual: tuple[int, ...], *, least: int) -> tuple[int, ...]:
    """Sizes of an attribute, as many as in ``usual``."""
    found: tuple[int, ...] = node.attributes.get(what, usual)
    if len(found) != len(usual) or any(not least <= one <= MAX_EXTENT for one in found):
        raise InvalidValue(f"{node}: {what} is {found[:8]}, must be {len(usual)} numbers from {least} to {MAX_EXTENT}")
    return found


def argument(node: Node, values: Sequence[Value], what: str, place: int) -> tuple[int, ...] | None:
    """Whole numbers that were an attribute in early opsets and are an input in later ones."""
    if what in node.attributes:
        found: tuple[int, ...] = node.attributes[what]
        return found
    value = values[place] if place < len(values) else None
    if isinstance(value, Flow):
        raise UnsupportedModule(f"{node}: its {what} are computed from the frame; export with fixed ones")
    return numbers(node, what, value)


def pads_of(node: Node, size: tuple[int, ...], spans: tuple[int, ...], stride: tuple[int, ...]) -> Pads:
    """Zeros before and behind along each axis of places, by ``pads`` or ``auto_pad``."""
    kind = node.attributes.get("auto_pad", "NOTSET")
    if kind in ("NOTSET", ""):
        pads = extents(node, "pads", (0,) * 2 * len(size), least=0)
        return tuple(zip(pads[: len(size)], pads[len(size) :], strict=True))
    if kind == "VALID":
        return ((0, 0),) * len(size)
    if kind not in ("SAME_UPPER", "SAME_LOWER"):
        raise InvalidValue(f"{node}: auto_pad is {kind[:40]!r}, must be NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    whole = [max((-(-n // s) - 1) * s + span - n, 0) for n, span, s in zip(size, spans, stride, strict=True)]
    halves = [(total // 2, total - total // 2) for total in whole]
    return tuple(half if kind == "SAME_UPPER" else half[::-1] for half in halves)


def padding(node: Node, shape: tuple[int, ...], pads: Pads) -> tuple[int, ...]:
    """The shape with zeros around the places."""
    padded = (shape[0], *(n + before + behind for n, (before, behind) in zip(shape[1:], pads, strict=True)))
    if prod(padded) > MAX_VALUES:
        raise InvalidValue(f"{node} pads {shape} to {padded}, must be {MAX_VALUES:,} values at most")
    return padded


def around(builder: Builder, node: Node, flow: Flow, pads: Pads, channels: tuple[int, int] = (0, 0)) -> Flow:
    """A step that puts zeros around."""
    amounts = tuple(amount for pair in reversed(pads) for amount in pair)
    shape = padding(node, flow.shape, pads)
    if channels != (0, 0):
        amounts += channels
        shape = (shape[0] + sum(channels), *shape[1:])
        if flow.shape[0] * shape[0] > MAX_CHANNEL_PAIRS:
            raise InvalidValue(f"{node} pads {flow.shape[0]} channels to {shape[0]}, which is too many for a shortcut")
    kinds: dict[int, Any] = {2: nn.ZeroPad1d, 4: nn.ZeroPad2d, 6: nn.ZeroPad3d}
    return builder.flow(node, kinds[len(amounts)](amounts), shape, flow, part=" pads")


def pad(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    """``Pad`` with zeros."""
    flow = spikes(builder, node, values[0])
    rank = len(flow.shape) + 1
    if node.attributes.get("mode", "constant") != "constant":
        raise UnsupportedModule(f"{node} pads by mode {node.attributes['mode'][:40]!r}; use zero padding")
    value = node.attributes.get("value", 0.0)
    if len(values) > 2 and values[2] is not None:
        value = constant(node, "constant_value", values, 2)
    if np.size(value) != 1 or np.any(value != 0):
        raise UnsupportedModule(f"{node} puts other values than zeros around; use zero padding")
    amounts, axes = argument(node, values, "pads", 1), argument(node, values, "axes", 3)
    axes = tuple(range(rank)) if axes is None else axes
    if amounts is None or len(amounts) != 2 * len(axes) or any(not -rank <= axis < rank for axis in axes):
        raise InvalidValue(f"{node}: {len(amounts or ())} pads for axes {axes} of {rank}")
    whole = [(0, 0)] * rank
    for axis, before, behind in zip(axes, amounts[: len(axes)], amounts[len(axes) :], strict=True):
        whole[axis % rank] = (before, behind)
    if min(map(min, whole)) < 0 or max(map(max, whole)) > MAX_EXTENT or whole[0] != (0, 0):
        raise UnsupportedModule(f"{node} pads by {whole}; zeros around places and channels convert, none less than 0")
    if rank == 2 and whole[1] != (0, 0):
        raise UnsupportedModule(f"{node} pads a vector; pad frames, before the Flatten")
    return around(builder, node, flow, tuple(whole[2:]), whole[1]) if any(map(any, whole)) else flow


def average_pool(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    """``AveragePool`` whose windows stand side by side; as many as there are whole ones."""
    flow = spikes(builder, node, values[0])
    size = flow.shape[1:]
    if not 1 <= len(size) <= 2:
        raise UnsupportedModule(
            f"{node} reads {flow.shape}, must read [N, C, H, W] or [N, C, L]; pool before flattening"
        )
    ones = (1,) * len(size)
    kernel = extents(node, "kernel_shape", ones, least=1)
    stride, dilation = extents(node, "strides", ones, least=1), extents(node, "dilations", ones, least=1)
    pads = pads_of(node, size, kernel, stride)
    told = f"kernel {kernel}, stride {stride}, pads {pads}"
    ceil = bool(node.attributes.get("ceil_mode", 0))
    fits = all(
        k <= n and (k == s or (n - k) // s == 0) and not (ceil and (n - k) % s)
        for n, k, s in zip(size, kernel, stride, strict=True)
    )
    if not fits or any(map(any, pads)) or set(dilation) != {1}:
        raise UnsupportedModule(
            f"{node} of places {size}: {told}, ceil_mode {int(ceil)}; only windows that do not overlap, without padding and in floor "
            "mode, convert exactly"
        )
    pooled = tuple((n - k) // s + 1 for n, k, s in zip(size, kernel, stride, strict=True))
    module = nn.AvgPool1d(kernel[0]) if len(size) == 1 else nn.AvgPool2d((kernel[0], kernel[1]))
    return builder.flow(node, module, (flow.shape[0], *pooled), flow)


def global_average_pool(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    """``GlobalAveragePool``."""
    flow = spikes(builder, node, values[0])
    if len(flow.shape) == 1:
        raise UnsupportedModule(f"{node} reads a vector; pool before flattening")
    module = nn.AdaptiveAvgPool1d(1) if len(flow.shape) == 2 else nn.AdaptiveAvgPool2d(1)
    return builder.flow(node, module, (flow.shape[0], *(1,) * (len(flow.shape) - 1)), flow)


def mean(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    """``ReduceMean`` over all places."""
    flow = spikes(builder, node, values[0])
    rank = len(flow.shape) + 1
    axes = argument(node, values, "axes", 1) or ()
    if (
        rank == 2
        or any(not -rank <= axis < rank for axis in axes)
        or {axis % rank for axis in axes} != set(range(2, rank))
    ):
        raise UnsupportedModule(
            f"{node} takes the mean over axes {axes} of {rank}; over all axes behind the channels converts"
        )
    pooled = global_average_pool(builder, node, values)
    if node.attributes.get("keepdims", 1):
        return pooled
    return builder.flow(node, nn.Flatten(), pooled.shape[:1], pooled, part=" flat")


def max_pool(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    """``MaxPool``, behind the activation or before it; whether it is exact depends on the neuron, which ``convert`` knows."""
    flow = flow_of(node, values[0])
    size = flow.shape[1:]
    way_out = "export it with equal pads in floor mode, or use AveragePool and fine-tune"
    if not 1 <= len(size) <= 2:
        raise UnsupportedModule(f"{node} reads {flow.shape}, must read [N, C, L] or [N, C, H, W]; {way_out}")
    ones = (1,) * len(size)
    kernel = extents(node, "kernel_shape", ones, least=1)
    stride, dilation = extents(node, "strides", ones, least=1), extents(node, "dilations", ones, least=1)
    spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    pads = pads_of(node, size, spans, stride)
    ceil = bool(node.attributes.get("ceil_mode", 0))
    if any(before != behind or 2 * before > k for (before, behind), k in zip(pads, kernel, strict=True)) or ceil:
        raise UnsupportedModule(
            f"{node} has pads {pads}, ceil_mode {int(ceil)}, which PyTorch's pooling has not; {way_out}"
        )
    padded = padding(node, flow.shape, pads)[1:]
    pooled = tuple((n - span) // s + 1 for n, span, s in zip(padded, spans, stride, strict=True))
    kind: type[nn.MaxPool1d] | type[nn.MaxPool2d] = nn.MaxPool1d if len(size) == 1 else nn.MaxPool2d
    module = kind(kernel, stride, tuple(before for before, _ in pads), dilation)  # type: ignore[arg-type]
    return builder.flow(node, module, (flow.shape[0], *pooled), flow, waits=flow.waits)


def subsample(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    """``Slice`` of every n-th place."""
    flow = spikes(builder, node, values[0])
    rank = len(flow.shape) + 1
    starts, ends = (argument(node, values, what, place) or () for place, what in ((1, "starts"), (2, "ends")))
    axes = argument(node, values, "axes", 3) or tuple(range(len(starts)))
    steps = argument(node, values, "steps", 4) or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or any(not -rank <= axis < rank for axis in axes):
        raise InvalidValue(f"{node}: starts {starts}, ends {ends}, axes {axes}, steps {steps} of {rank} axes")
    each = [1] * rank
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        place = axis % rank
        size = flow.shape[place - 1] if place else 1 << 31
        if start != 0 or end < size or not 1 <= step <= MAX_EXTENT or (place < 2 and step != 1):
            raise UnsupportedModule(
                f"{node} takes a part of axis {place}; only every n-th place, x[:, :, ::n, ::n], converts"
            )
        each[place] = step
    if set(each) == {1}:
        return flow
    shape = (flow.shape[0], *(-(-n // step) for n, step in zip(flow.shape[1:], each[2:], strict=True)))
    return builder.flow(node, Subsampling(tuple(each[2:])), shape, flow)


def _to_vector(builder: Builder, node: Node, flow: Flow) -> Flow:
    if len(flow.shape) == 1:
        return flow
    if flow.waits and prod(flow.shape) != flow.shape[0]:
        raise UnsupportedModule(f"{node} flattens what no activation has seen; put it behind the activation")
    return builder.flow(node, nn.Flatten(), (prod(flow.shape),), flow, waits=flow.waits)


def _to_series(builder: Builder, node: Node, flow: Flow) -> Flow:
    return builder.flow(node, nn.Flatten(2), (flow.shape[0], flow.shape[2]), flow, waits=flow.waits)


def flatten(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    """``Flatten`` of everything behind the batch."""
    flow = flow_of(node, values[0])
    axis, rank = node.attributes.get("axis", 1), len(flow.shape) + 1
    if axis not in (1, 1 - rank):
        raise UnsupportedModule(f"{node} flattens from axis {axis}; flatten everything behind the batch, from axis 1")
    return _to_vector(builder, node, flow)


def _wanted(node: Node, flow: Flow, shape: list[object], batch: int | None) -> tuple[int, ...] | None:
    """The shape without the batch that a Reshape asks for, or ``None`` where it moves values between images."""
    keep = not node.attributes.get("allowzero", 0)
    sizes: list[object] = [BATCH, *flow.shape]
    if keep:
        shape = [sizes[axis] if one == 0 and axis < len(sizes) else one for axis, one in enumerate(shape)]
    first, *rest = shape or [None]
    known = [one for one in rest if isinstance(one, int) and one > 0]
    free = [one for one in rest if one == -1]
    if len(known) + len(free) != len(rest) or len(free) > 1:
        return None
    if free and prod(flow.shape) % max(prod(known), 1) == 0:
        rest = [prod(flow.shape) // prod(known) if one == -1 else one for one in rest]
        kept = first is BATCH or (batch is not None and first == batch)
    else:  # then -1 is the batch, if the rest is one image
        kept = first is BATCH or first == -1 or (batch is not None and first == batch)
    wanted = tuple(one for one in rest if isinstance(one, int))
    return wanted if kept and prod(wanted) == prod(flow.shape) else None


def reshape(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    """``Reshape`` that flattens, or changes nothing."""
    flow, shape = flow_of(node, values[0]), values[1]
    if not isinstance(shape, np.ndarray) or shape.ndim != 1 or shape.size > 8 or shape.dtype.kind not in "iuO":
        raise UnsupportedModule(f"{node}: its shape is not a constant; flatten with Flatten")
    asked: list[object] = [one if one is BATCH else int(one) for one in shape]
    wanted = _wanted(node, flow, asked, builder.batch)
    if wanted == flow.shape:
        return flow
    if wanted is not None and len(wanted) == 1:
        return _to_vector(builder, node, flow)
    if wanted is not None and len(flow.shape) == 3 and wanted == (flow.shape[0], flow.shape[2]):
        return _to_series(builder, node, flow)
    raise UnsupportedModule(
        f"{node} from [N, {', '.join(map(str, flow.shape))}] to {asked} is not a flattening of each image; use Flatten, and export with a "
        "free batch"
    )


def squeeze(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    """``Squeeze`` of places of which there is one."""
    flow = flow_of(node, values[0])
    rank = len(flow.shape) + 1
    axes = argument(node, values, "axes", 1)
    if axes is None:
        axes = tuple(axis for axis in range(2, rank) if flow.shape[axis - 1] == 1)
        if flow.shape[0] == 1 or builder.batch == 1:
            raise UnsupportedModule(f"{node} may squeeze batch or channels; give it axes")
    places = {axis % rank for axis in axes if -rank <= axis < rank}
    if any(not -rank <= axis < rank for axis in axes) or any(axis < 2 or flow.shape[axis - 1] != 1 for axis in places):
        raise UnsupportedModule(
            f"{node} squeezes axes {axes} of [N, {', '.join(map(str, flow.shape))}]; only places of which there is one go"
        )
    if not places:
        return flow
    if len(places) == rank - 2:
        return _to_vector(builder, node, flow)
    if places == {2}:
        return _to_series(builder, node, flow)
    raise UnsupportedModule(f"{node} squeezes the last axis; squeeze axis 2 of [N, C, 1, L]")


def unsqueeze(builder: Builder, node: Node, values: Sequence[Value]) -> Flow:
    """``Unsqueeze`` of [N, C, L] to [N, C, 1, L], as exporters write pooling of series."""
    flow = flow_of(node, values[0])
    axes = argument(node, values, "axes", 1)
    if len(flow.shape) != 2 or axes not in ((2,), (-2,)):
        raise UnsupportedModule(
            f"{node} puts axes {axes} into [N, {', '.join(map(str, flow.shape))}]; only [N, C, L] to [N, C, 1, L] converts: declare the "
            "input with all its axes"
        )
    return builder.flow(node, Row(), (flow.shape[0], 1, flow.shape[1]), flow, waits=flow.waits)
