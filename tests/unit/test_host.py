"""The host's side of the link: bytes, conversations on a line that loses and changes them, images."""

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdl.host import PacketType
from hdl.link import IDENTITY, LinkError, LinkPacket
from sim import golden
from tests.fake_board import answer_words, identity_words
from tests.networks import frames_for, random_network
from toolchain import cli
from toolchain.errors import InvalidValue, LinkFailed
from toolchain.host import DEFAULT_BAUD, Damaged, Decoder, Host, Packet, encode
from toolchain.host.framing import LONGEST
from toolchain.trial import as_frames

NETWORK = random_network(3)
FRAMES = frames_for(NETWORK, 1, 3)
EXPECTED = golden.run(NETWORK, FRAMES)
ERROR = PacketType.ERROR << 24 | 1


# ---------------------------------------------------------------- bytes

words_ = st.lists(st.integers(0, 2**32 - 1) | st.just(0xC0DBDCDD), min_size=1, max_size=12)


@given(st.lists(st.tuples(st.integers(0, 255), words_), max_size=5), st.data())
def test_packets_come_back_whatever_pieces_they_come_in(packets, data):
    line = b"".join(encode(tag, words) for tag, words in packets)
    decoder, found = Decoder(), []
    while line:
        cut = data.draw(st.integers(1, len(line)))
        found += decoder.feed(line[:cut])
        line = line[cut:]
    assert found == [Packet(tag, tuple(words)) for tag, words in packets]
    assert decoder.waiting == 0


@given(words_, st.data())
def test_any_one_changed_byte_is_found(words, data):
    good = encode(5, words)
    place = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != good[place]))
    found = Decoder().feed(good[:place] + bytes([other]) + good[place + 1 :] + encode(6, [1]))
    assert found[-1] == Packet(6, (1,))
    assert Packet(5, tuple(words)) not in found or place in (0, len(good) - 1)
    assert all(isinstance(each, Damaged) or each == Packet(5, tuple(words)) for each in found[:-1])


def test_the_format_byte_by_byte():
    body = bytes([7]) + struct.pack("<2I", 0x01020304, 0xC0)
    body += struct.pack("<I", zlib.crc32(body))
    assert encode(7, [0x01020304, 0xC0]) == b"\xc0" + body.replace(b"\xc0", b"\xdb\xdc") + b"\xc0"


def test_noise_without_end_is_dropped():
    decoder = Decoder()
    (found,) = decoder.feed(b"x" * (LONGEST + 1))
    assert isinstance(found, Damaged) and "without an end" in found.why and decoder.waiting == 0


# ---------------------------------------------------------------- conversations


class Line:
    """The other end of a conversation: a board that answers at once, and what happens on the way."""

    def __init__(self, network=NETWORK, *, there=None, back=None, identity=None):
        self.network, self.identity = network, identity or identity_words(network, 4)
        self.there, self.back = there or (lambda data, n: data), back or (lambda data, n: data)
        self.sent = self.answered = 0
        self.asked = []
        self._decoder = Decoder()
        self._pending = b""

    def exchange(self, exchange):
        assert exchange.seconds > 0
        self.asked.append(exchange)
        if exchange.send:
            arrives = self.there(exchange.send, self.sent)
            self.sent += 1
            for packet in self._decoder.feed(arrives):
                if isinstance(packet, Damaged):
                    data = encode(0, [ERROR, LinkError.CHECKSUM])
                elif packet.words[0] >> 24 == LinkPacket.IDENTIFY:
                    data = encode(packet.tag, self.identity)
                else:
                    data = encode(packet.tag, answer_words(self.network, 4, packet.words))
                self._pending += self.back(data, self.answered)
                self.answered += 1
        now, self._pending = self._pending[:7], self._pending[7:]  # in pieces
        return now

    def converse(self, conversation):
        try:
            exchange = next(conversation)
            while True:
                exchange = conversation.send(self.exchange(exchange))
        except StopIteration as end:
            return end.value


def check(line, host, image=0):
    result, words = line.converse(host.classify(FRAMES[image]))
    assert (result.scores == EXPECTED.scores[image]).all()
    assert result.prediction == EXPECTED.predictions[image]
    assert words[0] >> 24 == PacketType.RESULT
    return result


def test_a_good_line_needs_no_repeats():
    line, host = Line(), Host()
    identity = line.converse(host.connect())
    assert identity.input_shape == NETWORK.input_shape and identity.classes == NETWORK.shapes[-1][0]
    for image in range(3):
        result = check(line, host, image)
        assert identity.core_seconds(result) == result.counters[:, 0].sum() / 12_000_000
    assert host.repeats == 0


def spoiled(kind, number):
    """Damage the ``number``-th message, and only that."""

    def spoil(data, n):
        if n != number:
            return data
        middle = len(data) // 2
        return {
            "lost": data[:middle] + data[middle + 1 :],
            "changed": data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :],
            "cut": data[:middle],
            "end lost": data[:-1],
            "all lost": b"",
            "noise before": b"\x03\xc0" + data,
        }[kind]

    return spoil


KINDS = ("lost", "changed", "cut", "all lost", "noise before")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["there", "back"])
@pytest.mark.parametrize("number", [1, 2])
def test_damage_on_the_way_is_repeated_and_the_results_stay_right(kind, way, number):
    # message 0 there is the mark of connect, so that number 1 there is the identity; back it is number 0
    line, host = Line(**{way: spoiled(kind, number)}), Host()
    line.converse(host.connect())
    for image in range(3):
        check(line, host, image)
    assert host.repeats == (0 if kind == "noise before" else 1)


