"""Takes packets of spikes and writes them into the spike memory."""

from amaranth import Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.host import ErrorCode, PacketType
from hdl.layouts import AxiWord
from hdl.packing import SpikePacking

__all__ = ["SpikeReceiver"]


class SpikeReceiver(wiring.Component):
    """Takes spike packets, writes their fields as spike words, and refuses malformed packets.

    A packet word of n fields takes n cycles, a field of n words too, with no idle cycle between words. A refused packet
    is read up to its last word, so the next one starts clean. A packet of the right size is written over all of the
    input's spike words.

    Parameters
    ----------
    packing : SpikePacking
    base : int
        Address of the first spike word.
    address_bits : int

    Members
    -------
    i : In, stream of packet words
    accept : In, a packet may start
    started : Out, one cycle, a well-formed header was taken
    done : Out, one cycle, after a good packet
    failed : Out, one cycle, after a refused packet; ``error`` says why
    write, address, data : Out, write port of the spike memory; unused lanes are 0
    """

    def __init__(self, packing: SpikePacking, *, base: int, address_bits: int):
        self._packing, self._base = packing, base
        super().__init__(
            {
                "i": In(stream.Signature(AxiWord)),
                "accept": In(1),
                "started": Out(1),
                "done": Out(1),
                "failed": Out(1),
                "error": Out(unsigned(3)),
                "write": Out(1),
                "address": Out(unsigned(address_bits)),
                "data": Out(unsigned(packing.lanes * (1 + packing.signed))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        packing, word = self._packing, self.i.payload
        error = Signal.like(self.error)
        index = Signal(range(max(2, packing.words)))
        last = Signal()
        taken = Signal()
        between = Signal()
        idle = self._unpack(m, taken, last, between)
        m.d.comb += [self.error.eq(error), last.eq(index == packing.words - 1)]

        def refuse(code: ErrorCode) -> None:
            m.d.sync += error.eq(code)
            with m.If(word.last):
                m.next = "FAILED"
            with m.Else():
                m.next = "DRAIN"

        with m.FSM():
            with m.State("HEADER"):
                m.d.comb += [self.i.ready.eq(self.accept), between.eq(1)]
                m.d.sync += [index.eq(0), self.address.eq(self._base)]
                with m.If(self.i.valid & self.accept):
                    with m.If(word.data[24:] != PacketType.SPIKES):
                        refuse(ErrorCode.TYPE)
                    with m.Elif(word.data[:24] != packing.fields):
                        refuse(ErrorCode.SIZE)
                    with m.Elif(word.last):
                        refuse(ErrorCode.SHORT)
                    with m.Else():
                        m.d.comb += self.started.eq(1)
                        m.next = "SPIKES"
            with m.State("SPIKES"):
                m.d.comb += [self.i.ready.eq(idle), taken.eq(self.i.valid & idle)]
                with m.If(taken):
                    m.d.sync += index.eq(index + 1)
                    with m.If(last):
                        with m.If(word.last):
                            m.next = "WRITE"
                        with m.Else():
                            refuse(ErrorCode.LONG)
                    with m.Elif(word.last):
                        refuse(ErrorCode.SHORT)
            with m.State("WRITE"), m.If(idle):
                m.next = "DONE"
            with m.State("DRAIN"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid & word.last):
                    m.next = "FAILED"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "HEADER"
            with m.State("FAILED"):
                m.d.comb += self.failed.eq(1)
                m.next = "HEADER"
        return m

    def _unpack(self, m: Module, taken: Signal, last: Signal, between: Signal) -> Signal:
        """Keep the word that is ``taken`` and write its fields; returns whether another one may come in this cycle.

        ``between`` packets, what a refused one left is dropped.
        """
        packing = self._packing
        idle = Signal()
        left = Signal(range(packing.fields_a_word + 1))
        held = Signal(32 * packing.words_a_field)
        lanes, used = packing.lanes, packing.used
        m.d.comb += [
            idle.eq(left <= 1),
            self.write.eq(left != 0),
            self.data[:used].eq(held[:used]),
        ]
        if packing.signed:
            m.d.comb += self.data[lanes : lanes + used].eq(held[used : 2 * used])
        with m.If(self.write):
            m.d.sync += [self.address.eq(self.address + 1), left.eq(left - 1)]
        if packing.words_a_field == 1:
            with m.If(self.write):
                m.d.sync += held.eq(held >> packing.field_bits)
            with m.If(taken):
                m.d.sync += [
                    held.eq(self.i.payload.data),
                    left.eq(Mux(last, packing.fields_in_last, packing.fields_a_word)),
                ]
        else:
            part = Signal(range(packing.words_a_field))
            with m.If(between):
                m.d.sync += part.eq(0)
            with m.If(taken):
                complete = part == packing.words_a_field - 1
                m.d.sync += [
                    held[:-32].eq(held[32:]),
                    held[-32:].eq(self.i.payload.data),
                    part.eq(Mux(complete, 0, part + 1)),
                    left.eq(complete),
                ]
        with m.If(between):
            m.d.sync += left.eq(0)
        return idle
