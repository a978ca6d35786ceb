"""Takes frames of spikes where the network, and with it their packing, is loaded; and frames of either kind."""

from amaranth import Module, Mux, Signal, unsigned
from amaranth.hdl import ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.host import ERROR_BITS, ErrorCode, PacketType
from hdl.layouts import AxiWord, width_for
from hdl.receiver import FrameReceiver, PacketReceiver

__all__ = ["EitherReceiver", "LoadedSpikeReceiver"]

_WORD = 32


class LoadedSpikeReceiver(PacketReceiver):
    """Takes spike packets as ``SpikeReceiver`` does, in the packing of the network that was loaded.

    A packet word of n fields takes n cycles, a field of n words too, with no idle cycle between words. A packet of the
    right size is written over all of the input's spike words. Without a network packets are refused.

    Parameters
    ----------
    lanes : int
    signed_spikes : bool
        Fields hold signs above the spikes.
    address_bits : int
    settings : StructLayout
        ``hdl.layouts.settings_layout`` with ``spike_words``.

    Members
    -------
    Those of ``PacketReceiver``, and

    settings : In
    busy : Out, the last word was taken, and fields of it are still to be written; no network may be loaded meanwhile
    write, address, data : Out, write port of the spike memory; unused lanes are 0
    """

    def __init__(self, *, lanes: int, signed_spikes: bool, address_bits: int, settings: data.StructLayout):
        self._lanes, self._signed = lanes, signed_spikes
        self._parts = -(-lanes * (1 + signed_spikes) // _WORD)
        super().__init__(
            {
                "settings": In(settings),
                "busy": Out(1),
                "write": Out(1),
                "address": Out(unsigned(address_bits)),
                "data": Out(unsigned(lanes * (1 + signed_spikes))),
            },
            error_bits=ERROR_BITS,
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        settings, word = self.settings, self.i.payload
        error = Signal.like(self.error)
        left = Signal(range(_WORD + 1))
        remaining = Signal.like(settings.pixels)
        held = Signal(_WORD * self._parts)
        part = Signal(range(max(2, self._parts)))
        idle, taken, last, complete = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            self.error.eq(error),
            idle.eq(left <= 1),
            self.write.eq(left != 0),
            complete.eq(part == settings.last_part),
            last.eq(complete & (remaining <= settings.fields_a_word)),
        ]
        self._field(m, held)
        with m.If(self.write):
            m.d.sync += [self.address.eq(self.address + 1), left.eq(left - 1)]
            with m.Switch(settings.fields_a_word):
                for place in range(1, 6):
                    with m.Case(1 << place):
                        m.d.sync += held[:_WORD].eq(held[:_WORD] >> (_WORD >> place))
        with m.If(taken):
            m.d.sync += [left.eq(0), part.eq(part + 1)]
            for number in range(self._parts):
                with m.If(part == number):
                    m.d.sync += held.word_select(number, _WORD).eq(word.data)
            with m.If(complete):
                m.d.sync += [
                    part.eq(0),
                    left.eq(Mux(last, remaining, settings.fields_a_word)),
                    remaining.eq(remaining - settings.fields_a_word),
                ]

        checks: dict[ErrorCode | str, ValueLike] = {
            ErrorCode.TYPE: word.data[24:] != PacketType.SPIKES,
            ErrorCode.NETWORK: ~settings.loaded,
            ErrorCode.SIZE: word.data[:24] != settings.pixels,
            ErrorCode.SHORT: word.last,
        }
        with m.FSM():
            with m.State("HEADER"):
                m.d.comb += self.i.ready.eq(self.accept)
                m.d.sync += [
                    left.eq(0),
                    part.eq(0),
                    remaining.eq(settings.pixels),
                    self.address.eq(settings.frame_base),
                ]
                self._header(m, error, checks, "SPIKES")
            with m.State("SPIKES"):
                m.d.comb += [self.i.ready.eq(idle), taken.eq(self.i.valid & idle)]
                with m.If(taken):
                    self._length(m, error, last, "WRITE")
            with m.State("WRITE"):
                m.d.comb += self.busy.eq(1)
                with m.If(idle):
                    m.next = "DONE"
            self._ends(m)
        return m

    def _field(self, m: Module, held: Signal) -> None:
        """The first field in ``held`` as a spike word: of as many lanes as the network's frames use."""
        used = Signal(self._lanes)
        m.d.comb += [lane.eq(self.settings.used > number) for number, lane in enumerate(used)]
        m.d.comb += self.data[: self._lanes].eq(held[: self._lanes] & used)
        if self._signed:
            signs = Signal(self._lanes)
            m.d.comb += [
                signs.eq((held >> self.settings.used)[: self._lanes]),
                self.data[self._lanes :].eq(signs & used),
            ]


class EitherReceiver(wiring.Component):
    """Takes packets of pixels or of spikes, whichever the network that was loaded takes, and refuses the others.

    No delay beside that of the one that takes them. Without a network all are refused.

    Parameters
    ----------
    spikes : LoadedSpikeReceiver
    pixels : int
        Of the largest frame.

    Members
    -------
    i, accept, started, done, failed, error : as in ``PacketReceiver``
    settings : In
    busy : Out, as in ``LoadedSpikeReceiver``
    write, word, data : Out, write port of the frame memory; that of the spike memory is the one of ``spikes``
    """

    def __init__(self, spikes: LoadedSpikeReceiver, *, pixels: int):
        self.spikes = spikes
        self._pixels = pixels
        self._settings: data.StructLayout = spikes.settings.shape()
        super().__init__(
            {
                "i": In(stream.Signature(AxiWord)),
                "accept": In(1),
                "settings": In(self._settings),
                "busy": Out(1),
                "started": Out(1),
                "done": Out(1),
                "failed": Out(1),
                "error": Out(unsigned(ERROR_BITS)),
                "write": Out(1),
                "word": Out(unsigned(width_for(-(-pixels // 4)))),
                "data": Out(unsigned(32)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.frames = frames = FrameReceiver(pixels=self._pixels, settings=self._settings)
        m.submodules.spikes = spikes = self.spikes
        spiking = self.settings.spiking
        for receiver, mine in ((frames, ~spiking), (spikes, spiking)):
            m.d.comb += [
                receiver.i.payload.eq(self.i.payload),
                receiver.i.valid.eq(self.i.valid & mine),
                receiver.accept.eq(self.accept),
                receiver.settings.eq(self.settings),
            ]
        m.d.comb += [
            self.i.ready.eq(Mux(spiking, spikes.i.ready, frames.i.ready)),
            self.busy.eq(spikes.busy),
            self.error.eq(Mux(spiking, spikes.error, frames.error)),
            *(
                getattr(self, name).eq(getattr(spikes, name) | getattr(frames, name))
                for name in ("started", "done", "failed")
            ),
            *(getattr(self, name).eq(getattr(frames, name)) for name in ("write", "word", "data")),
        ]
        return m
