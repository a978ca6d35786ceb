"""Read an ``nn.Module`` through torch.fx into blocks of synapses and an activation; refuse the rest by name."""

import operator
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.parameter import is_lazy

from toolchain.connection import Shape
from toolchain.convert.flowing import Spikes, Sum
from toolchain.convert.maxima import ADAPTIVE_MAX_CALLS, AMAX_CALLS, MAX_CALLS, move_behind
from toolchain.convert.reader import Activation, Block, Reader, SourceGraph
from toolchain.errors import InvalidValue, NoCounterpart, SpikeloomError, UnsupportedModule
from toolchain.nn import ACTIVATIONS, QCFS, QuantizedReLU, StReLU, ThresholdLeakyReLU, ThresholdReLU
from toolchain.parts import PARTS, Addition, Frame, Row, Subsampling

__all__ = ["Activation", "Block", "Found", "SourceGraph", "read_module"]

Flowing = Spikes | Sum


@dataclass
class Found:
    """All that is wrong with a module, and not only the first: given to ``read_module``, it is filled instead of an error raised.

    Members
    -------
    problems : list of (name, kind, error)
        In the order of the network; the name is empty where the whole module is meant.
    layers : list of (name, kind)
        Every layer and call that was looked at, with or without a problem.
    """

    problems: list[tuple[str, str, SpikeloomError]] = field(default_factory=list)
    layers: list[tuple[str, str]] = field(default_factory=list)


class _Tracer(fx.Tracer):
    """Keeps Spikeloom's activations and parts whole."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (*ACTIVATIONS, *PARTS)) or super().is_leaf_module(m, module_qualified_name)


def _leaky(node: fx.Node, name: str, slope: Any) -> Activation:
    if not isinstance(slope, int | float) or not 0 < slope <= 1:
        raise UnsupportedModule(
            f"LeakyReLU {name!r}: negative_slope is {slope}, must be above 0 and at most 1; train it with such a slope or "
            "with ReLU"
        )
    return Activation(name, "leaky", node, slope=float(slope))


def _clipped(node: fx.Node, name: str, kind: str, low: Any, high: Any) -> Activation:
    """A clamp from ``low`` to ``high``, where ``None`` is no limit."""
    if low == 0 and high in (None, inf):
        return Activation(name, "relu", node)
    if isinstance(high, int | float) and high > 0:
        if low == 0:
            return Activation(name, "threshold", node, float(high))
        if low == -high and node.op == "call_module":
            return Activation(name, "strelu", node, float(high))
    raise UnsupportedModule(
        f"{kind} {name!r} clips from {low} to {high}; clip from 0, or symmetrically with the module StReLU(a) or "
        "nn.Hardtanh(-a, a)"
    )


_RELU_CALLS = {F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_"}
_LEAKY_CALLS = {F.leaky_relu, F.leaky_relu_}
_CLAMP_CALLS = {torch.clamp, torch.clamp_, "clamp", "clamp_"}
_DROPOUT_CALLS = {F.dropout, F.dropout1d, F.dropout2d, "contiguous", "clone", torch.clone}
_FLATTEN_CALLS = {torch.flatten, "flatten"}
_RESHAPE_CALLS = {torch.reshape, "view", "reshape"}
_SQUEEZE_CALLS = {torch.squeeze, "squeeze"}
_ADD_CALLS = {operator.add, torch.add, "add"}
_MEAN_CALLS = {torch.mean, "mean"}
_ADAPTIVE_CALLS = {F.adaptive_avg_pool1d, F.adaptive_avg_pool2d}
_IN_PLACE = {operator.iadd, F.relu_, torch.relu_, torch.clamp_, F.leaky_relu_}


def _name(node: fx.Node) -> str:
    """What the user calls it: the module's path, otherwise the name of the call."""
    return str(node.target) if node.op == "call_module" else node.name


def _is_shape(node: fx.Node) -> bool:
    """Whether a node computes with sizes only, as in ``x.view(x.size(0), -1)``."""
    if node.op not in ("call_function", "call_method"):
        return False
    if node.target is operator.getitem:
        return isinstance(node.args[0], fx.Node) and _is_shape(node.args[0])
    return node.target == "size" or (node.target is getattr and node.args[1] == "shape")


