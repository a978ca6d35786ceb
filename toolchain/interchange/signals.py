"""What travels along the edges of a NIR graph: sums of pooled, scaled, weighted sources, until a neuron takes them.

A signal is either *plain*, spikes or pixels on their way to a synapse, or a *current*, behind one. Linear nodes between
a synapse and its neuron are folded into the weights; nothing is computed for a stimulus.
"""

from dataclasses import dataclass, replace
from math import gcd

import numpy as np

from toolchain.connection import Connection, Pair, Shape
from toolchain.errors import InvalidValue, UnsupportedModule
from toolchain.interchange.graph import Node
from toolchain.interchange.values import MAX_PLACES, pair, weights, whole
from toolchain.ir import INPUT

__all__ = [
    "MAX_WEIGHTS",
    "Signal",
    "Term",
    "added",
    "connected",
    "counted",
    "fold",
    "frame_of",
    "same_padding",
    "scaled",
    "through",
]

MAX_WEIGHTS = 1 << 27
"""Weights of one synapse once folded: 1 GiB."""


@dataclass(frozen=True, eq=False)
class Term:
    """One source of a signal.

    Members
    -------
    source : int
        ``INPUT`` or the index of a layer.
    worth : float64 [C, 1, 1]
        λ of the source: a weight of ours counts in units of it.
    pool : (y, x)
        Sums over such windows come first.
    gain : float64 [C, 1, 1] or [C, H, W]
        Factor of each pooled place.
    connection : Connection or None
        The synapse, its weights without ``gain``; ``None`` in a plain signal.
    """

    source: int
    worth: np.ndarray
    pool: Pair
    gain: np.ndarray
    connection: Connection | None = None


@dataclass(frozen=True, eq=False)
class Signal:
    """A sum of terms, all plain or all currents.

    Members
    -------
    shape : tuple of int
        As NIR sees it: (C,), (C, L) or (C, H, W), or flattened.
    frame : (C, H, W)
        The same places before flattening.
    bias : float64 [C] or None
        Of a current.
    lasting : float or None
        Share of a current that stays from one step to the next, behind a LI; ``None``: nothing.
    """

    shape: tuple[int, ...]
    frame: Shape
    terms: tuple[Term, ...]
    bias: np.ndarray | None = None
    lasting: float | None = None

    @property
    def current(self) -> bool:
        """Whether it lies behind a synapse."""
        return self.terms[0].connection is not None


def frame_of(shape: tuple[int, ...]) -> Shape:
    """(C, H, W) of a shape of one to three sizes."""
    if len(shape) == 2:
        return (shape[0], 1, shape[1])
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (shape[0], 1, 1)


def fold(connection: Connection, gain: np.ndarray, worth: np.ndarray) -> np.ndarray:
    """Weights on spikes of value ``worth`` that do what the connection's do on ``gain`` times spikes of 1.

    ``weight·(gain/worth)``, float64 ``[C_out, C_in / groups, K_y, K_x]``; equal gain and worth leave the weights as they
    are. A gain of each place, ``[C, H, W]``, is for ``linear`` only.
    """
    factor = gain / worth
    if (factor == 1).all():
        return connection.weight
    whole = factor.shape[1:] == (1, 1)
    folded: np.ndarray = connection.weight * (connection.fed_by(factor[:, 0, 0]) if whole else factor[None])
    return folded


