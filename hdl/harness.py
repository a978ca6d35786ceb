"""The core behind ten pins, for place and route where nothing is known about the board."""

from amaranth import Cat, ClockDomain, Module, ResetInserter, Signal
from amaranth.back import rtlil, verilog
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.chain import Chain
from hdl.core import Core
from hdl.loaded import without_contents

__all__ = ["PIN_REGISTERS", "TOP", "Harness", "harness_rtlil", "harness_verilog"]

TOP = "top"
"""Name of the module that ``harness_rtlil`` writes."""
PIN_REGISTERS = 2 * (32 + 1 + 1) + 6
"""Flip-flops that the harness adds to the core: a word, its ``last`` and a flag each way, and six pins."""


class Harness(wiring.Component):
    """A core whose two streams are shifted in and out bit by bit, so that its size in pins says nothing.

    The streams have more pins than small packages. Every path between the core and the outside
    starts or ends in a register here, so that the timing of the core's own interface is part of what
    place and route reports, and no pin's delay is. The ``spike_*`` ports stay open: only the test bench reads them.

    A word in: 33 clocks of ``i_shift``, lowest bit of the data first, ``last`` at the end; then one clock of ``i_offer``. The
    next may follow when ``i_full`` is low. A word out: ``o_full`` says that one is there; ``o_bit`` is its lowest bit, each
    clock of ``o_shift`` brings the next, ``last`` comes after the data; one clock of ``o_release`` makes room.
    Pins take effect one clock late.

    Where weights are external, what the memory says comes in over ``memory_bit``, a bit a clock through a register as wide as the
    port's inputs, and the port's outputs leave through registers as one parity bit: that is for place and route alone.

    Parameters
    ----------
    core : Core or Chain

    Members
    -------
    reset, i_bit, i_shift, i_offer, o_shift, o_release : In
    i_full, o_bit, o_full : Out
    memory_bit : In, ``memory_parity`` : Out, only where weights are external
    """

    def __init__(self, core: Core | Chain):
        self._core = core
        pins_in = ("reset", "i_bit", "i_shift", "i_offer", "o_shift", "o_release")
        pins_out = ("i_full", "o_bit", "o_full")
        self._memory = [name for name in core.signature.members if name.startswith("m_axi_")]
        memory = {"memory_bit": In(1), "memory_parity": Out(1)} if self._memory else {}
        super().__init__({**dict.fromkeys(pins_in, In(1)), **dict.fromkeys(pins_out, Out(1)), **memory})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        core = self._core
        reset = Signal()
        m.submodules.core = ResetInserter(reset)(core)
        i_bit, i_shift, i_offer, o_shift, o_release = (Signal(name=f"{n}_pin") for n in (
            "i_bit", "i_shift", "i_offer", "o_shift", "o_release"
        ))  # fmt: skip
        i_word, o_word = (Signal(33, name=name) for name in ("i_word", "o_word"))
        i_full, o_full = (Signal(name=f"{name}_pin") for name in ("i_full", "o_full"))
        m.d.sync += [
            reset.eq(self.reset),
            i_bit.eq(self.i_bit),
            i_shift.eq(self.i_shift),
            i_offer.eq(self.i_offer),
            o_shift.eq(self.o_shift),
            o_release.eq(self.o_release),
        ]
        m.d.comb += [
            core.s_axis_tdata.eq(i_word[:32]),
            core.s_axis_tlast.eq(i_word[32]),
            core.s_axis_tvalid.eq(i_full),
            core.m_axis_tready.eq(~o_full),
            self.i_full.eq(i_full),
            self.o_bit.eq(o_word[0]),
            self.o_full.eq(o_full),
        ]
        with m.If(i_shift):
            m.d.sync += i_word.eq((i_word >> 1) | (i_bit << 32))
        with m.If(i_offer):
            m.d.sync += i_full.eq(1)
        with m.Elif(core.s_axis_tready):
            m.d.sync += i_full.eq(0)
        with m.If(~o_full):
            m.d.sync += o_word.eq(core.m_axis_tdata | (core.m_axis_tlast << 32))
            with m.If(core.m_axis_tvalid):
                m.d.sync += o_full.eq(1)
        with m.Else():
            with m.If(o_shift):
                m.d.sync += o_word.eq(o_word >> 1)
            with m.If(o_release):
                m.d.sync += o_full.eq(0)
        with m.If(reset):
            m.d.sync += [i_full.eq(0), o_full.eq(0)]
        if self._memory:
            self._connect_memory(m)
        return m

    def _connect_memory(self, m: Module) -> None:
        """The memory's port behind registers."""
        core = self._core
        members = core.signature.members
        given = Cat(getattr(core, name) for name in self._memory if members[name].flow is In)
        told = Cat(getattr(core, name) for name in self._memory if members[name].flow is Out)
        said, asked = Signal(len(given), name="memory_said"), Signal(len(told), name="memory_asked")
        m.d.comb += given.eq(said)
        m.d.sync += [
            said.eq(Cat(self.memory_bit, said)),
            asked.eq(told),
            self.memory_parity.eq(asked.xor()),
        ]


def _top(core: Core | Chain) -> tuple[Module, dict[str, tuple[Value, None]]]:
    """The module ``TOP`` and its ports; the domain has no reset of its own, the harness gives one to the core."""
    m = Module()
    m.domains.sync = clock = ClockDomain(reset_less=True)
    m.submodules.harness = harness = Harness(core)
    ports = {"clk": (clock.clk, None)}
    return m, ports | {name: (getattr(harness, name), None) for name in harness.signature.members}


def harness_rtlil(core: Core | Chain) -> str:
    """The core in its harness as RTLIL, module ``TOP``; its one clock is ``clk``.

    Without source locations, so that the text is the same on every machine.
    """
    m, ports = _top(core)
    text = rtlil.convert(m, name=TOP, ports=ports, emit_src=False)
    return without_contents(text) if core.loadable else text


def harness_verilog(core: Core | Chain) -> str:
    """The same as Verilog."""
    m, ports = _top(core)
    text = verilog.convert(m, name=TOP, ports=ports, emit_src=False, strip_internal_attrs=True)
    return without_contents(text) if core.loadable else text
