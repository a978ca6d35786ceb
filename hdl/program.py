"""Assemble a fixed-point network into memory contents and instructions for the core.

Plain Python and numpy: no signals here. Addresses are in words of the memory they point into.

Layout (position-major, channel-minor): the neurons of a layer stand in words of P lanes,
``word = (y·W + x)·G + c // P`` with ``G = ⌈C / P⌉`` groups and lane ``c % P``. Spike words of all T
steps of one neuron word are neighbours: ``spike address = base + word·T + t``. Weight words hold the
P weights from one source channel and kernel place to one group:
``weight address = base + ((c_in·K_y + k_y)·K_x + k_x)·G + g``, where c_in counts within the source channel's
own group of a grouped convolution: its weights take the space of its kernel, and an event enables the lanes of its group only.
"""

from dataclasses import dataclass, fields
from functools import cached_property
from itertools import accumulate, chain
from math import prod
from typing import NamedTuple

import numpy as np

from hdl.instruction import ChannelRange, CoordinateTaps, Instruction
from hdl.leak_word import leak_word
from hdl.packing import SpikePacking
from hdl.sharing import shared
from toolchain.buffers import place, with_input
from toolchain.connection import Connection
from toolchain.errors import InvalidValue
from toolchain.geometry import axis_taps
from toolchain.ir import INPUT, FixedPointLayer, FixedPointNetwork
from toolchain.leak import Decay
from toolchain.pooling import MaxPooling

__all__ = [
    "MAX_LANES",
    "Assembled",
    "ChannelRange",
    "CoordinateTaps",
    "Instruction",
    "Program",
    "WindowBits",
    "check_lanes",
]

MAX_LANES = 64
Assembled = tuple[tuple[Instruction, ...], tuple[CoordinateTaps, ...], tuple[CoordinateTaps, ...]]
"""Instructions, and the coordinate tables along y and x."""


def check_lanes(lanes: int) -> None:
    """Refuse lanes outside 1 to ``MAX_LANES``."""
    if not isinstance(lanes, int) or not 1 <= lanes <= MAX_LANES:
        raise InvalidValue(f"lanes is {lanes}, must be 1 to {MAX_LANES}")


class WindowBits(NamedTuple):
    """Widths in a core of max pooling that is made for other networks too: of the scanner's address, and of a row or column."""

    address: int
    place: int


