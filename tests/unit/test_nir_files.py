"""NIR files, sound and hostile, and the verbs ``import`` and ``export`` as a user runs them."""

import json
import re

import h5py
import nir
import numpy as np
import pytest

from tests.nir_by_hand import options
from tests.nir_graphs import chain, dense, fires
from toolchain import cli
from toolchain.errors import NetworkFileError
from toolchain.interchange import read_nir
from toolchain.netfile import load_network, save_network
from toolchain.quantize import quantize


def good(path):
    nir.write(path, chain(dense(np.random.default_rng(0), 4, 6), fires(4), dense(np.random.default_rng(1), 3, 4)))
    return path


def spoil_with(path, change):
    with h5py.File(good(path), "r+") as content:
        change(content)
    return path


def _big(content):
    del content["node/nodes/0/weight"]
    content["node/nodes/0"].create_dataset(
        "weight", shape=(1 << 20, 1 << 20), dtype="f4", chunks=(1024, 1024), compression="gzip"
    )


def _external(content):
    content["node/nodes/0/other"] = h5py.ExternalLink("/etc/hostname", "/")


def _soft(content):
    content["node/nodes/0/other"] = h5py.SoftLink("/node")


def _round_and_round(content):
    content["node/nodes/0/again"] = content["node"]


def _compound(content):
    del content["node/nodes/0/weight"]
    content["node/nodes/0/weight"] = np.zeros(3, [("a", "f4"), ("b", "i4")])


def _no_graph(content):
    del content["node"]


def _edges(content):
    del content["node/edges"]
    content["node/edges"] = np.arange(4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_big, r"holds more than 1024 MiB of arrays, at /node/nodes/0/weight"),
        (_external, r"holds a link, /node/nodes/0/other; only groups"),
        (_soft, r"holds a link"),
        (_round_and_round, r"holds groups more than 24 deep"),
        (_compound, r"only numbers and texts are read"),
        (_no_graph, r"holds no NIR graph"),
        (_edges, r"has no nodes or no edges"),
    ],
)
def test_files_that_are_no_plain_graph(tmp_path, capsys, change, message):
    path = spoil_with(tmp_path / "x.nir", change)
    assert cli.run(["import", str(path), "-T", "4", "--preset", "sinabs", "-o", str(tmp_path / "x.safetensors")]) == 2
    told = capsys.readouterr().err
    assert re.search(message, told) and told.count("\n") == 1
    assert not (tmp_path / "x.safetensors").exists()


