"""LUTs, flip-flops and carry cells of a core by linear models of its structure, one for each family of devices.

``tests/bench/fit_sizes.py`` fits the coefficients to built points and writes them into ``toolchain/data/sizes.json``; how far
they are off where a point was left out stands in reports/synthesis. Memories and multipliers are not fitted, but counted.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import inf, log2
from pathlib import Path
from typing import Any

from toolchain.sizing.memories import Mapped, map_memory
from toolchain.sizing.structure import Structure, total
from toolchain.synth.targets import Device

__all__ = [
    "COEFFICIENTS",
    "FITTED",
    "Clock",
    "Loading",
    "Model",
    "features",
    "known",
    "load_models",
    "mapped",
    "speed_class",
]

COEFFICIENTS = Path(__file__).parents[1] / "data" / "sizes.json"
"""The file that ships with the package."""
LUTS_A_CHOICE = 2 / 3
"""Of a wide choice between block RAMs: a choice of four takes two LUT4."""
FITTED = ("lut", "ff", "carry")
"""Resources that are fitted."""


def mapped(structure: Structure, family: str) -> Mapped:
    """Blocks, LUT RAMs and logic that all memories take."""
    return total([map_memory(memory, family) for memory in structure.memories])


def _rom_columns(structure: Structure, family: str) -> float:
    """LUTs that a ROM in logic takes if none is shared: one a column for 16 words, a tree of them beyond."""
    roms = [m for m in structure.memories if m.rom and map_memory(m, family).logic_bits]
    return sum(m.bits * max(1.0, m.depth / 16) for m in roms)


def features(structure: Structure, family: str, *, dsp: bool) -> dict[str, dict[str, float]]:
    """For each of ``FITTED`` what its coefficients weigh; ``dsp``: the device has multipliers."""
    blocks = {m.name for m in structure.memories if map_memory(m, family).blocks}
    # nextpnr puts flip-flops around Gowin's block ROMs
    surrounded = sum(map_memory(m, family).blocks for m in structure.memories if m.rom) if family == "gowin" else 0
    work = structure.lane_adders + structure.lane_choices
    multiplied = structure.lane_products if structure.multiplied else 0
    products = 0 if dsp else multiplied + structure.address_product
    return {
        "lut": {
            "constant": 1,
            "control": structure.control,
            "lanes": structure.lanes,
            "lane work": work,
            "products": products,
            "negative spikes": structure.signed,
            "shifters": structure.lane_products - multiplied,
            "ROM in logic": _rom_columns(structure, family),
            "folded rows of blocks": mapped(structure, family).folded,
            "RAM in logic": mapped(structure, family).register_bits,
        },
        "ff": {
            "constant": 1,
            "control": structure.control,
            "lanes": structure.lanes,
            "lane registers": structure.lane_registers,
            "parameter registers": 0 if "parameters" in blocks else structure.parameter_registers,
            "block ROMs": surrounded,
        },
        "carry": {
            "constant": 1,
            "control": structure.control,
            "lane adders": structure.lane_adders,
            "products": products,
        },
    }


def known(structure: Structure, family: str) -> dict[str, int]:
    """What is in the counts without any fit: RAM in flip-flops, choices between blocks, and on ECP5 the four LUTs of a LUT RAM."""
    taken = mapped(structure, family)
    lut = round(LUTS_A_CHOICE * taken.choices) + (4 * taken.lutrams if family == "ecp5" else 0)
    return {"lut": lut, "ff": taken.register_bits, "carry": 0}


BELIEVED = 0.15
"""Relative error up to which a clock is predicted."""


@dataclass(frozen=True)
class Clock:
    """Fmax of a class of devices: ``log2 MHz = at_one − slope·log2(1 + block RAMs)``.

    ``error`` is the largest relative error of a point that was left out, ``slowest`` the lowest clock of all, MHz; ``points`` is
    how many there are. ``slowest_loaded_leak`` is the lowest of cores whose leaks are loaded, which are no points; ``None`` where
    none was built.
    """

    at_one: float
    slope: float
    error: float
    slowest: float
    points: int
    slowest_loaded_leak: float | None = None

    @property
    def honest(self) -> bool:
        """Whether the prediction is worth showing."""
        return self.error <= BELIEVED

    def fmax_mhz(self, blocks: int) -> float:
        """With so many block RAMs."""
        return float(2 ** (self.at_one - self.slope * log2(1 + blocks)))


def speed_class(device: Device) -> str:
    """Devices that are equally fast: those of a family, unless its members differ in speed."""
    return device.name if device.family.name in ("ice40", "gowin") else device.family.name


@dataclass(frozen=True)
class Loading:
    """What loading networks costs, fitted to ``points`` cores that were built: of each of ``FITTED``, how much for a register of the loader.

    ``error`` is the largest relative error of such a core that was left out, over LUTs and flip-flops; infinite if there was one only.
    """

    coefficients: Mapping[str, float]
    points: int
    error: float


@dataclass(frozen=True)
class Model:
    """Coefficients of one family.

    Members
    -------
    coefficients : of each of ``FITTED``, by feature
    points : how many built points they were fitted to, of at most ``lanes`` lanes
    error : of each of ``FITTED``, the largest relative error of a point that was left out
    clocks : by class of speed (``speed_class``), how log2 Fmax in MHz falls with log2 of block RAMs
    loading : of cores into which networks are loaded
    """

    coefficients: Mapping[str, Mapping[str, float]]
    points: int
    lanes: int
    error: Mapping[str, float]
    clocks: Mapping[str, Clock]
    loading: Loading

    def sizes(self, given: Mapping[str, Mapping[str, float]], structure: Structure, family: str) -> dict[str, int]:
        """Each of ``FITTED`` for a core of these ``features``."""
        fixed = known(structure, family)
        return {
            name: round(
                fixed[name]
                + self.loading.coefficients[name] * structure.loader
                + sum(weight * given[name][key] for key, weight in self.coefficients[name].items())
            )
            for name in FITTED
        }


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """``null`` stands for an error that nothing is known of: there was no other point."""
    return {name: inf if value is None else value for name, value in values.items()}


@cache
def load_models(path: Path = COEFFICIENTS) -> dict[str, Model]:
    """The models by family."""
    content = json.loads(path.read_text())
    return {
        name: Model(
            entry["coefficients"],
            entry["points"],
            entry["lanes"],
            _without_none(entry["error"]),
            {name: Clock(**_without_none(clock)) for name, clock in entry["clocks"].items()},
            Loading(**_without_none(entry["loading"])),
        )
        for name, entry in content["families"].items()
    }
