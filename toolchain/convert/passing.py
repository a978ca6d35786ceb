"""What spikes go through on their way to a synapse, and costs no hardware: pooling, zeros, slices, flattening."""

from dataclasses import replace
from typing import Any

from torch import nn

from toolchain.convert.blocks import SourceGraph
from toolchain.convert.flowing import Spikes, Sum
from toolchain.convert.maxima import stacked
from toolchain.errors import InvalidValue, UnsupportedModule
from toolchain.ir import INPUT
from toolchain.pooling import Pair

__all__ = ["OWN_STRIDE", "Passing", "pair", "refusal"]

OWN_STRIDE = "write the layer it belongs to with its own stride and padding"
"""Way out where slices or zeros are not a layer's own."""


def pair(value: Any, dimensions: int = 2) -> Pair:
    """A size along y and x; one-dimensional data has 1 place along y, whose size is not looked at."""
    values = (value,) * dimensions if isinstance(value, int) else tuple(map(int, value))
    if len(values) == 1 and dimensions == 2:
        values *= 2
    return (values[0], values[1]) if dimensions == 2 else (1, values[0])


def refusal(name: str, what: str, why: str, way_out: str) -> UnsupportedModule:
    """An error that names a layer, what it is, why it does not convert, and what would."""
    return UnsupportedModule(f"{what} {name!r}: {why}; {way_out}")


class Passing:
    """One method for each kind of layer without weights: from what flows in to what flows out."""

    def __init__(self, graph: SourceGraph):
        self.graph = graph

    def _check_addition(self, name: str, kind: str, flowing: Sum) -> None:
        if len(flowing.connections) > 1:
            raise refusal(
                name,
                kind,
                f"it reads the addition {flowing.made_by!r}, behind which no neuron fires",
                "put a ReLU or an activation of toolchain.nn right behind the addition",
            )

    def _behind(self, name: str, kind: str, flowing: Spikes | Sum) -> Spikes:
        if isinstance(flowing, Sum):
            self._check_addition(name, kind, flowing)
            raise refusal(
                name,
                kind,
                f"it stands between {flowing.made_by!r} and its activation",
                "put it behind the activation",
            )
        return flowing

    def _unflattened(self, name: str, kind: str, spikes: Spikes) -> None:
        if spikes.dimensions == 0 and spikes.shape[1:] != (1, 1):
            raise refusal(name, kind, "it follows a Flatten", "pool before flattening")
        if spikes.dimensions and kind.endswith(("1d", "2d")) and int(kind[-2]) != spikes.dimensions:
            raise refusal(
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
            raise refusal(name, kind, f"it reads {spikes.name!r}, a slice or zeros put around", "pool first")
        pool = (spikes.pool[0] * window[0], spikes.pool[1] * window[1])
        pooled = replace(spikes, name=name, pool=pool)
        if min(pooled.shape[1:]) < 1:
            raise InvalidValue(f"layer {name!r}: pooling window {pool} exceeds its input {spikes.layer}")
        return pooled

    def avg_pool(self, name: str, m: nn.AvgPool1d | nn.AvgPool2d, flowing: Spikes | Sum) -> Spikes:
        kind, dimensions = type(m).__name__, 1 if isinstance(m, nn.AvgPool1d) else 2
        kernel, stride = pair(m.kernel_size, dimensions), pair(m.stride, dimensions)
        divisor = getattr(m, "divisor_override", None)
        pads = m.padding if isinstance(m.padding, tuple) else (m.padding,)
        if stride != kernel or any(pads) or m.ceil_mode or divisor is not None:
            raise refusal(
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
            raise refusal(name, kind, why, "use one max pooling, or windows without gaps and rims between them")
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
            raise refusal(name, kind, why, f"put it right behind the activation ({kept})")
        self._unflattened(name, kind, flowing)
        if flowing.source == INPUT:
            why = "it reads the input frame, whose pixels are no spike trains"
            raise refusal(name, kind, why, "pool the images before, or put a layer with an activation before it")
        if flowing.pool != (1, 1):
            why = f"it reads {flowing.name!r}, a mean of spikes, which is no spike train"
            raise refusal(name, kind, why, "take the maximum first, or the mean in both")
        if flowing.cut:
            raise refusal(name, kind, f"it reads {flowing.name!r}, a slice or channels of zeros", "pool first")
        return flowing

    def max_pool(self, name: str, m: nn.MaxPool1d | nn.MaxPool2d, flowing: Spikes | Sum) -> Spikes:
        kind, dimensions = type(m).__name__, 1 if isinstance(m, nn.MaxPool1d) else 2
        if pair(m.dilation, dimensions) != (1, 1) or m.return_indices:
            why = f"dilation {m.dilation}, return_indices {m.return_indices}"
            raise refusal(name, kind, why, "only windows without gaps convert, and places are not handed on")
        padding = pair(m.padding, dimensions)
        return self.maximum(
            name,
            kind,
            pair(m.kernel_size, dimensions),
            flowing,
            stride=pair(m.stride or m.kernel_size, dimensions),
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
            raise refusal(
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
            raise refusal(
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
            raise refusal(name, kind, f"amounts {amounts}", "put zeros around frames or channels, none less than 0")
        pairs += [(0, 0)] * (most - len(pairs))
        x, y = pairs[0], pairs[1] if spikes.dimensions == 2 else (0, 0)
        channels = pairs[-1]
        if (spikes.cut and (x, y) != ((0, 0), (0, 0))) or (spikes.padded and channels != (0, 0)):
            raise refusal(name, kind, "it puts zeros around a slice, or both around places and channels", OWN_STRIDE)
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
            raise refusal(
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
            raise refusal(
                name,
                "squeeze",
                f"axis {axis} of places {sizes}",
                "squeeze H of [N, C, 1, L], or flatten what has one place",
            )
        return replace(flowing, dimensions=flowing.dimensions - 1)

    def row(self, name: str, flowing: Spikes | Sum) -> Spikes | Sum:
        """Series as frames of one row, which they are here already."""
        if flowing.dimensions != 1:
            raise refusal(
                name, "Row", f"its input has {flowing.dimensions} axes behind the channels", "give it [N, C, L]"
            )
        return replace(flowing, dimensions=2)

    def flatten(self, name: str, start: Any, end: Any, flowing: Spikes | Sum) -> Spikes | Sum:
        last = 1 + flowing.dimensions
        whole = end in (-1, last)
        if start == 2 and whole and flowing.dimensions == 2 and flowing.shape[1] == 1:
            return replace(flowing, dimensions=1)
        if start != 1 or not whole:
            raise refusal(
                name, "Flatten", f"from dimension {start} to {end}", "flatten everything behind the batch: Flatten()"
            )
        if isinstance(flowing, Sum) and flowing.shape[1:] != (1, 1):
            self._behind(name, "Flatten", flowing)
        return replace(flowing, dimensions=0)
