"""AXI4-Stream agents for cocotb: one Python step for each word, none for each clock."""

import random
from collections.abc import Sequence

from cocotb.handle import HierarchyObject
from cocotb.simtime import get_sim_time
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge

__all__ = ["AxiStreamSink", "AxiStreamSource"]

# Agents drive on falling edges and look in the read-only phase behind them: what they see there is
# what the next rising edge takes, on every simulator.


class AxiStreamSource:
    """Sends packets of 32-bit words on ``s_axis_*``.

    ``stall`` is the chance that a word waits one more clock before it is offered.
    """

    def __init__(self, dut: HierarchyObject, stall: float, rng: random.Random):
        self._dut, self._stall, self._rng = dut, stall, rng
        dut.s_axis_tvalid.value = dut.s_axis_tdata.value = dut.s_axis_tlast.value = 0

    async def send(self, packet: Sequence[int]) -> int:
        """Send one packet; returns the simulation time (ns) of the clock edge before its first word went."""
        dut = self._dut
        begun = 0
        for place, word in enumerate(packet):
            await FallingEdge(dut.clk)
            while self._rng.random() < self._stall:
                dut.s_axis_tvalid.value = 0
                await FallingEdge(dut.clk)
            dut.s_axis_tdata.value = int(word)
            dut.s_axis_tlast.value = int(place == len(packet) - 1)
            dut.s_axis_tvalid.value = 1
            await ReadOnly()
            while not dut.s_axis_tready.value:
                await RisingEdge(dut.s_axis_tready)
                await FallingEdge(dut.clk)
                await ReadOnly()
            begun = begun or get_sim_time("ns")
        await FallingEdge(dut.clk)
        dut.s_axis_tvalid.value = 0
        return begun


class AxiStreamSink:
    """Takes packets from ``m_axis_*``; ``stall`` is the chance that ``tready`` is low in a clock."""

    def __init__(self, dut: HierarchyObject, stall: float, rng: random.Random):
        self._dut, self._stall, self._rng = dut, stall, rng
        dut.m_axis_tready.value = 1

    async def receive(self) -> tuple[list[int], int, int]:
        """One packet, and the times (ns) at which its first word was offered and its last word taken."""
        dut = self._dut
        words: list[int] = []
        offered = 0
        while True:
            if not dut.m_axis_tvalid.value:
                await RisingEdge(dut.m_axis_tvalid)
            await FallingEdge(dut.clk)
            dut.m_axis_tready.value = int(self._rng.random() >= self._stall)
            await ReadOnly()
            if not dut.m_axis_tvalid.value:
                continue
            offered = offered or get_sim_time("ns")
            if not dut.m_axis_tready.value:
                continue
            words.append(int(dut.m_axis_tdata.value))
            if dut.m_axis_tlast.value:
                return words, offered, get_sim_time("ns")
