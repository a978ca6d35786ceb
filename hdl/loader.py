"""Take load packets: check, write beside the network that runs, and take it over when the checksum is right."""

from collections.abc import Callable

from amaranth import Array, Cat, Const, Module, Mux, ResetSignal, Signal, unsigned
from amaranth.hdl import Value, ValueLike
from amaranth.lib import stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from hdl.capacity import DIMENSIONS, FORMAT, HEADER, LEAKS_FIRST
from hdl.host import COUNTERS, ERROR_BITS, ErrorCode, PacketType
from hdl.layouts import AxiWord, width_for
from hdl.loaded import bus_layout
from hdl.sizes import Sizes
from toolchain.ir import INPUTS, SCHEDULES

__all__ = ["Loader"]

_KEPT = ("network_id", "seed")
_PACKED = ("frame_fields", "frame_packing", "frame_base")
"""Of cores whose frames may be spikes."""
_FIRST_DIMENSION = len(HEADER) - len(DIMENSIONS)

_Refuse = Callable[..., None]


class Loader(wiring.Component):
    """Stands before the frame receiver: passes packets on, keeps those of type ``LOAD`` (``toolchain.loading``).

    A load packet is checked as it comes, one word a cycle, and refused at the first thing that is wrong: version,
    features and capacity before anything is written. What follows goes into the bank that is not read. After the last
    word, if the checksum (CRC-32 as of Ethernet and zip, over all words before it, lowest byte first) is right, the banks
    change places and ``settings`` become the new network's, in one cycle. A refused packet is read up to its last word and
    changes nothing; with one bank it leaves no network, unless its header was refused.
    What the checksum covers is believed: a program that makes no sense is the host's fault.
    The network stays where a ``ResetInserter`` resets all of the core but the domain (``hdl.station``, after half a packet); with one
    bank, unless entries were being written. The domain's own reset forgets it.

    Latency: ``done`` or ``failed`` 2 cycles after the last word.

    Parameters
    ----------
    sizes : Sizes
        Of a capacity.

    Members
    -------
    i : In, stream of packet words; ``o``: Out, those of other packets, with no delay
    accept : In, a load packet may start
    done, failed : Out, one cycle, after a load packet; ``error`` says why it was refused
    bus : Out, words on their way into memories, and which bank is read
    settings : Out, of the network that was loaded last

    Raises
    ------
    ValueError
        Sizes without a capacity.
    """

    def __init__(self, sizes: Sizes):
        if sizes.capacity is None or sizes.settings is None:
            raise ValueError("a loader needs the sizes of a capacity, not of a network")
        self._capacity, self._sizes = sizes.capacity, sizes
        super().__init__(
            {
                "i": In(stream.Signature(AxiWord)),
                "o": Out(stream.Signature(AxiWord)),
                "accept": In(1),
                "done": Out(1),
                "failed": Out(1),
                "error": Out(unsigned(ERROR_BITS)),
                "bus": Out(bus_layout(sizes.capacity)),
                "settings": Out(sizes.settings),
            }
        )
        self._kept = Signal(sizes.settings, name="kept_settings", reset_less=True)
        self._bank = Signal(name="kept_bank", reset_less=True)
        self._written = Signal.like(self.bus, name="written")

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += [self.settings.eq(self._kept), self.bus.eq(self._written), self.bus.bank.eq(self._bank)]
        word, valid, last = Signal(32, name="word"), Signal(name="valid"), Signal(name="last")
        taken = self._route(m)
        m.d.sync += [word.eq(self.i.payload.data), last.eq(self.i.payload.last), valid.eq(taken)]
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=32).create()
        number, counted = Signal(24), Signal(24)
        spike_words = width_for(self._sizes.spike_words)
        bits = {
            **dict.fromkeys(_KEPT, 32),
            **(dict(zip(_PACKED, (spike_words, 18, spike_words), strict=True)) if self._capacity.takes_spikes else {}),
            **{name: width_for(getattr(self._capacity, name)) for name in DIMENSIONS},
        }
        header = {name: Signal(each, name=f"new_{name}") for name, each in bits.items()}
        streaming, spiking = Signal(), Signal()
        leaking_first = Signal() if self._sizes.leak_orders else None
        place = Signal(range(len(HEADER)))
        section, entry, part = (Signal.like(self.bus[name], name=name) for name in ("section", "entry", "word"))
        m.d.comb += [crc.data.eq(word), crc.valid.eq(valid)]
        with m.If(valid):
            m.d.sync += counted.eq(counted + 1)
        m.d.sync += self._written.write.eq(0)

        def refuse(code: ErrorCode, detail: ValueLike = 0) -> None:
            m.d.sync += self.error.eq(code | Value.cast(detail) << 8)
            with m.If(last):
                m.next = "FAILED"
            with m.Else():
                m.next = "DRAIN"

        with m.FSM(name="receive"):
            with m.State("FIRST"):
                m.d.comb += crc.start.eq(1)
                m.d.sync += [number.eq(word[:24]), *(each.eq(0) for each in (place, section, entry, part))]
                with m.If(valid):
                    with m.If(last):
                        refuse(ErrorCode.SHORT)
                    with m.Else():
                        m.next = "HEADER"
                with m.Else():
                    m.d.sync += counted.eq(0)
            with m.State("HEADER"):
                self._header(m, word, valid, last, place, header, (streaming, spiking), leaking_first, refuse)
            with m.State("ENTRIES"):
                self._entries(m, word, valid, last, (section, entry, part), header, refuse)
            with m.State("CHECKSUM"), m.If(valid):
                with m.If(~last):
                    refuse(ErrorCode.LONG)
                with m.Elif(word != crc.crc):
                    refuse(ErrorCode.CHECKSUM)
                with m.Elif(number != counted):
                    refuse(ErrorCode.SIZE)
                with m.Else():
                    m.next = "COMMIT"
            with m.State("DRAIN"), m.If(valid & last):
                m.next = "FAILED"
            with m.State("COMMIT"):
                m.d.comb += self.done.eq(1)
                self._commit(m, header, streaming, spiking, leaking_first)
                m.next = "FIRST"
            with m.State("FAILED"):
                m.d.comb += self.failed.eq(1)
                m.next = "FIRST"
        # reset with the domain, not by a ResetInserter
        with m.If(ResetSignal(allow_reset_less=True)):
            m.d.sync += [self._kept.eq(0), self._bank.eq(0)]
        return m

    def _route(self, m: Module) -> Signal:
        """Words of load packets are taken, all others pass; returns whether one is taken."""
        taken = Signal()
        mine = self.i.payload.data[24:] == PacketType.LOAD
        m.d.comb += self.o.payload.eq(self.i.payload)
        with m.FSM(name="route"):
            with m.State("FIRST"):
                m.d.comb += [
                    taken.eq(self.i.valid & self.accept & mine),
                    self.o.valid.eq(self.i.valid & ~mine),
                    self.i.ready.eq(Mux(mine, self.accept, self.o.ready)),
                ]
                with m.If(taken):
                    m.next = "ENDED"
                    with m.If(~self.i.payload.last):
                        m.next = "TAKING"
                with m.Elif(self.o.valid & self.o.ready & ~self.i.payload.last):
                    m.next = "PASSING"
            with m.State("PASSING"):
                m.d.comb += [self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready)]
                with m.If(self.i.valid & self.o.ready & self.i.payload.last):
                    m.next = "FIRST"
            with m.State("TAKING"):
                m.d.comb += [taken.eq(self.i.valid), self.i.ready.eq(1)]
                with m.If(self.i.valid & self.i.payload.last):
                    m.next = "ENDED"
            with m.State("ENDED"), m.If(self.done | self.failed):
                m.next = "FIRST"
        return taken

    def _header(
        self,
        m: Module,
        word: Signal,
        valid: Signal,
        last: Signal,
        place: Signal,
        header: dict[str, Signal],
        kinds: tuple[Signal, Signal],
        leaking_first: Signal | None,
        refuse: _Refuse,
    ) -> None:
        """A word of the header: some must be equal, some must not exceed a limit, some are kept."""
        capacity = self._capacity
        # where the place is that of a dimension: its number, its limit, and whether it may be 0
        limits = Array(Const(getattr(capacity, name), 24) for name in DIMENSIONS)
        numbers = {name: number for number, name in enumerate(DIMENSIONS)}
        streaming, spiking = kinds
        dimension = Signal(range(len(DIMENSIONS) + 1))
        m.d.comb += dimension.eq(place - _FIRST_DIMENSION)
        # looked up a word ahead, so that only the comparison stands in the path
        following, limit = Signal(range(len(DIMENSIONS))), Signal(24)
        m.d.comb += following.eq(place - _FIRST_DIMENSION + 1)
        optional = [dimension == numbers[name] for name in ("window", "places")]
        if not capacity.grouped:
            optional.append(dimension == numbers["channels"])
        if capacity.takes_spikes:
            optional.append((dimension == numbers["pixels"]) & spiking)
        too_much = (word > limit) | ((word == 0) & ~Cat(optional).any())
        allowed = [
            capacity.features(schedule, given, leaks)
            for schedule in capacity.schedules
            for given in capacity.inputs
            for leaks in capacity.leak_codes(schedule)
        ]
        at = {name: place == HEADER.index(name) for name in ("version", "features", "capacity")}
        with m.If(valid):
            m.d.sync += [place.eq(place + 1), limit.eq(limits[following])]
            with m.If(at["version"] & (word != FORMAT)):
                refuse(ErrorCode.VERSION)
            with m.Elif(at["features"] & ~word.matches(*allowed)):
                refuse(ErrorCode.FEATURES)
            with m.Elif(at["capacity"] & (word != capacity.digest)):
                refuse(ErrorCode.FEATURES)
            with m.Elif((place >= _FIRST_DIMENSION) & too_much):
                refuse(ErrorCode.CAPACITY, dimension)
            with m.Elif(last):
                refuse(ErrorCode.SHORT)
            with m.Elif(place == len(HEADER) - 1):
                m.next = "ENTRIES"
                if capacity.banks == 1:
                    m.d.sync += self._kept.loaded.eq(0)
            with m.If(at["features"]):
                m.d.sync += [
                    streaming.eq(word[8:12] == SCHEDULES.index("stream")),
                    spiking.eq(word[20:24] == INPUTS.index("spikes")),
                ]
                if leaking_first is not None:
                    m.d.sync += leaking_first.eq(word[LEAKS_FIRST])
            with m.Switch(place):
                for number, name in enumerate(HEADER):
                    if name in header:
                        with m.Case(number):
                            m.d.sync += header[name].eq(word)

    def _entries(
        self,
        m: Module,
        word: Signal,
        valid: Signal,
        last: Signal,
        places: tuple[Signal, Signal, Signal],
        header: dict[str, Signal],
        refuse: _Refuse,
    ) -> None:
        """A word of an entry of a memory; it is on the bus a cycle later."""
        sections, bus = self._capacity.sections, self._written
        section, entry, part = places
        last_part = part == Array(Const(each.words - 1, len(part)) for each in sections)[section]
        last_entry = entry + 1 == Array(header[each.count] for each in sections)[section]
        with m.If(valid):
            m.d.sync += [
                bus.write.eq(1),
                bus.section.eq(section),
                bus.entry.eq(entry),
                bus.word.eq(part),
                bus.data.eq(word),
                part.eq(part + 1),
            ]
            with m.If(last_part):
                m.d.sync += [part.eq(0), entry.eq(entry + 1)]
                with m.If(last_entry):
                    m.d.sync += [entry.eq(0), section.eq(section + 1)]
            with m.If(last):
                refuse(ErrorCode.SHORT)
            with m.Elif(last_part & last_entry & (section == len(sections) - 1)):
                m.next = "CHECKSUM"

    def _commit(
        self,
        m: Module,
        header: dict[str, Signal],
        streaming: Signal,
        spiking: Signal,
        leaking_first: Signal | None,
    ) -> None:
        """The new network's bank and settings take the place of the old one's."""
        settings = self._kept
        last_step = header["time_steps"] - 1
        m.d.sync += [
            self._bank.eq(~self._bank),
            settings.loaded.eq(1),
            settings.stream.eq(streaming),
            *(settings[name].eq(header[name]) for name in (*_KEPT, "pixels", "time_steps")),
            settings.last_frame_word.eq((header["pixels"] - 1)[2:]),
            settings.last_step.eq(last_step),
            settings.last_layer.eq(header["layers"] - 1),
            settings.last_class.eq(header["classes"] - 1),
            settings.last_instruction.eq(header["instructions"] - 1),
            settings.result_words.eq(3 + header["classes"] + len(COUNTERS) * header["layers"]),
        ]
        if self._capacity.takes_spikes:
            packing = header["frame_packing"]
            m.d.sync += [
                settings.spiking.eq(spiking),
                settings.pixels.eq(Mux(spiking, header["frame_fields"], header["pixels"])),
                settings.used.eq(packing[:7]),
                settings.fields_a_word.eq(packing[8:14]),
                settings.last_part.eq(packing[16:18]),
                settings.frame_base.eq(header["frame_base"]),
            ]
        if leaking_first is not None:
            m.d.sync += settings.leaks_first.eq(leaking_first)
        if self._capacity.schedule == "radix":
            first = last_step[: width_for(self._sizes.time_steps - 1)]
            m.d.sync += settings.worth.eq(Const(1) << first if self._sizes.weighing == "multiply" else first)
