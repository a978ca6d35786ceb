"""What a run of a network leaves behind, the same object from golden model, oracle and hardware."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Activity", "SpikeTrace"]


@dataclass(frozen=True, eq=False)
class Activity:
    """Exact integer counts per image and layer, int64 ``[N, layers]`` each.

    Members
    -------
    events
        Input spikes (non-zero pixels) that reach at least one synapse of the layer.
    operations
        Synaptic operations executed, zero weights included, padding never; for a layer that reads
        the frame: multiply-accumulates.
    spikes
        Spikes fired; 0 for the readout.
    """

    events: np.ndarray
    operations: np.ndarray
    spikes: np.ndarray

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Activity):
            return NotImplemented
        return all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in ("events", "operations", "spikes")
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, eq=False)
class SpikeTrace:
    """Result of running ``N`` frames through a fixed-point network.

    Members
    -------
    fingerprint : str
        Of the network.
    scores : int64 [N, classes]
        Membranes of the readout after the last step.
    activity : Activity
    counts : uint16 [N, C, H, W] for each firing layer, or None
        Spikes of each neuron, ``Σ_t |s|``.
    spikes : int8 [N, T, C, H, W] for each firing layer, or None
        ``s``, −1 for a negative spike.
    membranes : int64 [N, C, H, W] for each layer, or None
        Membranes after the last firing; in ``radix`` on the scale of the first, ``V / 2^T``.
    """

    fingerprint: str
    scores: np.ndarray
    activity: Activity
    counts: tuple[np.ndarray, ...] | None = None
    spikes: tuple[np.ndarray, ...] | None = None
    membranes: tuple[np.ndarray, ...] | None = None

    def __post_init__(self) -> None:
        activity = (self.activity.events, self.activity.operations, self.activity.spikes)
        for array in (self.scores, *activity, *(self.counts or ()), *(self.spikes or ()), *(self.membranes or ())):
            array.setflags(write=False)

    @property
    def predictions(self) -> np.ndarray:
        """Class of the largest score, the first of equals, int64 ``[N]``."""
        return self.scores.argmax(axis=1)