def test_a_lost_last_mark_waits_for_the_next_packet():
    line, host = Line(there=spoiled("end lost", 2)), Host()
    line.converse(host.connect())
    check(line, host, 0)
    check(line, host, 1)


@pytest.mark.parametrize("kind", KINDS[:4])
def test_with_one_attempt_damage_is_an_error_and_the_next_image_is_right(kind):
    line, host = Line(there=spoiled(kind, 2)), Host(attempts=1)
    line.converse(host.connect())
    with pytest.raises(LinkFailed, match="no answer" if kind in ("cut", "all lost") else "wrong checksum"):
        line.converse(host.classify(FRAMES[0]))
    check(line, host, 1)


def test_a_late_answer_is_never_taken_for_the_next_images():
    kept = []

    def late(data, n):
        if n == 1:  # the answer to the first image
            kept.append(data)
            return b""
        return (kept.pop() if kept else b"") + data

    line, host = Line(back=late), Host(attempts=1)
    line.converse(host.connect())
    with pytest.raises(LinkFailed, match="no answer within 2 s in one attempt"):
        line.converse(host.classify(FRAMES[0]))
    check(line, host, 1)


def test_a_late_answer_to_the_same_image_is_good():
    kept = []

    def late(data, n):
        if n == 1:
            kept.append(data)
            return b""
        return kept.pop() if kept else data

    line, host = Line(back=late), Host()
    line.converse(host.connect())
    check(line, host, 0)
    check(line, host, 1)


def test_silence_babble_and_wrong_boards_are_named():
    cases = [
        (Line(there=lambda data, n: b""), "no answer within 2 s in 3 attempts; is the board programmed"),
        (Line(back=lambda data, n: b"\x00\xff\x13" * 20), "bytes came in 3 attempts, but no packet"),
        (Line(back=lambda data, n: bytes(byte ^ 1 for byte in data[1:-1]) + b"\xc0"), "what comes back is damaged"),
        (Line(there=lambda data, n: data[:4] + data[5:]), "the board received a wrong checksum"),
        (Line(identity=[LinkPacket.IDENTITY << 24 | len(IDENTITY), 9, *[1] * 10]), "version 9 of the link, this host version 1"),
        (Line(identity=[LinkPacket.IDENTITY << 24 | 3, 1, 2, 3]), "to who it is"),
    ]  # fmt: skip
    for line, what in cases:
        with pytest.raises(LinkFailed, match=what):
            line.converse(Host().connect())
    endless = Line()
    endless.exchange = lambda exchange: b"\x55" * 100
    with pytest.raises(LinkFailed, match="no packet"):
        endless.converse(Host().connect())


def test_refusals_of_the_core_and_foreign_answers_are_named():
    other = replace(NETWORK, seed=NETWORK.seed + 1) if NETWORK.input == "rate" else random_network(5)
    identity = identity_words(NETWORK, 4)

    def refuse(code):
        return lambda data, n: data if n == 0 else encode(Decoder().feed(data)[0].tag, [ERROR, code])

    for code, what in [(2, "another number of pixels"), (9, "error 9")]:
        line, host = Line(back=refuse(code)), Host()
        line.converse(host.connect())
        with pytest.raises(LinkFailed, match=f"the board refuses the frame: .*{what}"):
            line.converse(host.classify(FRAMES[0]))

    def foreign(data, n):
        packet = Decoder().feed(data)[0]
        return data if n == 0 else encode(packet.tag, [packet.words[0], packet.words[1] ^ 1, *packet.words[2:]])

    line, host = Line(back=foreign), Host()
    line.converse(host.connect())
    with pytest.raises(LinkFailed, match="and answers for"):
        line.converse(host.classify(FRAMES[0]))
    assert other.fingerprint != NETWORK.fingerprint
    line, host = Line(identity=[*identity[:6], identity[6] + 1, *identity[7:]]), Host()
    line.converse(host.connect())
    with pytest.raises(LinkFailed, match="not what it said"):
        line.converse(host.classify(FRAMES[0]))
    with pytest.raises(InvalidValue, match="the board's network takes uint8"):
        line.converse(host.classify(FRAMES[0].astype(np.int16)))


def test_the_verbs_and_the_port_have_one_usual_rate():
    assert cli.board.USUAL_BAUD == DEFAULT_BAUD


def test_bad_options_of_a_host():
    for options, what in [({"timeout": 0}, "timeout is 0 s"), ({"timeout": float("nan")}, "timeout is nan"), ({"attempts": 0}, "attempts is 0")]:  # fmt: skip
        with pytest.raises(InvalidValue, match=what):
            Host(**options)


# ---------------------------------------------------------------- images


def test_images_of_any_sensible_shape():
    shape = (1, 8, 6)
    plain = np.zeros((8, 6), np.uint8)
    assert as_frames(plain, shape).shape == (1, *shape)
    assert as_frames(plain[None], shape).shape == (1, *shape)
    assert as_frames(np.zeros((5, 8, 6), np.uint8), shape).shape == (5, *shape)
    assert as_frames(np.zeros((5, 1, 8, 6), np.uint8), shape).shape == (5, *shape)
    assert as_frames(np.zeros((7, 4), np.uint8), (4, 1, 1)).shape == (7, 4, 1, 1)
    colour = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    assert (as_frames(colour, (3, 4, 5)) == colour).all()
    for wrong in (np.zeros((6, 8), np.uint8), np.zeros((8, 6, 1), np.uint8), np.zeros(48, np.uint8)):
        with pytest.raises(InvalidValue, match=r"must be \[N, C, H, W\]"):
            as_frames(wrong, shape)
