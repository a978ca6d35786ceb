"""What a run of a network leaves behind, the same object from golden model, oracle and hardware."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

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
    effective
        Operations whose weight is not 0, or ``None``: no counter in hardware tells.
    nonzero
        Synapses whose source value, pooled, is not 0 over all steps, each once: the multiply-accumulates
        that the same values cost as activations if zeros are skipped; or ``None``, likewise.

    Equality is that of the first three, which golden model, oracle and hardware all count.
    """

    events: np.ndarray
    operations: np.ndarray
    spikes: np.ndarray
    effective: np.ndarray | None = None
    nonzero: np.ndarray | None = None

    @staticmethod
    def joined(parts: Sequence["Activity"]) -> "Activity":
        """Of all images of several runs, in order; a count that one part does not know is unknown."""
        columns = {field.name: [getattr(part, field.name) for part in parts] for field in fields(Activity)}
        known = {name: arrays for name, arrays in columns.items() if all(array is not None for array in arrays)}
        return Activity(**{name: np.concatenate(arrays) for name, arrays in known.items()})

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
