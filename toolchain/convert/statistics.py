"""What the activations of a source network look like on the whole calibration set, in bounded memory."""

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor, fx

from toolchain.convert.graph import SourceGraph
from toolchain.errors import InvalidValue

__all__ = ["Distribution", "Observed", "Recorder"]

BINS = 4096
"""Resolution of a percentile: a 4096th of the layer's largest activation."""


@dataclass
class Distribution:
    """Activations of one layer over images and places.

    Members
    -------
    largest, smallest : float [C]
        Largest and smallest of each channel.
    total : float [C]
        Sum of each channel.
    values : int
        Values of each channel, images times places.
    counts : int64 [C, BINS], or [0, BINS] without a second pass
        Histogram of each channel over 0 to the layer's largest; what is not above 0 falls into the first bin.
    """

    largest: np.ndarray
    smallest: np.ndarray
    total: np.ndarray
    values: int
    counts: np.ndarray = field(default_factory=lambda: np.zeros((0, BINS), np.int64))

    @property
    def width(self) -> float:
        """Width of a bin."""
        return float(self.largest.max()) / BINS

    @property
    def magnitude(self) -> float:
        """Largest |x| of the layer."""
        return float(max(self.largest.max(), -self.smallest.min()))

    @property
    def mean(self) -> np.ndarray:
        """Mean of each channel, float64 ``[C]``."""
        return self.total / self.values

    def percentile(self, share: float, *, per_channel: bool) -> np.ndarray:
        """Least bin edge that ``share`` per cent of all values do not exceed, zeros included; float64 ``[C]``.

        Raises
        ------
        InvalidValue
            ``share`` outside 0 (exclusive) to 100.
        """
        if not 0 < share <= 100:
            raise InvalidValue(f"percentile is {share}, must be above 0 and at most 100")
        counts = self.counts if per_channel else self.counts.sum(axis=0, keepdims=True)
        reached = np.cumsum(counts, axis=1) >= share / 100 * counts.sum(axis=1, keepdims=True)
        edges = (reached.argmax(axis=1) + 1) * self.width
        return np.broadcast_to(np.minimum(edges, float(self.largest.max())), self.largest.shape).copy()

    def excess(self, threshold: np.ndarray) -> np.ndarray:
        """Mean of ``max(x − θ, 0)`` in each channel, float64 ``[C]``."""
        above = np.maximum(self._centres[None, :] - threshold[:, None], 0)
        excess: np.ndarray = (self.counts * above).sum(axis=1) / self.counts.sum(axis=1)
        return excess

    def quantization_error(self, threshold: np.ndarray, levels: int, shift: float) -> np.ndarray:
        """Mean of ``(x − θ·clip(⌊x·levels/θ + shift⌋/levels, 0, 1))²`` in each channel, float64 ``[C]``."""
        theta = threshold[:, None]
        quantized = theta * (np.floor(self._centres[None, :] * levels / theta + shift) / levels).clip(0, 1)
        error: np.ndarray = (self.counts * (self._centres - quantized) ** 2).sum(axis=1) / self.counts.sum(axis=1)
        return error

    @property
    def _centres(self) -> np.ndarray:
        """Middle of each bin, float64 ``[BINS]``."""
        centres: np.ndarray = (np.arange(BINS) + 0.5) * self.width
        return centres


@dataclass(frozen=True, eq=False)
class Observed:
    """The calibration set, as methods need it that run the spiking network themselves.

    Members
    -------
    frames : uint8 [N, C, H, W]
    means : tuple of float64 [C]
        For each layer the source's mean activation of each channel; for the readout the mean scores.
    """

    frames: np.ndarray
    means: tuple[np.ndarray, ...]


class Recorder(fx.Interpreter):
    """Runs a traced module and takes the distribution of every activation.

    ``run`` finds the largest values; after ``histograms = True``, in a second pass over the same batches,
    it counts.
    """

    def __init__(self, graph: SourceGraph):
        super().__init__(graph.module)
        self.histograms = False
        self.distributions: dict[fx.Node, Distribution | None] = {
            block.activation.node: None for block in graph.blocks if block.activation is not None
        }

    def run_node(self, n: fx.Node) -> object:
        result = super().run_node(n)
        if n in self.distributions:
            values = result.transpose(0, 1).flatten(1)  # [C, images · places]
            if self.histograms:
                self._count(n, values)
            else:
                self._widen(n, values)
        return result

    def _widen(self, node: fx.Node, values: Tensor) -> None:
        rows = values.double().numpy()
        largest, smallest, total = rows.max(axis=1), rows.min(axis=1), rows.sum(axis=1)
        before = self.distributions[node]
        if before is not None:
            largest, smallest = np.maximum(before.largest, largest), np.minimum(before.smallest, smallest)
            total = before.total + total
        seen = rows.shape[1] + (0 if before is None else before.values)
        self.distributions[node] = Distribution(largest, smallest, total, seen)

    def _count(self, node: fx.Node, values: Tensor) -> None:
        distribution = self.distributions[node]
        assert distribution is not None
        channels = len(values)
        if not len(distribution.counts):
            distribution.counts = np.zeros((channels, BINS), np.int64)
        if not distribution.width > 0:
            distribution.counts[:, 0] += values.shape[1]
            return
        place = (values.double().numpy() / distribution.width).clip(0, BINS - 1).astype(np.int64)
        place += np.arange(channels)[:, None] * BINS
        distribution.counts += np.bincount(place.ravel(), minlength=channels * BINS).reshape(channels, BINS)

    def distribution(self, node: fx.Node) -> Distribution:
        """What was found at one activation."""
        found = self.distributions[node]
        assert found is not None
        return found
