"""The netlist of a generated core, as a folder that the same test bench runs on."""

import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from json import dumps, loads
from pathlib import Path
from typing import Any

from toolchain.bundle import CORE, MODELS_FILE, PORTS_FILE, RtlBundle
from toolchain.errors import InvalidValue, ToolMissing
from toolchain.netfile import replacing
from toolchain.synth.models import OURS, CellModels, cell_models
from toolchain.synth.targets import Device
from toolchain.synth.yosys import CELLS, LOG, NETLIST, OWN_LOG, synthesize_cells
from toolchain.tools import find_synthesis, yosys_share

__all__ = ["GateLevel", "synthesize_netlist"]

_RTL = "rtl.v"
_NETLIST_VERILOG = "netlist.v"
_CORE_ONLY = {"gowin": ("-noiopads",)}
"""Options that keep pads away from ports that are no pins, and make one module; other families' commands do so by themselves."""
_LEFTOVERS = (PORTS_FILE, MODELS_FILE, f"{CORE}.v", NETLIST, CELLS, LOG, OWN_LOG)
_HEAD = re.compile(r"\A/\*.*?\*/\s*", re.S)
_NO_CELLS = ("$scopeinfo",)


@dataclass(frozen=True)
class GateLevel:
    """A core as cells of a device.

    Members
    -------
    bundle : RtlBundle
        The netlist with its cells' models, test bench, port map and network.
    device : Device
    command : str
        Of Yosys.
    cells : dict
        Number of cells of each type.
    origin : dict
        Of each type, whose model says what it does: ``yosys`` or ``spikeloom``.
    sha256 : str
        Of the netlist, as ``toolchain.synth.yosys`` counts it.
    yosys : str
        Its version.
    """

    bundle: RtlBundle
    device: Device
    command: str
    cells: dict[str, int]
    origin: dict[str, str]
    sha256: str
    yosys: str

    @property
    def ours(self) -> dict[str, int]:
        """Cells whose models are Spikeloom's own: of their behaviour, only our reading of the maker's documents is tested."""
        return {kind: number for kind, number in self.cells.items() if self.origin[kind] == OURS}

    def describe(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "device": self.device.name,
            "command": self.command,
            "yosys": self.yosys,
            "sha256": self.sha256,
            "cells": {kind: {"number": n, "model": self.origin[kind]} for kind, n in self.cells.items()},
        }


def _prepare(bundle: RtlBundle, folder: Path) -> None:
    """A folder with what the netlist shares with the RTL; without a port map it is no bundle yet."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in _LEFTOVERS:  # of a netlist that stood here before
            (folder / name).unlink(missing_ok=True)
        shutil.copyfile(bundle.verilog, folder / _RTL)
        for file in (bundle.testbench, bundle.network, *((bundle.weights,) if bundle.external else ())):
            shutil.copyfile(file, folder / file.name)
    except OSError as error:
        raise InvalidValue(
            f"cannot make {folder}: {error.filename or folder}: {error.strerror}; choose a folder that is writable, or "
            "run spikeloom generate again"
        ) from error


def _cells(folder: Path) -> dict[str, int]:
    """Cells of each type in the netlist; what Yosys itself would have to explain is refused."""
    design = loads((folder / NETLIST).read_text())["modules"][CORE]
    kinds = Counter(str(cell["type"]) for cell in design["cells"].values())
    unmapped = sorted(kind for kind in kinds if kind.startswith("$") and kind not in _NO_CELLS)
    if unmapped:
        raise ToolMissing(f"Yosys left {', '.join(unmapped)} without cells of the device; log in {folder / LOG}")
    return {kind: kinds[kind] for kind in sorted(kinds) if kind not in _NO_CELLS}


def synthesize_netlist(
    bundle: RtlBundle, device: Device, folder: Path, *, progress: Callable[[str], None] | None = None
) -> GateLevel:
    """Have Yosys make the netlist of generated Verilog, by the commands that ``synthesize`` uses, but of the core alone.

    ``folder`` gets the netlist as ``spikeloom_core.v``, the models of its cells as ``cells.v``, and test bench,
    network and port map of ``bundle``; so it is a bundle itself, on which ``sim.runner`` runs unchanged. Not covered: what place
    and route do to the netlist, and delays.

    Raises
    ------
    InvalidValue
        ``bundle`` is a netlist already, a cell has no simulation model, or ``folder`` cannot be written.
    ToolMissing
        Yosys is missing or fails.
    """
    if bundle.netlist:
        raise InvalidValue(f"{bundle.folder} holds a netlist for {bundle.netlist} already; give the folder of the RTL")
    tool = find_synthesis("yosys")
    share = yosys_share(tool)
    _prepare(bundle, folder)
    options = _CORE_ONLY.get(device.family.name, ())
    netlist = synthesize_cells(
        tool, device, folder, top=CORE, design=_RTL, options=options, verilog=_NETLIST_VERILOG, progress=progress
    )
    try:
        cells = _cells(folder)
        text = (folder / _NETLIST_VERILOG).read_text()
        (folder / _NETLIST_VERILOG).unlink()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolMissing(f"{tool.executable} ended well but left no netlist; log in {folder / LOG}") from error
    models: CellModels = cell_models(device.family.name, share, cells)
    header = (
        f"// Netlist of a Spikeloom core, fingerprint {bundle.fingerprint}\n"
        f"// made for {device.name} by Yosys {tool.version}: {netlist.command}\n"
        "`timescale 1ns / 1ps\n"  # Icarus takes one for all files
    )
    made = replace(bundle, folder=folder, netlist=device.name)
    made.verilog.write_text(header + _HEAD.sub("", text))
    (folder / MODELS_FILE).write_text(models.text)
    ports = {**loads((bundle.folder / PORTS_FILE).read_text()), **made.describe()}
    with replacing(folder / PORTS_FILE) as temporary:
        temporary.write_text(dumps(ports, indent=2) + "\n")
    return GateLevel(made, device, netlist.command, cells, models.origin, netlist.sha256, tool.version)
