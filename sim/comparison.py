"""Compare what the hardware did with the golden model, bit by bit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hdl.host import COUNTERS
from sim.packets import Result, read_result
from toolchain.cycles import CycleCounts
from toolchain.errors import InvalidValue
from toolchain.ir import FixedPointNetwork
from toolchain.trace import Activity, SpikeTrace

__all__ = ["MAX_DIFFERENCES", "Comparison", "Difference"]

MAX_DIFFERENCES = 50
"""Differences kept; all are counted."""
_NO_WORD = 2
"""In place of a spike that no spike word has told yet."""


@dataclass(frozen=True)
class Difference:
    """One thing that hardware and golden model disagree on.

    ``what`` is ``spike``, ``score``, ``prediction``, ``counter``, or ``protocol``; members that do not
    apply are ``None``.
    """

    what: str
    image: int
    expected: int | str
    seen: int | str
    layer: str | None = None
    step: int | None = None
    channel: int | None = None
    y: int | None = None
    x: int | None = None

    def __str__(self) -> str:
        places = ("layer", "step", "channel", "y", "x")
        where = [f"{name} {getattr(self, name)}" for name in places if getattr(self, name) is not None]
        return f"{self.what}: image {', '.join([str(self.image), *where])}: expected {self.expected}, seen {self.seen}"


class Comparison:
    """Collects the differences between the hardware's answers and what the models say of the same frames.

    Parameters
    ----------
    network : FixedPointNetwork
    lanes : int
    trace : SpikeTrace
        Of the golden model, with spikes.
    cycles : CycleCounts
        Of ``toolchain.cycles``. A layer's do not depend on stalls.
    waits : bool
        The core waits for weights from a memory: a layer's cycles must not be less, but may be more.

    Members
    -------
    counted : dict
        Differences of each kind.
    differences : list of Difference
        The first ``MAX_DIFFERENCES``.
    activity : Activity
        What the hardware counted; 0 where an image got no result.
    layer_cycles : int64 [N, layers]
        Cycles of each layer by its own counter.
    spikes_compared : int
        Spikes (bits) looked at.
    layer_spikes : int64 [layers, 2]
        Spikes looked at and spikes that differ, of each layer; the readout has none.
    """

    def __init__(
        self, network: FixedPointNetwork, lanes: int, trace: SpikeTrace, cycles: CycleCounts, *, waits: bool = False
    ):
        self._waits = waits
        assert trace.spikes is not None, "the trace must record spikes"
        self._network, self._lanes, self._trace, self._spikes = network, lanes, trace, trace.spikes
        self._layer_cycles = cycles.layers
        self.counted = {"spike": 0, "score": 0, "counter": 0, "prediction": 0, "protocol": 0}
        self.differences: list[Difference] = []
        self.activity = trace.activity
        self.layer_cycles = np.zeros_like(trace.activity.events)
        self.spikes_compared = 0
        self.layer_spikes = np.zeros((len(network.layers), 2), np.int64)

    def _add(self, difference: Difference) -> None:
        self.counted[difference.what] += 1
        if len(self.differences) < MAX_DIFFERENCES:
            self.differences.append(difference)

    def results(self, packets: Sequence[Sequence[int]], clocks: Sequence[int] | None = None) -> None:
        """Compare one packet for each image: scores, prediction, counters.

        ``clocks``: those that each image took as the bench saw them, to hold against the cycle
        counter. Images without a packet are differences too.
        """
        network, trace = self._network, self._trace
        classes, layers = network.shapes[-1][0], len(network.layers)
        counters = np.zeros((len(trace.scores), layers, len(COUNTERS)), np.int64)
        answered = np.zeros(len(trace.scores), bool)
        for image in range(len(trace.scores)):
            if image >= len(packets):
                self._add(Difference("protocol", image, "a result packet", "no answer in the time it may take"))
                continue
            try:
                result = read_result(packets[image], classes=classes, layers=layers)
            except InvalidValue as error:
                self._add(Difference("protocol", image, "a result packet", str(error)))
                continue
            counters[image], answered[image] = result.counters, True
            self._result(image, result)
            if clocks is not None and result.cycles != clocks[image]:
                self._add(Difference("counter", image, f"{clocks[image]} cycles", f"{result.cycles} cycles"))
        self.activity = Activity(*(counters[:, :, COUNTERS.index(name)] for name in COUNTERS[1:]))
        self.layer_cycles = counters[:, :, COUNTERS.index("cycles")]
        compared = [(name, getattr(trace.activity, name), getattr(self.activity, name)) for name in COUNTERS[1:]]
        for name, expected, seen in (*compared, ("cycles", self._layer_cycles, self.layer_cycles)):
            wrong = expected > seen if name == "cycles" and self._waits else expected != seen
            for image, layer in np.argwhere(wrong & answered[:, None]):
                wanted, got = f"{expected[image, layer]} {name}", f"{seen[image, layer]} {name}"
                self._add(Difference("counter", int(image), wanted, got, layer=network.layers[layer].name))

    def loaded(self, packets: Sequence[Sequence[int]], expected: Sequence[int]) -> None:
        """Compare the answer to the load packet that went before the first image."""
        seen = " ".join(f"{word:#x}" for word in packets[0]) if packets else "no answer in the time it may take"
        wanted = " ".join(f"{word:#x}" for word in expected)
        if seen != wanted:
            self._add(Difference("protocol", 0, f"loaded: {wanted}", seen))

    def _result(self, image: int, result: Result) -> None:
        network, trace = self._network, self._trace
        network_id = int(network.fingerprint[:8], 16)
        if result.network_id != network_id:
            self._add(Difference("protocol", image, f"network {network_id:08x}", f"network {result.network_id:08x}"))
        for channel in np.nonzero(result.scores != trace.scores[image])[0]:
            expected, seen = int(trace.scores[image, channel]), int(result.scores[channel])
            self._add(Difference("score", image, expected, seen, channel=int(channel)))
        if result.prediction != trace.predictions[image]:
            self._add(Difference("prediction", image, int(trace.predictions[image]), result.prediction))

    def spikes(self, words: Iterable[tuple[int, int, int, int, int]]) -> None:
        """Compare spike words ``(image, layer, step, neuron word, bits)`` with every spike of the trace.

        A neuron word is ``(y·W + x)·G + g`` of its layer, bit ``p`` its channel ``g·lanes + p``, bit
        ``lanes + p`` the sign of that spike. Each must come exactly once, with no bit set beyond the
        last channel and no sign without a spike.
        """
        firing = [index for index, layer in enumerate(self._network.layers) if layer.threshold is not None]
        told: dict[int, np.ndarray] = {
            layer: np.full(train.shape, _NO_WORD, np.int8) for layer, train in zip(firing, self._spikes, strict=True)
        }
        for image, layer, step, word, bits in words:
            train = told.get(layer)
            channels, height, width = self._network.shapes[layer] if train is not None else (0, 0, 0)
            groups = -(-channels // self._lanes)
            if (
                train is None
                or not 0 <= image < len(train)
                or step >= train.shape[1]
                or word >= height * width * groups
            ):
                where = f"image {image}, layer {layer}, step {step}, word {word}"
                self._add(Difference("protocol", image, "a spike word of the network", where))
                continue
            place, first = word // groups, word % groups * self._lanes
            group = train[image, step, first : first + self._lanes, place // width, place % width]
            fired, minus = bits & (1 << self._lanes) - 1, bits >> self._lanes
            if (group != _NO_WORD).any() or fired >> len(group) or minus & ~fired:
                name = self._network.layers[layer].name
                self._add(Difference("protocol", image, "each spike word once", f"{bits:#x}, word {word}", name, step))
            group[:] = [(fired >> lane & 1) - 2 * (minus >> lane & 1) for lane in range(len(group))]
        for layer, expected in zip(firing, self._spikes, strict=True):
            name, seen = self._network.layers[layer].name, told[layer]
            self.spikes_compared += expected.size
            wrong = expected != seen
            self.layer_spikes[layer] = expected.size, wrong.sum()
            kept = np.argwhere(wrong)[:MAX_DIFFERENCES]
            for place in kept.tolist():
                bit = int(seen[tuple(place)])
                value = "no word" if bit == _NO_WORD else bit
                image, step, channel, y, x = place
                fired = int(expected[tuple(place)])
                self._add(Difference("spike", image, fired, value, name, step, channel, y, x))
            self.counted["spike"] += int(wrong.sum()) - len(kept)
