"""Generated folders stand by themselves: their bench runs, finds differences, and FuseSoC reads them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cosim.test_verify import SIMULATORS
from tests.networks import frames_for, random_network
from toolchain.flow import generate
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


def test_fusesoc_reads_the_core_file_and_verilator_accepts_the_core(folder, tmp_path):
    verilator = find_simulator("verilator")
    run = ("run", "--target=lint", "spikeloom:networks:random")
    shown = call(
        BIN / "fusesoc", "--cores-root", folder, *run, cwd=tmp_path, path=Path(verilator.executable).parent,
        **verilator.environment,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "verilator" in shown.stdout
