"""Share a network's layers out among the cores of a chain, so that the slowest core is as fast as it can be."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hdl.program import Program
from sim import golden
from toolchain.cycles import cycles
from toolchain.errors import InvalidValue
from toolchain.ir import FixedPointNetwork
from toolchain.segments import check_cuts, cut_places, segments

__all__ = ["Split", "balance", "check_cores", "named_cuts", "split_at"]


@dataclass(frozen=True)
class Split:
    """A network shared out among cores.

    Members
    -------
    cuts : tuple of int
        First layer of each core but the first.
    stages : tuple of float
        Mean cycles of each core from one frame to the next: receiving, its layers, sending. The layers' are exact for the
        frames they were counted on; nothing waits.
    """

    cuts: tuple[int, ...]
    stages: tuple[float, ...]

    @property
    def cycles(self) -> float:
        """Of the slowest core: those in which the chain takes a frame."""
        return max(self.stages)


def check_cores(network: FixedPointNetwork, cores: int) -> None:
    """Refuse a number of cores that the network cannot be shared out among."""
    possible = cut_places(network)
    if not isinstance(cores, int) or cores < 1:
        raise InvalidValue(f"cores is {cores}, must be at least 1")
    if cores > len(possible) + 1:
        names = ", ".join(network.layers[first].name for first in possible) or "none"
        raise InvalidValue(
            f"cores is {cores}, the network can be shared out among {len(possible) + 1} at most: a cut that only the spikes of "
            f"a single layer cross lies before layers {names}"
        )


def named_cuts(network: FixedPointNetwork, names: Sequence[str]) -> tuple[int, ...]:
    """Cuts before the layers of these names, as ``segments`` wants them.

    Raises
    ------
    InvalidValue
        No such layer, two of that name, or no place for a cut.
    """
    every = [layer.name for layer in network.layers]
    for name in names:
        if every.count(name) != 1:
            raise InvalidValue(
                f"cut before layer {name!r}: the network has {every.count(name)} layers of that name; it has {', '.join(every)}"
            )
    return check_cuts(network, [every.index(name) for name in names])


def _ends(network: FixedPointNetwork, lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """Cycles of receiving at each layer, if a core begins there, and of sending behind it, if one ends there; int64 ``[layers]``."""
    layers = len(network.layers)
    receiving = np.zeros(layers, np.int64)
    sending = np.zeros(layers, np.int64)
    receiving[0] = Program(network, lanes).receiving
    classes = network.shapes[-1][0]
    sending[-1] = 5 + 3 * -(-classes // lanes) + 2 * classes + 10 * layers
    for first in cut_places(network):
        before, behind = segments(network, (first,))
        sent = Program(before, lanes).sent
        assert sent is not None
        # counters and the origin of time come behind the spikes, while the last packet word of those is written
        waited = max(0, 4 * first + 2 - sent.fields_in_last)
        receiving[first] = Program(behind, lanes).receiving + waited
        sending[first - 1] = sent.fields * sent.words_a_field + 10 * first + 5
    return receiving, sending


def _stage(layers: np.ndarray, ends: tuple[np.ndarray, np.ndarray], first: int, end: int) -> float:
    return float(ends[0][first] + layers[first:end].sum() + ends[1][end - 1])


def _layer_cycles(network: FixedPointNetwork, frames: np.ndarray, lanes: int) -> np.ndarray:
    trace = golden.run(network, frames, "spikes")
    return cycles(network, frames, trace, lanes).layers.mean(axis=0)


def split_at(network: FixedPointNetwork, frames: np.ndarray, *, lanes: int, cuts: Sequence[int]) -> Split:
    """The stages of given cuts; raises as ``segments`` and ``cycles``."""
    layers, ends = _layer_cycles(network, frames, lanes), _ends(network, lanes)
    bounds = (0, *check_cuts(network, cuts), len(layers))
    return Split(tuple(cuts), tuple(_stage(layers, ends, a, b) for a, b in pairwise(bounds)))


def balance(network: FixedPointNetwork, frames: np.ndarray, *, lanes: int, cores: int) -> Split:
    """The split among ``cores`` cores whose slowest one has the fewest cycles, found exactly.

    Parameters
    ----------
    frames : as ``toolchain.encoding.check_frames`` wants them
        Whose mean cycles count; a few typical ones.
    lanes : int
        Of each core.

    Raises
    ------
    InvalidValue
        More cores than the network can be shared out among, lanes out of range, wrong frames.
    """
    check_cores(network, cores)
    layers, ends = _layer_cycles(network, frames, lanes), _ends(network, lanes)
    bounds = (0, *cut_places(network), len(layers))
    # best[n]: for each bound, the slowest of n cores up to there, and where the last of them begins
    best: list[dict[int, tuple[float, int]]] = [{0: (0.0, 0)}]
    for _ in range(cores):
        reached = {}
        for end in bounds[1:]:
            tried = [
                (max(slowest, _stage(layers, ends, first, end)), first)
                for first, (slowest, _) in best[-1].items()
                if first < end
            ]
            if tried:
                reached[end] = min(tried)
        best.append(reached)
    found = [len(layers)]
    for reached in reversed(best[1:]):
        found.append(reached[found[-1]][1])
    return split_at(network, frames, lanes=lanes, cuts=tuple(reversed(found[1:-1])))
