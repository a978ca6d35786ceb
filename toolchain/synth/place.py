"""Place and route, by nextpnr: what a device has to give, whether that is enough, and how fast it runs."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.errors import ToolMissing
from toolchain.synth.names import DesignNames
from toolchain.synth.targets import Device
from toolchain.synth.yosys import NETLIST
from toolchain.tools import Tool, tool_failed, watch_tool

__all__ = ["Hop", "Placement", "place_and_route"]

_REPORT = "report.json"
_LOG = "nextpnr.log"
_CONSTRAINTS = "pins.cst"
_USED = re.compile(r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)\s+\d+%")
_NO_ROOM = re.compile(
    r"^ERROR: (.*(?:no bels (?:remaining|available)|unable to find (?:a |legal )?placement|failed to expand region"
    r"|failed to place (?:cell|chain)).*)",
    re.IGNORECASE,
)
_NO_ROUTE = re.compile(r"^ERROR: (Routing design failed|.*failed to (?:find a )?route.*)", re.IGNORECASE)
_STAGES = (
    (re.compile(r"^Info: Pack"), "packing"),
    (re.compile(r"^Info: (?:Creating initial|Running main) analytic"), "placing"),
    (re.compile(r"^Info: Running simulated annealing"), "refining the placement"),
    (re.compile(r"^Info: (?:Routing|Setting up routing|Running router)"), "routing"),
)


@dataclass(frozen=True)
class Hop:
    """One stretch of the critical path.

    Members
    -------
    name : str
        Signal or memory of the design that is driven.
    beside : bool
        What is driven is logic that the tools made beside that signal, not the signal itself.
    logic_ns, routing_ns : float
        Through the cells that drive it, and from there to the next hop.
    """

    name: str
    beside: bool
    logic_ns: float
    routing_ns: float


@dataclass(frozen=True)
class Placement:
    """What nextpnr told.

    Members
    -------
    used, has : dict
        Of each resource that it counts.
    fmax_mhz : float or None
        After routing; None if it did not get so far.
    path : tuple of Hop
        The critical path, from register to register.
    failure : str
        Why there is no routed design though nothing is short; empty if there is one.
    """

    used: dict[str, int]
    has: dict[str, int]
    fmax_mhz: float | None
    path: tuple[Hop, ...]
    failure: str


def place_and_route(
    tool: Tool,
    device: Device,
    folder: Path,
    names: DesignNames,
    *,
    clock_mhz: float,
    seed: int,
    progress: Callable[[str], None] | None = None,
) -> Placement:
    """Place and route ``folder / NETLIST``; log and report stay beside it.

    Raises
    ------
    ToolMissing
        nextpnr fails for another reason than a device that is too small, or leaves no report.
    """
    arguments = [
        *(tool.executable, *device.place),
        *(
            "--json",
            NETLIST,
            "--report",
            _REPORT,
            "--freq",
            f"{clock_mhz:g}",
            "--timing-allow-fail",
            "--seed",
            str(seed),
        ),
    ]
    if device.pins:
        (folder / _CONSTRAINTS).write_text(
            "".join(
                f'IO_LOC "{pin}" {place};\nIO_PORT "{pin}" IO_TYPE=LVCMOS33;\n' for pin, place in device.pins.items()
            )
        )
        arguments += ["--vopt", f"cst={_CONSTRAINTS}"]
    told = _Told()

    def see(line: str) -> None:
        stage = told.see(line)
        if stage and progress is not None:
            progress(stage)

    log = folder / _LOG
    code = watch_tool(arguments, log=log, folder=folder, see=see)
    site = {of: resource for resource, of in device.family.sites.items()}
    used = {site[name]: number for name, (number, _) in told.sites.items() if name in site}
    has = {site[name]: number for name, (_, number) in told.sites.items() if name in site}
    if code != 0:
        if not told.failure and all(used[name] <= has[name] for name in used):
            raise tool_failed(tool.executable, code, log)
        return Placement(used, has, None, (), told.failure)
    try:
        report = json.loads((folder / _REPORT).read_text())
        return Placement(used, has, _fmax(report), _path(report, names), "")
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ToolMissing(f"{tool.executable} ended well but left no timing report; log in {log}") from error


class _Told:
    """What the lines of the log say."""

    def __init__(self) -> None:
        self.sites: dict[str, tuple[int, int]] = {}
        self.failure = ""

    def see(self, line: str) -> str:
        """Note what a line says; returns the stage that starts with it, if one does."""
        if found := _USED.match(line):
            self.sites[found[1]] = (int(found[2]), int(found[3]))
        elif not self.failure and (found := _NO_ROOM.match(line)):
            self.failure = f"the placer finds no place for all cells: {found[1]}"
        elif not self.failure and (found := _NO_ROUTE.match(line)):
            self.failure = f"the router finds no way for all nets: {found[1]}"
        return next((stage for pattern, stage in _STAGES if pattern.match(line)), "")


def _fmax(report: dict[str, Any]) -> float:
    return float(min(clock["achieved"] for clock in report["fmax"].values()))


def _path(report: dict[str, Any], names: DesignNames) -> tuple[Hop, ...]:
    """The slowest path between registers; hops at one signal are taken together."""
    between = [p["path"] for p in report["critical_paths"] if "<async>" not in (p["from"], p["to"])]
    if not between:
        return ()
    hops: list[Hop] = []
    logic = 0.0
    start = ""
    for step in max(between, key=lambda path: sum(float(each["delay"]) for each in path)):
        delay = float(step["delay"])
        if step["type"] == "routing":
            name, exact = (start, True) if start else names.find(step["net"])
            if name.startswith("$") and hops:  # the placer's own, within a carry chain
                name = hops[-1].name
            hop = Hop(name, not exact, logic, delay)
            logic, start = 0.0, ""
        elif step["type"] == "setup":
            hop = Hop(names.find(step["to"]["cell"])[0], False, logic + delay, 0.0)
        else:
            if step["type"] == "clk-to-q":  # a register or memory, which the tools call after its signal
                start = names.find(step["from"]["cell"])[0]
            logic += delay
            continue
        if hops and hops[-1].name == hop.name:
            last = hops.pop()
            both = last.beside and hop.beside
            hop = Hop(hop.name, both, last.logic_ns + hop.logic_ns, last.routing_ns + hop.routing_ns)
        hops.append(hop)
    return tuple(hops)
