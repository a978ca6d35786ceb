"""Read an ``nn.Module`` through torch.fx into a chain of synapse blocks; refuse the rest by name."""

import operator
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.parameter import is_lazy

from toolchain.connection import Connection, Shape
from toolchain.errors import InvalidValue, UnsupportedModule
from toolchain.nn import ACTIVATIONS, QCFS, QuantizedReLU, StReLU, ThresholdLeakyReLU, ThresholdReLU

__all__ = ["Activation", "Block", "SourceGraph", "read_module"]

Pair = tuple[int, int]


@dataclass(frozen=True)
class Activation:
    """An activation of the source network.

    ``kind`` is ``relu``, ``threshold`` (clipped at ``limit``), ``strelu`` (clipped at ±``limit``), ``leaky``
    (multiplied by ``slope`` below 0, then clipped at ±``limit`` unless that is ``None``), or ``qcfs`` and
    ``quantized`` (clipped at λ = ``limit``, quantized to ``levels``); ``node`` is its place in the fx graph.
    """

    name: str
    kind: str
    node: fx.Node
    limit: float | None = None
    levels: int | None = None
    slope: float | None = None


@dataclass
class Block:
    """One synapse with batch norm and pooling folded in, and the activation behind it.

    ``weight`` float64 [C_out, C_in, K_y, K_x] without the ``1/k²`` of pooling; ``bias`` float64 [C_out].
    """

    name: str
    weight: np.ndarray
    bias: np.ndarray
    stride: Pair
    padding: Pair
    pool: Pair
    kind: str
    activation: Activation | None = None

    def connection(self, source: int) -> Connection:
        """As a connection of the spiking network, ``1/k²`` in the weights."""
        return Connection(
            source,
            self.weight / (self.pool[0] * self.pool[1]),
            self.stride,
            self.padding,
            self.pool,
            self.kind,
        )


@dataclass
class SourceGraph:
    """The traced module and its blocks, input to readout."""

    module: fx.GraphModule
    input_shape: Shape
    blocks: list[Block] = field(default_factory=list)


