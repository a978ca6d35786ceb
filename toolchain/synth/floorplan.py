"""Where block RAMs and multipliers of an ECP5 go, told to nextpnr: beside the lanes that they serve.

nextpnr 0.11's analytic placer settles blocks, which have few sites, before the logic between them, and far from it where there are many:
with 64 lanes it needs 280,000 units of wire, and 121,000 where they are told (``reports/synthesis/timing.md``).
"""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, cycle, product
from pathlib import Path

__all__ = ["FLOORPLANS", "Grid", "floorplan"]

_LANE = re.compile(r"(?P<core>.*\bneurons)\.(?P<what>lane)_(?P<number>\d+)\.")
_MEMORY = re.compile(r"(?P<core>.*\bneurons)\.(?P<what>[^.]+)\.\d+\.(?P<number>\d+)$")
"""Yosys numbers the blocks of a memory by their words and then by their bits."""
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


def _places(names: Sequence[str]) -> dict[str, float]:
    """Where on the line of all lanes, core by core, from 0 to 1, each block belongs; empty where none belongs to a lane.

    A multiplier belongs to its lane, a block of a memory of all lanes to those whose bits it has; all others, in the middle of
    both halves.
    """
    found = {name: match for name in names if (match := _LANE.match(name) or _MEMORY.match(name)) is not None}
    if not found:
        return {}
    last: dict[tuple[str, str], int] = defaultdict(int)
    for match in found.values():
        of = match["core"], match["what"]
        last[of] = max(last[of], int(match["number"]))
    cores = sorted({core for core, _ in last}, key=lambda core: [int(n) for n in re.findall(r"\d+", core)])
    middle = cycle((0.25, 0.75))
    places = {}
    for name in names:
        match = found.get(name)
        if match is None:
            places[name] = next(middle)
        else:
            core, what, number = match["core"], match["what"], int(match["number"])
            places[name] = (cores.index(core) + (number + 0.5) / (last[core, what] + 1)) / len(cores)
    return places


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
    places = _places(sorted(chain(*blocks.values())))
    if not places:
        return False
    groups = max(grid.groups_for(len(names)) for grid, names in blocks.items())
    for grid, names in blocks.items():
        sites = grid.line(len(names), groups)
        if len(names) > len(sites):
            continue
        for number, name in enumerate(sorted(names, key=places.__getitem__)):
            cells[name]["attributes"]["BEL"] = sites[(2 * number + 1) * len(sites) // (2 * len(names))]
    netlist.write_text(json.dumps(design))
    return True
