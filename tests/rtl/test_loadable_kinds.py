"""One core for networks of pixels, of frames of spikes, and with max pooling; what a core lacks, it refuses; faults that must show."""

from dataclasses import replace

import pytest

from hdl.capacity import DIMENSIONS, HEADER, Capacity
from hdl.host import ErrorCode, PacketType
from hdl.program import Program, WindowBits
from hdl.sizes import Sizes
from tests.cosim.planted import faulty_core
from tests.loads import differences, loads_and_frames, packets_of
from tests.malformed import malformed, malformed_loads
from tests.networks import frames_for, random_network
from tests.pooled_networks import pooled_network
from tests.rtl import harness
from toolchain.loading import load_packet, loaded_answer, sealed

LANES = 4
ERROR = PacketType.ERROR << 24 | 1


def pooled(seed, given, **options):
    """A network with max pooling, of the comparison that all others here have."""
    return replace(pooled_network(seed, input=given, **options), compare="ge")


PIXELS = random_network(6, neuron={"input": "direct"}, time_steps=2)
SPIKES = random_network(3, neuron={"input": "spikes"})
STREAMED = random_network(11, neuron={"input": "spikes"})
POOLED = pooled(3, "direct")
BOTH = pooled(2, "spikes")
ALL = (PIXELS, SPIKES, POOLED, STREAMED, BOTH)
ROOM = Capacity.of(*ALL, lanes=LANES)


def run(networks, capacity, *, stall=0.0):
    """Differences of networks that are loaded one after another, an image each."""
    frames = [frames_for(network, seed, 1) for seed, network in enumerate(networks)]
    packets = loads_and_frames(networks, frames, capacity)
    answers = harness.run_core(capacity, packets, lanes=capacity.lanes, stall=stall, limit=20_000 * len(packets))
    return differences(networks, frames, capacity.lanes, answers.packets, answers.spikes)


def test_what_is_run_here_is_of_every_kind():
    assert ROOM.inputs == ("direct", "spikes") and ROOM.schedules == ("stream", "two_phase") and ROOM.window > 1
    assert (STREAMED.schedule, SPIKES.schedule) == ("stream", "two_phase")
    assert any(
        any(m.padding) for n in (POOLED, BOTH) for layer in n.layers for c in layer.connections if (m := c.maximum)
    )


@pytest.mark.parametrize("stall", [0.0, 0.3])
def test_networks_of_every_kind_follow_each_other(stall):
    assert not run(ALL, ROOM, stall=stall)


@pytest.mark.parametrize("lanes", [1, 17])
def test_with_few_and_many_lanes(lanes):
    networks = (STREAMED, POOLED, SPIKES)
    assert not run(networks, Capacity.of(*networks, lanes=lanes))


@pytest.mark.parametrize("neuron", [
    {"schedule": "stream", "negative": "symmetric"}, {"schedule": "radix"}, {"schedule": "radix", "negative": "asymmetric"},
])  # fmt: skip
@pytest.mark.parametrize("pixels", ["bitplane", "direct"])
def test_frames_of_spikes_in_cores_of_other_neurons(neuron, pixels):
    networks = [
        random_network(seed, neuron={**neuron, "input": given}, time_steps=2 + seed % 2)
        for seed, given in ((12, "spikes"), (0, pixels), (29, "spikes"))
    ]
    assert not run(networks, Capacity.of(*networks, lanes=3))


def test_frames_of_spikes_in_a_core_of_rate():
    networks = [
        random_network(seed, neuron={"input": given}) for seed, given in ((3, "spikes"), (1, "rate"), (0, "spikes"))
    ]
    assert not run(networks, Capacity.of(*networks, lanes=3))


def test_a_core_of_spikes_alone_has_no_frame_memory_and_no_multiplier():
    networks = (SPIKES, BOTH, STREAMED)
    room = Capacity.of(*networks, lanes=LANES)
    sizes = Sizes.of_capacity(room)
    assert (room.input, sizes.frame_words, sizes.weighing) == ("spikes", 0, "add")
    assert not run(networks, room)


def test_channels_in_groups_behind_max_pooling():
    networks = (pooled(3, "spikes", groups=True), PIXELS)
    room = Capacity.of(*networks, lanes=LANES)
    assert room.grouped and not run(networks, room)


def test_wrong_frames_and_those_of_another_kind_are_refused():
    good = {network: packets_of(network, frames_for(network, 1, 1), LANES)[0] for network in (PIXELS, SPIKES)}
    packets, expected = [good[SPIKES]], [ErrorCode.TYPE]
    for network, other in ((SPIKES, PIXELS), (PIXELS, SPIKES)):
        packets += [load_packet(network, ROOM).tolist(), *(bad for bad, _ in malformed(good[network])), good[other]]
        expected += [None, *(code for _, code in malformed(good[network])), ErrorCode.TYPE]
        packets.append(good[network])
        expected.append(None)
    answers = harness.run_core(ROOM, packets, lanes=LANES, stall=0.2, limit=20_000 * len(packets)).packets
    for answer, code in zip(answers, expected, strict=True):
        assert (answer == [ERROR, code]) if code is not None else answer[0] != ERROR