class _Tracer(fx.Tracer):
    """Keeps Spikeloom's activations whole."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, ACTIVATIONS) or super().is_leaf_module(m, module_qualified_name)


def _pair(value: Any) -> Pair:
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[1]))


class _Reader:
    """Walks the graph once; ``shape`` is what flows before the pending pooling."""

    def __init__(self, module: fx.GraphModule, input_shape: Shape):
        self.graph = SourceGraph(module, input_shape)
        self.modules = dict(module.named_modules())
        self.shape = input_shape
        self.pool: Pair = (1, 1)
        self.flat = input_shape[1:] == (1, 1)
        self.open: Block | None = None  # a synapse that waits for its activation

    # ---- what may stand where -------------------------------------------------------------

    @property
    def pooled(self) -> Shape:
        return (self.shape[0], self.shape[1] // self.pool[0], self.shape[2] // self.pool[1])

    def _refuse(self, name: str, what: str, why: str, way_out: str) -> UnsupportedModule:
        return UnsupportedModule(f"{what} {name!r}: {why}; {way_out}")

    def _start(self, block: Block) -> None:
        if self.open is not None:
            raise self._refuse(
                block.name,
                block.kind,
                f"it follows {self.open.name!r} without an activation between them",
                "put a ReLU or an activation of toolchain.nn between, or merge the two layers",
            )
        try:
            output = block.connection(0).output(self.shape)
        except InvalidValue as error:
            raise InvalidValue(
                f"layer {block.name!r}: {error}; give a calibration batch of the network's input shape"
            ) from error
        self.open, self.shape, self.pool = block, output, (1, 1)

    # ---- one handler for each kind of layer ------------------------------------------------

    def conv2d(self, name: str, m: nn.Conv2d) -> None:
        if self.flat and self.shape[1:] != (1, 1):
            raise self._refuse(name, "Conv2d", "it follows a Flatten", "flatten after the last convolution")
        if m.groups != 1:
            raise self._refuse(name, "Conv2d", f"groups is {m.groups}, must be 1", "use an ungrouped convolution")
        if _pair(m.dilation) != (1, 1):
            raise self._refuse(name, "Conv2d", f"dilation is {m.dilation}, must be 1", "use a larger kernel")
        if m.padding_mode != "zeros":
            raise self._refuse(name, "Conv2d", f"padding mode is {m.padding_mode}", "use zero padding")
        kernel, stride = _pair(m.kernel_size), _pair(m.stride)
        if m.padding == "valid":
            padding = (0, 0)
        elif m.padding == "same":
            if kernel[0] % 2 == 0 or kernel[1] % 2 == 0:
                raise self._refuse(
                    name, "Conv2d", f"padding 'same' of kernel {kernel} is lopsided", "use an odd kernel"
                )
            padding = (kernel[0] // 2, kernel[1] // 2)
        else:
            padding = _pair(m.padding)
        self._start(
            Block(name, _float64(m.weight), _bias(m), stride, padding, self.pool, "conv2d"),
        )

    def linear(self, name: str, m: nn.Linear) -> None:
        channels, height, width = self.pooled
        if not self.flat and (height, width) != (1, 1):
            raise self._refuse(
                name, "Linear", f"its input has shape {self.pooled}, not a vector", "put a Flatten before it"
            )
        if m.in_features != channels * height * width:
            raise InvalidValue(
                f"layer {name!r}: Linear takes {m.in_features} features, its input {self.pooled} has "
                f"{channels * height * width}; give a calibration batch of the network's input shape"
            )
        weight = _float64(m.weight).reshape(-1, channels, height, width)
        self._start(Block(name, weight, _bias(m), (1, 1), (0, 0), self.pool, "linear"))
        self.flat = True

    def batch_norm(self, name: str, m: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        if self.open is None or self.pool != (1, 1):
            raise self._refuse(
                name,
                type(m).__name__,
                "it does not stand right behind a Conv2d or Linear",
                "move it between the synapse and its activation",
            )
        if m.running_mean is None or m.running_var is None:
            raise self._refuse(
                name, type(m).__name__, "it has no running statistics", "train it with track_running_stats=True"
            )
        shift = np.zeros(m.num_features) if m.bias is None else _float64(m.bias)
        with np.errstate(all="ignore"):  # finish refuses what is not finite
            scale = 1.0 / np.sqrt(_float64(m.running_var) + m.eps)
            if m.weight is not None:
                scale = scale * _float64(m.weight)
            self.open.weight = self.open.weight * scale[:, None, None, None]
            self.open.bias = (self.open.bias - _float64(m.running_mean)) * scale + shift

    def activation(self, activation: Activation) -> None:
        if self.open is None or self.pool != (1, 1):
            raise self._refuse(
                activation.name,
                activation.kind,
                "it does not stand right behind a Conv2d, Linear or batch norm",
                "put pooling behind the activation and have one activation for each synapse",
            )
        self.open.activation = activation
        self.graph.blocks.append(self.open)
        self.open = None

    def avg_pool(self, name: str, m: nn.AvgPool2d) -> None:
        kernel = _pair(m.kernel_size)
        stride = kernel if m.stride is None else _pair(m.stride)
        if stride != kernel or _pair(m.padding) != (0, 0) or m.ceil_mode or m.divisor_override is not None:
            raise self._refuse(
                name,
                "AvgPool2d",
                f"kernel {kernel}, stride {stride}, padding {m.padding}, ceil_mode {m.ceil_mode}",
                "only windows that do not overlap, without padding and in floor mode, convert exactly",
            )
        if self.open is not None:
            raise self._refuse(
                name,
                "AvgPool2d",
                f"it stands between {self.open.name!r} and its activation",
                "put it behind the activation",
            )
        if self.flat and self.shape[1:] != (1, 1):
            raise self._refuse(name, "AvgPool2d", "it follows a Flatten", "pool before flattening")
        self.pool = (self.pool[0] * kernel[0], self.pool[1] * kernel[1])
        if min(self.pooled[1:]) < 1:
            raise InvalidValue(f"layer {name!r}: pooling window {self.pool} exceeds its input {self.shape}")

    def flatten(self, name: str, start: Any, end: Any) -> None:
        if start != 1 or end not in (-1, 3):
            raise self._refuse(
                name, "Flatten", f"from dimension {start} to {end}", "flatten everything behind the batch: Flatten()"
            )
        if self.open is not None:
            if self.shape[1:] != (1, 1):
                raise self._refuse(
                    name,
                    "Flatten",
                    f"it stands between {self.open.name!r} and its activation",
                    "put it behind the activation",
                )
            return
        self.flat = True

    def finish(self) -> SourceGraph:
        if self.open is None:
            last = self.graph.blocks[-1].activation if self.graph.blocks else None
            if last is None:
                raise UnsupportedModule("the network has no Conv2d or Linear layer; there is nothing to convert")
            raise self._refuse(
                last.name,
                "activation",
                "the network ends with it, its last layer must give plain class scores",
                "end the network with its last Conv2d or Linear",
            )
        if self.pool != (1, 1):
            raise UnsupportedModule(
                "the network ends with average pooling; pooling folds into the layer behind it: end with a Linear"
            )
        if self.shape[1:] != (1, 1):
            raise UnsupportedModule(
                f"the last layer {self.open.name!r} gives {self.shape}, must be a vector of class scores; "
                "end the network with a Linear layer"
            )
        self.graph.blocks.append(self.open)
        for block in self.graph.blocks:
            for kind, values in (("weight", block.weight), ("bias", block.bias)):
                if not np.isfinite(values).all():
                    raise InvalidValue(
                        f"layer {block.name!r}: {kind} holds {np.sum(~np.isfinite(values))} NaN or infinite "
                        "values; train the network again or repair its weights"
                    )
        return self.graph


def _float64(tensor: Tensor) -> np.ndarray:
    values: np.ndarray = tensor.detach().cpu().double().numpy()
    return values


def _bias(m: nn.Conv2d | nn.Linear) -> np.ndarray:
    return np.zeros(m.weight.shape[0]) if m.bias is None else _float64(m.bias)


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
_DROPOUT_CALLS = {F.dropout, F.dropout2d}
_FLATTEN_CALLS = {torch.flatten, "flatten"}
_RESHAPE_CALLS = {torch.reshape, "view", "reshape"}
_SHAPE_CALLS = {getattr, operator.getitem, "size"}


def _name(node: fx.Node) -> str:
    """What the user calls it: the module's path, otherwise the name of the call."""
    return str(node.target) if node.op == "call_module" else node.name


