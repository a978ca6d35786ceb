"""The neuron-array processor: one core that runs a whole network layer by layer."""

from typing import Any

from amaranth import Const, Module, Mux, Signal, unsigned
from amaranth.hdl import Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.capacity import Capacity
from hdl.chain_place import ChainPlace
from hdl.counters import Counters
from hdl.host import ErrorCode
from hdl.layouts import event_layout, width_for
from hdl.loaded import LoadedPort, loaded
from hdl.loaded_receiver import EitherReceiver, LoadedSpikeReceiver
from hdl.loader import Loader
from hdl.neurons import NeuronArray
from hdl.prefetch import Prefetcher, memory_port
from hdl.program import Program
from hdl.receiver import FrameReceiver, SpikeReceiver
from hdl.rom import ReadPort, rom
from hdl.scanner import Scanner
from hdl.sender import ResultSender, SpikeSender
from hdl.sequencer import Sequencer
from hdl.sizes import Sizes
from hdl.source_memories import Receiver, source_memories
from hdl.synapses import SynapseAddresses
from hdl.tiles import ExternalWeights, TiledProgram
from toolchain.errors import InvalidValue
from toolchain.ir import FixedPointNetwork

__all__ = ["Core"]

_LoadedReceiver = FrameReceiver | LoadedSpikeReceiver | EitherReceiver


