"""Read an ``nn.Module`` through torch.fx into blocks of synapses and an activation; refuse the rest by name."""

import operator
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.parameter import is_lazy

from toolchain.connection import Shape
from toolchain.convert.blocks import Activation, Block, SourceGraph
from toolchain.convert.flowing import Spikes, Sum
from toolchain.convert.maxima import move_behind
from toolchain.convert.nodes import Flowing, is_addition, is_shape, kind_of, name_of, read_node, rises
from toolchain.convert.reader import Reader
from toolchain.errors import InvalidValue, SpikeloomError, UnsupportedModule
from toolchain.nn import ACTIVATIONS
from toolchain.parts import PARTS

__all__ = ["Activation", "Block", "Found", "SourceGraph", "read_module"]


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


_IN_PLACE = {operator.iadd, F.relu_, torch.relu_, torch.clamp_, F.leaky_relu_}


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
            late = [user for user in operand.users if order[user] > order[node] and not is_shape(user)]
            if late:
                yield (
                    node,
                    UnsupportedModule(
                        f"{name_of(node)!r} changes {name_of(operand)!r} in place, which {name_of(late[0])!r} reads afterwards; write it "
                        "without the in-place form"
                    ),
                )


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
        readers = [name_of(user) for user in source.users if user in needed and not is_shape(user)]
        if isinstance(value, Sum) and len(readers) > 1:
            raise UnsupportedModule(
                f"{name_of(source)!r} is read by {' and '.join(map(repr, readers))} before its activation, so each would need a "
                "copy of its weights; put the branching behind an activation"
            )


def _walk(reader: Reader, graph: fx.Graph, modules: dict[str, nn.Module], found: Found | None) -> SourceGraph:
    """Read every node that the scores depend on, in order."""
    scores = _scores(graph)
    flowing: dict[fx.Node, Flowing] = {_frame(graph): reader.frame}
    needed = _reaching(scores)
    for node in graph.nodes:
        if node not in needed or node.op in ("placeholder", "output", "get_attr") or is_shape(node):
            continue
        sources = [n for n in node.all_input_nodes if not is_shape(n)]
        values = [flowing[n] for n in sources if n in flowing]
        if found is None:
            _check_branching(sources, values, needed)
            flowing[node] = read_node(reader, node, sources, values, modules)
        else:
            flowing[node] = _look_at(reader, node, sources, values, modules, needed, found)
    if found is None:
        return reader.finish(flowing[scores])
    if not found.problems or found.problems[-1][0] != name_of(scores):  # otherwise the end is known to be wrong
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
    """As ``read_node``, but what is wrong is noted, and something of the node's shape goes on in its place."""
    name, kind = name_of(node), kind_of(node, modules)
    found.layers.append((name, kind))
    try:
        _check_branching(sources, values, needed)
    except UnsupportedModule as error:
        found.problems.append((name, kind, error))
    try:
        return read_node(reader, node, sources, values, modules)
    except (UnsupportedModule, InvalidValue) as error:
        found.problems.append((name, kind, error))
    shape, dimensions = node.meta["flowing"]
    module = modules.get(str(node.target)) if node.op == "call_module" else None
    kept = [value for value in values if value.shape == shape and value.dimensions == dimensions]
    synapse = module is not None and getattr(getattr(module, "weight", None), "ndim", 0) > 1
    if synapse or is_addition(node):
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
    move_behind(graph, modules, lambda node: rises(node, modules))
    for node, late in _changed_in_place(graph, modules):
        if found is None:
            raise late
        found.problems.append((name_of(node), kind_of(node, modules), late))
    _add_out_of_place(graph)
    traced = fx.GraphModule(root, graph)
    if found is not None:
        _note_shapes(traced, input_shape, dimensions)
    return _walk(Reader(traced, input_shape, dimensions), graph, modules, found)
