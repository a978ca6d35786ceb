"""Certificates: the whole chain on a real small network, the same bytes twice, and everything that must be noticed."""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import fastjsonschema
import pytest

from tests.certificates import make_networks
from tests.cosim.test_netlist import QUICK
from toolchain import cli
from toolchain.certify import job, load_certificate, read_text, schema
from toolchain.certify.document import sealed
from toolchain.emit import emit
from toolchain.errors import InvalidValue

COMMON = ["--data", "digits", "--float-images", "60", "-P", "1", "--simulator", QUICK]
SURROUNDINGS = (
    {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C", "COLUMNS": "80"},
    {
        "PYTHONHASHSEED": "4242",
        "TZ": "Pacific/Kiritimati",
        "LC_ALL": "tr_TR.UTF-8",
        "LANG": "tr_TR.UTF-8",
        "COLUMNS": "200",
    },
)
"""What a result must not depend on; the working folder differs too."""
pytestmark = pytest.mark.usefixtures("fast_compile")


def call(arguments, folder, surroundings):
    """The command line in a process of its own."""
    folder.mkdir()
    command = [sys.executable, "-c", "from toolchain import startup; startup.main()", *arguments]
    environment = {**os.environ, **surroundings, "PYTHONPATH": str(Path(__file__).parents[2])}
    shown = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    make_networks(folder)
    return folder


def whole(networks):
    """Arguments for every link there is."""
    source = ["--source", f"{networks / 'net.py'}:build"]
    return [
        "certify",
        str(networks / "net.safetensors"),
        "--spiking",
        str(networks / "snn.safetensors"),
        *source,
        *COMMON,
    ]


@pytest.fixture(scope="module")
def made(networks, tmp_path_factory):
    """The same certificate twice, by two processes in different surroundings."""
    folders = []
    for number, surroundings in enumerate(SURROUNDINGS):
        folder = tmp_path_factory.mktemp("certificate") / f"here-{number}"
        call([*whole(networks), "-d", "ecp5-25k", "-o", f"out-{number}"], folder, surroundings)
        folders.append(folder / f"out-{number}")
    return folders


def test_two_processes_write_the_same_bytes(made):
    for name in (
        "certificate.json", "certificate.txt", "rtl/spikeloom_core.v", "rtl/spikeloom_tb.v", "rtl/ports.json",
        "rtl/netlist-ecp5-25k/spikeloom_core.v", "rtl/netlist-ecp5-25k/cells.v", "rtl/netlist-ecp5-25k/ports.json",
    ):  # fmt: skip
        assert (made[0] / name).read_bytes() == (made[1] / name).read_bytes(), name


def test_every_link_is_there_and_equal(made):
    content = load_certificate(made[0] / "certificate.json")
    links = {link["link"]: link for link in content["links"]}
    assert content["passed"] and all(link["done"] for link in links.values())
    names = content["network"]["layers"]
    for name in ("integers-oracle", "integers-rtl", "integers-netlist"):
        link = links[name]
        assert link["mismatches"] == link["score_mismatches"] == link["counter_mismatches"] == 0
        assert link["images"] == 3 and all(row["mismatches"] == 0 < row["compared"] for row in link["layers"])
    assert [row["layer"] for row in links["integers-oracle"]["layers"]] == names
    assert [row["layer"] for row in links["integers-rtl"]["layers"]] == names[:-1]  # the readout has no spikes
    assert links["integers-rtl"]["layers"][0]["compared"] == 3 * 2 * 6
    for name in ("source-spiking", "spiking-integers"):
        link = links[name]
        assert link["images"] == 60 and 0 < link["right_before"] <= 60 and 0 <= link["right_after"] <= 60
        assert all(row["error_percent"] >= 0 for row in link["layers"])
    assert links["spiking-integers"]["requantized"]
    assert links["spiking-integers"]["layers"][0]["neurons"] == 60 * 6
    # 4-bit weights cost something, which is an error, not a mismatch
    assert links["spiking-integers"]["layers"][0]["error_percent"] > 0
    assert set(content["fingerprints"]["files"]) == {"net.safetensors", "snn.safetensors", "net.py"}
    assert {"yosys", "amaranth", "cocotb", "torch", "spikeloom", "python", QUICK} <= set(content["tools"])
    text = (made[0] / "certificate.txt").read_text()
    assert text == read_text(content) and "PASSED" in text and content["fingerprints"]["data"] in text
    assert not re.search(r"/|20\d\d-", " ".join(content["commands"]))  # no path, no date


def test_schema_describes_every_member(made):
    rules = schema()
    check = fastjsonschema.compile(rules)
    content = json.loads((made[0] / "certificate.json").read_text())
    check(content)
    for member in rules["required"]:
        with pytest.raises(fastjsonschema.JsonSchemaValueException):
            check({name: value for name, value in content.items() if name != member})
    for spoil in (
        lambda c: c.update(schema=2),
        lambda c: c.update(more=1),
        lambda c: c["links"].pop(),
        lambda c: c["links"][2].update(mismatches=-1),
        lambda c: c["links"][0].update(kind="equality"),
        lambda c: c["fingerprints"].update(network="0"),
        lambda c: c["links"][4]["gate_level"]["cells"]["LUT4"].update(model="me"),
    ):
        spoilt = copy.deepcopy(content)
        spoil(spoilt)
        with pytest.raises(fastjsonschema.JsonSchemaValueException):
            check(spoilt)


def test_check_finds_what_belongs_and_what_does_not(made, networks, tmp_path, capsys):
    folder = shutil.copytree(made[0], tmp_path / "copy", ignore=shutil.ignore_patterns("build-*"))
    certificate = str(folder / "certificate.json")
    assert cli.run([*whole(networks), "--check", certificate, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["belongs"] and {row["state"] for row in told["rows"]} == {"same"} and len(told["rows"]) == 9
    # a network alone, without the hardware beside it
    alone = tmp_path / "alone.json"
    shutil.copy(certificate, alone)
    assert cli.run(["certify", str(networks / "net.safetensors"), "--check", str(alone)]) == 0
    assert "Verilog spikeloom_core.v: not given" in capsys.readouterr().out
    # the folder of the hardware, then with a bit of the netlist changed
    assert cli.run(["certify", str(folder / "rtl"), "--check", str(alone)]) == 0
    netlist = folder / "rtl" / "netlist-ecp5-25k" / "spikeloom_core.v"
    netlist.write_text(netlist.read_text().replace("16'h", "16'h0", 1))
    assert cli.run(["certify", str(folder / "rtl"), "--check", certificate]) == 1
    shown = capsys.readouterr().out
    assert "netlist spikeloom_core.v: differs" in shown and "belongs to something else" in shown
    # other data, another network
    assert cli.run([*whole(networks), "--data", "random", "--check", str(alone)]) == 1
    assert "data: differs" in capsys.readouterr().out
    other = str(tmp_path / "other.safetensors")
    assert cli.run(["quantize", str(networks / "snn.safetensors"), "-b", "5", "--no-table", "-o", other]) == 0
    assert cli.run(["certify", other, "--check", str(alone)]) == 1
    assert "network: differs" in capsys.readouterr().out


def test_an_edited_certificate_is_refused(made, networks, tmp_path, capsys):
    content = json.loads((made[0] / "certificate.json").read_text())
    net = str(networks / "net.safetensors")
    path = tmp_path / "certificate.json"
    edited = copy.deepcopy(content)
    edited["links"][3]["images"] = 1000
    lying = copy.deepcopy(content)
    lying["links"][3]["mismatches"] = 1
    for text, message in (
        (json.dumps(edited), "was edited: its digest is not that of its content; certify the network again"),
        (json.dumps(sealed(lying)), "was edited"),
        (json.dumps({**content, "schema": 7}), "has schema 7, this version reads 1"),
        (json.dumps({**content, "lanes": 0}), r"is no whole certificate: data\.lanes must be bigger"),
        (json.dumps([1]), r"is no certificate; give a certificate\.json"),
        ("[" * 100_000, "is not JSON"),
        ("{", "is not JSON"),
    ):
        path.write_text(text)
        assert cli.run(["certify", net, "--check", str(path)]) == 2
        assert re.fullmatch(rf"error: .*{message}.*\n", capsys.readouterr().err)


def test_wrong_weights_in_the_verilog_fail(networks, tmp_path, capsys, monkeypatch):
    def planted(network, folder, *, lanes):
        """Hardware with the lowest bit of each of the readout's 6 · 10 weights changed."""
        bundle = emit(network, folder, lanes=lanes)
        lines = bundle.verilog.read_text().splitlines(keepends=True)
        words = [number for number, line in enumerate(lines) if re.match(r"\s+weights\[\d+\] = 4'h.;", line)]
        assert len(words) == 64 * 6 + 6 * 10
        for number in words[-60:]:
            lines[number] = re.sub(r"(.)(?=;)", lambda digit: f"{int(digit[1], 16) ^ 1:x}", lines[number])
        bundle.verilog.write_text("".join(lines))
        return bundle

    monkeypatch.setattr(job, "emit", planted)
    out = tmp_path / "out"
    assert cli.run(["certify", str(networks / "net.safetensors"), *COMMON, "-d", "none", "-o", str(out)]) == 1
    assert "FAILED" in capsys.readouterr().out
    content = load_certificate(out / "certificate.json")
    links = {link["link"]: link for link in content["links"]}
    assert not content["passed"] and links["integers-rtl"]["mismatches"] > 0
    assert links["integers-oracle"]["mismatches"] == 0
    assert links["source-spiking"]["reason"] == links["spiking-integers"]["reason"] == "no --spiking network was given"
    assert links["integers-netlist"]["reason"] == "no device was named"


def test_integers_of_another_spiking_network_fail(networks, tmp_path, capsys):
    other = str(tmp_path / "other.safetensors")
    source = f"{networks / 'net.py'}:build"
    convert = [
        "convert",
        source,
        "-m",
        "robust_norm",
        "-T",
        "2",
        "--input",
        "bitplane",
        "--data",
        "digits",
        "-o",
        other,
    ]
    assert cli.run(convert) == 0
    out = ["-d", "none", "-o", str(tmp_path / "out")]
    assert cli.run(["certify", str(networks / "net.safetensors"), "--spiking", other, *COMMON, *out]) == 1
    assert "quantized again: OTHER INTEGERS" in capsys.readouterr().out


def test_large_networks_say_that_the_oracle_was_not_asked(networks, tmp_path, monkeypatch):
    monkeypatch.setattr("toolchain.certify.links.ORACLE_OPERATIONS", 10)
    out = ["-d", "none", "-o", str(tmp_path / "out")]
    assert cli.run(["certify", str(networks / "net.safetensors"), *COMMON, "--images", "1", *out]) == 0
    links = {link["link"]: link for link in load_certificate(tmp_path / "out" / "certificate.json")["links"]}
    assert not links["integers-oracle"]["done"] and "too many for nested loops" in links["integers-oracle"]["reason"]


def test_bad_input_leaves_nothing_behind(networks, tmp_path, capsys):
    net, snn = str(networks / "net.safetensors"), str(networks / "snn.safetensors")
    source = f"{networks / 'net.py'}:build"
    out = tmp_path / "out"
    for arguments, message in (
        ([snn], "integers are needed here: run spikeloom quantize"),
        ([net, "-d", "hx9k"], "no device 'hx9k'; there are"),
        ([net, "-P", "65"], "lanes is 65, must be 1 to 64"),
        ([net, "--images", "61"], "61 images asked of data set digits, it has 1 to 60"),
        ([net, "--images", "0"], "0 images asked of data set digits, it has 1 to 60"),
        ([net, "--float-images", "0"], "0 images asked of data set digits"),
        ([net, "--source", source], "a source is given without the spiking network .*; give --spiking too"),
        ([net, "--weights", net], "is for --source; add that"),
        ([net, "--spiking", net], "a spiking network is needed here"),
        ([net, "--data", "bundled"], r"frames have shape \(60, 1, 28, 28\), must be"),
        ([net, "--simulator", "vcs"], "no simulator 'vcs'; there are"),
        (
            [net, "--check", str(tmp_path / "none.json")],
            r"cannot read .*none\.json: No such file.*give a certificate\.json",
        ),
    ):
        assert cli.run(["certify", *COMMON, "-o", str(out), *arguments]) == 2, arguments
        assert re.fullmatch(rf"error: .*{message}.*\n", capsys.readouterr().err), message
        assert not out.exists()
    with pytest.raises(InvalidValue, match=r"cannot write folder .*: Not a directory"):
        job._prepare(networks / "net.py" / "out")


def test_generate_is_the_same_in_any_surroundings(networks, tmp_path):
    written = []
    for number, surroundings in enumerate(SURROUNDINGS):
        arguments = [
            "generate",
            str(networks / "net.safetensors"),
            "-P",
            "3",
            "--data",
            "random",
            "-o",
            f"rtl-{number}",
        ]
        call(arguments, tmp_path / f"here-{number}", surroundings)
        files = sorted((tmp_path / f"here-{number}" / f"rtl-{number}").iterdir())
        written.append({file.name: file.read_bytes() for file in files})
    assert {"spikeloom_core.v", "vectors.json", "main.cpp"} < set(written[0]) and written[0] == written[1]
