"""Frames of spikes whose packing is loaded: as the receiver that is made for one network takes them, clock by clock."""

import numpy as np
import pytest
from amaranth import Module
from amaranth.sim import Simulator

from hdl.host import ErrorCode, PacketType
from hdl.layouts import settings_layout
from hdl.loaded_receiver import EitherReceiver, LoadedSpikeReceiver
from hdl.packing import SpikePacking
from hdl.receiver import SpikeReceiver
from tests.cosim.planted import faulty_module
from tests.malformed import malformed

BASE = 5
SETTINGS = settings_layout(pixels=64, time_steps=8, layers=3, classes=10, instructions=4, worth=1, spike_words=1000)
STROBES = ("started", "done", "failed", "error", "write")


def loaded_with(ctx, settings, packing):
    """Set what a load of a network with that packing sets."""
    told = {
        "loaded": 1, "spiking": 1, "pixels": packing.fields, "used": packing.used, "fields_a_word": packing.fields_a_word,
        "last_part": packing.words_a_field - 1, "frame_base": BASE,
    }  # fmt: skip
    for name, value in told.items():
        ctx.set(settings[name], value)


def seen(receivers, configure, packets, *, stall=0.0, seed=0):
    """What each of the receivers shows in every clock while the packets are sent to all, and whether they were ready together."""
    rng = np.random.default_rng(seed)
    words = [(word, place == len(packet) - 1) for packet in packets for place, word in enumerate(packet)]
    found = [[] for _ in receivers]

    async def bench(ctx):
        configure(ctx)
        sent, quiet = 0, 0
        while quiet < 80:
            offered = sent < len(words) and rng.random() >= stall
            for receiver in receivers:
                ctx.set(receiver.accept, 1)
                ctx.set(receiver.i.valid, offered)
                if offered:
                    ctx.set(receiver.i.payload.data, words[sent][0])
                    ctx.set(receiver.i.payload.last, words[sent][1])
            ready = {ctx.get(receiver.i.ready) for receiver in receivers}
            for receiver, shown in zip(receivers, found, strict=True):
                values = [ctx.get(getattr(receiver, name)) for name in STROBES]
                written = (ctx.get(receiver.address), ctx.get(receiver.data)) if values[-1] else None
                shown.append((*values[:3], values[3] if values[2] else None, values[4], written))
            assert len(ready) == 1, "one is ready and the other is not"
            sent += offered and ready == {1}
            quiet = 0 if sent < len(words) else quiet + 1
            await ctx.tick()

    m = Module()
    m.submodules += receivers
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found


CASES = [
    ((1, 2, 3), 16), ((2, 3, 3), 16), ((3, 2, 2), 16), ((7, 2, 1), 16), ((12, 1, 3), 16), ((20, 2, 1), 16), ((5, 3, 2), 1),
    ((33, 2, 1), 40), ((17, 1, 2), 40), ((40, 1, 3), 64), ((70, 1, 2), 64), ((64, 2, 1), 64),
]  # fmt: skip
"""Shapes and lanes: fields of 1 to 32 bits and of one to four words, used lanes of every kind, last words that are full and not."""


def sent(shape, lanes, signed):
    """A packing, and packets: good ones, one with noise, and malformed ones."""
    packing = SpikePacking(shape, 3, lanes, signed=signed)
    rng = np.random.default_rng(7)
    frames = rng.choice([-1, 0, 1] if signed else [0, 1], (2, 3, *shape)).astype(np.int8)
    good = [[PacketType.SPIKES << 24 | packing.fields, *packing.pack(frame).tolist()] for frame in frames]
    # bits without a channel may be anything
    noise = [good[0][0], *rng.integers(0, 2**32, packing.words).tolist()]
    return packing, [*good, noise, *(packet for packet, _ in malformed(good[0])), good[1]]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("shape", "lanes"), CASES)
def test_it_writes_what_the_receiver_of_one_network_writes_in_the_same_clocks(shape, lanes, signed):
    packing, packets = sent(shape, lanes, signed)
    made = SpikeReceiver(packing, base=BASE, address_bits=10)
    loaded = LoadedSpikeReceiver(lanes=lanes, signed_spikes=signed, address_bits=10, settings=SETTINGS)
    for stall in (0.0, 0.4):
        one, other = seen([made, loaded], lambda ctx: loaded_with(ctx, loaded.settings, packing), packets, stall=stall)
        assert one == other
        assert sum(shown[1] for shown in one) == 4 and sum(shown[2] for shown in one) == len(packets) - 4


