"""Bitstreams of a few networks for the boards: the rows of reports/synthesis/boards.csv.

    python tests/bench/board_table.py NETWORKS reports/synthesis/boards.csv [digits/icebreaker ...]

NETWORKS is the folder of reports/synthesis/README.md. Builds all of ``POINTS``, or those named, and replaces their rows;
bitstreams, logs and netlists stay under build/boards.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from toolchain.boards import BOARDS, build
from toolchain.netfile import load_fixed_point, replacing

__all__ = ["POINTS", "Point", "row"]

BAUD = 1_000_000
KEY = ["network", "board", "lanes", "clock_mhz"]
"""Columns that name a row."""


@dataclass(frozen=True)
class Point:
    """A network on a board, with the board's usual lanes and clock."""

    network: str
    board: str

    def __str__(self) -> str:
        return f"{self.network}/{self.board}"


POINTS = (Point("digits", "icebreaker"), Point("digits", "tangnano9k"), Point("mlp", "ulx3s"))


def row(network: str, told: dict[str, Any]) -> dict[str, Any]:
    """A row of the table from what ``BoardResult.describe`` tells."""
    synthesis = told["synthesis"]
    tools = synthesis["tools"]
    (placer,) = [name for name in tools if name.startswith("nextpnr")]
    (packer,) = [name for name in tools if name.endswith("pack")]
    return {
        "network": network,
        "board": told["board"]["name"],
        "lanes": synthesis["lanes"],
        "clock_mhz": told["clock_mhz"],
        "baud": told["baud"],
        "status": synthesis["status"],
        "fits": synthesis["fits"],
        **{
            name: synthesis["resources"].get(name, {"used": 0})["used"]
            for name in ("lut", "ff", "carry", "bram", "dsp", "lutram")
        },
        "fmax_mhz": synthesis["fmax_mhz"] and round(synthesis["fmax_mhz"], 2),
        "hold_violations": told["hold_violations"],
        "bitstream_bytes": told["bytes"],
        "seed": synthesis["seed"],
        "verdict": told["verdict"],
        "yosys": tools["yosys"],
        "nextpnr": tools[placer],
        "packer": f"{packer} {tools[packer]}",
        "amaranth": tools["amaranth"],
        "fingerprint": synthesis["fingerprint"][:16],
        "netlist_sha256": synthesis["netlist_sha256"][:16],
    }


def main(networks: Path, target: Path, names: list[str]) -> None:
    """Build, and write after every point."""
    unknown = set(names) - {str(point) for point in POINTS}
    if unknown:
        raise SystemExit(f"no point {', '.join(sorted(unknown))}; there are {', '.join(map(str, POINTS))}")
    order = {str(point): number for number, point in enumerate(POINTS)}
    for point in POINTS:
        if names and str(point) not in names:
            continue
        network = load_fixed_point(networks / f"{point.network}.safetensors")
        folder = Path("build") / "boards" / f"{point.network}-{point.board}"
        result = build(network, folder, BOARDS[point.board], baud=BAUD)
        table = pd.DataFrame([row(point.network, result.describe())])
        print(table.iloc[0].to_dict(), flush=True)
        if target.exists():
            kept = pd.read_csv(target, dtype={"yosys": str, "nextpnr": str, "amaranth": str})
            table = pd.concat([kept, table]).drop_duplicates(KEY, keep="last")
        table = table.sort_values(by="network", key=lambda c: (table.network + "/" + table.board).map(order))
        with replacing(target) as temporary:
            table.to_csv(temporary, index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
