"""Break-even: how many spikes a synapse may see before the spiking network costs more (energy model, section 5)."""

from dataclasses import dataclass

import numpy as np

__all__ = ["BreakEven", "break_even"]


def break_even(density: float, mac: float, synapse: float, fixed: float = 0.0) -> float:
    """``σ* = (d·mac − fixed) / synapse``, below which the spiking network costs less; infinite if a spike costs nothing.

    Parameters
    ----------
    density : float
        d, the share of the ANN's multiply-accumulates that it performs.
    mac : float
        Energy of one of them, memory included, pJ.
    synapse : float
        Energy of a synaptic operation, memory included, pJ.
    fixed : float
        What the spiking network costs beside its synaptic operations, pJ for each dense synapse.
    """
    gain = density * mac - fixed
    if synapse == 0:
        return float(np.copysign(np.inf, gain))
    return gain / synapse


@dataclass(frozen=True)
class BreakEven:
    """Mean σ against σ* under one pair of memory policies; ``ratio`` is ANN over SNN, ``None`` if the SNN cost nothing.

    ``e_synapse`` is the energy of one synaptic operation, memory included, ``e_fixed`` and ``e_ann`` are what else the spiking
    network costs and what the ANN does, for each dense synapse, pJ: another σ gives ``ratio = e_ann / (e_fixed + σ·e_synapse)``.

    ``margin = σ* − σ`` is above 0 where the spiking network costs less; ``rate_star = σ*/T``.
    """

    baseline: str
    snn: str
    ann: str
    sigma: float
    sigma_star: float
    rate_star: float
    ratio: float | None
    e_synapse: float
    e_fixed: float
    e_ann: float

    @property
    def margin(self) -> float:
        """Spikes per synapse to spare."""
        return self.sigma_star - self.sigma
