"""Capacities, what fits them, and load packets as bytes."""

import json
import zlib
from dataclasses import replace

import numpy as np
import pytest

from hdl.capacity import (
    DIMENSIONS,
    HEADER,
    LEAKS_FIRST,
    Capacity,
    needs,
    read_capacity,
    union,
)
from hdl.device_room import DEVICE_CAPACITIES, POOLING_ROOM, device_capacity
from hdl.host import PacketType
from hdl.program import Program
from tests.networks import lasting, leaky, random_network
from tests.pooled_networks import pooled_network
from toolchain.capacities import listed_capacity
from toolchain.errors import InvalidValue
from toolchain.leak import LEAK_ORDERS
from toolchain.loading import load_packet, loaded_answer, write_load
from toolchain.netfile import save_network

DIRECT = {"input": "direct"}
NETWORK = random_network(5, neuron=DIRECT)
OTHER = random_network(6, neuron=DIRECT)
SPIKES = random_network(3, neuron={"input": "spikes"})
POOLED = replace(pooled_network(1, input="direct"), compare="ge")
ROOM = Capacity.of(NETWORK, OTHER, lanes=4)
ALL = Capacity.of(NETWORK, OTHER, SPIKES, POOLED, lanes=4)


def test_packet_has_header_entries_and_checksum():
    packet = load_packet(NETWORK, ROOM)
    assert packet.dtype == np.uint32
    assert int(packet[0]) == PacketType.LOAD << 24 | len(packet) - 1
    assert int(packet[-1]) == zlib.crc32(packet[:-1].astype("<u4").tobytes())
    header = dict(zip(HEADER, packet[1:].tolist(), strict=False))
    assert header["network_id"] == int(NETWORK.fingerprint[:8], 16) == loaded_answer(NETWORK)[1]
    needed = needs(NETWORK, 4) | {"channels": 0}  # which only a core with groups has a table of
    assert {name: header[name] for name in DIMENSIONS} == needed
    entries = sum(needed[section.count] * section.words for section in ROOM.sections)
    assert len(packet) == 1 + len(HEADER) + entries + 1


def test_weights_stand_in_the_packet_as_the_program_has_them():
    packet = load_packet(NETWORK, ROOM)
    section = ROOM.sections[-1]
    words = ROOM.program(NETWORK).weight_words
    body = packet[-1 - len(words) * section.words : -1].reshape(len(words), section.words)
    for entry, word in zip(body.tolist(), words, strict=True):
        value = sum(part << 32 * place for place, part in enumerate(entry))
        mask = (1 << ROOM.weight_bits) - 1
        assert [value >> ROOM.weight_bits * lane & mask for lane in range(4)] == [weight & mask for weight in word]
        assert value >> section.bits == 0


def test_a_capacity_of_several_networks_is_the_most_of_each():
    assert union(Capacity.of(NETWORK, lanes=4), Capacity.of(OTHER, lanes=4)) == ROOM
    for name in DIMENSIONS:
        assert getattr(ROOM, name) == max(needs(network, 4)[name] for network in (NETWORK, OTHER))
    assert {NETWORK.schedule, OTHER.schedule} == {"two_phase", "stream"} and ROOM.schedules == ("stream", "two_phase")
    assert not ROOM.shortages(NETWORK) and not ROOM.shortages(OTHER)


@pytest.mark.parametrize("name", DIMENSIONS)
def test_whatever_is_short_is_named(name):
    network = POOLED if name in ("window", "places") else OTHER
    need = needs(network, 4)[name]
    small = replace(ALL, **{name: need - 1}, **({"grouped": True} if name == "channels" else {}))
    with pytest.raises(InvalidValue, match=f"it needs {need} {DIMENSIONS[name]}: the core has room for {need - 1};"):
        load_packet(network, small)


def test_another_neuron_or_groups_are_refused_by_name():
    radix = random_network(3, neuron={**DIRECT, "schedule": "radix"})
    grouped = next(
        n for n in (random_network(s, neuron=DIRECT, unusual=True) for s in range(9)) if Capacity.of(n, lanes=4).grouped
    )
    with pytest.raises(InvalidValue, match="needs schedule radix: the core has stream"):
        ROOM.check(radix)
    with pytest.raises(InvalidValue, match="groups: the core has no channel table"):
        ROOM.check(grouped)
    with pytest.raises(InvalidValue, match=r"one core cannot have schedule .*: generate two"):
        Capacity.of(NETWORK, radix, lanes=4)
    with pytest.raises(InvalidValue, match="at least one network"):
        Capacity.of(lanes=4)


def test_max_pooling_and_frames_of_spikes_need_a_core_that_has_them():
    with pytest.raises(InvalidValue, match=r"it needs max pooling: the core has none \(--also pooling\); "):
        ROOM.check(replace(POOLED, name="pooled"))
    with pytest.raises(InvalidValue, match=r"input spikes: the core has direct \(--also spikes\); "):
        ROOM.check(SPIKES)
    able = replace(ROOM, spikes=True, window=3, places=31)
    assert able.inputs == ("direct", "spikes") and able.takes_spikes
    assert not any(
        "spikes:" in short or "pooling" in short for each in (SPIKES, POOLED) for short in able.shortages(each)
    )


