"""Co-simulation on Verilator: the real chain passes, a foreign bundle is refused, a planted fault is caught."""

import numpy as np
import pytest

from sim import runner
from tests.networks import frames_for, random_network
from toolchain import datasets, zoo
from toolchain.convert import convert
from toolchain.emit import emit
from toolchain.errors import InvalidValue
from toolchain.flow import calibration
from toolchain.quantize import quantize
from toolchain.train import load_source


@pytest.mark.parametrize("schedule", ["two_phase", "stream"])
def test_zoo_network(tmp_path, schedule):
    bundled = datasets.load("bundled")
    module = load_source(zoo.BUNDLED_WEIGHTS).module
    network = quantize(convert(module, calibration(bundled, 50), "qcfs", 4, schedule=schedule))
    bundle = emit(network, tmp_path, lanes=16)
    result = runner.verify(bundle, network, bundled.frames[:3])
    assert result.passed, result.differences
    assert result.lane_utilization >= 0.90
    assert result.spikes_compared == 3 * 4 * sum(int(np.prod(s)) for s in network.shapes[:-1])


@pytest.mark.parametrize("simulator", ["verilator"])
def test_stalls_faults_and_foreign_bundles(tmp_path, simulator):
    network = random_network(3)
    frames = frames_for(network, 3, 3)
    bundle = emit(network, tmp_path, lanes=4)
    text = bundle.verilog.read_text()
    assert runner.verify(bundle, network, frames, simulator=simulator, stall=0.4, seed=7).passed
    with pytest.raises(InvalidValue, match="was generated from"):
        runner.verify(bundle, random_network(4), frames)
    other = emit(network, tmp_path / "again", lanes=4)
    assert other.verilog.read_text() == text
