"""Clock cycles of the core, exactly: what its cycle counters will tell, from spike trains alone.

A layer takes initialization + control + scans + fire passes, in cycles, with W neuron words
(``H·W·⌈C / P⌉``) and R rounds, T where the layer fires after every step and otherwise 1:

- initialization: ``W + 3``.
- control: ``R·(4·connections + 1) + 1``, in each round fetch, read, decode and start of every connection
  and the round's end, then the storing of the counters.
- fire: ``R·(W·F + 5)``, F = 1 with rounds and otherwise T; nothing for a readout that is not swept.
- scan, for each connection and round: ``max(L + d, s + c) + 5``, without events ``L + 5``.
  ``L = Σ max(1, n)`` over the words of the source, n events each, none where no synapse is reached; d is how long the scanner was held
  back, s when the synapse engine took the last event and c how long that one occupies it.

An event occupies the engine for ``c = taps × groups`` cycles. Counted from the start of the scan, event i
leaves the scanner in cycle ``m_i`` and is taken by the engine in ``s_i``:

    s_i = max(m_i + 5, s_(i−1) + c_(i−1))
    m_i = first cycle t ≥ m_(i−1) + g_i with #{j < i: m_j ≤ t − 5} − #{j: s_j ≤ t − 2} ≤ 11

``g_i`` is 1 within a word, and between words 1 more for each word without events in between; ``m_0 = 5 + `` words
before it. The 5 are three pipeline stages and the FIFO's write and read; what stands in m's condition
is the FIFO's level a cycle ago, which lags 4 cycles behind the scanner and must leave room for 5 of 16 events.

The counter of an inference holds ``⌈pixels / 4⌉ + 3`` cycles more than its layers': header, frame, its completion, and the
order to send. Sending takes ``4 + 3·⌈classes / P⌉ + 2·classes + 10·layers`` after that.
"""

from dataclasses import dataclass, fields

import numpy as np

from hdl.program import Instruction, Program
from toolchain.connection import Connection
from toolchain.encoding import input_events, rate_numbers
from toolchain.errors import InvalidValue
from toolchain.geometry import axis_taps
from toolchain.ir import INPUT, FixedPointNetwork
from toolchain.trace import SpikeTrace

__all__ = ["CycleCounts", "cycles"]

_LATENCY = 5
"""Cycles from the scanner to the synapse engine, if both are free."""
_HELD = 12
"""An event waits until the one so many places before it, of those that the FIFO's level knows, was taken."""
_UNKNOWN = 4
"""Cycles before a decision in which events left the scanner that the FIFO's level does not know yet."""


@dataclass(frozen=True, eq=False)
class CycleCounts:
    """Cycles of each image, by what they are spent on.

    Members
    -------
    initialization, scan, fire, control : int64 [N, layers]
        Terms of each layer, as the module's docstring has them.
    receiving, sending : int64 [N]
        Frame in, until the first layer starts, and the order to send; result out. For streams that nobody stalls.
    """

    initialization: np.ndarray
    scan: np.ndarray
    fire: np.ndarray
    control: np.ndarray
    receiving: np.ndarray
    sending: np.ndarray

    @property
    def layers(self) -> np.ndarray:
        """The counter ``cycles`` of each layer, int64 ``[N, layers]``."""
        return self.initialization + self.scan + self.fire + self.control

    @property
    def total(self) -> np.ndarray:
        """The cycle counter of each inference, int64 ``[N]``: all but sending."""
        return self.layers.sum(axis=1) + self.receiving

    @property
    def latency(self) -> np.ndarray:
        """Cycles from a frame's first word to its result's last, both included, int64 ``[N]``."""
        return self.total + self.sending

    def breakdown(self) -> dict[str, float]:
        """Mean cycles of an image, by what they are spent on; their sum is the mean latency."""
        return {field.name: float(getattr(self, field.name).sum() / len(self.sending)) for field in fields(self)}


