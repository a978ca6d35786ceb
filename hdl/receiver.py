"""Takes packets from the host or the core before: frames into the frame memory, spikes into the spike memory."""

from collections.abc import Mapping
from typing import Any

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.hdl import Value, ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.host import COUNTERS, ERROR_BITS, ErrorCode, PacketType
from hdl.layouts import AxiWord, width_for
from hdl.packing import SpikePacking

__all__ = ["FrameReceiver", "PacketReceiver", "SpikeReceiver"]


class PacketReceiver(wiring.Component):
    """What takes packets of one kind and refuses malformed ones: their first word, their last word, and the ends.

    A refused packet is read up to its last word, so the next one starts clean.

    Parameters
    ----------
    members : dict
        Those of the kind, beside the ones below.
    error_bits : int

    Members
    -------
    i : In, stream of packet words
    accept : In, a packet may start
    started : Out, one cycle, a well-formed header was taken
    done : Out, one cycle, after a good packet
    failed : Out, one cycle, after a refused packet; ``error`` says why
    """

    def __init__(self, members: Mapping[str, Any], *, error_bits: int = 3):
        super().__init__(
            {
                "i": In(stream.Signature(AxiWord)),
                "accept": In(1),
                "started": Out(1),
                "done": Out(1),
                "failed": Out(1),
                "error": Out(unsigned(error_bits)),
                **members,
            }
        )

    def _refuse(self, m: Module, error: Signal, code: ErrorCode) -> None:
        """Keep the code, and read what is left of the packet."""
        m.d.sync += error.eq(code)
        with m.If(self.i.payload.last):
            m.next = "FAILED"
        with m.Else():
            m.next = "DRAIN"

    def _header(self, m: Module, error: Signal, checks: Mapping[ErrorCode | str, ValueLike], following: str) -> None:
        """Of a state that is ready at ``accept``: take the first word. The first of ``checks`` that holds refuses it, or leads to the state it names."""
        with m.If(self.i.valid & self.accept):
            for place, (what, found) in enumerate(checks.items()):
                with (m.Elif if place else m.If)(found):
                    if isinstance(what, ErrorCode):
                        self._refuse(m, error, what)
                    else:
                        m.next = what
            with m.Else():
                m.d.comb += self.started.eq(1)
                m.next = following

    def _length(self, m: Module, error: Signal, last: ValueLike, following: str) -> None:
        """Of a state that takes a word: ``tlast`` must stand at the ``last`` one, and nowhere else."""
        with m.If(last):
            with m.If(self.i.payload.last):
                m.next = following
            with m.Else():
                self._refuse(m, error, ErrorCode.LONG)
        with m.Elif(self.i.payload.last):
            self._refuse(m, error, ErrorCode.SHORT)

    def _ends(self, m: Module) -> None:
        """The states behind a packet."""
        with m.State("DRAIN"):
            m.d.comb += self.i.ready.eq(1)
            with m.If(self.i.valid & self.i.payload.last):
                m.next = "FAILED"
        with m.State("DONE"):
            m.d.comb += self.done.eq(1)
            m.next = "HEADER"
        with m.State("FAILED"):
            m.d.comb += self.failed.eq(1)
            m.next = "HEADER"


class FrameReceiver(PacketReceiver):
    """Takes frame packets, writes pixels to the frame memory, and refuses malformed packets.

    One word a cycle while ``accept``. A frame of the right size is written over the whole frame memory.

    Parameters
    ----------
    pixels : int
        Pixels of a frame.
    settings : StructLayout or None
        Of a core whose networks are loaded: ``pixels`` is the largest number then, the network's own comes with it, and
        a frame before any network is refused.

    Members
    -------
    Those of ``PacketReceiver``, and

    write, word, data : Out, write port of the frame memory, four pixels a word
    """

    def __init__(self, *, pixels: int, settings: data.StructLayout | None = None):
        self._pixels = pixels
        self._words = -(-pixels // 4)
        self._loaded = settings is not None
        super().__init__(
            {
                **({} if settings is None else {"settings": In(settings)}),
                "write": Out(1),
                "word": Out(unsigned(width_for(self._words))),
                "data": Out(unsigned(32)),
            },
            error_bits=ERROR_BITS if self._loaded else 3,
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word = self.i.payload
        error = Signal.like(self.error)
        m.d.comb += [self.error.eq(error), self.data.eq(word.data)]
        index = Signal.like(self.word)
        m.d.comb += self.word.eq(index)
        pixels: ValueLike = self._pixels
        last_word: ValueLike = self._words - 1
        if self._loaded:
            pixels, last_word = self.settings.pixels, self.settings.last_frame_word

        checks: dict[ErrorCode | str, ValueLike] = {ErrorCode.TYPE: word.data[24:] != PacketType.FRAME}
        if self._loaded:
            checks[ErrorCode.NETWORK] = ~self.settings.loaded
        checks |= {ErrorCode.SIZE: word.data[:24] != pixels, ErrorCode.SHORT: word.last}
        with m.FSM():
            with m.State("HEADER"):
                m.d.comb += self.i.ready.eq(self.accept)
                m.d.sync += index.eq(0)
                self._header(m, error, checks, "PIXELS")
            with m.State("PIXELS"):
                m.d.comb += [self.i.ready.eq(1), self.write.eq(self.i.valid)]
                with m.If(self.i.valid):
                    m.d.sync += index.eq(index + 1)
                    self._length(m, error, index == last_word, "DONE")
            self._ends(m)
        return m


class SpikeReceiver(PacketReceiver):
    """Takes spike packets, writes their fields as spike words, and refuses malformed packets.

    A packet word of n fields takes n cycles, a field of n words too, with no idle cycle between words. A packet of the
    right size is written over all of the input's spike words.

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
    Those of ``PacketReceiver``, and

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

        checks: dict[ErrorCode | str, ValueLike] = {}
        if self._before:
            checks["RELAY"] = (word.data == PacketType.ERROR << 24 | 1) & ~word.last
        checks |= {
            ErrorCode.TYPE: word.data[24:] != PacketType.SPIKES,
            ErrorCode.SIZE: word.data[:24] != packing.fields,
            ErrorCode.SHORT: word.last,
        }
        with m.FSM():
            with m.State("HEADER"):
                m.d.comb += [self.i.ready.eq(self.accept), between.eq(1)]
                m.d.sync += [index.eq(0), place.eq(0), number.eq(0), self.address.eq(self._base)]
                self._header(m, error, checks, "SPIKES")
            with m.State("SPIKES"):
                m.d.comb += [self.i.ready.eq(idle), taken.eq(self.i.valid & idle)]
                with m.If(taken):
                    m.d.sync += index.eq(index + 1)
                    if self._before:
                        with m.If(word.last):
                            self._refuse(m, error, ErrorCode.SHORT)
                        with m.Elif(last):
                            m.next = "COUNTERS"
                    else:
                        self._length(m, error, last, "WRITE")
            if self._before:
                with m.State("COUNTERS"):
                    m.d.comb += self.i.ready.eq(1)
                    with m.If(self.i.valid):
                        self._length(m, error, self._passengers(m, place, number), "WRITE")
                with m.State("RELAY"):
                    m.d.comb += self.i.ready.eq(1)
                    m.d.sync += error.eq(word.data[: len(error)])
                    with m.If(self.i.valid):
                        m.next = "DRAIN"
                        with m.If(word.last):
                            m.next = "FAILED"
            with m.State("WRITE"), m.If(idle):
                m.next = "DONE"
            self._ends(m)
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
