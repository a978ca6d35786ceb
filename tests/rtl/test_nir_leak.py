"""Leaky networks of other frameworks in hardware: RTL = golden model = naive oracle on integers of what they exported."""

from dataclasses import replace

import numpy as np
import pytest

from sim import golden, oracle
from sim.comparison import Comparison
from sim.packets import frame_packet
from tests.leaky_exports import EXPORTERS, INPUTS, exported
from tests.networks import frames_for
from tests.rtl.harness import run_core
from tests.rtl.test_core import check
from toolchain.cycles import cycles
from toolchain.interchange import read_nir
from toolchain.leak import Decay
from toolchain.quantize import quantize

STEPS = 6


def integers(preset, **more):
    pytest.importorskip(preset)
    graph, options = exported(preset, 0.85, STEPS, **more)
    return quantize(read_nir(graph, options), 8)


@pytest.mark.parametrize(
    ("preset", "more"),
    [*((name, {}) for name in EXPORTERS), ("snntorch", {"reset": "zero"}), ("snntorch", {"leak_order": "reset_first"})],
)
def test_an_exported_leaky_network_in_hardware(preset, more):
    network = integers(preset, **more)
    assert network.leaks and all(layer.leak is not None for layer in network.layers[:2])
    assert network.leak_order == ("leak_first" if preset == "snntorch" and not more else "reset_first")
    images = frames_for(network, 1, 3)
    trace, exact = golden.run(network, images, "spikes"), oracle.run(network, images)
    assert np.array_equal(trace.scores, exact.scores) and trace.activity == exact.activity
    assert all(np.array_equal(a, b) for a, b in zip(trace.spikes, exact.spikes, strict=True))
    assert all(train.any() and not train.all() for train in trace.spikes)
    for seed in (1, 2):
        check(network, seed)


@pytest.mark.parametrize("preset", EXPORTERS)
def test_an_exported_network_whose_currents_last_in_hardware(preset):
    network = integers(preset, alpha=0.7)
    assert all(layer.current_leak is not None and layer.leak is not None for layer in network.layers[:2])
    images = frames_for(network, 1, 3)
    trace, exact = golden.run(network, images, "spikes"), oracle.run(network, images)
    assert np.array_equal(trace.scores, exact.scores) and trace.activity == exact.activity
    assert all(np.array_equal(a, b) for a, b in zip(trace.spikes, exact.spikes, strict=True))
    assert all(train.any() and not train.all() for train in trace.spikes)
    for seed in (1, 2):
        check(network, seed)


@pytest.mark.parametrize("fault", ["another β", "another order", "no leak", "another α", "no current that lasts"])
def test_another_leak_shows(fault):
    """The comparison can fail: the core of a network whose leak or current is another does not pass for this one."""
    network = integers("snntorch", **({"alpha": 0.7} if "α" in fault or "current" in fault else {}))
    if network.lasting:
        current = Decay.nearest(0.6) if fault == "another α" else None
        layers = tuple(replace(layer, current_leak=current if layer.current_leak else None) for layer in network.layers)
        wrong = replace(network, layers=layers)
    elif fault == "another order":
        wrong = replace(network, leak_order="reset_first")
    else:
        leak = Decay.nearest(0.8) if fault == "another β" else None
        layers = tuple(replace(layer, leak=leak) if layer.leak is not None else layer for layer in network.layers)
        wrong = replace(network, layers=layers)
    images = frames_for(network, 1, 2)
    run = run_core(wrong, [frame_packet(image) for image in images], lanes=4)
    trace = golden.run(network, images, "spikes")
    comparison = Comparison(network, 4, trace, cycles(network, images, trace, 4))
    comparison.spikes(run.spikes)
    assert comparison.differences and images.shape[1:] == (INPUTS, 1, 1)
