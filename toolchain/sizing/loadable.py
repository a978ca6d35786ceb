"""What a core is made of whose network is loaded: the memories, registers and adders of a capacity instead of those of a network.

Memories follow from ``Capacity.sections`` as ``hdl.loaded`` cuts them; the loader's registers are counted as ``hdl.loader`` declares
them, and what logic it needs is fitted to built cores (``toolchain.sizing.model``).
"""

from dataclasses import dataclass
from math import ceil

from hdl.capacity import DIMENSIONS, Capacity
from hdl.leak_word import LEAK_BITS, SHIFT_BITS
from hdl.weighing import amplitude_bits, weighing
from hdl.widths import width_for
from toolchain.ir import COUNTING_NEGATIVES
from toolchain.leak import MAX_TERMS
from toolchain.sizing.memories import FIFO_DEPTH, Memory, spike_slices
from toolchain.sizing.structure import LEAST_PRODUCT, Structure, lane_of

__all__ = ["loadable_memories", "loadable_multipliers", "loadable_structure", "loader_registers"]

_COUNTER_BITS = 4 * 32
_WORD = 32


def _event_bits(capacity: Capacity) -> int:
    """Bits of an event in the scanner's queue."""
    membrane = width_for(max(2, capacity.membrane_words) - 1)
    bits = capacity.offset_bits if not capacity.grouped else width_for(capacity.weight_words - 1)
    bits += membrane + 2 * width_for(capacity.taps) + amplitude_bits(capacity)
    if capacity.grouped:
        bits += width_for(capacity.groups - 1) + 2 * width_for(capacity.lanes - 1)
    return bits


def loadable_memories(capacity: Capacity, *, single: bool) -> tuple[Memory, ...]:
    """Every memory of the core; those that are loaded in parts of 32 bits, each with a place for each bank.

    ``single``: the device has single-port RAMs.
    """
    lanes = capacity.lanes
    membrane_words = max(2, capacity.membrane_words)
    found = [
        Memory(
            section.name,
            min(_WORD, section.bits - low),
            max(2, capacity.banks * getattr(capacity, section.count)),
            single=single,
        )
        for section in capacity.sections
        for low in range(0, section.bits, _WORD)
    ]
    found += [
        Memory("membranes", capacity.membrane_bits * lanes, membrane_words),
        *([] if capacity.input == "spikes" else [Memory("frame", _WORD, max(2, ceil(capacity.pixels / 4)))]),
        Memory("queue", _event_bits(capacity), FIFO_DEPTH),
        Memory("counters", _COUNTER_BITS, max(2, capacity.layers)),
        *spike_slices(lanes * (1 + capacity.signed_spikes), max(2, capacity.spike_words)),
    ]
    if capacity.negative in COUNTING_NEGATIVES:
        found.append(Memory("counts", width_for(capacity.time_steps) * lanes, membrane_words))
    return tuple(found)


def loadable_multipliers(capacity: Capacity, family: str) -> int:
    """Multipliers that Yosys makes of blocks, as ``toolchain.sizing.structure.multipliers`` counts them."""
    wide = capacity.weight_bits > 9 or amplitude_bits(capacity) + (not capacity.signed_spikes) > 9
    each = 2 if family == "gowin" and wide else 1
    found = capacity.lanes * each if weighing(capacity) == "multiply" else 0
    if capacity.grouped:
        return found
    number, stride = (capacity.lanes - 1).bit_length(), capacity.offset_bits
    if family == "gowin":
        return found + (number >= 4) * (2 if stride > 9 else 1)
    return found + (number >= 2 and number + stride >= LEAST_PRODUCT[family])


