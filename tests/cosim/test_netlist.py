"""The same bench on the synthesized netlist: a real tiny core as cells of three families, and faults planted in cells."""

import json
import re
import shutil
from dataclasses import replace

import pytest

from sim import runner
from tests.bench import digits_mlp
from tests.cosim.test_verify import SIMULATORS
from tests.networks import frames_for, random_network
from toolchain import cli, datasets
from toolchain.bundle import load_bundle
from toolchain.convert import convert
from toolchain.emit import emit
from toolchain.errors import InvalidValue
from toolchain.netfile import save_network
from toolchain.quantize import quantize
from toolchain.synth import find_device, synthesize_netlist
from toolchain.train import calibration

QUICK = "icarus" if shutil.which("iverilog") else "verilator"
"""Compiles in a second; small netlists do not need Verilator's speed."""
NETWORK = random_network(132)
"""Random spikes in, convolution, dense readout; its weights take a block RAM."""
MULTIPLYING = random_network(68)
"""Pixels as amplitudes, so that lanes multiply."""

pytestmark = pytest.mark.usefixtures("fast_compile")


def make(network, device, folder, lanes=2):
    return synthesize_netlist(emit(network, folder / "rtl", lanes=lanes), find_device(device), folder / device)


@pytest.fixture(scope="module")
def ice40(tmp_path_factory):
    return make(NETWORK, "hx8k", tmp_path_factory.mktemp("netlist"))


def faulty(level, folder, cell, parameter, flip):
    """A copy of the netlist's folder with one parameter of one cell changed."""
    shutil.copytree(level.bundle.folder, folder, ignore=shutil.ignore_patterns("build-*"))
    bundle = replace(level.bundle, folder=folder)
    text = bundle.verilog.read_text()
    pattern = re.compile(rf"(\.{parameter}\(\d+')(\w+)(\)[^;]*?\) {re.escape(cell)}\s+\()")
    changed, times = pattern.subn(lambda found: found[1] + flip(found[2]) + found[3], text)
    assert times == 1 and changed != text
    bundle.verilog.write_text(changed)
    return bundle


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_netlist_equals_the_golden_model(ice40, simulator):
    result = runner.verify(ice40.bundle, NETWORK, frames_for(NETWORK, 3, 3), simulator=simulator, stall=0.1)
    assert result.passed, result.differences
    assert (result.netlist, result.images, len(result.cycles)) == ("hx8k", 3, 3)
    assert result.spikes_compared == result.layer_spikes[:, 0].sum() > 0
    assert result.summary()["layer_mismatches"] == {NETWORK.layers[0].name: 0}


def test_it_is_made_of_cells_whose_models_are_yosys_s(ice40):
    assert ice40.cells["SB_LUT4"] > 500 and ice40.cells["SB_RAM40_4K"] >= 2
    assert not ice40.ours and set(ice40.origin.values()) == {"yosys"}
    body = ice40.bundle.verilog.read_text()
    assert not re.search(r"^\s*(always|reg|initial)\b", body, re.M)  # cells and wires only
    assert load_bundle(ice40.bundle.folder) == ice40.bundle
    with pytest.raises(InvalidValue, match="holds a netlist for hx8k already"):
        synthesize_netlist(ice40.bundle, find_device("hx8k"), ice40.bundle.folder / "again")


def test_one_bit_of_one_lut_is_caught(ice40, tmp_path):
    driver = re.search(
        r"SB_LUT4 #\(\s*\.LUT_INIT\(16'h\w+\)\s*\) (\S+)\s+\((?=[^;]*\.O\(spike_valid\))([^;]*);",
        ice40.bundle.verilog.read_text(),
    )
    tied = [int(bit) if bit else None for bit in re.findall(r"\.I\d\((?:1'h([01])|[^)]*)\)", driver[2])]
    reached = next(
        entry for entry in range(16) if all(bit is None or entry >> i & 1 == bit for i, bit in enumerate(tied))
    )
    bundle = faulty(
        ice40, tmp_path / "lut", driver[1], "LUT_INIT", lambda text: f"h{int(text[1:], 16) ^ 1 << reached:04x}"
    )
    result = runner.verify(bundle, NETWORK, frames_for(NETWORK, 3, 3), simulator=QUICK)
    assert not result.passed
    assert {difference.what for difference in result.differences} & {"spike", "protocol", "counter"}


