"""P lanes with their weight, parameter and membrane memories: the neuron array."""

from itertools import pairwise
from typing import NamedTuple

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.lane import Lane
from hdl.layouts import lanes_layout, synapse_layout, width_for
from hdl.loaded import LoadedPort, bus_layout, loaded
from hdl.program import Program
from hdl.rom import ReadPort, rom
from hdl.sizes import Sizes
from hdl.sweep import Sweep
from toolchain.ir import COUNTING_NEGATIVES

__all__ = ["NeuronArray"]

_SWEEP_INPUTS = (
    "initialize",
    "fire",
    "words",
    "groups",
    "parameter_base",
    "firings",
    "write_back",
    "first_spike",
    "spike_stride",
)
_SWEEP_OUTPUTS = ("spike_address", "spike_word", "spike_step")


def _pack(values: tuple[int, ...], bits: int) -> int:
    """Signed values side by side, the first in the lowest bits."""
    return sum((value & ((1 << bits) - 1)) << (bits * place) for place, value in enumerate(values))


class _Counts(NamedTuple):
    """What the count memory gives and takes, one value for each lane."""

    read: data.View
    write: data.View


class NeuronArray(wiring.Component):
    """Integrates one synapse word a cycle into the membrane memory, and sweeps it to fire.

    Of a layer whose currents last, events add to the second half of its words, where the currents stand; the fire pass adds them to
    the membranes of the first.

    The read-modify-write of a membrane word takes 5 cycles (weight read; membrane read, weight into a
    register; multiply, membrane into a register; add; write), fully pipelined: a word may be hit again
    in any later cycle, forwarding covers the two sums that are not written yet, and what is being written while
    the memory is read. What decides about forwarding is compared a cycle ahead. Latency from a synapse word to its write: 5 cycles.

    Parameters
    ----------
    sizes : Sizes
        Lanes, depths and widths.
    program : Program or None
        What the memories hold; None where weights and parameters are loaded.

    Members
    -------
    synapses : In, stream of synapse words, always ready
    busy : Out, a synapse word or a pass is under way
    initialize, fire and the configuration ports : as in ``Sweep``
    spike_valid, spike_bits, … : Out, one spike word
    read_word, read_data : membrane readout while not ``busy``, data three cycles later
    bus : In, words of a load, where there is no program
    leak, leak_written, apart : In, where a network leaks: as in ``Lane``; whether the fire pass writes what stays of the
        membranes, or the membranes as they are; as in ``Sweep``
    leaks_first : In, where networks that leak in either order are loaded: as in ``Lane``
    current_leak : In, where a network has currents that last: the leak of the layer's, 0 if it has none
    bank, cache_write, cache_address, cache_data : In, where weights come from external memory: the bank that is read, and a
        word for the other one
    """

    def __init__(self, sizes: Sizes, program: Program | None):
        self._sizes, self._program = sizes, program
        self._membrane_bits = sizes.membrane_bits
        self._stream = sizes.neuron.schedule == "stream"
        self._amplitude = sizes.amplitude
        words = sizes.membrane_words
        self.synapse = synapse_layout(
            width_for(sizes.weight_words - 1),
            width_for(words - 1),
            self._amplitude,
            sizes.lanes if sizes.grouped else 0,
        )
        self.sweep = Sweep(
            word_bits=width_for(words),
            group_bits=width_for(sizes.groups),
            parameter_bits=width_for(sizes.parameter_words - 1),
            spike_bits=width_for(sizes.spike_words - 1),
            step_bits=width_for(sizes.time_steps),
            late=sizes.leaks,
            lasting=sizes.lasting,
        )
        members = self.sweep.signature.members
        super().__init__(
            {
                "synapses": In(stream.Signature(self.synapse, always_ready=True)),
                "busy": Out(1),
                **{name: members[name] for name in (*_SWEEP_INPUTS, *_SWEEP_OUTPUTS)},
                "fires": In(1),
                "constant_current": In(1),
                "threshold_exponent": In(unsigned(width_for(self._membrane_bits))),
                "spike_valid": Out(1),
                "spike_bits": Out(unsigned(sizes.spike_bits)),
                "read_word": In(unsigned(width_for(words))),
                "read_data": Out(lanes_layout(sizes.membrane_bits, sizes.lanes)),
                **({} if sizes.capacity is None else {"bus": In(bus_layout(sizes.capacity))}),
                **({} if sizes.external is None else self._cache_ports()),
                **(
                    {"leak": In(unsigned(sizes.leak_bits)), "leak_written": In(1), "apart": In(1)}
                    if sizes.leaks
                    else {}
                ),
                **({"leaks_first": In(1)} if sizes.leak_orders else {}),
                **({"current_leak": In(unsigned(sizes.leak_bits))} if sizes.lasting else {}),
            }
        )

    def _cache_ports(self) -> dict[str, wiring.Member]:
        sizes = self._sizes
        return {
            "bank": In(1),
            "cache_write": In(1),
            "cache_address": In(unsigned(1 + width_for(sizes.weight_words - 1))),
            "cache_data": In(unsigned(sizes.lanes * sizes.weight_bits)),
        }

    def _cache(self, m: Module) -> LoadedPort:
        """Two banks of weights side by side, one that is read and one that is filled."""
        bits = len(self.cache_data)
        m.submodules.cache = memory = Memory(shape=unsigned(bits), depth=2 * max(2, self._sizes.weight_words), init=[])
        read, write = memory.read_port(), memory.write_port()
        address = Signal(len(self.cache_address) - 1, name="weight_address")
        m.d.comb += [
            read.addr.eq(Cat(self.bank, address)),
            write.addr.eq(self.cache_address),
            write.data.eq(self.cache_data),
            write.en.eq(self.cache_write),
        ]
        return LoadedPort(address, read.en, read.data)

    def _memories(self, m: Module, layout: data.ArrayLayout) -> tuple[ReadPort | LoadedPort, ReadPort | LoadedPort]:
        """Weights and parameters, as they are or to be loaded."""
        weight_bits, capacity, program = self._sizes.weight_bits, self._sizes.capacity, self._program
        if capacity is not None:
            return loaded(m, "weights", capacity, self.bus), loaded(m, "parameters", capacity, self.bus)
        assert program is not None
        if self._sizes.external is not None:
            parameters = [layout.const(word).as_value().value for word in program.parameter_words]
            return self._cache(m), rom(m, "parameters", layout.size, parameters)
        weights = [_pack(word, weight_bits) for word in program.weight_words]
        parameters = [layout.const(word).as_value().value for word in program.parameter_words]
        return rom(m, "weights", weight_bits * self._sizes.lanes, weights), rom(
            m, "parameters", layout.size, parameters
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sizes, neuron = self._sizes, self._sizes.neuron
        lanes, bits, weight_bits = sizes.lanes, self._membrane_bits, sizes.weight_bits
        m.submodules.sweep = sweep = self.sweep
        m.d.comb += [getattr(sweep, name).eq(getattr(self, name)) for name in _SWEEP_INPUTS]
        m.d.comb += [getattr(self, name).eq(getattr(sweep, name)) for name in _SWEEP_OUTPUTS]
        if sizes.leaks:
            m.d.comb += sweep.apart.eq(self.apart)
        leak = self.leak if sizes.leaks else None
        if sizes.lasting:  # chosen a cycle ahead, so that the adders wait for nothing but a register
            leak = Signal.like(self.leak, name="leak_chosen")
            m.d.sync += leak.eq(Mux(sweep.holds_currents, self.current_leak, self.leak))
            m.d.comb += sweep.paired.eq(self.current_leak != 0)

        layout = data.ArrayLayout(sizes.parameter, lanes)
        weights, parameters = self._memories(m, layout)
        m.submodules.membranes = membranes = Memory(shape=unsigned(bits * lanes), depth=sizes.membrane_words, init=[])
        write_port = membranes.write_port()
        read_port = membranes.read_port()

        # stage 0: weight read; 1: membrane read; 2: multiply; 3: add; 4: write
        valid = [self.synapses.valid, *(Signal(name=f"valid_{stage}") for stage in (1, 2, 3, 4))]
        word = [self.synapses.payload.membrane]
        word += [Signal.like(word[0], name=f"word_{stage}") for stage in (1, 2, 3, 4)]
        amplitude = [self.synapses.payload.amplitude]
        amplitude += [Signal(self._amplitude, name=f"amplitude_{stage}") for stage in (1, 2)]
        for chain in (valid, word, amplitude):
            m.d.sync += [after.eq(before) for before, after in pairwise(chain)]
        meant = self._meant(m) if sizes.grouped else None
        forward_last = Signal()
        forward_before = Signal()
        m.d.sync += [
            forward_last.eq(valid[3] & (word[2] == word[3])),
            forward_before.eq(valid[3] & (word[1] == word[3])),
        ]
        m.d.comb += [
            weights.addr.eq(self.synapses.payload.weight),
            weights.en.eq(1),
            parameters.addr.eq(sweep.parameter),
            parameters.en.eq(sweep.read),
            self.busy.eq(Cat(*valid).any() | sweep.busy),
        ]
        # Addresses are chosen a cycle ahead: on the way to so many blocks there is time for nothing else.
        read_address = Signal.like(word[0])
        write_address = Signal.like(word[0])
        write_enable = Signal()
        m.d.sync += [
            read_address.eq(Mux(valid[0], word[0], Mux(sweep.walks, sweep.next_word, self.read_word))),
            write_address.eq(Mux(valid[3], word[3], sweep.next_written)),
            write_enable.eq(valid[3] | sweep.writes),
        ]
        m.d.comb += [
            read_port.addr.eq(read_address),
            write_port.addr.eq(write_address),
            write_port.en.eq(write_enable),
        ]

        m.d.comb += self.spike_valid.eq(sweep.spike & self.fires)
        read_data = data.View(lanes_layout(bits, lanes), read_port.data)
        fields = Signal(layout)
        m.d.sync += fields.as_value().eq(parameters.data)
        weight_lanes = data.View(lanes_layout(weight_bits, lanes), weights.data)
        writes = Signal(lanes_layout(bits, lanes))
        written = Signal.like(writes)
        forward_written = Signal()
        m.d.sync += [written.eq(writes), forward_written.eq(write_enable & (write_address == read_address))]
        counts = self._counts(m, sweep) if neuron.negative in COUNTING_NEGATIVES else None
        threshold = Signal(bits - 1)
        if sizes.exponents:
            m.d.comb += threshold.eq(1 << self.threshold_exponent)
        for number in range(lanes):
            lane = Lane(
                weight_bits=weight_bits,
                membrane_bits=bits,
                amplitude=self._amplitude,
                weighing=sizes.weighing,
                network=neuron,
                preshifted=sizes.preshifted,
                decays=sizes.decays,
                leak_first=sizes.leak_first,
                loaded_leaks=sizes.loaded_leaks,
                frame_leaks=sizes.frame_leaks,
                lasting=sizes.lasting,
            )
            m.submodules[f"lane_{number}"] = lane
            # What is written: each of the three is 0 while another one counts.
            initial = Signal.like(lane.after)
            after = Signal.like(lane.after)
            m.d.sync += [initial.eq(0), after.eq(0), self.spike_bits[number].eq(lane.spike)]
            with m.If(sweep.read_initial):
                m.d.sync += initial.eq(data.View(layout, parameters.data)[number].initial)
            if sizes.leaks:
                with m.If(sweep.rested):
                    m.d.sync += after.eq(Mux(self.leak_written, lane.kept, lane.rest))
                m.d.comb += [lane.leak.eq(leak), lane.follow.eq(sweep.follow)]
                if sizes.leak_orders:
                    m.d.comb += lane.leaks_first.eq(self.leaks_first)
            else:
                with m.If(sweep.step):
                    m.d.sync += after.eq(lane.after)
            m.d.comb += [
                lane.weight.eq(weight_lanes[number] if meant is None else Mux(meant[number], weight_lanes[number], 0)),
                lane.amplitude.eq(amplitude[2]),
                lane.membrane.eq(read_data[number]),
                lane.add.eq(valid[3]),
                lane.forward_last.eq(forward_last),
                lane.forward_before.eq(forward_before),
                lane.forward_written.eq(forward_written),
                lane.written.eq(written[number]),
                self.read_data[number].eq(lane.given),
                lane.load.eq(sweep.load),
                lane.step.eq(sweep.step),
                lane.fires.eq(self.fires & ~sweep.holds_currents if sizes.lasting else self.fires),
                lane.constant_current.eq(self.constant_current),
                lane.threshold.eq(threshold if sizes.exponents else fields[number].threshold),
                lane.addend.eq(fields[number].addend if self._stream else Const(0)),
                writes[number].eq(lane.sum | initial | after),
            ]
            if sizes.lasting:
                m.d.comb += lane.behind_current.eq(sweep.behind_currents)
            if neuron.negative == "asymmetric":
                m.d.comb += lane.negative_threshold.eq(fields[number].negative_threshold)
            if neuron.signed_spikes:
                m.d.sync += self.spike_bits[lanes + number].eq(lane.negative)
            if counts is not None:
                counted = Signal.like(lane.counted)
                m.d.sync += counted.eq(lane.counted)
                m.d.comb += [
                    lane.count.eq(counts.read[number]),
                    counts.write[number].eq(Mux(sweep.write_initial, 0, counted)),
                ]
        m.d.comb += write_port.data.eq(writes.as_value())
        return m

    def _meant(self, m: Module) -> Signal:
        """Lanes that the synapse word in stage 1 means, a bit each: the others belong to other groups of its convolution."""
        meant = Signal(self._sizes.lanes)
        synapse = self.synapses.payload
        m.d.sync += [bit.eq((synapse.first <= number) & (synapse.last >= number)) for number, bit in enumerate(meant)]
        return meant

    def _counts(self, m: Module, sweep: Sweep) -> "_Counts":
        """Memory of each neuron's sum of spikes, read and written with the membranes of the passes."""
        layout = data.ArrayLayout(unsigned(width_for(self._sizes.time_steps)), self._sizes.lanes)
        m.submodules.counts = memory = Memory(shape=unsigned(layout.size), depth=self._sizes.membrane_words, init=[])
        read_port, write_port = memory.read_port(), memory.write_port()
        read = Signal(layout)
        written = Signal(layout)
        m.d.sync += read.as_value().eq(read_port.data)
        m.d.comb += [
            read_port.addr.eq(sweep.word),
            read_port.en.eq(sweep.read),
            write_port.addr.eq(sweep.written),
            write_port.en.eq(sweep.write_initial | sweep.write_after),
            write_port.data.eq(written.as_value()),
        ]
        return _Counts(read, written)