def _arguments(node: fx.Node, *names: str) -> dict[str, Any]:
    """Arguments behind the first, by name."""
    return {**dict(zip(names, node.args[1:], strict=False)), **node.kwargs}


def _read_module_node(reader: Reader, node: fx.Node, name: str, m: nn.Module, flowing: Flowing) -> Flowing:
    def activation(
        kind: str, limit: float | None = None, levels: int | None = None, slope: float | None = None
    ) -> Spikes:
        return reader.activation(Activation(name, kind, node, limit, levels, slope), flowing)

    if isinstance(m, nn.Conv1d | nn.Conv2d):
        return reader.convolution(name, m, flowing)
    if isinstance(m, nn.Linear):
        return reader.linear(name, m, flowing)
    if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d):
        return reader.batch_norm(name, m, flowing)
    if isinstance(m, QCFS):
        return activation("qcfs", float(m.threshold.detach()), m.levels)
    if isinstance(m, ThresholdReLU):
        return activation("threshold", m.threshold)
    if isinstance(m, StReLU):
        return activation("strelu", m.threshold)
    if isinstance(m, QuantizedReLU):
        return activation("quantized", float(m.threshold.detach()), m.levels)
    if isinstance(m, ThresholdLeakyReLU):
        return activation("leaky", m.threshold, slope=m.slope)
    if isinstance(m, nn.LeakyReLU):
        return reader.activation(_leaky(node, name, m.negative_slope), flowing)
    if isinstance(m, nn.Hardtanh):  # ReLU6 is one
        return reader.activation(_clipped(node, name, type(m).__name__, m.min_val, m.max_val), flowing)
    if isinstance(m, nn.ReLU):
        return activation("relu")
    if isinstance(m, nn.AvgPool1d | nn.AvgPool2d):
        return reader.avg_pool(name, m, flowing)
    if isinstance(m, nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d):
        return reader.adaptive(name, type(m).__name__, m.output_size, flowing)
    if isinstance(m, nn.MaxPool1d | nn.MaxPool2d):
        return reader.max_pool(name, m, flowing)
    if isinstance(m, nn.AdaptiveMaxPool1d | nn.AdaptiveMaxPool2d):
        return reader.adaptive(name, type(m).__name__, m.output_size, flowing)
    if isinstance(m, nn.ZeroPad1d | nn.ZeroPad2d | nn.ZeroPad3d):  # of frames, the last pads channels too
        return reader.zeros(name, type(m).__name__, tuple(m.padding), flowing)
    if isinstance(m, nn.Flatten):
        return reader.flatten(name, m.start_dim, m.end_dim, flowing)
    if isinstance(m, Frame):
        return reader.given(name, m, flowing)
    if isinstance(m, Row):
        return reader.row(name, flowing)
    if isinstance(m, Subsampling):
        return reader.sliced(name, m.places, flowing)
    if isinstance(m, nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Identity):
        return flowing
    raise _unknown(type(m).__name__, name)


_NO_CAT = "branches are joined by adding them: use channels of one layer instead of a concatenation"
_WAYS_OUT = {
    "MaxPool3d": "use MaxPool2d",
    "clamp_min": "use ReLU or clamp(min=0)",
    "threshold": "use ReLU or clamp(min=0)",
    "constant": "move the constant into the weights or the bias of the layer before it",
    "hardtanh": "use the module nn.Hardtanh or x.clamp(0, a)",
    "Softmax": "leave it out: the arg-max of the scores is the same",
    "LogSoftmax": "leave it out: the arg-max of the scores is the same",
    "mul": "a product of two branches (attention, squeeze and excitation) is no sum of spikes: leave it out",
    "cat": _NO_CAT,
    "ConvTranspose2d": "use Conv2d",
    "Conv3d": "use Conv2d",
}
_ARITHMETIC = {"add", "sub", "mul", "div", "truediv", "neg"}