@dataclass(frozen=True, eq=False)
class Program:
    """Everything that distinguishes one network from another for a core of ``lanes`` lanes.

    ``ranged``: with a channel table, though no connection may have groups; ``general``: thresholds stand in the
    parameter memory, though they may all be powers of two, connections that reach the same words from the same channels
    share their entries of the channel table, and instructions hold leaks themselves (``hdl.leak_word``), not their numbers; ``windows``: every connection has windows, though it may pool nothing. All three
    are for cores that are made for other networks too.

    Raises
    ------
    InvalidValue
        ``lanes`` outside 1 to ``MAX_LANES``.
    """

    network: FixedPointNetwork
    lanes: int
    ranged: bool = False
    general: bool = False
    windows: WindowBits | None = None

    def __post_init__(self) -> None:
        check_lanes(self.lanes)

    def groups(self, channels: int) -> int:
        """Words that hold ``channels`` lanes."""
        return -(-channels // self.lanes)

    @cached_property
    def grouped(self) -> bool:
        """Whether any connection has groups: then the core reads each source channel's range from a table."""
        return self.ranged or any(c.groups > 1 for layer in self.network.layers for c in layer.connections)

    def channel_range(self, connection: Connection, channel: int) -> ChannelRange:
        """What a source channel of a connection reaches."""
        targets = connection.targets(channel)
        first, last = targets[0] // self.lanes, targets[-1] // self.lanes
        row = channel % connection.weight.shape[1]
        tap_words = connection.kernel[0] * connection.kernel[1] * self.groups(connection.weight.shape[0])
        return ChannelRange(
            row * tap_words + first, first, last - first, targets[0] % self.lanes, targets[-1] % self.lanes
        )

    @cached_property
    def maxima(self) -> tuple[MaxPooling, ...]:
        """Max poolings of all connections; without any the core has no windows."""
        connections = [c for layer in self.network.layers for c in layer.connections]
        return tuple(c.maximum for c in connections if c.maximum is not None)

    @property
    def place_bits(self) -> int:
        """Width in which no place of a padded source is taken for another."""
        connections = [c for layer in self.network.layers for c in layer.connections]
        extents = [extent for c in connections for extent in self.network.source_shape(c)[1:]]
        pads = [pad for m in self.maxima for pad in (*m.padding, *m.padding_after)]
        return (max(extents) + 2 * max(pads, default=0)).bit_length()

    @property
    def address_bits(self) -> int:
        """Width of the address that the scanner reads at: a pixel of the frame memory, or a spike word."""
        return max(1, (max(4 * self.frame_words, self.spike_words, 2) - 1).bit_length())

    def _window(self, connection: Connection, stride: int) -> dict[str, int]:
        """Members of an instruction about the windows of its max pooling; ``stride``: from a word to the next where nothing is pooled."""
        pooling = connection.maximum
        address_bits, place_bits = self.windows or (self.address_bits, self.place_bits)
        if pooling is None:
            if self.windows is not None:  # it stays at the first place of one
                steps = dict.fromkeys(("word_step", "column_step", "row_step"), stride)
                return {**steps, "column_shift": 0, "row_shift": 0, "frame_columns": 1, "frame_rows": 1}
            if not self.maxima:
                return {}
            frame = self.network.source_shape(connection)
            return {"frame_rows": frame[1], "frame_columns": frame[2]}
        channels, rows, columns = self.network.source_shape(connection)
        column_words = self.groups(channels) * self.steps
        row_words = columns * column_words
        (tall, wide), (down, right) = pooling.window, pooling.stride
        across = connection.reduced((channels, rows, columns))[2]
        # from the last word of a window back to its first, and on to the next: one step or one group further
        back = 1 - (tall - 1) * row_words - (wide - 1) * column_words
        column = back - column_words + right * column_words
        before = -pooling.padding[0] * row_words - pooling.padding[1] * column_words
        steps = {
            "window_base": before,
            "tap_step": column_words,
            "tap_row_step": row_words - (wide - 1) * column_words,
            "word_step": back,
            "column_step": column,
            "row_step": column - across * right * column_words + down * row_words,
        }
        places = {"window_column": -pooling.padding[1], "window_row": -pooling.padding[0]}
        return {
            "window_rows": tall,
            "window_columns": wide,
            **{name: step % (1 << address_bits) for name, step in steps.items()},
            **{name: place % (1 << place_bits) for name, place in places.items()},
            "column_shift": right,
            "row_shift": down,
            "frame_rows": rows,
            "frame_columns": columns,
        }

    @cached_property
    def decays(self) -> tuple[Decay, ...]:
        """The leaks of all layers' membranes and currents, each once; without any the core has no adders for them."""
        leaks = (leak for layer in self.network.layers for leak in (layer.leak, layer.current_leak))
        return tuple(dict.fromkeys(leak for leak in leaks if leak is not None))

    def _code(self, leak: Decay | None) -> int:
        """0 where nothing leaks, n for the n-th of ``decays``, or where ``general`` the decay itself."""
        if self.general:
            return leak_word(leak)
        return 0 if leak is None else 1 + self.decays.index(leak)

    @cached_property
    def frame_leaks(self) -> tuple[bool, ...]:
        """Whether layers that read the frame, and so fire T times at once, leak: each answer that there is, once."""
        layers = filter(self.network.holds_current, self.network.layers)
        return tuple(dict.fromkeys(layer.leak is not None for layer in layers))

    def words(self, index: int) -> int:
        """Neuron words of a layer."""
        channels, height, width = self.network.shapes[index]
        return height * width * self.groups(channels)

    def states(self, index: int) -> int:
        """Words of state behind each neuron word of a layer: 1, or 2 where its current lasts, membranes first, then all currents."""
        return self.network.layers[index].states

    def _event_base(self, index: int) -> int:
        """First word that the layer's events add to."""
        return self.words(index) * (self.states(index) - 1)

    @property
    def steps(self) -> int:
        """T."""
        return self.network.time_steps

    @cached_property
    def threshold_exponents(self) -> tuple[int, ...] | None:
        """k of each layer, if the thresholds of every layer are one power of two ``2^k`` (0 for a readout)."""
        if self.general:
            return None
        exponents = []
        for layer in self.network.layers:
            thresholds = {1} if layer.threshold is None else set(layer.threshold.tolist())
            if len(thresholds) > 1 or min(thresholds).bit_count() != 1:
                return None
            exponents.append(min(thresholds).bit_length() - 1)
        return tuple(exponents)

    @property
    def spike_bits(self) -> int:
        """Width of a spike word: P spikes, and P signs above them if spikes have one."""
        return self.lanes * (1 + self.network.signed_spikes)

    @property
    def pixels(self) -> int:
        """Pixels of a frame."""
        return prod(self.network.input_shape)

    @property
    def frame_words(self) -> int:
        """Depth of the frame memory, four pixels a word; 0 where frames are spikes."""
        return 0 if self.packing is not None else max(2, -(-self.pixels // 4))

    @property
    def membrane_words(self) -> int:
        """Depth of the membrane memory: the largest layer, not the sum; currents that last stand behind membranes."""
        return max(self.words(index) * self.states(index) for index in range(len(self.network.layers)))

    @cached_property
    def spike_sizes(self) -> tuple[int, ...]:
        """Spike words of each layer over all steps; none of a readout."""
        layers = enumerate(self.network.layers)
        return tuple(0 if layer.threshold is None else self.words(index) * self.steps for index, layer in layers)

    @cached_property
    def packing(self) -> SpikePacking | None:
        """How input spikes arrive; ``None`` where frames are pixels."""
        network = self.network
        if network.input != "spikes":
            return None
        return SpikePacking(network.input_shape, self.steps, self.lanes, signed=network.signed_spikes)

    @cached_property
    def sent(self) -> SpikePacking | None:
        """How the last layer's spikes leave, if it fires and another core goes on; ``None`` where scores are sent."""
        network = self.network
        if network.layers[-1].threshold is None:
            return None
        return SpikePacking(network.shapes[-1], self.steps, self.lanes, signed=network.signed_spikes)

    @property
    def receiving(self) -> int:
        """Cycles of an inference that are no layer's: header, frame, its completion, the order to send; unstalled."""
        packing = self.packing
        return -(-self.pixels // 4) + 3 if packing is None else max(packing.words, packing.fields) + 4

    def _lives(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Sizes and last holders of the buffers in the spike memory, of input spikes first, if there are any."""
        given = 0 if self.packing is None else self.packing.fields
        return with_input(self.network, given, self.spike_sizes)

    @cached_property
    def _buffers(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Bases and sizes of the buffers."""
        sizes, last = self._lives()
        return place(sizes, last), sizes

    @property
    def spike_bases(self) -> tuple[int, ...]:
        """First spike word of each layer; buffers share words unless they are held at the same time."""
        return self._buffers[0][-len(self.network.layers) :]

    @property
    def input_base(self) -> int:
        """First spike word of the input's spikes."""
        return self._buffers[0][0]

    @property
    def spike_words(self) -> int:
        """Depth of the spike memory."""
        return max(base + size for base, size in zip(*self._buffers, strict=True))

    @property
    def longest_inference(self) -> int:
        """Cycles from a frame's first word to the result's last that no frame exceeds, streams unstalled.

        Every pixel and every spike counted as an event: its own cycle in the scanner, then G cycles
        for each valid tap; fire passes and initialization; 32 cycles of control and pipeline for
        each connection and round; a cycle a word in; out two a class, three more a word of scores, ten a layer.
        """
        classes, layers = self.network.shapes[-1][0], len(self.network.layers)
        cycles = self.receiving + 2 * classes + 3 * self.groups(classes) + 10 * layers + 32
        cycles += 0 if self.sent is None else self.sent.words + self.sent.fields
        for index, layer in enumerate(self.network.layers):
            cycles += self.words(index) * (2 + self.steps * (2 if self.decays else 1)) + 32 * self.steps
            for connection in layer.connections:
                source, maximum = self.network.source_shape(connection), connection.maximum
                taps = prod(int(axis_taps(connection, source, axis).count.sum()) for axis in (0, 1))
                reached = sum(1 + self.channel_range(connection, channel).words for channel in range(source[0]))
                places = source[1] * source[2] if maximum is None else maximum.reads((source[1], source[2]))
                events = source[0] * places + taps * reached
                presented = {"direct": 1, "bitplane": 8}.get(self.network.input, self.steps)
                presented *= self.steps if self.network.rescans(layer) else 1
                cycles += (presented if connection.source == INPUT else self.steps) * (events + 32)
        return cycles

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """The program, one instruction for each connection, layer by layer."""
        return self._assembled[0]

    @property
    def tables(self) -> tuple[tuple[CoordinateTaps, ...], tuple[CoordinateTaps, ...]]:
        """Coordinate tables along y and x; the rows carry the connection's weight base."""
        return self._assembled[1:]

    @property
    def channels(self) -> tuple[ChannelRange, ...]:
        """Channel table, connection by connection unless entries are shared; empty without groups."""
        return self._ranges[0]

    @cached_property
    def _ranges(self) -> tuple[tuple[ChannelRange, ...], tuple[int, ...]]:
        """Channel table, and the place of each connection's first entry."""
        connections = [c for layer in self.network.layers for c in layer.connections]
        if not self.grouped:
            return (), (0,) * len(connections)
        runs = [tuple(self.channel_range(c, channel) for channel in range(c.inputs)) for c in connections]
        if self.general:
            return shared(runs)
        return tuple(chain(*runs)), tuple(accumulate(map(len, runs), initial=0))[:-1]

    @cached_property
    def _assembled(self) -> Assembled:
        return self._assemble()

    def _assemble(self) -> Assembled:
        """Instructions, and the coordinate tables along y and x."""
        instructions = []
        weight_base = parameter_base = 0
        channel_bases = iter(self._ranges[1])
        rows: list[CoordinateTaps] = []
        columns: list[CoordinateTaps] = []
        for index, layer in enumerate(self.network.layers):
            channels, height, width = self.network.shapes[index]
            groups = self.groups(channels)
            for number, connection in enumerate(layer.connections):
                source = self.network.source_shape(connection)
                frame = connection.source == INPUT and self.packing is None
                kernel = connection.kernel
                tap_words = kernel[0] * kernel[1] * groups
                lane_stride = 1 if self.grouped else tap_words
                taps = [axis_taps(connection, source, axis) for axis in (0, 1)]
                per_step = self.network.schedule == "stream" and not self.network.holds_current(layer)
                walked = connection.reduced(source)
                instructions.append(
                    Instruction(
                        frame=int(frame),
                        per_step=int(per_step),
                        first=int(number == 0),
                        last=int(number == len(layer.connections) - 1),
                        sweep=int(self._swept(layer)),
                        fires=int(layer.threshold is not None),
                        source_base=0 if frame else self._source_base(connection.source),
                        source_rows=walked[1],
                        source_columns=walked[2],
                        source_groups=source[0] if frame else self.groups(source[0]),
                        row_base=len(rows),
                        column_base=len(columns),
                        channel_base=next(channel_bases),
                        group_stride=lane_stride * (1 if frame else self.lanes),
                        lane_stride=lane_stride,
                        row_stride=taps[0].kernel_step * kernel[1] * groups,
                        column_stride=taps[1].kernel_step * groups,
                        groups=groups,
                        row_words=taps[0].output_step * width * groups,
                        column_words=taps[1].output_step * groups,
                        last_lanes=channels - (groups - 1) * self.lanes,
                        words=height * width * groups,
                        parameter_base=parameter_base,
                        threshold_exponent=self.threshold_exponents[index] if self.threshold_exponents else 0,
                        target_base=self.spike_bases[index],
                        leak=self._code(layer.leak),
                        current_leak=self._code(layer.current_leak),
                        **self._window(connection, self.steps if per_step and not frame else 1),
                    )
                )
                for axis, table, weight_scale, membrane_scale, weights, membranes in (
                    (0, rows, kernel[1] * groups, width * groups, weight_base, 0),
                    (1, columns, groups, groups, 0, self._event_base(index)),
                ):
                    table.extend(
                        CoordinateTaps(weights + int(k) * weight_scale, membranes + int(o) * membrane_scale, int(n))
                        for k, o, n in zip(taps[axis].kernel, taps[axis].output, taps[axis].count, strict=True)
                    )
                weight_base += connection.weight.shape[1] * tap_words
            parameter_base += groups
        return tuple(instructions), tuple(rows), tuple(columns)

    @cached_property
    def weight_words(self) -> tuple[tuple[int, ...], ...]:
        """Weight memory, one tuple of P signed weights a word; unused lanes hold 0."""
        words: list[tuple[int, ...]] = []
        for layer in self.network.layers:
            for connection in layer.connections:
                outputs, inputs, *kernel = connection.weight.shape
                padded = np.zeros((self.groups(outputs) * self.lanes, inputs, *kernel), np.int64)
                padded[:outputs] = connection.weight
                # [C_in, K_y, K_x, G, P]
                ordered = padded.transpose(1, 2, 3, 0).reshape(-1, self.lanes)
                words.extend(tuple(row) for row in ordered.tolist())
        return tuple(words)

    @property
    def weight_depth(self) -> int:
        """Depth of the weight memory."""
        return len(self.weight_words)

    @cached_property
    def parameter_words(self) -> tuple[tuple[dict[str, int], ...], ...]:
        """Parameter memory, the parameters of each lane by name; unused lanes never fire.

        ``threshold``, unless all are in the program as powers of two, and ``negative_threshold`` in
        ``asymmetric``; ``initial``, the membrane before the first event; in ``stream`` ``addend``, what the fire
        pass adds to what it reads. They are offset and bias; a layer that reads the frame keeps its current
        in the membrane memory, so there they change places; a readout that is never swept starts with
        all its biases.
        """
        words: list[tuple[dict[str, int], ...]] = []
        for layer in self.network.layers:
            values = self.parameters(layer)
            lanes = [
                {name: int(v[c]) if c < layer.channels else int("threshold" in name) for name, v in values.items()}
                for c in range(self.groups(layer.channels) * self.lanes)
            ]
            words.extend(tuple(lanes[i : i + self.lanes]) for i in range(0, len(lanes), self.lanes))
        return tuple(words)

    def _source_base(self, source: int) -> int:
        return self.input_base if source == INPUT else self.spike_bases[source]

    def _swept(self, layer: FixedPointLayer) -> bool:
        """Whether there is a fire pass: to fire, to add the frame's current or one that lasts, or to leak."""
        leaks = layer.leak is not None or layer.current_leak is not None
        return layer.threshold is not None or self.network.holds_current(layer) or leaks

    def parameters(self, layer: FixedPointLayer) -> dict[str, np.ndarray]:
        """The parameters of a layer by name, as ``parameter_words`` holds them, int64 ``[C]``."""
        once, always = np.ones_like(layer.offset), np.zeros_like(layer.bias)
        values = {}
        if self.threshold_exponents is None:
            values["threshold"] = once if layer.threshold is None else layer.threshold
        if self.network.negative == "asymmetric":
            values["negative_threshold"] = once if layer.negative_threshold is None else layer.negative_threshold
        if self.network.schedule != "stream":
            return {**values, "initial": layer.offset}
        if self.network.holds_current(layer):
            return {**values, "initial": layer.bias, "addend": layer.offset}
        if not self._swept(layer):
            return {**values, "initial": layer.offset + self.steps * layer.bias, "addend": always}
        return {**values, "initial": layer.offset, "addend": layer.bias}

    def varying(self) -> dict[str, int]:
        """Instruction members that differ between instructions, with their largest value; one of those that are alike."""
        return {
            name: max(values)
            for name, values in self._members.items()
            if len(set(values)) > 1 and self.alike(name) == name
        }

    def alike(self, name: str) -> str:
        """First instruction member that has the value of this one in every instruction."""
        return next(other for other, values in self._members.items() if values == self._members[name])

    @cached_property
    def _members(self) -> dict[str, list[int]]:
        return {f.name: [getattr(i, f.name) for i in self.instructions] for f in fields(self.instructions[0])}
