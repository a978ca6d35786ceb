"""Whole boards in Verilator: the top levels as they are synthesized, from pin to pin, with the host's own code on the line."""

import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from cocotb_tools.runner import get_results, get_runner

from hdl.capacity import Capacity
from hdl.core import Core
from hdl.program import Program
from sim import golden, verilator
from sim.packets import read_result
from sim.runner import environment
from tests.bench.cell_counts import variant
from tests.networks import frames_for, random_network
from toolchain.boards import BOARDS
from toolchain.boards.job import board_files
from toolchain.bundle import CORE, TESTBENCH, RtlBundle
from toolchain.cycles import cycles
from toolchain.loading import load_packet
from toolchain.pooling import MaxPooling
from toolchain.quantize import quantize
from toolchain.tools import find_simulator, find_synthesis, watch_tool

NETWORK = random_network(3)
FRAMES = frames_for(NETWORK, 1, 2)
LANES = 2
BAUD = 1_000_000
PINS = {
    # clock, button, is a pressed button's pin high?, is a lit LED's pin high?
    "ulx3s": ("clk25_0__io", "button_fire_0__io", True, True),
    "icebreaker": ("clk12_0__io", "button_0__io", False, [False] * 2 + [True] * 5),
    "tangnano9k": ("clk27_0__io", "button_0__io", False, False),
}
WRAPPER = """\
`timescale 1ns / 1ps
module {testbench} (
    input  wire clk    /* verilator public_flat_rw */,
    input  wire rx     /* verilator public_flat_rw */,
    input  wire button /* verilator public_flat_rw */,
    output wire tx     /* verilator public_flat_rw */,
    output wire [{top}:0] lights /* verilator public_flat_rw */
);
  wire rx_pin = rx, clock_pin = clk, button_pin = {button_sign}button;
  wire [{top}:0] pins;
  assign lights = pins ^ {mask};
  top board (
    .{clock}(clock_pin), .{button}(button_pin), .uart_0__rx__io(rx_pin), .uart_0__tx__io(tx), {leds}
  );
endmodule
"""


def wrapper(board) -> str:
    """Test bench around a board's pins: active high, whatever the board's are."""
    clock, button, pressed, lit = PINS[board.name]
    count = board.lights
    lit = [lit] * count if isinstance(lit, bool) else lit
    return WRAPPER.format(
        testbench=TESTBENCH, top=count - 1, clock=clock, button=button, button_sign="" if pressed else "~",
        mask=f"{count}'d{sum((not each) << n for n, each in enumerate(lit))}",
        leds=", ".join(f".led_{n}__io(pins[{n}])" for n in range(count)),
    )  # fmt: skip


