"""Clock cycles of the core, exactly: what its cycle counters will tell, from spike trains alone.

A layer takes initialization + control + scans + fire passes, in cycles, with W neuron words
(``H·W·⌈C / P⌉``) and R rounds, T where the layer fires after every step and otherwise 1:

- initialization: ``W + 3``; ``2·W + 3`` where the layer's current lasts.
- control: ``R·(4·connections + 1) + 1``, in each round fetch, read, decode and start of every connection
  and the round's end, then the storing of the counters.
- fire: ``R·(W·F + 5)``, F = 1 with rounds and otherwise T, or ``2·T − 1`` if the layer leaks: its firings are two cycles
  apart; ``R·(2·W + 5)`` where its current lasts; nothing for a readout that is not swept.
- scan, for each connection and round: ``max(L + d, s + c) + 5``, without events ``L + 5``.
  ``L = Σ max(1, n)`` over the words of the source, n events each, none where no synapse is reached; d is how long the scanner was held
  back, s when the synapse engine took the last event and c how long that one occupies it.

Behind max pooling a word of the source is one of a window: all but the last have ``n = 0``, the last has the events of their OR, and
``L`` counts every word of every window, those in the padding too.

An event occupies the engine for ``c = taps × groups`` cycles, groups being the words that its channel reaches. Counted from the start of the scan, event i
leaves the scanner in cycle ``m_i`` and is taken by the engine in ``s_i``:

    s_i = max(m_i + 5, s_(i−1) + c_(i−1))
    m_i = first cycle t ≥ m_(i−1) + g_i with #{j < i: m_j ≤ t − 5} − #{j: s_j ≤ t − 2} ≤ 11

``g_i`` is 1 within a word, and between words 1 more for each word without events in between; ``m_0 = 5 + `` words
before it. The 5 are three pipeline stages and the FIFO's write and read; what stands in m's condition
is the FIFO's level a cycle ago, which lags 4 cycles behind the scanner and must leave room for 5 of 16 events.

Where weights are external, a connection counts once for each of its tiles, with the groups of the tile.

The counter of an inference holds ``⌈pixels / 4⌉ + 3`` cycles more than its layers': header, frame, its completion, and the
order to send. Input spikes take ``max(words, spike words) + 4``: a word of the packet a cycle, or a spike word written. Sending takes ``4 + 3·⌈classes / P⌉ + 2·classes + 10·layers`` after that.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
from numba import njit

from hdl.program import ChannelRange, Program
from hdl.tiles import TiledProgram
from toolchain.connection import Connection
from toolchain.encoding import input_events, rate_numbers
from toolchain.errors import InvalidValue
from toolchain.geometry import axis_taps
from toolchain.ir import INPUT, FixedPointNetwork
from toolchain.trace import SpikeTrace

__all__ = ["CycleCounts", "cycles", "instruction_scans"]

_LATENCY = 5
"""Cycles from the scanner to the synapse engine, if both are free."""
_HELD = 12
"""An event waits until the one so many places before it, of those that the FIFO's level knows, was taken."""
_UNKNOWN = 4
"""Cycles before a decision in which events left the scanner that the FIFO's level does not know yet."""

_RING = 32
"""Events whose time is kept: more than ``_HELD`` and those that the level does not know."""


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


def cycles(
    network: FixedPointNetwork, frames: np.ndarray, trace: SpikeTrace, lanes: int, program: Program | None = None
) -> CycleCounts:
    """Cycles of frames (uint8 ``[N, C, H, W]``, or int8 spikes ``[N, T, C, H, W]``) on a core of ``lanes`` lanes, equal
    to its counters (below 2^32).

    ``trace`` is theirs, with spikes (``record="spikes"``). Compiled at the first call, then kept. With a ``program`` whose
    weights are external (``hdl.tiles.TiledProgram``) they are those of a memory that is never waited for: a lower bound.

    Raises
    ------
    InvalidValue
        The trace belongs to another network or another number of frames, or holds no spikes; ``lanes`` out of range.
    """
    program = Program(network, lanes) if program is None else program
    scans = instruction_scans(network, frames, trace, program)
    shape = (len(frames), len(network.layers))
    initialization, scan, fire, control = (np.zeros(shape, np.int64) for _ in range(4))
    place = 0
    for index in range(len(network.layers)):
        number = len(_layer_services(network, index, program))
        instruction = program.instructions[place]
        scan[:, index] = scans[:, place : place + number].sum(axis=1)
        firings = 2 * program.steps - 1 if instruction.leak else program.steps
        rounds, firings = (program.steps, 1) if instruction.per_step else (1, firings)
        words = instruction.words * program.states(index)
        initialization[:, index] = words + 3
        control[:, index] = rounds * (4 * number + 1) + 1
        fire[:, index] = rounds * (words * firings + 5) if instruction.sweep else 0
        place += number
    classes = network.shapes[-1][0]
    sending = 4 + 3 * program.groups(classes) + 2 * classes + 10 * len(network.layers)
    ends = (np.full(len(frames), duration, np.int64) for duration in (program.receiving, sending))
    return CycleCounts(initialization, scan, fire, control, *ends)


