"""Generated cores with external weights, with the memory of the test bench: exact, and a wrong memory shows."""

import json
import subprocess
import sys

import pytest

from sim import runner
from tests.cosim.test_verify import SIMULATORS
from tests.networks import frames_for, random_network
from toolchain.bundle import load_bundle
from toolchain.flow import external_for, generate

NETWORK = random_network(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of spikeloom generate whose network takes several tiles."""
    target = tmp_path_factory.mktemp("external")
    external = external_for(NETWORK, lanes=3, memories="external", weight_cache=480, memory_bits=64)
    generate(NETWORK, target, lanes=3, frames=frames_for(NETWORK, 1, 2), external=external)
    return target


@pytest.mark.usefixtures("fast_compile")
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_generated_core_is_exact_and_a_wrong_weight_shows(folder, simulator):
    bundle = load_bundle(folder)
    frames = frames_for(NETWORK, 3, 3)
    result = runner.verify(bundle, NETWORK, frames, simulator=simulator, stall=0.1)
    assert result.passed and result.images == 3, result.differences
    content = bundle.weights.read_bytes()
    try:
        bundle.weights.write_bytes(bytes(byte ^ 0x55 for byte in content))
        assert not runner.verify(bundle, NETWORK, frames, simulator=simulator).passed
    finally:
        bundle.weights.write_bytes(content)


def test_the_port_map_says_where_tiles_stand_and_who_waits(folder):
    ports = json.loads((folder / "ports.json").read_text())
    memory = ports["external_memory"]
    assert memory["bytes"] == (folder / "weights.bin").stat().st_size
    assert len(memory["tiles"]) > len(NETWORK.layers)
    assert memory["waiting"]["status"] == "estimated" and memory["waiting"]["wait_cycles"]["layer1"] > 0
    assert ports["ports"]["m_axi_rdata"] == {"direction": "in", "bits": 64}
    assert not (folder / "main.cpp").exists()
    assert "m_axi_araddr(m_axi_araddr)" in (folder / "spikeloom_axis.v").read_text()


def test_the_generated_bench_runs_by_itself(folder):
    told = subprocess.run([sys.executable, "run.py", "icarus"], cwd=folder, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout
    assert "TESTS=1 PASS=1 FAIL=0" in told.stdout + told.stderr
