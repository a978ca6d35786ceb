"""Cores whose synaptic currents last against the golden model, and faults in that which must show."""

from dataclasses import replace

import numpy as np
import pytest

from hdl.program import Program
from sim import golden
from tests.cosim.planted import faulty_core
from tests.networks import LEAKY_NEURONS, frames_for, lasting, leaky, lively_lasting_network, random_network
from tests.rtl.memory_model import MemoryModel
from tests.rtl.test_chain import check as check_chain
from tests.rtl.test_core import check
from tests.rtl.test_external import run as run_external
from tests.rtl.test_external import smallest
from tests.rtl.test_leak import IDS, MIXED, PLAIN, differences
from toolchain.cycles import cycles
from toolchain.ir import INPUTS
from toolchain.leak import LEAK_ORDERS, Decay
from toolchain.segments import cut_places


@pytest.mark.parametrize("leaks", [0, 1])
@pytest.mark.parametrize("neuron", LEAKY_NEURONS, ids=IDS)
def test_every_neuron_equals_golden_model(neuron, leaks):
    check(lively_lasting_network(neuron, 1, leaks), 1)


@pytest.mark.parametrize("seed", range(7, 13))
def test_layers_with_and_without_lasting_currents_equal_golden_model(seed):
    neuron = LEAKY_NEURONS[seed % len(LEAKY_NEURONS)]
    network = random_network(seed, neuron=neuron, unusual=seed % 3 == 0)
    check(lasting(leaky(network, seed, 0.4) if seed % 2 else network, seed, 0.4), seed)


@pytest.mark.parametrize("input", INPUTS)
def test_every_input_equals_golden_model(input):
    check(lively_lasting_network({**PLAIN, "input": input}, 2), 5)


def with_currents(network, *leaks):
    layers = (replace(layer, current_leak=leak) for layer, leak in zip(network.layers, leaks, strict=True))
    return replace(network, layers=tuple(layers))


LASTING = with_currents(MIXED, Decay((1, -3, 4)), None, Decay((2, -4, 5)))
"""Its first decays of membrane and current have three terms; the hidden layer behind has no current that lasts, the readout one
that decays as the first layer's membranes do."""


@pytest.mark.parametrize("steps", [1, 2])
def test_few_steps(steps):
    for network in (LASTING, currents_only()):
        assert not differences(replace(network, time_steps=steps))


def test_one_leak_for_currents_and_membranes_needs_no_choice():
    same = Decay((2, -4, 5))
    layers = (replace(layer, leak=same, current_leak=same) for layer in LASTING.layers)
    network = replace(LASTING, layers=tuple(layers))
    program = Program(network, 3)
    assert program.decays == (same,) and not {"leak", "current_leak"} & set(program.varying())
    assert not differences(network)


def test_cycles_and_memory_of_the_second_state():
    """Two words of state behind each neuron word, in both passes; a frame is scanned anew in each step, and counted."""
    plain, steps = MIXED, MIXED.time_steps
    frames = frames_for(LASTING, 2, 2)
    traces = {network: golden.run(network, frames, "spikes") for network in (plain, LASTING)}
    spent = {network: cycles(network, frames, trace, 3) for network, trace in traces.items()}
    assert Program(LASTING, 3).membrane_words == 2 * Program(plain, 3).membrane_words == 4
    assert spent[LASTING].initialization[0].tolist() == [2 * 2 + 3, 2 + 3, 2 * 1 + 3]  # 5, 4 and 3 neurons on 3 lanes
    assert spent[LASTING].fire[0].tolist() == [steps * (2 * 2 + 5), steps * (2 + 5), steps * (2 * 1 + 5)]
    assert np.array_equal(spent[LASTING].scan[:, 0], steps * spent[plain].scan[:, 0])
    for name in ("events", "operations"):
        counts = [getattr(traces[network].activity, name)[:, 0] for network in (plain, LASTING)]
        assert counts[0].all() and np.array_equal(counts[1], steps * counts[0])


@pytest.mark.parametrize("order", LEAK_ORDERS)
def test_in_a_chain(order):
    networks = (lively_lasting_network({**PLAIN, "leak_order": order}, k) for k in range(9))
    check_chain(next(n for n in networks if len(cut_places(n)) == 2), (1, 2), 5)


