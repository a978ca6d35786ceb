"""The memories that the scanner reads: the frame's pixels, and the spikes of input and layers."""

from amaranth import Module, Mux, unsigned
from amaranth.hdl import Value
from amaranth.lib.memory import Memory

from hdl.loaded_receiver import EitherReceiver, LoadedSpikeReceiver
from hdl.neurons import NeuronArray
from hdl.receiver import FrameReceiver, SpikeReceiver
from hdl.rom import slices
from hdl.scanner import Scanner
from hdl.sender import ResultSender, SpikeSender
from hdl.sizes import Sizes

__all__ = ["Receiver", "source_memories"]

Receiver = FrameReceiver | LoadedSpikeReceiver | EitherReceiver | SpikeReceiver
"""Whatever takes frames."""


def source_memories(
    m: Module,
    sizes: Sizes,
    receiver: Receiver,
    neurons: NeuronArray,
    sender: ResultSender | SpikeSender,
    scanner: Scanner,
) -> None:
    """Frame memory, if frames are pixels, and spike memory, as the scanner reads them, and at the end the sender."""
    write_address, write_data = neurons.spike_address, neurons.spike_bits
    write_enable: Value = neurons.spike_valid
    if isinstance(receiver, FrameReceiver | EitherReceiver):
        m.submodules.frame = frame = Memory(shape=unsigned(32), depth=sizes.frame_words, init=[])
        frame_write, frame_read = frame.write_port(), frame.read_port()
        m.d.comb += [
            frame_write.addr.eq(receiver.word),
            frame_write.data.eq(receiver.data),
            frame_write.en.eq(receiver.write),
            frame_read.addr.eq(scanner.address[2:]),
            frame_read.en.eq(scanner.enable),
            scanner.pixels.eq(frame_read.data),
        ]
    if not isinstance(receiver, FrameReceiver):  # nothing fires while a frame comes in
        given = receiver.spikes if isinstance(receiver, EitherReceiver) else receiver
        write_address = Mux(given.write, given.address, write_address)
        write_data = Mux(given.write, given.data, write_data)
        write_enable = given.write | neurons.spike_valid
    read_address, read_enable = scanner.address, scanner.enable
    if isinstance(sender, SpikeSender):
        read_address = Mux(sender.reading, sender.address, read_address)
        read_enable = Mux(sender.reading, sender.enable, read_enable)
    for low, read, write in slices(m, "spikes", sizes.spike_bits, sizes.spike_words):
        m.d.comb += [
            write.addr.eq(write_address),
            write.data.eq(write_data[low : low + len(write.data)]),
            write.en.eq(write_enable),
            read.addr.eq(read_address),
            read.en.eq(read_enable),
            scanner.spikes[low : low + len(read.data)].eq(read.data),
        ]
    if isinstance(sender, SpikeSender):
        m.d.comb += sender.spikes.eq(scanner.spikes)
