"""The numbers and layouts that a core is built from: of one network, or of a capacity."""

from dataclasses import dataclass, fields
from math import ceil

from amaranth import Shape, signed, unsigned
from amaranth.lib import data

from hdl.capacity import Capacity
from hdl.layouts import channel_layout, coordinate_layout, settings_layout, width_for
from hdl.leak_word import LEAK_BITS
from hdl.program import Instruction, Program
from hdl.tiles import ExternalWeights, TiledProgram
from hdl.weighing import Neuron, amplitude_bits, weighing
from hdl.windows import window_layout, windows_of
from toolchain.leak import Decay

__all__ = ["Sizes"]


@dataclass(frozen=True, eq=False)
class Sizes:
    """What blocks need to know of the network, or of every network that may be loaded.

    Members
    -------
    neuron : Neuron
        The network or the capacity; its T is the largest.
    layers, classes, pixels, instructions, weight_words, parameter_words, membrane_words, spike_words : int
        Largest numbers of each.
    groups : int
        Words at one place of a layer; ``walked``: that the scanner counts, channels of a frame included.
    address_bits : int
        Of the address that the scanner reads at.
    coordinates : int
        Rows or columns of a source.
    entries : int
        Of the longer coordinate table; ``channels``: of the channel table.
    exponents : bool
        Thresholds are powers of two in the program.
    instruction : StructLayout or None
        Members in the program memory; the others never change.
    row, column, channel : StructLayout
        Entries of the tables; ``channel`` is None without one.
    parameter : StructLayout
        Parameters of a lane.
    windows : StructLayout or None
        Members of an instruction about max pooling, where there is any.
    decays : tuple of Decay
        Of membranes that leak, and of currents that last; ``leak_first``: before a reset; ``frame_leaks``: as in ``Program``.
    lasting : bool
        Whether there are currents that last: the second half of a layer's words of state.
    capacity : Capacity or None
        Of a core whose memories are loaded.
    external : ExternalWeights or None
        Of a core whose weights come from external memory; ``weight_words`` are then those of a bank of its cache.
    """

    neuron: Neuron
    lanes: int
    weight_bits: int
    membrane_bits: int
    layers: int
    classes: int
    pixels: int
    instructions: int
    weight_words: int
    parameter_words: int
    membrane_words: int
    spike_words: int
    groups: int
    walked: int
    address_bits: int
    coordinates: int
    entries: int
    channels: int
    exponents: bool
    instruction: data.StructLayout | None
    row: data.StructLayout
    column: data.StructLayout
    channel: data.StructLayout | None
    parameter: data.StructLayout
    windows: data.StructLayout | None = None
    decays: tuple[Decay, ...] = ()
    leak_first: bool = False
    frame_leaks: tuple[bool, ...] = ()
    lasting: bool = False
    capacity: Capacity | None = None
    external: ExternalWeights | None = None

    @classmethod
    def of_network(cls, program: Program) -> "Sizes":
        """Just what one network needs."""
        network = program.network
        varying = program.varying()
        rows, columns = program.tables
        bits = network.membrane_bits
        largest = Instruction(*(max(getattr(i, f.name) for i in program.instructions) for f in fields(Instruction)))
        instruction = channel = None
        if varying:
            instruction = data.StructLayout({name: unsigned(width_for(most)) for name, most in varying.items()})
        if program.channels:
            weight, membrane, words = (
                max(getattr(e, n) for e in program.channels) for n in ("weight", "membrane", "words")
            )
            channel = channel_layout(weight, membrane, words, program.lanes)
        return cls(
            neuron=network,
            lanes=program.lanes,
            weight_bits=network.weight_bits,
            membrane_bits=bits,
            layers=len(network.layers),
            classes=network.shapes[-1][0],
            pixels=program.pixels,
            instructions=len(program.instructions),
            weight_words=program.weight_depth,
            parameter_words=len(program.parameter_words),
            membrane_words=max(2, program.membrane_words),
            spike_words=max(2, program.spike_words),
            groups=largest.groups,
            walked=max(largest.source_groups, largest.groups),
            address_bits=program.address_bits,
            coordinates=max(largest.source_rows, largest.source_columns),
            entries=max(len(rows), len(columns)),
            channels=len(program.channels),
            exponents=program.threshold_exponents is not None,
            instruction=instruction,
            row=coordinate_layout(*(max(getattr(e, n) for e in rows) for n in ("weight", "membrane", "count"))),
            column=coordinate_layout(*(max(getattr(e, n) for e in columns) for n in ("weight", "membrane", "count"))),
            channel=channel,
            parameter=data.StructLayout(
                {
                    name: unsigned(bits - 1) if "threshold" in name else signed(bits)
                    for name in program.parameter_words[0][0]
                }
            ),
            windows=windows_of(program),
            decays=program.decays,
            leak_first=network.leaks and network.leak_order == "leak_first",
            frame_leaks=program.frame_leaks,
            lasting=network.lasting,
            external=program.external if isinstance(program, TiledProgram) else None,
        )

    @classmethod
    def of_capacity(cls, capacity: Capacity) -> "Sizes":
        """Room for every network of the capacity."""
        layouts = {
            section.name: data.StructLayout(
                {
                    name: signed(bits) if name in ("initial", "addend") else unsigned(bits)
                    for name, bits in section.fields
                }
            )
            for section in capacity.sections
        }
        return cls(
            neuron=capacity,
            lanes=capacity.lanes,
            weight_bits=capacity.weight_bits,
            membrane_bits=capacity.membrane_bits,
            layers=capacity.layers,
            classes=capacity.classes,
            pixels=capacity.pixels,
            instructions=capacity.instructions,
            weight_words=capacity.weight_words,
            parameter_words=capacity.parameter_words,
            membrane_words=max(2, capacity.membrane_words),
            spike_words=max(2, capacity.spike_words),
            groups=capacity.groups,
            walked=capacity.groups,
            address_bits=capacity.address_bits,
            coordinates=max(capacity.rows, capacity.columns),
            entries=max(capacity.rows, capacity.columns),
            channels=capacity.channels,
            exponents=False,
            instruction=layouts["program"],
            row=layouts["rows"],
            column=layouts["columns"],
            channel=layouts.get("channels"),
            parameter=layouts["parameters"],
            windows=window_layout(
                capacity.address_bits, width_for(capacity.window), width_for(capacity.window), capacity.place_bits
            )
            if capacity.window
            else None,
            # layers that fire several times at once may leak where a frame's pixels are held; others are of two_phase
            frame_leaks=(False, True) if capacity.input in ("direct", "bitplane") else (False,),
            lasting=capacity.currents,
            capacity=capacity,
        )

    @property
    def loaded_leaks(self) -> bool:
        """Whether shifts of leaks come with the network that is loaded."""
        return self.capacity is not None and self.capacity.leaks

    @property
    def leaks(self) -> bool:
        """Whether lanes have what it takes to leak."""
        return self.loaded_leaks or bool(self.decays)

    @property
    def leak_bits(self) -> int:
        """Of what says how a layer leaks: the number of its decay, or the decay itself where it is loaded."""
        return LEAK_BITS if self.loaded_leaks else width_for(len(self.decays))

    @property
    def leak_orders(self) -> bool:
        """Whether a network that is loaded brings one of two leak orders."""
        return self.loaded_leaks and self.neuron.reset == "subtract"

    @property
    def frame_words(self) -> int:
        """Depth of the frame memory, four pixels a word; 0 where frames are spikes."""
        return 0 if self.neuron.input == "spikes" else max(2, ceil(self.pixels / 4))

    @property
    def time_steps(self) -> int:
        """The largest T."""
        return self.neuron.time_steps

    @property
    def grouped(self) -> bool:
        """Whether there is a channel table."""
        return self.channel is not None

    @property
    def weighing(self) -> str:
        """As ``hdl.weighing.weighing``."""
        return weighing(self.neuron)

    @property
    def amplitude(self) -> Shape:
        """Of an event's amplitude."""
        return Shape(amplitude_bits(self.neuron), self.neuron.signed_spikes and self.weighing == "multiply")

    @property
    def spike_bits(self) -> int:
        """Width of a spike word: P spikes, and P signs above them if spikes have one."""
        return self.lanes * (1 + self.neuron.signed_spikes)

    @property
    def preshifted(self) -> int:
        """Bits by which thresholds come shifted already: in ``radix`` where T is not known before the network is loaded."""
        return self.time_steps - 1 if self.capacity is not None and self.neuron.schedule == "radix" else 0

    @property
    def settings(self) -> data.StructLayout | None:
        """What a loaded network sets beside memories."""
        if self.capacity is None:
            return None
        first = self.time_steps - 1 if self.neuron.schedule == "radix" else 0
        return settings_layout(
            pixels=self.pixels,
            time_steps=self.time_steps,
            layers=self.layers,
            classes=self.classes,
            instructions=self.instructions,
            worth=max(1, 1 << first if self.weighing == "multiply" else first),
            spike_words=self.spike_words if self.capacity.takes_spikes else 0,
            leak_orders=self.leak_orders,
        )
