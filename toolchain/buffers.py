"""How long the spikes of each layer are needed, and where they fit in one memory meanwhile."""

from collections.abc import Sequence
from typing import Any

from toolchain.ir import Network

__all__ = ["held", "last_reads", "peak", "place"]


def last_reads(network: Network[Any]) -> tuple[int, ...]:
    """For each layer the last one that reads its spikes; itself, if none does."""
    last = list(range(len(network.layers)))
    for index, layer in enumerate(network.layers):
        for connection in layer.connections:
            if connection.source >= 0:
                last[connection.source] = index
    return tuple(last)


def held(sizes: Sequence[int], last: Sequence[int]) -> tuple[int, ...]:
    """What is held while each layer runs: its own buffer, and those of earlier layers that it or a later one reads."""
    return tuple(
        sum(size for source, size in enumerate(sizes) if source <= index <= last[source]) for index in range(len(sizes))
    )


def peak(sizes: Sequence[int], last: Sequence[int]) -> int:
    """Least memory that any placement needs: the most that is held at once."""
    return max(held(sizes, last))


def _first_fit(sizes: Sequence[int], last: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    bases = [0] * len(sizes)
    placed: list[int] = []
    for index in order:
        together = [i for i in placed if sizes[i] and i <= last[index] and index <= last[i]]
        for other in sorted(together, key=lambda i: bases[i]):
            if bases[other] < bases[index] + sizes[index] and bases[index] < bases[other] + sizes[other]:
                bases[index] = bases[other] + sizes[other]
        placed.append(index)
    return tuple(bases)


def place(sizes: Sequence[int], last: Sequence[int]) -> tuple[int, ...]:
    """First place of each buffer, so that none overlaps another that is held at the same time.

    First fit in the order of the layers, the largest first, or the longest held first, whichever needs the least memory: at
    least ``peak``, and for chains just that.
    """
    layers = range(len(sizes))
    orders = (
        list(layers),
        sorted(layers, key=lambda i: -sizes[i]),
        sorted(layers, key=lambda i: i - last[i]),
    )
    tried = [_first_fit(sizes, last, order) for order in orders]
    return min(tried, key=lambda bases: max(base + size for base, size in zip(bases, sizes, strict=True)))
