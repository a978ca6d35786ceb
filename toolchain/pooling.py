"""Maximum pooling: windows of places, of whose spike trains the longest goes on.

In ``two_phase`` with unsigned neurons a train of count c is c spikes in its first c steps. So the OR of the trains
of a window, step by step, is the train of the largest count: exact. In ``stream`` the OR has more spikes than any
train, in ``radix`` it mixes binary digits, and beside negative spikes there is no OR; ``toolchain.ir`` refuses them.
"""

from dataclasses import dataclass

import numpy as np

from toolchain.errors import InvalidValue

__all__ = ["MaxPooling", "Pair", "check_exact"]

Pair = tuple[int, int]


def check_exact(layer: str, schedule: str, negative: str, *, frame: bool) -> None:
    """Refuse max pooling before a ``layer`` where it is not exact: of the input ``frame``, or of other neurons.

    Raises
    ------
    InvalidValue
        Names the layer and the way out.
    """
    if frame:
        raise InvalidValue(
            f"layer {layer} reads the input frame through max pooling: not supported; pool the images before, or put a layer "
            "with an activation in between"
        )
    if (schedule, negative) != ("two_phase", "none"):
        raise InvalidValue(
            f"layer {layer} reads spikes through max pooling, which is exact in schedule two_phase with negative none only, not "
            f"in {schedule} with {negative}; use those, or average pooling and fine-tuning "
            "(toolchain.convert.replace_max_pooling)"
        )


@dataclass(frozen=True)
class MaxPooling:
    """Window o looks at the places ``o·stride − padding + i``, ``0 ≤ i < window``, of each channel, along y and x.

    Places outside the frame count as 0, which changes nothing, since no count is below 0.

    Members
    -------
    window, stride : (y, x)
    padding, padding_after : (y, x)
        Places before the first and behind the last row and column that windows may look at.

    Raises
    ------
    InvalidValue
        A member that is not two whole numbers of 1 (padding: 0) to 1024.
    """

    window: Pair
    stride: Pair
    padding: Pair = (0, 0)
    padding_after: Pair = (0, 0)

    def __post_init__(self) -> None:
        for name, least in (("window", 1), ("stride", 1), ("padding", 0), ("padding_after", 0)):
            pair = getattr(self, name)
            if len(pair) != 2 or not all(isinstance(v, int) and least <= v <= 1024 for v in pair):
                raise InvalidValue(f"max pooling {name} is {pair}, must be two whole numbers of {least} to 1024")

    def output(self, size: Pair) -> Pair:
        """Windows along y and x on ``size`` places; below 1 where a window is larger than its padded source."""
        rows, columns = (
            (extent + before + after - window) // stride + 1
            for extent, before, after, window, stride in zip(
                size, self.padding, self.padding_after, self.window, self.stride, strict=True
            )
        )
        return rows, columns

    def places(self, size: Pair, axis: int) -> list[range]:
        """For each window along one axis, 0 for y and 1 for x, the places of the frame that it looks at."""
        starts = [o * self.stride[axis] - self.padding[axis] for o in range(self.output(size)[axis])]
        return [range(max(0, start), max(0, min(start + self.window[axis], size[axis]))) for start in starts]

    @property
    def taps(self) -> int:
        """Places of a window."""
        return self.window[0] * self.window[1]

    def reads(self, size: Pair) -> int:
        """Places that all windows look at, each as often as it is looked at, those of the padding too."""
        rows, columns = self.output(size)
        return rows * columns * self.taps

    def of(self, values: np.ndarray) -> np.ndarray:
        """Largest value of each window, ``[…, H, W]`` to ``[…, H_out, W_out]``; of spikes the OR."""
        rows, columns = self.output((values.shape[-2], values.shape[-1]))
        around = [(before, after) for before, after in zip(self.padding, self.padding_after, strict=True)]
        padded = np.pad(values, [(0, 0)] * (values.ndim - 2) + around)
        (sy, sx), found = self.stride, np.zeros((*values.shape[:-2], rows, columns), values.dtype)
        for dy in range(self.window[0]):
            for dx in range(self.window[1]):
                part = padded[..., dy : dy + (rows - 1) * sy + 1 : sy, dx : dx + (columns - 1) * sx + 1 : sx]
                np.maximum(found, part, out=found)
        return found