def test_before_any_network_a_core_of_spikes_says_so():
    room = Capacity.of(SPIKES, lanes=LANES)
    frame = packets_of(SPIKES, frames_for(SPIKES, 1, 1), LANES)[0]
    packets = [frame, load_packet(SPIKES, room).tolist(), frame]
    first, second, third = harness.run_core(room, packets, lanes=LANES).packets
    assert first == [ERROR, ErrorCode.NETWORK] and second == loaded_answer(SPIKES)
    assert third[0] >> 24 == PacketType.RESULT


@pytest.mark.parametrize("network", [BOTH, PIXELS], ids=["spikes and pooling", "pixels"])
def test_wrong_loads_are_refused_and_the_network_before_runs(network):
    frame = packets_of(SPIKES, frames_for(SPIKES, 1, 1), LANES)[0]
    wrong = malformed_loads(network, ROOM)
    packets = [load_packet(SPIKES, ROOM).tolist(), frame, *(p for bad, _ in wrong.values() for p in (bad, frame))]
    answers = harness.run_core(ROOM, packets, lanes=LANES, limit=20_000 * len(packets)).packets
    for (name, (_, code)), error, result in zip(wrong.items(), answers[2::2], answers[3::2], strict=True):
        assert error == [ERROR, code], name
        assert result[:-1] == answers[1][:-1], name


def test_a_core_without_them_refuses_what_another_was_packed_for():
    """Packets that claim to be for this core: the neuron's input and the size of the windows give them away."""
    plain = Capacity.of(PIXELS, lanes=LANES)
    frame = packets_of(PIXELS, frames_for(PIXELS, 1, 1), LANES)[0]
    forged = []
    for network in (SPIKES, POOLED):
        words = load_packet(network, ROOM)[1:-1].tolist()
        words[HEADER.index("capacity")] = plain.digest
        if network is POOLED:
            words[HEADER.index("features")] = plain.features("two_phase", "direct")
            for name in set(DIMENSIONS) - {"window", "places"}:
                words[HEADER.index(name)] = 1 if getattr(plain, name) else 0
        forged.append(sealed(words).tolist())
    packets = [load_packet(PIXELS, plain).tolist(), frame, *(p for bad in forged for p in (bad, frame))]
    answers = harness.run_core(plain, packets, lanes=LANES, limit=20_000 * len(packets)).packets
    window = list(DIMENSIONS).index("window")
    assert answers[2::2] == [[ERROR, ErrorCode.FEATURES], [ERROR, ErrorCode.CAPACITY | window << 8]]
    assert answers[1][:-1] == answers[3][:-1] == answers[5][:-1]


FAULTS = {
    "load_begins_while_spikes_are_written": ("hdl.core", "free &= ~receiver.busy", "pass"),
    "frames_taken_for_pixels": ("hdl.loader", "settings.spiking.eq(spiking)", "settings.spiking.eq(0)"),
    "fields_of_the_pixels": (
        "hdl.loader", 'Mux(spiking, header["frame_fields"], header["pixels"])', 'header["pixels"]'
    ),
    "spikes_where_there_is_no_channel": ("hdl.loaded_receiver", "held[: self._lanes] & used", "held[: self._lanes]"),
    "fields_shifted_too_far": ("hdl.loaded_receiver", "(_WORD >> place)", "(_WORD >> place - 1)"),
    "fields_not_counted": (
        "hdl.loaded_receiver", "remaining.eq(remaining - settings.fields_a_word)", "remaining.eq(remaining)"
    ),
    "pooled_words_not_joined": ("hdl.scanner", "counted | Mux(first, 0, before)", "counted"),
    "padding_counts": ("hdl.windows", "(column < window.frame_columns) & (row < window.frame_rows)", "1"),
}  # fmt: skip
"""Module, healthy text, faulty text."""
ORDER = (SPIKES, POOLED, STREAMED, PIXELS, BOTH)


def sound():
    """Whether the networks run after one another; both hardware and packets are of the modules that are loaded now."""
    frames = [frames_for(network, seed, 1) for seed, network in enumerate(ORDER)]
    packets = loads_and_frames(ORDER, frames, ROOM)
    try:
        answers = harness.run_core(ROOM, packets, lanes=LANES, limit=12_000)
    except AssertionError:  # it fell silent
        return False
    return not differences(ORDER, frames, LANES, answers.packets, answers.spikes)


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


def _cut_addresses(address, place):
    return WindowBits(address - 2, place)


def _cut_places(address, place):
    return WindowBits(address, place - 1)


def _one_word_on(self, connection, stride):
    return _WINDOW(self, connection, 1)


_WINDOW = Program._window
PACKING_FAULTS = {
    "addresses_of_another_width": ("hdl.capacity.WindowBits", _cut_addresses),
    "places_of_another_width": ("hdl.capacity.WindowBits", _cut_places),
    "steps_of_stream_left_out": ("hdl.program.Program._window", _one_word_on),
}
"""What the packet is made with, and what stands in its place."""


# a core that falls silent leaves its sender waiting
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("fault", PACKING_FAULTS)
def test_fault_in_the_packet_is_caught(monkeypatch, fault):
    monkeypatch.setattr(*PACKING_FAULTS[fault])
    assert not sound()
