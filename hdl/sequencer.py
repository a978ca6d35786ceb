"""The core's control: receive, then for each layer initialize, scan, fire; then send."""

from amaranth import Module, Signal, unsigned
from amaranth.hdl import ValueLike
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.layouts import width_for

__all__ = ["Sequencer"]


class Sequencer(wiring.Component):
    """Runs the program once for each frame.

    For each layer: initialize the membranes; then rounds of (scan every connection, fire), one round,
    or T rounds where the instruction says ``per_step``. Overhead: 4 cycles a connection and round, 1 a
    round, 1 a layer.

    Parameters
    ----------
    instructions, layers, steps : int
        Program length, layers, T.
    settings : StructLayout or None
        Of a core whose networks are loaded: those numbers are the largest then, and the network's own come with it.
    external : bool
        Weights come from external memory: a scan waits for its own.

    Members
    -------
    instruction : Out, address in the program memory; the decoded members come back two cycles later
    step : Out, time step of the round; ``layer``: Out, index of the layer
    store : Out, one cycle, the layer's counters are final
    load_done : In, one cycle, a network was loaded; ``send_loaded``: Out, to say so
    weights_ready : In, those of the instruction are there; ``scanned``: Out, one cycle, they are not needed any more
    weights_spoilt : In, with ``weights_ready``, but they are not what memory holds; ``abandon``: Out, one cycle, the frame is
        given up with an error
    waiting : Out, for the weights of the instruction; ``weights_late``: In, in vain: the frame is given up too
    """

    def __init__(
        self,
        *,
        instructions: int,
        layers: int,
        steps: int,
        settings: data.StructLayout | None = None,
        external: bool = False,
    ):
        self._instructions, self._steps, self._loaded = instructions, steps, settings is not None
        self._external = external
        load = {} if settings is None else {"settings": In(settings), "load_done": In(1), "send_loaded": Out(1)}
        super().__init__(
            {
                "accept": Out(1),
                "frame_done": In(1),
                "frame_failed": In(1),
                "instruction": Out(unsigned(width_for(instructions - 1))),
                "first": In(1),
                "last": In(1),
                "sweep": In(1),
                "per_step": In(1),
                "engines_busy": In(1),
                "initialize": Out(1),
                "scan": Out(1),
                "fire": Out(1),
                "step": Out(unsigned(width_for(steps))),
                "layer": Out(unsigned(width_for(layers - 1))),
                "store": Out(1),
                "send_result": Out(1),
                "send_error": Out(1),
                "sender_busy": In(1),
                **load,
                **({name: In(1) for name in ("weights_ready", "weights_spoilt", "weights_late")} if external else {}),
                **({name: Out(1) for name in ("scanned", "abandon", "waiting")} if external else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layer_start = Signal.like(self.instruction)
        last_step: ValueLike = self._steps - 1
        last_instruction: ValueLike = self._instructions - 1
        if self._loaded:
            last_step, last_instruction = self.settings.last_step, self.settings.last_instruction
        with m.FSM():
            with m.State("RECEIVE"):
                m.d.comb += self.accept.eq(1)
                m.d.sync += [self.instruction.eq(0), self.layer.eq(0), layer_start.eq(0), self.step.eq(0)]
                with m.If(self.frame_done):
                    m.next = "FETCH"
                with m.Elif(self.frame_failed):
                    m.d.comb += self.send_error.eq(1)
                    m.next = "SENDING"
                if self._loaded:
                    with m.Elif(self.load_done):
                        m.d.comb += self.send_loaded.eq(1)
                        m.next = "SENDING"
            with m.State("FETCH"):
                m.next = "READ"
            with m.State("READ"):
                m.next = "DECODE"
            with m.State("DECODE"):
                m.next = "START SCAN"
                with m.If(self.first & (self.step == 0)):
                    m.d.comb += self.initialize.eq(1)
                    m.next = "INITIALIZE"
            with m.State("INITIALIZE"), m.If(~self.engines_busy):
                m.next = "START SCAN"
            with m.State("START SCAN"):
                if self._external:
                    m.d.comb += self.waiting.eq(1)
                    with m.If(self.weights_ready & self.weights_spoilt):
                        m.d.comb += [self.abandon.eq(1), self.send_error.eq(1)]
                        m.next = "SENDING"
                    with m.Elif(self.weights_ready):
                        m.d.comb += self.scan.eq(1)
                        m.next = "SCAN"
                    with m.Elif(self.weights_late):
                        m.d.comb += [self.abandon.eq(1), self.send_error.eq(1)]
                        m.next = "SENDING"
                else:
                    m.d.comb += self.scan.eq(1)
                    m.next = "SCAN"
            with m.State("SCAN"), m.If(~self.engines_busy):
                if self._external:
                    m.d.comb += self.scanned.eq(1)
                with m.If(~self.last):
                    m.d.sync += self.instruction.eq(self.instruction + 1)
                    m.next = "FETCH"
                with m.Elif(self.sweep):
                    m.d.comb += self.fire.eq(1)
                    m.next = "FIRE"
                with m.Else():
                    m.next = "ROUND"
            with m.State("FIRE"), m.If(~self.engines_busy):
                m.next = "ROUND"
            with m.State("ROUND"):
                with m.If(self.per_step & (self.step != last_step)):
                    m.d.sync += [self.step.eq(self.step + 1), self.instruction.eq(layer_start)]
                    m.next = "FETCH"
                with m.Else():
                    m.next = "STORE"
            with m.State("STORE"):
                m.d.comb += self.store.eq(1)
                m.d.sync += [
                    self.step.eq(0),
                    self.layer.eq(self.layer + 1),
                    self.instruction.eq(self.instruction + 1),
                    layer_start.eq(self.instruction + 1),
                ]
                m.next = "FETCH"
                with m.If(self.instruction == last_instruction):
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += self.send_result.eq(1)
                m.next = "SENDING"
            with m.State("SENDING"), m.If(~self.sender_busy):
                m.next = "RECEIVE"
        return m