def cycles(network: FixedPointNetwork, frames: np.ndarray, trace: SpikeTrace, lanes: int) -> CycleCounts:
    """Cycles of uint8 frames ``[N, C, H, W]`` on a core of ``lanes`` lanes, equal to its counters (below 2^32).

    ``trace`` is theirs, with spikes (``record="spikes"``). Takes about half a microsecond for each event.

    Raises
    ------
    InvalidValue
        The trace belongs to another network or another number of frames, or holds no spikes; ``lanes`` out of range.
    """
    if trace.fingerprint != network.fingerprint or trace.spikes is None or len(trace.scores) != len(frames):
        raise InvalidValue("cycles need a trace of this network and these frames with record='spikes'")
    program = Program(network, lanes)
    instructions = iter(program.instructions)
    shape = (len(frames), len(network.layers))
    initialization, scan, fire, control = (np.zeros(shape, np.int64) for _ in range(4))
    sources = _sources(network, frames, trace.spikes)
    for index, layer in enumerate(network.layers):
        for connection in layer.connections:
            instruction = next(instructions)
            service = _service(network, connection, instruction)
            for image, given in enumerate(sources[connection.source]):
                words = _words(given, 1 if connection.source == INPUT else lanes, bool(instruction.per_step))
                scan[image, index] += sum(_scan(part, service) for part in words)
        rounds, firings = (program.steps, 1) if instruction.per_step else (1, program.steps)
        initialization[:, index] = instruction.words + 3
        control[:, index] = rounds * (4 * len(layer.connections) + 1) + 1
        fire[:, index] = rounds * (instruction.words * firings + 5) if instruction.sweep else 0
    classes = network.shapes[-1][0]
    sending = 4 + 3 * program.groups(classes) + 2 * classes + 10 * len(network.layers)
    ends = (np.full(len(frames), duration, np.int64) for duration in (-(-program.pixels // 4) + 3, sending))
    return CycleCounts(initialization, scan, fire, control, *ends)


def _sources(network: FixedPointNetwork, frames: np.ndarray, spikes: tuple[np.ndarray, ...]) -> dict[int, np.ndarray]:
    """What the scanner reads of each source, ``[N, repeats, C, H, W]``: spikes, or events of each pixel."""
    firing = [index for index, layer in enumerate(network.layers) if layer.threshold is not None]
    arriving = frames[:, None]
    events = arriving > rate_numbers(network) if network.input == "rate" else input_events(network, arriving)
    return {INPUT: events, **dict(zip(firing, spikes, strict=True))}


def _service(network: FixedPointNetwork, connection: Connection, instruction: Instruction) -> np.ndarray:
    """Cycles in which an event occupies the synapse engine, taps × groups, int64 ``[H, W]``; 0 reaches nothing."""
    rows, columns = (axis_taps(connection, network.source_shape(connection), axis).count for axis in (0, 1))
    return np.multiply.outer(rows, columns) * instruction.groups


def _words(given: np.ndarray, lanes: int, per_step: bool) -> np.ndarray:
    """Events of each word that the scanner reads, in its order, int64 ``[rounds, H, W, groups · repeats]``.

    ``given`` is one image of a source.
    """
    _, channels, height, width = given.shape
    words = np.add.reduceat(np.abs(given), np.arange(0, channels, lanes), axis=1, dtype=np.int64)
    if per_step:
        return words.transpose(0, 2, 3, 1)
    return words.transpose(2, 3, 1, 0).reshape(1, height, width, -1)


def _scan(words: np.ndarray, service: np.ndarray) -> int:
    """Cycles of one scan, from ``[H, W, words]`` events of each word and ``[H, W]`` cycles of an event."""
    events = np.where(service[:, :, None] > 0, words, 0).ravel()
    slots = np.maximum(events, 1)
    length = int(slots.sum())
    count = int(events.sum())
    if not count:
        return length + 5
    # cycle of each event in a scanner that nothing holds back
    lead = np.cumsum(slots) - slots - (np.cumsum(events) - events)
    unheld = 5 + np.repeat(lead, events) + np.arange(count)
    costs = np.repeat(np.repeat(service, words.shape[2]), events)
    last, free = _queue(np.diff(unheld, prepend=0).tolist(), costs.tolist())
    return max(length + last - int(unheld[-1]), free) + 5


def _queue(gaps: list[int], costs: list[int]) -> tuple[int, int]:
    """When the last event leaves the scanner and when the synapse engine has done with it."""
    taken = [-1] * _HELD  # event i is entry i + _HELD
    left = [0] * _UNKNOWN  # when the last events left the scanner
    free = 0
    for number, (gap, cost) in enumerate(zip(gaps, costs, strict=True)):
        now = left[-1] + gap
        if taken[number] >= now - 1:  # held back, unless the level does not know all the events before
            while (leaves := taken[number - sum(cycle >= now - _UNKNOWN for cycle in left)]) >= now - 1:
                now = leaves + 2
        left = [*left[1:], now]
        taken.append(max(now + _LATENCY, free))
        free = taken[-1] + cost
    return left[-1], free
