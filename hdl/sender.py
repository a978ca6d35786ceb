"""Sends what a core has computed: results to the host; in a chain its last spikes, and what travels with them, to the next core."""

from collections.abc import Mapping
from typing import Any

from amaranth import Array, Cat, Module, Mux, Signal, signed, unsigned
from amaranth.hdl import ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.host import COUNTERS, ERROR_BITS, PacketType, result_words
from hdl.layouts import AxiWord, lanes_layout, width_for
from hdl.packing import SpikePacking

__all__ = ["PacketSender", "ResultSender", "SpikeSender"]

_NEIGHBOURS = 8
"""Lanes whose scores are chosen from in one cycle."""


class PacketSender(wiring.Component):
    """What sends packets of results of one kind, with the counters of each layer, or an error packet.

    Back-pressure: waits for ``ready``.

    Parameters
    ----------
    members : dict
        Those of the kind, beside the ones below.
    layers : int
        Layers whose counters are sent.
    error_bits : int

    Members
    -------
    send_result, send_error : In, one cycle, never while ``busy``; ``error`` is held
    o : Out, stream of packet words
    counters_address : Out; ``counters``: In, the four counters of a layer, one cycle later
    """

    def __init__(self, members: Mapping[str, Any], *, layers: int, error_bits: int = 3):
        super().__init__(
            {
                "send_result": In(1),
                "send_error": In(1),
                "busy": Out(1),
                "error": In(unsigned(error_bits)),
                "o": Out(stream.Signature(AxiWord)),
                **members,
                "counters_address": Out(unsigned(width_for(layers - 1))),
                "counters": In(unsigned(32 * len(COUNTERS))),
            }
        )

    def _offer(self, m: Module, value: object, following: str, *, last: bool = False) -> None:
        """Of a state: offer a word; on transfer go to the next state."""
        m.d.comb += [self.o.valid.eq(1), self.o.payload.data.eq(value), self.o.payload.last.eq(int(last))]
        with m.If(self.o.ready):
            m.next = following

    def _start(self, m: Module, asked: Mapping[str, ValueLike]) -> None:
        """Of the state ``IDLE``: go to the first state whose packet is asked for."""
        for place, (state, send) in enumerate(asked.items()):
            with (m.Elif if place else m.If)(send):
                m.next = state

    def _error_states(self, m: Module) -> None:
        """The states ``ERROR`` and ``CODE``: the error packet."""
        with m.State("ERROR"):
            self._offer(m, PacketType.ERROR << 24 | 1, "CODE")
        with m.State("CODE"):
            self._offer(m, self.error, "IDLE", last=True)

    def _counter_states(
        self,
        m: Module,
        counter: Signal,
        place: Signal,
        number: Signal,
        *,
        next_place: ValueLike,
        last_layer: ValueLike,
        following: str,
    ) -> None:
        """The states from ``FETCH``: ``counter`` at ``place`` of layer ``number``, from 0 to the ``last_layer``."""
        with m.State("FETCH"):
            m.next = "FETCHED"
        with m.State("FETCHED"):
            m.next = "COUNTER"
        with m.State("COUNTER"):
            self._offer(m, counter, "NEXT COUNTER")
            with m.If(self.o.ready):
                m.d.sync += place.eq(next_place)
        with m.State("NEXT COUNTER"):
            m.next = "COUNTER"
            with m.If(place == 0):
                m.d.sync += number.eq(number + 1)
                m.next = "FETCH"
                with m.If(number == last_layer):
                    m.next = following