def test_a_core_of_pixels_and_spikes_is_one_of_spikes_with_more():
    alone = Capacity.of(SPIKES, lanes=4)
    assert (alone.input, alone.pixels, alone.takes_spikes, alone.spikes) == ("spikes", 0, True, False)
    both = union(alone, ROOM)
    assert both == union(ROOM, alone) and (both.input, both.spikes, both.inputs) == (
        "direct",
        True,
        ("direct", "spikes"),
    )
    with pytest.raises(InvalidValue, match="input direct: the core has spikes"):
        alone.check(NETWORK)
    with pytest.raises(InvalidValue, match="one core cannot have input direct and input rate: generate two"):
        union(both, Capacity.of(random_network(5, neuron={"input": "rate"}), lanes=4))


def test_the_header_says_how_spikes_are_packed():
    header = dict(zip(HEADER, load_packet(SPIKES, ALL)[1:].tolist(), strict=False))
    packing, program = Program(SPIKES, 4).packing, Program(SPIKES, 4)
    assert header["frame_fields"] == packing.fields and header["frame_base"] == program.input_base
    told = header["frame_packing"]
    assert (told & 0x7F, told >> 8 & 0x3F, told >> 16) == (
        packing.used, packing.fields_a_word, packing.words_a_field - 1
    )  # fmt: skip
    assert header["pixels"] == 0
    pixels = dict(zip(HEADER, load_packet(NETWORK, ALL)[1:].tolist(), strict=False))
    assert [pixels[name] for name in ("frame_fields", "frame_packing", "frame_base")] == [0, 0, 0]


def test_connections_without_pooling_stay_at_one_place_of_a_core_that_pools():
    for network in (NETWORK, OTHER):
        for instruction in ALL.program(network).instructions:
            stride = network.time_steps if instruction.per_step and not instruction.frame else 1
            assert (instruction.window_rows, instruction.window_columns, instruction.window_base) == (1, 1, 0)
            assert {instruction.word_step, instruction.column_step, instruction.row_step} == {stride}
            assert (instruction.column_shift, instruction.row_shift) == (0, 0)
    wrapped = [i for i in ALL.program(POOLED).instructions if i.window_rows * i.window_columns > 1]
    assert wrapped and all(max(i.row_step, i.window_base) < 1 << ALL.address_bits for i in wrapped)


def test_what_is_asked_for_beside_the_network(tmp_path):
    save_network(SPIKES, tmp_path / "spikes.safetensors")
    room = listed_capacity(NETWORK, lanes=4, also="spikes, pooling,groups")
    assert room == replace(Capacity.of(NETWORK, lanes=4), spikes=True, grouped=True, **POOLING_ROOM)
    assert listed_capacity(NETWORK, lanes=4) == Capacity.of(NETWORK, lanes=4)
    device = listed_capacity(POOLED, lanes=4, listed="ecp5-85k")
    assert {name: getattr(device, name) for name in POOLING_ROOM} == POOLING_ROOM and not device.takes_spikes
    assert listed_capacity(SPIKES, lanes=4, listed="ecp5-25k").inputs == ("spikes",)
    listed = f"{tmp_path / 'spikes.safetensors'},ecp5-25k"
    assert listed_capacity(NETWORK, lanes=4, listed=listed).inputs == ("direct", "spikes")
    assert not listed_capacity(SPIKES, lanes=4, also="spikes").spikes  # it takes nothing else
    for wrong in ("leak", "spikes,,pooling", ""):
        with pytest.raises(InvalidValue, match="in --also; there are groups, spikes, pooling, leaks, currents"):
            listed_capacity(NETWORK, lanes=4, also=wrong)


def test_leaks_need_a_core_that_has_adders_for_them(tmp_path):
    plain = random_network(5, neuron={**DIRECT, "schedule": "stream"})
    leaking, both = leaky(plain, 1), lasting(leaky(plain, 1), 1)
    room = {network: Capacity.of(network, lanes=4) for network in (plain, leaking, both)}
    assert [(each.leaks, each.currents) for each in room.values()] == [(False, False), (True, False), (True, True)]
    with pytest.raises(
        InvalidValue, match=r"it needs leaks: the core has no adders for them \(--also leaks\); generate"
    ):
        load_packet(leaking, room[plain])
    with pytest.raises(InvalidValue, match=r"synaptic currents that last: the core has none \(--also currents\); "):
        load_packet(both, replace(room[both], currents=False))
    assert union(room[plain], room[both]).currents and not union(room[plain], room[leaking]).currents
    assert not room[both].shortages(leaking) and not room[both].shortages(plain)

    listed = listed_capacity(plain, lanes=4, also="leaks")
    assert listed == replace(room[plain], leaks=True)
    assert listed_capacity(plain, lanes=4, also="currents") == replace(room[plain], leaks=True, currents=True)
    assert listed_capacity(both, lanes=4, listed="ecp5-85k").currents
    device = listed_capacity(leaking, lanes=4, listed="ecp5-25k", also="groups")
    assert (device.leaks, device.currents, device.grouped) == (True, False, True)
    (tmp_path / "room.json").write_text(json.dumps(listed.describe()))
    assert read_capacity(tmp_path / "room.json") == listed
    assert not {"leaks", "currents"} & set(room[plain].describe())


