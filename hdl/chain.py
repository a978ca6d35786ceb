"""Several cores in a row, each with its own layers, joined by AXI4-Stream."""

from collections.abc import Sequence

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import Out

from hdl.chain_place import ChainPlace
from hdl.core import Core
from hdl.program import Program
from toolchain.ir import FixedPointNetwork
from toolchain.segments import segments

__all__ = ["Chain", "queue_words"]

_SPIKE_PORTS = ("valid", "layer", "step", "word", "bits")


def queue_words(program: Program, layers: int) -> int:
    """Words of a spike packet of ``program``'s core, ``layers`` layers after the chain's beginning: header to origin."""
    assert program.sent is not None
    return 1 + program.sent.words + 4 * layers + 1


class Chain(wiring.Component):
    """Cores that share a network's layers out among them: while one works on a frame, the next works on the one before.

    From outside it is one core: the same frame packets, error packets and results, in the same order, with
    the counters of all layers; ``cycles`` runs from the frame's header at the first core to the last core's order to
    send, waits between cores included. What passes from core to core is a spike packet, as ``hdl.packing`` has it,
    with the counters of all layers so far and the origin of time behind the spikes. A queue before every core but the
    first holds one whole packet, so that a core can begin its next frame before the one behind it has ended.

    Throughput: a frame in the cycles of the slowest core, from one header to the next: receiving, its layers, sending.
    Back-pressure: a core waits with its packet while the queue behind it is full; nothing is lost.

    Parameters
    ----------
    network : FixedPointNetwork
    lanes : int
        Of each core.
    cuts : sequence of int
        First layer of each core but the first.

    Members
    -------
    s_axis_*, m_axis_* : as of ``Core``
    spike{k}_valid, spike{k}_layer, spike{k}_step, spike{k}_word, spike{k}_bits : Out
        The spike words of core k, as of ``Core``; layers are those of the whole network.
    spike{k}_done : Out, one cycle, core k has sent its packet

    Raises
    ------
    InvalidValue
        Lanes out of range, or a place where the network cannot be cut.
    """

    def __init__(self, network: FixedPointNetwork, *, lanes: int, cuts: Sequence[int]):
        self.network = network
        self.cuts = tuple(cuts)
        identity = int(network.fingerprint[:8], 16)
        parts = segments(network, cuts)
        self.cores = tuple(
            Core(part, lanes=lanes, place=ChainPlace(before, identity))
            for part, before in zip(parts, (0, *cuts), strict=True)
        )
        self.loadable = False
        first = self.cores[0].signature.members
        ports = {name: first[name] for name in first if name.startswith(("s_axis_", "m_axis_"))}
        for number, core in enumerate(self.cores):
            ports |= {f"spike{number}_{name}": core.signature.members[f"spike_{name}"] for name in _SPIKE_PORTS}
            ports[f"spike{number}_done"] = Out(1)
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        first, last = self.cores[0], self.cores[-1]
        m.d.comb += [
            first.s_axis_tdata.eq(self.s_axis_tdata),
            first.s_axis_tvalid.eq(self.s_axis_tvalid),
            first.s_axis_tlast.eq(self.s_axis_tlast),
            self.s_axis_tready.eq(first.s_axis_tready),
            self.m_axis_tdata.eq(last.m_axis_tdata),
            self.m_axis_tvalid.eq(last.m_axis_tvalid),
            self.m_axis_tlast.eq(last.m_axis_tlast),
            last.m_axis_tready.eq(self.m_axis_tready),
        ]
        for number, core in enumerate(self.cores):
            m.submodules[f"core_{number}"] = core
            m.d.comb += [getattr(self, f"spike{number}_{n}").eq(getattr(core, f"spike_{n}")) for n in _SPIKE_PORTS]
            m.d.comb += getattr(self, f"spike{number}_done").eq(
                core.m_axis_tvalid & core.m_axis_tready & core.m_axis_tlast
            )
        for number, cut in enumerate(self.cuts):
            self._join(m, number, self.cores[number], self.cores[number + 1], cut)
        return m

    @staticmethod
    def _join(m: Module, number: int, before: Core, behind: Core, layers: int) -> None:
        """A queue of one packet between two cores."""
        assert before.program is not None
        queue = SyncFIFOBuffered(width=33, depth=queue_words(before.program, layers))
        m.submodules[f"queue_{number}"] = queue
        m.d.comb += [
            queue.w_data.eq(before.m_axis_tdata | before.m_axis_tlast << 32),
            queue.w_en.eq(before.m_axis_tvalid),
            before.m_axis_tready.eq(queue.w_rdy),
            behind.s_axis_tdata.eq(queue.r_data[:32]),
            behind.s_axis_tlast.eq(queue.r_data[32]),
            behind.s_axis_tvalid.eq(queue.r_rdy),
            queue.r_en.eq(behind.s_axis_tready),
        ]
