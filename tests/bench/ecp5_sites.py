"""Sites of an ECP5's block RAMs and multipliers, as nextpnr places a design that takes all of them.

    python tests/bench/ecp5_sites.py ecp5-85k

Prints, for each kind of block, its rows with the number of sites, and the first column of each group; ``toolchain.synth.floorplan``
holds the same, and a difference ends with exit code 1. Needs Yosys and nextpnr-ecp5, as ``spikeloom synth`` does.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from toolchain.synth.floorplan import FLOORPLANS
from toolchain.synth.job import find_tools
from toolchain.synth.targets import DEVICES, Device


def _design(brams: int, dsps: int) -> str:
    """Verilog of a chain through every block."""
    lines = [
        "module top(input clk, input i, output o);",
        f"wire [{brams}:0] c; wire [{dsps}:0] e; assign c[0] = i, e[0] = c[{brams}], o = e[{dsps}];",
        *(
            f"(* keep *) DP16KD b{n}(.CLKA(clk), .CLKB(clk), .CEA(1'b1), .CEB(1'b1), .OCEA(1'b1), .OCEB(1'b1), "
            f".WEA(1'b1), .WEB(1'b0), .ADA5(c[{n}]), .DOB0(c[{n + 1}]));"
            for n in range(brams)
        ),
        *(f"(* keep *) MULT18X18D m{n}(.A0(e[{n}]), .B0(e[{n}]), .P0(e[{n + 1}]));" for n in range(dsps)),
        "endmodule",
    ]
    return "\n".join(lines) + "\n"


def _placed(device: Device, folder: Path) -> dict[str, set[str]]:
    """Sites that nextpnr uses, by kind of cell."""
    tools = find_tools(device)
    (folder / "full.v").write_text(_design(device.has["bram"], device.has["dsp"]))
    script = "read_verilog full.v; synth_ecp5 -top top -json full.json"
    commands = (
        [tools["yosys"].executable, "-q", "-p", script],
        [
            tools["nextpnr-ecp5"].executable,
            *device.place,
            "--json",
            "full.json",
            "--no-route",
            "--write",
            "placed.json",
        ],
    )
    for command in commands:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    sites: dict[str, set[str]] = {"DP16KD": set(), "MULT18X18D": set()}
    for cell in json.loads((folder / "placed.json").read_text())["modules"]["top"]["cells"].values():
        if cell["type"] in sites:
            sites[cell["type"]].add(cell["attributes"]["NEXTPNR_BEL"])
    return sites


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("device", choices=sorted(FLOORPLANS))
    device = DEVICES[parser.parse_args().device]
    with tempfile.TemporaryDirectory() as folder:
        placed = _placed(device, Path(folder))
    differ = False
    for kind, sites in placed.items():
        grid = FLOORPLANS[device.name][kind]
        rows: dict[int, list[int]] = {}
        for site in sites:
            column, row, _ = site.split("/")
            rows.setdefault(int(row[1:]), []).append(int(column[1:]))
        for row, columns in sorted(rows.items()):
            print(f"{device.name} {kind} row {row}: {len(columns)} sites, columns {min(columns)} to {max(columns)}")
        differ |= sites != set(grid.line(len(sites), len(grid.columns)))
    print("differs from toolchain.synth.floorplan" if differ else "as in toolchain.synth.floorplan")
    return int(differ)


if __name__ == "__main__":
    sys.exit(main())
