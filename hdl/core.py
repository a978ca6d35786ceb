"""The neuron-array processor: one core that runs a whole network layer by layer."""

from amaranth import Const, Module, Mux, Signal, unsigned
from amaranth.hdl import Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.counters import Counters
from hdl.host import FrameReceiver, ResultSender
from hdl.layouts import channel_layout, coordinate_layout, event_layout, width_for
from hdl.neurons import NeuronArray
from hdl.program import CoordinateTaps, Instruction, Program
from hdl.receiver import SpikeReceiver
from hdl.rom import ReadPort, rom, slices
from hdl.scanner import Scanner
from hdl.sequencer import Sequencer
from hdl.synapses import SynapseAddresses
from toolchain.ir import FixedPointNetwork

__all__ = ["Core"]


class Core(wiring.Component):
    """Event-driven integrate-and-fire neuron array for one fixed-point network.

    A frame packet on ``s_axis`` gives a result packet on ``m_axis`` (see ``hdl.host``); a malformed
    packet gives an error packet. One frame at a time: ``s_axis_tready`` falls while it runs.
    Latency: data dependent, ``cycles`` in the result; about (synaptic operations + input
    multiply-accumulates) / lanes.

    Parameters
    ----------
    network : FixedPointNetwork
    lanes : int
        Neurons updated a cycle, 1 to 64.

    Members
    -------
    s_axis_tdata, s_axis_tvalid, s_axis_tready, s_axis_tlast : AXI4-Stream in, 32-bit words
    m_axis_tdata, m_axis_tvalid, m_axis_tready, m_axis_tlast : AXI4-Stream out
    spike_valid, spike_layer, spike_step, spike_word, spike_bits : Out
        Every spike word as it is written: neuron word ``(y·W + x)·G + g`` of a layer, P channels; if spikes
        have a sign, P more bits above them say which are −1.

    Raises
    ------
    InvalidValue
        ``lanes`` out of range.
    """

    def __init__(self, network: FixedPointNetwork, *, lanes: int):
        self.program = Program(network, lanes)
        layers = len(network.layers)
        super().__init__(
            {
                "s_axis_tdata": In(unsigned(32)),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "s_axis_tlast": In(1),
                "m_axis_tdata": Out(unsigned(32)),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
                "m_axis_tlast": Out(1),
                "spike_valid": Out(1),
                "spike_layer": Out(unsigned(width_for(layers - 1))),
                "spike_step": Out(unsigned(width_for(network.time_steps))),
                "spike_word": Out(unsigned(width_for(max(2, self.program.membrane_words)))),
                "spike_bits": Out(unsigned(self.program.spike_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        program = self.program
        network = program.network
        layers = len(network.layers)
        m.submodules.sequencer = sequencer = Sequencer(
            instructions=len(program.instructions), layers=layers, steps=program.steps
        )
        m.submodules.receiver = receiver = self._receiver()
        m.submodules.neurons = neurons = NeuronArray(program)
        m.submodules.sender = sender = ResultSender(
            classes=network.shapes[-1][0],
            layers=layers,
            lanes=program.lanes,
            membrane_bits=network.membrane_bits,
            network_id=int(network.fingerprint[:8], 16),
        )
        m.submodules.counters = counters = Counters(layers=layers, lanes=program.lanes)
        instruction = self._decode(m, sequencer)
        scanner, synapses = self._event_path(m, sequencer, receiver, neurons, instruction)
        self._control(m, sequencer, receiver, neurons, sender, counters, scanner, instruction)

        m.d.comb += [
            receiver.i.payload.data.eq(self.s_axis_tdata),
            receiver.i.payload.last.eq(self.s_axis_tlast),
            receiver.i.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(receiver.i.ready),
            self.m_axis_tdata.eq(sender.o.payload.data),
            self.m_axis_tlast.eq(sender.o.payload.last),
            self.m_axis_tvalid.eq(sender.o.valid),
            sender.o.ready.eq(self.m_axis_tready),
            self.spike_valid.eq(neurons.spike_valid),
            self.spike_layer.eq(sequencer.layer),
            self.spike_step.eq(Mux(instruction["per_step"], sequencer.step, neurons.spike_step)),
            self.spike_word.eq(neurons.spike_word),
            self.spike_bits.eq(neurons.spike_bits),
            counters.event.eq(synapses.i.valid & synapses.i.ready),
            counters.spike_valid.eq(neurons.spike_valid),
            counters.spike_bits.eq(neurons.spike_bits[: program.lanes]),
        ]
        word = synapses.o.payload
        operations = Mux(word.last_group, instruction["last_lanes"], program.lanes)
        if program.grouped:
            operations = word.last - word.first + 1
        with m.If(synapses.o.valid):
            m.d.comb += counters.operations.eq(operations)
        return m

    def _receiver(self) -> FrameReceiver | SpikeReceiver:
        program = self.program
        if program.packing is None:
            return FrameReceiver(pixels=program.pixels)
        return SpikeReceiver(
            program.packing, base=program.input_base, address_bits=width_for(max(2, program.spike_words) - 1)
        )

    def _decode(self, m: Module, sequencer: Sequencer) -> dict[str, Value]:
        """Program memory and the register behind it; a member that never changes is a constant and costs nothing."""
        program = self.program
        varying = program.varying()
        members: dict[str, Value] = {
            name: Const(value, width_for(value)) for name, value in vars(program.instructions[0]).items()
        }
        if varying:
            layout = data.StructLayout({name: unsigned(width_for(most)) for name, most in varying.items()})
            init = [self._pack(layout, vars(instruction)) for instruction in program.instructions]
            port = rom(m, "program", layout.size, init)
            m.d.comb += [port.addr.eq(sequencer.instruction), port.en.eq(1)]
            decoded = Signal(layout)
            m.d.sync += decoded.as_value().eq(port.data)
            members.update({name: decoded[program.alike(name)] for name in members if program.alike(name) in varying})
        return members

    @staticmethod
    def _pack(layout: data.StructLayout, values: dict[str, int]) -> int:
        return sum(values[name] << layout[name].offset for name, _ in layout)

    def _table(self, m: Module, name: str, entries: tuple[CoordinateTaps, ...]) -> tuple[data.StructLayout, ReadPort]:
        layout = coordinate_layout(*(max(getattr(e, n) for e in entries) for n in ("weight", "membrane", "count")))
        return layout, rom(m, name, layout.size, [self._pack(layout, vars(e)) for e in entries])

    def _event_path(
        self,
        m: Module,
        sequencer: Sequencer,
        receiver: FrameReceiver | SpikeReceiver,
        neurons: NeuronArray,
        instruction: dict[str, Value],
    ) -> tuple[Scanner, SynapseAddresses]:
        """Source memories, coordinate tables, scanner, synapse address generator, up to the array."""
        program = self.program
        rows, columns = program.tables
        analogue = program.network.input != "rate"
        row_layout, row_port = self._table(m, "rows", rows)
        column_layout, column_port = self._table(m, "columns", columns)
        synapse = neurons.synapse
        channel_entries = program.channels
        channel = None
        if channel_entries:
            weight, membrane, words = (
                max(getattr(entry, name) for entry in channel_entries) for name in ("weight", "membrane", "words")
            )
            channel = channel_layout(weight, membrane, words, program.lanes)
        event = event_layout(
            synapse["weight"].width,
            synapse["membrane"].width,
            max(row_layout["count"].width, column_layout["count"].width),
            synapse["amplitude"].shape,
            channel,
        )
        largest = Instruction(
            *(max(values) for values in zip(*(vars(i).values() for i in program.instructions), strict=True))
        )
        group_bits = width_for(max(largest.source_groups, largest.groups))
        m.submodules.scanner = scanner = Scanner(
            lanes=program.lanes,
            event=event,
            row=row_layout,
            column=column_layout,
            network=program.network,
            weighing=program.weighing,
            address_bits=width_for(max(4 * program.frame_words, program.spike_words, 2) - 1),
            coordinate_bits=width_for(max(largest.source_rows, largest.source_columns)),
            group_bits=group_bits,
            repeat_bits=width_for(program.steps),
            table_bits=width_for(max(len(rows), len(columns)) - 1),
            channel=channel,
            channel_bits=width_for(max(len(channel_entries), program.lanes)),
        )
        m.submodules.synapses = synapses = SynapseAddresses(
            event=event, synapse=synapse, group_bits=group_bits, lanes=program.lanes if program.grouped else 0
        )
        if channel is not None:
            port = rom(m, "channels", channel.size, [self._pack(channel, vars(entry)) for entry in channel_entries])
            m.d.comb += [
                scanner.channel_base.eq(instruction["channel_base"]),
                port.addr.eq(scanner.channel_address),
                port.en.eq(1),
                scanner.channel.as_value().eq(port.data),
            ]

        self._source_memories(m, receiver, neurons, scanner)
        per_step, from_frame = instruction["per_step"], instruction["frame"]
        m.d.comb += [
            row_port.addr.eq(scanner.row_address),
            row_port.en.eq(scanner.enable),
            column_port.addr.eq(scanner.column_address),
            column_port.en.eq(scanner.enable),
            scanner.row.as_value().eq(row_port.data),
            scanner.column.as_value().eq(column_port.data),
            scanner.start.eq(sequencer.scan),
            scanner.frame.eq(from_frame),
            scanner.first_address.eq(instruction["source_base"] + Mux(per_step & ~from_frame, sequencer.step, 0)),
            scanner.stride.eq(Mux(per_step & ~from_frame, program.steps, 1)),
            scanner.repeats.eq(Mux(per_step | (from_frame if analogue else Const(0)), 1, program.steps)),
            scanner.restart.eq(sequencer.step == 0),
            scanner.rows.eq(instruction["source_rows"]),
            scanner.columns.eq(instruction["source_columns"]),
            scanner.groups.eq(instruction["source_groups"]),
            scanner.row_base.eq(instruction["row_base"]),
            scanner.column_base.eq(instruction["column_base"]),
            scanner.group_stride.eq(instruction["group_stride"]),
            scanner.lane_stride.eq(instruction["lane_stride"]),
            synapses.groups.eq(instruction["groups"]),
            synapses.row_stride.eq(instruction["row_stride"]),
            synapses.column_stride.eq(instruction["column_stride"]),
            synapses.row_words.eq(instruction["row_words"]),
            synapses.column_words.eq(instruction["column_words"]),
        ]
        wiring.connect(m, scanner.events, synapses.i)
        wiring.connect(m, synapses.o, neurons.synapses)
        return scanner, synapses

    def _source_memories(
        self, m: Module, receiver: FrameReceiver | SpikeReceiver, neurons: NeuronArray, scanner: Scanner
    ) -> None:
        """Frame memory, if frames are pixels, and spike memory, as the scanner reads them."""
        program = self.program
        write_address, write_data = neurons.spike_address, neurons.spike_bits
        write_enable: Value = neurons.spike_valid
        if isinstance(receiver, FrameReceiver):
            m.submodules.frame = frame = Memory(shape=unsigned(32), depth=program.frame_words, init=[])
            frame_write, frame_read = frame.write_port(), frame.read_port()
            m.d.comb += [
                frame_write.addr.eq(receiver.word),
                frame_write.data.eq(receiver.data),
                frame_write.en.eq(receiver.write),
                frame_read.addr.eq(scanner.address[2:]),
                frame_read.en.eq(scanner.enable),
                scanner.pixels.eq(frame_read.data),
            ]
        else:  # nothing fires while a frame comes in
            write_address = Mux(receiver.write, receiver.address, write_address)
            write_data = Mux(receiver.write, receiver.data, write_data)
            write_enable = receiver.write | neurons.spike_valid
        for low, read, write in slices(m, "spikes", program.spike_bits, max(2, program.spike_words)):
            m.d.comb += [
                write.addr.eq(write_address),
                write.data.eq(write_data[low : low + len(write.data)]),
                write.en.eq(write_enable),
                read.addr.eq(scanner.address),
                read.en.eq(scanner.enable),
                scanner.spikes[low : low + len(read.data)].eq(read.data),
            ]

    def _control(
        self,
        m: Module,
        sequencer: Sequencer,
        receiver: FrameReceiver | SpikeReceiver,
        neurons: NeuronArray,
        sender: ResultSender,
        counters: Counters,
        scanner: Scanner,
        instruction: dict[str, Value],
    ) -> None:
        """Strobes between the sequencer, the passes, the counters and the host side."""
        per_step = instruction["per_step"]
        steps = self.program.steps
        m.d.comb += [
            sequencer.frame_done.eq(receiver.done),
            sequencer.frame_failed.eq(receiver.failed),
            receiver.accept.eq(sequencer.accept),
            *(getattr(sequencer, name).eq(instruction[name]) for name in ("first", "last", "sweep", "per_step")),
            sequencer.engines_busy.eq(scanner.busy | neurons.busy),
            sequencer.sender_busy.eq(sender.busy),
            neurons.initialize.eq(sequencer.initialize),
            neurons.fire.eq(sequencer.fire),
            neurons.words.eq(instruction["words"]),
            neurons.groups.eq(instruction["groups"]),
            neurons.parameter_base.eq(instruction["parameter_base"]),
            neurons.firings.eq(Mux(per_step, 1, steps)),
            neurons.write_back.eq(per_step | ~instruction["fires"]),
            neurons.first_spike.eq(instruction["target_base"] + Mux(per_step, sequencer.step, 0)),
            neurons.spike_stride.eq(Mux(per_step, steps, 1)),
            neurons.fires.eq(instruction["fires"]),
            neurons.constant_current.eq(instruction["frame"] if self.program.network.input != "rate" else 0),
            neurons.threshold_exponent.eq(instruction["threshold_exponent"]),
            neurons.read.eq(sender.read),
            neurons.read_word.eq(sender.read_word),
            sender.scores.eq(neurons.read_data),
            sender.send_result.eq(sequencer.send_result),
            sender.send_error.eq(sequencer.send_error),
            sender.error.eq(receiver.error),
            sender.cycles.eq(counters.total),
            counters.start.eq(receiver.started),
            counters.begin.eq(receiver.done),
            counters.store.eq(sequencer.store),
            counters.finish.eq(sequencer.send_result),
            counters.layer.eq(sequencer.layer),
            counters.address.eq(sender.counters_address),
            sender.counters.eq(counters.data),
        ]
