"""Packets between host and core: frames in, results or errors out.

Words are 32 bits. The first word of a packet holds its type in bits 31…24 and the number that
follows the type: ``FRAME``: pixels of the frame; ``SPIKES``: fields of the frame; ``RESULT`` and ``ERROR``: words
after the first.

frame:  header, pixels four to a word, the first in the lowest byte, order (y, x, c)
spikes: header, fields of spikes as ``hdl.packing`` lays them out
result: header, network id, scores, prediction, for each layer (cycles, events, operations,
        spikes), cycles of the whole inference
error:  header, ``ErrorCode``
load:   header, the network as ``toolchain.loading`` packs it; answered by loaded: header, network id. Cores whose
        memories hold their network refuse it as ``TYPE``
"""

import enum

from amaranth import Module, Mux, Signal, signed, unsigned
from amaranth.hdl import ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.layouts import AxiWord, lanes_layout, width_for

__all__ = ["COUNTERS", "ERROR_BITS", "ErrorCode", "FrameReceiver", "PacketType", "ResultSender", "result_words"]

ERROR_BITS = 16
"""Of an error code where networks are loaded."""
COUNTERS = ("cycles", "events", "operations", "spikes")
"""Counters of a layer, in packet order, 32 bits each."""


class PacketType(enum.IntEnum):
    """Bits 31…24 of a packet's first word."""

    FRAME = 0x01
    SPIKES = 0x02
    LOAD = 0x10
    RESULT = 0x81
    LOADED = 0x90
    ERROR = 0xEE


class ErrorCode(enum.IntEnum):
    """Why a packet was refused.

    Of load packets only: ``VERSION`` of the format; ``FEATURES``: another neuron, other lanes, or made for a core of another
    capacity; ``CAPACITY``: too large, with the number of the dimension (``hdl.capacity.DIMENSIONS``) in bits 15…8;
    ``CHECKSUM``. Of frames: ``NETWORK``: none was loaded; ``MEMORY``: the external memory answered a read of weights with an
    error or with another number of beats, and the frame was given up.
    """

    TYPE = 1
    SIZE = 2
    SHORT = 3
    LONG = 4
    MEMORY = 5
    VERSION = 8
    FEATURES = 9
    CAPACITY = 10
    CHECKSUM = 11
    NETWORK = 12


def result_words(classes: int, layers: int) -> int:
    """Words of a result packet after its header: id, scores, prediction, counters, cycles."""
    return 1 + classes + 1 + len(COUNTERS) * layers + 1


