"""A network cut into runs of layers, each for a core of its own in a chain."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from toolchain.errors import InvalidValue
from toolchain.ir import FixedPointNetwork, Network

__all__ = ["Segment", "check_cuts", "cut_places", "segments"]


@dataclass(frozen=True, eq=False)
class Segment(FixedPointNetwork):
    """Some layers of a network, all but the last of them for a core that sends spikes on: the last layer may fire.

    Behind the first cut its input is the ``spikes`` of the layer before. For hardware only: it has scores only if it
    is the network's end, and is no network of a file.
    """

    def _validate_readout(self) -> None:
        if self.layers[-1].threshold is None:
            super()._validate_readout()

    def _reads_no_trains(self, sources: list[int]) -> bool:
        # behind a cut the input is what a layer fired, so that its trains may be max-pooled as any layer's
        return self.input != "spikes" and super()._reads_no_trains(sources)


def cut_places(network: Network[Any]) -> tuple[int, ...]:
    """Layers before which the network may be cut: no layer from there on reads more than the spikes of the one before."""
    places = []
    for first in range(1, len(network.layers)):
        sources = {c.source for layer in network.layers[first:] for c in layer.connections if c.source < first}
        if sources == {first - 1}:
            places.append(first)
    return tuple(places)


def check_cuts(network: Network[Any], cuts: Sequence[int]) -> tuple[int, ...]:
    """``cuts``, if the network can be cut there: indices of the first layer behind each, in increasing order.

    Raises
    ------
    InvalidValue
        Names the layer and where cuts are possible.
    """
    names = [layer.name for layer in network.layers]
    possible = cut_places(network)
    shown = ", ".join(names[first] for first in possible) or "none"
    if any(b <= a for a, b in pairwise(cuts)):
        raise InvalidValue(f"cuts are before layers {list(cuts)}, must be different ones in the network's order")
    for first in cuts:
        if first not in possible:
            where = (
                f"before layer {names[first]}" if 0 <= first < len(names) else f"before layer {first}, there is none"
            )
            raise InvalidValue(
                f"the network cannot be cut {where}: only the spikes of a single layer, the one before, may cross a cut; "
                f"possible before {shown}"
            )
    return tuple(cuts)


def segments(network: FixedPointNetwork, cuts: Sequence[int]) -> tuple[Segment, ...]:
    """The network in ``len(cuts) + 1`` parts, each with the layers from one cut to the next; raises as ``check_cuts``."""
    bounds = (0, *check_cuts(network, cuts), len(network.layers))
    found = []
    for first, end in pairwise(bounds):
        layers = tuple(
            replace(layer, connections=tuple(replace(c, source=c.source - first) for c in layer.connections))
            for layer in network.layers[first:end]
        )
        found.append(
            Segment(
                network.name,
                network.shapes[first - 1] if first else network.input_shape,
                network.schedule,
                network.time_steps,
                layers,
                network.provenance,
                negative=network.negative,
                reset=network.reset,
                compare=network.compare,
                leak_order=network.leak_order,
                input="spikes" if first else network.input,
                seed=network.seed,
                weight_bits=network.weight_bits,
            )
        )
    return tuple(found)
