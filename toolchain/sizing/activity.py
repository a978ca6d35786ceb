"""Cycles of an image that are to be expected from how often neurons fire, without running a network."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from hdl.program import ChannelRange, Program
from hdl.tiles import TiledProgram
from toolchain.connection import Connection
from toolchain.errors import InvalidValue
from toolchain.geometry import axis_taps
from toolchain.ir import INPUT

__all__ = ["USUAL", "Activity", "expected_cycles", "expected_scans", "passes", "sending"]


@dataclass(frozen=True)
class Activity:
    """Shares, 0 to 1, each the same for all places and layers.

    Members
    -------
    spikes : of neurons that fire in a time step, and of places of a frame of spikes
    pixels : of pixels that are not 0; a pixel that is not 0 has half of its bits, and of ``rate`` spikes in half of the steps
    """

    spikes: float
    pixels: float

    def __post_init__(self) -> None:
        for name, value in (("spikes", self.spikes), ("pixels", self.pixels)):
            if not 0 <= value <= 1:
                raise InvalidValue(f"share of {name} is {value:g}, must be 0 to 1")


_EMPTYING = 17
"""Cycles from the last event that the scanner finds to the end of its scan, where the synapse engine is not behind."""
USUAL = Activity(0.15, 0.5)
"""Where nothing is known: near what the bundled networks show at T = 4."""


_Reached = Callable[[int], ChannelRange]
"""The words that a source channel reaches."""


def _service(program: Program, connection: Connection, reached: _Reached) -> tuple[float, float]:
    """Mean cycles that an event of a source neuron occupies the synapse engine, and the share of neurons that reach any synapse."""
    source = program.network.source_shape(connection)
    rows, columns = (axis_taps(connection, source, axis).count for axis in (0, 1))
    different = source[0] if connection.groups > 1 else 1  # channels that may reach other words than the first
    words = np.array([1 + reached(channel).words for channel in range(different)])
    return (
        float(words.mean() * rows.mean() * columns.mean()),
        float((rows > 0).mean() * (columns > 0).mean()),
    )


def _scan(
    program: Program, connection: Connection, reached: _Reached, activity: Activity, *, per_step: bool, rescans: bool
) -> float:
    """Cycles of the scans of one instruction, all rounds together; ``rescans``: of the whole frame in each."""
    network, lanes, steps = program.network, program.lanes, program.steps
    channels, height, width = connection.reduced(network.source_shape(connection))
    service, reaching = _service(program, connection, reached)
    if connection.source == INPUT and program.packing is None:
        repeats = steps if network.input == "rate" else 1
        each = activity.pixels * {"direct": 1.0, "bitplane": 4.0, "rate": 0.5}[network.input]
        words = channels * height * width * repeats
        walked = words * max(1.0, each * reaching + 1 - activity.pixels)
        events = words * each
    else:
        words = program.groups(channels) * height * width * steps
        here = channels / program.groups(channels)  # neurons in a word, of its lanes
        taps = 1 if connection.maximum is None else connection.maximum.taps
        firing = activity.spikes if taps == 1 else 1 - (1 - activity.spikes) ** taps  # any of a window
        walked = words * (here * firing * reaching + (1 - firing * reaching) ** min(here, lanes) + taps - 1)
        events = channels * height * width * steps * firing
    rounds = steps if per_step else 1
    if rescans:
        walked, events = steps * walked, steps * events
    return float(max(walked, events * service) + _EMPTYING * rounds)


def _parts(program: Program) -> list[tuple[int, Connection, _Reached]]:
    """Layer, connection and reach of each instruction."""
    if isinstance(program, TiledProgram):
        return [(tile.layer, tile.connection, partial(program.tile_range, tile)) for tile in program.tiles]
    return [
        (index, c, partial(program.channel_range, c))
        for index, layer in enumerate(program.network.layers)
        for c in layer.connections
    ]


def expected_scans(program: Program, activity: Activity) -> list[float]:
    """Cycles of the scans of each instruction, all rounds together: as long as the scanner or the synapse engine takes, whichever has
    more to do. What the queue between them costs is left out.
    """
    return [
        _scan(
            program,
            connection,
            reached,
            activity,
            per_step=bool(instruction.per_step),
            rescans=program.network.rescans(program.network.layers[index]),
        )
        for (index, connection, reached), instruction in zip(_parts(program), program.instructions, strict=True)
    ]


def passes(program: Program) -> tuple[list[float], list[float], list[float]]:
    """Cycles of each layer's initialization, firing over all rounds, and control; exact."""
    initialization, fire, control = [], [], []
    layers = [layer for layer, _, _ in _parts(program)]
    for index in range(len(program.network.layers)):
        instruction = program.instructions[layers.index(index)]
        firings = 2 * program.steps - 1 if instruction.leak else program.steps
        rounds, firings = (program.steps, 1) if instruction.per_step else (1, firings)
        words = instruction.words * program.states(index)
        initialization.append(float(words + 3))
        fire.append(float(rounds * (words * firings + 5) if instruction.sweep else 0))
        control.append(float(rounds * (4 * layers.count(index) + 1) + 1))
    return initialization, fire, control


def expected_cycles(program: Program, activity: Activity, scans: list[float] | None = None) -> float:
    """Cycles of an image, receiving and sending included, as ``toolchain.cycles`` counts them, of such activity; estimated.

    Initialization, firing, control and sending are exact, scans are those of ``expected_scans``, which whoever has them may give; weights are never
    waited for.
    """
    spent = sum(expected_scans(program, activity) if scans is None else scans) + sum(map(sum, passes(program)))
    return spent + program.receiving + sending(program)


def sending(program: Program) -> float:
    """Cycles of the result's packet."""
    classes = program.network.shapes[-1][0]
    return float(4 + 3 * program.groups(classes) + 2 * classes + 10 * len(program.network.layers))
