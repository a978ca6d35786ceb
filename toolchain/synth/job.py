"""Synthesis of one network for one device, from the integers to the figures."""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from math import isfinite
from pathlib import Path

from amaranth.back import verilog

from hdl import Core
from hdl.capacity import Capacity
from hdl.chain import Chain
from hdl.harness import TOP, harness_rtlil, harness_verilog
from hdl.program import check_lanes
from hdl.tiles import ExternalWeights
from toolchain.errors import InvalidValue, ToolMissing
from toolchain.ir import FixedPointNetwork
from toolchain.netfile import replacing
from toolchain.synth.floorplan import FLOORPLANS, floorplan
from toolchain.synth.names import DesignNames
from toolchain.synth.place import Placement, place_and_route
from toolchain.synth.result import SynthesisResult, find_shortages
from toolchain.synth.targets import Device
from toolchain.synth.vivado import write_vivado
from toolchain.synth.yosys import NETLIST, RTLIL, synthesize_cells
from toolchain.tools import Tool, find_synthesis

__all__ = ["RESULT", "check_clock", "check_seed", "find_tools", "implement", "synthesize"]

RESULT = "synthesis.json"
"""File with the result, in the folder of the run."""
_LEFTOVERS = (
    RTLIL, RESULT, "netlist.json", "cells.json", "yosys.log", "yosys-own.log", "report.json", "nextpnr.log", "pins.cst", "top.v", "top.xdc",
    "vivado.tcl",
)  # fmt: skip
_PREFIX = "harness.core."


def check_clock(clock_mhz: float | None) -> None:
    """Refuse a clock that no tool could aim at."""
    if clock_mhz is not None and not (isfinite(clock_mhz) and 0.1 <= clock_mhz <= 2000):
        raise InvalidValue(f"clock is {clock_mhz:g} MHz, must be 0.1 to 2000")


def check_seed(seed: int) -> None:
    """Refuse a seed that nextpnr does not take."""
    if not 0 <= seed < 2**31:
        raise InvalidValue(f"seed is {seed}, must be 0 to {2**31 - 1}")


def find_tools(device: Device) -> dict[str, Tool]:
    """What the device needs, by name.

    Raises
    ------
    ToolMissing
        One is not there; the message says what to install.
    """
    needed = ("yosys", *((device.family.placer,) if device.family.placer else ()))
    return {name: find_synthesis(name) for name in needed}


