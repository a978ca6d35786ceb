"""One synapse group and its geometry: what a layer of the network is connected by.

Shapes are ``(C, H, W)``; a vector is ``(C, 1, 1)``. A linear synapse is a convolution whose kernel
covers its whole source, so every reader (golden model, oracle, hardware) knows one synapse only.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from toolchain.errors import InvalidValue
from toolchain.pooling import MaxPooling, Pair

__all__ = ["Connection", "Pair", "Shape", "frozen"]

Shape = tuple[int, int, int]


def frozen(values: Any, dtype: type) -> np.ndarray:
    """A read-only copy."""
    array: np.ndarray = np.array(values, dtype=dtype, order="C")
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class Connection:
    """One synapse group: pooled source, then a cross-correlation (``torch.nn.Conv2d``).

    Max pooling comes first, then average pooling: a spike at source place ``(c, y, x)`` arrives at ``(c, y // pool_y, x // pool_x)``; the rim that
    no whole pooling window covers is dropped (floor mode). ``1/k²`` of the pooling sits in ``weight``.

    Members
    -------
    source : int
        ``INPUT`` or the index of an earlier layer.
    weight : float64 or int32 [C_out, C_in / groups, K_y, K_x]
    stride, padding, pool : (y, x)
        Zero padding before the first row and column; ``pool`` is the window and stride of the average pooling.
    kind : str
        ``conv2d``; ``linear`` (kernel covers the pooled source, no padding, output 1 × 1); or ``identity``, the shortcut
        of a residual join: a 1 × 1 kernel in which no row has more than one weight other than 0, without padding.
    padding_after : (y, x)
        Zero padding behind the last row and column; ``None`` takes ``padding``.
    dilation : (y, x)
        Places from one kernel tap to the next.
    groups : int
        Source and output channels fall into so many runs of neighbours; run n of the output reads run n of the source.
    maximum : MaxPooling or None
        What the source goes through before anything else; its places are then those of the windows.
    """

    source: int
    weight: np.ndarray
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    pool: Pair = (1, 1)
    kind: str = "conv2d"
    padding_after: Pair | None = None
    dilation: Pair = (1, 1)
    groups: int = 1
    maximum: MaxPooling | None = None

    def __post_init__(self) -> None:
        integer = np.issubdtype(np.asarray(self.weight).dtype, np.integer)
        if integer and np.size(self.weight) and np.abs(np.asarray(self.weight, np.float64)).max() >= 2**31:
            raise InvalidValue("connection weight holds integers beyond 32 bits")
        object.__setattr__(self, "weight", frozen(self.weight, np.int32 if integer else np.float64))
        if self.weight.ndim != 4 or 0 in self.weight.shape:
            raise InvalidValue(
                f"connection weight has shape {self.weight.shape}, must be [C_out, C_in / groups, K_y, K_x]"
            )
        if self.padding_after is None:
            object.__setattr__(self, "padding_after", self.padding)
        if self.kind not in ("conv2d", "linear", "identity"):
            raise InvalidValue(f"connection kind is {self.kind!r}, must be conv2d, linear or identity")
        for name, least in (("stride", 1), ("padding", 0), ("padding_after", 0), ("pool", 1), ("dilation", 1)):
            pair = getattr(self, name)
            if len(pair) != 2 or not all(isinstance(v, int) and least <= v <= 1024 for v in pair):
                raise InvalidValue(f"connection {name} is {pair}, must be two whole numbers of {least} to 1024")
        if not isinstance(self.groups, int) or self.groups < 1 or self.weight.shape[0] % self.groups:
            raise InvalidValue(
                f"connection groups is {self.groups}, must be at least 1 and divide the {self.weight.shape[0]} output channels"
            )

        alone = self.kernel == (1, 1) and self.pads == ((0, 0), (0, 0)) and bool(((self.weight != 0).sum(1) <= 1).all())
        if self.kind == "identity" and not alone:
            raise InvalidValue(
                f"an identity has a 1 × 1 kernel with at most one weight in a row and no padding, not {self.weight.shape}"
            )

    @property
    def inputs(self) -> int:
        """Channels of the source, C_in."""
        return int(self.weight.shape[1]) * self.groups

    @property
    def pads(self) -> tuple[Pair, Pair]:
        """Zero padding ``(before, after)`` along y and along x."""
        assert self.padding_after is not None
        return (self.padding[0], self.padding_after[0]), (self.padding[1], self.padding_after[1])

    @property
    def window(self) -> Pair:
        """Places that the kernel spans, ``dilation·(K − 1) + 1``."""
        return tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True))  # type: ignore[return-value]

    def unusual(self) -> dict[str, Any]:
        """Dilation, groups, padding behind and max pooling, as JSON values, where they are not those of a plain convolution."""
        found: dict[str, Any] = {}
        if self.padding_after != self.padding:
            found["padding_after"] = list(self.padding_after or ())
        if self.dilation != (1, 1):
            found["dilation"] = list(self.dilation)
        if self.groups != 1:
            found["groups"] = self.groups
        if self.maximum is not None:
            found["maximum"] = {name: list(pair) for name, pair in asdict(self.maximum).items()}
        return found

    def fed_by(self, channels: np.ndarray) -> np.ndarray:
        """One value of each source channel where ``weight`` reads it: ``[C_in]`` → ``[C_out, C_in / groups, 1, 1]``."""
        rows = channels.reshape(self.groups, -1).repeat(self.weight.shape[0] // self.groups, axis=0)
        return rows[:, :, None, None]

    def targets(self, channel: int) -> range:
        """Output channels that a source channel reaches."""
        outputs = self.weight.shape[0] // self.groups
        first = channel // self.weight.shape[1] * outputs
        return range(first, first + outputs)

    @property
    def kernel(self) -> Pair:
        """Kernel size ``(K_y, K_x)``."""
        return (int(self.weight.shape[2]), int(self.weight.shape[3]))

    def peaks(self, values: np.ndarray) -> np.ndarray:
        """Values of the source, ``[…, H, W]``, behind the max pooling; spikes become the OR of theirs."""
        return values if self.maximum is None else self.maximum.of(values)

    def reduced(self, source: Shape) -> Shape:
        """Shape of the source after max pooling."""
        return source if self.maximum is None else (source[0], *self.maximum.output((source[1], source[2])))

    def pooled(self, source: Shape) -> Shape:
        """Shape of the source after all pooling."""
        channels, height, width = self.reduced(source)
        return (channels, height // self.pool[0], width // self.pool[1])

    def unpooled(self) -> "Connection":
        """The same synapse, of a source that is pooled already."""
        return replace(self, pool=(1, 1), maximum=None)

    def output(self, source: Shape) -> Shape:
        """Shape of the layer this connection drives.

        Raises
        ------
        InvalidValue
            The weight does not fit the source.
        """
        if min(self.reduced(source)) < 1 and self.maximum is not None:
            raise InvalidValue(f"source {source} is smaller than the window {self.maximum.window} of its max pooling")
        channels, *size = self.pooled(source)
        if self.inputs != channels:
            groups = f" in {self.groups} groups" if self.groups > 1 else ""
            raise InvalidValue(
                f"weight {self.weight.shape}{groups} expects {self.inputs} channels, its source has {channels}"
            )
        plain = self.pads == ((0, 0), (0, 0)) and self.dilation == (1, 1) and self.groups == 1
        if self.kind == "linear" and (self.kernel != tuple(size) or not plain):
            raise InvalidValue(
                f"linear kernel {self.kernel} must cover its source {tuple(size)} without padding, dilation or groups"
            )
        spatial = [
            (extent + sum(pads) - window) // stride + 1
            for extent, pads, window, stride in zip(size, self.pads, self.window, self.stride, strict=True)
        ]
        if min(*size, *spatial) < 1:
            raise InvalidValue(f"source {source}, pooled to {tuple(size)}, is smaller than the kernel {self.window}")
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
            place = first + np.arange(self.kernel[axis])[None, :] * self.dilation[axis]
            return np.unique((place >= 0) & (place < pooled[1 + axis]), axis=0).astype(np.int64)

        rows, columns = reached(0, height), reached(1, width)
        sums: np.ndarray = np.einsum("oyx,ry,sx->ors", weight.sum(axis=1), rows, columns).max(axis=(1, 2))
        return sums
