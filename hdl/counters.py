"""Hardware counters: cycles, events, synaptic operations and spikes of each layer."""

from amaranth import Cat, Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.counting import total
from hdl.host import COUNTERS
from hdl.layouts import width_for

__all__ = ["Counters"]

_PART = 8
"""Lanes whose spikes are counted in one cycle; the next one adds up the parts."""


class Counters(wiring.Component):
    """Counts while a layer runs; ``store`` writes its four counters and starts the next layer at 0.

    ``total`` counts the cycles from the one in which the frame's header is taken (``start``) to
    ``finish``, both included; the result is offered one cycle later. A layer's ``cycles`` run from
    ``begin`` or the ``store`` before it to its own ``store``. All counters are 32 bits and wrap. Events and
    operations are counted two cycles after they are shown, spikes three: ``store`` must come as long after them.

    In a chain of cores the memory also holds the counters of earlier cores' layers, which come with the frame, and
    ``total`` counts from when the first core took its header: cores whose resets end together have the same time.

    Parameters
    ----------
    layers, lanes : int
    chained : bool
    before : int
        Layers of earlier cores, the first of ``layers``.

    Members
    -------
    start, begin, store, finish : In, one cycle each: header taken, frame complete, layer done, all done
    event : In, an event was taken
    operations : In, synaptic operations of this cycle
    spike_valid, spike_bits : In, a spike word
    layer : In, index written by ``store``; ``address``: In, index read, ``data`` one cycle later
    counted, counted_layer, counters : In, the counters of an earlier layer, where there are any
    given, origin_given : In, when the frame's header came, if to another core; ``origin``: Out, in a chain, that time
    """

    def __init__(self, *, layers: int, lanes: int, chained: bool = False, before: int = 0):
        self._layers, self._chained, self._before = layers, chained, before
        earlier = {
            "counted": In(1),
            "counted_layer": In(unsigned(width_for(before - 1))),
            "counters": In(unsigned(32 * len(COUNTERS))),
            "given": In(1),
            "origin_given": In(unsigned(32)),
        }
        super().__init__(
            {
                "start": In(1),
                "begin": In(1),
                "store": In(1),
                "finish": In(1),
                "event": In(1),
                "operations": In(unsigned(width_for(lanes))),
                "spike_valid": In(1),
                "spike_bits": In(unsigned(lanes)),
                "layer": In(unsigned(width_for(layers - 1))),
                "address": In(unsigned(width_for(layers - 1))),
                "data": Out(unsigned(32 * len(COUNTERS))),
                "total": Out(unsigned(32)),
                **({"origin": Out(unsigned(32))} if chained else {}),
                **(earlier if before else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        memory = Memory(shape=unsigned(32 * len(COUNTERS)), depth=max(2, self._layers), init=[])
        m.submodules.memory = memory
        write, read = memory.write_port(), memory.read_port()
        cycles, events, operations, spikes = (Signal(32, name=name) for name in COUNTERS)
        event = Signal()
        performed = Signal.like(self.operations)
        parts = [self.spike_bits[low : low + _PART] for low in range(0, len(self.spike_bits), _PART)]
        fired = [Signal(width_for(len(part)), name=f"fired_{place}") for place, part in enumerate(parts)]
        spiked = Signal(width_for(len(self.spike_bits)))
        m.d.comb += [
            write.addr.eq(self.layer),
            write.data.eq(Cat(cycles, events, operations, spikes)),
            write.en.eq(self.store),
            read.addr.eq(self.address),
            self.data.eq(read.data),
        ]
        m.d.sync += [
            event.eq(self.event),
            performed.eq(self.operations),
            *(register.eq(0) for register in fired),
            spiked.eq(total(fired)),
            cycles.eq(cycles + 1),
            events.eq(events + event),
            operations.eq(operations + performed),
            spikes.eq(spikes + spiked),
        ]
        with m.If(self.spike_valid):
            m.d.sync += [register.eq(total(list(part))) for register, part in zip(fired, parts, strict=True)]
        with m.If(self.store | self.begin):
            m.d.sync += [counter.eq(0) for counter in (events, operations, spikes)]
            m.d.sync += cycles.eq(1)
        if self._before:
            with m.If(self.counted):
                m.d.comb += [
                    write.addr.eq(self.counted_layer),
                    write.data.eq(self.counters),
                    write.en.eq(1),
                ]
        if self._chained:
            self._tell_time(m)
            return m
        running = Signal()
        with m.If(self.start):
            m.d.sync += [running.eq(1), self.total.eq(1)]
        with m.Elif(running):
            m.d.sync += self.total.eq(self.total + 1)
            with m.If(self.finish):
                m.d.sync += running.eq(0)
        return m

    def _tell_time(self, m: Module) -> None:
        """``origin`` and ``total`` from a clock of cycles since the reset."""
        now = Signal(32)
        m.d.sync += now.eq(now + 1)
        if self._before:
            with m.If(self.given):
                m.d.sync += self.origin.eq(self.origin_given)
        else:
            with m.If(self.start):
                m.d.sync += self.origin.eq(now)
        with m.If(self.finish):
            m.d.sync += self.total.eq(now - self.origin + 1)
