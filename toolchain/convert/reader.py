"""Fold what stands between the activations of a source network into the synapses of spiking layers; refuse the rest."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import Tensor, fx, nn

from toolchain.connection import Connection, Shape
from toolchain.convert.flowing import Spikes, Sum, identity
from toolchain.convert.maxima import stacked
from toolchain.errors import InvalidValue, SpikeloomError, UnsupportedModule
from toolchain.ir import INPUT
from toolchain.parts import Frame
from toolchain.pooling import Pair

__all__ = ["Activation", "Block", "Reader", "SourceGraph"]

MAX_BRANCHES = 256
"""Connections of one layer; an addition of a sum to itself doubles them."""
_PLAIN = "write the layer it belongs to with its own stride and padding"


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


@dataclass(frozen=True)
class Block:
    """The synapses of one spiking layer, batch norm and pooling folded in, and the activation behind them.

    ``connections`` have float64 weights and read earlier blocks by their index; ``bias`` float64 [C_out].
    """

    name: str
    connections: tuple[Connection, ...]
    bias: np.ndarray
    activation: Activation | None


@dataclass
class SourceGraph:
    """The traced module and its blocks, input to readout.

    Max poolings that stood before an activation stand behind it in ``module``; ``maxima`` names all of them, kind and name.
    """

    module: fx.GraphModule
    input_shape: Shape
    blocks: list[Block] = field(default_factory=list)
    maxima: list[str] = field(default_factory=list)


def _float64(tensor: Tensor) -> np.ndarray:
    values: np.ndarray = tensor.detach().cpu().double().numpy()
    return values


def _bias(m: nn.Conv1d | nn.Conv2d | nn.Linear) -> np.ndarray:
    return np.zeros(m.weight.shape[0]) if m.bias is None else _float64(m.bias)


def _pair(value: Any, dimensions: int = 2) -> Pair:
    """A size along y and x; one-dimensional data has 1 place along y, whose size is not looked at."""
    values = (value,) * dimensions if isinstance(value, int) else tuple(map(int, value))
    if len(values) == 1 and dimensions == 2:
        values *= 2
    return (values[0], values[1]) if dimensions == 2 else (1, values[0])


def _refuse(name: str, what: str, why: str, way_out: str) -> UnsupportedModule:
    return UnsupportedModule(f"{what} {name!r}: {why}; {way_out}")


class Reader:
    """One method for each kind of layer: from what flows in to what flows out; activations are added to ``graph``."""

    def __init__(self, module: fx.GraphModule, input_shape: Shape, dimensions: int):
        self.graph = SourceGraph(module, input_shape)
        self.frame = Spikes("input", INPUT, input_shape, dimensions)

    def given(self, name: str, m: Frame, flowing: Spikes | Sum) -> Spikes:
        """The frame of a network that says what it takes."""
        spikes = self._behind(name, "Frame", flowing)
        found = (spikes.shape[0], *spikes.shape[3 - spikes.dimensions :]) if spikes.dimensions else spikes.shape
        m.check(found)
        if m.flattened:
            return replace(spikes, name=name, dimensions=0)
        return replace(spikes, name=name, dimensions=len(m.shape) - 1)

    # ---- synapses --------------------------------------------------------------------------

    def _spikes(self, name: str, kind: str, flowing: Spikes | Sum) -> Spikes:
        if isinstance(flowing, Sum):
            self._check_addition(name, kind, flowing)
            raise _refuse(
                name,
                kind,
                f"it follows {flowing.made_by!r} without an activation between them",
                "put a ReLU or an activation of toolchain.nn between, or merge the two layers",
            )
        return flowing

    def _check_addition(self, name: str, kind: str, flowing: Sum) -> None:
        if len(flowing.connections) > 1:
            raise _refuse(
                name,
                kind,
                f"it reads the addition {flowing.made_by!r}, behind which no neuron fires",
                "put a ReLU or an activation of toolchain.nn right behind the addition",
            )

    def _sum(self, name: str, connection: Connection, bias: np.ndarray, spikes: Spikes, dimensions: int) -> Sum:
        try:
            output = connection.output(spikes.layer)
        except InvalidValue as error:
            raise InvalidValue(
                f"layer {name!r}: {error}; give a calibration batch of the network's input shape"
            ) from error
        return Sum(name, name, (connection,), bias, output, dimensions)

    def convolution(self, name: str, m: nn.Conv1d | nn.Conv2d, flowing: Spikes | Sum) -> Sum:
        kind, dimensions = type(m).__name__, 1 if isinstance(m, nn.Conv1d) else 2
        spikes = self._spikes(name, kind, flowing)
        if spikes.dimensions == 0 and spikes.shape[1:] != (1, 1):
            raise _refuse(name, kind, "it follows a Flatten", "flatten after the last convolution")
        if spikes.dimensions not in (0, dimensions):
            raise _refuse(
                name,
                kind,
                f"its input has {spikes.dimensions} axes behind the channels",
                "use Conv2d on [N, C, H, W], Conv1d on [N, C, L], or flatten(2) where H is 1",
            )
        if spikes.cut:
            raise _refuse(name, kind, f"it reads {spikes.name!r}, a slice or channels of zeros", _PLAIN)
        if m.padding_mode != "zeros":
            raise _refuse(name, kind, f"padding mode is {m.padding_mode}", "use zero padding")
        dilation = _pair(m.dilation, dimensions)
        if isinstance(m.padding, str):
            spans = [d * (k - 1) for d, k in zip(dilation, _pair(m.kernel_size, dimensions), strict=True)]
            same = m.padding == "same"
            pads = [(span // 2, span - span // 2) if same else (0, 0) for span in spans]
        else:
            padding = _pair(m.padding, dimensions)
            pads = [(0, 0) if dimensions == 1 else (padding[0],) * 2, (padding[1],) * 2]
        (top, bottom), (left, right) = (
            (own[0] + around[0], own[1] + around[1]) for own, around in zip(pads, spikes.pads, strict=True)
        )
        weight = _float64(m.weight).reshape(m.weight.shape[0], m.weight.shape[1], -1, m.weight.shape[-1])
        connection = Connection(
            spikes.source,
            weight / (spikes.pool[0] * spikes.pool[1]),
            _pair(m.stride, dimensions),
            (top, left),
            spikes.pool,
            padding_after=(bottom, right),
            dilation=dilation,
            groups=m.groups,
            maximum=spikes.maximum,
        )
        return self._sum(name, connection, _bias(m), spikes, dimensions)

    def linear(self, name: str, m: nn.Linear, flowing: Spikes | Sum) -> Sum:
        spikes = self._spikes(name, "Linear", flowing)
        channels, height, width = spikes.shape
        if spikes.dimensions and (height, width) != (1, 1):
            raise _refuse(
                name, "Linear", f"its input has shape {spikes.shape}, not a vector", "put a Flatten before it"
            )
        if spikes.cut or spikes.padded:
            raise _refuse(name, "Linear", f"it reads {spikes.name!r}, a slice or zeros put around", "leave them out")
        if m.in_features != channels * height * width:
            raise InvalidValue(
                f"layer {name!r}: Linear takes {m.in_features} features, its input {spikes.shape} has "
                f"{channels * height * width}; give a calibration batch of the network's input shape"
            )
        weight = _float64(m.weight).reshape(-1, channels, height, width) / (spikes.pool[0] * spikes.pool[1])
        connection = Connection(spikes.source, weight, pool=spikes.pool, kind="linear", maximum=spikes.maximum)
        return self._sum(name, connection, _bias(m), spikes, 0)

    def add(self, name: str, one: Spikes | Sum, other: Spikes | Sum) -> Sum:
        """Residual join: the connections of both sides; spikes that go round a block come in by an identity."""
        sides = [self._joined(name, side) for side in (one, other)]
        shapes = [(side.shape, side.dimensions) for side in sides]
        if shapes[0] != shapes[1]:
            raise _refuse(
                name,
                "add",
                f"it adds {sides[0].made_by!r} of shape {shapes[0][0]} to {sides[1].made_by!r} of shape {shapes[1][0]}",
                "bring both to one shape, for instance by a 1 × 1 convolution with a stride on the shortcut",
            )
        connections = tuple(c for side in sides for c in side.connections)
        if len(connections) > MAX_BRANCHES:
            raise _refuse(
                name, "add", f"it joins {len(connections)} branches, the limit is {MAX_BRANCHES}", "join fewer branches"
            )
        if any(c.source == INPUT for c in connections):
            raise _refuse(
                name,
                "add",
                "one side reads the input frame, whose pixels no layer can add to spikes",
                "put a layer with an activation before the branches part",
            )
        named = next((side.name for side in (one, other) if isinstance(side, Sum)), name)
        return Sum(named, name, connections, sides[0].bias + sides[1].bias, sides[0].shape, sides[0].dimensions)

    def _joined(self, name: str, side: Spikes | Sum) -> Sum:
        if isinstance(side, Sum):
            return side
        if side.padded or (side.dimensions == 0 and side.shape[1:] != (1, 1)):
            raise _refuse(
                name,
                "add",
                f"{side.name!r} was flattened or has zeros around it",
                "add before flattening, without padding",
            )
        return Sum(name, side.name, (identity(side),), np.zeros(side.shape[0]), side.shape, side.dimensions)

    # ---- what stands between a synapse and its activation ----------------------------------

    def batch_norm(self, name: str, m: nn.BatchNorm1d | nn.BatchNorm2d, flowing: Spikes | Sum) -> Sum:
        kind = type(m).__name__
        if isinstance(flowing, Spikes):
            raise _refuse(
                name,
                kind,
                "it does not stand right behind a Conv2d or Linear",
                "move it between the synapse and its activation",
            )
        if m.running_mean is None or m.running_var is None:
            raise _refuse(name, kind, "it has no running statistics", "train it with track_running_stats=True")
        if m.num_features != flowing.shape[0]:
            raise InvalidValue(
                f"layer {name!r}: {kind} takes {m.num_features} channels, its input has {flowing.shape[0]}"
            )
        shift = np.zeros(m.num_features) if m.bias is None else _float64(m.bias)
        with np.errstate(all="ignore"):  # finish refuses what is not finite
            scale = 1.0 / np.sqrt(_float64(m.running_var) + m.eps)
            if m.weight is not None:
                scale = scale * _float64(m.weight)
            return flowing.normalized(_float64(m.running_mean), scale, shift, name)

    def activation(self, activation: Activation, flowing: Spikes | Sum) -> Spikes:
        if isinstance(flowing, Spikes):
            raise _refuse(
                activation.name,
                activation.kind,
                "it does not stand right behind a Conv2d, Linear, batch norm or addition",
                "put pooling behind the activation and have one activation for each synapse",
            )
        self.graph.blocks.append(Block(flowing.name, flowing.connections, flowing.bias, activation))
        return Spikes(activation.name, len(self.graph.blocks) - 1, flowing.shape, flowing.dimensions)

    # ---- what spikes go through ------------------------------------------------------------

    def _behind(self, name: str, kind: str, flowing: Spikes | Sum) -> Spikes:
        if isinstance(flowing, Sum):
            self._check_addition(name, kind, flowing)
            raise _refuse(
                name,
                kind,
                f"it stands between {flowing.made_by!r} and its activation",
                "put it behind the activation",
            )
        return flowing

    def _unflattened(self, name: str, kind: str, spikes: Spikes) -> None:
        if spikes.dimensions == 0 and spikes.shape[1:] != (1, 1):
            raise _refuse(name, kind, "it follows a Flatten", "pool before flattening")
        if spikes.dimensions and kind.endswith(("1d", "2d")) and int(kind[-2]) != spikes.dimensions:
            raise _refuse(
                name,
                kind,
                f"its input has {spikes.dimensions} axes behind the channels",
                f"use pooling of {spikes.dimensions}d",
            )

    def average(self, name: str, kind: str, window: Pair, flowing: Spikes | Sum) -> Spikes:
        """Windows side by side, the rim that none covers left out."""
        spikes = self._behind(name, kind, flowing)
        self._unflattened(name, kind, spikes)
        if spikes.cut or spikes.padded:
            raise _refuse(name, kind, f"it reads {spikes.name!r}, a slice or zeros put around", "pool first")
        pool = (spikes.pool[0] * window[0], spikes.pool[1] * window[1])
        pooled = replace(spikes, name=name, pool=pool)
        if min(pooled.shape[1:]) < 1:
            raise InvalidValue(f"layer {name!r}: pooling window {pool} exceeds its input {spikes.layer}")
        return pooled

    def avg_pool(self, name: str, m: nn.AvgPool1d | nn.AvgPool2d, flowing: Spikes | Sum) -> Spikes:
        kind, dimensions = type(m).__name__, 1 if isinstance(m, nn.AvgPool1d) else 2
        kernel, stride = _pair(m.kernel_size, dimensions), _pair(m.stride, dimensions)
        divisor = getattr(m, "divisor_override", None)
        pads = m.padding if isinstance(m.padding, tuple) else (m.padding,)
        if stride != kernel or any(pads) or m.ceil_mode or divisor is not None:
            raise _refuse(
                name,
                kind,
                f"kernel {kernel}, stride {stride}, padding {m.padding}, ceil_mode {m.ceil_mode}",
                "only windows that do not overlap, without padding and in floor mode, convert exactly",
            )
        return self.average(name, kind, kernel, flowing)

    def maximum(
        self,
        name: str,
        kind: str,
        window: Pair,
        flowing: Spikes | Sum,
        *,
        stride: Pair | None = None,
        padding: Pair = (0, 0),
        ceil: bool = False,
    ) -> Spikes:
        """Largest value of each window, side by side without a ``stride``; zeros around the frame count as its padding."""
        spikes = self._unpooled(name, kind, flowing)
        found = stacked(
            (spikes.layer[1], spikes.layer[2]), spikes.maximum, spikes.pads, window, stride or window, padding, ceil
        )
        if found is None:
            why = f"behind {spikes.name!r} it reads places that no single window covers"
            raise _refuse(name, kind, why, "use one max pooling, or windows without gaps and rims between them")
        pooled = replace(spikes, name=name, maximum=found, pads=((0, 0), (0, 0)))
        if min(pooled.shape[1:]) < 1:
            raise InvalidValue(f"layer {name!r}: pooling window {window} exceeds its input {spikes.shape}")
        self.graph.maxima.append(f"{kind} {name!r}")
        return pooled

    def _unpooled(self, name: str, kind: str, flowing: Spikes | Sum) -> Spikes:
        """Spikes of which a maximum can be taken."""
        if isinstance(flowing, Sum):
            why = f"it pools {flowing.made_by!r}, and no activation follows behind which it could move"
            kept = "a flattening, or batch norm with a negative factor, keeps it before"
            raise _refuse(name, kind, why, f"put it right behind the activation ({kept})")
        self._unflattened(name, kind, flowing)
        if flowing.source == INPUT:
            why = "it reads the input frame, whose pixels are no spike trains"
            raise _refuse(name, kind, why, "pool the images before, or put a layer with an activation before it")
        if flowing.pool != (1, 1):
            why = f"it reads {flowing.name!r}, a mean of spikes, which is no spike train"
            raise _refuse(name, kind, why, "take the maximum first, or the mean in both")
        if flowing.cut:
            raise _refuse(name, kind, f"it reads {flowing.name!r}, a slice or channels of zeros", "pool first")
        return flowing

    def max_pool(self, name: str, m: nn.MaxPool1d | nn.MaxPool2d, flowing: Spikes | Sum) -> Spikes:
        kind, dimensions = type(m).__name__, 1 if isinstance(m, nn.MaxPool1d) else 2
        if _pair(m.dilation, dimensions) != (1, 1) or m.return_indices:
            why = f"dilation {m.dilation}, return_indices {m.return_indices}"
            raise _refuse(name, kind, why, "only windows without gaps convert, and places are not handed on")
        padding = _pair(m.padding, dimensions)
        return self.maximum(
            name,
            kind,
            _pair(m.kernel_size, dimensions),
            flowing,
            stride=_pair(m.stride or m.kernel_size, dimensions),
            padding=padding if dimensions == 2 else (0, padding[1]),
            ceil=bool(m.ceil_mode),
        )

    def amax(self, name: str, axes: Any, keepdim: bool, flowing: Spikes | Sum) -> Spikes:
        """Maximum over all places: global max pooling."""
        spikes = self._unpooled(name, "amax", flowing)
        self._all_places(name, "amax", axes, spikes)
        pooled = self.maximum(name, "amax", (spikes.shape[1], spikes.shape[2]), spikes)
        return pooled if keepdim else replace(pooled, dimensions=0)

    def adaptive(self, name: str, kind: str, size: Any, flowing: Spikes | Sum) -> Spikes:
        """Pooling to ``size`` places, which must divide those there are; 1 is global pooling."""
        largest = "max" in kind.lower()
        spikes = self._unpooled(name, kind, flowing) if largest else self._behind(name, kind, flowing)
        dimensions = 1 if kind.endswith("1d") else 2
        sizes = tuple(size) if isinstance(size, tuple | list) else (size,) * dimensions
        asked = sizes if dimensions == 2 else (1, *sizes)
        found = spikes.shape[1:]
        if any(n is not None and (n < 1 or have % n) for n, have in zip(asked, found, strict=True)):
            raise _refuse(
                name,
                kind,
                f"{size} places of {found} need windows of different sizes",
                "ask for 1, or for a number that divides the frame",
            )
        window = tuple(1 if n is None else have // n for n, have in zip(asked, found, strict=True))
        pool = self.maximum if largest else self.average
        return pool(name, kind, (window[0], window[1]), flowing)

    def _all_places(self, name: str, kind: str, axes: Any, spikes: Spikes) -> None:
        behind = spikes.dimensions
        given = (axes,) if isinstance(axes, int) else tuple(axes or ())
        if not behind or {a % (2 + behind) for a in given} != set(range(2, 2 + behind)):
            raise _refuse(
                name, kind, f"over axes {axes}", f"take the {kind} over all axes behind the channels: {kind}((2, 3))"
            )

    def mean(self, name: str, axes: Any, keepdim: bool, flowing: Spikes | Sum) -> Spikes:
        """Mean over all places: global average pooling."""
        spikes = self._behind(name, "mean", flowing)
        self._all_places(name, "mean", axes, spikes)
        pooled = self.average(name, "mean", (spikes.shape[1], spikes.shape[2]), spikes)
        return pooled if keepdim else replace(pooled, dimensions=0)

    def zeros(self, name: str, kind: str, amounts: tuple[int, ...], flowing: Spikes | Sum) -> Spikes:
        """Zeros before and behind, last axis first, as ``torch.nn.functional.pad`` has them; channels come last."""
        spikes = self._behind(name, kind, flowing)
        pairs = [(amounts[i], amounts[i + 1]) for i in range(0, len(amounts) - 1, 2)]
        most = spikes.dimensions + 1
        if len(amounts) % 2 or not spikes.dimensions or len(pairs) > most or min(amounts, default=0) < 0:
            raise _refuse(name, kind, f"amounts {amounts}", "put zeros around frames or channels, none less than 0")
        pairs += [(0, 0)] * (most - len(pairs))
        x, y = pairs[0], pairs[1] if spikes.dimensions == 2 else (0, 0)
        channels = pairs[-1]
        if (spikes.cut and (x, y) != ((0, 0), (0, 0))) or (spikes.padded and channels != (0, 0)):
            raise _refuse(name, kind, "it puts zeros around a slice, or both around places and channels", _PLAIN)
        (top, bottom), (left, right) = spikes.pads
        return replace(
            spikes,
            name=name,
            pads=((top + y[0], bottom + y[1]), (left + x[0], right + x[1])),
            channels=(spikes.channels[0] + channels[0], spikes.channels[1] + channels[1]),
        )

    def sliced(self, name: str, places: Any, flowing: Spikes | Sum) -> Spikes:
        """``x[:, :, ::s, ::s]``, the subsampling of a shortcut without weights."""
        spikes = self._behind(name, "slice", flowing)
        steps = [
            place.step or 1
            if isinstance(place, slice) and place.start in (None, 0) and place.stop is None and (place.step or 1) > 0
            else 0
            for place in (places if isinstance(places, tuple) else (places,))
        ]
        steps += [1] * (2 + spikes.dimensions - len(steps))
        if len(steps) != 2 + spikes.dimensions or spikes.padded or steps[:2] != [1, 1] or 0 in steps:
            raise _refuse(
                name, "slice", f"it takes a part {places}", "only every n-th place, x[:, :, ::n, ::n], converts"
            )
        along = (1, *steps[2:]) if spikes.dimensions == 1 else (*steps[2:], 1, 1)
        stride = (spikes.stride[0] * along[0], spikes.stride[1] * along[1])
        return replace(spikes, name=name, stride=stride)

    def squeeze(self, name: str, axis: Any, flowing: Spikes | Sum) -> Spikes | Sum:
        """An axis of one place less; of H and W both, H goes first, since the places that are left are told apart along x."""
        sizes = flowing.shape[1:] if flowing.dimensions == 2 else flowing.shape[2:]
        place = axis % (2 + flowing.dimensions) - 2 if isinstance(axis, int) else -1
        fits = 0 <= place < flowing.dimensions and sizes[place] == 1 and (place == 0 or sizes[0] == 1)
        if not fits:
            raise _refuse(
                name,
                "squeeze",
                f"axis {axis} of places {sizes}",
                "squeeze H of [N, C, 1, L], or flatten what has one place",
            )
        return replace(flowing, dimensions=flowing.dimensions - 1)

    def row(self, name: str, flowing: Spikes | Sum) -> Spikes | Sum:
        """Series as frames of one row, which they are here already."""
        if flowing.dimensions != 1:
            raise _refuse(
                name, "Row", f"its input has {flowing.dimensions} axes behind the channels", "give it [N, C, L]"
            )
        return replace(flowing, dimensions=2)

    def flatten(self, name: str, start: Any, end: Any, flowing: Spikes | Sum) -> Spikes | Sum:
        last = 1 + flowing.dimensions
        whole = end in (-1, last)
        if start == 2 and whole and flowing.dimensions == 2 and flowing.shape[1] == 1:
            return replace(flowing, dimensions=1)
        if start != 1 or not whole:
            raise _refuse(
                name, "Flatten", f"from dimension {start} to {end}", "flatten everything behind the batch: Flatten()"
            )
        if isinstance(flowing, Sum) and flowing.shape[1:] != (1, 1):
            self._behind(name, "Flatten", flowing)
        return replace(flowing, dimensions=0)

    # ---- the end ---------------------------------------------------------------------------

    def finish(self, flowing: Spikes | Sum) -> SourceGraph:
        """The graph, whose last block is the readout; refused unless ``flowing`` are finite class scores."""
        for _, error in self.endings(flowing):
            raise error
        return self.graph

    def endings(self, flowing: Spikes | Sum) -> Iterator[tuple[str, SpikeloomError]]:
        """Make ``flowing`` the readout; what is wrong with it, and with any block's values, each with the layer's name."""
        if isinstance(flowing, Spikes):
            yield self._no_scores(flowing)
        elif flowing.shape[1:] != (1, 1):
            yield (
                flowing.made_by,
                UnsupportedModule(
                    f"the last layer {flowing.made_by!r} gives {flowing.shape}, must be a vector of class scores; "
                    "end the network with a Linear layer"
                ),
            )
        else:
            self.graph.blocks.append(Block(flowing.name, flowing.connections, flowing.bias, None))
        for block in self.graph.blocks:
            for kind, values in (*(("weight", c.weight) for c in block.connections), ("bias", block.bias)):
                if not np.isfinite(values).all():
                    yield (
                        block.name,
                        InvalidValue(
                            f"layer {block.name!r}: {kind} holds {np.sum(~np.isfinite(values))} NaN or infinite "
                            "values; train the network again or repair its weights"
                        ),
                    )

    def _no_scores(self, flowing: Spikes) -> tuple[str, UnsupportedModule]:
        if not self.graph.blocks:
            return "", UnsupportedModule("the network has no Conv2d or Linear layer; there is nothing to convert")
        if flowing.pool != (1, 1) or flowing.maximum is not None:
            kind = "average" if flowing.maximum is None else "max"
            return flowing.name, UnsupportedModule(
                f"the network ends with {kind} pooling; pooling folds into the layer behind it: end with a Linear"
            )
        last = self.graph.blocks[-1].activation
        name = flowing.name if last is None else last.name
        return name, _refuse(
            name,
            "activation",
            "the network ends with it, its last layer must give plain class scores",
            "end the network with its last Conv2d or Linear",
        )

    # ---- in place of what cannot be read -----------------------------------------------------

    def some_spikes(self, name: str, shape: Shape, dimensions: int) -> Spikes:
        """Spikes of some layer, for going on behind one that was refused."""
        return Spikes(name, max(0, len(self.graph.blocks) - 1), shape, dimensions)

    def some_sum(self, name: str, shape: Shape, dimensions: int) -> Sum:
        """A sum that waits for its activation, likewise."""
        connection = Connection(max(0, len(self.graph.blocks) - 1), np.zeros((shape[0], 1, 1, 1)))
        return Sum(name, name, (connection,), np.zeros(shape[0]), shape, dimensions)
