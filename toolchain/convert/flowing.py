"""What flows between the layers of a source network while it is read: spikes on their way, and sums that wait to fire."""

from dataclasses import dataclass, replace
from math import gcd

import numpy as np

from toolchain.connection import Connection, Shape
from toolchain.pooling import MaxPooling, Pair

__all__ = ["Spikes", "Sum", "identity"]


@dataclass(frozen=True)
class Spikes:
    """What a firing layer gives, or the input frame, with all that was done to it since and costs no hardware.

    Members
    -------
    name : what the user calls it
    source : ``INPUT`` or the index of the layer
    layer : shape of what it gave, ``(C, H, W)``; one-dimensional data has H = 1
    dimensions : axes behind the channels that the source network sees: 2, 1, or 0 for a vector
    maximum : max pooling on the way, before anything else
    pool : window of the average pooling on the way
    pads : zeros ``(before, after)`` along y and x, which a convolution takes into its padding
    stride : every how many places are left, by slicing
    channels : zero channels before and behind, of a shortcut without weights
    """

    name: str
    source: int
    layer: Shape
    dimensions: int
    pool: Pair = (1, 1)
    pads: tuple[Pair, Pair] = ((0, 0), (0, 0))
    stride: Pair = (1, 1)
    channels: Pair = (0, 0)
    maximum: MaxPooling | None = None

    @property
    def size(self) -> Pair:
        """Places along y and x behind the max pooling."""
        size = (self.layer[1], self.layer[2])
        return size if self.maximum is None else self.maximum.output(size)

    @property
    def shape(self) -> Shape:
        """What is left of it, ``(C, H, W)``; the places of a vector are still told apart."""
        size = [
            -(-(extent // window + sum(pads)) // step)
            for extent, window, pads, step in zip(self.size, self.pool, self.pads, self.stride, strict=True)
        ]
        return (self.layer[0] + sum(self.channels), size[0], size[1])

    @property
    def cut(self) -> bool:
        """Whether places were left out or channels put in, which a shortcut may do and a synapse should do itself."""
        return self.stride != (1, 1) or self.channels != (0, 0)

    @property
    def padded(self) -> bool:
        """Whether zeros stand around it."""
        return self.pads != ((0, 0), (0, 0))


@dataclass(frozen=True)
class Sum:
    """Weighted sums that wait for their activation: one synapse, or several that were added.

    Members
    -------
    name : what the user calls the first synapse, or the addition if there is none
    made_by : the layer or call that it comes from
    bias : float64 [C]
    """

    name: str
    made_by: str
    connections: tuple[Connection, ...]
    bias: np.ndarray
    shape: Shape
    dimensions: int

    def normalized(self, mean: np.ndarray, factor: np.ndarray, shift: np.ndarray, made_by: str) -> "Sum":
        """``(sum − mean) · factor + shift``, float64 ``[C]`` each: batch norm."""
        connections = tuple(replace(c, weight=c.weight * factor[:, None, None, None]) for c in self.connections)
        return replace(self, connections=connections, bias=(self.bias - mean) * factor + shift, made_by=made_by)


def identity(spikes: Spikes) -> Connection:
    """The connection that adds spikes to a sum as they are: a 1 × 1 kernel of ones, one channel a group.

    Zero channels leave the diagonal of such a kernel; it then has as many groups as keep it a diagonal of blocks.
    """
    inputs, (before, after) = spikes.layer[0], spikes.channels
    outputs = before + inputs + after
    groups = max(g for g in range(1, gcd(inputs, outputs) + 1) if _in_blocks(inputs, outputs, before, g))
    weight = np.zeros((outputs, inputs // groups, 1, 1))
    for channel in range(inputs):
        weight[channel + before, channel % (inputs // groups)] = 1 / (spikes.pool[0] * spikes.pool[1])
    return Connection(
        spikes.source,
        weight,
        spikes.stride,
        pool=spikes.pool,
        kind="identity",
        groups=groups,
        maximum=spikes.maximum,
    )


def _in_blocks(inputs: int, outputs: int, before: int, groups: int) -> bool:
    """Whether each group of the channels, moved on by ``before``, stays within the same group of the outputs."""
    if inputs % groups or outputs % groups:
        return False
    return all((c + before) // (outputs // groups) == c // (inputs // groups) for c in range(inputs))
