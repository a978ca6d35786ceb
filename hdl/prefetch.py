"""Bring weights from external memory, a tile ahead of the scan that needs it."""

from collections.abc import Sequence

from amaranth import Array, Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.layouts import width_for
from hdl.rom import rom
from hdl.tiles import PAGE, ExternalWeights, Tile

__all__ = ["Prefetcher", "memory_port"]

_INCREMENT = 1
"""Kind of burst."""
_QUIET = 1024
"""Clocks without a beat after which nothing more comes of bursts that went wrong."""


def memory_port(data_bits: int) -> dict[str, wiring.Member]:
    """Read channels of an AXI4 port of ``data_bits``, as seen from the core."""
    return {
        "m_axi_arvalid": Out(1),
        "m_axi_arready": In(1),
        "m_axi_araddr": Out(unsigned(32)),
        "m_axi_arlen": Out(unsigned(8)),
        "m_axi_arsize": Out(unsigned(3)),
        "m_axi_arburst": Out(unsigned(2)),
        "m_axi_rvalid": In(1),
        "m_axi_rready": Out(1),
        "m_axi_rdata": In(unsigned(data_bits)),
        "m_axi_rresp": In(unsigned(2)),
        "m_axi_rlast": In(1),
    }


class Prefetcher(wiring.Component):
    """Fills the bank of the weight cache that is not read with the tile of the next instruction.

    Tiles are needed in the order of the program, those of a layer that fires after every step once a step, and from the
    first again for the next frame; the prefetcher walks that order by itself and runs ahead as far as two banks allow. A
    tile that its bank still holds is not read again.

    Reads are INCR bursts of whole beats in order; none crosses 4 KiB, and the requests of a tile do not wait for its data.
    Beats are counted. A tile of which a beat has ``rresp`` SLVERR or DECERR is spoilt; so is one whose ``rlast`` comes at another
    beat than a burst's last, or not there. After the latter nothing is asked for until no beat came for 1,024 clocks, so that none is
    taken for another's. Who meets a spoilt tile says ``restart``: both banks are then dropped and the first tile is read again.
    While ``waiting``, clocks are counted in which the memory neither takes a request nor gives a beat; what is
    only drained after a wrong ``rlast`` does not count. Behind ``external.timeout`` of them ``late`` says so. Who then says ``restart`` gets the
    first tile as soon as the tile under way is whole: what was asked for is taken to its last beat, however late it comes, and
    nothing else is asked for meanwhile. So no late beat is taken for another's.
    Throughput: a beat a clock, or a weight word a clock where a beat holds several. Latency: 4 clocks from a bank that is
    released to the request, 3 from a tile's last beat to ``ready``.

    Parameters
    ----------
    tiles : sequence of Tile
    rounds : sequence of bool
        Of each tile, whether its layer fires after every step.
    steps : int
        T.
    external : ExternalWeights
    word_bits, depth : int
        Width of a weight word, words of a bank.

    Members
    -------
    ready : Out, the bank that is read holds the tile of the instruction at which the sequencer is
    spoilt : Out, with ``ready``, but it came with an error
    waiting : In, somebody waits for ``ready``; ``late``: Out, and the memory has been silent for ``external.timeout`` clocks of it
    restart : In, one cycle, a frame is given up: the next tile is the program's first
    release : In, one cycle, its scan is over: the banks change places
    bank : Out, the bank that is read
    write, address, data : Out, a weight word for the cache; the bank is the lowest bit of the address
    m_axi_… : the memory port, see ``memory_port``
    """

    def __init__(
        self,
        tiles: Sequence[Tile],
        rounds: Sequence[bool],
        *,
        steps: int,
        external: ExternalWeights,
        word_bits: int,
        depth: int,
    ):
        self._tiles, self._rounds, self._steps = tiles, rounds, steps
        self._external, self._word_bits = external, word_bits
        super().__init__(
            {
                "ready": Out(1),
                "spoilt": Out(1),
                "waiting": In(1),
                "late": Out(1),
                "restart": In(1),
                "release": In(1),
                "bank": Out(1),
                "write": Out(1),
                "address": Out(unsigned(1 + width_for(depth - 1))),
                "data": Out(unsigned(word_bits)),
                **memory_port(external.data_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        place, tile = self._tile(m)
        filling = Signal()
        full, known, spoilt = Signal(2), Signal(2), Signal(2)
        restarting = Signal()
        held = Array(Signal.like(place, name=f"held_{bank}") for bank in range(2))
        begin, done = Signal(), Signal()
        layer_start, step = Signal.like(place), Signal(range(max(2, self._steps)))
        wrong, lost, drained = Signal(), Signal(), Signal()
        m.d.comb += [
            self.ready.eq(full.bit_select(self.bank, 1) & ~restarting),
            self.spoilt.eq(spoilt.bit_select(self.bank, 1)),
        ]
        with m.If(self.release):
            m.d.sync += [full.bit_select(self.bank, 1).eq(0), self.bank.eq(~self.bank)]
        with m.If(self.restart):
            m.d.sync += restarting.eq(1)
        self._request(m, tile, begin, lost)
        self._receive(m, tile, begin, filling, done, lost)
        self._watch(m, tile, begin, wrong, lost, drained)
        if self._external.timeout:
            self._lose_patience(m, lost)
        with m.FSM():
            with m.State("READ"):
                m.next = "DECODE"
            with m.State("DECODE"):
                m.next = "WAIT"
            with m.State("WAIT"):
                with m.If(restarting):
                    m.next = "RESTART"
                with m.Elif(~full.bit_select(filling, 1)):
                    with m.If(known.bit_select(filling, 1) & (held[filling] == place)):
                        m.next = "FULL"
                    with m.Else():
                        m.d.comb += begin.eq(1)
                        m.next = "FILL"
            with m.State("FILL"):
                with m.If(lost):
                    m.next = "DRAIN"
                with m.Elif(done):
                    m.next = "FULL"
            with m.State("DRAIN"), m.If(drained):
                m.next = "FULL"
            with m.State("RESTART"):
                m.d.sync += [
                    register.eq(0)
                    for register in (place, layer_start, step, filling, self.bank, full, known, restarting)
                ]
                m.next = "READ"
            with m.State("FULL"):
                m.d.sync += [
                    full.bit_select(filling, 1).eq(1),
                    spoilt.bit_select(filling, 1).eq(wrong | lost),
                    known.bit_select(filling, 1).eq(1),
                    held[filling].eq(place),
                    filling.eq(~filling),
                    place.eq(place + 1),
                ]
                with m.If(tile.last & tile.per_step & (step != self._steps - 1)):
                    m.d.sync += [place.eq(layer_start), step.eq(step + 1)]
                with m.Elif(tile.last):
                    m.d.sync += [layer_start.eq(place + 1), step.eq(0)]
                    with m.If(place == len(self._tiles) - 1):
                        m.d.sync += [place.eq(0), layer_start.eq(0)]
                m.next = "READ"
        return m

    def _tile(self, m: Module) -> tuple[Signal, data.View]:
        """Number of the tile to bring, and two clocks later what there is to know of it."""
        most = {name: max(getattr(tile, name) for tile in self._tiles) for name in ("base", "beats")}
        layout = data.StructLayout(
            {**{name: unsigned(width_for(value)) for name, value in most.items()}, "last": 1, "per_step": 1}
        )
        following = [tile.layer for tile in self._tiles[1:]] + [-1]
        entries = [
            layout.const(
                {"base": tile.base, "beats": tile.beats, "last": int(tile.layer != behind), "per_step": int(rounds)}
            )
            for tile, behind, rounds in zip(self._tiles, following, self._rounds, strict=True)
        ]
        port = rom(m, "tiles", layout.size, [entry.as_value().value for entry in entries])
        place = Signal(range(max(2, len(self._tiles))))
        tile = Signal(layout)
        m.d.comb += [port.addr.eq(place), port.en.eq(1)]
        m.d.sync += tile.as_value().eq(port.data)
        return place, tile

    def _watch(self, m: Module, tile: data.View, begin: Signal, wrong: Signal, lost: Signal, drained: Signal) -> None:
        """Whether a beat of the tile was ``wrong``, whether beats and bursts were ``lost`` count of, and when none comes any more."""
        left = Signal.like(tile.beats, name="beats_to_watch")
        place = Signal(range(self._external.burst))
        last, quiet = Signal(), Signal(range(_QUIET))
        m.d.comb += [last.eq((place == self._external.burst - 1) | (left == 1)), drained.eq(quiet == _QUIET - 1)]
        with m.If(begin):
            m.d.sync += [left.eq(tile.beats), place.eq(tile.base), wrong.eq(0), lost.eq(0)]
        with m.Elif(self.m_axi_rvalid & self.m_axi_rready):
            m.d.sync += [
                left.eq(left - 1),
                place.eq(place + 1),
                wrong.eq(wrong | self.m_axi_rresp[1]),
                lost.eq(lost | (last ^ self.m_axi_rlast)),
            ]
        m.d.sync += quiet.eq(quiet + 1)
        with m.If(self.m_axi_rvalid | self.m_axi_arvalid | ~lost):
            m.d.sync += quiet.eq(0)

    def _lose_patience(self, m: Module, lost: Signal) -> None:
        """``late``, when nothing moves for so long; a word on its way into the cache moves."""
        left, moves = Signal(range(self._external.timeout)), Signal()
        request, beat = self.m_axi_arvalid & self.m_axi_arready, self.m_axi_rvalid & self.m_axi_rready
        m.d.comb += moves.eq((request | beat | self.write) & ~lost)
        m.d.sync += [left.eq(self._external.timeout - 1), self.late.eq(0)]
        with m.If(self.waiting & ~moves):
            m.d.sync += [left.eq(left - (left != 0)), self.late.eq(left == 0)]

    def _request(self, m: Module, tile: data.View, begin: Signal, lost: Signal) -> None:
        """Bursts for all beats of a tile; each but the first begins at a multiple of the longest burst's size.

        What is asked for when beats are lost is taken back only once it was taken, as AXI4 demands.
        """
        burst = self._external.burst
        beat_bytes = self._external.data_bits // 8
        assert burst * beat_bytes <= PAGE
        size = beat_bytes.bit_length() - 1
        beat = Signal(32 - size)
        left = Signal.like(tile.beats, name="beats_to_request")
        room, length = Signal(range(burst + 1)), Signal(range(burst + 1))
        m.d.comb += [
            room.eq(burst - beat[: burst.bit_length() - 1]),
            length.eq(room),
            self.m_axi_arvalid.eq(left != 0),
            self.m_axi_araddr.eq(beat << size),
            self.m_axi_arlen.eq(length - 1),
            self.m_axi_arsize.eq(size),
            self.m_axi_arburst.eq(_INCREMENT),
        ]
        with m.If(left < room):
            m.d.comb += length.eq(left)
        with m.If(begin):
            m.d.sync += [beat.eq(tile.base), left.eq(tile.beats)]
        with m.Elif(self.m_axi_arvalid & self.m_axi_arready):
            m.d.sync += [beat.eq(beat + length), left.eq(Mux(lost, 0, left - length))]

    def _receive(self, m: Module, tile: data.View, begin: Signal, filling: Signal, done: Signal, lost: Signal) -> None:
        """Beats into weight words, and these into the cache; once beats are lost, any beat is taken."""
        left = Signal.like(tile.beats, name="beats_to_receive")
        entry = Signal(len(self.address) - 1)
        word, complete, taken = Signal(self._word_bits), Signal(), Signal()
        beats, words = self._external.beats_a_word(self._word_bits), self._external.words_a_beat(self._word_bits)
        room = Signal()
        m.d.comb += [
            self.m_axi_rready.eq(room | lost),
            taken.eq(self.m_axi_rvalid & self.m_axi_rready),
            done.eq(left == 0),
        ]
        m.d.sync += [self.write.eq(complete), self.data.eq(word), self.address.eq(Cat(filling, entry))]
        with m.If(begin):
            m.d.sync += [left.eq(tile.beats), entry.eq(0)]
        with m.Else():
            with m.If(taken):
                m.d.sync += left.eq(left - 1)
            with m.If(complete):
                m.d.sync += entry.eq(entry + 1)
        if beats > 1:
            m.d.comb += room.eq(left != 0)
            self._gather(m, beats, begin, taken, word, complete)
        elif words > 1:
            self._share_out(m, words, left, room, taken, word, complete, done)
        else:
            m.d.comb += [room.eq(left != 0), complete.eq(taken), word.eq(self.m_axi_rdata)]

    def _gather(self, m: Module, beats: int, begin: Signal, taken: Signal, word: Signal, complete: Signal) -> None:
        """A weight word from several beats, the lowest first."""
        bits = self._external.data_bits
        earlier = Signal((beats - 1) * bits)
        part = Signal(range(beats))
        m.d.comb += [
            complete.eq(taken & (part == beats - 1)),
            word.eq(Cat(earlier, self.m_axi_rdata)),
        ]
        with m.If(taken):
            m.d.sync += [earlier.eq(Cat(earlier, self.m_axi_rdata)[bits:]), part.eq(part + 1)]
            with m.If(complete):
                m.d.sync += part.eq(0)
        with m.If(begin):
            m.d.sync += part.eq(0)

    def _share_out(
        self,
        m: Module,
        words: int,
        left: Signal,
        room: Signal,
        taken: Signal,
        word: Signal,
        complete: Signal,
        done: Signal,
    ) -> None:
        """Several weight words from a beat, one a clock."""
        kept = Signal(words * self._word_bits)
        waiting = Signal(range(words + 1))
        m.d.comb += [
            room.eq((left != 0) & (waiting <= 1)),
            complete.eq(waiting != 0),
            word.eq(kept),
            done.eq((left == 0) & (waiting == 0)),
        ]
        with m.If(taken):
            m.d.sync += [kept.eq(self.m_axi_rdata), waiting.eq(Const(words))]
        with m.Elif(complete):
            m.d.sync += [kept.eq(kept >> self._word_bits), waiting.eq(waiting - 1)]
