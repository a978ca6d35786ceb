"""Every memory of the core, and the block RAMs, LUT RAMs or logic that synthesis makes of it.

Nothing is fitted here: sizes follow from the program, and the choice between kinds of memory is Yosys's own rule (``memory_libmap``:
the cheapest, by the costs in its libraries of 0.70). A test holds the sums against built points, exactly.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hdl.program import CoordinateTaps, Program
from hdl.tiles import TiledProgram
from hdl.weighing import amplitude_bits
from hdl.widths import width_for
from toolchain.ir import COUNTING_NEGATIVES, MEMBRANE_LIMIT_BITS

__all__ = [
    "FIFO_DEPTH",
    "MAPPINGS",
    "Mapped",
    "Mapping",
    "Memory",
    "map_memory",
    "event_bits",
    "memories",
    "parameter_columns",
    "spike_slices",
    "weight_depth",
]

_COUNTER_BITS = 4 * 32
FIFO_DEPTH = 16
_SLICES = {512: 36, 1024: 18, 2048: 9, 4096: 4, 8192: 2}


@dataclass(frozen=True)
class Memory:
    """``depth`` words of ``bits`` bits; ``rom`` is never written; ``single`` may be a single-port RAM: one address for both ways, no contents."""

    name: str
    bits: int
    depth: int
    rom: bool = False
    single: bool = False

    @property
    def size(self) -> int:
        """Bits in all."""
        return self.bits * self.depth


@dataclass(frozen=True)
class Mapping:
    """How a family builds memories, costs as in Yosys's libraries.

    Members
    -------
    blocks : (width, depth) of one block RAM
        Widest first.
    block_cost : int
        Of a block RAM.
    lutram : (bits, words) of one LUT RAM, or None where there is none
    lutram_cost : int
    single : (bits, words) of one single-port RAM, or None where there is none
    single_cost : int
    """

    blocks: tuple[tuple[int, int], ...]
    block_cost: int
    lutram: tuple[int, int] | None = None
    lutram_cost: int = 4
    single: tuple[int, int] | None = None
    single_cost: int = 0


_BLOCKS_18K = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))
MAPPINGS = {
    "ecp5": Mapping(_BLOCKS_18K, 128, (4, 16)),
    "ice40": Mapping(((16, 256), (8, 512), (4, 1024), (2, 2048)), 64, single=(16, 16384), single_cost=2048),
    "gowin": Mapping(_BLOCKS_18K, 128, (4, 16)),
    "xilinx": Mapping(_BLOCKS_18K, 129, (2, 64), 8),
}
"""By family."""
_CHOICE_COST = 0.58
"""Of a bit of choice between rows of blocks: of 0.571 to 0.593, the values that explain every built point."""
_LOGIC_COST = {True: 1 / 16, False: 1.0}
"""Of a bit in logic, read-only or not."""


@dataclass(frozen=True)
class Mapped:
    """What a memory takes: ``blocks``, or ``lutrams``, or ``singles``, or ``logic_bits`` (of a ROM) or ``register_bits`` in logic.

    ``choices`` are the bits of 2:1 choices between blocks above one another, ``folded`` those of memories whose rows share blocks.
    """

    blocks: int = 0
    choices: int = 0
    folded: int = 0
    lutrams: int = 0
    logic_bits: int = 0
    register_bits: int = 0
    singles: int = 0


def _ceiling(a: int, b: int) -> int:
    return -(-a // b)


def map_memory(memory: Memory, family: str) -> Mapped:
    """The cheapest that ``family``, a key of ``MAPPINGS``, can make of ``memory``.

    Blocks of one depth stand in rows; the bits of all rows at one address share blocks, so that only the last is not full.
    """
    mapping = MAPPINGS[family]
    offers = []
    for width, depth in mapping.blocks:
        rows = _ceiling(memory.depth, depth)
        choices = (rows - 1) * memory.bits
        blocks = _ceiling(rows * memory.bits, width)
        taken = Mapped(blocks=blocks, choices=choices, folded=choices if memory.bits % width else 0)
        offers.append((mapping.block_cost * blocks + _CHOICE_COST * choices, taken))
    logic = Mapped(logic_bits=memory.size) if memory.rom else Mapped(register_bits=memory.size)
    offers.append((_LOGIC_COST[memory.rom] * memory.size, logic))
    if mapping.lutram and not memory.rom:
        width, depth = mapping.lutram
        rows = _ceiling(memory.depth, depth)
        lutrams = _ceiling(memory.bits, width) * rows
        cost = mapping.lutram_cost * lutrams + _CHOICE_COST * (rows - 1) * memory.bits
        offers.append((cost, Mapped(lutrams=lutrams)))
    if mapping.single and memory.single:
        width, depth = mapping.single
        taken = Mapped(singles=_ceiling(memory.bits, width) * _ceiling(memory.depth, depth))
        offers.append((mapping.single_cost * taken.singles, taken))
    return min(offers, key=lambda offer: (offer[0], offer[1].blocks))[1]


def changing(values: Iterable[int]) -> int:
    """Bits that differ anywhere between ``values``: those that a table of them keeps, the others are constants."""
    first, *others = list(values)
    different = 0
    for value in others:
        different |= value ^ first
    return different.bit_count()


def table_bits(entries: Iterable[CoordinateTaps]) -> int:
    """Bits of a coordinate table that are no constants."""
    listed = list(entries)
    return sum(changing(getattr(entry, name) for entry in listed) for name in ("weight", "membrane", "count"))


def _count_bits(program: Program) -> int:
    """Of the taps after the first, along y and along x."""
    return sum(max(1, (max(e.count for e in table) - 1).bit_length()) for table in program.tables)


def parameter_columns(program: Program) -> dict[str, int]:
    """Columns of the parameter memory, by parameter, that are neither constant nor equal to another one.

    A column is one bit of one lane. With few words many of them are alike, and tools keep one: ``w`` words leave at most ``2^w − 2``.
    """
    found: dict[str, list[np.ndarray]] = {}
    for layer in program.network.layers:
        for name, values in program.parameters(layer).items():
            padded = np.full(program.groups(layer.channels) * program.lanes, int("threshold" in name), np.int64)
            padded[: layer.channels] = values
            found.setdefault(name, []).append(padded.reshape(-1, program.lanes))
    return {name: _columns(np.concatenate(values)) for name, values in found.items()}


def _columns(words: np.ndarray) -> int:
    """Different columns of ``words``, int64 ``[words, lanes]``, bit by bit; those that never change do not count."""
    bits = (words[:, :, None] >> np.arange(MEMBRANE_LIMIT_BITS)) & 1
    columns = np.packbits(bits.astype(bool).reshape(len(words), -1), axis=0)
    constant = (columns == 0).all(axis=0) | (bits.reshape(len(words), -1) == 1).all(axis=0)
    return len(np.unique(columns[:, ~constant], axis=1).T) if not constant.all() else 0


def weight_depth(program: Program) -> int:
    """Words of the weight memory; of a bank of the cache where weights are external."""
    if isinstance(program, TiledProgram):
        return program.weight_depth
    return sum(
        c.weight.shape[1] * c.kernel[0] * c.kernel[1] * program.groups(c.weight.shape[0])
        for layer in program.network.layers
        for c in layer.connections
    )


def _channel_bits(program: Program) -> int:
    entries = program.channels
    told = sum(width_for(max(getattr(e, name) for e in entries)) for name in ("weight", "membrane", "words"))
    return told + 2 * width_for(program.lanes - 1)


def event_bits(program: Program) -> int:
    """Bits of an event in the scanner's queue."""
    membrane = width_for(max(2, program.membrane_words) - 1)
    plain = width_for(weight_depth(program) - 1) + membrane + _count_bits(program) + amplitude_bits(program.network)
    if not program.channels:
        return plain
    return plain + width_for(max(e.words for e in program.channels)) + 2 * width_for(program.lanes - 1)