class Core(wiring.Component):
    """Event-driven integrate-and-fire neuron array for one fixed-point network, or for any within a capacity.

    A frame packet on ``s_axis`` gives a result packet on ``m_axis`` (see ``hdl.host``); a malformed
    packet gives an error packet, and so does a frame whose external weights come with a bus error or not at all. One frame at a time:
    ``s_axis_tready`` falls while it runs.
    Latency: data dependent, ``cycles`` in the result; about (synaptic operations + input
    multiply-accumulates) / lanes.

    A core for a capacity holds no network until a load packet brings one (``toolchain.loading``); another one
    takes its place when its checksum is right, and not before.

    Parameters
    ----------
    content : FixedPointNetwork or Capacity
        The network in its memories; or the room for networks that are loaded.
    lanes : int
        Neurons updated a cycle, 1 to 64. A capacity has its own.
    place : ChainPlace, optional
        The core's place in a chain. If the network's last layer fires, spike packets leave on ``m_axis``, in the form
        in which the next core takes them. Not for a capacity.
    external : ExternalWeights, optional
        The network's weights come from external memory (``TiledProgram.weight_bytes``), through a cache. Neither for a
        capacity nor in a chain.

    Members
    -------
    s_axis_tdata, s_axis_tvalid, s_axis_tready, s_axis_tlast : AXI4-Stream in, 32-bit words
    m_axis_tdata, m_axis_tvalid, m_axis_tready, m_axis_tlast : AXI4-Stream out
    spike_valid, spike_layer, spike_step, spike_word, spike_bits : Out
        Every spike word as it is written: neuron word ``(y·W + x)·G + g`` of a layer, P channels; if spikes
        have a sign, P more bits above them say which are −1.
    settings : Signal or None
        Of the network that is loaded now, for what stands in the same design; no port.
    m_axi_… : the read channels of an AXI4 port, where weights are external (``hdl.prefetch``)

    Raises
    ------
    InvalidValue
        ``lanes`` out of range, missing, or other than those of the capacity; ``external`` where it cannot be, or too small.
    """

    def __init__(
        self,
        content: FixedPointNetwork | Capacity,
        *,
        lanes: int | None = None,
        place: ChainPlace | None = None,
        external: ExternalWeights | None = None,
    ):
        if external is not None and (place is not None or isinstance(content, Capacity)):
            raise InvalidValue(
                "weights of a chain or of a core that is loaded cannot be external: leave out one of them"
            )
        self.program: Program | None = None
        self.chained = place is not None
        self._place = place or ChainPlace(0, 0)
        if isinstance(content, FixedPointNetwork):
            number = 0 if lanes is None else lanes
            self.program = (
                Program(content, number) if external is None else TiledProgram(content, number, external=external)
            )
            self.sizes = Sizes.of_network(self.program)
            self._place = place or ChainPlace(0, int(content.fingerprint[:8], 16))
        else:
            if lanes not in (None, content.lanes):
                raise InvalidValue(f"lanes is {lanes}, but the capacity was made for {content.lanes}")
            self.sizes = Sizes.of_capacity(content)
        sizes = self.sizes
        self.settings = None if sizes.settings is None else Signal(sizes.settings)
        layers = self._place.before + sizes.layers
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
                "spike_step": Out(unsigned(width_for(sizes.time_steps))),
                "spike_word": Out(unsigned(width_for(sizes.membrane_words))),
                "spike_bits": Out(unsigned(sizes.spike_bits)),
                **({} if external is None else memory_port(external.data_bits)),
            }
        )

    @property
    def loadable(self) -> bool:
        """Whether its network comes in a load packet."""
        return self.sizes.capacity is not None

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sizes = self.sizes
        settings, before = sizes.settings, self._place.before
        m.submodules.sequencer = sequencer = Sequencer(
            instructions=sizes.instructions,
            layers=sizes.layers,
            steps=sizes.time_steps,
            settings=settings,
            external=sizes.external is not None,
        )
        m.submodules.receiver = receiver = self._receiver()
        m.submodules.neurons = neurons = NeuronArray(sizes, self.program)
        m.submodules.sender = sender = self._sender()
        m.submodules.counters = counters = Counters(
            layers=before + sizes.layers, lanes=sizes.lanes, chained=self.chained, before=before
        )
        loader = None
        if not isinstance(receiver, SpikeReceiver) and isinstance(sender, ResultSender) and self.loadable:
            loader = self._load(m, sequencer, receiver, neurons, sender)
        instruction = self._decode(m, sequencer, loader)
        scanner, synapses = self._event_path(m, sequencer, receiver, neurons, sender, instruction, loader)
        self._control(m, sequencer, receiver, neurons, sender, counters, scanner, instruction, loader)
        event = synapses.i.valid & synapses.i.ready
        if isinstance(self.program, TiledProgram):
            self._prefetch(m, self.program, sequencer, neurons)
            event = event & instruction["counted"]

        first = (receiver if loader is None else loader).i
        m.d.comb += [
            first.payload.data.eq(self.s_axis_tdata),
            first.payload.last.eq(self.s_axis_tlast),
            first.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(first.ready),
            self.m_axis_tdata.eq(sender.o.payload.data),
            self.m_axis_tlast.eq(sender.o.payload.last),
            self.m_axis_tvalid.eq(sender.o.valid),
            sender.o.ready.eq(self.m_axis_tready),
            self.spike_valid.eq(neurons.spike_valid),
            self.spike_layer.eq(before + sequencer.layer),
            self.spike_step.eq(Mux(instruction["per_step"], sequencer.step, neurons.spike_step)),
            self.spike_word.eq(neurons.spike_word),
            self.spike_bits.eq(neurons.spike_bits),
            counters.event.eq(event),
            counters.spike_valid.eq(neurons.spike_valid),
            counters.spike_bits.eq(neurons.spike_bits[: sizes.lanes]),
        ]
        word = synapses.o.payload
        operations = Mux(word.last_group, instruction["last_lanes"], sizes.lanes)
        if sizes.grouped:
            operations = word.last - word.first + 1
        with m.If(synapses.o.valid):
            m.d.comb += counters.operations.eq(operations)
        return m

    def _receiver(self) -> Receiver:
        sizes, program = self.sizes, self.program
        if sizes.capacity is not None and sizes.capacity.takes_spikes:
            spikes = LoadedSpikeReceiver(
                lanes=sizes.lanes,
                signed_spikes=sizes.neuron.signed_spikes,
                address_bits=width_for(sizes.spike_words - 1),
                settings=sizes.settings,
            )
            return spikes if not sizes.frame_words else EitherReceiver(spikes, pixels=sizes.pixels)
        if program is None or program.packing is None:
            return FrameReceiver(pixels=sizes.pixels, settings=sizes.settings)
        return SpikeReceiver(
            program.packing,
            base=program.input_base,
            address_bits=width_for(sizes.spike_words - 1),
            before=self._place.before,
        )

    def _sender(self) -> ResultSender | SpikeSender:
        sizes, program = self.sizes, self.program
        layers = self._place.before + sizes.layers
        if program is not None and program.sent is not None:
            return SpikeSender(
                program.sent,
                base=program.spike_bases[-1],
                address_bits=width_for(sizes.spike_words - 1),
                layers=layers,
            )
        return ResultSender(
            classes=sizes.classes,
            layers=layers,
            lanes=sizes.lanes,
            membrane_bits=sizes.membrane_bits,
            network_id=self._place.network_id,
            settings=sizes.settings,
        )

    def _prefetch(self, m: Module, program: TiledProgram, sequencer: Sequencer, neurons: NeuronArray) -> None:
        """What brings weights from external memory, its port, and the cache behind it."""
        external = program.external
        m.submodules.prefetcher = prefetcher = Prefetcher(
            program.tiles,
            [bool(instruction.per_step) for instruction in program.instructions],
            steps=program.steps,
            external=external,
            word_bits=program.word_bits,
            depth=program.weight_depth,
        )
        m.d.comb += [
            sequencer.weights_ready.eq(prefetcher.ready),
            sequencer.weights_spoilt.eq(prefetcher.spoilt),
            sequencer.weights_late.eq(prefetcher.late),
            prefetcher.waiting.eq(sequencer.waiting),
            prefetcher.restart.eq(sequencer.abandon),
            prefetcher.release.eq(sequencer.scanned),
            neurons.bank.eq(prefetcher.bank),
            neurons.cache_write.eq(prefetcher.write),
            neurons.cache_address.eq(prefetcher.address),
            neurons.cache_data.eq(prefetcher.data),
        ]
        for name, member in memory_port(external.data_bits).items():
            ours, theirs = getattr(self, name), getattr(prefetcher, name)
            m.d.comb += ours.eq(theirs) if member.flow is Out else theirs.eq(ours)

    def _load(
        self, m: Module, sequencer: Sequencer, receiver: _LoadedReceiver, neurons: NeuronArray, sender: ResultSender
    ) -> Loader:
        """What takes load packets, and what it sets."""
        m.submodules.loader = loader = Loader(self.sizes)
        assert self.settings is not None
        m.d.comb += [
            self.settings.eq(loader.settings),
            neurons.bus.eq(loader.bus),
            sequencer.load_done.eq(loader.done),
            *(block.settings.eq(loader.settings) for block in (sequencer, receiver, sender)),
        ]
        wiring.connect(m, loader.o, receiver.i)
        return loader

    def _memory(
        self, m: Module, loader: Loader | None, name: str, layout: data.StructLayout, entries: list[dict[str, int]]
    ) -> ReadPort | LoadedPort:
        """A memory of the network: its ``entries``, or room for those that are loaded."""
        if loader is not None:
            return loaded(m, name, self._capacity, loader.bus)
        return rom(m, name, layout.size, [self._pack(layout, entry) for entry in entries])

    @property
    def _capacity(self) -> Capacity:
        assert self.sizes.capacity is not None
        return self.sizes.capacity

    def _decode(self, m: Module, sequencer: Sequencer, loader: Loader | None) -> dict[str, Value]:
        """Program memory and the register behind it; a member that never changes is a constant and costs nothing."""
        layout, program = self.sizes.instruction, self.program
        instructions = [] if program is None else [vars(instruction) for instruction in program.instructions]
        members: dict[str, Value]
        if program is None:
            members = {name: Const(0, 1) for name in ("channel_base", "threshold_exponent")}
        else:
            members = {name: Const(value, width_for(value)) for name, value in instructions[0].items()}
        if layout is not None:
            port = self._memory(m, loader, "program", layout, instructions)
            m.d.comb += [port.addr.eq(sequencer.instruction), port.en.eq(1)]
            decoded = Signal(layout)
            m.d.sync += decoded.as_value().eq(port.data)
            kept = [name for name, _ in layout]
            if program is None:
                members |= {name: decoded[name] for name in kept}
            else:
                members |= {name: decoded[program.alike(name)] for name in members if program.alike(name) in kept}
        return members

    @staticmethod
    def _pack(layout: data.StructLayout, values: dict[str, int]) -> int:
        return sum(values[name] << layout[name].offset for name, _ in layout)

    def _event_path(
        self,
        m: Module,
        sequencer: Sequencer,
        receiver: Receiver,
        neurons: NeuronArray,
        sender: ResultSender | SpikeSender,
        instruction: dict[str, Value],
        loader: Loader | None,
    ) -> tuple[Scanner, SynapseAddresses]:
        """Source memories, coordinate tables, scanner, synapse address generator, up to the array."""
        sizes, program = self.sizes, self.program
        rows, columns, channels = ([], [], []) if program is None else (
            [vars(entry) for entry in table] for table in (*program.tables, program.channels)
        )  # fmt: skip
        steps: Any = sizes.time_steps if loader is None else loader.settings.time_steps
        analogue = sizes.neuron.input != "rate"
        row_port = self._memory(m, loader, "rows", sizes.row, rows)
        column_port = self._memory(m, loader, "columns", sizes.column, columns)
        synapse, channel = neurons.synapse, sizes.channel
        event = event_layout(
            synapse["weight"].width,
            synapse["membrane"].width,
            max(sizes.row["count"].width, sizes.column["count"].width),
            synapse["amplitude"].shape,
            channel,
        )
        group_bits = width_for(sizes.walked)
        m.submodules.scanner = scanner = Scanner(
            lanes=sizes.lanes,
            event=event,
            row=sizes.row,
            column=sizes.column,
            network=sizes.neuron,
            weighing=sizes.weighing,
            address_bits=sizes.address_bits,
            coordinate_bits=width_for(sizes.coordinates),
            group_bits=group_bits,
            repeat_bits=width_for(sizes.time_steps),
            table_bits=width_for(sizes.entries - 1),
            channel=channel,
            channel_bits=width_for(max(sizes.channels, sizes.lanes)),
            windows=sizes.windows,
            settings=sizes.settings,
        )
        if loader is not None:
            m.d.comb += scanner.settings.eq(loader.settings)
        m.submodules.synapses = synapses = SynapseAddresses(
            event=event, synapse=synapse, group_bits=group_bits, lanes=sizes.lanes if sizes.grouped else 0
        )
        if channel is not None:
            port = self._memory(m, loader, "channels", channel, channels)
            m.d.comb += [
                scanner.channel_base.eq(instruction["channel_base"]),
                port.addr.eq(scanner.channel_address),
                port.en.eq(1),
                scanner.channel.as_value().eq(port.data),
            ]

        source_memories(m, sizes, receiver, neurons, sender, scanner)
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
            scanner.stride.eq(Mux(per_step & ~from_frame, steps, 1)),
            scanner.repeats.eq(Mux(per_step | (from_frame if analogue else Const(0)), 1, steps)),
            scanner.restart.eq(sequencer.step == 0),
            scanner.rows.eq(instruction["source_rows"]),
            scanner.columns.eq(instruction["source_columns"]),
            scanner.groups.eq(instruction["source_groups"]),
            scanner.row_base.eq(instruction["row_base"]),
            scanner.column_base.eq(instruction["column_base"]),
            scanner.group_stride.eq(instruction["group_stride"]),
            scanner.lane_stride.eq(instruction["lane_stride"]),
            synapses.groups.eq(instruction["groups" if sizes.external is None else "tile_groups"]),
            synapses.row_stride.eq(instruction["row_stride"]),
            synapses.column_stride.eq(instruction["column_stride"]),
            synapses.row_words.eq(instruction["row_words"]),
            synapses.column_words.eq(instruction["column_words"]),
        ]
        if sizes.windows is not None:
            m.d.comb += [scanner.window[name].eq(instruction[name]) for name, _ in scanner.window.shape()]
        wiring.connect(m, scanner.events, synapses.i)
        wiring.connect(m, synapses.o, neurons.synapses)
        return scanner, synapses

    def _control(
        self,
        m: Module,
        sequencer: Sequencer,
        receiver: Receiver,
        neurons: NeuronArray,
        sender: ResultSender | SpikeSender,
        counters: Counters,
        scanner: Scanner,
        instruction: dict[str, Value],
        loader: Loader | None,
    ) -> None:
        """Strobes between the sequencer, the passes, the counters and the host side."""
        per_step = instruction["per_step"]
        steps: Any = self.sizes.time_steps
        failed, error, current = receiver.failed, receiver.error, instruction["frame"]
        if loader is not None:
            steps = loader.settings.time_steps
            load_failed = Signal()
            with m.If(failed | loader.failed):
                m.d.sync += load_failed.eq(loader.failed)
            failed, error = failed | loader.failed, Mux(load_failed, loader.error, error)
            current = current & loader.settings.stream
            # not while the sequencer is being told of a frame, nor while one is still being written
            free = ~receiver.done & ~receiver.failed
            if isinstance(receiver, LoadedSpikeReceiver | EitherReceiver):
                free &= ~receiver.busy
            m.d.comb += [
                loader.accept.eq(sequencer.accept & free),
                sender.send_loaded.eq(sequencer.send_loaded),
            ]
        if self.sizes.external is not None:
            abandoned, late = Signal(), Signal()
            with m.If(sequencer.send_error):
                m.d.sync += [abandoned.eq(sequencer.abandon), late.eq(~sequencer.weights_ready)]
            error = Mux(abandoned, Mux(late, ErrorCode.TIMEOUT, ErrorCode.MEMORY), error)
        m.d.comb += [
            sequencer.frame_done.eq(receiver.done),
            sequencer.frame_failed.eq(failed),
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
            neurons.constant_current.eq(current if self.sizes.neuron.input != "rate" else 0),
            neurons.threshold_exponent.eq(instruction["threshold_exponent"]),
            sender.send_result.eq(sequencer.send_result),
            sender.send_error.eq(sequencer.send_error),
            sender.error.eq(error),
            counters.start.eq(receiver.started),
            counters.begin.eq(receiver.done),
            counters.store.eq(sequencer.store),
            counters.finish.eq(sequencer.send_result),
            counters.layer.eq(self._place.before + sequencer.layer),
            counters.address.eq(sender.counters_address),
            sender.counters.eq(counters.data),
        ]
        if self.sizes.leaks:
            # the frame's current is added T times in one pass, which leaks between them and not into the memory
            last = sequencer.step == (self.sizes.time_steps - 1 if loader is None else loader.settings.last_step)
            leaks = instruction["leak"] != 0
            m.d.comb += [
                neurons.leak.eq(instruction["leak"]),
                neurons.leak_written.eq(per_step & ~last),
                neurons.apart.eq(~per_step & leaks if True in self.sizes.frame_leaks else 0),
            ]
        if loader is not None and self.sizes.leak_orders:
            m.d.comb += neurons.leaks_first.eq(loader.settings.leaks_first)
        if self.sizes.lasting:
            m.d.comb += neurons.current_leak.eq(instruction["current_leak"])
        if isinstance(sender, ResultSender):
            m.d.comb += [
                neurons.read_word.eq(sender.read_word),
                sender.scores.eq(neurons.read_data),
                sender.cycles.eq(counters.total),
            ]
        else:
            m.d.comb += sender.origin.eq(counters.origin)
        if isinstance(receiver, SpikeReceiver) and self._place.before:
            m.d.comb += [
                counters.counted.eq(receiver.counted),
                counters.counted_layer.eq(receiver.layer),
                counters.counters.eq(receiver.counters),
                counters.given.eq(receiver.given),
                counters.origin_given.eq(receiver.origin),
            ]