def test_a_file_that_crashes_the_library_is_one_line(tmp_path, monkeypatch):
    """The reading process is a process: what kills or stops it does not reach ours."""
    from toolchain.interchange import hdf5

    path = good(tmp_path / "x.nir")
    for body, message in (
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "the HDF5 library crashes on it"),
        ("import time; time.sleep(60)", "takes too long to read"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGXCPU)", "takes too long to read"),
    ):
        (tmp_path / "hdf5_child.py").write_text(body)
        monkeypatch.setattr(hdf5, "__file__", str(tmp_path / "hdf5.py"))
        monkeypatch.setattr(hdf5, "MIN_SECONDS", 0.5)
        with pytest.raises(NetworkFileError, match=message):
            hdf5.read_contents(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("import IN/none.nir -T 4 -o OUT", r"cannot read NIR file .*none\.nir: No such file"),
        ("import IN -T 4 -o OUT", r"cannot read NIR file .*: Is a directory"),
        ("import IN/text.nir -T 4 -o OUT", r"text\.nir is no whole HDF5 file"),
        ("import IN/cut.nir -T 4 -o OUT", r"cut\.nir is no whole HDF5 file"),
        ("import IN/good.nir -o OUT", r"does not say for how many time steps.*choose -T"),
        ("import IN/good.nir -T 4 --preset no -o OUT", r"no preset 'no'"),
        ("import IN/good.nir -T 4 --dt 0 -o OUT", r"time step is 0, must be above 0"),
        ("import IN/good.nir -T 4 --dt nan -o OUT", r"time step is nan"),
        ("import IN/good.nir -T 4 --pixel-scale 0 -o OUT", r"pixel scale is 0"),
        ("import IN/good.nir -T 4 --input events -o OUT", r"input is 'events', must be one of direct"),
        ("import IN/good.nir -T 4 --input-shape 1,x -o OUT", r"input shape '1,x' is not C,H,W"),
        ("import IN/good.nir -T 4 --input-shape 1,4,4 -o OUT", r"input shape \(1, 4, 4\) does not fit"),
        ("import IN/good.nir -T 4 -o IN/no/x.safetensors", r"cannot write"),
        ("export IN/good.nir -o OUT", r"not a Spikeloom network file"),
        ("export IN/fixed.safetensors -o OUT", r"holds a fixed-point network, a spiking network is needed"),
        ("export IN/snn.safetensors -o IN/no/x.nir", r"cannot write"),
    ],
)
def test_wrong_command_lines(tmp_path, capsys, arguments, message):
    good(tmp_path / "good.nir")
    (tmp_path / "text.nir").write_text("hello")
    (tmp_path / "cut.nir").write_bytes((tmp_path / "good.nir").read_bytes()[:3000])
    network = read_nir(tmp_path / "good.nir", options())
    save_network(network, tmp_path / "snn.safetensors")
    save_network(quantize(network, 8), tmp_path / "fixed.safetensors")
    target = tmp_path / "made"
    assert cli.run(arguments.replace("IN", str(tmp_path)).replace("OUT", str(target)).split()) == 2
    told = capsys.readouterr().err
    assert re.search(message, told) and told.count("\n") == 1 and "Traceback" not in told
    assert not target.exists()


def test_import_and_export_as_a_user(tmp_path, capsys):
    path, snn, net = good(tmp_path / "x.nir"), tmp_path / "snn.safetensors", tmp_path / "y.nir"
    assert cli.run(["import", str(path), "-T", "8", "--preset", "snntorch", "--dt", "1", "-o", str(snn)]) == 0
    shown = capsys.readouterr()
    assert "warning: the file does not say reset_mechanism" in shown.err
    for part in (
        "semantics contract:",
        "preset snntorch",
        "dt = 1",
        "V > θ",
        "θ is subtracted",
        "V(0) = 0; lower clamp: none",
        "the graph's Input receives pixel·0.00392157",
    ):
        assert part in shown.out
    made = tmp_path / "net.safetensors"
    assert cli.run(["quantize", str(snn), "-o", str(made)]) == 2  # no data set has frames of (6, 1, 1)
    assert (
        "must be [N, C, H, W] with (C, H, W) = (6, 1, 1); choose --data that fits, or --no-table"
        in capsys.readouterr().err
    )
    assert cli.run(["quantize", str(snn), "--no-table", "-o", str(made)]) == 0
    assert load_network(made).provenance["nir"]["contract"]["preset"] == "snntorch"
    capsys.readouterr()
    assert cli.run(["quantize", str(snn), "--no-table", "--json", "-o", str(made)]) == 0
    assert json.loads(capsys.readouterr().out)["errors"] == []
    assert cli.run(["export", str(snn), "-o", str(net)]) == 0
    assert (
        "NIR does not say, so tell the reader: dt = 1; fires at V > θ; then θ is subtracted; V(0) = 0; T = 8"
        in capsys.readouterr().out
    )
    again = tmp_path / "again.safetensors"
    assert cli.run(["import", str(net), "-o", str(again), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["fingerprint"] == load_network(snn).fingerprint == load_network(again).fingerprint
    assert told["nir"]["contract"]["preset"] == "spikeloom"
    assert cli.run(["export", str(snn), "-o", str(net), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["nodes"]["IF"] == 1