_KNOWN = (
    "use Conv2d, Conv1d, Linear, BatchNorm, ReLU, LeakyReLU, Hardtanh, an activation of toolchain.nn, average or max "
    "pooling, Flatten, additions, Dropout or Identity"
)


def _unknown(kind: str, name: str) -> UnsupportedModule:
    error = UnsupportedModule if kind in _WAYS_OUT else NoCounterpart
    return error(f"{kind} {name!r} has no exact spiking counterpart; {_WAYS_OUT.get(kind, _KNOWN)}")


def _kind(node: fx.Node) -> str:
    """Name of a call without the marks of its in-place form."""
    kind = str(getattr(node.target, "__name__", node.target)).strip("_")
    return kind[1:] if kind[:1] == "i" and kind[1:] in _ARITHMETIC else kind


def _read_add(reader: Reader, node: fx.Node, values: list[Flowing]) -> Flowing:
    if len(values) == 1 and node.args[0] is node.args[1]:
        values = values * 2
    if len(values) != 2:
        raise UnsupportedModule(f"add {node.name!r} computes with a constant; {_WAYS_OUT['constant']}")
    if _arguments(node, "other").get("alpha", 1) != 1:
        raise UnsupportedModule(
            f"add {node.name!r} has a factor alpha; move it into the weights of the layer before it"
        )
    return reader.add(node.name, *values)


def _read_call(reader: Reader, node: fx.Node, flowing: Flowing) -> Flowing:
    call, name = node.target, node.name
    if call in _RELU_CALLS:
        return reader.activation(Activation(name, "relu", node), flowing)
    if call is F.relu6:
        return reader.activation(Activation(name, "threshold", node, 6.0), flowing)
    if call in _LEAKY_CALLS:
        slope = _arguments(node, "negative_slope").get("negative_slope", 0.01)
        return reader.activation(_leaky(node, name, slope), flowing)
    if call in _CLAMP_CALLS:
        limits = _arguments(node, "min", "max")
        return reader.activation(_clipped(node, name, "clamp", limits.get("min"), limits.get("max")), flowing)
    if call in (F.avg_pool1d, F.avg_pool2d):
        pool = nn.AvgPool1d if call is F.avg_pool1d else nn.AvgPool2d
        names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
        return reader.avg_pool(name, pool(**_arguments(node, *names)), flowing)
    if call in MAX_CALLS:
        names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
        options = _arguments(node, *names)
        m = MAX_CALLS[call](
            options.pop("kernel_size"),
            options.pop("stride", None) or None,  # torch takes none, and an empty one, for the window's size
            options.pop("padding", 0),
            options.pop("dilation", 1),
            bool(options.pop("return_indices", False)),
            bool(options.pop("ceil_mode", False)),
        )
        return reader.max_pool(name, m, flowing)
    if call in _ADAPTIVE_CALLS or call in ADAPTIVE_MAX_CALLS:
        return reader.adaptive(name, _kind(node), _arguments(node, "output_size")["output_size"], flowing)
    if call in _MEAN_CALLS:
        given = _arguments(node, "dim", "keepdim")
        return reader.mean(name, given.get("dim"), bool(given.get("keepdim", False)), flowing)
    if call in AMAX_CALLS:
        given = _arguments(node, "dim", "keepdim")
        return reader.amax(name, given.get("dim"), bool(given.get("keepdim", False)), flowing)
    if call is F.pad:
        given = _arguments(node, "pad", "mode", "value")
        if given.get("mode", "constant") != "constant" or given.get("value") not in (None, 0):
            raise UnsupportedModule(f"pad {name!r} puts other values than zeros around; use zero padding")
        return reader.zeros(name, "pad", tuple(given["pad"]), flowing)
    if call is operator.getitem:
        return reader.sliced(name, node.args[1], flowing)
    if call in _SQUEEZE_CALLS:
        return reader.squeeze(name, _arguments(node, "dim").get("dim"), flowing)
    if call in _FLATTEN_CALLS:
        given = _arguments(node, "start_dim", "end_dim")
        return reader.flatten(name, given.get("start_dim", 0), given.get("end_dim", -1), flowing)
    if call in _RESHAPE_CALLS:
        return _read_reshape(reader, node, flowing)
    if call in _DROPOUT_CALLS:
        return flowing
    kind = _kind(node)
    alone = sum(isinstance(argument, fx.Node) for argument in node.args) == 1
    if alone and kind in _ARITHMETIC:
        raise UnsupportedModule(f"{kind} {name!r} computes with a constant; {_WAYS_OUT['constant']}")
    raise _unknown(kind, name)