class Simulated:
    """A board compiled for Verilator; ``talk`` does the steps of ``sim.board_bench``."""

    def __init__(self, board, folder: Path, network=NETWORK, capacity=None):
        self.board, self.network = board, network
        files = board_files(board, Core(capacity or network, lanes=LANES), clock_hz=board.clock_hz, baud=BAUD)
        (folder / "top.il").write_text(files["top.il"])
        yosys = find_synthesis("yosys").executable
        script = "read_rtlil top.il; proc; memory_collect; write_verilog -noattr -norename top.v"
        assert watch_tool([yosys, "-q", "-p", script], log=folder / "yosys.log", folder=folder) == 0
        cells = (Path(__file__).parent / "cells.v").read_text()
        (folder / f"{CORE}.v").write_text(cells + (folder / "top.v").read_text())
        (folder / f"{TESTBENCH}.v").write_text(wrapper(board))
        self._built = folder / "build"
        self._built.mkdir()
        self._simulator = find_simulator("verilator")
        bundle = RtlBundle(folder, LANES, network.fingerprint, ())
        verilator.build(bundle, self._simulator, self._built, folder / "build.log")

    def talk(self, *steps, attempts=3, timeout=0.02, frames=FRAMES, files=()):
        with tempfile.TemporaryDirectory() as name:
            job = Path(name)
            np.save(job / "frames.npy", frames)
            for file, content in dict(files).items():
                np.save(job / file, content)
            options = {"bit_ns": 1e9 / BAUD, "clock_ps": 2 * round(5e11 / self.board.clock_hz)}
            options |= {"timeout": timeout, "attempts": attempts, "steps": steps}
            packing = Program(self.network, LANES).packing
            options |= {} if packing is None else {"packing": asdict(packing)}
            (job / "job.json").write_text(json.dumps(options))
            with environment({**self._simulator.environment, "SPIKELOOM_JOB": name, "COCOTB_LOG_LEVEL": "WARNING"}):
                results = get_runner("verilator").test(
                    test_module="sim.board_bench", hdl_toplevel=TESTBENCH, hdl_toplevel_lang="verilog",
                    build_dir=self._built, test_dir=job, log_file=job / "log", results_xml=str(job / "results.xml"),
                )  # fmt: skip
            assert get_results(results) == (1, 0), (job / "log").read_text()
            told = json.loads((job / "told.json").read_text())
        return told["told"], told["repeats"]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Boards by name, each compiled once."""
    patch = pytest.MonkeyPatch()
    fast = tuple("OPT_FAST=-O1" if option.startswith("OPT_FAST") else option for option in verilator.MAKE_OPTIONS)
    patch.setattr(verilator, "MAKE_OPTIONS", fast)
    boards = {}

    def find(name):
        if name not in boards:
            boards[name] = Simulated(BOARDS[name], tmp_path_factory.mktemp(name))
        return boards[name]

    yield find
    patch.undo()


def check(words, image, network=NETWORK, frames=FRAMES):
    """The result packet of an image is the golden model's, its cycles those of the cycle model."""
    assert isinstance(words, list), words
    trace = golden.run(network, frames, "spikes")
    result = read_result(words, classes=network.shapes[-1][0], layers=len(network.layers))
    assert (result.scores == trace.scores[image]).all()
    assert result.prediction == trace.predictions[image]
    spent = cycles(network, frames, trace, LANES).layers[image]
    seen = [spent, *(getattr(trace.activity, name)[image] for name in ("events", "operations", "spikes"))]
    assert (result.counters == np.stack(seen, axis=1)).all()
    return result


def lights(board, shown):
    return {
        "busy": bool(shown & 1),
        "error": bool(shown & 2),
        "class": shown >> 2,
        "bits": min(board.lights - 2, max(1, (NETWORK.shapes[-1][0] - 1).bit_length())),
    }


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_image_in_class_out_and_the_lights_show_it(compiled, name):
    simulated = compiled(name)
    steps = (["connect"], ["lights"], ["classify", 0], ["lights"], ["classify", 1], ["lights"])
    (identity, dark, first, lit, second, again), repeats = simulated.talk(*steps)
    board = simulated.board
    assert repeats == 0
    assert identity["clock_hz"] == board.clock_hz and identity["baud"] == BAUD and identity["lanes"] == LANES
    assert (identity["channels"], identity["height"], identity["width"]) == NETWORK.input_shape
    assert identity["network_id"] == int(NETWORK.fingerprint[:8], 16)
    assert dark == 0
    for image, words, shown in ((0, first, lit), (1, second, again)):
        result = check(words, image)
        seen = lights(board, shown)
        assert seen["busy"] and not seen["error"]
        assert seen["class"] == result.prediction % (1 << seen["bits"])


def test_spikes_in_and_max_pooling_on_a_board(compiled, tmp_path):
    """Frames of spikes over the line, through windows of max pooling; pixels are refused by name."""
    spiking = replace(variant({}, MaxPooling((3, 3), (2, 2), (1, 1))), input="spikes")
    network = quantize(spiking, 8)
    frames = frames_for(network, 1, 2)
    compiled("icebreaker")  # its options of the compiler hold while the module runs
    simulated = Simulated(BOARDS["icebreaker"], tmp_path, network)
    (identity, *answers), repeats = simulated.talk(["connect"], ["classify", 0], ["classify", 1], frames=frames)
    assert repeats == 0 and identity["network_id"] == int(network.fingerprint[:8], 16)
    for image, words in enumerate(answers):
        check(words, image, network, frames)