def test_beside_weights_from_external_memory():
    networks = (lively_lasting_network({**PLAIN, "input": "direct"}, k) for k in range(9))
    network = next(n for n in networks if n.shapes[0][0] > 2)
    program = smallest(network, 2, 64)
    assert {tile.layer for tile in program.tiles if tile.first} >= {0}  # one whose frame is read again
    memory = MemoryModel(program.weight_bytes(), latency=9, stall=0.2)
    assert not run_external(program, frames_for(network, 1, 2), memory)[1].differences


FAULTS = {
    "decays in the last step": ("hdl.core", "per_step & ~last", "per_step"),
    "never decays": ("hdl.neurons", "Mux(self.leak_written, lane.kept, lane.rest)", "Mux(self.leak_written & ~sweep.holds_currents, lane.kept, lane.rest)"),
    "not cleared between frames": ("hdl.sweep", "written_after | (valid[1] & ~firing_pass)", "written_after | (valid[1] & ~firing_pass & ~currents[1])"),
    "membrane's start lost": ("hdl.sweep", "firsts[2], valid[1], lasts[3]", "firsts[2], valid[1] & ~self.paired, lasts[3]"),
    "cleared with the membrane's start": ("hdl.sweep", "initialized & ~currents[1]", "initialized"),
    "membranes start elsewhere": ("hdl.sweep", "Mux(firing_pass, currents[4], currents[1])", "firing_pass & currents[4]"),
    "decayed before it is added": ("hdl.lane", "Mux(self.behind_current, potential, self.addend)", "Mux(self.behind_current, self.kept, self.addend)"),
    "bias onto the membrane too": ("hdl.lane", "Mux(self.behind_current, potential, self.addend)", "Mux(self.behind_current, potential + self.addend, self.addend)"),
    "current without its bias": ("hdl.lane", "Mux(self.behind_current, potential, self.addend)", "Mux(self.behind_current, potential, 0)"),
    "current never comes to the membrane": ("hdl.lane", "Mux(self.behind_current, potential, self.addend)", "Mux(self.behind_current, 0, self.addend)"),
    "currents fire": ("hdl.neurons", "self.fires & ~sweep.holds_currents", "self.fires"),
    "spikes of currents": ("hdl.sweep", "fired = fired & ~currents[3]", "fired = fired"),
    "membrane's shifts": ("hdl.neurons", "Mux(sweep.holds_currents, self.current_leak, self.leak)", "self.leak"),
    "current's shifts for the membrane": ("hdl.neurons", "Mux(sweep.holds_currents, self.current_leak, self.leak)", "Mux(sweep.holds_currents, self.leak, self.current_leak)"),
    "rounds towards zero": ("hdl.decay", "self.value >> abs(of[place])", "(self.value + self.value[-1] * ((1 << abs(of[place])) - 1)) >> abs(of[place])"),
    "events to the membrane": ("hdl.program", "self.words(index) * (self.states(index) - 1)", "0 * index"),
    "written over the membrane": ("hdl.sweep", "Mux(of_currents, Mux(firing_pass, ahead, next_ahead), address)", "address"),
    "frame only in the first step": ("hdl.program", "not self.network.holds_current(layer)", "not self.network.reads_frame(layer)"),
    "readout without a pass": ("hdl.program", "or layer.current_leak is not None", ""),
}  # fmt: skip
"""Module, healthy text, faulty text."""
UNSHARED = ("rounds towards zero", "readout without a pass", "membrane's start lost")
"""Caught where only currents decay."""


@pytest.mark.parametrize("order", LEAK_ORDERS)
def test_the_healthy_core_shows_no_difference(order):
    assert not differences(replace(LASTING, leak_order=order))


def test_the_healthy_core_without_leaks_of_membranes_shows_no_difference():
    assert not differences(currents_only())


def currents_only():
    return replace(LASTING, layers=tuple(replace(layer, leak=None) for layer in LASTING.layers))


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(monkeypatch, fault):
    module, healthy, faulty = FAULTS[fault]
    network = currents_only() if fault in UNSHARED else LASTING
    with faulty_core(module, ((healthy, faulty),)) as core:
        assert differences(network, core, monkeypatch)
