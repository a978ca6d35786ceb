"""Packets of ``hdl.host`` over a line of bytes: framing, checksum, and the answers that the link itself gives.

A packet on the line is one SLIP frame: a tag, the words, each lowest byte first, and the CRC-32 of both (that of Ethernet and
zip, lowest byte first). An ``END`` goes before it and behind it. An answer bears the tag of what it answers, so that a
host never takes a late answer for another's; tag 0 stands in answers to what could not be read.

Beside the core's packets the link knows ``IDENTIFY``, a header alone, which it answers itself:

identity: header, ``LINK_VERSION``, network id, channels, height, width, classes, layers, time steps, lanes, clock in Hz, baud

Where networks are loaded, these words are about the one that was loaded last; channels and height are 0, and width is the number
of its pixels, or of the spike words of a frame of spikes. Before any is loaded, network id, width, classes, layers and time steps are 0.

A packet whose checksum is wrong never reaches the core's end of packet: the link resets the core, which was only
receiving, and answers with an error packet of its own (``LinkError``).
"""

import enum
from collections.abc import Sequence

from amaranth import Array, Cat, Const, Module, Mux, Signal, unsigned
from amaranth.hdl import ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from hdl.host import ErrorCode, PacketType
from hdl.layouts import AxiWord
from hdl.slip import SlipDecoder, SlipEncoder, SlipToken
from hdl.uart import UartReceiver, UartTransmitter

__all__ = [
    "IDENTITY", "LINK_VERSION", "HostLink", "LinkError", "LinkPacket", "LinkWord", "PacketReceiver", "PacketSender",
]  # fmt: skip

LINK_VERSION = 1
IDENTITY = (
    "version", "network_id", "channels", "height", "width", "classes", "layers", "time_steps", "lanes", "clock_hz", "baud",
)  # fmt: skip
"""Words of an identity packet after its header."""


class LinkPacket(enum.IntEnum):
    """Bits 31…24 of the first word of packets that the link itself reads and sends."""

    IDENTIFY = 0x20
    IDENTITY = 0xA0


class LinkError(enum.IntEnum):
    """Why the link refused a packet; apart from ``hdl.host.ErrorCode``."""

    CHECKSUM = 0x10
    FRAMING = 0x11
    BUSY = 0x12
    OVERRUN = 0x13


class LinkWord(data.Struct):
    """A word of a packet, with the packet's tag."""

    data: unsigned(32)
    last: unsigned(1)
    tag: unsigned(8)


