"""What a core is made of besides memories, in bits: registers and adders of its lanes, widths of its control.

These are the quantities that ``toolchain.sizing.model`` weighs with fitted coefficients; each is counted as the modules of
``hdl`` declare it, before any tool optimizes it.
"""

from dataclasses import dataclass

from hdl.program import Program
from hdl.tiles import TiledProgram
from hdl.weighing import Neuron, amplitude_bits, weighing
from hdl.widths import width_for
from toolchain.ir import BELOW_ZERO, COUNTING_NEGATIVES, PIXEL_MAX
from toolchain.sizing.memories import Mapped, Memory, event_bits, memories, parameter_columns, weight_depth

__all__ = ["LEAST_PRODUCT", "Lane", "Structure", "lane_of", "multipliers", "prefetch_registers", "structure", "total"]


@dataclass(frozen=True)
class Structure:
    """A core of so many lanes.

    Members
    -------
    lanes : int
    parameter_registers : int
        Bits of registers behind the parameter memory, those that are alike counted once.
    lane_registers, lane_adders, lane_choices : int
        Bits of registers, of adders and subtractors, and of 2:1 choices in front of them, of all lanes together.
    lane_products : int
        Partial-product bits of the lanes' multipliers, or choices of their shifters; 0 where an event is only added.
    address_product : int
        Partial-product bits of lane number times stride.
    signed : int
        Bits of the lanes' membranes where spikes have a sign, otherwise 0.
    control : int
        Bits of the addresses, counters and events that the scanner and the synapse addresses carry along.
    multiplied : bool
        Whether each lane has a multiplier.
    memories : tuple of Memory
    loader : int
        Bits of registers of what loads networks; 0 where the network is in ROM.
    """

    lanes: int
    lane_registers: int
    parameter_registers: int
    lane_adders: int
    lane_choices: int
    lane_products: int
    address_product: int
    signed: int
    control: int
    multiplied: bool
    memories: tuple[Memory, ...]
    loader: int = 0


LEAST_PRODUCT = {"ecp5": 9, "ice40": 11, "xilinx": 9}
"""Bits of the least product that Yosys gives a multiplier of its own, of the families whose multipliers take 2-bit operands."""


def multipliers(program: Program, family: str) -> int:
    """Multipliers that Yosys makes of blocks: one of each lane that weighs by amplitudes, and one for addresses where both factors are
    wide enough.

    Gowin's are counted in halves, 9 × 9 bits: a wider weight takes two, and an operand has 4 bits at least.
    """
    wide = program.network.weight_bits > 9 or amplitude_bits(program.network) + (not program.network.signed_spikes) > 9
    each = 2 if family == "gowin" and wide else 1
    lanes = program.lanes * each if weighing(program.network) == "multiply" else 0
    if program.grouped:
        return lanes
    number = (program.lanes - 1).bit_length()
    largest = max(instruction.lane_stride for instruction in program.instructions)
    stride = largest.bit_length()
    if family == "gowin":
        return lanes + (number >= 4) * (2 if stride > 9 else 1)
    shifted = "lane_stride" not in _varying(program) and largest.bit_count() <= 1
    return lanes + (number >= 2 and number + stride >= LEAST_PRODUCT[family] and not shifted)


def _varying(program: Program) -> dict[str, int]:
    """Members that change from one instruction to another, under their own names."""
    varying = program.varying()
    return {name: 1 for name in vars(program.instructions[0]) if program.alike(name) in varying}


def _product_bits(neuron: Neuron, weight_bits: int) -> int:
    """Width of a lane's product register."""
    if weighing(neuron) == "multiply":
        return weight_bits + amplitude_bits(neuron)
    if weighing(neuron) == "shift":
        exponent = neuron.time_steps - 1 if neuron.schedule == "radix" else 0
        return weight_bits + max(exponent, PIXEL_MAX.bit_length() - 1 if neuron.input == "bitplane" else 0)
    return weight_bits + neuron.signed_spikes


@dataclass(frozen=True)
class Lane:
    """One lane, in bits: ``registers``, ``adders``, 2:1 ``choices``, and ``products``, partial ones or choices of a shifter."""

    registers: int
    adders: int
    choices: int
    products: int


