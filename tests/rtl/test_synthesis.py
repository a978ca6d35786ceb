"""The real tools on small cores: where memories and multipliers go, a placed core, and the same netlist twice."""

import json
import re
from collections import Counter
from dataclasses import replace

import pytest

from hdl import Core
from hdl.capacity import Capacity
from hdl.harness import TOP, harness_rtlil
from tests.bench.cell_counts import network
from tests.networks import random_network
from toolchain.quantize import quantize
from toolchain.synth import DEVICES, find_device, synthesize
from toolchain.synth.yosys import NETLIST, RTLIL, synthesize_cells
from toolchain.tools import find_synthesis

TINY = random_network(3)


def netlist(content, device, lanes, folder):
    (folder / RTLIL).write_text(harness_rtlil(Core(content, lanes=lanes)))
    return synthesize_cells(find_synthesis("yosys"), find_device(device), folder, top=TOP)


def places(folder, kinds):
    """How often each signal or memory of the design stands in cells of these types."""
    cells = json.loads((folder / NETLIST).read_text())["modules"][TOP]["cells"]
    names = (name.removeprefix("harness.core.") for name, cell in cells.items() if cell["type"] in kinds)
    return Counter(re.match(r"[\w.]*?[a-z_]+\d?(?=[$.]\d|_TRELLIS|_MULT|_P\d|$)", name)[0] for name in names)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    return netlist(quantize(network(), 8), "ecp5-25k", 2, folder), folder


def test_memories_are_block_ram_and_multipliers_are_blocks(plain):
    made, folder = plain
    brams = places(folder, ("DP16KD", "PDPW16KD"))
    assert brams["neurons.weights"] and brams["neurons.membranes"]
    # one multiplier in each lane, for pixels; the scanner's is small enough for LUTs here
    assert places(folder, ("MULT18X18D",)) == {"neurons.lane_0.product": 1, "neurons.lane_1.product": 1}
    uses = made.uses(DEVICES["ecp5-25k"])
    assert uses["bram"] == brams.total() and uses["dsp"] == 2
    # nothing of the network's memories is left in flip-flops
    assert uses["ff"] < 2_000 < quantize(network(), 8).weights * 8


@pytest.mark.parametrize(
    ("device", "cells", "number"), [("up5k", ("SB_SPRAM256KA",), 1), ("ecp5-25k", ("DP16KD", "PDPW16KD"), 14)]
)
def test_loaded_weights_are_single_port_ram_where_there_is_one_and_block_ram_elsewhere(tmp_path, device, cells, number):
    room = replace(Capacity.of(TINY, lanes=2), weight_words=8192, weight_bits=8)
    made = netlist(room, device, 2, tmp_path)
    assert places(tmp_path, cells)["neurons.weights_0"] >= number
    # 256 kbit: none of it in flip-flops
    assert made.uses(DEVICES[device])["ff"] < 4_000


def test_a_core_is_placed_and_comes_out_the_same_twice(tmp_path):
    device = find_device("hx8k")
    stages = []
    result = synthesize(TINY, tmp_path / "a", device, lanes=1, progress=stages.append)
    assert result.fits and result.status == "simulated"
    assert 20 < result.fmax_mhz < 400
    assert 200 < result.used["lut"] < result.has["lut"] == 7_680
    assert {"nextpnr: packing", "nextpnr: placing", "nextpnr: routing"} <= set(stages)
    assert any(stage.startswith("yosys: ") for stage in stages)
    # every hop is a name of the design: no cell of the device's library in it
    assert result.path and not [hop.name for hop in result.path if re.search(r"SB_|LUT|\$", hop.name)]
    assert sum(hop.logic_ns + hop.routing_ns for hop in result.path) == pytest.approx(1000 / result.fmax_mhz, rel=0.01)
    assert netlist(TINY, "hx8k", 1, tmp_path).sha256 == result.netlist_sha256


XILINX = [name for name, device in DEVICES.items() if device.family.name == "xilinx"]


@pytest.mark.parametrize("name", [XILINX[0], *(pytest.param(name, marks=pytest.mark.slow) for name in XILINX[1:])])
def test_xilinx_devices_are_counted_and_the_whole_log_is_kept(tmp_path, name):
    """Without ``-flatten`` ABC9 of Yosys 0.70 stops at an assertion, on this very core."""
    result = synthesize(TINY, tmp_path, find_device(name), lanes=2)
    assert result.fits and result.status == "estimated" and result.fmax_mhz is None
    assert 200 < result.used["lut"] < 2_000 and 500 < result.used["ff"] < 2_000 and result.used["dsp"] == 0
    log = (tmp_path / "yosys.log").read_text()
    assert "Executing JSON backend" in log and not (tmp_path / "yosys-own.log").exists()