def test_leaks_make_a_core_of_two_phase_one_of_stream():
    network = random_network(6, neuron=DIRECT, schedule="two_phase")
    for listed in (None, "ecp5-25k"):
        room = listed_capacity(network, lanes=4, listed=listed, also="leaks")
        assert (room.schedule, room.leaks) == ("stream", True) and not room.shortages(network)


def test_a_load_says_which_leak_comes_first():
    leaking = leaky(random_network(5, neuron={**DIRECT, "schedule": "stream"}), 1)
    room = Capacity.of(leaking, lanes=4)
    both = {order: replace(leaking, leak_order=order) for order in LEAK_ORDERS}
    features = {order: int(load_packet(each, room)[1 + HEADER.index("features")]) for order, each in both.items()}
    assert features["leak_first"] ^ features["reset_first"] == 1 << LEAKS_FIRST
    plain = replace(both["leak_first"], layers=tuple(replace(layer, leak=None) for layer in leaking.layers))
    assert load_packet(plain, room)[1 + HEADER.index("features")] >> LEAKS_FIRST - 1 == 0


@pytest.mark.parametrize("device", DEVICE_CAPACITIES)
def test_devices_have_capacities(device):
    room = device_capacity(device, lanes=2, schedule="stream")
    assert room.weight_words * 2 >= DEVICE_CAPACITIES[device]["weights"]
    assert not room.shortages(random_network(3, neuron={**DIRECT, "schedule": "two_phase"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lanes": 65}, "lanes is 65"),
        ({"banks": 3}, "banks of a capacity is 3, must be 1 or 2"),
        ({"layers": 0}, "layers of a capacity is 0, must be 1 to"),
        ({"weight_bits": 17}, "weight_bits of a capacity is 17, must be 2 to 16"),
        ({"pixels": 1.5}, "pixels of a capacity is 1.5"),
        ({"schedule": "radix", "time_steps": 11}, "time_steps of a capacity is 11, must be 1 to 10"),
        ({"negative": "never"}, "negative of a capacity is 'never', must be one of none"),
        ({"grouped": 1}, "grouped of a capacity is 1, must be true or false"),
        ({"spikes": 1}, "spikes of a capacity is 1, must be true or false"),
        ({"pixels": 0}, "pixels of a capacity is 0, must be 1 to"),
        ({"window": -1}, "window of a capacity is -1, must be 0 to"),
        ({"leaks": 1}, "leaks of a capacity is 1, must be true or false"),
        ({"currents": True}, "a capacity has currents but no leaks, which share their adders: set leaks too"),
        ({"schedule": "two_phase", "leaks": True}, "a core of schedule two_phase and negative none cannot leak"),
        ({"negative": "symmetric", "leaks": True}, "a core of schedule stream and negative symmetric cannot leak"),
    ],
)
def test_impossible_capacities_are_refused(change, message):
    with pytest.raises(InvalidValue, match=message):
        replace(ROOM, **change)


def test_capacities_are_kept_as_json(tmp_path):
    alone, ports = tmp_path / "room.json", tmp_path / "ports.json"
    alone.write_text(json.dumps(ROOM.describe()))
    ports.write_text(json.dumps({"schema": 1, "capacity": ROOM.describe()}))
    assert read_capacity(alone) == read_capacity(ports) == ROOM
    older = {name: value for name, value in ROOM.describe().items() if name not in ("spikes", "window", "places")}
    alone.write_text(json.dumps(older))
    assert read_capacity(alone) == ROOM
    assert read_capacity(alone).digest == ROOM.digest != replace(ROOM, layers=ROOM.layers + 1).digest
    for text in (
        "{}",
        "[]",
        "3",
        "not json",
        json.dumps(ROOM.describe() | {"speed": 1}),
        json.dumps({"capacity": None}),
    ):
        alone.write_text(text)
        with pytest.raises(InvalidValue, match=r"room\.json"):
            read_capacity(alone)


def test_load_files_are_little_endian_words_or_not_there(tmp_path):
    target = tmp_path / "net.load"
    assert write_load(NETWORK, ROOM, target) * 4 == target.stat().st_size
    assert np.array_equal(np.fromfile(target, "<u4"), load_packet(NETWORK, ROOM))
    with pytest.raises(InvalidValue, match="does not fit"):
        write_load(NETWORK, replace(ROOM, weight_words=1), tmp_path / "none.load")
    assert [file.name for file in tmp_path.iterdir()] == ["net.load"]
