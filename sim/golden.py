"""Golden model: the integers of a fixed-point network, bit-exact, on CPU or GPU matrix units.

Exact by proof, not by trial. Every sum is a chain of additions and multiplications of integers
(im2col and one matrix product; no Winograd, no FFT, no TF32), every partial sum is bounded by
``FixedPointNetwork.ranges``, and the engine is float32 below 2^24 and float64 below 2^53, where
each such operation is exact in any order. ``⌊V/θ⌋`` by division is exact there too: a quotient
just under an integer n is n − 1/θ at nearest, and 1/θ exceeds half the float spacing at n while
nθ stays below that bound. A leak's ``V >> k`` is ``⌊V·2^−k⌋``, a product with a power of two.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from sim.synapses import Synapses
from toolchain.encoding import check_frames, rate_numbers
from toolchain.errors import InvalidValue
from toolchain.ir import BELOW_ZERO, COUNTING_NEGATIVES, FixedPointLayer, FixedPointNetwork
from toolchain.leak import Decay
from toolchain.trace import Activity, SpikeTrace

__all__ = ["RECORDS", "anytime", "check_increasing", "run"]

RECORDS = ("scores", "counts", "spikes")
_CHUNK_VALUES = 400_000
"""Neuron values of the widest layer handled at once: keeps im2col in the processor's cache."""


def check_increasing(time_steps: Sequence[int]) -> tuple[int, ...]:
    """The list of T, unless it is empty or does not increase."""
    steps = tuple(time_steps)
    if not steps or any(b <= a for a, b in pairwise(steps)):
        raise InvalidValue(f"time steps are {list(steps)}, must be at least one, in increasing order")
    return steps


