"""Counters of the generated hardware equal the models' counts on the zoo's networks, exactly."""

from functools import cache

import numpy as np
import pytest
import torch

import toolchain.emit
from sim import golden, runner
from tests.cosim.planted import faulty_core
from tests.networks import frames_for, random_network
from toolchain import datasets, zoo
from toolchain.convert import convert
from toolchain.cycles import cycles
from toolchain.quantize import quantize
from toolchain.train import calibration, load_source

FAST = ("mlp", "two_phase", 64)
ALL = [
    (name, schedule, lanes) for name in ("cnn", "mlp") for schedule in ("two_phase", "stream") for lanes in (5, 16, 64)
]


@cache
def zoo_network(name, schedule):
    """The bundled ``cnn``, or an untrained ``mlp`` whose batch norm has settled on the bundled frames; T = 4."""
    torch.manual_seed(0)
    bundled = datasets.load("bundled")
    frames = calibration(bundled, 50)
    module = load_source(zoo.BUNDLED_WEIGHTS).module if name == "cnn" else zoo.build(name)
    for _ in range(50 if name == "mlp" else 0):
        module.train()(frames)
    return quantize(convert(module.eval(), frames, "qcfs", 4, schedule=schedule)), bundled.frames[:2]


@pytest.mark.parametrize(
    ("name", "schedule", "lanes"), [pytest.param(*c, marks=[] if c == FAST else pytest.mark.slow) for c in ALL]
)
def test_counters_equal_the_models(tmp_path, name, schedule, lanes):
    network, frames = zoo_network(name, schedule)
    trace = golden.run(network, frames, "spikes")
    assert all(train.any() for train in trace.spikes)
    expected = cycles(network, frames, trace, lanes)
    result = runner.verify(toolchain.emit.emit(network, tmp_path, lanes=lanes), network, frames)
    assert result.passed, result.differences
    assert result.activity == trace.activity  # SOPs, events, spikes
    assert np.array_equal(result.layer_cycles, expected.layers)
    assert np.array_equal(result.cycles, expected.latency)


@pytest.mark.usefixtures("fast_compile")
def test_a_wait_state_is_caught(tmp_path, monkeypatch):
    network = random_network(4, neuron={"input": "direct"})
    healthy = 'm.State("READ"):'
    with faulty_core(
        "hdl.sequencer", ((healthy, f'{healthy}\n                m.next = "LATE"\n            with m.State("LATE"):'),)
    ) as core:
        monkeypatch.setattr(toolchain.emit, "Core", core)
        bundle = toolchain.emit.emit(network, tmp_path, lanes=2)
    result = runner.verify(bundle, network, frames_for(network, 4, 2))
    assert not result.passed
    assert all(d.what == "counter" and str(d.seen).endswith("cycles") for d in result.differences), result.differences
