"""Frames through a float spiking network, layer by layer and in blocks of time steps, in bounded memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from toolchain.connection import Connection
from toolchain.encoding import check_frames, rate_numbers
from toolchain.ir import BELOW_ZERO, COUNTING_NEGATIVES, INPUT, SpikingNetwork

__all__ = ["Passage", "closed_form", "convolved", "passages"]

_BATCH = 32
_BLOCK_VALUES = 1_000_000
"""Values of the widest layer held at once, frames times steps."""


@dataclass(frozen=True, eq=False)
class Passage:
    """What one layer received and fired in a block of K steps; outside ``stream`` K = 1 stands for all levels.

    Members
    -------
    frames : slice
        The N frames of this batch among all.
    layer : int
    first : int
        The block's first step.
    inputs : float32 [K, N, C, H, W]
        Weighted input of each step, or the sum over all levels, bias included.
    spikes : float32 [K, N, C, H, W] or None
        Spikes of each step, or the value of the train; ``None`` for the readout.
    """

    frames: slice
    layer: int
    first: int
    inputs: Tensor
    spikes: Tensor | None


def convolved(connection: Connection, weight: Tensor, x: Tensor) -> Tensor:
    """The connection with other weights on ``[M, C, H, W]`` spikes or values; average pooling is a plain sum.

    Max pooling takes the largest value, none below 0; of spikes that is their OR, of trains in ``two_phase`` their maximum.
    """
    c = connection
    if c.maximum is not None:
        (top, left), (bottom, right) = c.maximum.padding, c.maximum.padding_after
        x = F.max_pool2d(F.pad(x, (left, right, top, bottom)), c.maximum.window, c.maximum.stride)
    pooled = x if c.pool == (1, 1) else F.avg_pool2d(x, c.pool, divisor_override=1)
    padding = c.padding
    if c.padding_after != c.padding:
        (top, bottom), (left, right) = c.pads
        pooled, padding = F.pad(pooled, (left, right, top, bottom)), (0, 0)
    return F.conv2d(pooled, weight, stride=c.stride, padding=padding, dilation=c.dilation, groups=c.groups)


def _channel(values: np.ndarray) -> Tensor:
    return torch.tensor(values).float()[:, None, None]


class _Layer:
    """One layer's tensors and, in ``stream``, the membranes and currents of a batch from one block of steps to the next."""

    def __init__(self, network: SpikingNetwork, index: int):
        layer = network.layers[index]
        self.network, self.connections = network, layer.connections
        self.weights = [torch.tensor(c.weight * network.worth(c)).float() for c in layer.connections]
        self.bias, self.initial = _channel(layer.bias), _channel(layer.initial)
        self.threshold = None if layer.threshold is None else _channel(layer.threshold)
        below = layer.threshold if layer.negative_threshold is None else layer.negative_threshold
        self.below = None if below is None else _channel(below)
        self.leak, self.current_leak = layer.leak, layer.current_leak
        self.reads_frame = network.reads_frame(layer)
        self.reached = torch.ge if network.compare == "ge" else torch.gt
        self.membrane = self.total = self.current = torch.zeros(0)

    def drive(self, sources: list[Tensor]) -> Tensor:
        """Weighted sums of ``[M, C, H, W]`` spikes or pixels, without bias; average pooling is a plain sum."""
        total: Tensor | None = None
        for c, weight, x in zip(self.connections, self.weights, sources, strict=True):
            part = convolved(c, weight, x)
            total = part if total is None else total + part
        assert total is not None
        return total

    def stream_inputs(self, sources: list[Tensor], steps: int) -> Tensor:
        """Weighted inputs ``[K, N, C, H, W]`` of as many spikes, or of one frame ``[1, N, C, H, W]`` that stays."""
        drive = self.drive([s.flatten(0, 1) for s in sources]) + self.bias
        return drive.view(-1, sources[0].shape[1], *drive.shape[1:]).expand(steps, -1, -1, -1, -1)

    def stream(self, inputs: Tensor, first: int) -> Tensor:
        """Integrate and fire once a step; spikes ``[K, N, C, H, W]``."""
        if first == 0:
            self.membrane = self.initial.expand_as(inputs[0]).clone()
            self.total, self.current = torch.zeros_like(self.membrane), torch.zeros_like(self.membrane)
        spikes = torch.empty(inputs.shape)
        for step, received in enumerate(inputs):
            if self.current_leak is not None:
                self.current.mul_(self.current_leak).add_(received)
            self.membrane += received if self.current_leak is None else self.current
            before = (
                self.membrane.clone() if self.leak is not None and self.network.leak_order == "leak_first" else None
            )
            spikes[step] = self._fire()
            if self.leak is not None:  # in the last step too, since nobody reads the membranes behind it
                self.membrane = self._leaked(before, spikes[step])
        return spikes

    def _leaked(self, before: Tensor | None, spikes: Tensor) -> Tensor:
        """What stays for the next step; ``before``, where the leak comes first: the membranes that fired."""
        assert self.leak is not None and self.threshold is not None
        if before is None:
            return self.membrane.mul_(self.leak)
        return before.mul_(self.leak).addcmul_(spikes, self.threshold, value=-1)

    def _fire(self) -> Tensor:
        """One firing, taken off the membranes."""
        assert self.threshold is not None and self.below is not None
        negative, membrane = self.network.negative, self.membrane
        up = self.reached(membrane, self.threshold)
        if negative == "none":
            if self.network.reset == "zero":
                membrane.masked_fill_(up, 0)
            else:
                membrane.addcmul_(up.float(), self.threshold, value=-1)
            return up.float()
        down = membrane < 0 if negative in BELOW_ZERO else self.reached(-membrane, self.below)
        if negative in COUNTING_NEGATIVES:
            down &= self.total > 0
        membrane.addcmul_(up.float(), self.threshold, value=-1).addcmul_(down.float(), self.below)
        spikes = up.float() - down.float()
        self.total += spikes
        return spikes

    def collected(self, sources: list[Tensor]) -> Tensor:
        """Sum of the weighted inputs of all levels, from the values of trains or one frame, ``[N, C, H, W]``."""
        levels = self.network.levels
        drive = self.drive([s[0] for s in sources]) * (levels if self.reads_frame else 1)
        return drive + levels * self.bias

    def switched(self, sources: list[Tensor]) -> Tensor:
        """The same through a synaptic current: on with a train's only spike, off n steps later, none if n = 0.

        An off-spike of n = T comes after the window; in the T steps of it ``I += w·(±1)``, then ``V += I + b``.
        """
        if self.reads_frame:
            return self.collected(sources)
        steps, values = self.network.time_steps, [s[0] for s in sources]
        current = self.drive([(v > 0).float() for v in values])
        collected = current + self.bias
        for step in range(1, steps):
            current = current - self.drive([(v == step).float() for v in values])
            collected = collected + current + self.bias
        return collected

    def at_once(self, collected: Tensor) -> Tensor:
        """Values of the trains that a collected input makes: the closed forms of design, section 3."""
        assert self.threshold is not None and self.below is not None
        membrane = collected + self.initial
        value = self._levels(membrane, self.threshold)
        if self.network.negative == "floor":
            value += (membrane.clamp(max=0) / self.threshold).floor().clamp(min=-self.network.levels)
        elif self.network.signed_spikes and self.network.negative not in COUNTING_NEGATIVES:
            value -= self._levels(-membrane, self.below)
        return value

    def _levels(self, membrane: Tensor, threshold: Tensor) -> Tensor:
        quotient = membrane / threshold
        value = quotient.floor() if self.network.compare == "ge" else quotient.ceil() - 1
        return value.clamp(0, self.network.levels)


