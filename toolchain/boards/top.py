"""The top level of a board: clock, reset, serial line and lights around ``hdl.station``."""

from typing import Any

from amaranth import ClockDomain, ClockSignal, Const, Instance, Module, Signal
from amaranth.hdl import Value
from amaranth.lib import io, wiring
from amaranth.lib.cdc import FFSynchronizer, ResetSynchronizer

from hdl.core import Core
from hdl.station import Station
from toolchain.boards.catalog import Board
from toolchain.boards.clocks import Ecp5Pll, Ice40Pll

__all__ = ["BoardTop"]

_START_S = 30e-6
"""The core is held in reset so long: block RAMs of iCE40 read as 0 for some 3 µs after configuration."""
_GLOW_BITS = 20
"""The busy light stays on for 2 to this power clocks, 20 to 90 ms: an inference alone would be too short to see."""


class BoardTop(wiring.Component):
    """Everything on the device of ``board``; its pins come from Amaranth's platform of that board.

    The core is in reset for 30 µs from the clock's start, and while the board's button is pressed.

    Parameters
    ----------
    board : Board
    core : Core
    clock_hz, baud : int

    Raises
    ------
    InvalidValue
        The board does not make that clock, or the clock not that baud.
    """

    def __init__(self, board: Board, core: Core, *, clock_hz: int, baud: int):
        self._board, self._clock_hz = board, clock_hz
        self._pll = board.clocking(clock_hz)
        self._station = Station(core, clock_hz=clock_hz, baud=baud)
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self._clock(m, platform)
        m.submodules.station = station = self._station
        uart = platform.request("uart", 0, dir="-")
        m.submodules.rx = rx = io.Buffer("i", uart.rx)
        m.submodules.tx = tx = io.Buffer("o", uart.tx)
        m.d.comb += [station.rx.eq(rx.i), tx.o.eq(station.tx)]

        glow = Signal(_GLOW_BITS)
        with m.If(station.busy):
            m.d.sync += glow.eq(-1)
        with m.Elif(glow != 0):
            m.d.sync += glow.eq(glow - 1)
        shown = [glow != 0, station.refused, *station.prediction][: self._board.lights]
        for number in range(self._board.lights):
            port = platform.request("led", number, dir="-")
            m.submodules[f"light_{number}"] = light = io.Buffer("o", port)
            m.d.comb += light.o.eq(shown[number] if number < len(shown) else 0)
        return m

    def _clock(self, m: Module, platform: Any) -> None:
        """The domain ``sync``, from the oscillator or the PLL, and its reset."""
        port = platform.request(platform.default_clk, dir="-")
        clock, locked = Signal(), Signal()
        if isinstance(self._pll, Ice40Pll):  # its pad is the clock's pin, which has no other buffer then
            m.submodules.pll = _ice40(self._pll, port.io, clock, locked)
        else:
            m.submodules.oscillator = buffer = io.Buffer("i", port)
            if self._pll is None:
                m.d.comb += [clock.eq(buffer.i), locked.eq(1)]
            else:
                m.submodules.pll = _ecp5(self._pll, buffer.i, clock, locked)
        m.submodules.button = button = io.Buffer("i", platform.request(*self._board.button, dir="-"))

        m.domains.start = start = ClockDomain(reset_less=True, local=True)
        m.domains.sync = ClockDomain()
        m.d.comb += [start.clk.eq(clock), ClockSignal("sync").eq(clock)]
        steady = Signal()
        m.submodules.steady = FFSynchronizer(locked, steady, o_domain="start")
        last = int(_START_S * self._clock_hz)
        count = Signal(range(last + 1))
        started = Signal()
        with m.If(~steady):
            m.d.start += [count.eq(0), started.eq(0)]
        with m.Elif(count != last):
            m.d.start += count.eq(count + 1)
        with m.Else():
            m.d.start += started.eq(1)
        m.submodules.reset = ResetSynchronizer(~started | button.i, domain="sync")


def _ice40(pll: Ice40Pll, pad: Value, clock: Signal, locked: Signal) -> Instance:
    return Instance(
        "SB_PLL40_PAD",
        p_FEEDBACK_PATH="SIMPLE",
        p_DIVR=Const(pll.divr, 4),
        p_DIVF=Const(pll.divf, 7),
        p_DIVQ=Const(pll.divq, 3),
        p_FILTER_RANGE=Const(pll.filter_range, 3),
        i_PACKAGEPIN=pad,
        i_RESETB=Const(1),
        i_BYPASS=Const(0),
        o_PLLOUTGLOBAL=clock,
        o_LOCK=locked,
    )


def _ecp5(pll: Ecp5Pll, source: Value, clock: Signal, locked: Signal) -> Instance:
    """Parameters and attributes as Project Trellis's ecppll writes them."""
    return Instance(
        "EHXPLLL",
        a_FREQUENCY_PIN_CLKOP=f"{float(pll.out_hz) / 1e6:g}",
        a_ICP_CURRENT="12",
        a_LPF_RESISTOR="8",
        a_MFG_ENABLE_FILTEROPAMP="1",
        a_MFG_GMCREF_SEL="2",
        p_PLLRST_ENA="DISABLED",
        p_INTFB_WAKE="DISABLED",
        p_STDBY_ENABLE="DISABLED",
        p_DPHASE_SOURCE="DISABLED",
        p_OUTDIVIDER_MUXA="DIVA",
        p_OUTDIVIDER_MUXB="DIVB",
        p_OUTDIVIDER_MUXC="DIVC",
        p_OUTDIVIDER_MUXD="DIVD",
        p_CLKI_DIV=pll.reference,
        p_CLKFB_DIV=pll.feedback,
        p_CLKOP_ENABLE="ENABLED",
        p_CLKOP_DIV=pll.output,
        p_CLKOP_CPHASE=(pll.output - 1) // 2,
        p_CLKOP_FPHASE=0,
        p_FEEDBK_PATH="CLKOP",
        i_RST=Const(0),
        i_STDBY=Const(0),
        i_CLKI=source,
        i_CLKFB=clock,
        i_PHASESEL0=Const(0),
        i_PHASESEL1=Const(0),
        i_PHASEDIR=Const(1),
        i_PHASESTEP=Const(1),
        i_PHASELOADREG=Const(1),
        i_PLLWAKESYNC=Const(0),
        i_ENCLKOP=Const(0),
        o_CLKOP=clock,
        o_LOCK=locked,
    )
