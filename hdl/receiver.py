"""Takes packets of spikes and writes them into the spike memory; in a chain, also what travels with them."""

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.hdl import Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.host import COUNTERS, ErrorCode, PacketType
from hdl.layouts import AxiWord, width_for
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
    before : int
        Layers that cores before this one ran. Where there are any, their counters and the origin of time follow
        the fields, and an error packet is refused with the error that it names.

    Members
    -------
    i : In, stream of packet words
    accept : In, a packet may start
    started : Out, one cycle, a well-formed header was taken
    done : Out, one cycle, after a good packet
    failed : Out, one cycle, after a refused packet; ``error`` says why
    write, address, data : Out, write port of the spike memory; unused lanes are 0
    counted, layer, counters : Out, in a chain: one cycle for each earlier layer, its index and its counters
    given, origin : Out, in a chain: one cycle, when the frame's header came to the first core
    """

    def __init__(self, packing: SpikePacking, *, base: int, address_bits: int, before: int = 0):
        self._packing, self._base, self._before = packing, base, before
        chained = {
            "counted": Out(1),
            "layer": Out(unsigned(width_for(before - 1))),
            "counters": Out(unsigned(32 * len(COUNTERS))),
            "given": Out(1),
            "origin": Out(unsigned(32)),
        }
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
                **(chained if before else {}),
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
        place = Signal(range(len(COUNTERS)))
        number = Signal(range(self._before + 1))
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
                m.d.sync += [index.eq(0), place.eq(0), number.eq(0), self.address.eq(self._base)]
                with m.If(self.i.valid & self.accept):
                    if self._before:
                        with m.If((word.data == PacketType.ERROR << 24 | 1) & ~word.last):
                            m.next = "RELAY"
                    with (m.Elif if self._before else m.If)(word.data[24:] != PacketType.SPIKES):
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
                    if self._before:
                        with m.If(word.last):
                            refuse(ErrorCode.SHORT)
                        with m.Elif(last):
                            m.next = "COUNTERS"
                    else:
                        with m.If(last):
                            with m.If(word.last):
                                m.next = "WRITE"
                            with m.Else():
                                refuse(ErrorCode.LONG)
                        with m.Elif(word.last):
                            refuse(ErrorCode.SHORT)
            if self._before:
                with m.State("COUNTERS"):
                    m.d.comb += self.i.ready.eq(1)
                    with m.If(self.i.valid):
                        with m.If(self._passengers(m, place, number)):
                            with m.If(word.last):
                                m.next = "WRITE"
                            with m.Else():
                                refuse(ErrorCode.LONG)
                        with m.Elif(word.last):
                            refuse(ErrorCode.SHORT)
                with m.State("RELAY"):
                    m.d.comb += self.i.ready.eq(1)
                    m.d.sync += error.eq(word.data[: len(error)])
                    with m.If(self.i.valid):
                        m.next = "DRAIN"
                        with m.If(word.last):
                            m.next = "FAILED"
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

    def _passengers(self, m: Module, place: Signal, number: Signal) -> Value:
        """Tell the word that is there, of those behind the fields; returns whether it is the last of them."""
        gathered = Signal(32 * (len(COUNTERS) - 1))
        origin = number == self._before
        complete = place == len(COUNTERS) - 1
        word = self.i.payload.data
        m.d.comb += [
            self.layer.eq(number),
            self.counters.eq(Cat(gathered, word)),
            self.counted.eq(complete),
            self.given.eq(origin),
            self.origin.eq(word),
        ]
        m.d.sync += [
            gathered.eq(Cat(gathered[32:], word)),
            place.eq(Mux(complete | origin, 0, place + 1)),
            number.eq(Mux(origin, 0, number + complete)),
        ]
        return origin

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