def _is_shape(node: fx.Node) -> bool:
    """Whether a node computes with the batch size only, as in ``x.view(x.size(0), -1)``."""
    return node.target in _SHAPE_CALLS and (node.target is not getattr or node.args[1] == "shape")


def _read_module_node(reader: _Reader, node: fx.Node, name: str, m: nn.Module) -> None:
    if isinstance(m, nn.Conv2d):
        reader.conv2d(name, m)
    elif isinstance(m, nn.Linear):
        reader.linear(name, m)
    elif isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d):
        reader.batch_norm(name, m)
    elif isinstance(m, QCFS):
        limit = float(m.threshold.detach())
        reader.activation(Activation(name, "qcfs", node, limit, m.levels))
    elif isinstance(m, ThresholdReLU):
        reader.activation(Activation(name, "threshold", node, m.threshold))
    elif isinstance(m, StReLU):
        reader.activation(Activation(name, "strelu", node, m.threshold))
    elif isinstance(m, QuantizedReLU):
        reader.activation(Activation(name, "quantized", node, float(m.threshold.detach()), m.levels))
    elif isinstance(m, ThresholdLeakyReLU):
        reader.activation(Activation(name, "leaky", node, m.threshold, slope=m.slope))
    elif isinstance(m, nn.LeakyReLU):
        reader.activation(_leaky(node, name, m.negative_slope))
    elif isinstance(m, nn.Hardtanh):  # ReLU6 is one
        reader.activation(_clipped(node, name, type(m).__name__, m.min_val, m.max_val))
    elif isinstance(m, nn.ReLU):
        reader.activation(Activation(name, "relu", node))
    elif isinstance(m, nn.AvgPool2d):
        reader.avg_pool(name, m)
    elif isinstance(m, nn.Flatten):
        reader.flatten(name, m.start_dim, m.end_dim)
    elif not isinstance(m, nn.Dropout | nn.Dropout2d | nn.Identity):
        raise _unknown(type(m).__name__, name)


_WAYS_OUT = {
    "MaxPool2d": "a maximum of spikes is not a maximum of rates: use AvgPool2d and fine-tune",
    "max_pool2d": "a maximum of spikes is not a maximum of rates: use average pooling and fine-tune",
    "AdaptiveAvgPool2d": "use AvgPool2d with the window written out",
    "adaptive_avg_pool2d": "use average pooling with the window written out",
    "clamp_min": "use ReLU or clamp(min=0)",
    "threshold": "use ReLU or clamp(min=0)",
    "constant": "move the constant into the weights or the bias of the layer before it",
    "hardtanh": "use the module nn.Hardtanh or x.clamp(0, a)",
    "Softmax": "leave it out: the arg-max of the scores is the same",
    "LogSoftmax": "leave it out: the arg-max of the scores is the same",
    "add": "joins of two branches are not converted yet: use a chain of layers",
    "cat": "joins of two branches are not converted yet: use a chain of layers",
}


_ARITHMETIC = {"add", "sub", "mul", "div", "truediv", "neg"}


def _unknown(kind: str, name: str) -> UnsupportedModule:
    way_out = _WAYS_OUT.get(
        kind,
        "use Conv2d, Linear, BatchNorm, ReLU, LeakyReLU, Hardtanh, an activation of toolchain.nn, AvgPool2d, Flatten, "
        "Dropout or Identity",
    )
    return UnsupportedModule(f"{kind} {name!r} has no exact spiking counterpart; {way_out}")