FAULTS = {
    "fields_behind_the_last": (
        "left.eq(Mux(last, remaining, settings.fields_a_word))",
        "left.eq(settings.fields_a_word)",
    ),
    "another_place": ("self.address.eq(settings.frame_base)", "self.address.eq(0)"),
    "signs_of_other_lanes": ("held >> self.settings.used", "held >> (self.settings.used ^ 1)"),
    "part_of_a_field_kept": ("part.eq(0),\n                    remaining", "remaining"),
}
"""Healthy and faulty text."""


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_caught(fault):
    found = []
    for shape, lanes in (
        ((2, 3, 3), 16),
        ((3, 2, 2), 16),
        ((17, 1, 2), 40),
    ):  # a last word that is not full, and full ones
        packing, packets = sent(shape, lanes, True)
        made = SpikeReceiver(packing, base=BASE, address_bits=10)
        faulty = faulty_module("hdl.loaded_receiver", (FAULTS[fault],)).LoadedSpikeReceiver(
            lanes=lanes, signed_spikes=True, address_bits=10, settings=SETTINGS
        )

        def configure(ctx, settings=faulty.settings, packing=packing):
            loaded_with(ctx, settings, packing)

        packets = [packets[0][:-1], *packets]  # cut within a field
        try:
            one, other = seen([made, faulty], configure, packets)
            found.append(one != other)
        except AssertionError:
            found.append(True)
    assert any(found)


def test_busy_is_told_while_fields_of_the_last_word_are_still_to_be_written():
    packing = SpikePacking((1, 2, 5), 2, 4, signed=False)
    receiver = LoadedSpikeReceiver(lanes=4, signed_spikes=False, address_bits=10, settings=SETTINGS)
    packet = [PacketType.SPIKES << 24 | packing.fields, *packing.pack(np.ones((2, 1, 2, 5), np.int8)).tolist()]
    busy = []

    async def bench(ctx):
        loaded_with(ctx, receiver.settings, packing)
        ctx.set(receiver.accept, 1)
        ctx.set(receiver.i.valid, 1)
        for place, word in enumerate(packet):
            ctx.set(receiver.i.payload.data, word)
            ctx.set(receiver.i.payload.last, place == len(packet) - 1)
            await ctx.tick()
        ctx.set(receiver.i.valid, 0)
        for _ in range(packing.fields + 2):
            busy.append((ctx.get(receiver.busy), ctx.get(receiver.write), ctx.get(receiver.done)))
            await ctx.tick()

    simulator = Simulator(receiver)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert busy == [(1, 1, 0)] * packing.fields + [(0, 0, 1), (0, 0, 0)]


@pytest.mark.parametrize(
    ("loaded", "spiking", "packet", "error"),
    [
        (0, 0, [PacketType.SPIKES << 24 | 1, 1], ErrorCode.TYPE),
        (0, 0, [PacketType.FRAME << 24 | 1, 1], ErrorCode.NETWORK),
        (1, 0, [PacketType.SPIKES << 24 | 3, 1], ErrorCode.TYPE),
        (1, 1, [PacketType.FRAME << 24 | 3, 1], ErrorCode.TYPE),
        (1, 1, [PacketType.SPIKES << 24 | 4, 1], ErrorCode.SIZE),
        (1, 0, [PacketType.FRAME << 24 | 3, 1], None),
        (1, 1, [PacketType.SPIKES << 24 | 3, 1], None),
    ],
)
def test_either_receiver_takes_what_the_network_takes(loaded, spiking, packet, error):
    spikes = LoadedSpikeReceiver(lanes=4, signed_spikes=False, address_bits=10, settings=SETTINGS)
    receiver = EitherReceiver(spikes, pixels=64)
    ends = []

    async def bench(ctx):
        for name, value in {"loaded": loaded, "spiking": spiking, "pixels": 3, "used": 1, "fields_a_word": 32}.items():
            ctx.set(receiver.settings[name], value)
        ctx.set(receiver.accept, 1)
        for place, word in enumerate(packet):
            ctx.set(receiver.i.valid, 1)
            ctx.set(receiver.i.payload.data, word)
            ctx.set(receiver.i.payload.last, place == len(packet) - 1)
            assert ctx.get(receiver.i.ready)
            await ctx.tick()
        ctx.set(receiver.i.valid, 0)
        for _ in range(8):
            if ctx.get(receiver.done) or ctx.get(receiver.failed):
                ends.append(ctx.get(receiver.error) if ctx.get(receiver.failed) else None)
            await ctx.tick()

    simulator = Simulator(receiver)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert ends == [error]
