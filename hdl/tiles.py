"""Cut a network's weights into tiles that an on-chip cache holds, and lay them out for an external memory.

A tile is the weights of one connection for a run of target groups: one contiguous read, one instruction, one scan of the
connection's events. Every event meets every weight once, so the sums are those of a core that holds all weights. Plain Python.
"""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import numpy as np

from hdl.program import Assembled, ChannelRange, CoordinateTaps, Instruction, Program
from hdl.sharing import shared
from toolchain.buffers import freed
from toolchain.connection import Connection
from toolchain.errors import InvalidValue
from toolchain.geometry import axis_taps
from toolchain.ir import INPUT, FixedPointNetwork

__all__ = [
    "DATA_BITS",
    "LEAST_TIMEOUT",
    "MODEL_LATENCY",
    "PAGE",
    "TIMEOUT",
    "ExternalWeights",
    "Tile",
    "TileInstruction",
    "TiledProgram",
    "program_of",
]

DATA_BITS = (32, 64, 128, 256, 512)
"""Widths that the memory port may have."""
PAGE = 4096
"""Bytes; no burst crosses a multiple of it (AXI4)."""
MODEL_LATENCY = 64
"""Clocks that a memory may take before a burst's first beat without running out of patience."""
TIMEOUT = 1 << 20
"""Clocks that a core waits for a memory that says nothing, where nothing else is said: 10 ms at 100 MHz, far beyond any refresh or arbitration."""
LEAST_TIMEOUT = 64
"""Clocks below which a core would take its own pace for a memory's silence."""
_MOST_TIMEOUT = (1 << 32) - 1
_BURST_BEATS = 256
_USUAL_CACHE = 4096
_ADDRESSES = 1 << 32