def loader_registers(capacity: Capacity) -> int:
    """Bits of registers of the loader: the word, the checksum, counts, the new network's header, what goes to the memories, settings."""
    sections = capacity.sections
    header = 2 * 32 + sum(width_for(getattr(capacity, name)) for name in DIMENSIONS if name not in ("window", "places"))
    entries = max(getattr(capacity, section.count) for section in sections)
    place = width_for(len(sections) - 1) + width_for(entries - 1) + width_for(max(s.words for s in sections) - 1)
    settings = 2 * 32 + 2 + 24 + 2 * width_for(capacity.pixels) + 2 * width_for(capacity.time_steps)
    settings += width_for(capacity.layers) + width_for(capacity.classes) + width_for(capacity.instructions)
    # word, checksum, number and count of words, limit, error; place twice: of the word that comes and of the one on its way
    return 2 * 32 + 3 * 24 + 16 + header + 2 * place + 32 + settings + _spike_registers(capacity)


def _spike_registers(capacity: Capacity) -> int:
    """Bits of registers that frames of spikes take: header and settings about their packing, and ``hdl.loaded_receiver``."""
    if not capacity.takes_spikes:
        return 0
    spike = width_for(capacity.spike_words)
    parts = ceil(capacity.lanes * (1 + capacity.signed_spikes) / _WORD)
    return 2 * spike + 18 + spike + 16 + _WORD * parts + 2 * spike + 6 + 2 + 16 + 4


def _window_registers(capacity: Capacity) -> int:
    """Bits of registers that max pooling takes beside the members of the program: counters, places, and flags of three stages."""
    return 2 * (width_for(capacity.window) + 1) + 4 * capacity.place_bits + 3 * 3 if capacity.window else 0


@dataclass(frozen=True)
class _Leaking:
    """What leaks add to a lane, in bits: ``registers``, ``adders`` and 2:1 ``choices``; ``control``: registers of all lanes together."""

    registers: int = 0
    adders: int = 0
    choices: int = 0
    control: int = 0


def _leaking(capacity: Capacity) -> _Leaking:
    """As ``hdl.lane`` and ``hdl.decay`` build it: what rests and what leaks, the terms' shifters, their sums and that with a frame's current."""
    if not capacity.leaks:
        return _Leaking()
    bits, words = capacity.membrane_bits, width_for(max(2, capacity.membrane_words))
    orders, frames = capacity.reset == "subtract", capacity.input in ("direct", "bitplane")
    lasting = capacity.currents
    return _Leaking(
        registers=(1 + orders) * bits,
        adders=(MAX_TERMS + frames) * bits,
        choices=(MAX_TERMS * SHIFT_BITS + 1 + orders + frames + lasting) * bits,
        control=7 + 2 * orders + lasting * (LEAK_BITS + 2 * words + 1),
    )


def loadable_structure(capacity: Capacity, *, single: bool) -> Structure:
    """As ``toolchain.sizing.structure.structure``: nothing is alike or constant, since any network may come; ``single`` as above."""
    lanes, bits = capacity.lanes, capacity.membrane_bits
    lane = lane_of(capacity, weight_bits=capacity.weight_bits, membrane_bits=bits)
    parameters = dict(capacity.parameters)
    held = 2 * sum(parameters.values()) + sum(width for name, width in parameters.items() if "threshold" in name)
    address, membrane = width_for(capacity.weight_words - 1), width_for(max(2, capacity.membrane_words) - 1)
    spike = width_for(max(1, capacity.spike_words - 1))
    control = 4 * address + 3 * (address + membrane + 8) + 2 * _event_bits(capacity) + 4 * address + 8 * membrane
    control += 2 * (spike + width_for(capacity.rows - 1) + width_for(capacity.columns - 1)) + capacity.sections[0].bits
    leaking = _leaking(capacity)
    control += _window_registers(capacity) + leaking.control
    return Structure(
        lanes,
        lanes * (lane.registers + leaking.registers),
        lanes * held,
        lanes * (lane.adders + leaking.adders),
        lanes * (lane.choices + leaking.choices),
        lanes * lane.products,
        0 if capacity.grouped else width_for(lanes - 1) * address,
        lanes * bits if capacity.signed_spikes else 0,
        control,
        weighing(capacity) == "multiply",
        loadable_memories(capacity, single=single),
        loader=loader_registers(capacity),
    )
