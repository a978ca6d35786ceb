"""Where an ECP5's blocks are told to go: each on a site of its own, in the order of the lanes that they serve."""

import json
import re
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from toolchain.synth.floorplan import FLOORPLANS, floorplan
from toolchain.synth.targets import DEVICES

_SITE = re.compile(r"X(\d+)/Y(\d+)/(EBR[0-3]|MULT18_[0145])$")


def _cell(kind: str, inputs: Sequence[int] = (), outputs: Sequence[int] = ()) -> dict[str, Any]:
    return {
        "type": kind,
        "attributes": {"keep": "1"},
        "port_directions": {"I": "input", "O": "output"},
        "connections": {"I": [*inputs, "0"], "O": [*outputs]},
    }


def _netlist(path: Path, lanes: int, cores: tuple[str, ...] = ("harness.core",), *, others: int = 3) -> Path:
    """A file as Yosys writes it, blocks numbered against the lanes: of each lane a multiplier, a block of membranes behind whose register,
    which bears the array's name, the lane begins, and two blocks of weights for two lanes each, with logic behind; blocks of no lane, and
    one that reaches all lanes behind a register of none."""
    cells = {}
    nets = count()
    for core in cores:
        weights = [next(nets) for _ in range(lanes)]
        frame, pixel = next(nets), next(nets)
        for lane in range(lanes):
            product, chosen, membrane, given, sum_ = (next(nets) for _ in range(5))
            own = f"{core}.neurons.lane_{lane}."
            cells[f"{own}product_TRELLIS_FF_Q_DI_MULT18X18D_P0"] = _cell("MULT18X18D", [pixel], [product])
            cells[f"{own}product_TRELLIS_FF_Q"] = _cell("TRELLIS_FF", [product])
            cells[f"{core}.neurons.membranes.0.{lanes - lane}"] = _cell("DP16KD", [sum_], [membrane])
            cells[f"{core}.neurons.given${lane}_TRELLIS_FF_Q"] = _cell("TRELLIS_FF", [membrane], [given])
            cells[f"{own}sum_TRELLIS_FF_Q"] = _cell("TRELLIS_FF", [given], [sum_])
            cells[f"{core}.neurons.between_{lane}"] = _cell("LUT4", [weights[lane]], [chosen])
            cells[f"{own}weight_TRELLIS_FF_Q"] = _cell("TRELLIS_FF", [chosen])
        for lane in range(0, lanes, 2):
            for row, kind in enumerate(("DP16KD", "PDPW16KD")):
                block = f"{core}.neurons.weights.{row}.{lanes - lane}"
                cells[block] = _cell(kind, outputs=weights[lane : lane + 2])
        for number in range(others):
            cells[f"{core}.spikes_{number}.0.0"] = _cell("DP16KD")
        cells[f"{core}.frame.0.0"] = _cell("PDPW16KD", outputs=[frame])
        cells[f"{core}.scanner.pixel_TRELLIS_FF_Q"] = _cell("TRELLIS_FF", [frame], [pixel])
    path.write_text(json.dumps({"creator": "a test", "modules": {"top": {"cells": cells}}}))
    return path


def _told(path: Path) -> dict[str, tuple[int, int, str]]:
    """Column, row and name of the site of each block that is told one."""
    cells = json.loads(path.read_text())["modules"]["top"]["cells"]
    found = {
        name: _SITE.match(cell["attributes"]["BEL"]) for name, cell in cells.items() if "BEL" in cell["attributes"]
    }
    return {name: (int(match[1]), int(match[2]), match[3]) for name, match in found.items() if match is not None}


@pytest.mark.parametrize("device", FLOORPLANS)
def test_a_full_device_has_a_site_for_each_of_its_blocks(device: str) -> None:
    grids, has = FLOORPLANS[device], DEVICES[device].has
    assert grids["DP16KD"] is grids["PDPW16KD"]
    for kind, resource in (("DP16KD", "bram"), ("MULT18X18D", "dsp")):
        grid = grids[kind]
        sites = grid.line(has[resource], grid.groups_for(has[resource]))
        assert len(sites) == len(set(sites)) == has[resource]


