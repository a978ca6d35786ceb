"""Several networks after one another in one core: what is sent, and what must come back."""

from collections.abc import Iterable, Sequence

import numpy as np

from hdl.capacity import Capacity
from hdl.program import Program
from sim import golden
from sim.comparison import Comparison, Difference
from sim.packets import input_packet
from toolchain.cycles import cycles
from toolchain.ir import FixedPointNetwork
from toolchain.loading import load_packet, loaded_answer

__all__ = ["differences", "loads_and_frames", "packets_of"]


def packets_of(network: FixedPointNetwork, frames: np.ndarray, lanes: int) -> list[list[int]]:
    """The packets of a network's frames, pixels or spikes."""
    program = Program(network, lanes)
    return [input_packet(frame, program) for frame in frames]


def loads_and_frames(
    networks: Sequence[FixedPointNetwork], frames: Sequence[np.ndarray], capacity: Capacity
) -> list[list[int]]:
    """For each network its load packet, then its frames."""
    return [
        packet
        for network, images in zip(networks, frames, strict=True)
        for packet in (load_packet(network, capacity).tolist(), *packets_of(network, images, capacity.lanes))
    ]


def differences(
    networks: Sequence[FixedPointNetwork],
    frames: Sequence[np.ndarray],
    lanes: int,
    packets: Sequence[Sequence[int]],
    spikes: Iterable[tuple[int, int, int, int, int]],
) -> list[Difference]:
    """Between the answers to ``loads_and_frames`` and the models: spikes, scores, counters, cycles."""
    words = list(spikes)
    found: list[Difference] = []
    first = 0
    for network, images in zip(networks, frames, strict=True):
        trace = golden.run(network, images, "spikes")
        comparison = Comparison(network, lanes, trace, cycles(network, images, trace, lanes))
        comparison.loaded(packets[first : first + 1], loaded_answer(network))
        comparison.results(packets[first + 1 : first + 1 + len(images)])
        own = range(first + 1, first + 1 + len(images))
        comparison.spikes((answered - own.start, *rest) for answered, *rest in words if answered in own)
        found += comparison.differences
        first = own.stop
    return found