def _read_reshape(reader: Reader, node: fx.Node, flowing: Flowing) -> Flowing:
    sizes = node.args[1:]
    if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
        sizes = tuple(sizes[0])
    features = int(np.prod(flowing.shape))
    if len(sizes) != 2 or sizes[1] not in (-1, features) or (isinstance(sizes[0], int) and sizes[0] != -1):
        raise UnsupportedModule(
            f"{getattr(node.target, '__name__', node.target)} {node.name!r} to {sizes} is not a flattening; use x.flatten(1)"
        )
    return reader.flatten(node.name, 1, -1, flowing)


def _in_place(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether a node changes what its first operand holds."""
    if node.op == "call_module":
        m = modules[str(node.target)]
        return bool(getattr(m, "inplace", False)) and not isinstance(m, nn.modules.dropout._DropoutNd)
    if node.op == "call_method":
        return str(node.target).endswith("_") and not str(node.target).endswith("__")
    return node.op == "call_function" and (node.target in _IN_PLACE or node.kwargs.get("inplace") is True)


def _changed_in_place(graph: fx.Graph, modules: dict[str, nn.Module]) -> Iterator[tuple[fx.Node, UnsupportedModule]]:
    """Nodes that change a tensor in place that is read again afterwards under its old name."""
    order = {node: place for place, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        operand = node.args[0] if node.args else None
        if isinstance(operand, fx.Node) and _in_place(node, modules):
            late = [user for user in operand.users if order[user] > order[node] and not _is_shape(user)]
            if late:
                yield (
                    node,
                    UnsupportedModule(
                        f"{_name(node)!r} changes {_name(operand)!r} in place, which {_name(late[0])!r} reads afterwards; write it "
                        "without the in-place form"
                    ),
                )


_RISING = (nn.ReLU, nn.Hardtanh, nn.LeakyReLU, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Identity, *ACTIVATIONS)
_RISING_CALLS = {*_RELU_CALLS, *_LEAKY_CALLS, *_CLAMP_CALLS, *_DROPOUT_CALLS, F.relu6}


def _rises(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether a node computes place by place what never falls: the maximum may be taken before or behind it."""
    if len(node.all_input_nodes) != 1:
        return False
    if node.op != "call_module":
        return node.op in ("call_function", "call_method") and node.target in _RISING_CALLS
    m = modules[str(node.target)]
    if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d):
        return m.weight is None or bool((m.weight >= 0).all())
    return isinstance(m, _RISING)


_OUT_OF_PLACE = {operator.iadd: operator.add, "add_": "add"}


def _add_out_of_place(graph: fx.Graph) -> None:
    """Let additions leave their operands as they are, for those who look at activations after a run."""
    for node in graph.nodes:
        if node.op in ("call_function", "call_method"):
            node.target = _OUT_OF_PLACE.get(node.target, node.target)


def _reaching(output: fx.Node) -> set[fx.Node]:
    """Nodes that the output depends on."""
    found: set[fx.Node] = set()
    waiting = [output]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += node.all_input_nodes
    return found


def _frame(graph: fx.Graph) -> fx.Node:
    placeholders = [n for n in graph.nodes if n.op == "placeholder"]
    if len(placeholders) != 1:
        raise UnsupportedModule(
            f"the network takes {len(placeholders)} inputs ({', '.join(n.name for n in placeholders)}), must take one"
        )
    return placeholders[0]


