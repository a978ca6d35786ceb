"""Cycles of an image that are to be expected from how often neurons fire, without running a network."""

from dataclasses import dataclass

import numpy as np

from hdl.program import Program
from toolchain.connection import Connection
from toolchain.errors import InvalidValue
from toolchain.geometry import axis_taps
from toolchain.ir import INPUT

__all__ = ["USUAL", "Activity", "expected_cycles"]


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


def _service(program: Program, connection: Connection) -> tuple[float, float]:
    """Mean cycles that an event of a source neuron occupies the synapse engine, and the share of neurons that reach any synapse."""
    source = program.network.source_shape(connection)
    rows, columns = (axis_taps(connection, source, axis).count for axis in (0, 1))
    different = source[0] if connection.groups > 1 else 1  # channels that may reach other words than the first
    words = np.array([1 + program.channel_range(connection, channel).words for channel in range(different)])
    return (
        float(words.mean() * rows.mean() * columns.mean()),
        float((rows > 0).mean() * (columns > 0).mean()),
    )


def _scan(program: Program, connection: Connection, activity: Activity, *, per_step: bool) -> float:
    """Cycles of the scans of one connection, all rounds together."""
    network, lanes, steps = program.network, program.lanes, program.steps
    channels, height, width = connection.reduced(network.source_shape(connection))
    service, reaching = _service(program, connection)
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
    return float(max(walked, events * service) + _EMPTYING * rounds)


def expected_cycles(program: Program, activity: Activity) -> float:
    """Cycles of an image, receiving and sending included, as ``toolchain.cycles`` counts them, of such activity; estimated.

    Initialization, firing and control are exact; a scan takes as long as the scanner or the synapse engine, whichever has more to
    do. What the queue between them costs is left out.
    """
    network, steps = program.network, program.steps
    instructions = iter(program.instructions)
    spent = 0.0
    for layer in network.layers:
        for connection in layer.connections:
            instruction = next(instructions)
            spent += _scan(program, connection, activity, per_step=bool(instruction.per_step))
        rounds, firings = (steps, 1) if instruction.per_step else (1, steps)
        spent += instruction.words + 3 + rounds * (4 * len(layer.connections) + 1) + 1
        spent += rounds * (instruction.words * firings + 5) if instruction.sweep else 0
    classes = network.shapes[-1][0]
    spent += program.receiving
    return spent + 4 + 3 * program.groups(classes) + 2 * classes + 10 * len(network.layers)