def inverted(text):
    """Another content of a row of a memory, given as Verilog writes it; what is not known stays so."""
    bits = text[1:] if text[0] == "b" else "".join("xxxx" if d == "x" else f"{int(d, 16):04b}" for d in text[1:])
    return "b" + bits.translate(str.maketrans("01", "10"))


def test_one_wrong_row_in_a_memory_is_caught(ice40, tmp_path):
    bundle = faulty(ice40, tmp_path / "memory", r"\neurons.weights.0.0", "INIT_0", inverted)
    result = runner.verify(bundle, NETWORK, frames_for(NETWORK, 3, 3), simulator=QUICK)
    assert not result.passed
    assert {difference.what for difference in result.differences} & {"spike", "score"}


def test_block_rams_and_multipliers_of_ecp5_by_our_own_models(tmp_path):
    level = make(MULTIPLYING, "ecp5-25k", tmp_path)
    assert level.ours.keys() == {"DP16KD", "MULT18X18D"}
    frames = frames_for(MULTIPLYING, 3, 2)
    result = runner.verify(level.bundle, MULTIPLYING, frames, simulator=QUICK)
    assert result.passed, result.differences
    broken = faulty(level, tmp_path / "memory", r"\neurons.weights.0.0", "INITVAL_00", inverted)
    assert not runner.verify(broken, MULTIPLYING, frames, simulator=QUICK).passed


@pytest.mark.slow
def test_multipliers_of_up5k_by_the_shipped_model(tmp_path):
    level = make(MULTIPLYING, "up5k", tmp_path)
    assert level.cells["SB_MAC16"] >= 2 and not level.ours
    result = runner.verify(level.bundle, MULTIPLYING, frames_for(MULTIPLYING, 3, 2), simulator=QUICK)
    assert result.passed, result.differences


def test_command_line(tmp_path, capsys):
    net, out = tmp_path / "net.safetensors", tmp_path / "rtl"
    save_network(NETWORK, net)
    common = ["verify", str(net), "-P", "1", "--data", "random", "--images", "1", "--simulator", QUICK, "-o", str(out)]
    assert cli.run([*common, "--netlist", "-d", "ecp5-25k", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["netlist"], told["passed"]) == ("ecp5-25k", True)
    assert re.fullmatch(
        r"synth_ecp5 -top \w+ -run :map_ram; setparam -set RD_COLLISION_X_MASK 1'1 .*; synth_ecp5 -top \w+ -run map_ram:",
        told["gate_level"]["command"],
    )
    assert told["gate_level"]["cells"]["LUT4"]["model"] == "yosys"
    # the folder is hardware like any other
    assert (
        cli.run(["verify", str(out / "netlist-ecp5-25k"), "--data", "random", "--images", "1", "--simulator", QUICK])
        == 0
    )
    assert "netlist for ecp5-25k" in capsys.readouterr().out
    for arguments, message in (
        (["-d", "hx8k"], "--device hx8k is for --netlist; add that"),
        (["--netlist", "-d", "hx9k"], "no device 'hx9k'; there are ecp5-25k"),
    ):
        assert cli.run([*common, *arguments]) == 2
        assert re.fullmatch(rf"error: .*{message}.*\n", capsys.readouterr().err)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["hx8k", "up5k", "ecp5-85k"])
def test_trained_digits(tmp_path, device):
    digits = datasets.load("digits")
    network = quantize(convert(digits_mlp.trained(), calibration(digits, 250), "qcfs", 4), 8)
    level = make(network, device, tmp_path, lanes=4)
    result = runner.verify(level.bundle, network, digits.frames[:3], simulator=QUICK)
    assert result.passed, result.differences