def _scores(graph: fx.Graph) -> fx.Node:
    """What the output is."""
    (output,) = (n for n in graph.nodes if n.op == "output")
    if not isinstance(output.args[0], fx.Node):
        raise UnsupportedModule(
            f"forward returns a {type(output.args[0]).__name__}, must return one tensor, the class scores"
        )
    return output.args[0]


def _check_branching(sources: list[fx.Node], values: list[Flowing], needed: set[fx.Node]) -> None:
    for source, value in zip(sources, values, strict=False):
        readers = [_name(user) for user in source.users if user in needed and not _is_shape(user)]
        if isinstance(value, Sum) and len(readers) > 1:
            raise UnsupportedModule(
                f"{_name(source)!r} is read by {' and '.join(map(repr, readers))} before its activation, so each would need a "
                "copy of its weights; put the branching behind an activation"
            )


def _read_node(
    reader: Reader, node: fx.Node, sources: list[fx.Node], values: list[Flowing], modules: dict[str, nn.Module]
) -> Flowing:
    if node.op == "call_module" and isinstance(modules[_name(node)], Addition):
        return reader.add(_name(node), *(values if len(values) == 2 else values * 2))
    if node.op != "call_module" and node.target in _ADD_CALLS:
        return _read_add(reader, node, values)
    if len(values) != 1 or len(sources) != 1:
        raise _unknown(_kind_of(node, modules), _name(node))
    if node.op == "call_module":
        return _read_module_node(reader, node, _name(node), modules[_name(node)], values[0])
    return _read_call(reader, node, values[0])


def _kind_of(node: fx.Node, modules: dict[str, nn.Module]) -> str:
    """What reports call a node's kind."""
    return type(modules[str(node.target)]).__name__ if node.op == "call_module" else _kind(node)


def _walk(reader: Reader, graph: fx.Graph, modules: dict[str, nn.Module], found: Found | None) -> SourceGraph:
    """Read every node that the scores depend on, in order."""
    scores = _scores(graph)
    flowing: dict[fx.Node, Flowing] = {_frame(graph): reader.frame}
    needed = _reaching(scores)
    for node in graph.nodes:
        if node not in needed or node.op in ("placeholder", "output", "get_attr") or _is_shape(node):
            continue
        sources = [n for n in node.all_input_nodes if not _is_shape(n)]
        values = [flowing[n] for n in sources if n in flowing]
        if found is None:
            _check_branching(sources, values, needed)
            flowing[node] = _read_node(reader, node, sources, values, modules)
        else:
            flowing[node] = _look_at(reader, node, sources, values, modules, needed, found)
    if found is None:
        return reader.finish(flowing[scores])
    if not found.problems or found.problems[-1][0] != _name(scores):  # otherwise the end is known to be wrong
        for name, error in reader.endings(flowing[scores]):
            found.problems.append((name, "", error))
    return reader.graph


def _look_at(
    reader: Reader,
    node: fx.Node,
    sources: list[fx.Node],
    values: list[Flowing],
    modules: dict[str, nn.Module],
    needed: set[fx.Node],
    found: Found,
) -> Flowing:
    """As ``_read_node``, but what is wrong is noted, and something of the node's shape goes on in its place."""
    name, kind = _name(node), _kind_of(node, modules)
    found.layers.append((name, kind))
    try:
        _check_branching(sources, values, needed)
    except UnsupportedModule as error:
        found.problems.append((name, kind, error))
    try:
        return _read_node(reader, node, sources, values, modules)
    except (UnsupportedModule, InvalidValue) as error:
        found.problems.append((name, kind, error))
    shape, dimensions = node.meta["flowing"]
    module = modules.get(str(node.target)) if node.op == "call_module" else None
    kept = [value for value in values if value.shape == shape and value.dimensions == dimensions]
    synapse = module is not None and getattr(getattr(module, "weight", None), "ndim", 0) > 1
    if synapse or (node.op != "call_module" and node.target in _ADD_CALLS):
        return reader.some_sum(name, shape, dimensions)
    if kept and (isinstance(kept[0], Spikes) or any(user.op == "output" for user in node.users)):
        return kept[0]
    return reader.some_spikes(name, shape, dimensions)


