"""Cores whose memories are loaded: every neuron, wrong packets, and faults that must show."""

import numpy as np
import pytest
from amaranth.back import rtlil, verilog

from hdl import Core
from hdl.capacity import Capacity
from hdl.host import ErrorCode, PacketType
from hdl.loaded import left_out, without_contents
from hdl.program import Program
from sim import golden
from sim.packets import frame_packet, read_result
from tests.cosim.planted import faulty_core
from tests.loads import differences, loads_and_frames
from tests.malformed import malformed_loads
from tests.networks import NEURONS, frames_for, random_network
from tests.rtl import harness
from toolchain.errors import InvalidValue
from toolchain.ir import PIXEL_INPUTS
from toolchain.loading import load_packet, loaded_answer

LANES = 4
FIRST, SECOND = (random_network(seed, neuron={"input": "direct"}) for seed in (55, 6))
ROOM = Capacity.of(FIRST, SECOND, lanes=LANES)


def run(networks, lanes, *, banks=2, stall=0.0):
    """Differences of networks that are loaded one after another."""
    capacity = Capacity.of(*networks, lanes=lanes, banks=banks)
    frames = [frames_for(network, seed, 2) for seed, network in enumerate(networks)]
    packets = loads_and_frames(networks, frames, capacity)
    answers = harness.run_core(capacity, packets, lanes=lanes, stall=stall, limit=20_000 * len(packets))
    return differences(networks, frames, lanes, answers.packets, answers.spikes)


@pytest.mark.parametrize("input", PIXEL_INPUTS)
@pytest.mark.parametrize("neuron", NEURONS[::5], ids=["-".join(neuron.values()) for neuron in NEURONS[::5]])
def test_networks_of_a_neuron_follow_each_other(neuron, input):
    if (neuron["schedule"], input) == ("radix", "rate"):
        pytest.skip("there is no such neuron")
    networks = [random_network(seed, neuron={**neuron, "input": input}, time_steps=1 + 3 * seed) for seed in range(3)]
    assert not run(networks, 3)


@pytest.mark.parametrize(("lanes", "banks", "stall"), [(1, 2, 0.3), (16, 1, 0.0)])
def test_networks_with_and_without_groups_follow_each_other(lanes, banks, stall):
    networks = [random_network(seed, neuron={"input": "direct"}, unusual=bool(seed % 2)) for seed in range(4)]
    assert any(Program(network, lanes).grouped for network in networks)
    assert {network.schedule for network in networks} == {"stream", "two_phase"}
    assert not run(networks, lanes, banks=banks, stall=stall)


def answers_to(wrong, *, capacity=ROOM, stall=0.0):
    """What a core says that has ``FIRST``: to each wrong packet, and to a frame behind it."""
    good = frame_packet(frames_for(FIRST, 1, 1)[0])
    packets = [load_packet(FIRST, capacity).tolist(), *(packet for bad in wrong for packet in (bad, good))]
    answers = harness.run_core(capacity, packets, lanes=LANES, stall=stall, limit=20_000 * len(packets)).packets
    assert answers[0] == loaded_answer(FIRST)
    return answers[1::2], answers[2::2]


def runs_first(answer):
    """Whether a result is that of ``FIRST``."""
    expected = golden.run(FIRST, frames_for(FIRST, 1, 1))
    result = read_result(answer, classes=len(expected.scores[0]), layers=len(FIRST.layers))
    return result.network_id == int(FIRST.fingerprint[:8], 16) and np.array_equal(result.scores, expected.scores[0])


@pytest.mark.parametrize("stall", [0.3])
def test_wrong_loads_are_refused_and_the_network_before_runs(stall):
    wrong = malformed_loads(SECOND, ROOM)
    errors, results = answers_to([packet for packet, _ in wrong.values()], stall=stall)
    for (name, (_, code)), error, result in zip(wrong.items(), errors, results, strict=True):
        assert error == [PacketType.ERROR << 24 | 1, code], name
        assert runs_first(result), name


def test_with_one_bank_a_wrong_checksum_leaves_no_network_and_a_wrong_header_does():
    room = Capacity.of(FIRST, SECOND, lanes=LANES, banks=1)
    wrong = malformed_loads(SECOND, room)
    none = [PacketType.ERROR << 24 | 1, ErrorCode.NETWORK]
    _, (result,) = answers_to([wrong["wrong checksum"][0]], capacity=room)
    assert result == none
    _, (result,) = answers_to([wrong["weight_words over capacity"][0]], capacity=room)
    assert runs_first(result)


def test_a_frame_before_any_network_is_refused():
    frame = frame_packet(frames_for(FIRST, 1, 1)[0])
    packets = [frame, [0x55 << 24, 1], load_packet(FIRST, ROOM).tolist(), frame]
    first, second, third, last = harness.run_core(ROOM, packets, lanes=LANES).packets
    assert first == [PacketType.ERROR << 24 | 1, ErrorCode.NETWORK]
    assert second == [PacketType.ERROR << 24 | 1, ErrorCode.TYPE]
    assert third == loaded_answer(FIRST) and runs_first(last)


def test_a_core_that_holds_its_network_refuses_loads():
    frame = frame_packet(frames_for(FIRST, 1, 1)[0])
    error, result = harness.run_core(FIRST, [load_packet(FIRST, ROOM).tolist(), frame], lanes=LANES).packets
    assert error == [PacketType.ERROR << 24 | 1, ErrorCode.TYPE] and runs_first(result)


