"""Size, clock and speed of a few networks on a few devices: the rows of reports/synthesis/points.csv.

    python tests/bench/synthesis_table.py NETWORKS reports/synthesis/points.csv [cnn/ecp5-85k/16 ...]

NETWORKS is a folder with ``cnn.safetensors``, ``mlp.safetensors`` and ``digits.safetensors``, fixed-point networks made by
the commands in reports/synthesis/README.md, and ``digits-snn.safetensors``, of which ``VARIANTS`` are made. Runs all of ``POINTS``, or those named, one after another, and replaces
their rows of the same tool versions; logs and netlists stay under build/synth. The file is the baseline that
``pytest -m slow tests/unit/test_synthesis_baseline.py`` holds the tools' answers against.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from sim import golden
from toolchain import datasets
from toolchain.cycles import cycles
from toolchain.ir import FixedPointNetwork, SpikingNetwork
from toolchain.netfile import load_fixed_point, load_spiking, replacing
from toolchain.quantize import quantize
from toolchain.synth import SynthesisResult, find_device, synthesize

__all__ = [
    "DATA",
    "KEY",
    "MOVING",
    "POINTS",
    "VARIANTS",
    "Point",
    "Variant",
    "base",
    "load",
    "measure",
    "moved",
    "read_table",
    "row",
]

DATA = {"cnn": "bundled", "mlp": "mnist-subset", "digits": "digits"}
"""Images of which each network's cycles are counted."""


@dataclass(frozen=True)
class Variant:
    """Another neuron, input or weight width of a network: members of the spiking network that change, and of quantization."""

    base: str
    members: dict[str, Any] = field(default_factory=dict)
    weight_bits: int = 8
    pow2: bool = False

    def make(self, spiking: SpikingNetwork) -> FixedPointNetwork:
        """Of the base in floating point."""
        return quantize(replace(spiking, **self.members), self.weight_bits, pow2=self.pow2)


VARIANTS = {
    "digits-4bit": Variant("digits", weight_bits=4),
    "digits-pow2": Variant("digits", pow2=True),
    "digits-stream": Variant("digits", {"schedule": "stream"}),
    "digits-symmetric": Variant("digits", {"negative": "symmetric"}),
    "digits-bitplane": Variant("digits", {"input": "bitplane"}),
    "digits-rate": Variant("digits", {"input": "rate"}),
    "digits-radix": Variant("digits", {"schedule": "radix"}),
    "digits-t16": Variant("digits", {"time_steps": 16}),
}
"""Networks that differ from another one in a member only: what it costs in cells is what they are for."""
IMAGES = 20
KEY = ("network", "device", "lanes", "seed", "clock_mhz", "yosys", "nextpnr", "amaranth")
"""Columns that name a row."""
MOVING = ("lut", "ff", "carry", "bram", "dsp", "lutram", "fmax_mhz", "cycles")
"""Columns that the baseline holds."""


@dataclass(frozen=True)
class Point:
    """A network on a device with so many lanes."""

    network: str
    device: str
    lanes: int

    def __str__(self) -> str:
        return f"{self.network}/{self.device}/{self.lanes}"


POINTS = tuple(
    Point(*point)
    for point in (
        ("digits", "up5k", 2),
        ("digits", "up5k", 4),
        ("digits", "hx8k", 4),
        ("digits", "gw1n-9", 4),
        ("digits", "gw2a-18", 8),
        ("digits", "ecp5-25k", 4),
        ("digits", "ecp5-25k", 16),
        ("mlp", "ecp5-25k", 4),
        ("mlp", "ecp5-45k", 16),
        ("mlp", "ecp5-85k", 16),
        ("mlp", "gw2a-18", 4),
        ("cnn", "ecp5-25k", 4),
        ("cnn", "ecp5-85k", 4),
        ("cnn", "ecp5-85k", 16),
        ("cnn", "ecp5-85k", 64),
        ("cnn", "gw2a-18", 4),
        ("cnn", "up5k", 4),
        ("cnn", "xc7a35t", 16),
        ("mlp", "xc7a100t", 16),
        ("cnn", "xczu3eg", 16),
        ("digits", "ecp5-25k", 1),
        ("digits", "ecp5-25k", 8),
        ("digits", "hx8k", 1),
        ("digits", "gw2a-18", 2),
        *((name, "ecp5-25k", 8) for name in VARIANTS),
        ("digits-symmetric", "ecp5-25k", 4),
        ("digits-4bit", "up5k", 4),
        ("digits-4bit", "hx8k", 4),
        ("digits-4bit", "gw2a-18", 8),
    )
)


