"""Expand an event into the synapse words it reaches."""

from amaranth import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["SynapseAddresses"]


class SynapseAddresses(wiring.Component):
    """Emits one synapse word a cycle: every group of every valid tap of each event, nothing else.

    Taps run along x, then along y; from one tap to the next the weight address grows by
    ``column_stride`` (``row_stride``) and the membrane address shrinks by ``column_words`` (``row_words``).
    Events that carry a range of their own (``words``, ``first``, ``last``) reach so many groups instead of
    ``groups``, and each synapse word says which lanes it means.

    Throughput: an event with ``r × c`` valid taps takes ``r·c·groups`` cycles, with no idle cycle
    between taps or events. Latency: 1 cycle. The output cannot be stalled.

    Parameters
    ----------
    event, synapse : StructLayout
        Payloads of input and output; both with ``first`` and ``last``, or neither.
    group_bits : int
        Width of ``groups``.
    lanes : int
        Of a synapse word, where events carry a range.
    """

    def __init__(self, *, event: data.StructLayout, synapse: data.StructLayout, group_bits: int, lanes: int = 0):
        self._event, self._lanes = event, lanes
        weight, membrane = event["weight"].width, event["membrane"].width
        super().__init__(
            {
                "groups": In(unsigned(group_bits)),
                "row_stride": In(unsigned(weight)),
                "column_stride": In(unsigned(weight)),
                "row_words": In(unsigned(membrane)),
                "column_words": In(unsigned(membrane)),
                "i": In(stream.Signature(event)),
                "o": Out(stream.Signature(synapse, always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        event = self._event
        valid = Signal()
        weight, tap_weight, row_weight = (Signal(event["weight"].width) for _ in range(3))
        membrane, tap_membrane, row_membrane = (Signal(event["membrane"].width) for _ in range(3))
        group = Signal.like(self.groups)
        columns, column, row = (Signal(event["columns"].width) for _ in range(3))
        amplitude = Signal(event["amplitude"].shape)

        last_group = Signal()
        if self._lanes:
            words, first, last = (Signal(event[name].shape, name=name) for name in ("words", "first", "last"))
            with m.If(self.i.ready):
                m.d.sync += [
                    words.eq(self.i.payload.words),
                    first.eq(self.i.payload.first),
                    last.eq(self.i.payload.last),
                ]
            m.d.comb += [
                last_group.eq(group == words),
                self.o.payload.first.eq(Mux(group == 0, first, 0)),
                self.o.payload.last.eq(Mux(last_group, last, self._lanes - 1)),
            ]
        else:
            m.d.comb += last_group.eq(group == self.groups - 1)
        m.d.comb += [
            self.i.ready.eq(~valid | (last_group & (column == 0) & (row == 0))),
            self.o.valid.eq(valid),
            self.o.payload.weight.eq(weight),
            self.o.payload.membrane.eq(membrane),
            self.o.payload.amplitude.eq(amplitude),
            self.o.payload.last_group.eq(last_group),
        ]

        def go(weight_to: Signal, membrane_to: Signal, *, tap: bool, row_too: bool) -> None:
            m.d.sync += [weight.eq(weight_to), membrane.eq(membrane_to)]
            if tap:
                m.d.sync += [group.eq(0), tap_weight.eq(weight_to), tap_membrane.eq(membrane_to)]
            if row_too:
                m.d.sync += [row_weight.eq(weight_to), row_membrane.eq(membrane_to)]

        with m.If(self.i.ready):
            m.d.sync += [
                valid.eq(self.i.valid),
                columns.eq(self.i.payload.columns),
                column.eq(self.i.payload.columns),
                row.eq(self.i.payload.rows),
                amplitude.eq(self.i.payload.amplitude),
            ]
            go(self.i.payload.weight, self.i.payload.membrane, tap=True, row_too=True)
        with m.Elif(~last_group):
            m.d.sync += group.eq(group + 1)
            go(weight + 1, membrane + 1, tap=False, row_too=False)
        with m.Elif(column != 0):
            m.d.sync += column.eq(column - 1)
            go(tap_weight + self.column_stride, tap_membrane - self.column_words, tap=True, row_too=False)
        with m.Else():
            m.d.sync += [column.eq(columns), row.eq(row - 1)]
            go(row_weight + self.row_stride, row_membrane - self.row_words, tap=True, row_too=True)
        return m