def lane_of(neuron: Neuron, *, weight_bits: int, membrane_bits: int) -> Lane:
    """What a lane of such a neuron is made of, ``time_steps`` at most."""
    bits, weight = membrane_bits, weight_bits
    stream, signed = neuron.schedule == "stream", neuron.signed_spikes
    counting = width_for(neuron.time_steps) if neuron.negative in COUNTING_NEGATIVES else 0
    shift = neuron.time_steps - 1 if neuron.schedule == "radix" else 0
    product = min(bits, _product_bits(neuron, weight))
    threshold = bits - 1 + shift
    # weight, product, membrane, what is forwarded instead, sum, potential, after, what is written, a spike
    registers = weight + product + 6 * bits + 1 + signed
    adders = bits + max(bits, threshold + 1) + 1
    choices = 5 * bits  # forwarding twice, loading, fired or not, what is written
    if stream:
        registers += bits
        adders += 2 * bits
        choices += bits
    if signed:
        adders += max(bits, threshold + 1) + 1
        choices += bits
    if neuron.negative == "asymmetric":
        choices += threshold
    if shift:
        choices += threshold
    registers += 2 * counting
    adders += 2 * counting
    products = 0
    if weighing(neuron) == "multiply":
        products = weight * amplitude_bits(neuron)
    elif weighing(neuron) == "shift":
        products = product * max(1, amplitude_bits(neuron) - signed)
    if weighing(neuron) != "multiply" and signed:
        adders += product
    if neuron.negative in BELOW_ZERO:
        choices -= bits // 2
    return Lane(registers, adders, choices, products)


def structure(program: Program) -> Structure:
    """Count it."""
    network, lanes = program.network, program.lanes
    bits = network.membrane_bits
    lane = lane_of(network, weight_bits=network.weight_bits, membrane_bits=bits)
    columns = parameter_columns(program)
    # each behind its memory and, but for ``initial``, in a register of its own; initial and threshold once more where they are used
    held = sum(columns.values()) * 2 + sum(count for name, count in columns.items() if "threshold" in name)
    held += lanes * (program.steps - 1 if network.schedule == "radix" else 0)
    address, membrane = width_for(weight_depth(program) - 1), width_for(max(2, program.membrane_words) - 1)
    event = event_bits(program)
    spike = width_for(max(1, program.spike_words - 1))
    rows, places = (width_for(max(1, len(table) - 1)) for table in program.tables)
    # offsets of four stages; words of three; events of two; this synapse, the next tap and the next row of taps
    control = 4 * address + 3 * (address + membrane + 8) + 2 * event + 4 * address + 8 * membrane + 2 * spike
    control += 2 * rows + 2 * places + sum(width_for(most) for most in program.varying().values())
    return Structure(
        lanes,
        lanes * lane.registers,
        held,
        lanes * lane.adders,
        lanes * lane.choices,
        lanes * lane.products,
        0 if program.grouped else width_for(lanes - 1) * address,
        lanes * bits if network.signed_spikes else 0,
        control,
        weighing(network) == "multiply",
        memories(program),
    )


def prefetch_registers(program: TiledProgram) -> int:
    """Flip-flops of ``hdl.prefetch``, and of the harness around the memory's port."""
    external, word = program.external, program.word_bits
    beats, words = external.beats_a_word(word), external.words_a_beat(word)
    data_bits, burst = external.data_bits, external.burst.bit_length() - 1
    tile = width_for(max(tile.beats for tile in program.tiles))
    base = width_for(max(tile.base for tile in program.tiles))
    place = width_for(len(program.tiles) - 1)
    kept = (beats - 1) * data_bits if beats > 1 else words * word * (words > 1)
    address = 1 + width_for(program.weight_depth - 1)
    fetching = 32 - (data_bits // 8).bit_length() + 1 + 4 * tile + base + burst + 2 * address + word + kept
    patience = width_for(external.timeout - 1) + 1 if external.timeout else 0
    control = 4 * place + 10 + 24 + patience  # what the banks hold, quiet, states and flags
    port = data_bits + 5 + 32 + 8 + 3 + 2 + 2 + 1
    return fetching + control + port


def total(mapped: list[Mapped]) -> Mapped:
    """What several memories take together."""
    names = ("blocks", "choices", "folded", "lutrams", "logic_bits", "register_bits", "singles")
    return Mapped(**{name: sum(getattr(each, name) for each in mapped) for name in names})
