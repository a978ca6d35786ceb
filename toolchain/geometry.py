"""Where a spike lands: valid taps of a strided, padded, dilated, average-pooled convolution, one axis at a time.

The spike is one behind the max pooling, where there is one.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import gcd

import numpy as np

from toolchain.connection import Connection, Shape

__all__ = ["AxisTaps", "axis_taps", "dense_synapses", "fan_out"]


@dataclass(frozen=True, eq=False)
class AxisTaps:
    """For each coordinate of the source, behind its max pooling: which (kernel, output) pairs it reaches.

    Tap ``j < count[i]`` of coordinate ``i`` pairs kernel index ``kernel[i] + j·kernel_step`` with output
    index ``output[i] − j·output_step``. Coordinates on a dropped pooling rim, and those that a stride and a dilation
    with a common divisor both pass over, have ``count`` 0. Arrays are int64, one value for each source coordinate.
    """

    kernel: np.ndarray
    output: np.ndarray
    count: np.ndarray
    kernel_step: int
    output_step: int


def axis_taps(connection: Connection, source: Shape, axis: int) -> AxisTaps:
    """Taps along one axis, 0 for y and 1 for x: all ``(k, o)`` with ``o·stride + k·dilation = place + padding``."""
    return _axis_taps(
        extent=connection.reduced(source)[1 + axis],
        places=connection.pooled(source)[1 + axis],
        outputs=connection.output(source)[1 + axis],
        pool=connection.pool[axis],
        padding=connection.padding[axis],
        kernel=connection.kernel[axis],
        stride=connection.stride[axis],
        dilation=connection.dilation[axis],
    )


@lru_cache(maxsize=1024)  # axes and layers are alike, and each tile of a layer asks again
def _axis_taps(
    *, extent: int, places: int, outputs: int, pool: int, padding: int, kernel: int, stride: int, dilation: int
) -> AxisTaps:
    place = np.arange(extent) // pool
    shifted = place + padding
    # solutions (k, o) of one place lie (stride, −dilation) / common apart
    common = gcd(stride, dilation)
    kernel_step, output_step = stride // common, dilation // common
    # least k ≥ 0 of a solution at all, then of one whose output exists
    first = shifted // common * pow(output_step, -1, kernel_step) % kernel_step
    late = np.maximum(shifted - first * dilation - (outputs - 1) * stride, 0)
    first = first + -(-late // (dilation * kernel_step)) * kernel_step
    output = (shifted - first * dilation) // stride
    most = np.minimum((kernel - 1 - first) // kernel_step, output // output_step) + 1
    count = np.where((place < places) & (shifted % common == 0), np.maximum(most, 0), 0)
    present = count > 0
    arrays = np.where(present, first, 0), np.where(present, output, 0), count
    for array in arrays:
        array.flags.writeable = False
    return AxisTaps(*arrays, kernel_step, output_step)


def _reach(connection: Connection, source: Shape, axis: int) -> np.ndarray:
    """1 where a source coordinate reaches some output through a kernel index, int64 ``[extent, K]``."""
    taps = axis_taps(connection, source, axis)
    reach = np.zeros((len(taps.count), connection.kernel[axis]), np.int64)
    for tap in range(int(taps.count.max(initial=0))):
        present = np.nonzero(tap < taps.count)[0]
        reach[present, taps.kernel[present] + tap * taps.kernel_step] = 1
    return reach


def fan_out(connection: Connection, source: Shape, *, effective: bool = False) -> np.ndarray:
    """Synapses that one spike at each source place, behind its max pooling, reaches, int64 ``[C_in, H, W]``.

    Padding is never counted; ``effective`` leaves out zero weights.
    """
    present = connection.weight != 0 if effective else np.ones_like(connection.weight, bool)
    rows, columns = (_reach(connection, source, axis) for axis in (0, 1))
    grouped = present.reshape(connection.groups, -1, *present.shape[1:]).sum(axis=1, dtype=np.int64)
    return np.einsum("ckl,yk,xl->cyx", grouped.reshape(-1, *connection.kernel), rows, columns)


def dense_synapses(connection: Connection, source: Shape) -> int:
    """Multiply-accumulates of the same layer in an ANN: one for each synapse of the pooled source."""
    return int(fan_out(connection.unpooled(), connection.pooled(source)).sum())
