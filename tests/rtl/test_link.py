"""Serial line, SLIP and packets in Amaranth's simulator, against the host's own reading of the format."""

import random
import zlib

import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.sim import Simulator

from hdl.core import Core
from hdl.host import ErrorCode, PacketType
from hdl.link import IDENTITY, LINK_VERSION, LinkError, LinkPacket, LinkWord, PacketReceiver, PacketSender
from hdl.slip import SlipDecoder, SlipEncoder
from hdl.station import Station
from hdl.uart import ReceivedByte, UartReceiver, UartTransmitter, clock_divisor
from sim import golden
from sim.packets import frame_packet, read_result
from tests.cosim.planted import faulty_module
from tests.networks import frames_for, random_network
from toolchain.errors import InvalidValue
from toolchain.host.framing import Decoder, Packet, encode

DIVISOR = 8


def bits(data: bytes, *, stop: int = 1) -> list[int]:
    return [bit for byte in data for bit in (0, *(byte >> n & 1 for n in range(8)), stop)]


def simulate(top, *benches, background=()):
    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    for bench in benches:
        simulator.add_testbench(bench)
    for bench in background:
        simulator.add_testbench(bench, background=True)
    simulator.run()


# ---------------------------------------------------------------- the line


@pytest.mark.parametrize("divisor", [8, 9, 12, 27, 104])
def test_transmitter_sends_start_bits_data_and_stop(divisor):
    uart = UartTransmitter(divisor=divisor)
    data = bytes([0x00, 0xFF, 0x55, 0xC0, 0x81])
    line = []

    async def source(ctx):
        for byte in data:
            ctx.set(uart.i.payload, byte)
            ctx.set(uart.i.valid, 1)
            await ctx.tick().until(uart.i.ready)
        ctx.set(uart.i.valid, 0)
        await ctx.tick().repeat(11 * divisor)

    async def watch(ctx):
        async for _, _, tx in ctx.tick().sample(uart.tx):
            line.append(tx)

    simulate(uart, source, background=[watch])
    at = line.index(0)
    for byte in data:  # each in 10 bits and a clock
        assert [line[at + divisor * n + divisor // 2] for n in range(10)] == bits(bytes([byte]))
        assert set(line[at : at + divisor]) == {0}
        at += 10 * divisor + 1
    assert set(line[at - 1 :]) == {1}


@pytest.mark.parametrize("divisor", [8, 9, 12, 27])
@pytest.mark.parametrize("off", [0.97, 1.0, 1.03])
def test_receiver_reads_bytes_of_clocks_that_are_off(divisor, off):
    uart = UartReceiver(divisor=divisor)
    rng = random.Random(divisor)
    data = bytes(rng.randrange(256) for _ in range(40))
    seen = []

    async def source(ctx):
        clocks = 0.0
        for number, bit in enumerate(bits(data)):
            ctx.set(uart.rx, bit)
            until = (number + 1) * divisor * off
            while clocks < until:
                await ctx.tick()
                clocks += 1
        await ctx.tick().repeat(2 * divisor)

    async def watch(ctx):
        async for _, _, valid, payload in ctx.tick().sample(uart.o.valid, uart.o.payload):
            if valid:
                seen.append((payload.data, payload.broken))

    simulate(uart, source, background=[watch])
    assert seen == [(byte, 0) for byte in data]


def test_receiver_ignores_glitches_and_marks_a_missing_stop_bit():
    uart = UartReceiver(divisor=DIVISOR)
    seen = []

    async def source(ctx):
        ctx.set(uart.rx, 0)
        await ctx.tick().repeat(DIVISOR // 2 - 2)  # over before the middle of a start bit
        ctx.set(uart.rx, 1)
        await ctx.tick().repeat(20 * DIVISOR)
        assert not seen
        for bit in bits(b"\x5a", stop=0):
            ctx.set(uart.rx, bit)
            await ctx.tick().repeat(DIVISOR)
        await ctx.tick().repeat(30 * DIVISOR)  # a break: no byte is made of it
        for bit in [1, *bits(b"\xa5"), 1, 1]:
            ctx.set(uart.rx, bit)
            await ctx.tick().repeat(DIVISOR)

    async def watch(ctx):
        async for _, _, valid, payload in ctx.tick().sample(uart.o.valid, uart.o.payload):
            if valid:
                seen.append((payload.data, payload.broken))

    simulate(uart, source, background=[watch])
    assert seen == [(0x5A, 1), (0xA5, 0)]


def test_receiver_takes_no_longer_than_it_says():
    uart = UartReceiver(divisor=12)

    async def bench(ctx):
        ctx.set(uart.rx, 0)
        clocks, *_ = 0, await ctx.tick()
        while not ctx.get(uart.o.valid):
            clocks += 1
            ctx.set(uart.rx, bits(b"\xff")[min(9, clocks // 12)])
            await ctx.tick()
        assert 9.5 * 12 <= clocks <= 9.5 * 12 + 3

    simulate(uart, bench)


def test_bad_rates_are_refused():
    assert clock_divisor(12_000_000, 1_000_000) == 12
    for clock, baud, what in [
        (12_000_000, 3_000_000, "at most 1,500,000"),
        (12_000_000, 1_116_279, "% off"),
        (12_000_000, 0, "at least 1"),
    ]:
        with pytest.raises(InvalidValue, match=what):
            clock_divisor(clock, baud)


# ---------------------------------------------------------------- packets


class Receiving(wiring.Component):
    """Bytes in, words out."""

    def __init__(self):
        self.decoder, self.receiver = SlipDecoder(), PacketReceiver()
        super().__init__(
            {
                "i": wiring.In(stream.Signature(ReceivedByte, always_ready=True)),
                "o": wiring.Out(stream.Signature(LinkWord)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.decoder, m.submodules.receiver = self.decoder, self.receiver
        wiring.connect(m, self.decoder.o, self.receiver.i)
        wiring.connect(m, wiring.flipped(self.i), self.decoder.i)
        wiring.connect(m, self.receiver.o, wiring.flipped(self.o))
        return m


def received(data: list[tuple[int, int]], *, ready=lambda clock: True, gap: int = 3) -> list:
    """Packets (tag, words) and error codes that bytes (value, broken) make."""
    top = Receiving()
    found, words = [], []

    async def source(ctx):
        for value, broken in data:
            ctx.set(top.i.payload, {"data": value, "broken": broken})
            ctx.set(top.i.valid, 1)
            await ctx.tick()
            ctx.set(top.i.valid, 0)
            await ctx.tick().repeat(gap)
        await ctx.tick().repeat(4)

    async def sink(ctx):
        clock = 0
        while True:
            ctx.set(top.o.ready, int(ready(clock)))
            clock += 1
            _, _, valid, word, failed, error, taking = await ctx.tick().sample(
                top.o.valid, top.o.payload, top.receiver.failed, top.receiver.error, top.o.ready
            )
            if valid and taking:
                words.append(word.data)
                if word.last:
                    found.append((word.tag, tuple(words)))
                    words.clear()
            if failed:
                found.append(LinkError(error))
                words.clear()

    simulate(top, source, background=[sink])
    return found


def plain(data: bytes) -> list[tuple[int, int]]:
    return [(byte, 0) for byte in data]


SPECIAL = (0xC0DBDCDD, 0x00000000, 0xFFFFFFFF, 0xDBC0C0DB, 0xDDDCDBC0)


def test_receiver_gives_the_words_that_the_host_encoded():
    rng = random.Random(1)
    packets = [(0xC0, SPECIAL), (0xDB, (0xDB,)), (1, (0xC0C0C0C0,) * 3)]
    packets += [(n, tuple(rng.getrandbits(32) for _ in range(rng.randrange(1, 9)))) for n in range(2, 30)]
    assert received(plain(b"".join(encode(tag, words) for tag, words in packets))) == packets


def test_one_mark_between_packets_is_enough_and_a_lost_one_loses_no_packet():
    first, second = encode(1, (5, 6)), encode(2, (7,))
    assert received(plain(first[1:-1] + second)) == [(1, (5, 6)), (2, (7,))]


GOOD = encode(9, (0x01020304, 0xC0FFEE00, 0x55AA55AA))


@pytest.mark.parametrize("place", range(1, len(GOOD) - 1))
def test_any_lost_changed_or_broken_byte_fails_and_the_next_packet_is_right(place):
    after = (3, (1, 2))
    wrong = {
        "lost": plain(GOOD[:place] + GOOD[place + 1 :]),
        "changed": plain(GOOD[:place] + bytes([GOOD[place] ^ 0x10]) + GOOD[place + 1 :]),
        "added": plain(GOOD[:place] + b"\x11" + GOOD[place:]),
        "broken": [*plain(GOOD[:place]), (GOOD[place], 1), *plain(GOOD[place + 1 :])],
    }
    for kind, data in wrong.items():
        *errors, last = received(data + plain(encode(*after)))
        assert last == after, kind
        assert errors and set(errors) <= {LinkError.CHECKSUM, LinkError.FRAMING}, kind
        if kind == "broken":
            assert errors == [LinkError.FRAMING]


def test_a_receiver_that_ignores_the_checksum_or_the_stop_bit_would_be_found(monkeypatch):
    faults = [("(crc.match_detected & ", "("), ("broken.eq(1)", "broken.eq(0)")]
    for number, fault in enumerate(faults):
        faulty = faulty_module("hdl.link", (fault,))
        for name in ("PacketReceiver", "LinkWord"):
            monkeypatch.setitem(globals(), name, getattr(faulty, name))
        with pytest.raises(AssertionError, match=("changed", "broken")[number]):
            test_any_lost_changed_or_broken_byte_fails_and_the_next_packet_is_right(8)


def test_packets_that_are_too_short_and_marks_alone():
    body = bytes([7])
    short = b"\xc0" + body + zlib.crc32(body).to_bytes(4, "little") + b"\xc0"  # right, but without a word
    assert received(plain(short.replace(b"\xdb", b"\xdb\xdd"))) == [LinkError.CHECKSUM]
    assert received(plain(b"\xc0" * 9)) == []
    assert received([(0xC0, 1)]) == []  # no mark, so no end yet
    assert received([(0x00, 1), (0xC0, 0)]) == [LinkError.FRAMING]
    assert received(plain(b"\xdb\xc0")) == [LinkError.FRAMING]


def test_a_word_that_nobody_takes_is_an_overrun():
    late = received(plain(encode(1, (1, 2, 3, 4)) + encode(2, (5,))), ready=lambda clock: clock > 80)
    assert late == [LinkError.OVERRUN, (2, (5,))]
    last = received(plain(encode(1, (1, 2)) + encode(2, (5,))), ready=lambda clock: clock > 60, gap=3)
    assert last == [LinkError.OVERRUN, (2, (5,))]
    assert received(plain(encode(1, (1, 2, 3))), ready=lambda clock: clock % 5 == 4) == [(1, (1, 2, 3))]


@pytest.mark.parametrize("stall", [0.0, 0.6])
def test_sender_makes_what_the_host_decodes(stall):
    sender, encoder = PacketSender(), SlipEncoder()
    top = Module()
    top.submodules.sender, top.submodules.encoder = sender, encoder
    wiring.connect(top, sender.o, encoder.i)
    packets = [(0xC0, SPECIAL), (0xDB, (1,)), (4, (2, 3, 0xDB00C0))]
    rng = random.Random(3)
    out = bytearray()
    done = []

    async def source(ctx):
        for tag, words in packets:
            for place, word in enumerate(words):
                while rng.random() < stall:
                    await ctx.tick()
                ctx.set(sender.i.payload, {"data": word, "last": place == len(words) - 1, "tag": tag})
                ctx.set(sender.i.valid, 1)
                await ctx.tick().until(sender.i.ready)
                ctx.set(sender.i.valid, 0)
        await ctx.tick().repeat(60)
        done.append(True)

    async def sink(ctx):
        while not done:
            ctx.set(encoder.o.ready, rng.random() >= stall)
            _, _, byte, taken = await ctx.tick().sample(encoder.o.payload, encoder.o.valid & encoder.o.ready)
            if taken:
                out.append(byte)

    simulate(top, source, sink)
    assert bytes(out) == b"".join(encode(tag, words) for tag, words in packets)
    assert Decoder().feed(bytes(out)) == [Packet(tag, words) for tag, words in packets]


# ---------------------------------------------------------------- all of a board but its pins


NETWORK = random_network(16)
CLOCK, BAUD = 8_000_000, 1_000_000


class Line:
    """A host on the station's line: sends bits, keeps the packets that come."""

    def __init__(self, station):
        self.station = station
        self.packets, self.damaged = [], []
        self._decoder = Decoder()
        self.done = False

    async def send(self, ctx, data, *, stop=1):
        for bit in bits(data, stop=stop):
            ctx.set(self.station.rx, bit)
            await ctx.tick().repeat(DIVISOR)
        ctx.set(self.station.rx, 1)

    async def watch(self, ctx):
        tx = self.station.tx
        while True:
            while ctx.get(tx):
                await ctx.tick()
            await ctx.tick().repeat(DIVISOR + DIVISOR // 2)
            byte = 0
            for n in range(8):
                byte |= ctx.get(tx) << n
                await ctx.tick().repeat(DIVISOR)
            assert ctx.get(tx) == 1
            for packet in self._decoder.feed(bytes([byte])):
                assert isinstance(packet, Packet), packet
                self.packets.append(packet)

    async def answers(self, ctx, number, limit=200_000):
        for _ in range(limit // 50):
            if len(self.packets) >= number:
                return self.packets[number - 1]
            await ctx.tick().repeat(50)
        raise AssertionError(f"{len(self.packets)} of {number} answers")


def on_station(talk):
    station = Station(Core(NETWORK, lanes=3), clock_hz=CLOCK, baud=BAUD)
    line = Line(station)

    async def bench(ctx):
        await ctx.tick().repeat(20)
        await talk(ctx, station, line)

    simulate(station, bench, background=[line.watch])


FRAMES = frames_for(NETWORK, 1, 2)
EXPECTED = golden.run(NETWORK, FRAMES)
ERROR = PacketType.ERROR << 24 | 1


def check_result(packet, image):
    result = read_result(packet.words, classes=NETWORK.shapes[-1][0], layers=len(NETWORK.layers))
    assert (result.scores == EXPECTED.scores[image]).all()
    return result


def test_station_answers_frames_and_says_who_it_is():
    async def talk(ctx, station, line):
        await line.send(ctx, encode(7, [LinkPacket.IDENTIFY << 24]))
        packet = await line.answers(ctx, 1)
        network_id = int(NETWORK.fingerprint[:8], 16)
        told = dict(zip(IDENTITY, packet.words[1:], strict=True))
        assert packet.tag == 7 and packet.words[0] == LinkPacket.IDENTITY << 24 | len(IDENTITY)
        assert told == {
            "version": LINK_VERSION, "network_id": network_id, "classes": NETWORK.shapes[-1][0],
            **dict(zip(("channels", "height", "width"), NETWORK.input_shape, strict=True)),
            "layers": len(NETWORK.layers), "time_steps": NETWORK.time_steps, "lanes": 3, "clock_hz": CLOCK, "baud": BAUD,
        }  # fmt: skip
        for image in (0, 1):
            await line.send(ctx, encode(8 + image, frame_packet(FRAMES[image])))
            packet = await line.answers(ctx, 2 + image)
            assert packet.tag == 8 + image
            result = check_result(packet, image)
            assert ctx.get(station.prediction) == result.prediction == EXPECTED.predictions[image]
            assert not ctx.get(station.refused)
            await ctx.tick().repeat(20)
            assert not ctx.get(station.busy)

    on_station(talk)


def test_station_refuses_damaged_packets_by_its_own_error_and_goes_on():
    good = encode(5, frame_packet(FRAMES[0]))

    async def talk(ctx, station, line):
        wrong = [
            (good[:20] + good[21:], 0, LinkError.CHECKSUM),
            (good[:-3] + good[-1:], 0, LinkError.CHECKSUM),
            (good[:3] + good[-1:], 0, LinkError.CHECKSUM),
            (encode(6, [LinkPacket.IDENTIFY << 24, 1]), 6, ErrorCode.LONG),
            (encode(7, [0x55 << 24, 1, 2]), 7, ErrorCode.TYPE),
            (encode(8, frame_packet(FRAMES[0])[:-1]), 8, ErrorCode.SHORT),
            (encode(9, [*frame_packet(FRAMES[0]), 0]), 9, ErrorCode.LONG),
            (encode(10, [frame_packet(FRAMES[0])[0]]), 10, ErrorCode.SHORT),
        ]
        number = 0
        for data, tag, code in wrong:
            await line.send(ctx, data)
            number += 1
            packet = await line.answers(ctx, number)
            assert packet == Packet(tag, (ERROR, code))
            assert ctx.get(station.refused)
            await line.send(ctx, good)
            number += 1
            packet = await line.answers(ctx, number)
            assert packet.tag == 5
            check_result(packet, 0)
            assert not ctx.get(station.refused)
        await line.send(ctx, good[:9])
        await line.send(ctx, good[9:10], stop=0)
        await ctx.tick().repeat(2 * DIVISOR)
        await line.send(ctx, good[10:])
        assert await line.answers(ctx, number + 1) == Packet(0, (ERROR, LinkError.FRAMING))
        await line.send(ctx, good)
        check_result(await line.answers(ctx, number + 2), 0)

    on_station(talk)


def test_station_that_is_busy_refuses_and_still_answers_the_first():
    async def talk(ctx, station, line):
        await line.send(ctx, encode(5, frame_packet(FRAMES[0])))
        ctx.set(station.rx, 1)
        second = encode(6, frame_packet(FRAMES[1]))
        await line.send(ctx, second)
        first = await line.answers(ctx, 1)
        assert first.tag == 5
        check_result(first, 0)
        packet = await line.answers(ctx, 2)
        assert packet == Packet(6, (ERROR, LinkError.BUSY))
        await line.send(ctx, second)
        packet = await line.answers(ctx, 3)
        assert packet.tag == 6
        check_result(packet, 1)

    on_station(talk)
