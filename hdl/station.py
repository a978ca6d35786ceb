"""The core with its serial link and its lights: all of a board that is not the board's own."""

from amaranth import Module, ResetInserter, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.core import Core
from hdl.host import PacketType, result_words
from hdl.layouts import width_for
from hdl.link import LINK_VERSION, HostLink
from hdl.uart import clock_divisor

__all__ = ["Station"]


class Station(wiring.Component):
    """A core behind a serial line, 8N1, with the packets of ``hdl.link``.

    Latency of an image: its bytes on the line, the core's cycles, the answer's bytes; 10 bits a byte.

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
        assert core.program is not None
        network = core.program.network
        self._classes = network.shapes[-1][0]
        self._divisor = clock_divisor(clock_hz, baud)
        self._identity = (
            LINK_VERSION,
            int(network.fingerprint[:8], 16),
            *network.input_shape,
            self._classes,
            len(network.layers),
            network.time_steps,
            core.sizes.lanes,
            clock_hz,
            baud,
        )
        super().__init__(
            {
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "busy": Out(1),
                "refused": Out(1),
                "prediction": Out(unsigned(width_for(self._classes - 1))),
            }
        )

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
        where = 2 + self._classes
        place = Signal(range(where + 2))  # stops behind it
        result = Signal()
        header = result_words(self._classes, self.core.sizes.layers) | PacketType.RESULT << 24
        word = link.answer.payload
        with m.If(link.answer.valid & link.answer.ready):
            with m.If(word.last):
                m.d.sync += place.eq(0)
            with m.Elif(place <= where):
                m.d.sync += place.eq(place + 1)
            with m.If(place == 0):
                m.d.sync += result.eq(word.data == header)
            with m.If((place == where) & result):
                m.d.sync += self.prediction.eq(word.data)
