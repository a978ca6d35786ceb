"""LiteX module around $core.v in this folder; needs litex and migen.

Network $name, fingerprint $fingerprint. One frame packet of $frame_words words goes into ``sink``, one answer of
$result_words words (2 for an error) comes out of ``source``, ``last`` with the last word of each; see ports.json.
In a SoC with a system bus, for example:

    from litex.soc.cores.dma import WishboneDMAReader, WishboneDMAWriter
    self.spikeloom = Spikeloom(platform)
    self.frames = WishboneDMAReader(wishbone.Interface(), endianness="big", with_csr=True)
    self.results = WishboneDMAWriter(wishbone.Interface(), endianness="big", with_csr=True)
    self.comb += self.frames.source.connect(self.spikeloom.sink), self.spikeloom.source.connect(self.results.sink)
    self.bus.add_master(master=self.frames.bus)
    self.bus.add_master(master=self.results.bus)
"""

from pathlib import Path

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import ClockSignal, Instance, ResetSignal

__all__ = ["FRAME_WORDS", "RESULT_WORDS", "Spikeloom"]

FRAME_WORDS = $frame_words
RESULT_WORDS = $result_words


class Spikeloom(LiteXModule):
    """The core with a stream endpoint each way, 32-bit ``data``, in the clock domain ``sys``."""

    def __init__(self, platform):
        self.sink = stream.Endpoint([("data", 32)])
        self.source = stream.Endpoint([("data", 32)])
        self.specials += Instance(
            "$core",
            i_clk=ClockSignal("sys"),
            i_rst=ResetSignal("sys"),
            i_s_axis_tdata=self.sink.data,
            i_s_axis_tvalid=self.sink.valid,
            o_s_axis_tready=self.sink.ready,
            i_s_axis_tlast=self.sink.last,
            o_m_axis_tdata=self.source.data,
            o_m_axis_tvalid=self.source.valid,
            i_m_axis_tready=self.source.ready,
            o_m_axis_tlast=self.source.last,
        )
        platform.add_source(str(Path(__file__).resolve().parent / "$core.v"))
