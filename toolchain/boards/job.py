"""From the integers to a bitstream: top level, synthesis, place and route, packing."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hdl.capacity import Capacity
from hdl.core import Core
from hdl.harness import TOP
from hdl.loaded import without_contents
from hdl.program import check_lanes
from hdl.uart import clock_divisor
from toolchain.boards.catalog import Board
from toolchain.boards.top import BoardTop
from toolchain.bundle import LOAD_FILE
from toolchain.errors import InvalidValue, ToolMissing
from toolchain.ir import FixedPointNetwork
from toolchain.loading import write_load
from toolchain.netfile import replacing
from toolchain.synth import SynthesisResult, find_tools, implement
from toolchain.synth.job import check_clock, check_seed
from toolchain.tools import find_packer, tool_failed, watch_tool

__all__ = ["RESULT", "BoardResult", "board_files", "build"]

RESULT = "board.json"
"""File with the result, in the folder of the build."""
_SCHEMA = 1
_PREFIX = "station.core."
_LOG = "pack.log"
_HOLD = re.compile(r"^Info: (\d+) Hold/min time violations", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class BoardResult:
    """A network on a board.

    Members
    -------
    board : Board
    synthesis : SynthesisResult
        What the whole top level takes of the device and how fast it runs, against the board's clock.
    clock_hz, baud : int
    bitstream : Path or None
        None where the network does not fit or is too slow.
    tools : dict
        Versions, the packer's too.
    capacity : Capacity or None
        Of a core into which networks are loaded.
    hold_violations : int
        Paths that nextpnr finds too fast for the clock's skew. Fmax does not show them; no other seed may help, and no lower clock does.
    """

    board: Board
    synthesis: SynthesisResult
    clock_hz: int
    baud: int
    bitstream: Path | None
    tools: dict[str, str]
    hold_violations: int = 0
    capacity: Capacity | None = None

    @property
    def verdict(self) -> str:
        """One line: what is short, or the clock that it misses or makes."""
        fmax = self.synthesis.fmax_mhz
        if not self.synthesis.fits or fmax is None:
            return self.synthesis.verdict
        against = "enough for" if self.synthesis.meets else "short of"
        return f"fits, {fmax:.1f} MHz, {against} the board's {self.clock_hz / 1e6:g} MHz"

    def describe(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "schema": _SCHEMA,
            "board": {"name": self.board.name, "title": self.board.title},
            "clock_mhz": self.clock_hz / 1e6,
            "baud": self.baud,
            "bitstream": None if self.bitstream is None else str(self.bitstream),
            "bytes": None if self.bitstream is None else self.bitstream.stat().st_size,
            "verdict": self.verdict,
            "hold_violations": self.hold_violations,
            "on_silicon": False,
            **({} if self.capacity is None else {"capacity": self.capacity.describe()}),
            "synthesis": {**self.synthesis.describe(), "tools": self.tools},
        }


def board_files(board: Board, core: Core, *, clock_hz: int, baud: int) -> dict[str, str]:
    """The top level as RTLIL, ``top.il``, and the board's constraints, by file name.

    Raises
    ------
    InvalidValue
        The board does not make that clock, or the clock not that baud.
    ToolMissing
        ``amaranth-boards`` is not installed.
    """
    top = BoardTop(board, core, clock_hz=clock_hz, baud=baud)
    # without source locations the text is the same on every machine
    files = board.make_platform().prepare(top, TOP, emit_src=False).files
    design = files[f"{TOP}.il"]
    return {
        f"{TOP}.il": without_contents(design) if core.loadable else design,
        board.constraints: files[board.constraints],
    }


def build(
    network: FixedPointNetwork,
    folder: Path,
    board: Board,
    *,
    lanes: int | None = None,
    capacity: Capacity | None = None,
    clock_mhz: float | None = None,
    baud: int,
    seed: int = 1,
    progress: Callable[[str], None] | None = None,
) -> BoardResult:
    """Make the bitstream of ``network`` for ``board``, with ``lanes`` lanes; with ``capacity``, of a core into which networks are loaded.

    There is none where the network does not fit or misses the board's clock: the result says so. The bitstream, ``RESULT``, logs and
    what lies between go into ``folder``; a bitstream that was there before is gone first.

    Parameters
    ----------
    clock_mhz : float, optional
        Of the core; the board's usual if None.
    capacity : Capacity, optional
        Of the core's memories; it must have room for ``network``, whose load packet is written beside the bitstream
        (``LOAD_FILE``). ``RESULT`` holds it, for ``spikeloom pack --core``.
    seed : int
        Of the placer.

    Raises
    ------
    InvalidValue
        ``lanes``, ``clock_mhz``, ``baud`` or ``seed`` out of range, or a folder that cannot be written.
    ToolMissing
        A tool is missing or fails.
    """
    lanes = board.lanes if lanes is None else lanes
    check_lanes(lanes)
    if capacity is not None:
        capacity.check(network)
    check_clock(clock_mhz)
    check_seed(seed)
    clock_hz = board.clock_hz if clock_mhz is None else round(clock_mhz * 1e6)
    board.clocking(clock_hz)
    clock_divisor(clock_hz, baud)
    board.make_platform()
    find_tools(board.device)
    packer = find_packer(board.packer)
    bitstream = folder / board.bitstream
    try:
        for name in (board.bitstream, RESULT, LOAD_FILE, _LOG):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise InvalidValue(
            f"cannot write folder {folder}: {error.strerror}; choose a folder that is writable"
        ) from error

    def generate() -> str:
        files = board_files(board, Core(capacity or network, lanes=lanes), clock_hz=clock_hz, baud=baud)
        (folder / board.constraints).write_text(files[board.constraints])
        return files[f"{TOP}.il"]

    synthesis = implement(
        network, folder, replace(board.device, place=board.place, pins={}), generate,
        prefix=_PREFIX, lanes=lanes, capacity=capacity, clock_mhz=clock_hz / 1e6, seed=seed, progress=progress,
    )  # fmt: skip
    made = synthesis.meets and synthesis.fmax_mhz is not None
    if made:
        if progress is not None:
            progress(f"{board.packer}: bitstream")
        with replacing(bitstream) as temporary:
            log = folder / _LOG
            code = watch_tool([packer.executable, *board.pack, temporary.name], log=log, folder=folder)
            if code != 0:
                raise tool_failed(packer.executable, code, log)
            if temporary.stat().st_size == 0:
                raise ToolMissing(f"{packer.executable} ended well but made no bitstream; log in {log}")
    tools = {**synthesis.tools, packer.name: packer.version}
    result = BoardResult(
        board, synthesis, clock_hz, baud, bitstream if made else None, tools, _hold_violations(folder / "nextpnr.log"),
        capacity,
    )  # fmt: skip
    if made and capacity is not None:
        write_load(network, capacity, folder / LOAD_FILE)
    with replacing(folder / RESULT) as temporary:
        temporary.write_text(json.dumps(result.describe(), indent=2) + "\n")
    return result


def _hold_violations(log: Path) -> int:
    """How many nextpnr tells of in its last report; 0 without a log."""
    found = _HOLD.findall(log.read_text(errors="replace")) if log.exists() else []
    return int(found[-1]) if found else 0