@pytest.mark.parametrize(("device", "lanes"), [("ecp5-25k", 1), ("ecp5-25k", 16), ("ecp5-45k", 32), ("ecp5-85k", 64)])
def test_every_block_gets_a_site_of_its_own_and_its_kind(tmp_path: Path, device: str, lanes: int) -> None:
    path = _netlist(tmp_path / "netlist.json", lanes)
    before = json.loads(path.read_text())
    assert floorplan(path, FLOORPLANS[device], top="top")
    told = _told(path)
    blocks = {name for name, cell in before["modules"]["top"]["cells"].items() if cell["type"] in FLOORPLANS[device]}
    assert told.keys() == blocks
    assert len(set(told.values())) == len(told)
    for name, (_, _, site) in told.items():
        assert site.startswith("MULT18_" if "lane_" in name else "EBR"), name
    after = json.loads(path.read_text())
    for cell in after["modules"]["top"]["cells"].values():
        cell["attributes"].pop("BEL", None)
    assert after == before


def test_blocks_of_a_lane_are_neighbours(tmp_path: Path) -> None:
    # an even number of blocks: with an odd one, a block of the lane where the line turns may stand across the turn
    path = _netlist(tmp_path / "netlist.json", 64, others=7)
    assert floorplan(path, FLOORPLANS["ecp5-85k"], top="top")
    told = _told(path)
    for lane in range(64):
        column, row, _ = told[f"harness.core.neurons.lane_{lane}.product_TRELLIS_FF_Q_DI_MULT18X18D_P0"]
        for block in (f"membranes.0.{64 - lane}", f"weights.0.{64 - lane // 2 * 2}"):
            beside, above, _ = told[f"harness.core.neurons.{block}"]
            # two groups of columns, and the next row but one of block RAMs; of 117 columns and 60 rows with sites
            assert abs(column - beside) <= 18 and abs(row - above) <= 24, (lane, block)


def test_blocks_of_no_lane_stand_in_the_middle(tmp_path: Path) -> None:
    path = _netlist(tmp_path / "netlist.json", 64, others=4)
    assert floorplan(path, FLOORPLANS["ecp5-85k"], top="top")
    told = _told(path)
    blocks = [*(f"harness.core.spikes_{number}.0.0" for number in range(4)), "harness.core.frame.0.0"]
    assert all(45 <= told[block][0] <= 80 for block in blocks)


def test_cores_of_a_chain_follow_each_other(tmp_path: Path) -> None:
    cores = tuple(f"harness.chain.core_{number}" for number in (0, 2, 10))  # by number, not by name
    path = _netlist(tmp_path / "netlist.json", 16, cores, others=0)
    assert floorplan(path, FLOORPLANS["ecp5-85k"], top="top")
    told = _told(path)
    grid = FLOORPLANS["ecp5-85k"]["MULT18X18D"]
    line = grid.line(
        48, max(each.groups_for(number) for each, number in ((grid, 48), (FLOORPLANS["ecp5-85k"]["DP16KD"], 99)))
    )
    order = [
        line.index("X{}/Y{}/{}".format(*told[f"{core}.neurons.lane_{lane}.product_TRELLIS_FF_Q_DI_MULT18X18D_P0"]))
        for core in cores
        for lane in range(16)
    ]
    assert order == sorted(order)


def test_a_netlist_without_lanes_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "netlist.json"
    cells = {"memory.0.0": _cell("DP16KD"), "lut": _cell("LUT4")}
    path.write_text(json.dumps({"modules": {"top": {"cells": cells}}}))
    before = path.read_bytes()
    assert not floorplan(path, FLOORPLANS["ecp5-85k"], top="top")
    assert path.read_bytes() == before


def test_kinds_that_a_device_has_too_few_of_are_left_to_the_placer(tmp_path: Path) -> None:
    path = _netlist(tmp_path / "netlist.json", 28, others=0)
    design = json.loads(path.read_text())
    cells = design["modules"]["top"]["cells"]
    for name in [name for name in cells if ".weights." in name]:
        del cells[name]
    cells["harness.core.scanner.MULT18X18D_P0"] = _cell("MULT18X18D")
    path.write_text(json.dumps(design))
    assert floorplan(path, FLOORPLANS["ecp5-25k"], top="top")  # it has 28 multipliers
    assert len(_told(path)) == 29  # the membranes and the frame
    assert all(site.startswith("EBR") for _, _, site in _told(path).values())
