"""Sends a core's last spikes, and what travels with them, to the next core of a chain."""

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.host import COUNTERS, PacketType
from hdl.layouts import AxiWord, width_for
from hdl.packing import SpikePacking

__all__ = ["SpikeSender"]


class SpikeSender(wiring.Component):
    """Sends a spike packet out of the spike memory, with counters and the origin of time behind it, or an error packet.

    A field a cycle, or a word a cycle where fields take whole words; counters take two cycles a word, two more a
    layer. Back-pressure: waits for ``ready``.

    Parameters
    ----------
    packing : SpikePacking
    base : int
        Address of the first spike word.
    address_bits : int
    layers : int
        Layers whose counters are sent, those of earlier cores included.

    Members
    -------
    send_result, send_error : In, one cycle, never while ``busy``; ``error`` and ``origin`` are held
    o : Out, stream of packet words
    reading : Out, the read port of the spike memory is taken
    enable, address : Out, that port; ``spikes``: In, the word read, one cycle later, then held
    counters_address : Out; ``counters``: In, the four counters of a layer, one cycle later
    """

    def __init__(self, packing: SpikePacking, *, base: int, address_bits: int, layers: int):
        self._packing, self._base, self._layers = packing, base, layers
        super().__init__(
            {
                "send_result": In(1),
                "send_error": In(1),
                "busy": Out(1),
                "error": In(unsigned(3)),
                "origin": In(unsigned(32)),
                "o": Out(stream.Signature(AxiWord)),
                "reading": Out(1),
                "enable": Out(1),
                "address": Out(unsigned(address_bits)),
                "spikes": In(unsigned(packing.lanes * (1 + packing.signed))),
                "counters_address": Out(unsigned(width_for(layers - 1))),
                "counters": In(unsigned(32 * len(COUNTERS))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        out = self.o.payload
        number = Signal(range(self._layers + 1))
        place = Signal(range(len(COUNTERS)))
        counter = Signal(32)
        m.d.sync += counter.eq(self.counters.word_select(place, 32))
        m.d.comb += self.counters_address.eq(number)
        word, full, finished = self._pack(m)

        def offer(value: object, following: str, *, last: bool = False) -> None:
            """Offer a word; on transfer go to the next state."""
            m.d.comb += [self.o.valid.eq(1), out.data.eq(value), out.last.eq(int(last))]
            with m.If(self.o.ready):
                m.next = following

        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.sync += [number.eq(0), place.eq(0)]
                with m.If(self.send_result):
                    m.next = "HEADER"
                with m.Elif(self.send_error):
                    m.next = "ERROR"
            with m.State("ERROR"):
                offer(PacketType.ERROR << 24 | 1, "CODE")
            with m.State("CODE"):
                offer(self.error, "IDLE", last=True)
            with m.State("HEADER"):
                offer(PacketType.SPIKES << 24 | self._packing.fields, "SPIKES")
            with m.State("SPIKES"):
                m.d.comb += [self.reading.eq(1), self.o.valid.eq(full), out.data.eq(word)]
                with m.If(finished):
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.next = "FETCHED"
            with m.State("FETCHED"):
                m.next = "COUNTER"
            with m.State("COUNTER"):
                offer(counter, "NEXT COUNTER")
                with m.If(self.o.ready):
                    m.d.sync += place.eq(place + 1)
            with m.State("NEXT COUNTER"):
                m.next = "COUNTER"
                with m.If(place == 0):
                    m.d.sync += number.eq(number + 1)
                    m.next = "FETCH"
                    with m.If(number == self._layers - 1):
                        m.next = "ORIGIN"
            with m.State("ORIGIN"):
                offer(self.origin, "IDLE", last=True)
        return m

    def _pack(self, m: Module) -> tuple[Signal, Signal, Signal]:
        """Fields into packet words while ``reading``: the word, whether it is there, and that the last one is taken."""
        packing = self._packing
        fields, parts = packing.fields_a_word, packing.words_a_field
        word, gathered, added = Signal(32), Signal(32), Signal(32)
        full, finished, read, more = (Signal(name=name) for name in ("full", "finished", "read", "more"))
        advance, last_part, last_field = (Signal(name=name) for name in ("advance", "last_part", "last_field"))
        left = Signal(range(packing.fields + 1))
        place = Signal(range(max(fields, parts, 2)))
        lanes, used = packing.lanes, packing.used
        field = self.spikes[:used]
        if packing.signed:
            field = Cat(field, self.spikes[lanes : lanes + used])
        padded = Signal(32 * parts if parts > 1 else packing.field_bits)
        m.d.comb += [
            padded.eq(field),
            advance.eq(self.reading & (~full | self.o.ready)),
            last_part.eq(place == parts - 1 if parts > 1 else 1),
            last_field.eq(left == 1),
            more.eq(left > read),  # ``left`` counts fields that are not in ``gathered`` yet
            self.enable.eq(advance & (~read | last_part)),
            finished.eq(advance & full & ~read & ~more),
        ]
        with m.If(~self.reading):
            m.d.sync += [
                self.address.eq(self._base),
                left.eq(packing.fields),
                place.eq(0),
                full.eq(0),
                read.eq(0),
            ]
        with m.If(self.enable):
            m.d.sync += [read.eq(more), self.address.eq(self.address + more)]
        with m.If(advance):
            m.d.sync += full.eq(0)
        if parts > 1:
            with m.If(advance & read):
                m.d.sync += [
                    word.eq(padded.word_select(place, 32)),
                    full.eq(1),
                    place.eq(Mux(last_part, 0, place + 1)),
                    left.eq(left - last_part),
                ]
            return word, full, finished
        m.d.comb += added.eq(Cat(gathered, padded)[packing.field_bits :])
        with m.If(advance & read):
            m.d.sync += [gathered.eq(added), left.eq(left - 1), place.eq(place + 1)]
            with m.If(last_field | (place == fields - 1)):
                unfilled = packing.field_bits * (fields - packing.fields_in_last)
                m.d.sync += [word.eq(Mux(last_field, added >> unfilled, added)), full.eq(1), place.eq(0)]
        return word, full, finished