FAULTS = {
    "checksum_not_compared": ("hdl.loader", "m.Elif(word != crc.crc)", "m.Elif(0)", "wrong bit in the weights"),
    "taken_over_before_the_checksum": ("hdl.loader", 'm.next = "CHECKSUM"', 'm.next = "COMMIT"', "wrong checksum"),
    "banks_not_exchanged": ("hdl.loader", "_bank.eq(~self._bank)", "_bank.eq(self._bank)", None),
    "written_where_it_is_read": ("hdl.loaded", "[~bus.bank]", "[bus.bank]", "cut behind checksum"),
    "settings_taken_from_the_header": (
        "hdl.loader", "m.d.sync += header[name].eq(word)",
        'm.d.sync += [header[name].eq(word), *([self._kept.pixels.eq(word)] if name == "pixels" else [])]',
        "cut behind entries",
    ),
    "capacity_not_checked": ("hdl.loader", "& too_much", "& 0", "spike_words over capacity"),
    "nothing_of_it_not_noticed": ("hdl.loader", "| ((word == 0) & ~Cat(optional).any())", "", "no layers"),
    "version_not_checked": ("hdl.loader", "(word != FORMAT)", "0", "version"),
    "features_not_checked": ("hdl.loader", "~word.matches(*allowed)", "0", "another neuron"),
    "digest_not_checked": ("hdl.loader", "(word != capacity.digest)", "0", "packed for another core"),
    "long_packets_taken": (
        "hdl.loader", "with m.If(~last):\n                    refuse", "with m.If(0):\n                    refuse",
        "too long by a word",
    ),
    "number_of_words_not_checked": ("hdl.loader", "m.Elif(number != counted)", "m.Elif(0)", "wrong number of words"),
    "end_not_noticed": (
        "hdl.loader", "with m.If(last):\n                refuse(ErrorCode.SHORT)\n            with m.Elif(last_part",
        "with m.If(0):\n                refuse(ErrorCode.SHORT)\n            with m.Elif(last_part", "cut behind entries",
    ),
    "reason_of_a_frame_before": ("hdl.core", "load_failed.eq(loader.failed)", "load_failed.eq(0)", "version"),
    "id_of_the_network_before": ("hdl.loader", '(*_KEPT, "pixels", "time_steps")', '("seed", "pixels", "time_steps")', None),
    "steps_of_another_network": ("hdl.loader", "settings.last_step.eq(last_step)", "settings.last_step.eq(1)", None),
    "two_phase_taken_for_stream": ("hdl.loader", "settings.stream.eq(streaming)", "settings.stream.eq(1)", None),
    "one_memory_left_out": (
        "hdl.loaded", "(bus.section == number) & (bus", "(bus.section == number) & (number != 3) & (bus", None
    ),
    "load_begins_while_a_frame_ends": (
        "hdl.core", "sequencer.accept & free", "sequencer.accept", None
    ),
}  # fmt: skip
"""Module, healthy text, faulty text, wrong load that shows it; where that is None, good ones do."""


def sound(name):
    """Whether both networks run after one another, with a wrong load between them that changes nothing."""
    networks = (FIRST, SECOND, FIRST)
    frames = [frames_for(network, 1, 1) for network in networks]
    first, *others = loads_and_frames(networks, frames, ROOM)
    good = others[0]
    bad, code = (good[:-1], ErrorCode.SHORT) if name is None else malformed_loads(SECOND, ROOM)[name]
    try:
        answers = harness.run_core(ROOM, [first, good, bad, good, *others[1:]], lanes=LANES, limit=6_000)
    except AssertionError:  # it fell silent
        return False
    told, again, *rest = answers.packets[1:4]
    if again != [PacketType.ERROR << 24 | 1, code] or rest != [told]:
        return False
    kept = [answers.packets[0], told, *answers.packets[4:]]
    spikes = [(n - 2 * (n > 3), *word) for n, *word in answers.spikes if n not in (2, 3)]
    return not differences(networks, frames, LANES, kept, spikes)


def test_healthy_core_is_sound():
    assert sound(None) and sound("too long by a word")


# a core that falls silent leaves its sender waiting
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_caught(monkeypatch, fault):
    module, right, wrong, load = FAULTS[fault]
    with faulty_core(module, ((right, wrong),)) as core:
        monkeypatch.setattr(harness, "Core", core)
        assert not sound(load)


def test_lanes_of_a_core_are_those_of_its_capacity():
    with pytest.raises(InvalidValue, match="lanes is 3, but the capacity was made for 4"):
        Core(ROOM, lanes=3)
    with pytest.raises(InvalidValue, match="lanes is 0, must be 1 to 64"):
        Core(FIRST)


def test_contents_that_are_left_out_are_those_that_would_be_taken_out():
    def contents(text):
        return text.count("cell $meminit_v2 ")

    plain, written = (rtlil.convert(Core(ROOM), name="core", emit_src=False) for _ in range(2))
    with left_out():
        spared = rtlil.convert(Core(ROOM), name="core", emit_src=False)
        text = verilog.convert(Core(ROOM), name="core", emit_src=False, strip_internal_attrs=True)
    assert written == plain == rtlil.convert(Core(ROOM), name="core", emit_src=False)
    assert contents(spared) == contents(without_contents(plain)) < contents(plain)
    ordinary = verilog.convert(Core(ROOM), name="core", emit_src=False, strip_internal_attrs=True)
    assert without_contents(text) == without_contents(ordinary) and len(text) < len(ordinary)