@dataclass(frozen=True)
class ExternalWeights:
    """What stands between a core and the memory that holds its weights.

    Members
    -------
    cache_words : int
        Weight words (P weights each) on chip, both banks together; a tile has at most half of them.
    data_bits : int
        Width of the memory port, one of ``DATA_BITS``.
    timeout : int
        Clocks in which a core that waits for weights gets neither an address taken nor a beat, after which it gives the
        frame up; ``LEAST_TIMEOUT`` to 2³² − 1, or 0: it waits for ever.

    Raises
    ------
    InvalidValue
        A width that is none of them, fewer than 2 words, or a time-out out of range.
    """

    cache_words: int
    data_bits: int
    timeout: int = TIMEOUT

    def __post_init__(self) -> None:
        if self.data_bits not in DATA_BITS:
            raise InvalidValue(
                f"the memory port has {self.data_bits} bits, must be one of {', '.join(map(str, DATA_BITS))}"
            )
        if not 2 <= self.cache_words <= 1 << 24:
            raise InvalidValue(
                f"the weight cache has {self.cache_words} words, must be 2 to {1 << 24}; change --weight-cache"
            )
        if self.timeout and not LEAST_TIMEOUT <= self.timeout <= _MOST_TIMEOUT:
            raise InvalidValue(
                f"the memory's time-out is {self.timeout:,} clocks, must be {LEAST_TIMEOUT} to {_MOST_TIMEOUT:,}, or 0 for none; "
                "change --memory-timeout"
            )

    @classmethod
    def of(
        cls,
        network: FixedPointNetwork,
        *,
        lanes: int,
        cache_words: int | None = None,
        data_bits: int | None = None,
        timeout: int | None = None,
    ) -> "ExternalWeights":
        """Defaults for what is None: a port that brings a weight word each clock, as far as 512 bits go; a cache of
        4,096 words, or what the network needs at least, or what holds every connection twice if that is less; ``TIMEOUT``.
        """
        program = Program(network, lanes)
        word_bits = lanes * network.weight_bits
        bits = data_bits or next((each for each in DATA_BITS if each >= word_bits), DATA_BITS[-1])
        if cache_words is None:
            packed = max(1, bits // word_bits)
            connections = [c for layer in network.layers for c in layer.connections]
            whole = [_group_words(c) * program.groups(c.weight.shape[0]) for c in connections]
            least = [
                w if c.groups > 1 or _unrepeatable(network, c) else _group_words(c)
                for c, w in zip(connections, whole, strict=True)
            ]
            cache_words = 2 * max(
                -(-need // packed) * packed for need in (max(least), min(_USUAL_CACHE // 2, max(whole)))
            )
        return cls(cache_words, bits, TIMEOUT if timeout is None else timeout)

    @property
    def burst(self) -> int:
        """Beats of the longest burst; a power of two, at most a page."""
        return min(_BURST_BEATS, PAGE * 8 // self.data_bits)

    def beats_a_word(self, word_bits: int) -> int:
        """Beats that a weight word takes, if it takes more than one."""
        return -(-word_bits // self.data_bits)

    def words_a_beat(self, word_bits: int) -> int:
        """Weight words that a beat holds; 1 if they take several beats."""
        return max(1, self.data_bits // word_bits)

    def beats(self, words: int, word_bits: int) -> int:
        """Beats of a tile: each begins with a beat of its own."""
        return -(-words // self.words_a_beat(word_bits)) * self.beats_a_word(word_bits)

    def packed(self, words: np.ndarray, weight_bits: int) -> bytes:
        """Bytes of a tile from its weights, integers ``[words, P]``; the first weight in the lowest bits of the first byte."""
        word_bits = words.shape[1] * weight_bits
        bits = (words[:, :, None] >> np.arange(weight_bits) & 1).astype(np.uint8).reshape(len(words), word_bits)
        together = self.words_a_beat(word_bits)
        bits = np.pad(bits, ((0, -len(bits) % together), (0, 0))).reshape(-1, together * word_bits)
        padded = np.pad(bits, ((0, 0), (0, -bits.shape[1] % self.data_bits)))
        return np.packbits(padded, axis=1, bitorder="little").tobytes()


def _group_words(connection: Connection) -> int:
    """Weight words of one target group."""
    return connection.weight.shape[1] * connection.kernel[0] * connection.kernel[1]


def _unrepeatable(network: FixedPointNetwork, connection: Connection) -> bool:
    """Whether a second scan of the same step would see other events: random numbers go on with every step of ``stream``."""
    return network.schedule == "stream" and network.input == "rate" and connection.source == INPUT


@dataclass(frozen=True)
class TileInstruction(Instruction):
    """An instruction for one tile.

    Members
    -------
    tile_groups : target groups of the tile; ``groups`` stays those of the layer
    counted : the connection's first tile, whose events count
    """

    tile_groups: int = 1
    counted: int = 1


@dataclass(frozen=True, eq=False)
class Tile:
    """Target groups ``first`` to ``first + groups − 1`` of the ``number``-th connection of ``layer``, and its weights in
    external memory.

    ``base`` and ``beats`` count beats of the port; ``words`` weight words in the cache.
    """

    layer: int
    number: int
    connection: Connection
    first: int
    groups: int
    words: int
    base: int
    beats: int


@dataclass(frozen=True, eq=False)
class TiledProgram(Program):
    """The program of a core whose weights come from external memory: an instruction for each tile.

    Weight words of a tile: ``((c_in·K_y + k_y)·K_x + k_x)·n + g`` with the tile's n groups, from 0 in its bank of the cache.
    Membranes keep their places in the layer.

    Raises
    ------
    InvalidValue
        As ``Program``; a cache too small for one group of a connection, or for the whole of one that cannot be cut; more
        weights than 32-bit addresses reach.
    """

    external: ExternalWeights = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        bytes_needed = self.tiles[-1].base + self.tiles[-1].beats
        if bytes_needed * self.external.data_bits // 8 > _ADDRESSES:
            raise InvalidValue(
                "the weights take more than 4 GiB of external memory, which 32-bit addresses cannot reach"
            )

    @property
    def word_bits(self) -> int:
        """Of a weight word."""
        return self.lanes * self.network.weight_bits

    @cached_property
    def tiles(self) -> tuple[Tile, ...]:
        """In the order of the instructions; those of a connection are as alike in size as they can be."""
        external, found, base = self.external, [], 0
        together = external.words_a_beat(self.word_bits)
        bank = external.cache_words // 2 // together * together
        self._check_cache(bank)
        for index, layer in enumerate(self.network.layers):
            for place, connection in enumerate(layer.connections):
                groups, group_words = self.groups(connection.weight.shape[0]), _group_words(connection)
                whole = self._whole(connection)
                count = 1 if whole else -(-groups // (bank // group_words))
                size = -(-groups // count)
                for first in range(0, groups, size):
                    number = min(size, groups - first)
                    words = number * group_words
                    beats = external.beats(words, self.word_bits)
                    found.append(Tile(index, place, connection, first, number, words, base, beats))
                    base += beats
        return tuple(found)

    def _whole(self, connection: Connection) -> bool:
        """Whether a connection cannot be cut."""
        return connection.groups > 1 or _unrepeatable(self.network, connection)

    def _check_cache(self, bank: int) -> None:
        """Refuse a bank that the least tile of some connection does not fit."""
        layers = ((layer, c) for layer in self.network.layers for c in layer.connections)
        needs = {}
        for layer, c in layers:
            groups = self.groups(c.weight.shape[0]) if self._whole(c) else 1
            needs[_group_words(c) * groups] = layer.name, self._whole(c)
        most = max(needs)
        if most > bank:
            together = self.external.words_a_beat(self.word_bits)
            name, whole = needs[most]
            needed = 2 * -(-most // together) * together
            part = "all of a connection that cannot be cut" if whole else f"{self.lanes} outputs"
            raise InvalidValue(
                f"the weight cache has {self.external.cache_words} words, but layer {name} needs {needed:,} for two banks with the "
                f"weights of {part}; take --weight-cache {needed} or more"
            )

    @cached_property
    def weight_depth(self) -> int:
        """Words of a bank: those of the largest tile, the rest of its last beat included."""
        together = self.external.words_a_beat(self.word_bits)
        return max(-(-tile.words // together) * together for tile in self.tiles)

    def _last_lanes(self, tile: Tile) -> int:
        """Channels in a tile's last group."""
        rest = tile.connection.weight.shape[0] - tile.first * self.lanes
        return min(self.lanes, rest - (tile.groups - 1) * self.lanes)

    def tile_range(self, tile: Tile, channel: int) -> ChannelRange:
        """What a source channel reaches in a tile."""
        connection = tile.connection
        if connection.groups > 1:
            return self.channel_range(connection, channel)
        place = channel * prod(connection.kernel) * tile.groups
        return ChannelRange(place, 0, tile.groups - 1, 0, self._last_lanes(tile) - 1)

    def _lives(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """As ``Program``, but a layer writes over the spikes that it was the last to read.

        It fires when all its tiles were scanned; where it does so after every step, it writes spikes of the step that was
        scanned over spikes of just that step, since all buffers hold as many words of each of the T steps and begin with the first.
        """
        sizes, last = super()._lives()
        assert all(size % self.steps == 0 for size in sizes)
        return sizes, freed(last)

    @cached_property
    def _ranges(self) -> tuple[tuple[ChannelRange, ...], tuple[int, ...]]:
        """Channel table, and the place of each tile's first entry; tiles that reach their words alike share entries."""
        if not self.grouped:
            return (), (0,) * len(self.tiles)
        found: dict[tuple[int, ...], tuple[ChannelRange, ...]] = {}
        runs = []
        for tile in self.tiles:
            connection = tile.connection
            kind = (id(connection),) if connection.groups > 1 else (
                connection.inputs, prod(connection.kernel), tile.groups, self._last_lanes(tile)
            )  # fmt: skip
            if kind not in found:
                found[kind] = tuple(self.tile_range(tile, channel) for channel in range(connection.inputs))
            runs.append(found[kind])
        return shared(runs)

    def _taps(self, tile: Tile) -> tuple[tuple[CoordinateTaps, ...], tuple[CoordinateTaps, ...]]:
        """Entries of the coordinate tables along y and x for one tile."""
        connection, width = tile.connection, self.network.shapes[tile.layer][2]
        groups = self.groups(connection.weight.shape[0])
        source = self.network.source_shape(connection)
        rows, columns = (
            tuple(
                CoordinateTaps(int(k) * weight_scale, base + int(o) * membrane_scale, int(n))
                for k, o, n in zip(taps.kernel, taps.output, taps.count, strict=True)
            )
            for taps, base, weight_scale, membrane_scale in (
                (axis_taps(connection, source, 0), 0, connection.kernel[1] * tile.groups, width * groups),
                (axis_taps(connection, source, 1), self._event_base(tile.layer) + tile.first, tile.groups, groups),
            )
        )
        return rows, columns

    def _assemble(self) -> Assembled:
        """As ``Program``, an instruction for each tile; tiles share entries of the tables."""
        plain = iter(super()._assemble()[0])
        runs = [self._taps(tile) for tile in self.tiles]
        (rows, row_bases), (columns, column_bases) = (shared([run[axis] for run in runs]) for axis in (0, 1))
        places = zip(row_bases, column_bases, self._ranges[1], strict=True)
        instructions: list[Instruction] = []
        before = whole = None
        for tile, following, (row_base, column_base, channel_base) in zip(
            self.tiles, (*self.tiles[1:], None), places, strict=True
        ):
            connection, index = tile.connection, tile.layer
            begins = before is None or (before.layer, before.number) != (index, tile.number)
            ends = following is None or (following.layer, following.number) != (index, tile.number)
            if begins or whole is None:
                whole = next(plain)
            kernel = connection.kernel
            lane_stride = 1 if self.grouped else kernel[0] * kernel[1] * tile.groups
            taps = [axis_taps(connection, self.network.source_shape(connection), axis) for axis in (0, 1)]
            instructions.append(
                TileInstruction(
                    **{
                        **vars(whole),
                        "first": whole.first & begins,
                        "last": whole.last & ends,
                        "row_base": row_base,
                        "column_base": column_base,
                        "channel_base": channel_base,
                        "group_stride": lane_stride * (1 if whole.frame else self.lanes),
                        "lane_stride": lane_stride,
                        "row_stride": taps[0].kernel_step * kernel[1] * tile.groups,
                        "column_stride": taps[1].kernel_step * tile.groups,
                        "last_lanes": self._last_lanes(tile),
                        "tile_groups": tile.groups,
                        "counted": int(begins),
                    }
                )
            )
            before = tile
        return tuple(instructions), rows, columns

    def weight_bytes(self) -> bytes:
        """What the external memory holds from address 0: the tiles, one behind the other."""
        found = []
        for tile in self.tiles:
            outputs, inputs, *kernel = tile.connection.weight.shape
            padded = np.zeros((self.groups(outputs) * self.lanes, inputs, *kernel), np.int64)
            padded[:outputs] = tile.connection.weight
            own = padded[tile.first * self.lanes : (tile.first + tile.groups) * self.lanes]
            ordered = own.transpose(1, 2, 3, 0).reshape(-1, self.lanes)
            found.append(self.external.packed(ordered, self.network.weight_bits))
        return b"".join(found)

    @property
    def longest_inference(self) -> int:
        """As ``Program.longest_inference``, with every connection scanned once for each tile, and every tile read in every
        round from a memory that takes ``MODEL_LATENCY`` clocks for each burst and gives a beat every fourth clock.
        """
        plain = Program(self.network, self.lanes)
        cycles = plain.longest_inference * max(Counter((tile.layer, tile.number) for tile in self.tiles).values())
        for tile, instruction in zip(self.tiles, self.instructions, strict=True):
            rounds = self.steps if instruction.per_step else 1
            bursts = 2 + tile.beats // self.external.burst
            cycles += rounds * (16 + bursts * MODEL_LATENCY + 4 * tile.beats + tile.words)
        return cycles


def program_of(external: dict[str, int] | None, network: FixedPointNetwork, lanes: int) -> Program:
    """The program of a generated core; ``external`` are the members of its ``ExternalWeights``, if it has any."""
    if external is None:
        return Program(network, lanes)
    return TiledProgram(network, lanes, external=ExternalWeights(**external))
