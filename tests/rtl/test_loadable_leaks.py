"""One core for networks that leak and others, in both orders, with currents that last; what is refused; faults that must show."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.sim import Simulator

from hdl.capacity import HEADER, Capacity
from hdl.decay import DecayShifters
from hdl.host import ErrorCode, PacketType
from hdl.leak_word import LEAK_BITS, leak_word
from hdl.sizes import Sizes
from sim import golden
from tests.cosim.planted import faulty_core
from tests.loads import differences, loads_and_frames, packets_of
from tests.malformed import malformed_loads
from tests.networks import frames_for, leaky, lively_lasting_network, random_decay, random_network
from tests.rtl import harness
from tests.rtl.test_leak import MIXED, PLAIN
from tests.unit.test_leak import decayed
from toolchain.cycles import cycles
from toolchain.leak import MAX_DECAY_SHIFT, Decay
from toolchain.loading import load_packet, loaded_answer, sealed

LANES = 3
ERROR = PacketType.ERROR << 24 | 1


def with_leaks(network, *leaks, order="reset_first"):
    layers = (replace(layer, leak=leak) for layer, leak in zip(network.layers, leaks, strict=True))
    return replace(network, layers=tuple(layers), leak_order=order)


FIRST = replace(MIXED, leak_order="leak_first", time_steps=4)
OTHER = with_leaks(MIXED, Decay((1, 4, -6)), Decay((3, -15)), Decay((0, -2)))
PARTLY = with_leaks(MIXED, None, Decay((2, 3)), None, order="leak_first")
NONE = with_leaks(MIXED, None, None, None)
COUNTING = replace(
    NONE,
    schedule="two_phase",
    time_steps=3,
    layers=tuple(replace(layer, bias=np.zeros_like(layer.bias)) for layer in NONE.layers),
)
"""Of ``two_phase``: it fires several times in a row, and does not leak."""
SPIKES = leaky(random_network(11, neuron={**PLAIN, "input": "spikes"}), 3)
ORDER = (MIXED, NONE, FIRST, COUNTING, OTHER, SPIKES, PARTLY, FIRST, NONE)
"""Each order behind the other, and networks and layers without leaks behind some with."""
ROOM = Capacity.of(*ORDER, lanes=LANES)
SMALL = Capacity.of(FIRST, COUNTING, NONE, OTHER, lanes=LANES)


def run(networks, capacity, *, stall=0.0, limit=20_000):
    """Differences of networks that are loaded one after another, an image each."""
    frames = [frames_for(network, 2 + seed, 1) for seed, network in enumerate(networks)]
    packets = loads_and_frames(networks, frames, capacity)
    answers = harness.run_core(capacity, packets, lanes=capacity.lanes, stall=stall, limit=limit * len(packets))
    return differences(networks, frames, capacity.lanes, answers.packets, answers.spikes)


def test_what_is_run_here_is_of_every_kind():
    assert ROOM.leaks and not ROOM.currents and ROOM.inputs == ("direct", "spikes")
    assert {network.schedule for network in ORDER} == {"stream", "two_phase"} and COUNTING.time_steps == 3
    terms = {len(layer.leak.terms) for network in ORDER for layer in network.layers if layer.leak is not None}
    assert terms == {1, 2, 3}
    frames = frames_for(FIRST, 2, 2)
    for other in (MIXED, OTHER, PARTLY, NONE):  # what differs shows in the scores
        assert (golden.run(FIRST, frames).scores != golden.run(other, frames).scores).any()


def test_networks_with_and_without_leaks_follow_each_other():
    assert not run(ORDER, ROOM, stall=0.3)


@pytest.mark.parametrize(("given", "reset", "compare", "lanes"), [
    ("direct", "subtract", "gt", 17), ("bitplane", "zero", "ge", 1), ("rate", "subtract", "ge", 4), ("direct", "zero", "gt", 2),
])  # fmt: skip
def test_random_networks_of_every_input(given, reset, compare, lanes):
    neuron = {"schedule": "stream", "reset": reset, "compare": compare, "input": given}
    orders = ("leak_first", "reset_first") if reset == "subtract" else ("reset_first",)
    networks = [leaky(random_network(20, neuron={**neuron, "leak_order": order}), 4) for order in orders]
    networks += [random_network(21, neuron=neuron), leaky(random_network(22, neuron={**neuron, "input": "spikes"}), 5)]
    assert not run(networks, Capacity.of(*networks, lanes=lanes))


def test_currents_that_last():
    """Beside networks whose membranes leak, in either order, and one of ``two_phase``."""
    networks = (
        replace(MIXED, layers=tuple(replace(layer, current_leak=Decay((2, -4, 5))) for layer in MIXED.layers)),
        FIRST,
        lively_lasting_network({**PLAIN, "input": "direct", "leak_order": "leak_first"}, 0),
        COUNTING,
        SPIKES,
    )
    room = Capacity.of(*networks, lanes=LANES)
    assert room.leaks and room.currents and not run(networks, room, stall=0.1)


def test_only_frames_of_layers_that_leak_take_longer():
    frames, spent = frames_for(MIXED, 2, 1), {}
    for network in (MIXED, PARTLY):
        spent[network] = cycles(network, frames, golden.run(network, frames, "spikes"), LANES).fire[0, 0]
    words, steps = 2, MIXED.time_steps  # 5 neurons on 3 lanes
    assert (spent[MIXED], spent[PARTLY]) == (words * (2 * steps - 1) + 5, words * steps + 5)


def test_every_decay_has_a_word_of_its_own():
    rng = np.random.default_rng(5)
    decays = {random_decay(rng, MAX_DECAY_SHIFT) for _ in range(900)}
    words = {leak_word(decay) for decay in decays}
    assert len(words) == len(decays) > 300 and 0 not in words and max(words) < 1 << LEAK_BITS
    assert leak_word(None) == 0
    assert leak_word(Decay((3, -5))) == (1 << 4 | 3) | (2 << 4 | 1 << 4 | 5) << 6


def test_shifters_compute_each_decay():
    rng = np.random.default_rng(1)
    decays = [None, *(Decay((shift,)) for shift in range(1, MAX_DECAY_SHIFT + 1))]
    decays += [random_decay(rng, MAX_DECAY_SHIFT) for _ in range(60)]
    dut = DecayShifters(membrane_bits=18)
    values = np.concatenate([rng.integers(-(2**16), 2**16, 20), np.arange(-9, 10)]).tolist()

    async def bench(ctx):
        for decay in decays:
            ctx.set(dut.leak, leak_word(decay))
            for value in values:
                reset = int(rng.integers(0, 2**15))
                ctx.set(dut.value, value)
                ctx.set(dut.whole, value - reset)
                assert ctx.get(dut.left) == (value if decay is None else int(decayed(decay, value))) - reset

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()


def test_cores_that_are_not_asked_to_leak_have_nothing_of_it():
    plain = Sizes.of_capacity(Capacity.of(NONE, COUNTING, lanes=LANES))
    assert not {"leaks", "currents"} & set(plain.capacity.describe())
    assert not {"leak", "current_leak"} & {name for name, _ in plain.instruction}
    assert not plain.leaks and "leaks_first" not in dict(plain.settings)
    able = Sizes.of_capacity(ROOM)
    assert {"leak"} == {"leak", "current_leak"} & {name for name, _ in able.instruction}
    assert able.leaks and "leaks_first" in dict(able.settings)
    assert Capacity.restored(ROOM.describe()) == ROOM


def test_wrong_loads_are_refused_and_the_network_before_runs():
    frame = packets_of(FIRST, frames_for(FIRST, 1, 1), LANES)[0]
    names = (
        "order of no leaks",
        "leaks in two_phase",
        "currents that last",
        "packed for another core",
        "wrong checksum",
    )
    wrong = {name: malformed_loads(OTHER, ROOM)[name] for name in (*names, "membrane_bits over capacity")}
    packets = [load_packet(FIRST, ROOM).tolist(), frame, *(p for bad, _ in wrong.values() for p in (bad, frame))]
    answers = harness.run_core(ROOM, packets, lanes=LANES, limit=20_000 * len(packets)).packets
    for (name, (_, code)), error, result in zip(wrong.items(), answers[2::2], answers[3::2], strict=True):
        assert error == [ERROR, code], name
        assert result[:-1] == answers[1][:-1], name


def forged(network, capacity, room):
    """The load packet of a network for ``room``, which claims to be for a core of ``capacity``."""
    words = load_packet(network, room)[1:-1].tolist()
    words[HEADER.index("capacity")] = capacity.digest
    return sealed(words).tolist()


def test_cores_refuse_leaks_that_they_have_not():
    """Packets that claim to be for this core: what they say of the network gives them away."""
    plain = Capacity.of(NONE, lanes=LANES)
    zeroed = Capacity.of(replace(MIXED, reset="zero"), lanes=LANES)
    lasting = replace(MIXED, layers=tuple(replace(layer, current_leak=Decay((2,))) for layer in NONE.layers))
    before = replace(MIXED, reset="zero")
    cases = (
        (plain, NONE, forged(MIXED, plain, Capacity.of(MIXED, lanes=LANES))),
        (ROOM, FIRST, forged(lasting, ROOM, Capacity.of(lasting, lanes=LANES))),
        (zeroed, before, forged(FIRST, zeroed, Capacity.of(FIRST, lanes=LANES))),
    )
    for room, network, bad in cases:
        frame = packets_of(network, frames_for(network, 1, 1), LANES)[0]
        # packed for another core, too
        honest = load_packet(COUNTING, Capacity.of(COUNTING, lanes=LANES)).tolist()
        packets = [load_packet(network, room).tolist(), frame, bad, frame, honest, frame]
        answers = harness.run_core(room, packets, lanes=LANES, limit=50_000).packets
        assert answers[0] == loaded_answer(network)
        assert answers[2] == answers[4] == [ERROR, ErrorCode.FEATURES]
        assert answers[1][:-1] == answers[3][:-1] == answers[5][:-1]


FAULTS = {
    "shift of another term": ("hdl.decay", "self.leak.word_select(place, TERM_BITS)", "self.leak.word_select(min(place, 1), TERM_BITS)"),
    "shift of the first term": ("hdl.decay", "self.value >> term[:SHIFT_BITS]", "self.value >> self.leak[:SHIFT_BITS]"),
    "sign lost": ("hdl.decay", "backs.append(term[SHIFT_BITS + 1])", "backs.append(term[SHIFT_BITS + 1] & 0)"),
    "terms that are not there": ("hdl.decay", "m.If(term[SHIFT_BITS])", "m.If(self.leak != 0)"),
    "rounds towards zero": ("hdl.decay", "self.value >> term[:SHIFT_BITS]", "(self.value + self.value[-1] * ((1 << term[:SHIFT_BITS]) - 1)) >> term[:SHIFT_BITS]"),
    "leaks without its sign": ("hdl.decay", "self.value >> term[:SHIFT_BITS]", "self.value.as_unsigned() >> term[:SHIFT_BITS]"),
    "order of the network before": ("hdl.loader", "settings.leaks_first.eq(leaking_first)", "settings.leaks_first.eq(settings.leaks_first | leaking_first)"),
    "order turned round": ("hdl.lane", "Mux(self.leaks_first, potential, self.after)", "Mux(self.leaks_first, self.after, potential)"),
    "leak of the network before": ("hdl.loaded", "strobe.eq(bus.write", "strobe.eq(bus.write & ~((number == 0) & (part == section.words - 1) & ~bus.data[:bits].any())"),
    "leaks in the last step": ("hdl.core", "per_step & ~last", "per_step"),
    "last step of the capacity": ("hdl.core", "self.sizes.time_steps - 1 if loader is None else loader.settings.last_step", "self.sizes.time_steps - 1"),
    "firings of a frame too close": ("hdl.core", "~per_step & leaks if", "0 if"),
    "firings of every frame apart": ("hdl.core", "~per_step & leaks if", "~per_step if"),
    "other frames stand still": ("hdl.sizes", "frame_leaks=(False, True)", "frame_leaks=(True,)"),
}  # fmt: skip
"""Module, healthy text, faulty text."""


def sound():
    """Whether the networks run after one another; hardware of the modules that are loaded now."""
    networks = (FIRST, COUNTING, NONE, OTHER)
    frames = [frames_for(network, 2, 1) for network in networks]
    packets = loads_and_frames(networks, frames, SMALL)
    try:
        answers = harness.run_core(SMALL, packets, lanes=LANES, limit=12_000)
    except AssertionError:  # it fell silent
        return False
    return not differences(networks, frames, LANES, answers.packets, answers.spikes)


def test_healthy_core_is_sound():
    assert sound()


# a core that falls silent leaves its sender waiting
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_caught(monkeypatch, fault):
    module, right, wrong = FAULTS[fault]
    with faulty_core(module, ((right, wrong),)) as core:
        monkeypatch.setattr(harness, "Core", core)
        assert not sound()


def _signs_lost(decay):
    return leak_word(decay) & ~(1 << 11 | 1 << 17)


def _of_the_first_layer(self, leak):
    return leak_word(self.network.layers[0].leak)


PACKING_FAULTS = {
    "signs lost": ("hdl.program.leak_word", _signs_lost),
    "leak of another layer": ("hdl.program.Program._code", _of_the_first_layer),
    "order not told": ("hdl.capacity.Capacity.leak_code", staticmethod(lambda network: int(network.leaks))),
}
"""What the packet is made with, and what stands in its place."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("fault", PACKING_FAULTS)
def test_fault_in_the_packet_is_caught(monkeypatch, fault):
    monkeypatch.setattr(*PACKING_FAULTS[fault])
    assert not sound()
