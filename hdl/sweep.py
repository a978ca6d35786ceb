"""Sequence the passes over all neurons of a layer: write initial membranes, fire."""

from amaranth import Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Sweep"]


class Sweep(wiring.Component):
    """Addresses and strobes for the initialization pass and the fire pass.

    Initialization: one neuron word a cycle. Fire pass: ``firings`` cycles a neuron word, the next word
    read meanwhile; spike words go to ``first_spike, first_spike + spike_stride, …``.
    Duration: ``words + 2`` cycles to initialize, ``words·firings + 4`` to fire.

    Parameters
    ----------
    word_bits, group_bits, parameter_bits, spike_bits, step_bits : int
        Widths of neuron word addresses, groups, parameter addresses, spike addresses, firings.

    Members
    -------
    initialize, fire : In, one cycle, never while ``busy``
    read, word, parameter : Out, read strobe and addresses of membrane and parameter memory
    load, step : Out, strobes of the lanes (``load`` one cycle after the read or later)
    write_initial, write_after, written : Out, write strobes and address of the membrane memory;
        the value to write is last cycle's parameter read, and last cycle's ``after``
    spike, spike_address, spike_word, spike_step : Out, a spike word was made last cycle: spike memory
        address, neuron word, and firing number
    """

    def __init__(self, *, word_bits: int, group_bits: int, parameter_bits: int, spike_bits: int, step_bits: int):
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
                "parameter": Out(unsigned(parameter_bits)),
                "load": Out(1),
                "step": Out(1),
                "write_initial": Out(1),
                "write_after": Out(1),
                "written": Out(unsigned(word_bits)),
                "spike": Out(1),
                "spike_address": Out(unsigned(spike_bits)),
                "spike_word": Out(unsigned(word_bits)),
                "spike_step": Out(unsigned(step_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        walking, firing_pass = Signal(), Signal()
        read_valid, fire_valid = Signal(), Signal()
        read_word, fire_word = Signal.like(self.word), Signal.like(self.word)
        last_firing = Signal()
        advance = Signal()  # the fire stage is free for the next word
        firing = Signal.like(self.firings)

        m.d.comb += [
            last_firing.eq(firing == self.firings - 1),
            advance.eq(~firing_pass | ~fire_valid | last_firing),
            self.read.eq(walking & (~read_valid | advance)),
            self.load.eq(firing_pass & read_valid & advance),
            self.step.eq(fire_valid),
            self.busy.eq(walking | read_valid | fire_valid | self.spike | self.write_after | self.write_initial),
        ]
        self._walk(m, walking)
        with m.If(self.initialize | self.fire):
            m.d.sync += firing_pass.eq(self.fire)

        with m.If(self.read):
            m.d.sync += [read_valid.eq(1), read_word.eq(self.word)]
        with m.Elif(advance):
            m.d.sync += read_valid.eq(0)

        with m.If(self.load):
            m.d.sync += [fire_valid.eq(1), fire_word.eq(read_word), firing.eq(0)]
        with m.Elif(fire_valid):
            m.d.sync += firing.eq(firing + 1)
            with m.If(last_firing):
                m.d.sync += fire_valid.eq(0)

        m.d.comb += self.write_initial.eq(~firing_pass & read_valid)
        after_word = Signal.like(self.word)
        m.d.sync += [
            self.write_after.eq(fire_valid & last_firing & self.write_back),
            after_word.eq(fire_word),
        ]
        with m.If(firing_pass):
            m.d.comb += self.written.eq(after_word)
        with m.Else():
            m.d.comb += self.written.eq(read_word)

        next_spike = Signal.like(self.spike_address)
        m.d.sync += [self.spike.eq(fire_valid), self.spike_word.eq(fire_word), self.spike_step.eq(firing)]
        with m.If(self.fire):
            m.d.sync += next_spike.eq(self.first_spike)
        with m.Elif(fire_valid):
            m.d.sync += [
                self.spike_address.eq(next_spike),
                next_spike.eq(next_spike + self.spike_stride),
            ]
        return m

    def _walk(self, m: Module, walking: Signal) -> None:
        """Count neuron words, and groups for the parameter address."""
        word, group = Signal.like(self.word), Signal.like(self.groups)
        m.d.comb += [self.word.eq(word), self.parameter.eq(self.parameter_base + group)]
        with m.If(self.initialize | self.fire):
            m.d.sync += [walking.eq(1), word.eq(0), group.eq(0)]
        with m.Elif(self.read):
            m.d.sync += [word.eq(word + 1), group.eq(group + 1)]
            with m.If(group == self.groups - 1):
                m.d.sync += group.eq(0)
            with m.If(word == self.words - 1):
                m.d.sync += walking.eq(0)
