"""Co-simulation: the bundled network and random ones, on Verilator and Icarus, and packets that are wrong."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from hdl.host import PacketType
from sim import golden, runner, verilator
from sim.packets import frame_packet, read_result
from tests.malformed import malformed
from tests.networks import NEURONS, frames_for, lively_network, random_network
from toolchain import datasets, zoo
from toolchain.convert import convert
from toolchain.emit import emit
from toolchain.errors import InvalidValue
from toolchain.quantize import quantize
from toolchain.train import calibration, load_source

SIMULATORS = [
    "verilator",
    pytest.param(
        "icarus", marks=pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
    ),
]


def bundled_network(schedule, frames=50):
    bundled = datasets.load("bundled")
    module = load_source(zoo.BUNDLED_WEIGHTS).module
    return quantize(convert(module, calibration(bundled, frames), "qcfs", 4, schedule=schedule)), bundled.frames


@pytest.mark.parametrize("schedule", ["two_phase", "stream"])
def test_bundled_network(tmp_path, schedule):
    network, frames = bundled_network(schedule)
    result = runner.verify(emit(network, tmp_path, lanes=16), network, frames[:3])
    assert result.passed, result.differences
    assert result.lane_utilization >= 0.90
    assert result.spikes_compared == 3 * 4 * sum(int(np.prod(s)) for s in network.shapes[:-1])
    assert result.spike_mismatches == result.score_mismatches == result.counter_mismatches == 0


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["two_phase", "stream"])
def test_bundled_network_on_200_images(tmp_path, schedule):
    network, frames = bundled_network(schedule)
    result = runner.verify(emit(network, tmp_path, lanes=16), network, frames[:200], stall=0.1)
    assert result.passed, result.differences


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [1, 5, 64])
def test_bundled_network_on_other_lanes(tmp_path, lanes):
    network, frames = bundled_network("two_phase")
    result = runner.verify(emit(network, tmp_path, lanes=lanes), network, frames[:2])
    assert result.passed, result.differences


@pytest.mark.usefixtures("fast_compile")
@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize(("seed", "lanes", "stall"), [(1, 1, 0.0), (4, 3, 0.5), (9, 64, 0.0), (53, 16, 0.2)])
def test_random_networks(tmp_path, simulator, seed, lanes, stall):
    network = random_network(seed)
    bundle = emit(network, tmp_path, lanes=lanes)
    result = runner.verify(bundle, network, frames_for(network, seed, 3), simulator=simulator, stall=stall, seed=7)
    assert result.passed, result.differences
    assert (result.simulator, result.images, len(result.cycles)) == (simulator, 3, 3)


@pytest.mark.usefixtures("fast_compile")
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_folder_with_spaces(tmp_path, simulator):
    network = random_network(1)
    bundle = emit(network, tmp_path / "mein nétz", lanes=2)
    result = runner.verify(bundle, network, frames_for(network, 1, 1), simulator=simulator)
    assert result.passed, result.differences


@pytest.mark.usefixtures("fast_compile")
@pytest.mark.parametrize(
    "neuron", ["radix-symmetric-subtract-ge", "stream-correcting-subtract-gt", "stream-none-zero-ge"]
)
def test_other_neurons(tmp_path, neuron):
    network = lively_network(dict(zip(NEURONS[0], neuron.split("-"), strict=True)), 2)
    result = runner.verify(emit(network, tmp_path, lanes=3), network, frames_for(network, 2, 3), stall=0.2)
    assert result.passed, result.differences


@pytest.mark.usefixtures("fast_compile")
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_malformed_packets_get_an_error_and_the_next_frame_is_right(tmp_path, simulator):
    network = random_network(16)
    frames = frames_for(network, 1, 1)
    good = frame_packet(frames[0])
    wrong = malformed(good)
    packets = [packet for bad, _ in wrong for packet in (bad, good)]
    answers = runner.exchange(emit(network, tmp_path, lanes=3), packets, patience=5000, simulator=simulator, stall=0.3)
    assert answers.packets[::2] == [[PacketType.ERROR << 24 | 1, code] for _, code in wrong]
    expected = golden.run(network, frames).scores[0]
    for answer in answers.packets[1::2]:
        result = read_result(answer, classes=len(expected), layers=len(network.layers))
        assert np.array_equal(result.scores, expected)


@pytest.mark.usefixtures("fast_compile")
def test_compiler_and_make_are_enough(tmp_path, monkeypatch):
    """A system with neither Perl nor a program called python."""
    tools = tmp_path / "bin"
    tools.mkdir()
    hidden = ("perl", "python", "verilator")
    programs = [program for folder in os.get_exec_path() if Path(folder).is_dir() for program in Path(folder).iterdir()]
    for program in programs:
        if not program.name.startswith(hidden) and not (tools / program.name).exists():
            (tools / program.name).symlink_to(program)
    monkeypatch.setenv("PATH", str(tools))
    network = random_network(3)
    result = runner.verify(emit(network, tmp_path / "rtl", lanes=4), network, frames_for(network, 3, 1))
    assert result.passed


def test_hardware_of_another_network_is_refused(tmp_path):
    bundle = emit(random_network(3), tmp_path, lanes=4)
    with pytest.raises(InvalidValue, match="was generated from"):
        runner.verify(bundle, random_network(4), frames_for(random_network(4), 3, 1))


def test_verilog_is_a_function_of_network_and_lanes(tmp_path):
    network = random_network(3)
    first, again, wider = (
        emit(network, tmp_path / name, lanes=lanes) for name, lanes in (("a", 4), ("b", 4), ("c", 5))
    )
    for file in ("verilog", "testbench", "network"):
        assert getattr(first, file).read_bytes() == getattr(again, file).read_bytes()
    assert first.verilog.read_bytes() != wider.verilog.read_bytes()
    assert network.fingerprint in first.verilog.read_text().splitlines()[1]


def test_run_time_of_the_simulator_is_compiled_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    compiled = []
    for seed in (3, 4):
        network, folder = random_network(seed), tmp_path / str(seed)
        assert runner.verify(emit(network, folder, lanes=4), network, frames_for(network, seed, 1)).passed
        compiled.append("verilated_vpi.cpp" in (folder / "build-verilator" / "build.log").read_text())
    assert compiled == [True, False]
    assert len(list(verilator.cache_folder().rglob("*.o"))) == 4


def test_a_cache_that_cannot_be_written_is_none(tmp_path, monkeypatch):
    network = random_network(3)
    bundle = emit(network, tmp_path, lanes=4)
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert runner.verify(bundle, network, frames_for(network, 3, 1)).passed