class FrameReceiver(wiring.Component):
    """Takes frame packets, writes pixels to the frame memory, and refuses malformed packets.

    One word a cycle while ``accept``. A refused packet is read up to its last word, so the next one
    starts clean. A frame of the right size is written over the whole frame memory.

    Parameters
    ----------
    pixels : int
        Pixels of a frame.
    settings : StructLayout or None
        Of a core whose networks are loaded: ``pixels`` is the largest number then, the network's own comes with it, and
        a frame before any network is refused.

    Members
    -------
    i : In, stream of packet words
    accept : In, a packet may start
    started : Out, one cycle, a well-formed header was taken
    done : Out, one cycle, after a good frame
    failed : Out, one cycle, after a refused packet; ``error`` says why
    write, word, data : Out, write port of the frame memory, four pixels a word
    """

    def __init__(self, *, pixels: int, settings: data.StructLayout | None = None):
        self._pixels = pixels
        self._words = -(-pixels // 4)
        self._loaded = settings is not None
        super().__init__(
            {
                "i": In(stream.Signature(AxiWord)),
                "accept": In(1),
                "started": Out(1),
                "done": Out(1),
                "failed": Out(1),
                "error": Out(unsigned(ERROR_BITS if self._loaded else 3)),
                **({} if settings is None else {"settings": In(settings)}),
                "write": Out(1),
                "word": Out(unsigned(width_for(self._words))),
                "data": Out(unsigned(32)),
            }
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

        def refuse(code: ErrorCode) -> None:
            m.d.sync += error.eq(code)
            with m.If(word.last):
                m.next = "FAILED"
            with m.Else():
                m.next = "DRAIN"

        with m.FSM():
            with m.State("HEADER"):
                m.d.comb += self.i.ready.eq(self.accept)
                m.d.sync += index.eq(0)
                with m.If(self.i.valid & self.accept):
                    with m.If(word.data[24:] != PacketType.FRAME):
                        refuse(ErrorCode.TYPE)
                    if self._loaded:
                        with m.Elif(~self.settings.loaded):
                            refuse(ErrorCode.NETWORK)
                    with m.Elif(word.data[:24] != pixels):
                        refuse(ErrorCode.SIZE)
                    with m.Elif(word.last):
                        refuse(ErrorCode.SHORT)
                    with m.Else():
                        m.d.comb += self.started.eq(1)
                        m.next = "PIXELS"
            with m.State("PIXELS"):
                m.d.comb += [self.i.ready.eq(1), self.write.eq(self.i.valid)]
                with m.If(self.i.valid):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == last_word):
                        with m.If(word.last):
                            m.next = "DONE"
                        with m.Else():
                            refuse(ErrorCode.LONG)
                    with m.Elif(word.last):
                        refuse(ErrorCode.SHORT)
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


class ResultSender(wiring.Component):
    """Sends the result packet or an error packet; the arg-max is found while the scores pass.

    One word every two cycles (each is fetched, then offered from a register). Back-pressure: waits for ``ready``.

    Parameters
    ----------
    classes, layers, lanes : int
    membrane_bits : int
        Width of a score, at most 32; sent sign-extended.
    network_id : int
        32 bits sent in every result, the first digits of the network's fingerprint.
    settings : StructLayout or None
        Of a core whose networks are loaded: numbers are the largest then, and the network's own come with it.

    Members
    -------
    send_result, send_error : In, one cycle, never while ``busy``; ``error`` and ``cycles`` are held
    send_loaded : In, likewise, where networks are loaded
    o : Out, stream of packet words
    read_word : Out, membrane readout; ``scores``: In, the word read, three cycles later, while that stays
    counters_address : Out; ``counters``: In, the four counters of a layer, one cycle later
    """

    def __init__(
        self,
        *,
        classes: int,
        layers: int,
        lanes: int,
        membrane_bits: int,
        network_id: int,
        settings: data.StructLayout | None = None,
    ):
        self._classes, self._layers, self._lanes = classes, layers, lanes
        self._network_id = network_id
        self._loaded = settings is not None
        super().__init__(
            {
                "send_result": In(1),
                "send_error": In(1),
                "busy": Out(1),
                "error": In(unsigned(ERROR_BITS if self._loaded else 3)),
                **({} if settings is None else {"settings": In(settings), "send_loaded": In(1)}),
                "cycles": In(unsigned(32)),
                "o": Out(stream.Signature(AxiWord)),
                "read_word": Out(unsigned(width_for(max(1, -(-classes // lanes) - 1)))),
                "scores": In(lanes_layout(membrane_bits, lanes)),
                "counters_address": Out(unsigned(width_for(layers - 1))),
                "counters": In(unsigned(32 * len(COUNTERS))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        out = self.o.payload
        number = Signal(unsigned(width_for(max(self._classes, self._layers))))
        lane = Signal(unsigned(width_for(self._lanes - 1)))
        place = Signal(unsigned(width_for(len(COUNTERS) - 1)))
        word = Signal.like(self.read_word)
        prediction = Signal.like(number)
        values = self.scores.as_value()
        size = len(values) // self._lanes
        score = Signal(signed(size))
        best = Signal(signed(size))
        counter = Signal(32)
        m.d.sync += [
            score.eq(values.word_select(lane, size).as_signed()),
            counter.eq(self.counters.word_select(place, 32)),
        ]
        m.d.comb += [self.read_word.eq(word), self.counters_address.eq(number)]

        following: ValueLike = result_words(self._classes, self._layers)
        network_id: ValueLike = self._network_id
        last_class: ValueLike = self._classes - 1
        last_layer: ValueLike = self._layers - 1
        if self._loaded:
            settings = self.settings
            following, network_id = settings.result_words, settings.network_id
            last_class, last_layer = settings.last_class, settings.last_layer

        def offer(value: object, following: str, *, last: bool = False) -> None:
            """Offer a word; on transfer go to the next state."""
            m.d.comb += [self.o.valid.eq(1), out.data.eq(value), out.last.eq(int(last))]
            with m.If(self.o.ready):
                m.next = following

        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.sync += [number.eq(0), lane.eq(0), place.eq(0), word.eq(0), prediction.eq(0)]
                with m.If(self.send_result):
                    m.next = "RESULT"
                with m.Elif(self.send_error):
                    m.next = "ERROR"
                if self._loaded:
                    with m.Elif(self.send_loaded):
                        m.next = "LOADED"
            if self._loaded:
                with m.State("LOADED"):
                    offer(PacketType.LOADED << 24 | 1, "LOADED ID")
                with m.State("LOADED ID"):
                    offer(network_id, "IDLE", last=True)
            with m.State("ERROR"):
                offer(PacketType.ERROR << 24 | 1, "CODE")
            with m.State("CODE"):
                offer(self.error, "IDLE", last=True)
            with m.State("RESULT"):
                offer(PacketType.RESULT << 24 | following, "ID")
            with m.State("ID"):
                offer(network_id, "READ")
            with m.State("READ"):
                m.next = "AWAIT"
            with m.State("AWAIT"):
                m.next = "SELECT"
            with m.State("SELECT"):
                m.next = "SCORE"
            with m.State("SCORE"):
                offer(score, "NEXT SCORE")
                with m.If(self.o.ready):  # the score of the next lane comes two cycles later
                    m.d.sync += lane.eq(lane + 1)
                    with m.If(lane == self._lanes - 1):
                        m.d.sync += [lane.eq(0), word.eq(word + 1)]
            with m.State("NEXT SCORE"):
                with m.If((number == 0) | (score > best)):
                    m.d.sync += [best.eq(score), prediction.eq(number)]
                m.d.sync += number.eq(number + 1)
                with m.If(number == last_class):
                    m.next = "PREDICTION"
                with m.Elif(lane == 0):
                    m.next = "READ"
                with m.Else():
                    m.next = "SCORE"
            with m.State("PREDICTION"):
                m.d.sync += number.eq(0)
                offer(prediction, "FETCH")
            with m.State("FETCH"):
                m.next = "FETCHED"
            with m.State("FETCHED"):
                m.next = "COUNTER"
            with m.State("COUNTER"):
                offer(counter, "NEXT COUNTER")
                with m.If(self.o.ready):
                    m.d.sync += place.eq(Mux(place == len(COUNTERS) - 1, 0, place + 1))
            with m.State("NEXT COUNTER"):
                m.next = "COUNTER"
                with m.If(place == 0):
                    m.d.sync += number.eq(number + 1)
                    m.next = "FETCH"
                    with m.If(number == last_layer):
                        m.next = "CYCLES"
            with m.State("CYCLES"):
                offer(self.cycles, "IDLE", last=True)
        return m
