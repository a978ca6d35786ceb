"""A core's place in a chain of cores."""

from dataclasses import dataclass

__all__ = ["ChainPlace"]


@dataclass(frozen=True)
class ChainPlace:
    """What a core of a chain must know of the others.

    Members
    -------
    before : int
        Layers that the cores before it ran; their counters come with its frames and leave with its packets.
    network_id : int
        32 bits that the last core sends in every result: of the whole network.
    """

    before: int
    network_id: int