class _RateInput:
    """Random input spikes of ``rate``: the same numbers for every frame."""

    def __init__(self, network: SpikingNetwork):
        self.stream = network.schedule == "stream"
        self.numbers = torch.tensor(rate_numbers(network))

    def __call__(self, pixels: Tensor, first: int, steps: int) -> Tensor:
        """Spikes ``[K, N, C, H, W]`` of a block of steps, or ``[1, N, C, H, W]``, how many there are in all T."""
        if self.stream:
            return (self.numbers[first : first + steps, None] < pixels).float()
        counts = torch.zeros(pixels.shape)
        for compared in self.numbers:
            counts += compared < pixels
        return counts[None]


def _given(network: SpikingNetwork, trains: Tensor, first: int, steps: int) -> Tensor:
    """Input spikes ``[K, N, C, H, W]`` of a block of steps from ``[N, T, C, H, W]``, or ``[1, N, C, H, W]``, the trains' values."""
    if network.schedule == "stream":
        return trains[:, first : first + steps].transpose(0, 1).float()
    radix = network.schedule == "radix"
    levels = 2.0 ** torch.arange(network.time_steps - 1, -1, -1) if radix else torch.ones(network.time_steps)
    return torch.einsum("ntchw,t->nchw", trains.float(), levels)[None]


