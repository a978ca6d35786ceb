"""Cocotb test bench of spikeloom_core; needs cocotb and this folder, nothing else.

The frames of vectors.json go in one after the other (before them the network, if the core's memories are loaded), and every answer is compared word by word with what the
bit-exact integer model expects: scores, prediction, and each layer's events, synaptic operations and spikes.
Cycle counters are null there, because the model knows no clock. python run.py runs it; see ports.json for the packets.
"""

import json
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, ReadOnly, RisingEdge, with_timeout

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())
PERIOD_NS = 10

# Signals are driven on falling edges and read in the read-only phase behind them: what is seen there is
# what the next rising edge takes.


async def send(dut: Any, words: list[int]) -> None:
    """Send one packet, its last word with tlast."""
    for place, word in enumerate(words):
        await FallingEdge(dut.clk)
        dut.s_axis_tdata.value = word
        dut.s_axis_tlast.value = int(place == len(words) - 1)
        dut.s_axis_tvalid.value = 1
        await ReadOnly()
        while not dut.s_axis_tready.value:
            await RisingEdge(dut.s_axis_tready)
            await FallingEdge(dut.clk)
            await ReadOnly()
    await FallingEdge(dut.clk)
    dut.s_axis_tvalid.value = 0


async def receive(dut: Any) -> list[int]:
    """Receive one packet; tready is always high."""
    words: list[int] = []
    while True:
        if not dut.m_axis_tvalid.value:
            await RisingEdge(dut.m_axis_tvalid)
        await FallingEdge(dut.clk)
        await ReadOnly()
        if dut.m_axis_tvalid.value:
            words.append(int(dut.m_axis_tdata.value))
            if dut.m_axis_tlast.value:
                return words


@cocotb.test()
async def every_answer_is_exact(dut: Any) -> None:
    """Frames in, results out, word for word."""
    dut.s_axis_tvalid.value = dut.s_axis_tdata.value = dut.s_axis_tlast.value = 0
    dut.m_axis_tready.value = 1
    dut.rst.value = 1
    Clock(dut.clk, PERIOD_NS, unit="ns").start(start_high=False)
    await ClockCycles(dut.clk, 2, FallingEdge)
    dut.rst.value = 0
    for number, vector in enumerate(VECTORS["vectors"]):
        packet = vector.get("frame") or vector["load"]
        cocotb.start_soon(send(dut, packet))
        clocks = 2 * (VECTORS["longest_inference"] + len(packet))
        answer = await with_timeout(receive(dut), clocks * PERIOD_NS, "ns")
        expected = vector["answer"]
        assert len(answer) == len(expected), f"vector {number}: {len(answer)} words, expected {len(expected)}"
        for place, (seen, wanted) in enumerate(zip(answer, expected, strict=True)):
            assert wanted in (None, seen), f"vector {number}, word {place}: {seen:#x}, expected {wanted:#x}"
        told = (
            f"class {answer[VECTORS['prediction_at']]}, {answer[-1]} cycles" if "frame" in vector else "network loaded"
        )
        dut._log.info(f"vector {number}: {told}, all words exact")