def _cpu_seconds() -> float:
    """Processor time of this process and the tools that ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


@contextmanager
def _stage(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - start, 2)


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in _LEFTOVERS:  # of a run that stood here before
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise InvalidValue(
            f"cannot write folder {folder}: {error.strerror}; choose a folder that is writable"
        ) from error


def synthesize(
    network: FixedPointNetwork,
    folder: Path,
    device: Device,
    *,
    lanes: int,
    cuts: Sequence[int] = (),
    capacity: Capacity | None = None,
    external: ExternalWeights | None = None,
    clock_mhz: float | None = None,
    seed: int = 1,
    progress: Callable[[str], None] | None = None,
) -> SynthesisResult:
    """Synthesize the core of ``network`` with ``lanes`` lanes, or of ``capacity``, or with ``external`` weights, in its harness, and place and route it.

    A design that needs more of a resource than the device has is not placed: the result says what is short.
    Logs, netlist, reports and ``RESULT`` are written into ``folder``; for devices without nextpnr also what Vivado needs.

    Parameters
    ----------
    cuts : sequence of int
        Where there are any, a chain of cores is synthesized; first layer of each but the first.
    clock_mhz : float, optional
        What the tools aim at; the device's usual clock if None.
    seed : int
        Of the placer.
    progress : callable, optional
        Called with the name of each stage as it starts.

    Raises
    ------
    InvalidValue
        ``lanes``, ``clock_mhz`` or ``seed`` out of range, a network that does not fit ``capacity``, or a folder that cannot be
        written.
    ToolMissing
        A tool is missing or fails.
    """
    check_lanes(lanes)
    if external is not None and (cuts or capacity is not None):
        raise InvalidValue(
            "cores of a chain cannot have external weights: leave out --cores and --cut, or --memories external"
        )
    if capacity is not None:
        capacity.check(network)

    def generate() -> str:
        core = (
            Chain(network, lanes=lanes, cuts=cuts)
            if cuts
            else Core(capacity or network, lanes=lanes, external=external)
        )
        if device.family.placer is None:
            target = device.clock_mhz if clock_mhz is None else clock_mhz
            write_vivado(folder, device, _verilog(core), top=TOP, clock_mhz=target)
        return harness_rtlil(core)

    return implement(
        network, folder, device, generate,
        prefix=_PREFIX, lanes=lanes, cores=len(cuts) + 1, capacity=capacity, external=external, clock_mhz=clock_mhz, seed=seed,
        progress=progress,
    )  # fmt: skip


def implement(
    network: FixedPointNetwork,
    folder: Path,
    device: Device,
    generate: Callable[[], str],
    *,
    prefix: str,
    lanes: int,
    cores: int = 1,
    capacity: Capacity | None = None,
    external: ExternalWeights | None = None,
    clock_mhz: float | None = None,
    seed: int = 1,
    progress: Callable[[str], None] | None = None,
) -> SynthesisResult:
    """Synthesize, place and route any design around a core of ``network``; otherwise as ``synthesize``.

    Parameters
    ----------
    generate : callable
        Makes the RTLIL, whose top module is ``hdl.harness.TOP``; may write other files into ``folder``, which is there by then.
    prefix : str
        Path of the core in it, left out of names.
    cores, capacity, external
        What the design holds, for the result.
    """
    check_clock(clock_mhz)
    check_seed(seed)
    target = device.clock_mhz if clock_mhz is None else clock_mhz
    say = progress or (lambda stage: None)
    seconds: dict[str, float] = {}
    start = _cpu_seconds()
    say("looking for tools")
    tools = find_tools(device)
    _prepare(folder)
    with _stage(seconds, "generate"):
        say("generate: RTLIL")
        text = generate()
        (folder / RTLIL).write_text(text)
    with _stage(seconds, "yosys"):
        say("yosys")
        netlist = synthesize_cells(
            tools["yosys"], device, folder, top=TOP, progress=lambda stage: say(f"yosys: {stage}")
        )
    used = netlist.uses(device)
    shortages = find_shortages(used, device.has)
    placement = Placement({}, {}, None, (), "")
    if device.family.placer is not None and not shortages:
        with _stage(seconds, "nextpnr"):
            if device.name in FLOORPLANS:
                say("nextpnr: telling blocks where to go")
                floorplan(folder / NETLIST, FLOORPLANS[device.name], top=TOP)
            say("nextpnr")
            placement = place_and_route(
                tools[device.family.placer],
                device,
                folder,
                DesignNames(text, top=TOP, prefix=prefix),
                clock_mhz=target,
                seed=seed,
                progress=lambda stage: say(f"nextpnr: {stage}"),
            )
        used |= placement.used
        shortages = find_shortages(used, {**device.has, **placement.has})
    result = SynthesisResult(
        network=network.name,
        fingerprint=network.fingerprint,
        lanes=lanes,
        weight_bits=(capacity or network).weight_bits,
        membrane_bits=(capacity or network).membrane_bits,
        memories="external" if external is not None else "rom" if capacity is None else "loadable",
        device=device,
        status="simulated" if placement.fmax_mhz is not None else "estimated",
        used=used,
        has={**device.has, **placement.has},
        cells=netlist.cells,
        shortages=shortages,
        failure="" if shortages else placement.failure,
        clock_mhz=target,
        clock_asked=clock_mhz is not None,
        fmax_mhz=placement.fmax_mhz,
        path=placement.path,
        netlist_sha256=netlist.sha256,
        seed=seed,
        seconds={**seconds, "total": round(sum(seconds.values()), 2)},
        cpu_seconds=round(_cpu_seconds() - start, 1),
        tools={**{name: tool.version for name, tool in tools.items()}, "amaranth": version("amaranth")},
        folder=str(folder),
        cores=cores,
    )
    with replacing(folder / RESULT) as temporary:
        temporary.write_text(json.dumps(result.describe(), indent=2) + "\n")
    return result


def _verilog(core: Core | Chain) -> str:
    try:
        return harness_verilog(core)
    except verilog.YosysError as error:
        raise ToolMissing(f"Amaranth cannot run Yosys: {error}; leave AMARANTH_USE_YOSYS unset") from error
