"""What each node of a traced network is: a layer or call, with its arguments, given to the reader's method for it."""

import operator
from math import inf
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

from toolchain.convert.blocks import Activation
from toolchain.convert.flowing import Spikes, Sum
from toolchain.convert.maxima import ADAPTIVE_MAX_CALLS, AMAX_CALLS, MAX_CALLS
from toolchain.convert.reader import Reader
from toolchain.errors import NoCounterpart, UnsupportedModule
from toolchain.nn import ACTIVATIONS, QCFS, QuantizedReLU, StReLU, ThresholdLeakyReLU, ThresholdReLU
from toolchain.parts import Addition, Frame, Row, Subsampling

__all__ = ["Flowing", "is_addition", "is_shape", "kind_of", "name_of", "read_node", "rises"]

Flowing = Spikes | Sum


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


def name_of(node: fx.Node) -> str:
    """What the user calls it: the module's path, otherwise the name of the call."""
    return str(node.target) if node.op == "call_module" else node.name


def is_shape(node: fx.Node) -> bool:
    """Whether a node computes with sizes only, as in ``x.view(x.size(0), -1)``."""
    if node.op not in ("call_function", "call_method"):
        return False
    if node.target is operator.getitem:
        return isinstance(node.args[0], fx.Node) and is_shape(node.args[0])
    return node.target == "size" or (node.target is getattr and node.args[1] == "shape")


def is_addition(node: fx.Node) -> bool:
    """Whether a node is a call that adds."""
    return node.op != "call_module" and node.target in _ADD_CALLS


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


def read_node(
    reader: Reader, node: fx.Node, sources: list[fx.Node], values: list[Flowing], modules: dict[str, nn.Module]
) -> Flowing:
    """What flows out of a node whose ``sources`` give ``values``."""
    if node.op == "call_module" and isinstance(modules[name_of(node)], Addition):
        return reader.add(name_of(node), *(values if len(values) == 2 else values * 2))
    if is_addition(node):
        return _read_add(reader, node, values)
    if len(values) != 1 or len(sources) != 1:
        raise _unknown(kind_of(node, modules), name_of(node))
    if node.op == "call_module":
        return _read_module_node(reader, node, name_of(node), modules[name_of(node)], values[0])
    return _read_call(reader, node, values[0])


def kind_of(node: fx.Node, modules: dict[str, nn.Module]) -> str:
    """What reports call a node's kind."""
    return type(modules[str(node.target)]).__name__ if node.op == "call_module" else _kind(node)


_RISING = (nn.ReLU, nn.Hardtanh, nn.LeakyReLU, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Identity, *ACTIVATIONS)
_RISING_CALLS = {*_RELU_CALLS, *_LEAKY_CALLS, *_CLAMP_CALLS, *_DROPOUT_CALLS, F.relu6}


def rises(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether a node computes place by place what never falls: the maximum may be taken before or behind it."""
    if len(node.all_input_nodes) != 1:
        return False
    if node.op != "call_module":
        return node.op in ("call_function", "call_method") and node.target in _RISING_CALLS
    m = modules[str(node.target)]
    if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d):
        return m.weight is None or bool((m.weight >= 0).all())
    return isinstance(m, _RISING)