@contextmanager
def _full_precision() -> Iterator[None]:
    """Keep float32 products in float32: no TF32 and no bfloat16, whatever the caller has set."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class _Neurons:
    """One layer's integers on the device, channel last so that they broadcast."""

    def __init__(self, network: FixedPointNetwork, index: int, device: str):
        layer: FixedPointLayer = network.layers[index]
        self.layer = layer
        self.shape = network.shapes[index]
        self.reads_frame = network.reads_frame(layer)
        self.scans = network.time_steps if network.rescans(layer) else 1
        self.negative, self.reset, self.compare = network.negative, network.reset, network.compare
        self.asymmetric = network.negative == "asymmetric"
        self.levels = network.levels
        self.leak_first = network.leak_order == "leak_first"
        dtype = self._dtype(network, index)
        self.synapses = [Synapses(c, network.source_shape(c), dtype, device) for c in layer.connections]

        def row(values: np.ndarray) -> Tensor:
            return torch.tensor(values, dtype=dtype, device=device)

        self.dtype = dtype
        self.offset, self.bias = row(layer.offset), row(layer.bias)
        self.threshold = None if layer.threshold is None else row(layer.threshold)
        self.below = self.threshold if layer.negative_threshold is None else row(layer.negative_threshold)

    @staticmethod
    def _dtype(network: FixedPointNetwork, index: int) -> torch.dtype:
        layer = network.layers[index]
        # synaptic sums alone lie in the membrane's range less its offset and biases
        bound = network.ranges[index].magnitude + int(np.abs(layer.offset).max())
        bound += network.time_steps * int(np.abs(layer.bias).max())
        # the parts of a leak, largest first, leave V at most their rounding beyond what it was
        bound += sum(len(leak.terms) for leak in (layer.leak, layer.current_leak) if leak is not None)
        for threshold in (layer.threshold, layer.negative_threshold):
            largest = 0 if threshold is None else int(threshold.max())
            # below 0 floor takes back up to θ − 1 more than there is
            bound = bound + largest if network.negative == "floor" else max(bound, largest)
        return torch.float32 if bound < 2**24 else torch.float64

    def drive(self, sources: list[Tensor]) -> Tensor:
        """Summed weighted input of all connections for ``[M, H, W, C]`` sources."""
        total = self.synapses[0](sources[0].to(self.dtype))
        for synapses, source in zip(self.synapses[1:], sources[1:], strict=True):
            total += synapses(source.to(self.dtype))
        return total

    def at_once(self, values: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Closed form of ``two_phase`` and ``radix``: ``n = clip(⌊V/θ⌋, 0, levels)``.

        With ``symmetric`` ``n = sign(V)·clip(⌊|V|/θ⌋, 0, levels)``, with ``asymmetric`` by θ⁻ where V < 0; with
        ``gt`` 1 less than V (|V|) is divided. With ``floor`` ``n = clip(⌊V/θ⌋, −levels, levels)``.
        Returns the final V and n, the values of the spike trains.
        """
        membrane = self.drive(values).add_(self.offset)
        if self.threshold is None:
            return membrane, membrane
        assert self.below is not None
        if self.negative == "floor":
            charge = membrane - (membrane > 0).to(membrane.dtype) if self.compare == "gt" else membrane
            return membrane, torch.div(charge, self.threshold).floor_().clamp_(-self.levels, self.levels)
        signed = self.negative != "none"
        magnitude = membrane.abs() if signed else membrane
        if self.compare == "gt":
            magnitude = magnitude - 1
        threshold = torch.where(membrane < 0, self.below, self.threshold) if self.asymmetric else self.threshold
        value = torch.div(magnitude, threshold).floor_().clamp_(0, self.levels)
        if signed:
            value *= membrane.sign()
        return membrane, value

    def taken(self, spikes: Tensor) -> Tensor:
        """What spikes, or values of whole trains, take off the membrane: θ each, θ⁻ where negative."""
        assert self.threshold is not None and self.below is not None
        return spikes * (torch.where(spikes < 0, self.below, self.threshold) if self.asymmetric else self.threshold)

    def stream(self, spikes: list[Tensor], steps: int) -> tuple[Tensor, Tensor]:
        """Integrate, add bias (and the current that lasts), fire, once a step; returns the final V and spikes ``[T, N, H, W, C]``.

        Sources are ``[T, N, H, W, C]`` spikes, or one ``[N, H, W, C]`` frame that acts as a current.
        """
        drives = self._currents(spikes, steps)
        membrane = drives[0] + self.offset
        fired = membrane.new_zeros((steps, *membrane.shape))
        total = torch.zeros_like(membrane) if self.negative in COUNTING_NEGATIVES else None
        for step in range(steps):
            if step:
                membrane += drives[step]
            leaks = self.layer.leak is not None and step < steps - 1
            before = membrane.clone() if leaks and self.leak_first else membrane
            if self.threshold is not None:
                self._fire(membrane, fired[step], total)
            if leaks:
                _decay(before, self.layer.leak)
                if before is not membrane:
                    membrane = (
                        before if self.threshold is None else before.addcmul_(fired[step], self.threshold, value=-1)
                    )
        return membrane, fired

    def _currents(self, spikes: list[Tensor], steps: int) -> list[Tensor]:
        """What each step of ``stream`` adds to the membranes: the drive, and what is left of earlier ones where the current lasts."""
        drives, leak = self._drives(spikes, steps), self.layer.current_leak
        if leak is None:
            return drives
        currents = drives[:1]
        for drive in drives[1:]:
            rest = currents[-1].clone()
            _decay(rest, leak)
            currents.append(rest.add_(drive))
        return currents

    def _drives(self, spikes: list[Tensor], steps: int) -> list[Tensor]:
        """What each step of ``stream`` receives, bias included."""
        if self.reads_frame:
            return [self.drive(spikes).add_(self.bias)] * steps
        drive = self.drive([s.flatten(0, 1) for s in spikes]).add_(self.bias)
        return list(drive.view(steps, spikes[0].shape[1], *drive.shape[1:]))

    def charged(self, spikes: list[Tensor], steps: Sequence[int]) -> Tensor:
        """Membranes of a layer that never fires after some steps of ``stream``, float64 ``[S, N, H, W, C]``."""
        drives = torch.stack(self._currents(spikes, steps[-1])).double()
        if self.layer.leak is None:
            return drives.cumsum(dim=0)[[step - 1 for step in steps]] + self.offset
        charges, membrane = [], drives[0] + self.offset
        for step in range(1, steps[-1] + 1):
            if step in steps:
                charges.append(membrane.clone())
            if step < steps[-1]:
                _decay(membrane, self.layer.leak)
                membrane += drives[step]
        return torch.stack(charges)

    def _fire(self, membrane: Tensor, spikes: Tensor, total: Tensor | None) -> None:
        """One firing in place; ``total`` is the sum of all spikes so far, which ``correcting`` and ``memory`` need."""
        assert self.threshold is not None and self.below is not None
        reached = torch.ge if self.compare == "ge" else torch.gt
        reached(membrane, self.threshold, out=spikes)
        if self.reset == "zero":
            membrane *= 1 - spikes
            return
        if self.negative != "none":
            below = membrane < 0 if self.negative in BELOW_ZERO else reached(-membrane, self.below)
            if total is not None:
                below &= total > 0
            spikes -= below.to(spikes.dtype)
            if total is not None:
                total += spikes
        if self.asymmetric:
            membrane -= self.taken(spikes)
        else:
            membrane.addcmul_(spikes, self.threshold, value=-1)


def _decay(value: Tensor, leak: Decay | None) -> None:
    """One decay in place; all shifts are of what was there before."""
    assert leak is not None
    whole = value.clone()
    for shift in leak.taken:
        value -= torch.floor(whole * 2.0**-shift)
    for shift in leak.given_back:
        value += torch.floor(whole * 2.0**-shift)


class _Recorder:
    """Collects what ``record`` asks for, chunk by chunk, in numpy arrays of the whole run."""

    def __init__(self, network: FixedPointNetwork, images: int, record: str):
        layers = len(network.layers)
        firing = [
            shape for layer, shape in zip(network.layers, network.shapes, strict=True) if layer.threshold is not None
        ]
        self.scores = np.empty((images, network.shapes[-1][0]), np.int64)
        self.activity = Activity(*(np.zeros((images, layers), np.int64) for _ in range(3)))
        self.counts = self.spikes = self.membranes = None
        steps = network.time_steps
        if record in ("counts", "spikes"):
            self.counts = [np.empty((images, h, w, c), np.uint16) for c, h, w in firing]
        if record == "spikes":
            self.spikes = [np.empty((images, steps, h, w, c), np.int8) for c, h, w in firing]
            self.membranes = [np.empty((images, h, w, c), np.int64) for c, h, w in network.shapes]

    def trace(self, fingerprint: str) -> SpikeTrace:
        def channel_first(arrays: list[np.ndarray] | None) -> tuple[np.ndarray, ...] | None:
            return None if arrays is None else tuple(np.moveaxis(array, -1, -3) for array in arrays)

        return SpikeTrace(
            fingerprint,
            self.scores,
            self.activity,
            channel_first(self.counts),
            channel_first(self.spikes),
            channel_first(self.membranes),
        )


def _trains(values: Tensor, network: FixedPointNetwork) -> Tensor:
    """Spikes ``[T, N, H, W, C]`` of values outside ``stream``: the first n steps, or n in binary, MSB first."""
    steps = network.time_steps
    if network.schedule == "two_phase":
        times = torch.arange(steps, device=values.device).view(-1, 1, 1, 1, 1)
        return (values.abs() > times) * values.sign()
    worth = 2.0 ** torch.arange(steps - 1, -1, -1, device=values.device).view(-1, 1, 1, 1, 1)
    # powers of two divide exactly, and a value is below 2^T
    return torch.div(values.abs(), worth).floor_().fmod_(2) * values.sign()


class _Frames:
    """What the input frame is to the layers that read it, in the manner of ``network.input``."""

    def __init__(self, network: FixedPointNetwork, device: str):
        self.input, self.schedule, self.stream = network.input, network.schedule, network.schedule == "stream"
        if self.input != "rate":
            return
        numbers = np.moveaxis(rate_numbers(network), 1, -1)[:, None]
        self.random = torch.tensor(numbers, device=device).float()  # [T, 1, H, W, C]

    def __call__(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """From pixels ``[N, H, W, C]``, or spikes ``[N, T, H, W, C]``: the layer's input, and the input spikes
        ``[N, H, W, C]`` that count as events."""
        if self.input == "spikes":
            return self._trains(frames), frames.abs().sum(dim=1)
        if self.input == "direct":
            return frames, (frames != 0).to(frames.dtype)
        if self.input == "bitplane":
            planes = torch.div(frames, 2.0 ** torch.arange(8, device=frames.device).view(8, 1, 1, 1, 1))
            return frames, planes.floor_().fmod_(2).sum(dim=0)
        spikes = (frames > self.random).to(frames.dtype)
        counts = spikes.sum(dim=0)
        return (spikes if self.stream else counts), counts

    def _trains(self, frames: Tensor) -> Tensor:
        """Spikes ``[T, N, H, W, C]`` in ``stream``, elsewhere the values of the trains, ``[N, H, W, C]``."""
        if self.stream:
            return frames.transpose(0, 1)
        if self.schedule == "two_phase":
            return frames.sum(dim=1)
        worth = 2.0 ** torch.arange(frames.shape[1] - 1, -1, -1, device=frames.device).view(1, -1, 1, 1, 1)
        return (frames * worth).sum(dim=1)


def _run_chunk(
    network: FixedPointNetwork,
    neurons: list[_Neurons],
    frames: tuple[Tensor, Tensor],
    part: slice,
    recorder: _Recorder,
) -> None:
    stream, radix = network.schedule == "stream", network.schedule == "radix"
    outputs: list[Tensor] = []  # values [N, H, W, C], in stream spikes [T, N, H, W, C]
    counts: list[Tensor] = []  # spikes of each neuron
    for index, layer in enumerate(neurons):
        sources = [c.source for c in layer.layer.connections]
        inputs = [frames[0] if source < 0 else outputs[source] for source in sources]
        for synapses, source in zip(layer.synapses, sources, strict=True):
            seen = frames[1] if source < 0 else counts[source]
            events, operations = synapses.activity(seen)
            recorder.activity.events[part, index] += layer.scans * events.long().cpu().numpy()
            recorder.activity.operations[part, index] += layer.scans * operations.long().cpu().numpy()
        membrane, fired = layer.stream(inputs, network.time_steps) if stream else layer.at_once(inputs)
        if layer.threshold is not None:
            outputs.append(fired)
            trains = fired if stream else None
            if trains is None and (radix or recorder.spikes is not None):
                trains = _trains(fired, network)
            if trains is not None and (stream or radix):
                counts.append((trains.abs() if network.signed_spikes else trains).sum(dim=0))
            else:
                counts.append(fired.abs() if network.signed_spikes else fired)
            recorder.activity.spikes[part, index] = counts[-1].double().sum(dim=(1, 2, 3)).long().cpu().numpy()
            if recorder.counts is not None:
                recorder.counts[index][part] = counts[-1].short().cpu().numpy()
            if recorder.spikes is not None:
                assert trains is not None
                recorder.spikes[index][part] = trains.transpose(0, 1).to(torch.int8).cpu().numpy()
        if recorder.membranes is not None:
            rest = membrane
            if not stream and layer.threshold is not None:
                rest = membrane - layer.taken(fired)
            recorder.membranes[index][part] = rest.long().cpu().numpy()
    recorder.scores[part] = membrane.long().cpu().numpy().reshape(part.stop - part.start, -1)


def _chunks(network: FixedPointNetwork, images: int) -> Iterator[slice]:
    """Parts of the images that are run at once."""
    per_image = max(int(np.prod(shape)) for shape in (network.input_shape, *network.shapes))
    if network.schedule == "stream":
        per_image *= network.time_steps
    per_image = max(per_image, int(np.prod(network.frame_shape)))
    chunk = max(1, _CHUNK_VALUES // per_image)
    for start in range(0, images, chunk):
        yield slice(start, min(start + chunk, images))


def _device(name: str | None) -> str:
    return name or ("cuda" if torch.cuda.is_available() else "cpu")


def run(
    network: FixedPointNetwork,
    frames: np.ndarray,
    record: str = "scores",
    *,
    device: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> SpikeTrace:
    """Run frames through the integers.

    In ``two_phase`` and ``radix`` one synapse pass over the values of the spike trains stands for all T
    steps (design, section 3).

    Parameters
    ----------
    frames : uint8 [N, C, H, W], of input ``spikes`` int8 [N, T, C, H, W]
    record : str
        ``scores``; ``counts`` adds spike counts of each neuron; ``spikes`` adds spike trains and
        final membranes. Activity is always counted.
    device : str
        A torch device; ``None`` takes the GPU where there is one.
    progress : callable
        Called with the number of images finished since the last call.

    Raises
    ------
    InvalidValue
        Frames of the wrong type or shape, or an unknown ``record``.
    """
    if record not in RECORDS:
        raise InvalidValue(f"record is {record!r}, must be one of {', '.join(RECORDS)}")
    check_frames(frames, network)
    device = _device(device)
    recorder = _Recorder(network, len(frames), record)
    with torch.inference_mode(), _full_precision():
        neurons = [_Neurons(network, index, device) for index in range(len(network.layers))]
        read = _Frames(network, device)
        for part in _chunks(network, len(frames)):
            pixels = torch.tensor(np.moveaxis(frames[part], -3, -1))
            _run_chunk(network, neurons, read(pixels.to(device, torch.float32)), part, recorder)
            if progress:
                progress(part.stop - part.start)
    return recorder.trace(network.fingerprint)


class _Cuts:
    """What one run of ``stream`` shows after each of some steps; activity is kept from one of them to the next.

    Members
    -------
    scores : int64 [S, N, classes]
    events, operations, spikes : int64 [S, N, layers]
    """

    def __init__(self, network: FixedPointNetwork, images: int, steps: tuple[int, ...]):
        self.steps = steps
        self.scores = np.empty((len(steps), images, network.shapes[-1][0]), np.int64)
        shape = (len(steps), images, len(network.layers))
        self.events, self.operations, self.spikes = (np.zeros(shape, np.int64) for _ in range(3))

    def _parts(self, spikes: Tensor) -> list[Tensor]:
        """Spikes ``[N, H, W, C]`` of each neuron between the cuts, of ``[T, N, H, W, C]``."""
        return [spikes[a:b].abs().sum(dim=0) for a, b in pairwise((0, *self.steps))]

    def run(self, neurons: list[_Neurons], frames: tuple[Tensor, Tensor], part: slice, trains: bool) -> None:
        """One chunk of images, layer by layer; a frame that is no train of spikes arrives once, before the first cut.

        Unless it is integrated anew in each step: then it arrives as often as there are steps before a cut.
        """
        outputs: list[Tensor] = []
        counts: list[list[Tensor]] = []
        arriving = self._parts(frames[0]) if trains else [frames[1]]
        for index, layer in enumerate(neurons):
            sources = [c.source for c in layer.layer.connections]
            inputs = [frames[0] if source < 0 else outputs[source] for source in sources]
            for synapses, source in zip(layer.synapses, sources, strict=True):
                given = arriving if source < 0 else counts[source]
                if layer.scans > 1:
                    given = [steps * frames[1] for steps in np.diff((0, *self.steps)).tolist()]
                for cut, seen in enumerate(given):
                    events, operations = synapses.activity(seen)
                    self.events[cut, part, index] += events.long().cpu().numpy()
                    self.operations[cut, part, index] += operations.long().cpu().numpy()
            if layer.threshold is None:
                scores = layer.charged(inputs, self.steps)
                self.scores[:, part] = scores.long().cpu().numpy().reshape(len(self.steps), part.stop - part.start, -1)
            else:
                outputs.append(layer.stream(inputs, self.steps[-1])[1])
                counts.append(self._parts(outputs[-1]))
                for cut, fired in enumerate(counts[-1]):
                    self.spikes[cut, part, index] = fired.double().sum(dim=(1, 2, 3)).long().cpu().numpy()

    def traces(self, networks: list[FixedPointNetwork]) -> tuple[SpikeTrace, ...]:
        """One for each cut."""
        events, operations, spikes = (a.cumsum(axis=0) for a in (self.events, self.operations, self.spikes))
        return tuple(
            SpikeTrace(network.fingerprint, self.scores[cut], Activity(events[cut], operations[cut], spikes[cut]))
            for cut, network in enumerate(networks)
        )


def anytime(
    network: FixedPointNetwork,
    frames: np.ndarray,
    time_steps: Sequence[int],
    *,
    device: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[SpikeTrace, ...]:
    """Scores and activity after each of some T from one run of the largest, as ``run`` gives for each alone.

    In ``stream`` no integer depends on T, so a network of any T will do; elsewhere thresholds and offsets do,
    and each T is another network.

    Parameters
    ----------
    frames : uint8 [N, C, H, W], of input ``spikes`` int8 [N, T, C, H, W] of the largest T
    time_steps : sequence of int
        Increasing; replaces the network's T.
    device, progress
        As in ``run``.

    Raises
    ------
    InvalidValue
        Another schedule; no T, not increasing, or out of range; frames of the wrong type or shape.
    """
    if network.schedule != "stream":
        raise InvalidValue(f"schedule is {network.schedule}, must be stream; quantize and run the network for each T")
    steps = check_increasing(time_steps)
    networks = [replace(network, time_steps=t) for t in steps]
    longest, device = networks[-1], _device(device)
    check_frames(frames, longest)
    cuts = _Cuts(longest, len(frames), steps)
    with torch.inference_mode(), _full_precision():
        neurons = [_Neurons(longest, index, device) for index in range(len(longest.layers))]
        read = _Frames(longest, device)
        for part in _chunks(longest, len(frames)):
            pixels = torch.tensor(np.moveaxis(frames[part], -3, -1)).to(device, torch.float32)
            cuts.run(neurons, read(pixels), part, longest.input in ("rate", "spikes"))
            if progress:
                progress(part.stop - part.start)
    return cuts.traces(networks)
