"""Fold what stands between the activations of a source network into the synapses of spiking layers; refuse the rest."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from torch import Tensor, fx, nn

from toolchain.connection import Connection, Shape
from toolchain.convert.blocks import Activation, Block, SourceGraph
from toolchain.convert.flowing import Spikes, Sum, identity
from toolchain.convert.passing import OWN_STRIDE, Passing, pair, refusal
from toolchain.errors import InvalidValue, SpikeloomError, UnsupportedModule
from toolchain.ir import INPUT
from toolchain.parts import Frame

__all__ = ["Reader"]

MAX_BRANCHES = 256
"""Connections of one layer; an addition of a sum to itself doubles them."""


def _float64(tensor: Tensor) -> np.ndarray:
    values: np.ndarray = tensor.detach().cpu().double().numpy()
    return values


def _bias(m: nn.Conv1d | nn.Conv2d | nn.Linear) -> np.ndarray:
    return np.zeros(m.weight.shape[0]) if m.bias is None else _float64(m.bias)


class Reader(Passing):
    """As ``Passing``, with a method for each kind of layer that has weights or fires, too: activations are added to ``graph``."""

    def __init__(self, module: fx.GraphModule, input_shape: Shape, dimensions: int):
        super().__init__(SourceGraph(module, input_shape))
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
            raise refusal(
                name,
                kind,
                f"it follows {flowing.made_by!r} without an activation between them",
                "put a ReLU or an activation of toolchain.nn between, or merge the two layers",
            )
        return flowing

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
            raise refusal(name, kind, "it follows a Flatten", "flatten after the last convolution")
        if spikes.dimensions not in (0, dimensions):
            raise refusal(
                name,
                kind,
                f"its input has {spikes.dimensions} axes behind the channels",
                "use Conv2d on [N, C, H, W], Conv1d on [N, C, L], or flatten(2) where H is 1",
            )
        if spikes.cut:
            raise refusal(name, kind, f"it reads {spikes.name!r}, a slice or channels of zeros", OWN_STRIDE)
        if m.padding_mode != "zeros":
            raise refusal(name, kind, f"padding mode is {m.padding_mode}", "use zero padding")
        dilation = pair(m.dilation, dimensions)
        if isinstance(m.padding, str):
            spans = [d * (k - 1) for d, k in zip(dilation, pair(m.kernel_size, dimensions), strict=True)]
            same = m.padding == "same"
            pads = [(span // 2, span - span // 2) if same else (0, 0) for span in spans]
        else:
            padding = pair(m.padding, dimensions)
            pads = [(0, 0) if dimensions == 1 else (padding[0],) * 2, (padding[1],) * 2]
        (top, bottom), (left, right) = (
            (own[0] + around[0], own[1] + around[1]) for own, around in zip(pads, spikes.pads, strict=True)
        )
        weight = _float64(m.weight).reshape(m.weight.shape[0], m.weight.shape[1], -1, m.weight.shape[-1])
        connection = Connection(
            spikes.source,
            weight / (spikes.pool[0] * spikes.pool[1]),
            pair(m.stride, dimensions),
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
            raise refusal(
                name, "Linear", f"its input has shape {spikes.shape}, not a vector", "put a Flatten before it"
            )
        if spikes.cut or spikes.padded:
            raise refusal(name, "Linear", f"it reads {spikes.name!r}, a slice or zeros put around", "leave them out")
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
            raise refusal(
                name,
                "add",
                f"it adds {sides[0].made_by!r} of shape {shapes[0][0]} to {sides[1].made_by!r} of shape {shapes[1][0]}",
                "bring both to one shape, for instance by a 1 × 1 convolution with a stride on the shortcut",
            )
        connections = tuple(c for side in sides for c in side.connections)
        if len(connections) > MAX_BRANCHES:
            raise refusal(
                name, "add", f"it joins {len(connections)} branches, the limit is {MAX_BRANCHES}", "join fewer branches"
            )
        if any(c.source == INPUT for c in connections):
            raise refusal(
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
            raise refusal(
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
            raise refusal(
                name,
                kind,
                "it does not stand right behind a Conv2d or Linear",
                "move it between the synapse and its activation",
            )
        if m.running_mean is None or m.running_var is None:
            raise refusal(name, kind, "it has no running statistics", "train it with track_running_stats=True")
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
            raise refusal(
                activation.name,
                activation.kind,
                "it does not stand right behind a Conv2d, Linear, batch norm or addition",
                "put pooling behind the activation and have one activation for each synapse",
            )
        self.graph.blocks.append(Block(flowing.name, flowing.connections, flowing.bias, activation))
        return Spikes(activation.name, len(self.graph.blocks) - 1, flowing.shape, flowing.dimensions)

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
        return name, refusal(
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
