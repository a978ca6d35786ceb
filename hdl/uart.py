"""Serial line, 8N1: one start bit, eight data bits, the lowest first, one stop bit.

Our own and not a library: ``amaranth-stdio``, which has one, is an empty placeholder on PyPI, and releases must
not depend on what is no release.
"""

from amaranth import Cat, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from toolchain.errors import InvalidValue

__all__ = ["LEAST_DIVISOR", "ReceivedByte", "UartReceiver", "UartTransmitter", "clock_divisor"]

LEAST_DIVISOR = 8
"""Clocks of a bit, so that the middle of a bit is found to an eighth of it."""
_FRAME = 10
_TOLERANCE = 0.02


def clock_divisor(clock_hz: int, baud: int) -> int:
    """Clocks of a bit.

    Raises
    ------
    InvalidValue
        Fewer than ``LEAST_DIVISOR``, or more than 2 % off ``baud``: half of what a receiver can bear.
    """
    if baud < 1:
        raise InvalidValue(f"baud is {baud}, must be at least 1")
    divisor = round(clock_hz / baud)
    if divisor < LEAST_DIVISOR:
        raise InvalidValue(
            f"baud is {baud:,}, at most {clock_hz // LEAST_DIVISOR:,} goes with a clock of {clock_hz / 1e6:g} MHz; "
            "choose a lower --baud"
        )
    off = abs(clock_hz / divisor / baud - 1)
    if off > _TOLERANCE:
        raise InvalidValue(
            f"baud is {baud:,}, a clock of {clock_hz / 1e6:g} MHz makes {clock_hz / divisor:,.0f}, {100 * off:.1f} % off, "
            f"more than {100 * _TOLERANCE:g}; choose a divisor of the clock"
        )
    return divisor


class ReceivedByte(data.Struct):
    """A byte from the line; ``broken`` if its stop bit was missing, so that it means nothing."""

    data: unsigned(8)
    broken: unsigned(1)


class UartReceiver(wiring.Component):
    """Bytes from an asynchronous line.

    Bits are read in their middle, found anew at every start bit. A start bit that is over at its middle is a
    glitch and ignored. After a missing stop bit the line must be high before the next start counts.
    Latency: 9.5 bits and 3 clocks from a start bit's edge. The line cannot be held back: ``o`` is always ready.

    Parameters
    ----------
    divisor : int
        Clocks of a bit, of ``clock_divisor``.

    Members
    -------
    rx : In, the line, idle high
    o : Out, stream of ``ReceivedByte``
    """

    def __init__(self, *, divisor: int):
        self._divisor = divisor
        super().__init__({"rx": In(1, init=1), "o": Out(stream.Signature(ReceivedByte, always_ready=True))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, line, init=1)
        timer = Signal(range(self._divisor))
        bits = Signal(range(8))
        byte = Signal(8)
        m.d.comb += [self.o.payload.data.eq(byte), self.o.payload.broken.eq(~line)]
        with m.If(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += timer.eq(self._divisor - 1)
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += timer.eq(self._divisor // 2 - 1)
                with m.If(~line):
                    m.next = "START"
            with m.State("START"), m.If(timer == 0):
                m.d.sync += bits.eq(7)
                with m.If(line):
                    m.next = "IDLE"
                with m.Else():
                    m.next = "DATA"
            with m.State("DATA"), m.If(timer == 0):
                m.d.sync += [byte.eq(Cat(byte[1:], line)), bits.eq(bits - 1)]
                with m.If(bits == 0):
                    m.next = "STOP"
            with m.State("STOP"), m.If(timer == 0):
                m.d.comb += self.o.valid.eq(1)
                with m.If(line):
                    m.next = "IDLE"
                with m.Else():
                    m.next = "BREAK"
            with m.State("BREAK"), m.If(line):
                m.next = "IDLE"
        return m


class UartTransmitter(wiring.Component):
    """Bytes onto an asynchronous line, one in 10 bits and a clock; ``i`` waits meanwhile.

    Parameters
    ----------
    divisor : int
        Clocks of a bit, of ``clock_divisor``.

    Members
    -------
    i : In, stream of bytes
    tx : Out, the line, idle high, from a register
    """

    def __init__(self, *, divisor: int):
        self._divisor = divisor
        super().__init__({"i": In(stream.Signature(unsigned(8))), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        timer = Signal(range(self._divisor))
        left = Signal(range(_FRAME + 1))
        bits = Signal(_FRAME - 1, init=-1)
        m.d.comb += self.i.ready.eq(left == 0)
        with m.If(left == 0):
            m.d.sync += timer.eq(self._divisor - 1)
            with m.If(self.i.valid):
                m.d.sync += [self.tx.eq(0), bits.eq(Cat(self.i.payload, 1)), left.eq(_FRAME)]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [timer.eq(self._divisor - 1), left.eq(left - 1), self.tx.eq(bits[0]), bits.eq(Cat(bits[1:], 1))]
        return m
