"""How long the spikes of each layer are needed, and where they fit in one memory meanwhile."""

from collections.abc import Sequence
from typing import Any

from toolchain.ir import INPUT, Network

__all__ = ["freed", "held", "last_reads", "peak", "place", "with_input"]


def last_reads(network: Network[Any]) -> tuple[int, ...]:
    """For each layer the last one that reads its spikes; itself, if none does."""
    last = list(range(len(network.layers)))
    for index, layer in enumerate(network.layers):
        for connection in layer.connections:
            if connection.source >= 0:
                last[connection.source] = index
    return tuple(last)


def with_input(network: Network[Any], given: int, sizes: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes and last reads of all buffers where input spikes have one too, of size ``given``: the first of them, so that
    layer i is place ``i + 1``; as they are for other inputs."""
    last = last_reads(network)
    if network.input != "spikes":
        return tuple(sizes), last
    readers = [index for index, layer in enumerate(network.layers) if any(c.source == INPUT for c in layer.connections)]
    return (given, *sizes), (1 + max(readers, default=-1), *(1 + index for index in last))


def freed(last: Sequence[int]) -> tuple[int, ...]:
    """Last holders of buffers where a layer writes its spikes over those that it was the ``last`` to read.

    A buffer is held at least by its own layer.
    """
    return tuple(max(index, reader - 1) for index, reader in enumerate(last))


def held(sizes: Sequence[int], last: Sequence[int]) -> tuple[int, ...]:
    """What is held while each layer runs: its own buffer, and those of earlier layers that it or a later one reads."""
    return tuple(
        sum(size for source, size in enumerate(sizes) if source <= index <= last[source]) for index in range(len(sizes))
    )


def peak(sizes: Sequence[int], last: Sequence[int]) -> int:
    """Least memory that any placement needs: the most that is held at once."""
    return max(held(sizes, last))


def _fit(sizes: Sequence[int], last: Sequence[int], order: Sequence[int], ends: int) -> tuple[int, ...]:
    """First fit from below; with 2 ``ends`` every second buffer from above, where it fits below ``peak``."""
    bases = [0] * len(sizes)
    placed: list[int] = []
    top = peak(sizes, last)
    for number, index in enumerate(order):
        together = [i for i in placed if sizes[i] and i <= last[index] and index <= last[i]]
        taken = sorted((bases[i], bases[i] + sizes[i]) for i in together)
        upper = top - sizes[index]
        if number % ends and all(end <= upper for _, end in taken):
            bases[index] = upper
        else:
            for begin, end in taken:
                if begin < bases[index] + sizes[index] and bases[index] < end:
                    bases[index] = end
        placed.append(index)
    return tuple(bases)


def place(sizes: Sequence[int], last: Sequence[int]) -> tuple[int, ...]:
    """First place of each buffer, so that none overlaps another that is held at the same time.

    First fit in the order of the layers, from one end or from both in turn, the largest first, or the longest held first,
    whichever needs the least memory: at least ``peak``, and for chains just that.
    """
    layers = range(len(sizes))
    tried = [
        _fit(sizes, last, layers, 1),
        _fit(sizes, last, layers, 2),
        _fit(sizes, last, sorted(layers, key=lambda i: -sizes[i]), 1),
        _fit(sizes, last, sorted(layers, key=lambda i: i - last[i]), 1),
    ]
    return min(tried, key=lambda bases: max(base + size for base, size in zip(bases, sizes, strict=True)))
