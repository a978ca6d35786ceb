"""Walk a frame or spike bitmaps and turn what is not zero into events."""

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.hdl import Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from toolchain.ir import FixedPointNetwork
from toolchain.lfsr import MASK

__all__ = ["Scanner"]

_FIFO_DEPTH = 8
_IN_FLIGHT = 3
"""Events between the word register and the FIFO's level: two pipeline stages and the one being made."""


def _leap(register: Signal) -> Value:
    """The register of ``toolchain.lfsr`` eight shifts on: exclusive ors only."""
    bits: list[Value] = list(register)
    for _ in range(8):
        out, *rest = bits
        shifted = [*rest, Const(0, 1)]
        bits = [bit ^ out if MASK >> place & 1 else bit for place, bit in enumerate(shifted)]
    return Cat(bits)


class Scanner(wiring.Component):
    """Reads source words in order, skips zero words, and emits one event for each set lane.

    The source holds ``rows × columns × groups`` words, each read ``repeats`` times at consecutive
    addresses ``start, start + stride, …``. Coordinates come from counters; the coordinate tables turn
    them into the first valid tap, so pooling, stride and padding need no divider. A place without any
    valid tap (a dropped pooling rim) makes no event.

    Throughput: a word with ``n`` set lanes takes ``max(1, n)`` cycles. Latency from ``start`` to the
    first event: 6 cycles. Back-pressure: ``events`` may stall for any time; nothing is lost.

    Parameters
    ----------
    lanes : int
        Spikes of a spike word.
    event, row, column : StructLayout
        Payloads of the event stream and of the coordinate tables.
    network : FixedPointNetwork
        Its spikes: if they have a sign, spike words hold P of them above the spikes; the one of repeat t is
        worth ``2^(T−1−t)`` in ``radix``, 1 elsewhere. Its input: a pixel is one event (``direct``), an event
        for each of its bits (``bitplane``), or one if it exceeds the low byte of the register (``rate``).
    weighing : str
        What an event's amplitude is, as in ``Program``.
    address_bits, coordinate_bits, group_bits, repeat_bits, table_bits : int
        Widths of the configuration and address ports.
    channel : StructLayout or None
        Entry of the channel table, where there is one: an event's channel, counted from ``channel_base``, says there
        which words and lanes it reaches. ``group_stride`` and ``lane_stride`` then step through the table.
    channel_bits : int
        Width of its address.

    Members
    -------
    start : In, one cycle; ``busy``: Out, from the next cycle until the last event has left
    restart : In, with ``start``: the random numbers of ``rate`` begin anew
    enable : Out, read enable of the source and table memories (data one cycle later, then held)
    """

    def __init__(
        self,
        *,
        lanes: int,
        event: data.StructLayout,
        row: data.StructLayout,
        column: data.StructLayout,
        network: FixedPointNetwork,
        weighing: str,
        address_bits: int,
        coordinate_bits: int,
        group_bits: int,
        repeat_bits: int,
        table_bits: int,
        channel: data.StructLayout | None = None,
        channel_bits: int = 0,
    ):
        self._lanes = lanes
        self._event = event
        self._network, self._weighing = network, weighing
        signed_spikes = network.signed_spikes
        self._ranged = channel is not None
        offset_bits = channel_bits if self._ranged else event["weight"].width
        table = {} if channel is None else {
            "channel_base": In(unsigned(channel_bits)),
            "channel_address": Out(unsigned(channel_bits)),
            "channel": In(channel),
        }  # fmt: skip
        super().__init__(
            {
                "start": In(1),
                "restart": In(1),
                "busy": Out(1),
                "frame": In(1),
                "first_address": In(unsigned(address_bits)),
                "stride": In(unsigned(repeat_bits)),
                "repeats": In(unsigned(repeat_bits)),
                "rows": In(unsigned(coordinate_bits)),
                "columns": In(unsigned(coordinate_bits)),
                "groups": In(unsigned(group_bits)),
                "row_base": In(unsigned(table_bits)),
                "column_base": In(unsigned(table_bits)),
                "group_stride": In(unsigned(offset_bits)),
                "lane_stride": In(unsigned(offset_bits)),
                **table,
                "enable": Out(1),
                "address": Out(unsigned(address_bits)),
                "row_address": Out(unsigned(table_bits)),
                "column_address": Out(unsigned(table_bits)),
                "spikes": In(unsigned(lanes * (1 + signed_spikes))),
                "pixel": In(unsigned(8)),
                "row": In(row),
                "column": In(column),
                "events": Out(stream.Signature(event)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        walking = Signal()
        word_valid = Signal()
        consumed = Signal()
        m.d.comb += self.enable.eq(walking & (~word_valid | consumed))
        group_offset, worth = self._walk(m, walking)

        # word register: the memories' outputs, held while lanes are emitted one by one
        with m.If(self.enable):
            m.d.sync += word_valid.eq(1)
        with m.Elif(consumed):
            m.d.sync += word_valid.eq(0)
        word_offset = Signal.like(group_offset)
        word_worth = Signal.like(worth)
        most = max(self._lanes, 8) if self._network.input == "bitplane" else self._lanes
        emitted = Signal(most)

        reachable = self.row.count.any() & self.column.count.any()
        pending = Signal(most)
        of_pixel = self._pixel_events(m)
        with m.If(word_valid & reachable):
            m.d.comb += pending.eq(Mux(self.frame, of_pixel, self.spikes[: self._lanes]) & ~emitted)
        lowest = Signal(most)
        m.d.comb += lowest.eq(pending & (~pending + 1))
        ready = Signal()
        emit = pending.any() & ready
        with m.If(self.enable):
            m.d.sync += [word_offset.eq(group_offset), word_worth.eq(worth), emitted.eq(0)]
        with m.Elif(emit):
            m.d.sync += emitted.eq(emitted | lowest)
        m.d.comb += consumed.eq(word_valid & (~pending.any() | (emit & ~(pending & ~lowest).any())))

        bits = max(1, (most - 1).bit_length())
        place = Cat(Cat(lowest[lane] for lane in range(most) if lane >> bit & 1).any() for bit in range(bits))
        amplitude = self._amplitude(lowest, place, word_worth)
        lane = Mux(self.frame, 0, place) if self._network.input == "bitplane" else place
        in_pipeline = self._emit(m, emit, lane, word_offset, amplitude, ready)
        m.d.comb += self.busy.eq(walking | word_valid | in_pipeline)
        return m

    def _pixel_events(self, m: Module) -> Value:
        """The events of the pixel in the word register, as a mask."""
        if self._network.input == "direct":
            return self.pixel.any()
        if self._network.input == "bitplane":
            return self.pixel
        register, number = Signal(32), Signal(8)
        with m.If(self.start & self.restart):
            m.d.sync += register.eq(self._network.seed)
        with m.Elif(self.enable):
            m.d.sync += [register.eq(_leap(register)), number.eq(register[:8])]
        return self.pixel > number

    def _amplitude(self, lowest: Signal, place: Value, worth: Value) -> Value:
        """Of the event that leaves the word register."""
        signed_spikes = self._network.signed_spikes
        negative = (self.spikes[self._lanes :] & lowest).any() if signed_spikes else Const(0)
        if self._weighing == "multiply":
            return Mux(self.frame, self.pixel, Mux(negative, -worth, worth) if signed_spikes else worth)
        exponent = worth if self._weighing == "shift" else Const(0, 0)
        if self._network.input == "bitplane":
            exponent = Mux(self.frame, place[:3], exponent)
        if not signed_spikes:
            return exponent
        bits = self._event["amplitude"].shape.width - 1
        return Cat(exponent | Const(0, bits), negative & ~self.frame) if bits else negative & ~self.frame

    def _walk(self, m: Module, walking: Signal) -> tuple[Signal, Value]:
        """Counters (y, x, g, repeat) and addresses of the next word.

        Returns g · group_stride and what a spike is worth, as factor or exponent.
        """
        address = Signal.like(self.address)
        y, x = Signal.like(self.rows), Signal.like(self.columns)
        group, repeat = Signal.like(self.groups), Signal.like(self.repeats)
        group_offset = Signal.like(self.group_stride)
        first_offset = self.channel_base if self._ranged else Const(0)
        row_address, column_address = Signal.like(self.row_address), Signal.like(self.column_address)
        m.d.comb += [
            self.address.eq(address),
            self.row_address.eq(row_address),
            self.column_address.eq(column_address),
        ]
        with m.If(self.start):
            m.d.sync += [
                walking.eq(1),
                address.eq(self.first_address),
                row_address.eq(self.row_base),
                column_address.eq(self.column_base),
                group_offset.eq(first_offset),
            ]
            m.d.sync += [counter.eq(0) for counter in (y, x, group, repeat)]
        with m.Elif(self.enable):
            m.d.sync += [address.eq(address + self.stride), repeat.eq(repeat + 1)]
            if self._network.input == "rate":  # the same pixel again
                with m.If(self.frame & (repeat != self.repeats - 1)):
                    m.d.sync += address.eq(address)
            with m.If(repeat == self.repeats - 1):
                m.d.sync += [
                    repeat.eq(0),
                    group.eq(group + 1),
                    group_offset.eq(group_offset + self.group_stride),
                ]
                with m.If(group == self.groups - 1):
                    m.d.sync += [
                        group.eq(0),
                        group_offset.eq(first_offset),
                        x.eq(x + 1),
                        column_address.eq(column_address + 1),
                    ]
                    with m.If(x == self.columns - 1):
                        m.d.sync += [
                            x.eq(0),
                            column_address.eq(self.column_base),
                            y.eq(y + 1),
                            row_address.eq(row_address + 1),
                        ]
                        with m.If(y == self.rows - 1):
                            m.d.sync += walking.eq(0)
        factor = self._weighing == "multiply"
        if self._network.schedule != "radix":
            return group_offset, Const(1) if factor else Const(0)
        first = self._network.time_steps - 1
        worth = Signal(range(max(2, 1 + (1 << first if factor else first))))
        with m.If(self.start | (self.enable & (repeat == self.repeats - 1))):
            m.d.sync += worth.eq(1 << first if factor else first)
        with m.Elif(self.enable):
            m.d.sync += worth.eq(worth >> 1 if factor else worth - 1)
        return group_offset, worth

    def _emit(
        self, m: Module, emit: Signal, lane: Value, word_offset: Signal, amplitude: Value, ready: Signal
    ) -> Signal:
        """Two stages that add up the event's addresses, then a FIFO; returns whether any event is inside."""
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=self._event.size, depth=_FIFO_DEPTH)
        m.d.comb += ready.eq(fifo.level <= _FIFO_DEPTH - _IN_FLIGHT)
        chosen = Signal(lane.shape())
        partial, total = Signal(self._event), Signal(self._event)
        offset = Signal.like(word_offset)
        partial_valid, total_valid = Signal(), Signal()
        m.d.sync += [
            partial_valid.eq(emit),
            chosen.eq(lane),
            offset.eq(word_offset),
            partial.weight.eq(self.row.weight + self.column.weight),
            partial.membrane.eq(self.row.membrane + self.column.membrane),
            partial.rows.eq(self.row.count - 1),
            partial.columns.eq(self.column.count - 1),
            partial.amplitude.eq(amplitude),
            total_valid.eq(partial_valid),
            total.eq(partial),
        ]
        event = Signal(self._event)
        m.d.comb += event.eq(total)
        if self._ranged:  # the table's answer comes with the total
            m.d.comb += [
                self.channel_address.eq(offset + chosen),
                event.weight.eq(total.weight + self.channel.weight),
                event.membrane.eq(total.membrane + self.channel.membrane),
                *(event[name].eq(self.channel[name]) for name in ("words", "first", "last")),
            ]
        else:
            lane_offset = Signal.like(word_offset)
            m.d.sync += [total.weight.eq(partial.weight + offset), lane_offset.eq(chosen * self.lane_stride)]
            m.d.comb += event.weight.eq(total.weight + lane_offset)
        m.d.comb += [
            fifo.w_en.eq(total_valid),
            fifo.w_data.eq(event),
            self.events.payload.eq(fifo.r_data),
            self.events.valid.eq(fifo.r_rdy),
            fifo.r_en.eq(self.events.ready),
        ]
        inside = Signal()
        m.d.comb += inside.eq(partial_valid | total_valid | fifo.level.any())
        return inside
