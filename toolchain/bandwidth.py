"""Whether lanes wait for weights that come from external memory: for which layers, how long, and what bandwidth they ask for."""

import numpy as np

from hdl.tiles import TiledProgram
from toolchain.cycles import cycles, instruction_scans
from toolchain.timeline import LATENCY, Waiting, time_line
from toolchain.trace import SpikeTrace

__all__ = ["waiting"]


def waiting(program: TiledProgram, frames: np.ndarray, trace: SpikeTrace, *, latency: int = LATENCY) -> Waiting:
    """Waits of a core, from the scans of ``frames`` (uint8 ``[N, C, H, W]``, or int8 spikes ``[N, T, C, H, W]``) and their ``trace``.

    The time line is that of ``toolchain.timeline``, with the mean of the frames.

    Raises
    ------
    InvalidValue
        As ``toolchain.cycles.cycles``.
    """
    network = program.network
    spent = cycles(network, frames, trace, program.lanes, program)
    scans = instruction_scans(network, frames, trace, program).mean(axis=0)
    return time_line(
        program,
        scans.tolist(),
        spent.initialization.mean(axis=0).tolist(),
        spent.fire.mean(axis=0).tolist(),
        sending=float(spent.sending.mean()),
        cycles=float(spent.total.mean()),
        latency=latency,
    )