def _lazy(module: nn.Module) -> Iterator[tuple[str, InvalidValue]]:
    """Layers whose parameters have no values."""
    for name, values in [*module.named_parameters(), *module.named_buffers()]:
        if is_lazy(values) or values.is_meta:
            layer, _, parameter = name.rpartition(".")
            yield (
                layer,
                InvalidValue(
                    f"layer {layer!r}: {parameter} has no values yet; run the module once on a batch (lazy layers) or load its weights "
                    "(meta device)"
                ),
            )


def _trace(root: nn.Module, kind: str) -> fx.Graph:
    try:
        return _Tracer().trace(root)
    except Exception as error:  # tracing runs the user's own forward, which may raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnsupportedModule(f"cannot trace {kind}: {reason}; forward must not branch on tensor values") from error


class _Shapes(fx.Interpreter):
    """Keeps, beside each node, shape (C, H, W) and axes behind the channels of what it gives for one example."""

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, torch.Tensor):
            sizes = list(result.shape[1:]) or [1]
            axes = min(len(sizes) - 1, 2)
            height, width = [1] * (2 - axes) + sizes[1 : 1 + axes]
            n.meta["flowing"] = ((int(sizes[0]), int(height), int(width)), axes)
        return result


def _note_shapes(traced: fx.GraphModule, shape: Shape, dimensions: int) -> None:
    channels, height, width = shape
    sizes = {0: (channels,), 1: (channels, width), 2: (channels, height, width)}[dimensions]
    try:
        with torch.inference_mode():
            _Shapes(traced).run(torch.zeros(1, *sizes))
    except Exception as error:  # so may running it
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidValue(
            f"the module does not accept a frame of shape {sizes}: {reason}; give the shape that it was made for"
        ) from error


def read_module(
    module: nn.Module, input_shape: Shape, dimensions: int | None = None, found: Found | None = None
) -> SourceGraph:
    """Trace ``module`` in evaluation mode and read its layers.

    Handles Conv1d/2d (strides, groups, dilations, zero padding of any kind), Linear, BatchNorm1d/2d behind either or behind
    an addition, additions of branches of one shape with an activation behind, ReLU as module, function or method (also as
    clamp from 0, with or without upper limit), ReLU6, LeakyReLU, Hardtanh from 0 or symmetric, the activations of
    ``toolchain.nn``, AvgPool1d/2d, AdaptiveAvgPool1d/2d, mean over all places, max pooling of spikes (which stands behind its
    activation in what is returned, wherever it stood), zero padding, slices ``[:, :, ::n, ::n]`` of
    shortcuts, Flatten (also as view or reshape), Dropout, Identity.

    ``dimensions`` are the axes behind the channels that the module takes: 2, 1 for [N, C, L], whose ``input_shape`` is
    ``(C, 1, L)``, or 0; ``None`` takes 0 for vectors and 2 for all others.

    With ``found`` it goes on behind what it cannot read, as if something of that shape stood there, and notes all problems there;
    the graph is whole only if it notes none.

    Raises
    ------
    UnsupportedModule
        Anything else, by name, with the reason and the way out.
    InvalidValue
        Layers that do not fit each other.
    """
    for name, lazy in _lazy(module):
        if found is None:
            raise lazy
        found.problems.append((name, "", lazy))
    if dimensions is None:
        dimensions = 0 if input_shape[1:] == (1, 1) else 2
    root = deepcopy(module).eval()
    graph = _trace(root, type(module).__name__)
    modules = dict(root.named_modules())
    _frame(graph)
    move_behind(graph, modules, lambda node: _rises(node, modules))
    for node, late in _changed_in_place(graph, modules):
        if found is None:
            raise late
        found.problems.append((_name(node), _kind_of(node, modules), late))
    _add_out_of_place(graph)
    traced = fx.GraphModule(root, graph)
    if found is not None:
        _note_shapes(traced, input_shape, dimensions)
    return _walk(Reader(traced, input_shape, dimensions), graph, modules, found)
