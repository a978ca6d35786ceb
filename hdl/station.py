"""The core with its serial link and its lights: all of a board that is not the board's own."""

from collections.abc import Sequence

from amaranth import Module, Mux, ResetInserter, Signal, unsigned
from amaranth.hdl import ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.core import Core
from hdl.host import PacketType
from hdl.layouts import width_for
from hdl.link import LINK_VERSION, HostLink
from hdl.uart import clock_divisor

__all__ = ["Station"]


class Station(wiring.Component):
    """A core behind a serial line, 8N1, with the packets of ``hdl.link``.

    Latency of an image: its bytes on the line, the core's cycles, the answer's bytes; 10 bits a byte. A network that was loaded stays
    when a packet comes in damaged, which resets all else of the core, and is forgotten by the domain's reset.

    Parameters
    ----------
    core : Core
    clock_hz : int
        Of the domain that all of this runs in.
    baud : int

    Members
    -------
    rx : In, the line from the host, asynchronous; tx : Out, the line to it
    busy : Out, the core owes an answer
    refused : Out, the last answer was an error
    prediction : Out, the class in the last result

    Raises
    ------
    InvalidValue
        The clock cannot make that baud.
    """

    def __init__(self, core: Core, *, clock_hz: int, baud: int):
        self.core = core
        self._classes = core.sizes.classes
        self._divisor = clock_divisor(clock_hz, baud)
        network_id, *shape = self._held()
        self._identity = (LINK_VERSION, network_id, *shape, core.sizes.lanes, clock_hz, baud)
        super().__init__(
            {
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "busy": Out(1),
                "refused": Out(1),
                "prediction": Out(unsigned(width_for(self._classes - 1))),
            }
        )

    def _held(self) -> Sequence[ValueLike]:
        """Words of the identity about the network: the one in ROM, or the one that was loaded last."""
        core, settings = self.core, self.core.settings
        if settings is not None:
            numbers = (settings.pixels, settings.last_class + 1, settings.last_layer + 1, settings.time_steps)
            network_id, pixels, *others = (
                Mux(settings.loaded, number, 0) for number in (settings.network_id, *numbers)
            )
            return (network_id, 0, 0, pixels, *others)
        assert core.program is not None
        network = core.program.network
        layers, steps = len(network.layers), network.time_steps
        return (int(network.fingerprint[:8], 16), *network.input_shape, self._classes, layers, steps)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        core = self.core
        m.submodules.link = link = HostLink(divisor=self._divisor, identity=self._identity)
        m.submodules.core = ResetInserter(link.reset_core)(core)
        m.d.comb += [
            link.rx.eq(self.rx),
            self.tx.eq(link.tx),
            self.busy.eq(link.busy),
            self.refused.eq(link.refused),
            core.s_axis_tdata.eq(link.request.payload.data),
            core.s_axis_tlast.eq(link.request.payload.last),
            core.s_axis_tvalid.eq(link.request.valid),
            link.request.ready.eq(core.s_axis_tready),
            link.answer.payload.data.eq(core.m_axis_tdata),
            link.answer.payload.last.eq(core.m_axis_tlast),
            link.answer.valid.eq(core.m_axis_tvalid),
            core.m_axis_tready.eq(link.answer.ready),
        ]
        self._watch_prediction(m, link)
        return m

    def _watch_prediction(self, m: Module, link: HostLink) -> None:
        """Keep the class out of every result packet that passes."""
        settings = self.core.settings
        where: ValueLike = 2 + self._classes
        if settings is not None:
            where = settings.last_class + 3
        place = Signal(range(self._classes + 4))  # stops behind it
        result = Signal()
        word = link.answer.payload
        with m.If(link.answer.valid & link.answer.ready):
            with m.If(word.last):
                m.d.sync += place.eq(0)
            with m.Elif(place <= where):
                m.d.sync += place.eq(place + 1)
            with m.If(place == 0):
                m.d.sync += result.eq(word.data[24:] == PacketType.RESULT)
            with m.If((place == where) & result):
                m.d.sync += self.prediction.eq(word.data)
