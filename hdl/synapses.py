"""Expand an event into the synapse words it reaches."""

from amaranth import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.counting import countdown

__all__ = ["SynapseAddresses"]


class SynapseAddresses(wiring.Component):
    """Emits one synapse word a cycle: every group of every valid tap of each event, nothing else.

    Taps run along x, then along y; from one tap to the next the weight address grows by
    ``column_stride`` (``row_stride``) and the membrane address shrinks by ``groups`` (``row_words``).

    Throughput: an event with ``r × c`` valid taps takes ``r·c·groups`` cycles, with no idle cycle
    between taps or events. Latency: 1 cycle. The output cannot be stalled. The addresses of the next tap and of
    the next row of taps are added up while those before them are emitted.

    Parameters
    ----------
    event, synapse : StructLayout
        Payloads of input and output.
    group_bits : int
        Width of ``groups``.
    """

    def __init__(self, *, event: data.StructLayout, synapse: data.StructLayout, group_bits: int):
        self._event = event
        weight, membrane = event["weight"].width, event["membrane"].width
        super().__init__(
            {
                "groups": In(unsigned(group_bits)),
                "row_stride": In(unsigned(weight)),
                "column_stride": In(unsigned(weight)),
                "row_words": In(unsigned(membrane)),
                "i": In(stream.Signature(event)),
                "o": Out(stream.Signature(synapse, always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        event, taken = self.i.payload, self._event
        valid = Signal()
        weight, membrane = Signal(taken["weight"].width), Signal(taken["membrane"].width)
        amplitude = Signal(taken["amplitude"].shape)
        columns, column, row = (Signal(taken["columns"].width) for _ in range(3))
        last_column, last_row = Signal(), Signal()
        next_tap = Signal()
        last_group = countdown(m, "group", self.groups, start=self.i.ready, step=valid)
        m.d.comb += [
            next_tap.eq(valid & last_group),
            self.i.ready.eq(~valid | (last_group & last_column & last_row)),
            self.o.valid.eq(valid),
            self.o.payload.weight.eq(weight),
            self.o.payload.membrane.eq(membrane),
            self.o.payload.amplitude.eq(amplitude),
            self.o.payload.last_group.eq(last_group),
        ]

        # first synapses of the next tap along x and of the next row of taps, wherever those exist
        tap_weight, row_weight = Signal.like(weight), Signal.like(weight)
        tap_membrane, row_membrane = Signal.like(membrane), Signal.like(membrane)
        row_start_weight, row_start_membrane = Signal.like(weight), Signal.like(membrane)
        tap_start_weight, tap_start_membrane = Signal.like(weight), Signal.like(membrane)
        m.d.comb += [
            row_start_weight.eq(Mux(self.i.ready, event.weight, row_weight)),
            row_start_membrane.eq(Mux(self.i.ready, event.membrane, row_membrane)),
            tap_start_weight.eq(Mux(self.i.ready | last_column, row_start_weight, tap_weight)),
            tap_start_membrane.eq(Mux(self.i.ready | last_column, row_start_membrane, tap_membrane)),
        ]
        with m.If(self.i.ready | next_tap):
            m.d.sync += [
                weight.eq(tap_start_weight),
                membrane.eq(tap_start_membrane),
                tap_weight.eq(tap_start_weight + self.column_stride),
                tap_membrane.eq(tap_start_membrane - self.groups),
            ]
            with m.If(self.i.ready | last_column):
                m.d.sync += [
                    row_weight.eq(row_start_weight + self.row_stride),
                    row_membrane.eq(row_start_membrane - self.row_words),
                ]
        with m.Else():
            m.d.sync += [weight.eq(weight + 1), membrane.eq(membrane + 1)]

        with m.If(self.i.ready):
            m.d.sync += [
                valid.eq(self.i.valid),
                amplitude.eq(event.amplitude),
                columns.eq(event.columns),
                column.eq(event.columns),
                last_column.eq(event.columns == 0),
                row.eq(event.rows),
                last_row.eq(event.rows == 0),
            ]
        with m.Elif(next_tap & ~last_column):
            m.d.sync += [column.eq(column - 1), last_column.eq(column == 1)]
        with m.Elif(next_tap):
            m.d.sync += [column.eq(columns), last_column.eq(columns == 0), row.eq(row - 1), last_row.eq(row == 1)]
        return m