class PacketReceiver(wiring.Component):
    """Words of packets from SLIP tokens, the last of them only after the packet's checksum was found right.

    A word is offered when it is known not to be the last or the checksum: 5 bytes later, or at the ``END``. It must be taken
    before the next one is offered, 4 bytes later; otherwise the packet ends in ``failed`` with ``OVERRUN``.

    Members
    -------
    i : In, stream of ``SlipToken``, always ready
    o : Out, stream of ``LinkWord``
    failed : Out, one cycle, at the end of a packet that was wrong; ``error``, a ``LinkError``, says why. No ``last``
        was offered then, and a word that still waits is withdrawn.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(SlipToken, always_ready=True)),
                "o": Out(stream.Signature(LinkWord)),
                "failed": Out(1),
                "error": Out(unsigned(8)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=8).create()
        token = self.i.payload
        tag = Signal(8)
        tagged = Signal()
        window = Signal(64)  # the last two words; what was before them is in the output register or gone
        place = Signal(2)
        words = Signal(range(3))
        broken, overrun = Signal(), Signal()
        right = Signal()
        offer, last = Signal(), Signal()
        m.d.comb += [
            crc.data.eq(token.data),
            right.eq(crc.match_detected & (words == 2) & (place == 0) & ~broken & ~token.broken & ~overrun),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & token.end):
            m.d.comb += [crc.start.eq(1), last.eq(1)]
            m.d.sync += [tagged.eq(0), place.eq(0), words.eq(0), broken.eq(0), overrun.eq(0)]
            with m.If(right & ~(self.o.valid & ~self.o.ready)):
                m.d.comb += offer.eq(1)
            with m.Elif(tagged | broken | token.broken):  # nothing between two ENDs is no packet
                m.d.comb += self.failed.eq(1)
                m.d.sync += self.o.valid.eq(0)
        with m.Elif(self.i.valid):
            m.d.sync += tagged.eq(1)
            m.d.comb += crc.valid.eq(1)
            with m.If(token.broken):
                m.d.sync += broken.eq(1)
            with m.If(~tagged):
                m.d.sync += tag.eq(token.data)
            with m.Else():
                m.d.sync += [window.eq(Cat(window[8:], token.data)), place.eq(place + 1)]
                with m.If((place == 3) & (words != 2)):
                    m.d.sync += words.eq(words + 1)
                with m.If((place == 0) & (words == 2)):
                    m.d.comb += offer.eq(~(self.o.valid & ~self.o.ready))
                    with m.If(~offer):
                        m.d.sync += overrun.eq(1)
        with m.If(offer):
            m.d.sync += [
                self.o.payload.data.eq(window[:32]),
                self.o.payload.last.eq(last),
                self.o.payload.tag.eq(tag),
                self.o.valid.eq(1),
            ]
        m.d.comb += self.error.eq(
            Mux(broken | token.broken, LinkError.FRAMING,
                Mux(overrun | right, LinkError.OVERRUN, LinkError.CHECKSUM))
        )  # fmt: skip
        return m


class PacketSender(wiring.Component):
    """SLIP tokens of packets from their words; a byte in a cycle, no faster than ``o`` takes them.

    A packet of n words makes 4 n + 7 tokens, ``END`` at both ends.

    Members
    -------
    i : In, stream of ``LinkWord``; the tag must be the same in all words of a packet
    o : Out, stream of ``SlipToken``
    """

    def __init__(self) -> None:
        super().__init__({"i": In(stream.Signature(LinkWord)), "o": Out(stream.Signature(SlipToken))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=8).create()
        place = Signal(2)
        word, token = self.i.payload, self.o.payload
        taken = Signal()
        m.d.comb += [taken.eq(self.o.valid & self.o.ready), crc.data.eq(token.data)]
        with m.FSM():
            with m.State("START"):
                m.d.comb += [self.o.valid.eq(self.i.valid), token.end.eq(1), crc.start.eq(1)]
                with m.If(taken):
                    m.next = "TAG"
            with m.State("TAG"):
                m.d.comb += [self.o.valid.eq(1), token.data.eq(word.tag), crc.valid.eq(taken)]
                with m.If(taken):
                    m.next = "WORDS"
            with m.State("WORDS"):
                m.d.comb += [
                    self.o.valid.eq(self.i.valid),
                    token.data.eq(word.data.word_select(place, 8)),
                    crc.valid.eq(taken),
                    self.i.ready.eq(taken & (place == 3)),
                ]
                with m.If(taken):
                    m.d.sync += place.eq(place + 1)
                    with m.If((place == 3) & word.last):
                        m.next = "CHECKSUM"
            with m.State("CHECKSUM"):
                m.d.comb += [self.o.valid.eq(1), token.data.eq(crc.crc.word_select(place, 8))]
                with m.If(taken):
                    m.d.sync += place.eq(place + 1)
                    with m.If(place == 3):
                        m.next = "STOP"
            with m.State("STOP"):
                m.d.comb += [self.o.valid.eq(1), token.end.eq(1)]
                with m.If(taken):
                    m.next = "START"
        return m


class HostLink(wiring.Component):
    """Both ends of the core's streams on a serial line, 8N1.

    One packet at a time: one that comes while the core still owes an answer is refused with ``BUSY``. Every packet gets one
    answer, except that of refused ones that come faster than answers can be sent only the last is answered.

    Parameters
    ----------
    divisor : int
        Clocks of a bit.
    identity : sequence of int or Value
        Words of the identity packet, in the order of ``IDENTITY``.

    Members
    -------
    rx, tx : the line, idle high
    request : Out, stream of ``AxiWord``, to the core
    answer : In, stream of ``AxiWord``, from the core
    reset_core : Out, one cycle, the core must forget what it has of a packet
    busy : Out, the core owes an answer
    refused : Out, the last answer sent was an error packet
    """

    def __init__(self, *, divisor: int, identity: Sequence[ValueLike]):
        if len(identity) != len(IDENTITY):
            raise ValueError(f"identity has {len(identity)} words, must be {len(IDENTITY)}")
        self._divisor, self._identity = divisor, tuple(identity)
        super().__init__(
            {
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "request": Out(stream.Signature(AxiWord)),
                "answer": In(stream.Signature(AxiWord)),
                "reset_core": Out(1),
                "busy": Out(1),
                "refused": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.uart_receiver = uart_receiver = UartReceiver(divisor=self._divisor)
        m.submodules.uart_transmitter = uart_transmitter = UartTransmitter(divisor=self._divisor)
        m.submodules.decoder = decoder = SlipDecoder()
        m.submodules.encoder = encoder = SlipEncoder()
        m.submodules.receiver = receiver = PacketReceiver()
        m.submodules.sender = sender = PacketSender()
        m.d.comb += [uart_receiver.rx.eq(self.rx), self.tx.eq(uart_transmitter.tx)]
        wiring.connect(m, uart_receiver.o, decoder.i)
        wiring.connect(m, decoder.o, receiver.i)
        wiring.connect(m, sender.o, encoder.i)
        wiring.connect(m, encoder.o, uart_transmitter.i)

        core_tag, own_tag, code = Signal(8), Signal(8), Signal(8)
        error_pending, identity_pending = Signal(), Signal()
        self._requests(m, receiver, core_tag, own_tag, code, error_pending, identity_pending)
        self._answers(m, sender, core_tag, own_tag, code, error_pending, identity_pending)
        return m

    def _requests(
        self,
        m: Module,
        receiver: PacketReceiver,
        core_tag: Signal,
        own_tag: Signal,
        code: Signal,
        error_pending: Signal,
        identity_pending: Signal,
    ) -> None:
        """Pass packets on to the core, keep those that are not for it."""
        word = receiver.o.payload
        first = Signal(init=1)
        keeps, kept = Signal(), Signal()  # this packet stays here; so did its words before this one
        reason = Signal(8)  # why it is refused; 0 if it asks for the identity
        taken = Signal()
        asks = word.data[24:] == LinkPacket.IDENTIFY
        m.d.comb += [
            taken.eq(receiver.o.valid & receiver.o.ready),
            keeps.eq(Mux(first, self.busy | asks, kept)),
            self.request.payload.data.eq(word.data),
            self.request.payload.last.eq(word.last),
            self.request.valid.eq(receiver.o.valid & ~keeps),
            receiver.o.ready.eq(keeps | self.request.ready),
            self.reset_core.eq(receiver.failed & (Mux(first, taken & ~keeps, ~kept))),
        ]
        now = Signal(8)
        m.d.comb += now.eq(Mux(first, Mux(self.busy, LinkError.BUSY, 0), Mux(reason == 0, ErrorCode.LONG, reason)))
        with m.If(taken):
            m.d.sync += [first.eq(word.last), kept.eq(keeps), reason.eq(now)]
            with m.If(word.last & keeps):
                m.d.sync += [own_tag.eq(word.tag), code.eq(now)]
                with m.If(now == 0):
                    m.d.sync += identity_pending.eq(1)
                with m.Else():
                    m.d.sync += error_pending.eq(1)
            with m.Elif(word.last):
                m.d.sync += [core_tag.eq(word.tag), self.busy.eq(1)]
        with m.If(receiver.failed):
            m.d.sync += [first.eq(1), own_tag.eq(0), code.eq(receiver.error), error_pending.eq(1)]

    def _answers(
        self,
        m: Module,
        sender: PacketSender,
        core_tag: Signal,
        own_tag: Signal,
        code: Signal,
        error_pending: Signal,
        identity_pending: Signal,
    ) -> None:
        """Send what the core answers, and the link's own answers when it does not."""
        out = sender.i.payload
        taken = Signal()
        m.d.comb += taken.eq(sender.i.valid & sender.i.ready)
        index = Signal(range(len(IDENTITY) + 1))
        tag, reason = Signal(8), Signal(8)
        words = (Const(LinkPacket.IDENTITY << 24 | len(IDENTITY), 32), *self._identity)
        identity = Array(Const(word, 32) if isinstance(word, int) else word for word in words)
        is_error = out.data[24:] == PacketType.ERROR
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [index.eq(0), tag.eq(own_tag), reason.eq(code)]
                with m.If(self.answer.valid):
                    m.d.sync += tag.eq(core_tag)
                    m.next = "CORE"
                with m.Elif(error_pending):
                    m.d.sync += error_pending.eq(0)
                    m.next = "ERROR"
                with m.Elif(identity_pending):
                    m.d.sync += identity_pending.eq(0)
                    m.next = "IDENTITY"
            with m.State("CORE"):
                m.d.comb += [
                    sender.i.valid.eq(self.answer.valid),
                    out.data.eq(self.answer.payload.data),
                    out.last.eq(self.answer.payload.last),
                    self.answer.ready.eq(sender.i.ready),
                ]
                with m.If(taken & (index == 0)):
                    m.d.sync += [self.refused.eq(is_error), index.eq(1)]
                with m.If(taken & out.last):
                    m.d.sync += self.busy.eq(0)
                    m.next = "IDLE"
            with m.State("ERROR"):
                m.d.comb += [
                    sender.i.valid.eq(1),
                    out.data.eq(Mux(index == 0, PacketType.ERROR << 24 | 1, reason)),
                    out.last.eq(index == 1),
                ]
                with m.If(taken):
                    m.d.sync += [index.eq(1), self.refused.eq(1)]
                    with m.If(out.last):
                        m.next = "IDLE"
            with m.State("IDENTITY"):
                m.d.comb += [
                    sender.i.valid.eq(1),
                    out.data.eq(identity[index]),
                    out.last.eq(index == len(IDENTITY)),
                ]
                with m.If(taken):
                    m.d.sync += [index.eq(index + 1), self.refused.eq(0)]
                    with m.If(out.last):
                        m.next = "IDLE"
        m.d.comb += out.tag.eq(tag)