def same_padding(kernel: Pair, dilation: Pair) -> tuple[Pair, Pair]:
    """Padding before and behind of ``padding="same"`` at stride 1: ``dilation·(K − 1)``, of an odd number one more behind."""
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    before = (total[0] // 2, total[1] // 2)
    return before, (total[0] - before[0], total[1] - before[1])


def added(node: Node, signals: list[Signal]) -> Signal:
    """Several edges into one node: NIR adds them up.

    Raises
    ------
    InvalidValue
        Shapes differ.
    UnsupportedModule
        Spikes and currents mix.
    """
    first = signals[0]
    if len(signals) == 1:
        return first
    if len({signal.shape for signal in signals}) > 1:
        shapes = ", ".join(str(signal.shape) for signal in signals[:4])
        raise InvalidValue(f"{node}: the edges into it have different shapes, {shapes}")
    if len({signal.frame for signal in signals}) > 1:
        raise UnsupportedModule(
            f"{node}: it sums vectors that were flattened from different shapes; put a layer before it"
        )
    if any(signal.current for signal in signals):  # a spike that joins a current passes a synapse of weight 1
        signals = [signal if signal.current else connected(node, signal) for signal in signals]
    terms = tuple(term for signal in signals for term in signal.terms)
    if len(terms) > 64:
        raise UnsupportedModule(f"{node} sums {len(terms)} synapses, at most 64 are read; merge some")
    told = [signal.bias for signal in signals if signal.bias is not None]
    biases = [bias for bias in told if bias.any()] or told[:1]  # zeros would turn another's −0 into 0
    bias = None if not biases else biases[0] if len(biases) == 1 else np.sum(biases, axis=0)
    return replace(signals[0], terms=terms, bias=bias)


def connected(node: Node, signal: Signal) -> Signal:
    """A current of weight 1 from each place to itself: spikes come in by an ``identity``, of one channel a group.

    Raises
    ------
    UnsupportedModule
        Flattened frames of more places than a square of weights should have.
    """
    if signal.current:
        return signal
    channels, *size = signal.frame
    if len(signal.shape) == 1 and size != [1, 1]:
        return counted(node, signal)
    straight = Connection(INPUT, np.ones((channels, 1, 1, 1)), groups=channels)
    result = _convolved(node, signal, straight, None)
    terms = tuple(
        replace(t, connection=replace(t.connection, kind="conv2d" if t.source == INPUT else "identity"))
        for t in result.terms
        if t.connection is not None
    )
    return replace(result, shape=signal.shape, terms=terms)


def counted(node: Node, signal: Signal) -> Signal:
    """The same of a plain vector as a dense synapse, a square of weights.

    Raises
    ------
    UnsupportedModule
        More than 4096 values.
    """
    (size,) = signal.shape
    if size > 4096:
        raise UnsupportedModule(
            f"{node} takes {size} values without weights, at most 4096 are read; put a layer before it"
        )
    return _dense(node, signal, np.eye(size), None)


def through(node: Node, signal: Signal) -> Signal:
    """What a linear node makes of a signal.

    Raises
    ------
    UnsupportedModule
        A construct without counterpart here, by name.
    InvalidValue
        Shapes that do not fit, values out of range.
    """
    return _NODES[node.kind](node, signal)


def _plain(node: Node, signal: Signal) -> None:
    if signal.current:
        raise UnsupportedModule(
            f"{node} follows another weighted node with no neuron between them: multiply the two, or put a neuron there"
        )


def _affine(node: Node, signal: Signal) -> Signal:
    _plain(node, signal)
    weight = weights(node, "weight", 2)
    bias = weights(node, "bias") if node.kind == "Affine" else None
    if bias is not None and bias.shape != weight.shape[:1]:
        raise InvalidValue(f"{node}: bias has shape {bias.shape}, must be {weight.shape[:1]}")
    shape = signal.shape
    # one example and one step that an exporter left in: (1, n), Rockpool's (1, 1, n)
    if (*(1 for _ in shape[1:]), weight.shape[1]) != shape:
        hint = ""
        if len(shape) > 1 and np.prod(shape) == weight.shape[1]:
            hint = "; put a Flatten before it"
        elif len(shape) > 1 and shape[-1] == weight.shape[1]:
            hint = "; export one example of one step, or put a Flatten before it"
        raise InvalidValue(f"{node}: weight has shape {weight.shape}, its input {shape}{hint}")
    return _dense(node, signal, weight, bias)


def _dense(node: Node, signal: Signal, weight: np.ndarray, bias: np.ndarray | None) -> Signal:
    if weight.size > MAX_WEIGHTS:
        raise InvalidValue(f"{node} has {weight.size} weights, the limit is {MAX_WEIGHTS}")
    kernel = weight.reshape(weight.shape[0], *signal.frame)
    terms = tuple(
        replace(term, connection=Connection(term.source, kernel, pool=term.pool, kind="linear"))
        for term in signal.terms
    )
    outputs = (weight.shape[0],)
    return Signal(outputs, frame_of(outputs), terms, bias)


def _conv(node: Node, signal: Signal) -> Signal:
    _plain(node, signal)
    flat = node.kind == "Conv1d"
    weight = weights(node, "weight", 3 if flat else 4)
    shape = signal.shape
    if len(shape) != weight.ndim - 1:
        raise InvalidValue(f"{node}: its input has shape {shape}, must be {'(C, L)' if flat else '(C, H, W)'}")
    if flat:
        weight = weight[:, :, None]
    groups, *others = whole(node, "groups", 1, 1 << 20)
    if others:
        raise InvalidValue(f"{node}: groups has several numbers, must have one")
    for name in ("stride", "dilation"):
        if flat and len(whole(node, name, 1, 1024)) != 1:
            raise InvalidValue(f"{node}: {name} has several numbers, must have one")
    stride, dilation = pair(node, "stride", 1, 1024), pair(node, "dilation", 1, 1024)
    if flat:
        stride, dilation = (1, stride[1]), (1, dilation[1])
    padding, behind = _padding(node, (weight.shape[2], weight.shape[3]), stride, dilation, flat)
    if node.values.get("input_shape") is not None:
        told = tuple(whole(node, "input_shape", 1, 1 << 20))
        if told != shape[1:]:
            raise InvalidValue(f"{node}: input_shape is {told}, its input {shape}")
    bias = weights(node, "bias")
    if bias.shape != weight.shape[:1]:
        raise InvalidValue(f"{node}: bias has shape {bias.shape}, must be {weight.shape[:1]}")
    if weight.shape[1] * groups != signal.frame[0]:
        each = f" in each of {groups} groups" if groups > 1 else ""
        raise InvalidValue(f"{node}: weight has {weight.shape[1]} input channels{each}, its input {signal.frame[0]}")
    try:
        connection = Connection(INPUT, weight, stride, padding, padding_after=behind, dilation=dilation, groups=groups)
    except InvalidValue as error:
        raise InvalidValue(f"{node}: {error}") from error
    result = _convolved(node, signal, connection, bias)
    return replace(result, shape=(result.frame[0], result.frame[2])) if flat else result


def _padding(node: Node, kernel: Pair, stride: Pair, dilation: Pair, flat: bool) -> tuple[Pair, Pair]:
    """Before and behind."""
    given = node.values["padding"]
    if not isinstance(given, str):
        if flat and len(whole(node, "padding", 0, 1024)) != 1:
            raise InvalidValue(f"{node}: padding has several numbers, must have one")
        padding = pair(node, "padding", 0, 1024)
        padding = (0, padding[1]) if flat else padding
        return padding, padding
    if given == "valid":
        return (0, 0), (0, 0)
    if given != "same":
        raise InvalidValue(f"{node}: padding is {given[:40]!r}, must be a number, same or valid")
    if stride != (1, 1):
        raise InvalidValue(f"{node}: padding same needs stride 1, it is {stride}")
    return same_padding(kernel, dilation)


def _convolved(node: Node, signal: Signal, connection: Connection, bias: np.ndarray | None) -> Signal:
    """Each term through ``connection``, whose source and pooling are the term's."""
    terms = []
    for term in signal.terms:
        if term.gain.shape[1:] != (1, 1):
            raise UnsupportedModule(
                f"{node}: a Scale before it differs within a channel; a convolution needs one factor for each channel"
            )
        terms.append(replace(term, connection=replace(connection, source=term.source, pool=term.pool)))
    try:
        frame = connection.output(signal.frame)
    except InvalidValue as error:
        raise InvalidValue(f"{node}: {error}") from error
    if np.prod(frame, dtype=np.float64) > MAX_PLACES:
        raise InvalidValue(f"{node}: its output {frame} has more than {MAX_PLACES} values")
    return Signal(frame, frame, tuple(terms), bias)


def _scale(node: Node, signal: Signal) -> Signal:
    scale = weights(node, "scale")
    while scale.ndim > len(signal.shape) and scale.shape[0] == 1:
        scale = scale[0]
    try:
        whole_scale = np.broadcast_to(scale, signal.shape)
    except ValueError as error:
        raise InvalidValue(f"{node}: scale has shape {scale.shape}, its input {signal.shape}") from error
    places = whole_scale.reshape(signal.frame)
    channels = places[:, :1, :1]
    uniform = bool((places == channels).all())
    if not signal.current:
        factor = np.array(channels if uniform else places)
        return replace(signal, terms=tuple(replace(term, gain=term.gain * factor) for term in signal.terms))
    if not uniform:
        raise UnsupportedModule(
            f"{node} differs within a channel of a current; weights are shared there: train one a channel"
        )
    return scaled(signal, channels[:, 0, 0])


def scaled(signal: Signal, factor: np.ndarray) -> Signal:
    """A current times a factor of each channel, ``[C]``; where all are 1 it stays as it is, to the last bit."""
    if (factor == 1).all():
        return signal
    terms = tuple(replace(t, connection=_weighted(t.connection, factor[:, None, None, None])) for t in signal.terms)
    return replace(signal, terms=terms, bias=None if signal.bias is None else signal.bias * factor)


def _weighted(connection: Connection | None, factor: np.ndarray) -> Connection:
    assert connection is not None
    return replace(connection, weight=connection.weight * factor)


def _pool(node: Node, signal: Signal) -> Signal:
    kernel, stride = pair(node, "kernel_size", 1, 1024), pair(node, "stride", 1, 1024)
    if pair(node, "padding", 0, 1024) != (0, 0):
        raise UnsupportedModule(f"{node} has padding, only pooling without is supported; train with padding=0")
    if kernel != stride:
        raise UnsupportedModule(
            f"{node} has windows {kernel} at stride {stride}; only windows that touch are supported"
        )
    if len(signal.shape) != 3:
        raise InvalidValue(f"{node}: its input has shape {signal.shape}, must be (C, H, W)")
    channels, height, width = signal.frame
    frame = (channels, height // kernel[0], width // kernel[1])
    if min(frame) < 1:
        raise InvalidValue(f"{node}: its windows {kernel} are larger than its input {signal.frame}")
    factor = 1.0 if node.kind == "SumPool2d" else 1 / (kernel[0] * kernel[1])
    terms = []
    for term in signal.terms:
        if signal.current:
            terms.append(replace(term, connection=_pooled_kernel(node, term.connection, kernel, factor)))
        elif term.gain.shape[1:] != (1, 1):
            raise UnsupportedModule(
                f"{node}: a Scale before it differs within a channel; pooling needs one factor a channel"
            )
        else:
            pool = (term.pool[0] * kernel[0], term.pool[1] * kernel[1])
            terms.append(replace(term, pool=pool, gain=term.gain * factor))
    bias = signal.bias
    if bias is not None:
        bias = bias * (factor * kernel[0] * kernel[1])
    return Signal(frame, frame, tuple(terms), bias)


def _pooled_kernel(node: Node, connection: Connection | None, pool: Pair, factor: float) -> Connection:
    """Convolution, then sums over windows, as one convolution: kernels shifted by the stride, added up.

    Taps lie ``dilation`` apart and windows' places ``stride``, those of the sum on multiples of what divides both.
    """
    assert connection is not None
    if connection.kind == "linear":
        raise InvalidValue(f"{node}: it pools a vector")
    outputs, inputs, rows, columns = connection.weight.shape
    (my, ty, sy), (mx, tx, sx) = (
        _grid(*axis) for axis in zip(connection.kernel, connection.dilation, pool, connection.stride, strict=True)
    )
    (py, px), spans = pool, ((rows - 1) * ty + 1, (columns - 1) * tx + 1)
    size = (outputs, inputs, (py - 1) * sy + spans[0], (px - 1) * sx + spans[1])
    if np.prod(size, dtype=np.float64) > MAX_WEIGHTS:
        raise InvalidValue(f"{node}: folded into the convolution before it, it has more than {MAX_WEIGHTS} weights")
    tall = np.zeros((*size[:3], columns))
    for y in range(py):
        tall[:, :, y * sy : y * sy + spans[0] : ty] += connection.weight
    kernel = np.zeros(size)
    for x in range(px):
        kernel[..., x * sx : x * sx + spans[1] : tx] += tall
    stride = (connection.stride[0] * py, connection.stride[1] * px)
    kind = connection.kind if kernel.shape[2:] == (1, 1) else "conv2d"
    try:
        return replace(connection, weight=kernel * factor, stride=stride, dilation=(my, mx), kind=kind)
    except InvalidValue as error:
        raise InvalidValue(f"{node}: folded into the convolution before it, {error}") from error


def _grid(kernel: int, dilation: int, pool: int, stride: int) -> tuple[int, int, int]:
    """Along one axis the spacing of the folded kernel, and in units of it that of the taps and of the windows' places."""
    if pool == 1:
        return dilation, 1, 1
    spacing = gcd(dilation, stride) if kernel > 1 else stride
    return spacing, dilation // spacing if kernel > 1 else 1, stride // spacing


def _flatten(node: Node, signal: Signal) -> Signal:
    shape = signal.shape
    (start,), (end,) = whole(node, "start_dim", -8, 8)[:1], whole(node, "end_dim", -8, 8)[:1]
    first, last = (d + len(shape) if d < 0 else d for d in (start, end))
    if not 0 <= first <= last < len(shape):
        if (start, len(shape)) == (1, 1):  # a batch was counted; a vector is flat
            return signal
        raise InvalidValue(f"{node}: it flattens dimensions {start} to {end} of {shape}, which has {len(shape)}")
    flat = (*shape[:first], int(np.prod(shape[first : last + 1])), *shape[last + 1 :])
    if flat == shape:
        return signal
    kept = [extent for extent in flat if extent > 1]
    if len(kept) > 1:
        raise UnsupportedModule(
            f"{node} makes {flat} of {shape}; only flattening into a vector is supported: start_dim 0"
        )
    if signal.current and signal.frame[1:] != (1, 1):
        raise UnsupportedModule(f"{node} flattens a current; put it behind the neuron")
    return replace(signal, shape=(int(np.prod(shape)),))


_NODES = {
    "Affine": _affine,
    "Linear": _affine,
    "Conv1d": _conv,
    "Conv2d": _conv,
    "Scale": _scale,
    "SumPool2d": _pool,
    "AvgPool2d": _pool,
    "Flatten": _flatten,
}
