"""Walk a frame or spike bitmaps and turn what is not zero into events."""

from itertools import pairwise

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.hdl import Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hdl.counting import countdown, total
from hdl.layouts import width_for
from hdl.weighing import Neuron
from hdl.windows import Windows
from toolchain.lfsr import MASK

__all__ = ["Scanner"]

_FIFO_DEPTH = 16
_IN_FLIGHT = 5
"""Events that ``ready`` does not know: three pipeline stages, the write into the FIFO, and the one being made."""
_PART = 8
"""Lanes whose events are counted in one stage; the next one adds up the parts."""


def _stages(value: Value, name: str, count: int) -> list[Value]:
    """``value`` and as many registers to take it along; a constant needs none."""
    if isinstance(value, Const):
        return [value] * (count + 1)
    return [value, *(Signal(value.shape(), name=f"{name}_{stage}") for stage in range(1, count + 1))]


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
    first event: 10 cycles. Back-pressure: ``events`` may stall for any time; nothing is lost.

    Parameters
    ----------
    lanes : int
        Spikes of a spike word.
    event, row, column : StructLayout
        Payloads of the event stream and of the coordinate tables.
    network : Neuron
        Its spikes: if they have a sign, spike words hold P of them above the spikes; the one of repeat t is
        worth ``2^(T−1−t)`` in ``radix``, 1 elsewhere. Its input: a pixel is one event (``direct``), an event
        for each of its bits (``bitplane``), or one if it exceeds the low byte of the register (``rate``); input
        ``spikes`` has no pixels, ``frame`` stays 0.
    weighing : str
        What an event's amplitude is, as in ``Program``.
    address_bits, coordinate_bits, group_bits, repeat_bits, table_bits : int
        Widths of the configuration and address ports.
    channel : StructLayout or None
        Entry of the channel table, where there is one: an event's channel, counted from ``channel_base``, says there
        which words and lanes it reaches. ``group_stride`` and ``lane_stride`` then step through the table.
    channel_bits : int
        Width of its address.
    windows : StructLayout or None
        What ``hdl.windows`` must know of each connection's max pooling, where there is any: ``rows`` and ``columns`` then count
        windows, and their steps replace ``stride``.
    settings : StructLayout or None
        Of a core whose networks are loaded: it brings the seed of ``rate``, and what the first spike of ``radix`` is worth.

    Members
    -------
    start : In, one cycle; ``busy``: Out, from the next cycle until the last event has left
    restart : In, with ``start``: the random numbers of ``rate`` begin anew
    pixels : In, a word of the frame memory, which holds four; the lowest bits of ``address`` choose
    enable : Out, read enable of the source and table memories (data one cycle later, then held; here they go
        into registers before anything else)
    """

    def __init__(
        self,
        *,
        lanes: int,
        event: data.StructLayout,
        row: data.StructLayout,
        column: data.StructLayout,
        network: Neuron,
        weighing: str,
        address_bits: int,
        coordinate_bits: int,
        group_bits: int,
        repeat_bits: int,
        table_bits: int,
        channel: data.StructLayout | None = None,
        channel_bits: int = 0,
        windows: data.StructLayout | None = None,
        settings: data.StructLayout | None = None,
    ):
        self._lanes = lanes
        self._event, self._row, self._column = event, row, column
        self._network, self._weighing = network, weighing
        signed_spikes = network.signed_spikes
        self._ranged = channel is not None
        self._windowed = windows is not None
        self._loaded = settings is not None
        offset_bits = channel_bits if self._ranged else event["weight"].width
        table = {} if channel is None else {
            "channel_base": In(unsigned(channel_bits)),
            "channel_address": Out(unsigned(channel_bits)),
            "channel": In(channel),
        }  # fmt: skip
        members = {name: event[name].shape for name in ("weight", "membrane", "rows", "columns")}
        members |= {"pixel": unsigned(8), "signs": unsigned(lanes * signed_spikes)}
        self._word = data.StructLayout({**members, **({"offset": unsigned(offset_bits)} if self._ranged else {})})
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
                **({} if windows is None else {"window": In(windows)}),
                **({} if settings is None else {"settings": In(settings)}),
                "enable": Out(1),
                "address": Out(unsigned(address_bits)),
                "row_address": Out(unsigned(table_bits)),
                "column_address": Out(unsigned(table_bits)),
                "spikes": In(unsigned(lanes * (1 + signed_spikes))),
                "pixels": In(unsigned(32)),
                "row": In(row),
                "column": In(column),
                "events": Out(stream.Signature(event)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes, signed_spikes = self._lanes, self._network.signed_spikes
        walking = Signal()
        ready = Signal()
        group_offset, worth, windows = self._walk(m, walking)

        # Stage 1: outputs of the memories; 2: they in registers; 3: what is set, and its address; 4: the word whose
        # lanes are emitted one by one. When it has no more, all stages move.
        valid = [walking, *(Signal(name=f"valid_{stage}") for stage in (1, 2, 3, 4))]
        offset = [group_offset, *(Signal.like(group_offset, name=f"offset_{stage}") for stage in (1, 2, 3))]
        worths = _stages(worth, "worth", 4)
        byte = [self.address[:2], *(Signal(2, name=f"byte_{stage}") for stage in (1, 2))]
        spikes = Signal(self.spikes.shape(), reset_less=True)
        pixels = Signal(self.pixels.shape(), reset_less=True)
        pixel = Signal(8)
        m.d.comb += pixel.eq(pixels.word_select(byte[2], 8))
        row = Signal(self._row)
        column = Signal(self._column)
        word = [Signal(self._word, name=f"word_{stage}") for stage in (3, 4)]
        reachable = row.count.any() & column.count.any()
        most = max(lanes, 8) if self._network.input == "bitplane" else lanes
        found = Signal(most)
        mask = Signal(most)
        hit = Signal()
        gathered, complete = self._gather(m, windows, spikes[:lanes], mask[:lanes])
        if self._network.input == "spikes":
            m.d.comb += found.eq(gathered)
        else:
            m.d.comb += found.eq(Mux(self.frame, self._pixel_events(m, walking & self.enable, pixel), gathered))
        heard = valid[2] & reachable & found.any()
        parts = [found[low : low + _PART] for low in range(0, most, _PART)]
        counts = [Signal(width_for(len(part)), name=f"count_{low}") for low, part in enumerate(parts)]
        with m.If(self.enable):
            for chain in (valid, offset, byte, worths):
                m.d.sync += [later.eq(earlier) for earlier, later in pairwise(chain) if isinstance(later, Signal)]
            m.d.sync += [
                spikes.eq(self.spikes),
                pixels.eq(self.pixels),
                row.eq(self.row),
                column.eq(self.column),
                mask.eq(found),
                hit.eq(heard if complete is None else heard & complete),
                *(count.eq(total(list(part))) for count, part in zip(counts, parts, strict=True)),
                word[0].weight.eq(row.weight + column.weight),
                word[0].membrane.eq(row.membrane + column.membrane),
                word[0].rows.eq(row.count - 1),
                word[0].columns.eq(column.count - 1),
                word[0].pixel.eq(pixel),
                word[1].eq(word[0]),
                word[1].offset.eq(offset[3]) if self._ranged else word[1].weight.eq(word[0].weight + offset[3]),
            ]
            if signed_spikes:
                m.d.sync += word[0].signs.eq(spikes[lanes:])

        # ``passing``: nothing is in the word register; ``last``: one lane. Both are known when the cycle begins.
        pending = Signal(most)
        lowest = Signal(most)
        count = Signal(width_for(most))
        left = Signal(width_for(most))
        passing = Signal(init=1)
        last = Signal()
        m.d.comb += [
            count.eq(total(counts)),
            lowest.eq(pending & (~pending + 1)),
            self.enable.eq(passing | (last & ready)),
        ]
        with m.If(self.enable):
            m.d.sync += [pending.eq(mask), left.eq(count), passing.eq(~hit), last.eq(count == 1)]
        with m.Elif(ready):
            m.d.sync += [pending.eq(pending & ~lowest), left.eq(left - 1), last.eq(left == 2)]
        in_pipeline = self._emit(m, ~passing & ready, lowest, word[1], worths[4], ready)
        m.d.comb += self.busy.eq(Cat(*valid).any() | in_pipeline)
        return m

    def _gather(self, m: Module, windows: Windows | None, spikes: Value, before: Value) -> tuple[Value, Value | None]:
        """Stage 2's spikes with those ``before`` them in their window, and whether the window is complete."""
        if windows is None:
            return spikes, None
        chains = [_stages(windows.first, "window_first", 2), _stages(windows.complete, "window_complete", 2)]
        if windows.inside is not None:
            chains.append(_stages(windows.inside, "window_inside", 2))
        with m.If(self.enable):
            for chain in chains:
                m.d.sync += [later.eq(earlier) for earlier, later in pairwise(chain)]
        first, complete, *inside = (chain[2] for chain in chains)
        counted = Mux(inside[0], spikes, 0) if inside else spikes
        return counted | Mux(first, 0, before), complete

    def _pixel_events(self, m: Module, step: Value, pixel: Signal) -> Value:
        """The events of the pixel in stage 2, as a mask."""
        if self._network.input == "direct":
            return pixel.any()
        if self._network.input == "bitplane":
            return pixel
        register = Signal(32)
        number = [Signal(8, name=f"number_{stage}") for stage in (1, 2)]
        with m.If(self.start & self.restart):
            m.d.sync += register.eq(self.settings.seed if self._loaded else self._network.seed)
        with m.Elif(step):
            m.d.sync += [register.eq(_leap(register)), number[0].eq(register[:8])]
        with m.If(self.enable):
            m.d.sync += number[1].eq(number[0])
        return pixel > number[1]

    def _amplitude(self, chosen: Signal, place: Value, word: data.View, worth: Value) -> Value:
        """Of an event that left the word register."""
        signed_spikes = self._network.signed_spikes
        negative = (word.signs & chosen).any() if signed_spikes else Const(0)
        if self._weighing == "multiply":
            return Mux(self.frame, word.pixel, Mux(negative, -worth, worth) if signed_spikes else worth)
        exponent = worth if self._weighing == "shift" else Const(0, 0)
        if self._network.input == "bitplane":
            exponent = Mux(self.frame, place[:3], exponent)
        if not signed_spikes:
            return exponent
        bits = self._event["amplitude"].shape.width - 1
        return Cat(exponent | Const(0, bits), negative & ~self.frame) if bits else negative & ~self.frame

    def _walk(self, m: Module, walking: Signal) -> tuple[Signal, Value, Windows | None]:
        """Counters (y, x, g, repeat) and addresses of the next word.

        Returns g · group_stride, what a spike is worth, as factor or exponent, and the walk within windows.
        """
        step = walking & self.enable
        windows = Windows(m, self.window, start=self.start, step=step) if self._windowed else None
        word = step if windows is None else step & windows.complete
        last_repeat = countdown(m, "repeat", self.repeats, start=self.start, step=word)
        next_group = word & last_repeat
        last_group = countdown(m, "group", self.groups, start=self.start, step=next_group)
        next_column = next_group & last_group
        last_column = countdown(m, "column", self.columns, start=self.start, step=next_column)
        next_row = next_column & last_column
        last_row = countdown(m, "row", self.rows, start=self.start, step=next_row)
        first_address, stride = self.first_address, self.stride
        if windows is not None:
            windows.track(m, next_column, next_row)
            first_address, stride = first_address + self.window.window_base, windows.address_step(next_column, next_row)
        group_offset = Signal.like(self.group_stride)
        first_offset = self.channel_base if self._ranged else Const(0)
        with m.If(self.start):
            m.d.sync += [
                walking.eq(1),
                self.address.eq(first_address),
                self.row_address.eq(self.row_base),
                self.column_address.eq(self.column_base),
                group_offset.eq(first_offset),
            ]
        with m.Elif(step):
            if self._network.input == "rate":  # the same pixel again
                with m.If(~self.frame | last_repeat):
                    m.d.sync += self.address.eq(self.address + stride)
            else:
                m.d.sync += self.address.eq(self.address + stride)
            with m.If(next_group):
                m.d.sync += group_offset.eq(Mux(last_group, first_offset, group_offset + self.group_stride))
            with m.If(next_column):
                m.d.sync += self.column_address.eq(Mux(last_column, self.column_base, self.column_address + 1))
            with m.If(next_row):
                m.d.sync += [self.row_address.eq(self.row_address + 1), walking.eq(~last_row)]
        factor = self._weighing == "multiply"
        if self._network.schedule != "radix":
            return group_offset, Const(1) if factor else Const(0), windows
        first = self._network.time_steps - 1
        worth = Signal(range(max(2, 1 + (1 << first if factor else first))))
        with m.If(self.start | next_group):
            m.d.sync += worth.eq(self.settings.worth if self._loaded else 1 << first if factor else first)
        with m.Elif(step):
            m.d.sync += worth.eq(worth >> 1 if factor else worth - 1)
        return group_offset, worth, windows

    def _emit(self, m: Module, emit: Value, lowest: Signal, word: data.View, worth: Value, ready: Signal) -> Value:
        """Number of the lane, its product with the stride (or its entry in the channel table), the sum, then a FIFO.

        Returns whether any event is inside.
        """
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=self._event.size, depth=_FIFO_DEPTH)
        m.d.sync += ready.eq(fifo.level <= _FIFO_DEPTH - _IN_FLIGHT)
        valid = [emit, *(Signal(name=f"emitted_{stage}") for stage in (1, 2, 3))]
        m.d.sync += [later.eq(earlier) for earlier, later in pairwise(valid)]
        most = len(lowest)
        chosen = Signal(most)
        origin = Signal(self._word)
        worths = _stages(worth, "emitted_worth", 1)
        m.d.sync += [chosen.eq(lowest), origin.eq(word)]
        m.d.sync += [later.eq(earlier) for earlier, later in pairwise(worths) if isinstance(later, Signal)]
        bits = max(1, (most - 1).bit_length())
        place = Cat(Cat(chosen[lane] for lane in range(most) if lane >> bit & 1).any() for bit in range(bits))
        lane = Signal(bits)
        event = [Signal(self._event, name=f"event_{stage}") for stage in (2, 3)]
        m.d.sync += [
            *(event[0][name].eq(origin[name]) for name in ("weight", "membrane", "rows", "columns")),
            event[0].amplitude.eq(self._amplitude(chosen, place, origin, worths[1])),
            lane.eq(Mux(self.frame, 0, place) if self._network.input == "bitplane" else place),
            event[1].eq(event[0]),
        ]
        complete = Signal(self._event)
        m.d.comb += complete.eq(event[1])
        if self._ranged:
            offset = Signal.like(origin.offset)
            m.d.sync += offset.eq(origin.offset)
            m.d.comb += [
                self.channel_address.eq(offset + lane),
                complete.weight.eq(event[1].weight + self.channel.weight),
                complete.membrane.eq(event[1].membrane + self.channel.membrane),
                *(complete[name].eq(self.channel[name]) for name in ("words", "first", "last")),
            ]
        else:
            lane_offset = Signal(self._event["weight"].width)
            m.d.sync += lane_offset.eq(lane * self.lane_stride)
            m.d.comb += complete.weight.eq(event[1].weight + lane_offset)
        m.d.comb += [
            fifo.w_en.eq(valid[3]),
            fifo.w_data.eq(complete),
            self.events.payload.eq(fifo.r_data),
            self.events.valid.eq(fifo.r_rdy),
            fifo.r_en.eq(self.events.ready),
        ]
        return Cat(*valid[1:]).any() | fifo.level.any()
