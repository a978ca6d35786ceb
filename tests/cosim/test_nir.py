"""Imported networks in hardware: golden model = naive oracle = RTL for each contract, on integers of the imported weights."""

import numpy as np
import pytest

from sim import golden, oracle, runner
from tests.leaky_exports import exported
from tests.networks import frames_for
from tests.nir_graphs import image
from toolchain.cycles import cycles
from toolchain.emit import emit
from toolchain.interchange import Options, read_nir, to_nir
from toolchain.quantize import quantize


@pytest.mark.usefixtures("fast_compile")
@pytest.mark.parametrize("preset", ["snntorch", "spikingjelly", "sinabs"])
def test_an_imported_graph_in_hardware(tmp_path, preset):
    """snnTorch fires above θ and subtracts, spikingjelly at θ and resets, sinabs at θ and subtracts."""
    spiking = read_nir(image(np.random.default_rng(1)), Options(preset, dt=1.0, time_steps=6, pixel_scale=1 / 256))
    assert read_nir(to_nir(spiking)).fingerprint == spiking.fingerprint
    network = quantize(spiking, 8)
    frames = np.random.default_rng(3).integers(0, 256, (4, 2, 8, 8)).astype(np.uint8)
    trace, exact = golden.run(network, frames, "spikes"), oracle.run(network, frames)
    assert np.array_equal(trace.scores, exact.scores) and trace.activity == exact.activity
    assert all(np.array_equal(a, b) for a, b in zip(trace.spikes, exact.spikes, strict=True))
    assert all(train.any() and not train.all() for train in trace.spikes)
    result = runner.verify(emit(network, tmp_path, lanes=4), network, frames)
    assert result.passed, result.differences


@pytest.mark.usefixtures("fast_compile")
@pytest.mark.parametrize(("preset", "order"), [("snntorch", "leak_first"), ("sinabs", "reset_first")])
def test_an_imported_leaky_graph_in_hardware(tmp_path, preset, order):
    """What the framework's own exporter writes, in Verilog; sinabs' readout leaks too."""
    pytest.importorskip(preset)
    network = quantize(read_nir(*exported(preset, 0.85, 6)), 8)
    assert network.leak_order == order and network.layers[0].leak is not None
    frames = frames_for(network, 1, 3)
    trace, exact = golden.run(network, frames, "spikes"), oracle.run(network, frames)
    assert np.array_equal(trace.scores, exact.scores) and trace.activity == exact.activity
    assert all(train.any() and not train.all() for train in trace.spikes)
    result = runner.verify(emit(network, tmp_path, lanes=4), network, frames, stall=0.2)
    assert result.passed, result.differences
    assert result.spikes_compared == 3 * 6 * (24 + 12)
    assert np.array_equal(result.layer_cycles, cycles(network, frames, trace, 4).layers)


@pytest.mark.usefixtures("fast_compile")
@pytest.mark.parametrize("preset", ["snntorch", "sinabs"])
def test_an_imported_graph_whose_currents_last_in_hardware(tmp_path, preset):
    """snnTorch's Synaptic and sinabs' tau_syn, in Verilog."""
    pytest.importorskip(preset)
    network = quantize(read_nir(*exported(preset, 0.85, 6, alpha=0.7)), 8)
    assert [layer.current_leak is not None for layer in network.layers] == [True, True, False]
    frames = frames_for(network, 1, 3)
    trace, exact = golden.run(network, frames, "spikes"), oracle.run(network, frames)
    assert np.array_equal(trace.scores, exact.scores) and trace.activity == exact.activity
    assert all(train.any() and not train.all() for train in trace.spikes)
    result = runner.verify(emit(network, tmp_path, lanes=4), network, frames, stall=0.2)
    assert result.passed, result.differences
    assert result.spikes_compared == 3 * 6 * (24 + 12)
    assert np.array_equal(result.layer_cycles, cycles(network, frames, trace, 4).layers)
