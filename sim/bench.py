"""The cocotb bench: sends the packets of a job, keeps the answers; what they mean is the runner's business.

The job folder comes in ``SPIKELOOM_JOB``: ``packets.npz`` (``words`` uint32, ``lengths``), ``job.json``
(``stall``, ``seed``, ``patience``: clocks to wait for one answer). The bench leaves ``answers.npz`` there:
``words``, ``lengths``, ``elapsed`` clocks, and ``clocks`` ``[answers, 3]``: the clock in which the packet's
first word went in, the answer's first word was offered, its last word was taken. One byte is added to
``progress`` for each answer. A core that falls silent ends the exchange early.
"""

import json
import os
import random
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.handle import HierarchyObject
from cocotb.simtime import get_sim_time
from cocotb.triggers import ClockCycles, FallingEdge, SimTimeoutError, with_timeout

from sim.agents import AxiStreamSink, AxiStreamSource

__all__ = ["PERIOD_NS", "exchange"]

PERIOD_NS = 10


def _packets(job: Path) -> list[list[int]]:
    with np.load(job / "packets.npz") as file:
        ends = np.cumsum(file["lengths"])
        return [part.tolist() for part in np.split(file["words"], ends[:-1])]


@cocotb.test()
async def exchange(dut: HierarchyObject) -> None:
    """Send every packet and wait for as many answers."""
    job = Path(os.environ["SPIKELOOM_JOB"])
    options = json.loads((job / "job.json").read_text())
    packets = _packets(job)
    rng = random.Random(options["seed"])
    source = AxiStreamSource(dut, options["stall"], rng)
    sink = AxiStreamSink(dut, options["stall"], rng)
    dut.rst.value = 1
    # the first rising edge finds every input driven: simulators that know X stay free of it
    Clock(dut.clk, PERIOD_NS, unit="ns").start(start_high=False)
    await ClockCycles(dut.clk, 2, FallingEdge)
    dut.rst.value = 0
    sent: list[int] = []

    async def send_all() -> None:
        for packet in packets:
            sent.append(await source.send(packet))  # noqa: PERF401 (read while it grows)

    sender = cocotb.start_soon(send_all())
    answers, clocks = [], []
    with (job / "progress").open("ab", buffering=0) as progress:
        for index in range(len(packets)):
            try:
                words, offered, taken = await with_timeout(sink.receive(), options["patience"] * PERIOD_NS, "ns")
            except SimTimeoutError:
                break
            answers.append(words)
            clocks.append([time // PERIOD_NS for time in (sent[index] if index < len(sent) else 0, offered, taken)])
            progress.write(b".")
    sender.cancel()
    np.savez(
        job / "answers.npz",
        words=np.array([word for words in answers for word in words], np.uint32),
        lengths=np.array([len(words) for words in answers], np.int64),
        clocks=np.array(clocks, np.int64).reshape(-1, 3),
        elapsed=int(get_sim_time("ns")) // PERIOD_NS,
    )