def base(name: str) -> str:
    """The network that a variant is one of; others are their own."""
    return VARIANTS[name].base if name in VARIANTS else name


def mean_cycles(network: FixedPointNetwork, data: str, lanes: int) -> float:
    """Cycles of an image, receiving and sending included, mean over ``IMAGES`` images; the core's counters tell the same."""
    frames = datasets.load(data).take(IMAGES).frames
    return float(cycles(network, frames, golden.run(network, frames, "spikes"), lanes).latency.mean())


def row(point: Point, network: FixedPointNetwork, result: SynthesisResult) -> dict[str, Any]:
    """A row of the table."""
    taken = mean_cycles(network, DATA[base(point.network)], point.lanes)
    placer = result.device.family.placer
    return {
        "network": point.network,
        "device": point.device,
        "lanes": point.lanes,
        "status": result.status,
        "fits": result.fits,
        **{name: result.used.get(name, 0) for name in ("lut", "ff", "carry", "bram", "dsp", "lutram")},
        "fmax_mhz": None if result.fmax_mhz is None else round(result.fmax_mhz, 2),
        "cycles": round(taken, 1),
        "images_per_second": None if result.fmax_mhz is None else round(result.fmax_mhz * 1e6 / taken),
        "clock_mhz": result.clock_mhz,
        "seed": result.seed,
        "path_from": result.path[0].name if result.path else "",
        "path_to": result.path[-1].name if result.path else "",
        "verdict": result.verdict,
        "yosys": result.tools["yosys"],
        "nextpnr": result.tools.get(placer, "") if placer else "",
        "amaranth": result.tools["amaranth"],
        "fingerprint": network.fingerprint[:16],
        "netlist_sha256": result.netlist_sha256[:16],
        "cpu_seconds": result.cpu_seconds,
    }


def load(networks: Path, name: str) -> FixedPointNetwork:
    """A network of the folder, or a variant of one."""
    if name not in VARIANTS:
        return load_fixed_point(networks / f"{name}.safetensors")
    variant = VARIANTS[name]
    return variant.make(load_spiking(networks / f"{variant.base}-snn.safetensors"))


def measure(point: Point, network: FixedPointNetwork, folder: Path) -> dict[str, Any]:
    """Run the tools for one point; logs under ``folder``."""
    device = find_device(point.device)
    target = folder / point.network / f"{point.device}-{point.lanes}"
    return row(point, network, synthesize(network, target, device, lanes=point.lanes))


def read_table(path: Path) -> pd.DataFrame:
    """The kept rows."""
    table = pd.read_csv(path, dtype={"yosys": str, "nextpnr": str, "amaranth": str})
    return table.fillna({"nextpnr": "", "path_from": "", "path_to": ""})


def moved(now: Mapping[str, Any], kept: Mapping[str, Any], limit: float = 0.05) -> list[str]:
    """Which figures of a row are further from the kept one than ``limit``, and where a verdict or the network changed."""
    found = [f"{name} is {now[name]}, was {kept[name]}" for name in ("fits", "fingerprint") if now[name] != kept[name]]
    for name in MOVING:
        new, old = (None if pd.isna(each[name]) else float(each[name]) for each in (now, kept))
        if new != old and (new is None or old is None or abs(new - old) > limit * abs(old)):
            found.append(f"{name} is {new}, was {old}")
    return found


def main(networks: Path, target: Path, names: list[str]) -> None:
    """Measure, and write after every point."""
    unknown = set(names) - {str(point) for point in POINTS}
    if unknown:
        raise SystemExit(f"no point {', '.join(sorted(unknown))}; there are {', '.join(map(str, POINTS))}")
    order = {str(point): number for number, point in enumerate(POINTS)}
    for point in POINTS:
        if names and str(point) not in names:
            continue
        network = load(networks, point.network)
        table = pd.DataFrame([measure(point, network, Path("build") / "synth")])
        print(table.iloc[0].to_dict(), flush=True)
        if target.exists():
            table = pd.concat([read_table(target), table]).drop_duplicates(list(KEY), keep="last")
        place = (table.network + "/" + table.device + "/" + table.lanes.astype(str)).map(order)
        table = table.assign(place=place).sort_values(["yosys", "place"]).drop(columns="place")
        with replacing(target) as temporary:
            table.to_csv(temporary, index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
