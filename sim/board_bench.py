"""The cocotb bench of a whole board: the host's own code talks to its pins.

The job folder comes in ``SPIKELOOM_JOB``: ``frames.npy`` (uint8 [N, C, H, W], or int8 spikes [N, T, C, H, W]) and ``job.json`` (``bit_ns``, ``clock_ps``,
``timeout`` in seconds of simulated time, ``attempts``, ``steps``, and for spikes the members of their ``packing``). A step is a list: its name and arguments.

``connect``: the board's identity; ``load`` FILE: a load packet, uint32 in a ``.npy`` of the job's folder, its answer the
board's identity with that network; ``classify`` IMAGE [FILE]: a result packet's words, the image
one of another file if it is named; ``lose`` PLACE, ``change`` PLACE: what the next
message to the board suffers; ``baud`` FACTOR: the host's bits are so many times as long from now on; ``lights``, ``hold``
and ``release`` (the button). The bench leaves ``told.json`` there: what each step gave, or
``{"error": …}`` with the message that a user would read, and the host's repeats.
"""

import json
import os
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.handle import HierarchyObject
from cocotb.triggers import Timer

from hdl.packing import SpikePacking
from sim.serial_line import SerialLine
from toolchain.errors import SpikeloomError
from toolchain.host import Host

__all__ = ["talk"]


def _job() -> Path:
    return Path(os.environ["SPIKELOOM_JOB"])


def _spoil_next(line: SerialLine, kind: str, place: int) -> None:
    def spoil(data: bytes) -> bytes:
        if len(data) <= place:
            return data
        line.spoil = lambda data: data
        changed = b"" if kind == "lose" else bytes([data[place] ^ 0x20])
        return data[:place] + changed + data[place + 1 :]

    line.spoil = spoil


async def _step(
    dut: Any, line: SerialLine, host: Host, frames: np.ndarray, options: dict[str, Any], step: list[Any]
) -> Any:
    name, *arguments = step
    bit_ns, given = options["bit_ns"], options.get("packing")
    packing = None if given is None else SpikePacking(**{**given, "shape": tuple(given["shape"])})
    if name == "connect":
        return vars(await line.converse(host.connect()))
    if name == "classify":
        image, *file = arguments
        chosen = np.load(_job() / file[0]) if file else frames
        return (await line.converse(host.classify(chosen[image], packing)))[1]
    if name == "load":
        return vars(await line.converse(host.load(np.load(_job() / arguments[0]).tolist())))
    if name in ("lose", "change"):
        _spoil_next(line, name, *arguments)
        return None
    if name == "baud":
        line.sending_ns = line.receiving_ns = bit_ns * arguments[0]
        return None
    if name == "lights":
        return int(dut.lights.value)
    dut.button.value = int(name == "hold")
    await Timer(100, "us")
    return None


@cocotb.test()
async def talk(dut: HierarchyObject) -> None:
    """Do every step."""
    job = _job()
    options = json.loads((job / "job.json").read_text())
    frames = np.load(job / "frames.npy")
    host = Host(timeout=options["timeout"], attempts=options["attempts"])
    dut.button.value = 0
    line = SerialLine(dut.rx, dut.tx, options["bit_ns"])
    Clock(dut.clk, options["clock_ps"], unit="ps").start(start_high=False)
    await Timer(100, "us")  # the board's reset after power-on
    told: list[Any] = []
    for step in options["steps"]:
        try:
            told.append(await _step(dut, line, host, frames, options, step))
        except SpikeloomError as error:
            told.append({"error": str(error)})
    (job / "told.json").write_text(json.dumps({"told": told, "repeats": host.repeats}))
