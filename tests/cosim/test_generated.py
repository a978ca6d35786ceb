"""Generated folders stand by themselves: their bench runs, finds differences, and FuseSoC reads them."""

import ast
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hdl.capacity import Capacity
from tests.bench.cell_counts import variant
from tests.cosim.test_verify import SIMULATORS
from tests.networks import frames_for, random_network
from toolchain.flow import generate
from toolchain.pooling import MaxPooling
from toolchain.quantize import quantize
from toolchain.tools import find_simulator

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    network = random_network(3)
    target = tmp_path_factory.mktemp("generated") / "rtl"
    generate(network, target, lanes=4, frames=frames_for(network, 1, 2))
    return target


def call(*command, cwd, path=BIN, **environment):
    environment |= {"PATH": os.pathsep.join((str(path), str(BIN), os.environ["PATH"])), "HOME": str(cwd)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_bench_passes_and_one_wrong_bit_fails(folder, tmp_path, simulator):
    copy = shutil.copytree(folder, tmp_path / "copy")
    passed = call(sys.executable, str(copy / "run.py"), simulator, cwd=tmp_path)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "TESTS=1 PASS=1" in passed.stdout
    vectors = json.loads((copy / "vectors.json").read_text())
    vectors["vectors"][1]["answer"][2] ^= 1
    (copy / "vectors.json").write_text(json.dumps(vectors))
    failed = call(sys.executable, str(copy / "run.py"), simulator, cwd=tmp_path)
    assert failed.returncode == 1
    assert "vector 1, word 2" in failed.stdout


def test_fusesoc_reads_the_core_file_and_verilator_accepts_the_core(folder, tmp_path, name="random"):
    verilator = find_simulator("verilator")
    run = ("run", "--target=lint", f"spikeloom:networks:{name}")
    shown = call(
        BIN / "fusesoc", "--cores-root", folder, *run, cwd=tmp_path, path=Path(verilator.executable).parent,
        **verilator.environment,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "verilator" in shown.stdout


@pytest.mark.parametrize("top", ["spikeloom_core", "spikeloom_axis"])
def test_cpp_bench_passes_and_finds_wrong_bits_missing_words_and_a_silent_core(folder, tmp_path, top):
    copy = shutil.copytree(folder, tmp_path / "copy")
    make = ("make", "run", f"PYTHON={sys.executable}", f"TOP={top}")
    passed = call(*make, cwd=copy)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "PASS 2 vectors, all words exact" in passed.stdout
    executable = copy / f"obj-{top}" / f"V{top}"
    vectors = (copy / "vectors.txt").read_text()
    lines = vectors.splitlines()
    answer = lines[4].split()
    answer[4] = f"{int(answer[4], 16) ^ 1:08x}"
    short = lines[2].split()[:-1]
    faults = {
        "\n".join([*lines[:4], " ".join(answer)]): (1, "FAIL vector 1, word 2"),
        "\n".join([*lines[:2], " ".join(["answer", str(len(short) - 2), *short[2:]])]): (1, "words, expected"),
        vectors.replace(lines[0], "patience 20"): (1, "no whole answer in 20 clocks"),
        vectors.replace("answer", "other"): (2, "cannot read vectors"),
        lines[0] + "\n": (2, "cannot read vectors"),
    }
    for text, (code, said) in faults.items():
        (copy / "vectors.txt").write_text(text)
        failed = call(executable, "vectors.txt", cwd=copy)
        assert failed.returncode == code and said in failed.stdout + failed.stderr, (said, failed)


OTHERS = {
    "frames of spikes, max pooling": (
        quantize(replace(variant({}, MaxPooling((3, 3), (2, 2), (1, 1))), input="spikes"), 8), {},
    ),
    "chain of frames of spikes": (quantize(variant({"input": "spikes"}), 8), {"cuts": (1,)}),
    "loadable": (quantize(variant({}), 8), {"capacity": True}),
}  # fmt: skip
"""Hardware beside one core of pixels, with what ``generate`` takes for it."""


@pytest.mark.parametrize("name", OTHERS)
def test_all_files_of_other_hardware_work(tmp_path, name):
    """FuseSoC's file, the texts for other designs, and the C++ bench around the wrapper, which finds one wrong bit."""
    network, options = OTHERS[name]
    options = {"capacity": Capacity.of(network, lanes=4)} if "capacity" in options else options
    folder = tmp_path / "rtl"
    generate(network, folder, lanes=4, frames=frames_for(network, 1, 2), **options)
    test_fusesoc_reads_the_core_file_and_verilator_accepts_the_core(folder, tmp_path, "cells")
    test_verilog_for_other_designs_is_accepted_without_a_warning_of_its_own(folder)
    passed = call("make", "run", f"PYTHON={sys.executable}", "TOP=spikeloom_axis", cwd=folder)
    vectors = (folder / "vectors.txt").read_text().splitlines()
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert f"PASS {2 + ('capacity' in options)} vectors, all words exact" in passed.stdout
    answer = vectors[-1].split()
    answer[4] = f"{int(answer[4], 16) ^ 1:08x}"
    (folder / "vectors.txt").write_text("\n".join([*vectors[:-1], " ".join(answer)]))
    failed = call(folder / "obj-spikeloom_axis" / "Vspikeloom_axis", "vectors.txt", cwd=folder)
    assert failed.returncode == 1 and "word 2" in failed.stdout + failed.stderr


def test_verilog_for_other_designs_is_accepted_without_a_warning_of_its_own(folder):
    verilator = find_simulator("verilator")
    for top in ("spikeloom_instance", "spikeloom_axis"):
        file = f"{top}.v"
        shown = call(
            verilator.executable, "--lint-only", "-Wall", "--top-module", top, file, "spikeloom_core.v",
            cwd=folder, **verilator.environment,
        )  # fmt: skip
        own = [line for line in shown.stderr.splitlines() if line.startswith("%") and f"{file}:" in line]
        assert [line for line in own if "UNUSEDSIGNAL" not in line and "PINCONNECTEMPTY" not in line] == [], own
        assert "Cannot find" not in shown.stderr


def test_texts_for_other_designs_tell_the_lengths_of_this_network(folder):
    vectors = json.loads((folder / "vectors.json").read_text())
    frame, answer = vectors["vectors"][0]["frame"], vectors["vectors"][0]["answer"]
    module = ast.parse((folder / "spikeloom_litex.py").read_text())
    told = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in module.body
        if isinstance(node, ast.Assign) and node.targets[0].id.endswith("WORDS")
    }
    assert told == {"FRAME_WORDS": len(frame), "RESULT_WORDS": len(answer)}
    note = (folder / "axi_dma.md").read_text()
    assert f"| frame, to the core | {len(frame)} | {4 * len(frame)} |" in note
    assert f"| result, from the core | {len(answer)} | {4 * len(answer)} |" in note
    assert f"0x{frame[0]:08X}" in note and f"result[{vectors['prediction_at']}]" in note and "Not run" in note
    assert f"32'h{frame[0]:08X}" in (folder / "spikeloom_instance.v").read_text()
    assert "Not run" in (folder / "axi_dma.tcl").read_text()
    ports = set(json.loads((folder / "ports.json").read_text())["ports"])
    (instance,) = [n for n in ast.walk(module) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "Instance"]
    connected = {keyword.arg.partition("_")[2] for keyword in instance.keywords}
    assert connected == {port for port in ports if not port.startswith("spike_")}
