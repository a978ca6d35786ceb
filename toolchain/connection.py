"""One synapse group and its geometry: what a layer of the network is connected by.

Shapes are ``(C, H, W)``; a vector is ``(C, 1, 1)``. A linear synapse is a convolution whose kernel
covers its whole source, so every reader (golden model, oracle, hardware) knows one synapse only.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from toolchain.errors import InvalidValue

__all__ = ["Connection", "Pair", "Shape", "frozen"]

Shape = tuple[int, int, int]
Pair = tuple[int, int]


def frozen(values: Any, dtype: type) -> np.ndarray:
    """A read-only copy."""
    array: np.ndarray = np.array(values, dtype=dtype, order="C")
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class Connection:
    """One synapse group: average-pooled source, then a cross-correlation (``torch.nn.Conv2d``).

    A spike at source place ``(c, y, x)`` arrives at ``(c, y // pool_y, x // pool_x)``; the rim that
    no whole pooling window covers is dropped (floor mode). ``1/k²`` of the pooling sits in ``weight``.

    Members
    -------
    source : int
        ``INPUT`` or the index of an earlier layer.
    weight : float64 or int32 [C_out, C_in, K_y, K_x]
    stride, padding, pool : (y, x)
        Zero padding on both sides; ``pool`` is the window and stride of the average pooling.
    kind : str
        ``conv2d`` or ``linear`` (kernel covers the pooled source, no padding, output 1 × 1).
    """

    source: int
    weight: np.ndarray
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    pool: Pair = (1, 1)
    kind: str = "conv2d"

    def __post_init__(self) -> None:
        integer = np.issubdtype(np.asarray(self.weight).dtype, np.integer)
        if integer and np.size(self.weight) and np.abs(np.asarray(self.weight, np.float64)).max() >= 2**31:
            raise InvalidValue("connection weight holds integers beyond 32 bits")
        object.__setattr__(self, "weight", frozen(self.weight, np.int32 if integer else np.float64))
        if self.weight.ndim != 4 or 0 in self.weight.shape:
            raise InvalidValue(f"connection weight has shape {self.weight.shape}, must be [C_out, C_in, K_y, K_x]")
        if self.kind not in ("conv2d", "linear"):
            raise InvalidValue(f"connection kind is {self.kind!r}, must be conv2d or linear")
        for name, least in (("stride", 1), ("padding", 0), ("pool", 1)):
            pair = getattr(self, name)
            if len(pair) != 2 or not all(isinstance(v, int) and least <= v <= 1024 for v in pair):
                raise InvalidValue(f"connection {name} is {pair}, must be two whole numbers of {least} to 1024")

    @property
    def kernel(self) -> Pair:
        """Kernel size ``(K_y, K_x)``."""
        return (int(self.weight.shape[2]), int(self.weight.shape[3]))

    def pooled(self, source: Shape) -> Shape:
        """Shape of the source after average pooling."""
        return (source[0], source[1] // self.pool[0], source[2] // self.pool[1])

    def output(self, source: Shape) -> Shape:
        """Shape of the layer this connection drives.

        Raises
        ------
        InvalidValue
            The weight does not fit the source.
        """
        channels, *size = self.pooled(source)
        if self.weight.shape[1] != channels:
            raise InvalidValue(
                f"weight {self.weight.shape} expects {self.weight.shape[1]} channels, its source has {channels}"
            )
        if self.kind == "linear" and (self.kernel != tuple(size) or self.padding != (0, 0)):
            raise InvalidValue(f"linear kernel {self.kernel} must cover its source {tuple(size)} without padding")
        spatial = [
            (extent + 2 * pad - kernel) // stride + 1
            for extent, pad, kernel, stride in zip(size, self.padding, self.kernel, self.stride, strict=True)
        ]
        if min(*size, *spatial) < 1:
            raise InvalidValue(f"source {source}, pooled to {tuple(size)}, is smaller than the kernel {self.kernel}")
        return (int(self.weight.shape[0]), spatial[0], spatial[1])

    def extremes(self, source: Shape) -> tuple[np.ndarray, np.ndarray]:
        """Largest positive and negative weight sums that unit inputs can reach, int64 ``[C_out]`` each.

        Every source place may deliver 1; the sums are taken over the taps that are valid at a
        place, and the largest place counts. The second is a magnitude.
        """
        positive, negative = (
            self._largest_sum(source, part) for part in (np.maximum(self._taps, 0), np.maximum(-self._taps, 0))
        )
        return positive, negative

    def swing(self, source: Shape) -> np.ndarray:
        """Largest sum of weight magnitudes, what inputs of −1 and 1 can reach either way, int64 ``[C_out]``."""
        return self._largest_sum(source, np.abs(self._taps))

    @property
    def _taps(self) -> np.ndarray:
        """Weights of a pooled place: each of its k² sources may deliver."""
        return self.weight.astype(np.int64) * (self.pool[0] * self.pool[1])

    def _largest_sum(self, source: Shape, weight: np.ndarray) -> np.ndarray:
        _, height, width = self.output(source)
        pooled = self.pooled(source)

        def reached(axis: int, outputs: int) -> np.ndarray:
            first = np.arange(outputs)[:, None] * self.stride[axis] - self.padding[axis]
            place = first + np.arange(self.kernel[axis])[None, :]
            return np.unique((place >= 0) & (place < pooled[1 + axis]), axis=0).astype(np.int64)

        rows, columns = reached(0, height), reached(1, width)
        sums: np.ndarray = np.einsum("oyx,ry,sx->ors", weight.sum(axis=1), rows, columns).max(axis=(1, 2))
        return sums
