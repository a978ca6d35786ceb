"""Synthesis: from RTLIL to cells of a device, by Yosys."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolchain.errors import ToolMissing
from toolchain.synth.targets import Device
from toolchain.tools import Tool, tool_failed, watch_tool

__all__ = ["CELLS", "LOG", "NETLIST", "OWN_LOG", "RTLIL", "Netlist", "synthesize_cells"]

RTLIL = "top.il"
NETLIST = "netlist.json"
CELLS = "cells.json"
LOG = "yosys.log"
OWN_LOG = "yosys-own.log"
"""Yosys writes it itself: what it prints ends at the first ABC9 where ABC is linked in, as in YoWASP's 0.70."""
_PASS = re.compile(r"^\d+\.\d+(?:\.\d+)*\. Executing (\w+) pass")


@dataclass(frozen=True)
class Netlist:
    """What Yosys made.

    Members
    -------
    cells : dict
        Number of cells of each type.
    sha256 : str
        Of the netlist's top module; the same for the same network, lanes, device and Yosys, on any machine.
    command : str
        Yosys's commands of the synthesis itself, between reading and writing.
    """

    cells: dict[str, int]
    sha256: str
    command: str

    def uses(self, device: Device) -> dict[str, int]:
        """Of each resource of the device's family, how much these cells take."""
        return {
            resource: sum(weight * self.cells.get(kind, 0) for kind, weight in kinds.items())
            for resource, kinds in device.family.cells.items()
        }


def _synthesis(device: Device, top: str, options: Sequence[str]) -> tuple[str, ...]:
    """The device's command, in two halves where Yosys can be told in between which memories need no logic for collisions."""
    command = f"{' '.join((*device.synthesis, *options))} -top {top}"
    stage = device.family.memory_stage
    if not stage:
        return (command,)
    from hdl.rom import COLLISION_FREE  # with Amaranth, which readers of results need not load

    # alone, within other modules, and where Amaranth numbers a name that stands twice
    named = [f"c:{place}{name}{number}" for name in COLLISION_FREE for place in ("", "*.") for number in ("", "$*")]
    chosen = f"{' '.join(named)} {'%u ' * (len(named) - 1)}t:$mem_v2 %i"
    return (
        f"{command} -run :{stage}",
        f"setparam -set RD_COLLISION_X_MASK 1'1 {chosen}",
        f"{command} -run {stage}:",
    )


def synthesize_cells(
    tool: Tool,
    device: Device,
    folder: Path,
    *,
    top: str,
    design: str = RTLIL,
    options: Sequence[str] = (),
    verilog: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Netlist:
    """Synthesize ``folder / design`` into ``folder / NETLIST``; the log stays beside them.

    Parameters
    ----------
    top : str
        Module at the top.
    design : str
        Name of a file of RTLIL, or of Verilog if it ends in ``.v``.
    options : sequence of str
        Of the synthesis command, beside the device's.
    verilog : str, optional
        Name of a file that gets the netlist as Verilog too.

    Raises
    ------
    ToolMissing
        Yosys fails, or leaves no netlist.
    """
    (folder / OWN_LOG).unlink(missing_ok=True)
    synthesis = _synthesis(device, top, options)
    # without the places of Yosys's own cell libraries, which differ between installations
    script = (
        f"{'read_verilog' if design.endswith('.v') else 'read_rtlil'} {design}",
        *synthesis,
        "setattr -unset src *",
        f"write_json {NETLIST}",
        *((f"write_verilog -noattr {verilog}",) if verilog else ()),
        f"tee -q -o {CELLS} stat -json",
    )

    def see(line: str) -> None:
        found = _PASS.match(line)
        if found is not None and progress is not None:
            progress(found[1].lower())

    log = folder / LOG
    code = watch_tool([tool.executable, "-p", "; ".join(script), "-L", OWN_LOG], log=log, folder=folder, see=see)
    _keep_whole_log(folder, code)
    if code != 0:
        raise tool_failed(tool.executable, code, log)
    try:
        cells = json.loads((folder / CELLS).read_text())["design"]["num_cells_by_type"]
        design = json.loads((folder / NETLIST).read_text())["modules"][top]
        digest = hashlib.sha256(json.dumps(design, sort_keys=True).encode()).hexdigest()
        counted = {str(kind): int(number) for kind, number in sorted(cells.items()) if not kind.startswith("$")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolMissing(
            f"{tool.executable} ended well but left no netlist or no cell counts; log in {log}"
        ) from error
    return Netlist(counted, digest, "; ".join(synthesis))


def _keep_whole_log(folder: Path, code: int) -> None:
    """Put Yosys's own log in the place of what it printed, unless it died of something that only its output tells."""
    own = folder / OWN_LOG
    if own.exists() and (code == 0 or "\nERROR: " in own.read_text(errors="replace")):
        own.replace(folder / LOG)