@pytest.fixture(scope="module")
def loadable(compiled, tmp_path_factory):
    """A board with room for two networks, those, their frames, and what the host sends."""
    networks = random_network(3), random_network(13)
    room = Capacity.of(*networks, lanes=LANES)
    compiled("icebreaker")  # its options of the compiler hold while the module runs
    simulated = Simulated(BOARDS["icebreaker"], tmp_path_factory.mktemp("loadable"), networks[0], room)
    frames = [frames_for(network, 1, 2) for network in networks]
    names = ("a", "b")
    files = {f"{name}.npy": load_packet(n, room) for name, n in zip(names, networks, strict=True)}
    files |= {f"frames-{name}.npy": images for name, images in zip(names, frames, strict=True)}
    spoilt = files["b.npy"].copy()
    spoilt[len(spoilt) // 2] ^= 1  # its own checksum is wrong, that of the line is right
    return simulated, networks, frames, files | {"spoilt.npy": spoilt}


def test_networks_are_loaded_one_after_another_and_a_refused_one_leaves_the_one_before(loadable):
    """Load A, image; load B, image; a load with a wrong checksum, one that stops half way: B runs on; then A again."""
    simulated, networks, frames, files = loadable
    (empty, none, a, first, b, second, error, third, _, broken, fourth, back, fifth), repeats = simulated.talk(
        ["connect"], ["classify", 0, "frames-a.npy"],
        ["load", "a.npy"], ["classify", 0, "frames-a.npy"],
        ["load", "b.npy"], ["classify", 1, "frames-b.npy"],
        ["load", "spoilt.npy"], ["classify", 0, "frames-b.npy"],
        ["change", len(files["a.npy"]) * 2], ["load", "a.npy"], ["classify", 1, "frames-b.npy"],
        ["load", "a.npy"], ["classify", 1, "frames-a.npy"],
        attempts=1, files=files,
    )  # fmt: skip
    assert (empty["network_id"], empty["width"], empty["classes"], empty["time_steps"]) == (0, 0, 0, 0)
    assert "it holds no network yet; send one with --load" in none["error"]
    for told, network in ((a, networks[0]), (b, networks[1]), (back, networks[0])):
        assert told["network_id"] == int(network.fingerprint[:8], 16)
        assert told["width"] == np.prod(network.input_shape) and told["layers"] == len(network.layers)
        assert told["classes"] == network.shapes[-1][0] and told["time_steps"] == network.time_steps
    assert error["error"] == "the board refuses the network: the file's checksum is wrong; pack it again"
    assert "the board received a wrong checksum" in broken["error"] and repeats == 0
    for words, image, which in ((first, 0, 0), (second, 1, 1), (third, 0, 1), (fourth, 1, 1), (fifth, 1, 0)):
        check(words, image, networks[which], frames[which])


def test_a_damaged_load_is_repeated_and_the_button_forgets_the_network(loadable):
    simulated, networks, frames, files = loadable
    told, repeats = simulated.talk(
        ["connect"], ["change", 40], ["load", "b.npy"], ["classify", 0, "frames-b.npy"],
        ["hold"], ["release"], ["connect"], ["classify", 0, "frames-b.npy"],
        files=files,
    )  # fmt: skip
    assert repeats == 1
    check(told[3], 0, networks[1], frames[1])
    assert told[6]["network_id"] == 0 and "holds no network yet" in told[7]["error"]


def test_lost_and_changed_bytes_are_repeated_and_wrong_rates_are_errors_until_they_are_right(compiled):
    steps = (
        ["connect"],
        ["lose", 5], ["classify", 0],
        ["change", 7], ["classify", 1],
        ["baud", 1.5], ["classify", 0],
        ["baud", 1], ["connect"], ["classify", 0],
        ["lights"],
    )  # fmt: skip
    simulated = compiled("icebreaker")
    told, repeats = simulated.talk(*steps, attempts=2, timeout=0.01)
    check(told[2], 0)
    check(told[4], 1)
    assert "error" in told[6] and "--baud" in told[6]["error"]
    assert told[8]["baud"] == BAUD
    check(told[9], 0)
    assert repeats >= 3  # one for each damaged packet, one at the wrong rate
    assert not lights(simulated.board, told[-1])["error"]


def test_one_attempt_names_what_the_board_received_lights_the_error_and_the_button_resets(compiled):
    simulated = compiled("icebreaker")
    told, _ = simulated.talk(
        ["connect"], ["change", 7], ["classify", 0], ["lights"],
        ["classify", 0], ["lights"],
        ["hold"], ["lights"], ["classify", 0],
        ["release"], ["classify", 1],
        attempts=1, timeout=0.005,
    )  # fmt: skip
    assert "the board received a wrong checksum" in told[2]["error"]
    assert lights(simulated.board, told[3])["error"]
    check(told[4], 0)
    assert lights(simulated.board, told[5])["busy"] and not lights(simulated.board, told[5])["error"]
    assert told[7] == 0
    assert "no answer within 0.005 s" in told[8]["error"]
    check(told[10], 1)