def _read_call(reader: _Reader, node: fx.Node) -> None:
    call, name = node.target, node.name
    arguments: dict[str, Any] = dict(node.kwargs)
    if call in _RELU_CALLS:
        reader.activation(Activation(name, "relu", node))
    elif call is F.relu6:
        reader.activation(Activation(name, "threshold", node, 6.0))
    elif call in _LEAKY_CALLS:
        arguments.update(zip(("negative_slope",), node.args[1:], strict=False))
        reader.activation(_leaky(node, name, arguments.get("negative_slope", 0.01)))
    elif call in _CLAMP_CALLS:
        arguments.update(zip(("min", "max"), node.args[1:], strict=False))
        reader.activation(_clipped(node, name, "clamp", arguments.get("min"), arguments.get("max")))
    elif call is F.avg_pool2d:
        names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
        arguments.update(zip(names, node.args[1:], strict=False))
        reader.avg_pool(name, nn.AvgPool2d(**arguments))
    elif call in _FLATTEN_CALLS:
        arguments.update(zip(("start_dim", "end_dim"), node.args[1:], strict=False))
        reader.flatten(name, arguments.get("start_dim", 0), arguments.get("end_dim", -1))
    elif call in _RESHAPE_CALLS:
        sizes = node.args[1:]
        if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
            sizes = tuple(sizes[0])
        features = int(np.prod(reader.pooled))
        if len(sizes) != 2 or sizes[1] not in (-1, features) or (isinstance(sizes[0], int) and sizes[0] != -1):
            raise UnsupportedModule(
                f"{getattr(call, '__name__', call)} {name!r} to {sizes} is not a flattening; use x.flatten(1)"
            )
        reader.flatten(name, 1, -1)
    elif call not in _DROPOUT_CALLS:
        kind = getattr(call, "__name__", str(call))
        alone = sum(isinstance(argument, fx.Node) for argument in node.args) == 1
        if alone and kind.strip("_").removeprefix("i") in _ARITHMETIC:
            raise UnsupportedModule(f"{kind} {name!r} computes with a constant; {_WAYS_OUT['constant']}")
        raise _unknown(kind, name)


def _chain(graph: fx.Graph) -> list[fx.Node]:
    """The tensor nodes in order; a graph that is no chain is refused at the node that breaks it."""
    placeholders = [n for n in graph.nodes if n.op == "placeholder"]
    if len(placeholders) != 1:
        raise UnsupportedModule(
            f"the network takes {len(placeholders)} inputs ({', '.join(n.name for n in placeholders)}), must take one"
        )
    chain = [placeholders[0]]
    for node in graph.nodes:
        if node.op == "placeholder" or (node.op in ("call_function", "call_method") and _is_shape(node)):
            continue
        tensors = [n for n in node.all_input_nodes if not _is_shape(n)]
        if node.op == "get_attr" or len(tensors) != 1:
            kind = getattr(node.target, "__name__", str(node.target))
            raise _unknown(kind.lstrip("_"), node.name)
        if tensors[0] is not chain[-1]:
            raise UnsupportedModule(
                f"{_name(node)!r} reads {_name(tensors[0])!r} instead of {_name(chain[-1])!r}, the layer before it: "
                "branches are not converted yet; use a chain of layers"
            )
        if node.op != "output":
            chain.append(node)
    return chain[1:]


def read_module(module: nn.Module, input_shape: Shape) -> SourceGraph:
    """Trace ``module`` in evaluation mode and read its layers.

    Handles Conv2d, Linear, BatchNorm1d/2d behind either, ReLU as module, function or method (also as clamp
    from 0, with or without upper limit), ReLU6, LeakyReLU, Hardtanh from 0 or symmetric, the activations of
    ``toolchain.nn``, AvgPool2d, Flatten (also as view or reshape), Dropout, Identity.

    Raises
    ------
    UnsupportedModule
        Anything else, by name, with the reason and the way out.
    InvalidValue
        Layers that do not fit each other.
    """
    for name, values in [*module.named_parameters(), *module.named_buffers()]:
        if is_lazy(values) or values.is_meta:
            raise InvalidValue(
                f"layer {name.rpartition('.')[0]!r}: {name.rpartition('.')[2]} has no values yet; run the module once on "
                "a batch (lazy layers) or load its weights (meta device)"
            )
    root = deepcopy(module).eval()
    try:
        graph = _Tracer().trace(root)
    except Exception as error:  # tracing runs the user's own forward, which may raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnsupportedModule(
            f"cannot trace {type(module).__name__}: {reason}; forward must not branch on tensor values"
        ) from error
    traced = fx.GraphModule(root, graph)
    reader = _Reader(traced, input_shape)
    handlers: dict[str, Callable[[fx.Node], None]] = {
        "call_module": lambda n: _read_module_node(reader, n, _name(n), reader.modules[_name(n)]),
        "call_function": lambda n: _read_call(reader, n),
        "call_method": lambda n: _read_call(reader, n),
    }
    for node in _chain(graph):
        handlers[node.op](node)
    return reader.finish()