def spike_slices(bits: int, words: int) -> list[Memory]:
    """The spike memory, cut so that one block RAM is deep enough for each slice."""
    width = next((width for most, width in _SLICES.items() if words <= most), 1)
    return [Memory("spikes", min(width, bits - low), words) for low in range(0, bits, width)]


def _weight_memories(program: Program) -> list[Memory]:
    """What holds weights: all of them, or two banks and where their tiles stand outside."""
    bits, depth = program.network.weight_bits * program.lanes, weight_depth(program)
    if not isinstance(program, TiledProgram):
        return [Memory("weights", bits, max(2, depth), True)]
    tiles = program.tiles
    entry = changing(tile.base for tile in tiles) + changing(tile.beats for tile in tiles) + 1
    return [Memory("cache", bits, 2 * depth), Memory("tiles", entry, max(2, len(tiles)), True)]


def memories(program: Program) -> tuple[Memory, ...]:
    """Every memory of a core."""
    network, lanes = program.network, program.lanes
    parameters = sum(parameter_columns(program).values())
    rows, columns = program.tables
    spike_words = max(2, program.spike_words)
    membrane_words = max(2, program.membrane_words)
    parameter_words = sum(program.groups(layer.channels) for layer in network.layers)
    program_bits = sum(width_for(most) for most in program.varying().values())
    found = [
        *_weight_memories(program),
        Memory("parameters", parameters, max(2, parameter_words), True),
        Memory("program", program_bits, max(2, len(program.instructions)), True),
        Memory("rows", table_bits(rows), max(2, len(rows)), True),
        Memory("columns", table_bits(columns), max(2, len(columns)), True),
        Memory("membranes", network.membrane_bits * lanes, membrane_words),
        Memory("frame", 32, program.frame_words),
        Memory("queue", event_bits(program), FIFO_DEPTH),
        Memory("counters", _COUNTER_BITS, max(2, len(network.layers))),
    ]
    found += spike_slices(program.spike_bits, spike_words)
    if program.grouped:
        found.append(Memory("channels", _channel_bits(program), max(2, len(program.channels)), True))
    if network.negative in COUNTING_NEGATIVES:
        found.append(Memory("counts", width_for(program.steps) * lanes, membrane_words))
    return tuple(memory for memory in found if memory.size)
