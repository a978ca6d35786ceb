"""Energy of one layer, or of all of them, under every policy: arrays over images, bounds, verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolchain.energy.breakeven import BreakEven
from toolchain.energy.counts import LayerCounts
from toolchain.energy.memory import SNN_POLICIES, Traffic

__all__ = ["PARTS", "LayerEnergy", "Spread"]

PARTS = ("sop", "input", "bias", "neuron", "weights", "state", "events", "static")
"""Where the energy of a spiking layer goes: four of compute, three of memory, and static with clock energy."""
_COMPUTE = PARTS[:4]
_MEMORY = PARTS[4:7]


@dataclass(frozen=True)
class Spread:
    """Mean, standard deviation and 95th percentile over images."""

    mean: float
    std: float
    p95: float

    @staticmethod
    def of(values: np.ndarray) -> "Spread":
        """Of ``[N]``."""
        return Spread(float(values.mean()), float(values.std()), float(np.percentile(values, 95)))


@dataclass(frozen=True, eq=False)
class LayerEnergy:
    """One layer, or the ``total`` of all; energies in pJ for each image.

    Members
    -------
    counts : LayerCounts or None
        ``None`` for the total and for what belongs to no layer.
    synapses : int
        S.
    sigma : float64 [N]
    numbers : name → float64 [N]
        ``spikes_in``, ``sop_executed``, ``sop_effective``, ``mac_input``, ``input_adds``, ``ac_bias``, ``neuron_ops``,
        ``spikes_out``, ``ors`` of max pooling, ``decay_adds`` of leaks and ``lasting_adds`` of
        currents that last (which ``neuron_ops`` includes); what is unknown, or is in no layer of the network, is missing.
    parts : policy → part → float64 [N]
        Energy of the spiking network, by ``PARTS``.
    bits : policy → Traffic
    ann : baseline → policy → float64 [N]
    macs : baseline → float64 [N]
    break_even : tuple of BreakEven
        For each baseline and pair of policies.
    """

    name: str
    counts: LayerCounts | None
    synapses: int
    sigma: np.ndarray
    numbers: dict[str, np.ndarray]
    parts: dict[str, dict[str, np.ndarray]]
    bits: dict[str, Traffic]
    ann: dict[str, dict[str, np.ndarray]]
    macs: dict[str, np.ndarray]
    break_even: tuple[BreakEven, ...]

    def energy(self, policy: str, parts: Sequence[str] = PARTS) -> np.ndarray:
        """Of the spiking network, pJ, float64 ``[N]``."""
        return np.sum([self.parts[policy][part] for part in parts], axis=0)

    def compute(self, policy: str) -> np.ndarray:
        """Operations alone."""
        return self.energy(policy, _COMPUTE)

    def memory(self, policy: str) -> np.ndarray:
        """Bits moved."""
        return self.energy(policy, _MEMORY)

    def static(self, policy: str) -> np.ndarray:
        """Static and clock energy."""
        return self.energy(policy, ("static",))

    @property
    def snn_bounds(self) -> tuple[float, float]:
        """Least and largest mean over the memory policies, pJ."""
        return _bounds([float(self.energy(policy).mean()) for policy in SNN_POLICIES])

    def ann_bounds(self, baseline: str) -> tuple[float, float]:
        """Likewise of a baseline."""
        return _bounds([float(energy.mean()) for energy in self.ann[baseline].values()])

    def ratio_bounds(self, baseline: str) -> tuple[float, float] | None:
        """Least and largest ANN over SNN over all pairs of policies."""
        ratios = [b.ratio for b in self.break_even if b.baseline == baseline and b.ratio is not None]
        return _bounds(ratios) if ratios else None

    def verdict(self, baseline: str | None) -> str:
        """``SNN``, ``ANN`` (costs less under every pair of policies), ``depends`` (on the pair), or ``unknown``."""
        margins = [b.margin for b in self.break_even if b.baseline == baseline]
        if not margins:
            return "unknown"
        return "SNN" if min(margins) > 0 else "ANN" if max(margins) < 0 else "depends"

    def at(self, baseline: str | None, snn: str, ann: str) -> BreakEven | None:
        """The break-even of one baseline under one pair of policies."""
        return next((b for b in self.break_even if (b.baseline, b.snn, b.ann) == (baseline, snn, ann)), None)


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)
