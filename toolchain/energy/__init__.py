"""What a network costs: counts, energy profiles, memory policies, ANN baselines, break-even, and the report of them."""

from toolchain.energy.baselines import BASELINES, Baseline, accumulator_bits, baselines
from toolchain.energy.breakeven import BreakEven, break_even
from toolchain.energy.counts import LayerCounts, layer_counts, observe
from toolchain.energy.layer import LayerEnergy, Spread
from toolchain.energy.memory import ANN_POLICIES, SNN_POLICIES, Memory
from toolchain.energy.profiles import PROFILES, Profile, Published, load_profile, load_published
from toolchain.energy.report import SCOPE, EnergyReport, estimate
from toolchain.energy.tables import COLUMNS, energy_content, energy_table

__all__ = [
    "ANN_POLICIES",
    "BASELINES",
    "COLUMNS",
    "PROFILES",
    "SCOPE",
    "SNN_POLICIES",
    "Baseline",
    "BreakEven",
    "EnergyReport",
    "LayerCounts",
    "LayerEnergy",
    "Memory",
    "Profile",
    "Published",
    "Spread",
    "accumulator_bits",
    "baselines",
    "break_even",
    "energy_content",
    "energy_table",
    "estimate",
    "layer_counts",
    "load_profile",
    "load_published",
    "observe",
]
