"""Cores whose membranes leak against the golden model, in both orders, and faults in the leak that must show."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl.decay import DecayAdders
from hdl.program import Program
from sim import golden
from sim.comparison import Comparison
from sim.packets import input_packet
from tests.cosim.planted import faulty_core
from tests.networks import LEAKY_NEURONS, frames_for, leaky, lively_leaky_network, random_decay, random_network
from tests.rtl import harness
from tests.rtl.memory_model import MemoryModel
from tests.rtl.test_chain import check as check_chain
from tests.rtl.test_core import check
from tests.rtl.test_external import run as run_external
from tests.rtl.test_external import smallest
from tests.unit.test_integers import make_layer, make_network
from tests.unit.test_leak import decayed
from toolchain.cycles import cycles
from toolchain.ir import INPUT, INPUTS
from toolchain.leak import LEAK_ORDERS, Decay
from toolchain.segments import cut_places

IDS = ["-".join(neuron.values()) for neuron in LEAKY_NEURONS]
PLAIN = {"schedule": "stream", "reset": "subtract", "compare": "ge"}


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("neuron", LEAKY_NEURONS, ids=IDS)
def test_every_leaky_neuron_equals_golden_model(neuron, number):
    check(lively_leaky_network(neuron, number), number)


@pytest.mark.parametrize("seed", range(16))
def test_layers_with_and_without_leaks_equal_golden_model(seed):
    neuron = LEAKY_NEURONS[seed % len(LEAKY_NEURONS)]
    check(leaky(random_network(seed, neuron=neuron, unusual=seed % 3 == 0), seed, 0.4), seed)


@pytest.mark.parametrize("input", INPUTS)
@pytest.mark.parametrize("order", LEAK_ORDERS)
def test_every_input_equals_golden_model(order, input):
    check(lively_leaky_network({**PLAIN, "leak_order": order, "input": input}, 1), 5)


@pytest.mark.parametrize("source", ["frame", "spikes"])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_readouts_alone_leak(source, steps):
    rng = np.random.default_rng(3)
    hidden = make_layer(INPUT, rng.integers(0, 9, (5, 6)), [700] * 5, [10] * 5, [3] * 5)
    weight = rng.integers(-99, 100, (3, 5 if source == "spikes" else 6))
    readout = replace(
        make_layer(0 if source == "spikes" else INPUT, weight, None, [5, -7, 0], [9, -4, 2]), leak=Decay((2,))
    )
    layers = (hidden, readout) if source == "spikes" else (readout,)
    network = make_network("stream", steps, (6, 1, 1), *layers)
    check(network, 4)
    check(replace(network, input="spikes"), 5)


def test_one_leak_for_all_needs_no_choice():
    network = lively_leaky_network({**PLAIN, "leak_order": "reset_first"}, 1)
    same = replace(network, layers=tuple(replace(layer, leak=Decay((3, -5, 7))) for layer in network.layers))
    assert Program(same, 4).decays == (Decay((3, -5, 7)),) and "leak" not in Program(same, 4).varying()
    check(same, 5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 5), apart=st.booleans())
def test_adders_compute_each_decay(seed, count, apart):
    rng = np.random.default_rng(seed)
    decays = [random_decay(rng, 15) for _ in range(count)]
    dut = DecayAdders(membrane_bits=18, decays=decays, apart=apart)
    values = np.concatenate([rng.integers(-(2**16), 2**16, 30), np.arange(-9, 10)])

    async def bench(ctx):
        for code in range(count + 1):
            ctx.set(dut.leak, code)
            for value in values.tolist():
                ctx.set(dut.value, value)
                reset = int(rng.integers(0, 2**15)) if apart else 0
                if apart:
                    ctx.set(dut.whole, value - reset)
                expected = value if code == 0 else int(decayed(decays[code - 1], value))
                assert ctx.get(dut.left) == expected - reset

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("leaking", [True, False])
def test_what_a_lane_holds_for_frames_is_what_layers_need(leaking):
    """Beside layers that leak, one that reads the frame has its firings two cycles apart if it leaks too, and only then."""
    layers = tuple(
        replace(layer, leak=layer.leak if index or leaking else None) for index, layer in enumerate(MIXED.layers)
    )
    network = replace(MIXED, layers=layers)
    assert Program(network, 3).frame_leaks == (leaking,)
    assert Program(replace(network, input="spikes"), 3).frame_leaks == ()
    frames = frames_for(network, 2, 1)
    spent = cycles(network, frames, golden.run(network, frames, "spikes"), 3)
    words, steps = 2, network.time_steps  # 5 neurons on 3 lanes
    assert spent.fire[0, 0] == words * (2 * steps - 1 if leaking else steps) + 5
    assert not differences(network)


@pytest.mark.parametrize("order", LEAK_ORDERS)
def test_leaks_in_a_chain(order):
    networks = (lively_leaky_network({**PLAIN, "leak_order": order}, k) for k in range(9))
    network = next(n for n in networks if len(cut_places(n)) == 2)
    check_chain(network, (1, 2), 5)
    half = replace(network, layers=(network.layers[0], *(replace(layer, leak=None) for layer in network.layers[1:])))
    check_chain(half, (1,), 6)


@pytest.mark.parametrize("order", LEAK_ORDERS)
def test_leaks_beside_weights_from_external_memory(order):
    network = lively_leaky_network({**PLAIN, "leak_order": order, "input": "spikes"}, 1)
    program = smallest(network, 2, 64)
    memory = MemoryModel(program.weight_bytes(), latency=9, stall=0.2)
    assert not run_external(program, frames_for(network, 1, 2), memory)[1].differences


FAULTS = {
    "leaks in the last step": ("hdl.core", "per_step & ~last", "per_step"),
    "never leaks into the memory": ("hdl.core", "per_step & ~last", "0"),
    "rounds towards zero": ("hdl.decay", "self.value >> abs(of[place])", "(self.value + self.value[-1] * ((1 << abs(of[place])) - 1)) >> abs(of[place])"),
    "one shift more": ("hdl.decay", "self.value >> abs(of[place])", "self.value >> abs(of[place]) + 1"),
    "gives back what it should take": ("hdl.decay", "left - part", "left + part"),
    "third shift the other way": ("hdl.decay", "takes[1][code] != third", "takes[1][code] == third"),
    "leaks after the reset": ("hdl.lane", "decay.value.eq(unreset)", "decay.value.eq(self.rest)"),
    "never resets": ("hdl.lane", "decay.whole.eq(self.rest)", "decay.whole.eq(unreset)"),
    "leak of another layer": ("hdl.program", "1 + self.decays.index(leak)", "1 + (self.decays.index(leak) + 1) % len(self.decays)"),
    "frame's current does not leak": ("hdl.lane", "potential.eq(self.kept + current)", "potential.eq(self.rest + current)"),
    "firings of a frame too close": ("hdl.core", "~per_step & leaks if", "0 if"),
    "takes what stays too early": ("hdl.neurons", "sweep.rested", "sweep.step"),
    "writes what stays too early": ("hdl.sweep", "written_after.eq(ended)", "written_after.eq(written_after)"),
    "writes to the next word": ("hdl.sweep", "Mux(firing_pass, self.written, following)", "following"),
    "readout without a pass": ("hdl.program", "leaks = layer.leak is not None or", "leaks ="),
}  # fmt: skip
"""Module, healthy text, faulty text."""
LEAK_FIRST = ("leaks after the reset", "never resets")
MIXED = make_network(
    "stream",
    6,
    (4, 1, 1),
    replace(
        make_layer(INPUT, np.array([[3, 5, 1, 2]] * 5), [900, 700, 500, 1300, 999], [5] * 5, [-7] * 5),
        leak=Decay((2, -4, 5)),
    ),
    replace(make_layer(0, np.arange(-6, 14).reshape(4, 5), [31] * 4, [3] * 4, [-2] * 4), leak=Decay((2,))),
    replace(make_layer(1, np.arange(-6, 6).reshape(3, 4) * 9, None, [3] * 3, [-31, 2, 5]), leak=Decay((1, 4))),
)


def differences(network, core=None, monkeypatch=None):
    if core is not None:
        monkeypatch.setattr(harness, "Core", core)
    frames = frames_for(network, 2, 4)
    program = Program(network, 3)
    run = harness.run_core(network, [input_packet(f, program) for f in frames], lanes=3)
    trace = golden.run(network, frames, "spikes")
    comparison = Comparison(network, 3, trace, cycles(network, frames, trace, 3))
    comparison.results(run.packets)
    comparison.spikes(run.spikes)
    return comparison.differences


@pytest.mark.parametrize("order", LEAK_ORDERS)
def test_the_healthy_core_shows_no_difference(order):
    assert not differences(replace(MIXED, leak_order=order))


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(monkeypatch, fault):
    module, healthy, faulty = FAULTS[fault]
    network = replace(MIXED, leak_order="leak_first" if fault in LEAK_FIRST else "reset_first")
    with faulty_core(module, ((healthy, faulty),)) as core:
        assert differences(network, core, monkeypatch)