def instruction_scans(
    network: FixedPointNetwork, frames: np.ndarray, trace: SpikeTrace, program: Program
) -> np.ndarray:
    """Cycles of the scans of each instruction, over all its rounds, int64 ``[N, instructions]``; otherwise as ``cycles``."""
    if trace.fingerprint != network.fingerprint or trace.spikes is None or len(trace.scores) != len(frames):
        raise InvalidValue("cycles need a trace of this network and these frames with record='spikes'")
    scans = np.zeros((len(frames), len(program.instructions)), np.int64)
    sources = _sources(network, frames, trace.spikes)
    place = 0
    for index, layer in enumerate(network.layers):
        anew = program.steps if network.rescans(layer) else 1
        for connection, service in _layer_services(network, index, program):
            instruction = program.instructions[place]
            width, per_step = 1 if instruction.frame else program.lanes, bool(instruction.per_step)
            source = sources[connection.source]
            costs = _costs(service, len(source[0]), width, per_step=per_step, apart=program.grouped)
            if connection.maximum is not None:
                costs = np.repeat(costs, connection.maximum.taps, axis=0)
            for image, given in enumerate(source):
                words = _words(connection.peaks(np.abs(given)), width, per_step=per_step, apart=program.grouped)
                if connection.maximum is not None:
                    words = _last_of_windows(words, connection.maximum.taps)
                scans[image, place] = _scans(words, costs) * anew
            place += 1
    return scans


def _sources(network: FixedPointNetwork, frames: np.ndarray, spikes: tuple[np.ndarray, ...]) -> dict[int, np.ndarray]:
    """What the scanner reads of each source, ``[N, repeats, C, H, W]``: spikes, or events of each pixel."""
    firing = [index for index, layer in enumerate(network.layers) if layer.threshold is not None]
    if network.input == "spikes":
        return {INPUT: frames, **dict(zip(firing, spikes, strict=True))}
    arriving = frames[:, None]
    events = arriving > rate_numbers(network) if network.input == "rate" else input_events(network, arriving)
    return {INPUT: events, **dict(zip(firing, spikes, strict=True))}


def _layer_services(network: FixedPointNetwork, index: int, program: Program) -> list[tuple[Connection, np.ndarray]]:
    """For each instruction of a layer its connection, and the cycles in which an event occupies the synapse engine."""
    if isinstance(program, TiledProgram):
        return [
            (tile.connection, _service(network, tile.connection, partial(program.tile_range, tile)))
            for tile in program.tiles
            if tile.layer == index
        ]
    connections = network.layers[index].connections
    return [(c, _service(network, c, partial(program.channel_range, c))) for c in connections]


def _service(network: FixedPointNetwork, connection: Connection, reached: Callable[[int], ChannelRange]) -> np.ndarray:
    """Taps × groups of each place, int64 ``[C, H, W]`` behind max pooling; 0 reaches nothing."""
    source = network.source_shape(connection)
    rows, columns = (axis_taps(connection, source, axis).count for axis in (0, 1))
    words = np.array([1 + reached(channel).words for channel in range(source[0])])
    return np.multiply.outer(words, np.multiply.outer(rows, columns))


def _words(given: np.ndarray, width: int, *, per_step: bool, apart: bool) -> np.ndarray:
    """``[repeats, C, H, W]`` of a source as the scanner reads them, int64 ``[rounds, words, width]``, 0 in unused lanes.

    Each word has ``width`` channels; unless they are ``apart``, the last axis is 1 and holds their sum.
    """
    repeats, channels, height, width_of_rows = given.shape
    starts = np.arange(0, channels, width)
    if apart:
        words = np.zeros((repeats, len(starts) * width, height, width_of_rows), np.int64)
        words[:, :channels] = given
        words = words.reshape(repeats, len(starts), width, height, width_of_rows)
    else:
        words = np.add.reduceat(given, starts, axis=1, dtype=np.int64)[:, :, None]
    # rounds first, words in the order (y, x, group, repeat)
    order = (0, 3, 4, 1, 2) if per_step else (3, 4, 1, 0, 2)
    return words.transpose(order).reshape(repeats if per_step else 1, -1, words.shape[2])


def _last_of_windows(words: np.ndarray, taps: int) -> np.ndarray:
    """``[rounds, words, width]`` with ``taps − 1`` words without events before each."""
    rounds, count, width = words.shape
    apart = np.zeros((rounds, count, taps, width), np.int64)
    apart[:, :, -1] = words
    return apart.reshape(rounds, count * taps, width)


def _costs(service: np.ndarray, repeats: int, width: int, *, per_step: bool, apart: bool) -> np.ndarray:
    """Cycles of an event in each place of ``_words``, int64 ``[words, width]``."""
    if apart:
        every = np.broadcast_to(service, (repeats, *service.shape))
        costs: np.ndarray = _words(every, width, per_step=per_step, apart=True)[0]
        return costs
    groups = -(-len(service) // width)
    return np.repeat(service[0].ravel(), groups * (1 if per_step else repeats))[:, None]


@njit(cache=True)
def _scans(rounds: np.ndarray, costs: np.ndarray) -> int:
    """Cycles of all scans of one image, from ``[rounds, words, width]`` events and ``[words, width]`` cycles of each."""
    total = 0
    for words in rounds:
        taken = np.full(_RING, -1)  # by the engine, of the last events
        left = np.zeros(_RING, np.int64)  # the scanner, likewise
        length, number, free, unheld, last = 0, 0, 0, 0, 0
        for word in range(len(words)):
            before = number
            for lane in range(words.shape[1]):
                cost = costs[word, lane]
                for _ in range(words[word, lane] if cost > 0 else 0):
                    now = last + 5 + length - unheld  # in step with a scanner that nothing holds back
                    unheld = 5 + length
                    while True:
                        known = number
                        while number - known < _UNKNOWN and known > 0 and left[(known - 1) % _RING] >= now - _UNKNOWN:
                            known -= 1
                        if known < _HELD or taken[(known - _HELD) % _RING] < now - 1:
                            break
                        now = taken[(known - _HELD) % _RING] + 2
                    last = left[number % _RING] = now
                    taken[number % _RING] = max(now + _LATENCY, free)
                    free = taken[number % _RING] + cost
                    number += 1
                    length += 1
            if number == before:
                length += 1
        total += (max(length + last - unheld, free) if number else length) + 5
    return total