def _part(train: np.ndarray, first: int, count: int, frames: slice) -> Tensor:
    return torch.tensor(train[first : first + count, frames]).float()


def closed_form(network: SpikingNetwork, index: int, collected: Tensor) -> Tensor:
    """Values of the trains that a layer makes of an input that comes whole before the first firing.

    ``collected`` float32 ``[N, C, H, W]`` is the sum over all levels, bias included. Of ``stream`` too, where it is
    what the neuron would fire if its input were spread evenly.
    """
    return _Layer(network, index).at_once(collected)


@torch.inference_mode()  # while it computes, not while its user does
def passages(
    network: SpikingNetwork, frames: np.ndarray, depth: int | None = None, given: Sequence[np.ndarray] | None = None
) -> Iterator[Passage]:
    """Run uint8 frames ``[N, C, H, W]``, or int8 spikes ``[N, T, C, H, W]``, batch by batch in float32, and tell what each layer does.

    For each batch, for each block of steps, one ``Passage`` for each of the first ``depth`` layers
    (``None``: all), input to readout. ``stream`` goes step by step; ``two_phase`` and ``radix`` by their
    closed forms, since all input comes before the first firing; ``switched`` integrates its synaptic
    currents step by step.

    Raises
    ------
    InvalidValue
        Frames of the wrong type or shape.
    """
    check_frames(frames, network)
    stream = network.schedule == "stream"
    widest = max(int(np.prod(shape)) for shape in (network.input_shape, *network.shapes))
    batch = max(1, min(_BATCH, _BLOCK_VALUES // widest))
    steps = network.time_steps if stream else 1
    block = min(steps, max(1, _BLOCK_VALUES // (batch * widest)))
    layers = [_Layer(network, index) for index in range(len(network.layers) if depth is None else depth)]
    rate = _RateInput(network) if network.input == "rate" else None
    for start in range(0, len(frames), batch):
        part = slice(start, min(start + batch, len(frames)))
        pixels = torch.tensor(frames[part])
        for first in range(0, steps, block):
            count = min(block, steps - first)
            if network.input == "spikes":
                frame = _given(network, pixels, first, count)
            else:
                frame = pixels[None].float() if rate is None else rate(pixels, first, count)
            trains: list[Tensor] = []
            for index, layer in enumerate(layers):
                sources = [frame if c.source == INPUT else trains[c.source] for c in layer.connections]
                if stream:
                    inputs = layer.stream_inputs(sources, count)
                else:
                    inputs = (layer.switched if network.schedule == "switched" else layer.collected)(sources)[None]
                spikes = None
                if layer.threshold is not None:
                    spikes = layer.stream(inputs, first) if stream else layer.at_once(inputs)
                    trains.append(spikes if given is None else _part(given[index], first, count, part))
                yield Passage(part, index, first, inputs, spikes)
