"""What synthesis of one network for one device gave."""

from dataclasses import asdict, dataclass
from typing import Any

from toolchain.synth.place import Hop
from toolchain.synth.targets import DEVICES, RESOURCES, Device

__all__ = ["Shortage", "SynthesisResult", "find_shortages"]

_SCHEMA = 1


@dataclass(frozen=True)
class Shortage:
    """A resource that the design needs more of than the device has."""

    resource: str
    needs: int
    has: int

    def __str__(self) -> str:
        return f"needs {self.needs:,} {RESOURCES[self.resource]}, has {self.has:,}"


def find_shortages(needs: dict[str, int], has: dict[str, int]) -> tuple[Shortage, ...]:
    """Every resource of ``has`` that runs out, the worst first."""
    short = [Shortage(name, needs.get(name, 0), has[name]) for name in has if needs.get(name, 0) > has[name]]
    return tuple(sorted(short, key=lambda each: -each.needs / max(1, each.has)))


@dataclass(frozen=True, eq=False)
class SynthesisResult:
    """A network on a device: what it takes, whether that is there, how fast it runs.

    Members
    -------
    network, fingerprint : str
    lanes, weight_bits, membrane_bits : int
        Of the hardware.
    memories : str
        ``rom``; ``loadable``: the hardware has room for the network, and for others; ``external``: its weights are outside.
    device : Device
    status : str
        ``simulated``: by place and route, with the delays that the tool knows of. ``estimated``: counted by Yosys alone.
        Neither was measured on silicon.
    used : dict
        Of each resource, as nextpnr counts it after packing, otherwise as Yosys's cells take it.
    has : dict
        Of each resource that can run out.
    cells : dict
        Yosys's cells by type.
    shortages : tuple of Shortage
    failure : str
        Why it does not fit though nothing is short; otherwise empty.
    clock_mhz : float
        What the tools aimed at; ``clock_asked``: the user chose it.
    fmax_mhz : float or None
        Highest clock after routing, with the maximum delays that nextpnr knows; None without place and route.
    path : tuple of Hop
        The path that limits it.
    netlist_sha256 : str
    seed : int
    seconds : dict
        Wall-clock time of each stage; ``cpu_seconds``: processor time of all, which depends less on what else runs.
    tools : dict
        Versions.
    folder : str
        Where logs, netlist and reports lie.
    cores : int
        Of ``lanes`` lanes each, in a row.
    """

    network: str
    fingerprint: str
    lanes: int
    weight_bits: int
    membrane_bits: int
    memories: str
    device: Device
    status: str
    used: dict[str, int]
    has: dict[str, int]
    cells: dict[str, int]
    shortages: tuple[Shortage, ...]
    failure: str
    clock_mhz: float
    clock_asked: bool
    fmax_mhz: float | None
    path: tuple[Hop, ...]
    netlist_sha256: str
    seed: int
    seconds: dict[str, float]
    cpu_seconds: float
    tools: dict[str, str]
    folder: str
    cores: int = 1

    @property
    def fits(self) -> bool:
        """Whether everything has its place."""
        return not self.shortages and not self.failure

    @property
    def meets(self) -> bool:
        """Whether it fits and reaches the clock that was asked for, if one was and it was timed."""
        return self.fits and (not self.clock_asked or self.fmax_mhz is None or self.fmax_mhz >= self.clock_mhz)

    @property
    def verdict(self) -> str:
        """One line: fits, or what is short; and the clock."""
        if self.shortages:
            return "does not fit: " + "; ".join(map(str, self.shortages))
        if self.failure:
            return f"does not fit: {self.failure}"
        if self.fmax_mhz is None:
            return "fits by these counts; not placed, no clock known"
        against = ""
        if self.clock_asked:
            against = f", {'enough for' if self.meets else 'short of'} the {self.clock_mhz:g} MHz asked for"
        return f"fits, {self.fmax_mhz:.1f} MHz{against}"

    @property
    def way_out(self) -> str:
        """What to do about a design that does not fit or is too slow; empty where nothing is amiss."""
        if self.meets:
            return ""
        if self.fits:
            return "lower --clock, try another --seed, or give fewer lanes"
        short = {each.resource for each in self.shortages}
        ways = []
        if not short or short - {"bram", "spram"}:
            ways.append("fewer lanes (-P)")
        if short & {"bram", "spram"}:
            ways.append("fewer weight bits (spikeloom quantize -b), a smaller network")
        larger = self._larger()
        if larger:
            ways.append(f"a larger device, such as {larger.name}")
        return ", or ".join(ways) + ("" if larger else "; no device known here is large enough")

    def _larger(self) -> Device | None:
        """The smallest device with a place and route flow here that holds what this one needs."""
        family = self.device.family
        needs = {name: self.used.get(name, 0) for name in ("lut", "ff", "bram")}
        bits = needs["bram"] * family.bram_bits
        grown = {each.resource: each.needs for each in self.shortages}
        for device in sorted(DEVICES.values(), key=lambda each: (each.family is not family, each.has["lut"])):
            if device.family.placer is None or device.has["lut"] <= self.device.has["lut"]:
                continue
            same = device.family is family
            room = (
                device.has["bram"] >= needs["bram"] if same else device.bram_kbit * 1024 >= bits,
                all(device.has[name] >= needs[name] for name in ("lut", "ff")),
                not same or all(device.has.get(name, needed) >= needed for name, needed in grown.items()),
            )
            if all(room):
                return device
        return None

    def describe(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "schema": _SCHEMA,
            "status": self.status,
            "network": self.network,
            "fingerprint": self.fingerprint,
            "lanes": self.lanes,
            "cores": self.cores,
            "weight_bits": self.weight_bits,
            "membrane_bits": self.membrane_bits,
            "memories": self.memories,
            "device": {
                "name": self.device.name,
                "title": self.device.title,
                "part": self.device.part,
                "lut": self.device.family.lut,
            },
            "fits": self.fits,
            "verdict": self.verdict,
            "way_out": self.way_out,
            "shortages": [asdict(each) for each in self.shortages],
            "failure": self.failure,
            "resources": {
                name: {"used": number, "available": self.has.get(name)} for name, number in self.used.items()
            },
            "cells": self.cells,
            "clock_mhz": self.clock_mhz,
            "clock_asked": self.clock_asked,
            "fmax_mhz": self.fmax_mhz,
            "critical_path": [asdict(hop) for hop in self.path],
            "netlist_sha256": self.netlist_sha256,
            "seed": self.seed,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "tools": self.tools,
            "folder": self.folder,
        }
