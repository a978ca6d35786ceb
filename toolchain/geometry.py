"""Where a spike lands: valid taps of a strided, padded, pooled convolution, one axis at a time."""

from dataclasses import dataclass, replace

import numpy as np

from toolchain.connection import Connection, Shape

__all__ = ["AxisTaps", "axis_taps", "dense_synapses", "fan_out"]


@dataclass(frozen=True, eq=False)
class AxisTaps:
    """For each coordinate of the unpooled source: which (kernel, output) pairs it reaches.

    Tap ``j < count[i]`` of coordinate ``i`` pairs kernel index ``kernel[i] + j·stride`` with output
    index ``output[i] − j``. Coordinates on a dropped pooling rim have ``count`` 0.
    All arrays are int64, one value for each source coordinate.
    """

    kernel: np.ndarray
    output: np.ndarray
    count: np.ndarray


def axis_taps(connection: Connection, source: Shape, axis: int) -> AxisTaps:
    """Taps along one axis, 0 for y and 1 for x: all ``(k, o)`` with ``o·stride + k = place + padding``."""
    stride, padding, pool = connection.stride[axis], connection.padding[axis], connection.pool[axis]
    kernel = connection.kernel[axis]
    places = connection.pooled(source)[1 + axis]
    outputs = connection.output(source)[1 + axis]
    place = np.arange(source[1 + axis]) // pool
    shifted = place + padding
    last = np.minimum(shifted // stride, outputs - 1)
    first = np.maximum(-((kernel - 1 - shifted) // stride), 0)
    count = np.where(place < places, np.maximum(last - first + 1, 0), 0)
    present = count > 0
    return AxisTaps(
        kernel=np.where(present, shifted - last * stride, 0),
        output=np.where(present, last, 0),
        count=count,
    )


def _reach(connection: Connection, source: Shape, axis: int) -> np.ndarray:
    """1 where a source coordinate reaches some output through a kernel index, int64 ``[extent, K]``."""
    taps = axis_taps(connection, source, axis)
    reach = np.zeros((source[1 + axis], connection.kernel[axis]), np.int64)
    for tap in range(int(taps.count.max(initial=0))):
        present = np.nonzero(tap < taps.count)[0]
        reach[present, taps.kernel[present] + tap * connection.stride[axis]] = 1
    return reach


def fan_out(connection: Connection, source: Shape, *, effective: bool = False) -> np.ndarray:
    """Synapses that one spike at each unpooled source place reaches, int64 ``[C_in, H, W]``.

    Padding is never counted; ``effective`` leaves out zero weights.
    """
    present = connection.weight != 0 if effective else np.ones_like(connection.weight, bool)
    rows, columns = (_reach(connection, source, axis) for axis in (0, 1))
    return np.einsum("ckl,yk,xl->cyx", present.sum(axis=0, dtype=np.int64), rows, columns)


def dense_synapses(connection: Connection, source: Shape) -> int:
    """Multiply-accumulates of the same layer in an ANN: one for each synapse of the pooled source."""
    unpooled = replace(connection, pool=(1, 1))
    return int(fan_out(unpooled, connection.pooled(source)).sum())
