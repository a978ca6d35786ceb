"""Generated cores with external weights, with the memory of the test bench: exact, and a wrong memory shows."""

import json
import subprocess
import sys

import numpy as np
import pytest

from hdl.host import ErrorCode
from hdl.tiles import program_of
from sim import golden, runner
from sim.packets import error_of, input_packet, read_result
from tests.cosim.test_verify import SIMULATORS
from tests.networks import frames_for, random_network
from toolchain.bandwidth import waiting
from toolchain.bundle import load_bundle
from toolchain.cycles import cycles
from toolchain.errors import InvalidValue
from toolchain.flow import external_for, generate

NETWORK = random_network(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of spikeloom generate whose network takes several tiles."""
    target = tmp_path_factory.mktemp("external")
    external = external_for(
        NETWORK, lanes=3, memories="external", weight_cache=480, memory_bits=64, memory_timeout=2000
    )
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


@pytest.mark.usefixtures("fast_compile")
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_a_memory_of_a_set_latency_waits_as_estimated(folder, simulator):
    bundle = load_bundle(folder)
    frames = np.repeat(frames_for(NETWORK, 3, 1), 2, axis=0)
    program = program_of(bundle.external, NETWORK, bundle.lanes)
    trace = golden.run(NETWORK, frames, "spikes")
    for latency in (1, 64):
        result = runner.verify(bundle, NETWORK, frames, simulator=simulator, memory_latency=latency)
        assert result.passed, result.differences
        waited = int((result.layer_cycles[1] - cycles(NETWORK, frames, trace, 3, program).layers[1]).sum())
        estimated = waiting(program, frames, trace, latency=latency).total
        assert waited > 500 and abs(estimated - waited) < waited / 10


@pytest.mark.usefixtures("fast_compile")
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_a_bus_error_is_named_and_the_next_frame_is_exact(folder, simulator):
    bundle = load_bundle(folder)
    frames = frames_for(NETWORK, 3, 2)
    program = program_of(bundle.external, NETWORK, bundle.lanes)
    packets = [input_packet(frame, program) for frame in frames]
    answers = runner.exchange(
        bundle, packets, patience=program.longest_inference, simulator=simulator, plusargs=["+slverr=40"]
    ).packets
    assert error_of(answers[0]) == ErrorCode.MEMORY
    with pytest.raises(InvalidValue, match=r"error 5 \(MEMORY: the external memory answered a read of weights"):
        read_result(answers[0], classes=1, layers=1)
    result = read_result(answers[1], classes=NETWORK.shapes[-1][0], layers=len(NETWORK.layers))
    assert result.scores.tolist() == golden.run(NETWORK, frames).scores[1].tolist()


@pytest.mark.usefixtures("fast_compile")
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_a_silent_memory_is_named_and_frames_are_exact_when_it_answers_again(folder, simulator):
    bundle = load_bundle(folder)
    frames = frames_for(NETWORK, 3, 5)
    program = program_of(bundle.external, NETWORK, bundle.lanes)
    packets = [input_packet(frame, program) for frame in frames]
    answers = runner.exchange(
        bundle,
        packets,
        patience=program.longest_inference,
        simulator=simulator,
        plusargs=["+silent=40", "+silence=5000"],
    ).packets
    codes = [error_of(answer) for answer in answers]
    late = codes.count(ErrorCode.TIMEOUT)
    assert codes == [ErrorCode.TIMEOUT] * late + [None] * (5 - late) and 1 <= late <= 3
    with pytest.raises(InvalidValue, match=r"error 6 \(TIMEOUT: the external memory did not answer a read of weights"):
        read_result(answers[0], classes=1, layers=1)
    scores = golden.run(NETWORK, frames).scores
    for image in range(late, 5):
        result = read_result(answers[image], classes=NETWORK.shapes[-1][0], layers=len(NETWORK.layers))
        assert result.scores.tolist() == scores[image].tolist()


def test_a_latency_without_memory_or_out_of_range_is_refused(folder):
    with pytest.raises(InvalidValue, match="must be 1 to 10,000"):
        runner.verify(load_bundle(folder), NETWORK, frames_for(NETWORK, 3, 1), memory_latency=0)
    with pytest.raises(InvalidValue, match="needs --memories external"):
        runner.check_latency(64, "rom")


def test_the_port_map_says_where_tiles_stand_and_who_waits(folder):
    ports = json.loads((folder / "ports.json").read_text())
    memory = ports["external_memory"]
    assert ports["external"] == {"cache_words": 480, "data_bits": 64, "timeout": 2000}
    assert ports["packets"]["errors"]["timeout"] == ErrorCode.TIMEOUT == 6
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
