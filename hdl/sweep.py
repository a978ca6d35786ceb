"""Sequence the passes over all neurons of a layer: write initial membranes, fire."""

from itertools import pairwise

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.counting import countdown

__all__ = ["Sweep"]


_CURRENTS = ("behind_currents", "holds_currents")


class Sweep(wiring.Component):
    """Addresses and strobes for the initialization pass and the fire pass.

    Initialization: one neuron word a cycle. Fire pass: ``firings`` cycles a neuron word, the next words
    read meanwhile; spike words go to ``first_spike, first_spike + spike_stride, …``. A word is read at the
    pace at which it fires, so that nothing ever waits.
    Duration: ``words + 3`` cycles to initialize, ``words·firings + 5`` to fire.

    Where membranes leak (``late``), lanes need a cycle more for what stays of them: it is written a cycle later, and once
    ``busy`` is over. Where the next firing goes on from it (``apart``), firings of a word are two cycles apart, so that
    the pass takes ``words·(2·firings − 1) + 5``.

    Where currents last (``lasting``), both passes of a layer that has some (``paired``) take two cycles a neuron word: its word of
    currents first, which stands ``words`` behind that of its membranes, then the membranes, which fire once. ``2·words + 3``
    cycles to initialize, currents to 0, ``2·words + 5`` to fire.

    Parameters
    ----------
    word_bits, group_bits, parameter_bits, spike_bits, step_bits : int
        Widths of neuron word addresses, groups, parameter addresses, spike addresses, firings.
    late : bool
        Whether membranes leak, or currents last.
    lasting : bool
        Whether currents last; then ``late`` too.

    Members
    -------
    initialize, fire : In, one cycle, never while ``busy``
    read, word, parameter : Out, read strobe and addresses of membrane and parameter memory
    next_word : Out, what ``word`` will be in the next cycle; ``walks``: Out, that it counts then
    load, step : Out, strobes of the lanes (``load`` two cycles after the read); currents take no ``step``
    read_initial : Out, initial membranes come out of the parameter memory
    write_initial, write_after, written : Out, write strobes and address of the membrane memory;
        the value to write is last cycle's initial membrane, and last cycle's ``after``. If ``late``, ``written`` is a word ahead
        of ``write_after``, and only ``next_written`` tells the address
    next_written, writes : Out, ``written`` of the next cycle, and whether one of the strobes comes then
    apart : In; rested, follow : Out, if ``late``: in the cycle after a ``step``, and after what is one of currents; between two
        firings of a word
    paired : In; behind_currents, holds_currents : Out, if ``lasting``: ``load`` is of membranes, whose currents came with the one
        before; what ``load`` took last cycle are currents
    spike, spike_address, spike_word, spike_step : Out, a spike word was made last cycle: spike memory
        address, neuron word, and firing number
    """

    def __init__(
        self,
        *,
        word_bits: int,
        group_bits: int,
        parameter_bits: int,
        spike_bits: int,
        step_bits: int,
        late: bool = False,
        lasting: bool = False,
    ):
        self._late, self._lasting = late, lasting
        super().__init__(
            {
                "initialize": In(1),
                "fire": In(1),
                "busy": Out(1),
                "words": In(unsigned(word_bits)),
                "groups": In(unsigned(group_bits)),
                "parameter_base": In(unsigned(parameter_bits)),
                "firings": In(unsigned(step_bits)),
                "write_back": In(1),
                "first_spike": In(unsigned(spike_bits)),
                "spike_stride": In(unsigned(step_bits)),
                "read": Out(1),
                "word": Out(unsigned(word_bits)),
                "next_word": Out(unsigned(word_bits)),
                "walks": Out(1),
                "parameter": Out(unsigned(parameter_bits)),
                "load": Out(1),
                "step": Out(1),
                "read_initial": Out(1),
                "write_initial": Out(1),
                "write_after": Out(1),
                "written": Out(unsigned(word_bits)),
                "next_written": Out(unsigned(word_bits)),
                "writes": Out(1),
                "spike": Out(1),
                "spike_address": Out(unsigned(spike_bits)),
                "spike_word": Out(unsigned(word_bits)),
                "spike_step": Out(unsigned(step_bits)),
                **({"apart": In(1), "rested": Out(1), "follow": Out(1)} if late else {}),
                **({"paired": In(1), **dict.fromkeys(_CURRENTS, Out(1))} if lasting else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # head: which word is read; stages 1 and 2: its memory and the register behind it; 3: fires; 4: written
        walking = Signal()
        firing_pass = Signal()
        begin = Signal()
        m.d.comb += begin.eq(self.initialize | self.fire)
        with m.If(begin):
            m.d.sync += firing_pass.eq(self.fire)
        first, last_firing = self._walk(m, walking, begin, firing_pass)

        valid = [walking, *(Signal(name=f"valid_{stage}") for stage in (1, 2, 3))]
        firsts = [first, *(Signal(name=f"first_{stage}") for stage in (1, 2, 3))]
        lasts = [last_firing, *(Signal(name=f"last_{stage}") for stage in (1, 2, 3, 4))]
        written_after = Signal()
        ended, following = written_after, self.next_written
        loaded, initialized, ends = firsts[2], valid[1], lasts[3]
        fired: Value = valid[3]
        rests: Value = self.step
        moves: Value = self.write_initial
        if self._lasting:
            currents = self._currents(m, firsts)
            loaded, initialized, ends = loaded | self.paired, initialized & ~currents[1], ends | currents[3]
            rests = rests | (valid[3] & currents[3])
            moves = moves & lasts[2]
        moves = moves | (self.spike & lasts[4])
        if self._late:  # the spikes of a word are out, and next cycle its membranes are written
            ended, following = Signal(), Signal.like(self.written)
            m.d.sync += written_after.eq(ended)
            address = Mux(firing_pass, self.written, following)
            if self._lasting:
                ahead, next_ahead = self._ahead(m, begin, moves)
                of_currents = Mux(firing_pass, currents[4], currents[1])
                address = Mux(of_currents, Mux(firing_pass, ahead, next_ahead), address)
            m.d.comb += self.next_written.eq(address)
            fired = self._alternating(m, walking, begin, last_firing, valid[3])
            m.d.sync += self.rested.eq(rests)
        if self._lasting:
            fired = fired & ~currents[3]
        for chain in (firsts, lasts):
            m.d.sync += [later.eq(earlier) for earlier, later in pairwise(chain)]
        m.d.sync += [
            valid[1].eq(walking),
            valid[2].eq(valid[1]),
            valid[3].eq(valid[2] & firing_pass),
            self.spike.eq(fired),
            self.write_after.eq(written_after),
            self.written.eq(following),
        ]
        m.d.comb += [
            self.load.eq(firing_pass & valid[2] & loaded),
            self.step.eq(fired),
            self.read_initial.eq(initialized & ~firing_pass),
            self.write_initial.eq(valid[2] & ~firing_pass),
            self.spike_word.eq(self.written),
            ended.eq(valid[3] & ends & self.write_back),
            self.writes.eq(written_after | (valid[1] & ~firing_pass)),
            self.busy.eq(Cat(*valid).any() | self.spike),
        ]
        m.d.comb += following.eq(self.written)
        with m.If(begin):
            m.d.comb += following.eq(0)
        with m.Elif(moves):
            m.d.comb += following.eq(self.written + 1)
        with m.If(self.fire):
            m.d.sync += self.spike_address.eq(self.first_spike)
        with m.Elif(self.spike):
            m.d.sync += self.spike_address.eq(self.spike_address + self.spike_stride)
        step = Mux(firsts[3], 0, self.spike_step + 1)
        m.d.sync += self.spike_step.eq(Mux(fired, step, self.spike_step) if self._late else step)
        return m

    def _alternating(self, m: Module, walking: Signal, begin: Signal, last_firing: Signal, valid: Signal) -> Value:
        """Where firings are apart, every other cycle of a word fires; returns whether this one of stage 3 does."""
        between = [Signal(name=f"between_{stage}") for stage in range(4)]
        m.d.sync += [later.eq(earlier) for earlier, later in pairwise(between)]
        with m.If(begin):
            m.d.sync += between[0].eq(0)
        with m.Elif(walking):
            m.d.sync += between[0].eq(self.apart & ~between[0] & ~last_firing)
        m.d.comb += self.follow.eq(valid & between[3])
        return valid & ~between[3]

    def _currents(self, m: Module, firsts: list[Signal]) -> list[Signal]:
        """Whether what stands in each stage, 0 to 4, is a word of currents: of a pair the first."""
        firsts.append(Signal(name="first_4"))
        currents = [Signal(name=f"currents_{stage}") for stage in range(5)]
        m.d.comb += [is_currents.eq(self.paired & first) for is_currents, first in zip(currents, firsts, strict=True)]
        m.d.comb += [
            self.behind_currents.eq(self.paired & ~firsts[2]),
            self.holds_currents.eq(currents[3]),
        ]
        return currents

    def _ahead(self, m: Module, begin: Signal, moves: Value) -> tuple[Signal, Signal]:
        """The address of a word of currents, ``words`` ahead of its membranes', and what it will be in the next cycle."""
        ahead = Signal.like(self.written)
        next_ahead = Signal.like(self.written)
        m.d.sync += ahead.eq(next_ahead)
        m.d.comb += next_ahead.eq(Mux(begin, self.words, ahead + moves))
        return ahead, next_ahead

    def _walk(self, m: Module, walking: Signal, begin: Signal, firing_pass: Signal) -> tuple[Signal, Signal]:
        """Neuron words in order, each for as long as it fires; returns whether it is a word's first cycle, its last."""
        first = Signal()
        firings: Value = self.firings
        if self._late:
            firings = Mux(self.apart, 2 * self.firings - 1, self.firings)
        turns = Signal(unsigned(len(self.firings) + self._late))
        m.d.comb += turns.eq(Mux(Mux(begin, self.fire, firing_pass), firings, 1))
        if self._lasting:
            with m.If(self.paired):
                m.d.comb += turns.eq(2)
        last_firing = countdown(m, "firing", turns, start=begin, step=walking)
        following = walking & last_firing
        last_group = countdown(m, "group", self.groups, start=begin, step=following)
        last_word = countdown(m, "word", self.words, start=begin, step=following)
        next_word = self.next_word if not self._lasting else Signal.like(self.word)
        m.d.comb += [self.read.eq(walking & first), self.walks.eq(begin | walking), next_word.eq(self.word)]
        m.d.sync += self.word.eq(next_word)
        if self._lasting:
            _, next_ahead = self._ahead(m, begin, following)
            m.d.comb += self.next_word.eq(Mux(self.paired & (begin | following), next_ahead, next_word))
        with m.If(begin):
            m.d.sync += [walking.eq(1), first.eq(1), self.parameter.eq(self.parameter_base)]
            m.d.comb += next_word.eq(0)
        with m.Elif(walking):
            m.d.sync += first.eq(last_firing)
            with m.If(last_firing):
                m.d.comb += next_word.eq(self.word + 1)
                m.d.sync += [
                    self.parameter.eq(Mux(last_group, self.parameter_base, self.parameter + 1)),
                    walking.eq(~last_word),
                ]
        return first, last_firing
