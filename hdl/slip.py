"""SLIP, the framing of RFC 1055: ``END`` parts packets, and a packet's own ``END`` and ``ESCAPE`` bytes go as two.

Whatever was lost, the next ``END`` is the end of a packet, so that a receiver finds back by itself.
"""

from amaranth import Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.uart import ReceivedByte

__all__ = ["END", "ESCAPE", "ESCAPED_END", "ESCAPED_ESCAPE", "SlipDecoder", "SlipEncoder", "SlipToken"]

END, ESCAPE, ESCAPED_END, ESCAPED_ESCAPE = 0xC0, 0xDB, 0xDC, 0xDD


class SlipToken(data.Struct):
    """A byte of a packet, or with ``end`` the mark between packets; ``broken`` if the line or an escape was wrong."""

    data: unsigned(8)
    end: unsigned(1)
    broken: unsigned(1)


class SlipDecoder(wiring.Component):
    """Tokens from the bytes of a line, in the same cycle; always ready.

    An ``ESCAPE`` makes no token; what may not follow it comes with ``broken``.

    Members
    -------
    i : In, stream of ``ReceivedByte``
    o : Out, stream of ``SlipToken``
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(ReceivedByte, always_ready=True)),
                "o": Out(stream.Signature(SlipToken, always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        byte, token = self.i.payload, self.o.payload
        escaped = Signal()
        m.d.comb += [token.data.eq(byte.data), token.broken.eq(byte.broken), self.o.valid.eq(self.i.valid)]
        with m.If(self.i.valid):
            m.d.sync += escaped.eq(0)
        with m.If(~byte.broken & (byte.data == END)):
            m.d.comb += [token.end.eq(1), token.broken.eq(escaped)]
        with m.Elif(escaped), m.Switch(byte.data):
            with m.Case(ESCAPED_END):
                m.d.comb += token.data.eq(END)
            with m.Case(ESCAPED_ESCAPE):
                m.d.comb += token.data.eq(ESCAPE)
            with m.Default():
                m.d.comb += token.broken.eq(1)
        with m.Elif(~byte.broken & (byte.data == ESCAPE)):
            m.d.comb += self.o.valid.eq(0)
            with m.If(self.i.valid):
                m.d.sync += escaped.eq(1)
        return m


class SlipEncoder(wiring.Component):
    """Bytes for a line from tokens, in the same cycle; an ``END`` or ``ESCAPE`` that is data takes two.

    Members
    -------
    i : In, stream of ``SlipToken``; ``broken`` is not looked at
    o : Out, stream of bytes
    """

    def __init__(self) -> None:
        super().__init__({"i": In(stream.Signature(SlipToken)), "o": Out(stream.Signature(unsigned(8)))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        token = self.i.payload
        escaped = Signal()
        special = Signal()
        m.d.comb += [
            special.eq(~token.end & ((token.data == END) | (token.data == ESCAPE))),
            self.o.valid.eq(self.i.valid),
            self.o.payload.eq(token.data),
            self.i.ready.eq(self.o.ready & (~special | escaped)),
        ]
        with m.If(token.end):
            m.d.comb += self.o.payload.eq(END)
        with m.Elif(special & ~escaped):
            m.d.comb += self.o.payload.eq(ESCAPE)
        with m.Elif(special):
            m.d.comb += self.o.payload.eq(ESCAPED_END)
            with m.If(token.data == ESCAPE):
                m.d.comb += self.o.payload.eq(ESCAPED_ESCAPE)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += escaped.eq(special & ~escaped)
        return m
