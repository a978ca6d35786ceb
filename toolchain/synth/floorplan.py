"""Where block RAMs and multipliers of an ECP5 go, told to nextpnr: beside the lanes that they serve.

nextpnr 0.11's analytic placer settles blocks, which have few sites, before the logic between them, and far from it where there are many:
with 64 lanes it needs 280,000 units of wire, and 121,000 where they are told (``reports/synthesis/timing.md``).
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, cycle, product
from pathlib import Path
from typing import Any

__all__ = ["FLOORPLANS", "Grid", "floorplan"]

_LANE = re.compile(r"(.*\bneurons)\.lane_(\d+)\.")
_REGISTER = "TRELLIS_FF"
_FAR = 0.25
"""Part of the line of lanes; a block that feeds lanes further apart, behind registers of none, serves all of them."""
_ROOM = 1.1
"""Sites for each block."""


@dataclass(frozen=True)
class Grid:
    """Sites of one kind of block: in each row four to a group of columns.

    Members
    -------
    columns : tuple of int
        First column of each group.
    rows : tuple of int
        Those in the middle, from top to bottom; ``more``: one row more, for designs that need it.
    sites : tuple
        Of each site of a group, the column in it and the name of the site.
    """

    columns: tuple[int, ...]
    rows: tuple[int, ...]
    sites: tuple[tuple[int, str], ...]
    more: tuple[int, ...] = ()

    def rows_for(self, blocks: int) -> tuple[int, ...]:
        """The rows to use for so many blocks."""
        few = len(self.rows) * len(self.columns) * len(self.sites)
        return self.rows if blocks * _ROOM <= few else tuple(sorted((*self.rows, *self.more)))

    def groups_for(self, blocks: int) -> int:
        """Groups of columns that so many blocks take."""
        a_group = len(self.rows_for(blocks)) * len(self.sites)
        return min(len(self.columns), int(-(-blocks * _ROOM // a_group)))

    def line(self, blocks: int, groups: int) -> list[str]:
        """Sites of the upper half from left to right, then of the lower half from right to left.

        A row in the middle gives its sites to both in turn.
        """
        first = (len(self.columns) - groups) // 2
        rows = self.rows_for(blocks)
        upper: list[str] = []
        lower: list[str] = []
        for column, (number, (beside, name)) in product(self.columns[first : first + groups], enumerate(self.sites)):
            for place, row in enumerate(rows):
                middle = 2 * place + 1 - len(rows)
                half = upper if middle < 0 or (middle == 0 and number % 2 == 0) else lower
                half.append(f"X{column + beside}/Y{row}/{name}")
        return upper + lower[::-1]


def _grids(
    columns: str, ram: tuple[int, ...], dsp: tuple[int, ...], *, ram_more: int = 0, dsp_more: int = 0
) -> dict[str, Grid]:
    groups = tuple(map(int, columns.split()))
    rams = Grid(groups, ram, tuple((2 * n, f"EBR{n}") for n in range(4)), (ram_more,) if ram_more else ())
    dsps = Grid(groups, dsp, tuple((n, f"MULT18_{n}") for n in (0, 1, 4, 5)), (dsp_more,) if dsp_more else ())
    return {"DP16KD": rams, "PDPW16KD": rams, "MULT18X18D": dsps}


FLOORPLANS = {
    "ecp5-25k": _grids("4 13 22 33 42 51 60", (25, 37), (13,)),
    "ecp5-45k": _grids("4 13 22 31 42 51 60 69 78", (10, 34, 58), (22, 46)),
    "ecp5-85k": _grids("4 13 22 31 40 49 58 69 78 87 96 105 114", (22, 46, 70), (34, 58), ram_more=82, dsp_more=10),
}
"""Sites of each kind of cell, by device: those on which nextpnr 0.11.1 placed designs that take every block of the device
(``tests/bench/ecp5_sites.py`` prints them)."""


class _Line:
    """All lanes in a line from 0 to 1, core by core, and where on it each block belongs.

    A block belongs to the lanes whose registers it feeds, or, where the first register bears the name of an array's wire, to those
    behind that one; a block that feeds none, or only such as are far from each other there, to the middle of both halves.
    """

    def __init__(self, cells: dict[str, Any]):
        self._cells = cells
        self._fed: dict[int, list[str]] = defaultdict(list)
        for name, cell in cells.items():
            for bit in _bits(cell, "input"):
                self._fed[bit].append(name)
        lanes: dict[str, int] = defaultdict(int)
        for match in filter(None, map(_LANE.match, cells)):
            lanes[match[1]] = max(lanes[match[1]], int(match[2]) + 1)
        self.cores = sorted(lanes, key=lambda core: [int(number) for number in re.findall(r"\d+", core)])
        self._lanes = lanes

    def places(self, blocks: Iterable[str]) -> dict[str, float]:
        """Of each block, its place."""
        middle = cycle((0.25, 0.75))
        places = {}
        for name in sorted(blocks):
            place = self._place(name)
            places[name] = next(middle) if place is None else place
        return places

    def _place(self, block: str) -> float | None:
        fed = self._registers_behind({block})
        lanes = self._lanes_of({block} | fed)
        if not lanes:
            lanes = self._lanes_of(self._registers_behind(fed))
            if lanes and max(lanes) - min(lanes) > _FAR:
                return None
        return sum(lanes) / len(lanes) if lanes else None

    def _lanes_of(self, names: set[str]) -> list[float]:
        return [self._lane(match) for match in map(_LANE.match, sorted(names)) if match is not None]

    def _lane(self, match: re.Match[str]) -> float:
        core, lane = match[1], int(match[2])
        return (self.cores.index(core) + (lane + 0.5) / self._lanes[core]) / len(self.cores)

    def _registers_behind(self, cells: set[str]) -> set[str]:
        """The registers that cells feed through logic alone."""
        registers: set[str] = set()
        seen, reached = set(cells), cells
        while reached:
            bits = {bit for name in reached for bit in _bits(self._cells[name], "output")}
            behind = {name for bit in bits for name in self._fed[bit]}
            found = {name for name in behind if self._cells[name]["type"] == _REGISTER}
            registers |= found
            reached = behind - found - seen
            seen |= reached
        return registers


def _bits(cell: dict[str, Any], direction: str) -> Iterator[int]:
    """Nets that a cell drives, or is driven by."""
    for port, bits in cell["connections"].items():
        if cell["port_directions"][port] == direction:
            yield from (bit for bit in bits if isinstance(bit, int))


def floorplan(netlist: Path, grids: dict[str, Grid], *, top: str) -> bool:
    """Tell the blocks of ``netlist``, a file of Yosys's JSON, where they go.

    The lanes stand in a line: through the upper half of the device from left to right, and back through the lower half.
    Blocks stand in the order of the lanes that they serve, those of all lanes in the middle. Cells of kinds without a grid, and of
    kinds that the device has too few of, stay with the placer.

    Parameters
    ----------
    grids : dict
        Sites of each kind of cell.

    Returns
    -------
    bool
        Whether anything was told: a netlist without lanes stays as it is.
    """
    design = json.loads(netlist.read_text())
    cells = design["modules"][top]["cells"]
    blocks: dict[Grid, list[str]] = defaultdict(list)
    for name, cell in cells.items():
        if cell["type"] in grids:
            blocks[grids[cell["type"]]].append(name)
    line = _Line(cells)
    if not line.cores:
        return False
    places = line.places(chain(*blocks.values()))
    groups = max(grid.groups_for(len(names)) for grid, names in blocks.items())
    for grid, names in blocks.items():
        sites = grid.line(len(names), groups)
        if len(names) > len(sites):
            continue
        for number, name in enumerate(sorted(names, key=places.__getitem__)):
            cells[name]["attributes"]["BEL"] = sites[(2 * number + 1) * len(sites) // (2 * len(names))]
    netlist.write_text(json.dumps(design))
    return True