class ResultSender(PacketSender):
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
    Those of ``PacketSender``, and

    cycles : In, held as ``error`` is
    send_loaded : In, as ``send_result``, where networks are loaded
    read_word : Out, membrane readout; ``scores``: In, the word read, three cycles later, while that stays
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
                **({} if settings is None else {"settings": In(settings), "send_loaded": In(1)}),
                "cycles": In(unsigned(32)),
                "read_word": Out(unsigned(width_for(max(1, -(-classes // lanes) - 1)))),
                "scores": In(lanes_layout(membrane_bits, lanes)),
            },
            layers=layers,
            error_bits=ERROR_BITS if self._loaded else 3,
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
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
        # two steps, each with a cycle of its own: among neighbours, then among those
        near = [Signal(signed(size), name=f"near_{first}") for first in range(0, self._lanes, _NEIGHBOURS)]
        places = width_for(_NEIGHBOURS - 1)
        m.d.sync += [
            *(
                signal.eq(values[number * _NEIGHBOURS * size :].word_select(lane[:places], size))
                for number, signal in enumerate(near)
            ),
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

        def take_score() -> None:
            """Offer the score of ``lane``; that of the next one is on its way meanwhile."""
            m.d.sync += [score.eq(Array(near)[lane[places:]]), lane.eq(lane + 1)]
            with m.If(lane == self._lanes - 1):
                m.d.sync += [lane.eq(0), word.eq(word + 1)]
            m.next = "SCORE"

        asked: dict[str, ValueLike] = {"RESULT": self.send_result, "ERROR": self.send_error}
        if self._loaded:
            asked["LOADED"] = self.send_loaded
        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.sync += [number.eq(0), lane.eq(0), place.eq(0), word.eq(0), prediction.eq(0)]
                self._start(m, asked)
            if self._loaded:
                with m.State("LOADED"):
                    self._offer(m, PacketType.LOADED << 24 | 1, "LOADED ID")
                with m.State("LOADED ID"):
                    self._offer(m, network_id, "IDLE", last=True)
            self._error_states(m)
            with m.State("RESULT"):
                self._offer(m, PacketType.RESULT << 24 | following, "ID")
            with m.State("ID"):
                self._offer(m, network_id, "READ")
            with m.State("READ"):
                m.next = "AWAIT"
            with m.State("AWAIT"):
                m.next = "SELECT"
            with m.State("SELECT"):
                take_score()
            with m.State("SCORE"):
                self._offer(m, score, "NEXT SCORE")
            with m.State("NEXT SCORE"):
                with m.If((number == 0) | (score > best)):
                    m.d.sync += [best.eq(score), prediction.eq(number)]
                m.d.sync += number.eq(number + 1)
                with m.If(number == last_class):
                    m.next = "PREDICTION"
                with m.Elif(lane == 0):
                    m.next = "READ"
                with m.Else():
                    take_score()
            with m.State("PREDICTION"):
                m.d.sync += number.eq(0)
                self._offer(m, prediction, "FETCH")
            self._counter_states(
                m,
                counter,
                place,
                number,
                next_place=Mux(place == len(COUNTERS) - 1, 0, place + 1),
                last_layer=last_layer,
                following="CYCLES",
            )
            with m.State("CYCLES"):
                self._offer(m, self.cycles, "IDLE", last=True)
        return m


class SpikeSender(PacketSender):
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
    Those of ``PacketSender``, and

    origin : In, held as ``error`` is
    reading : Out, the read port of the spike memory is taken
    enable, address : Out, that port; ``spikes``: In, the word read, one cycle later, then held
    """

    def __init__(self, packing: SpikePacking, *, base: int, address_bits: int, layers: int):
        self._packing, self._base, self._layers = packing, base, layers
        super().__init__(
            {
                "origin": In(unsigned(32)),
                "reading": Out(1),
                "enable": Out(1),
                "address": Out(unsigned(address_bits)),
                "spikes": In(unsigned(packing.lanes * (1 + packing.signed))),
            },
            layers=layers,
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        number = Signal(range(self._layers + 1))
        place = Signal(range(len(COUNTERS)))
        counter = Signal(32)
        m.d.sync += counter.eq(self.counters.word_select(place, 32))
        m.d.comb += self.counters_address.eq(number)
        word, full, finished = self._pack(m)

        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.sync += [number.eq(0), place.eq(0)]
                self._start(m, {"HEADER": self.send_result, "ERROR": self.send_error})
            self._error_states(m)
            with m.State("HEADER"):
                self._offer(m, PacketType.SPIKES << 24 | self._packing.fields, "SPIKES")
            with m.State("SPIKES"):
                m.d.comb += [self.reading.eq(1), self.o.valid.eq(full), self.o.payload.data.eq(word)]
                with m.If(finished):
                    m.next = "FETCH"
            self._counter_states(
                m, counter, place, number, next_place=place + 1, last_layer=self._layers - 1, following="ORIGIN"
            )
            with m.State("ORIGIN"):
                self._offer(m, self.origin, "IDLE", last=True)
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
