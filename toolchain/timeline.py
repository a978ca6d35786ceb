"""The time line of a core whose weights are external: when tiles are fetched and when their scans may begin. Plain numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hdl.tiles import TiledProgram

__all__ = ["LATENCY", "Waiting", "time_line"]

LATENCY = 64
"""Clocks from a request to its first beat that are assumed if nobody says otherwise."""
_OVERHEAD = 7
"""Clocks between a bank that is released and the next scan that may begin, beside latency and beats."""
_STEP = 4
"""Clocks of control between scans."""


@dataclass(frozen=True, eq=False)
class Waiting:
    """What an image waits for weights on an average frame, by a double buffer's time line: an estimate.

    Members
    -------
    data_bits, latency : int
        The port: bits a clock, clocks from a request to its first beat; a beat in every clock behind that.
    layers : dict of str to float
        Clocks that each layer waits, by name, of an image that follows another.
    cycles : float
        Clocks of an image that waits for nothing.
    read_bytes : int
        Bytes that an image reads.
    """

    data_bits: int
    latency: int
    layers: dict[str, float]
    cycles: float
    read_bytes: int

    @property
    def starving(self) -> tuple[str, ...]:
        """Layers that wait."""
        return tuple(name for name, clocks in self.layers.items() if clocks >= 0.5)

    @property
    def total(self) -> float:
        """Clocks that an image waits."""
        return sum(self.layers.values())

    def describe(self) -> dict[str, Any]:
        """As ``ports.json`` has it."""
        return {
            "status": "estimated",
            "data_bits": self.data_bits,
            "latency": self.latency,
            "wait_cycles": {name: round(clocks, 1) for name, clocks in self.layers.items()},
            "cycles_without_waiting": round(self.cycles, 1),
            "bytes_per_image": self.read_bytes,
        }

    def __str__(self) -> str:
        port = f"{self.data_bits} bits a clock, latency {self.latency}"
        if not self.starving:
            return f"estimated: no layer waits for weights at {port}"
        named = ", ".join(f"{name} {self.layers[name]:,.0f}" for name in self.starving)
        return (
            f"estimated at {port}: an image waits {self.total:,.0f} clocks for weights, {self.total / self.cycles:.1%} of its "
            f"{self.cycles:,.0f} without ({named})"
        )


def time_line(
    program: TiledProgram,
    scans: Sequence[float],
    initialization: Sequence[float],
    fire: Sequence[float],
    *,
    sending: float,
    cycles: float,
    latency: int = LATENCY,
) -> Waiting:
    """Walk two images in a row; the waits of the second count.

    The fetch of a tile begins when its bank's last scan is over and the fetch before it is done; a scan begins when its fetch is
    done. Scans of one instruction are taken as equally long in every step.

    Parameters
    ----------
    scans : clocks of the scans of each instruction, over all its rounds
    initialization, fire : clocks of each layer, fire over all its rounds
    sending, cycles : clocks of an image's result, and of all the rest of an image that waits for nothing
    """
    network = program.network
    layers = [0.0] * len(network.layers)
    beat_clocks = program.external.words_a_beat(program.word_bits)
    held: list[int | None] = [None, None]
    released, fetched, now, fetches, moved = [0.0, 0.0], 0.0, 0.0, 0, 0
    for _image in range(2):
        layers, moved = [0.0] * len(network.layers), 0
        now += float(program.receiving)
        place = 0
        for index in range(len(network.layers)):
            instructions = [n for n, tile in enumerate(program.tiles) if tile.layer == index]
            rounds = program.steps if program.instructions[place].per_step else 1
            now += initialization[index] + 2
            for _ in range(rounds):
                for number in instructions:
                    tile, bank = program.tiles[number], fetches % 2
                    begun = max(fetched, released[bank])
                    if held[bank] == number:
                        fetched = begun + _STEP
                    else:
                        moved += tile.beats
                        fetched = begun + _OVERHEAD + latency + tile.beats * beat_clocks
                    held[bank] = number
                    fetches += 1
                    now += _STEP
                    layers[index] += max(0.0, fetched - now)
                    now = max(now, fetched) + scans[number] / rounds
                    released[bank] = now
                now += fire[index] / rounds
            place += len(instructions)
        now += sending
    names = [layer.name for layer in network.layers]
    data_bits = program.external.data_bits
    return Waiting(data_bits, latency, dict(zip(names, layers, strict=True)), cycles, moved * data_bits // 8)
