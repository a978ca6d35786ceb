"""Recurrent spiking networks: dense layers over tokens, membranes that leak between tokens and are never reset.

A sequence is ``[S, C]``: S tokens of C unsigned 8-bit pixels, each shown for T steps. One neuron, per token, with
``U`` the charge that it carries, 0 before the first token::

    V = τ·U + shift
    stream:     T times: V += Σ w·s + bias, then V ≥ θ: s = 1, V −= θ
    two_phase:  V += Σ_T Σ w·s + bias, then T times: V ≥ θ: s = 1, V −= θ
    U = V − shift

In integers ``τ·U`` is two arithmetic shifts (``Leak.shifted``). Pixels are a current: ``Σ w·x`` is added in each of the
T steps, in ``two_phase`` T times at once. ``U / T`` is the residual ``r`` of the source layer
``z_t = W·x_t + b + τ·r_{t−1}``, ``a_t = clip(z_t, 0, θ)``, ``r_t = z_t − a_t``. The readout has no threshold and no
leak: its V adds up over all tokens, and after the last one V are the class scores.

Shift. With ``shift = θ/2`` and ``two_phase`` the spike count of a token is ``T·z/θ`` rounded to the nearest, and what
rounding leaves, ``U`` in [−θ/2, θ/2), has no preferred sign: the next token inherits an unbiased error. That needs the
shift to be lent, not given. Given once a token (the ``b + θ/2T`` of the feed-forward method), it would leak on and
raise every start by τθ/2 on average; given to the first token only, or never (``shift = 0``, V stays in [0, θ)), starts
end up (1 − τ)θ/2 too low.

Source: Deng & Gu, "Optimal conversion of conventional artificial neural networks to spiking neural networks", ICLR
2021, appendix; a reading of its text, which comes without code. There is no RTL for these networks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np

from toolchain.connection import frozen
from toolchain.errors import InvalidValue
from toolchain.fixedpoint import MembraneRange, signed_width, weight_limit
from toolchain.ir import MAX_TIME_STEPS, MEMBRANE_LIMIT_BITS, PIXEL_MAX, content_digest

__all__ = [
    "MAX_LEAK_SHIFT",
    "MAX_TOKENS",
    "RECURRENT_SCHEDULES",
    "FixedPointRecurrentLayer",
    "FixedPointRecurrentNetwork",
    "Leak",
    "RecurrentLayer",
    "RecurrentNetwork",
    "RecurrentTrace",
    "TokenNetwork",
]

RECURRENT_SCHEDULES = ("stream", "two_phase")
MAX_LEAK_SHIFT = 15
"""Largest exponent of a leak: 2^−15 of a 32-bit membrane is as fine as a 16-bit weight."""
MAX_TOKENS = 65536


@dataclass(frozen=True)
class Leak:
    """``τ = 2^−first + 2^−second``, or ``2^−first`` without ``second``: two shifts and one adder, 0 < τ ≤ 0.75.

    Raises
    ------
    InvalidValue
        ``first`` outside 1 to ``MAX_LEAK_SHIFT``, ``second`` outside ``first + 1`` to ``MAX_LEAK_SHIFT``.
    """

    first: int
    second: int | None = None

    def __post_init__(self) -> None:
        if type(self.first) is not int or not 1 <= self.first <= MAX_LEAK_SHIFT:
            raise InvalidValue(f"leak shift is {self.first}, must be 1 to {MAX_LEAK_SHIFT}")
        if self.second is not None and (type(self.second) is not int or not self.first < self.second <= MAX_LEAK_SHIFT):
            raise InvalidValue(
                f"second leak shift is {self.second}, must be above the first, {self.first}, and at most "
                f"{MAX_LEAK_SHIFT}; two equal powers are one larger power"
            )

    @classmethod
    def nearest(cls, tau: float) -> "Leak":
        """The leak nearest to ``tau``; of two at the same distance the one with larger τ.

        The largest is 0.75, so that 0.9 becomes 0.75: train the source with ``Leak.value``.

        Raises
        ------
        InvalidValue
            ``tau`` is not between 0 and 1.
        """
        if not 0 < tau < 1:
            raise InvalidValue(f"leak τ is {tau}, must lie between 0 and 1, both excluded")
        powers = range(1, MAX_LEAK_SHIFT + 1)
        leaks = [cls(a, b) for a in powers for b in (None, *range(a + 1, MAX_LEAK_SHIFT + 1))]
        return min(leaks, key=lambda leak: (abs(leak.value - tau), -leak.value))

    @property
    def value(self) -> float:
        """τ, exact."""
        return 2.0**-self.first + (0.0 if self.second is None else 2.0**-self.second)

    def shifted(self, membrane: np.ndarray) -> np.ndarray:
        """``(V >> first) + (V >> second)`` of int64, any shape; shifts are arithmetic, they round down.

        ``τV − (2 − τ) ≤ result ≤ τV`` (``1 − τ`` instead of ``2 − τ`` with one power), so a token costs less than
        2 LSB; over any number of tokens these add up to less than ``2 / (1 − τ)``, 8 LSB at most.
        The result never falls as V rises.
        """
        once = membrane >> self.first
        return once if self.second is None else once + (membrane >> self.second)


@dataclass(frozen=True, eq=False)
class RecurrentLayer:
    """Dense layer in floating point, independent of T: a spike is worth ``threshold``.

    Members
    -------
    weight : [C_out, C_in]
    threshold : [C_out] or None
        θ, above 0; ``None`` for the readout, which never fires.
    bias : [C_out]
    shift : [C_out]
        Lent to the membrane during a token, 0 to θ; 0 for the readout.
    leak : Leak or None
        ``None`` for the readout, which forgets nothing.

    Raises
    ------
    InvalidValue
        Wrong shapes, NaN, a threshold of 0, or a readout that leaks; names the layer.
    """

    name: str
    weight: np.ndarray
    threshold: np.ndarray | None
    bias: np.ndarray
    shift: np.ndarray
    leak: Leak | None

    _dtype: ClassVar[type] = np.float64

    def __post_init__(self) -> None:
        weight = np.asarray(self.weight)
        if weight.ndim != 2 or 0 in weight.shape:
            raise InvalidValue(f"layer {self.name}: weight has shape {weight.shape}, must be [C_out, C_in]")
        for name in ("weight", "threshold", "bias", "shift"):
            if getattr(self, name) is None:
                continue
            value = np.asarray(getattr(self, name))
            self._check_values(name, value)
            if name != "weight" and value.shape != weight.shape[:1]:
                raise InvalidValue(
                    f"layer {self.name}: {name} has shape {value.shape}, must be ({weight.shape[0]},), one value for "
                    "each output channel"
                )
            object.__setattr__(self, name, frozen(value, self._dtype))
        if (self.threshold is None) != (self.leak is None):
            raise InvalidValue(
                f"layer {self.name} has {'no ' if self.threshold is None else 'a '}threshold and "
                f"{'no ' if self.leak is None else 'a '}leak, must have both, or none of them as a readout"
            )
        if self.threshold is not None and not (self.threshold > 0).all():
            worst = int(np.argmin(self.threshold))
            raise InvalidValue(
                f"layer {self.name}: threshold of channel {worst} is {self.threshold[worst]}, must be above 0"
            )
        most = np.zeros_like(self.shift) if self.threshold is None else self.threshold
        if not ((self.shift >= 0) & (self.shift <= most)).all():
            worst = int(np.argmax(np.maximum(-self.shift, self.shift - most)))
            raise InvalidValue(
                f"layer {self.name}: shift of channel {worst} is {self.shift[worst]}, must be 0 to the threshold, "
                f"{most[worst]}"
            )

    def _check_values(self, name: str, value: np.ndarray) -> None:
        if not np.issubdtype(value.dtype, np.number) or not np.isfinite(value).all():
            raise InvalidValue(f"layer {self.name}: {name} holds NaN or infinite values, or no numbers")

    @property
    def channels(self) -> int:
        """Output channels."""
        return int(self.weight.shape[0])

    def arrays(self) -> dict[str, np.ndarray]:
        """The layer's arrays by name."""
        arrays = {"weight": self.weight, "bias": self.bias, "shift": self.shift}
        return arrays if self.threshold is None else {**arrays, "threshold": self.threshold}


@dataclass(frozen=True, eq=False)
class FixedPointRecurrentLayer(RecurrentLayer):
    """Integer layer, int64 below 2^31; ``bias`` is added every step of ``stream``, once a token of ``two_phase``."""

    _dtype: ClassVar[type] = np.int64

    def _check_values(self, name: str, value: np.ndarray) -> None:
        if not np.issubdtype(value.dtype, np.integer):
            raise InvalidValue(f"layer {self.name}: {name} is {value.dtype}, must be integers")
        if int(value.max()) >= 2**31 or int(value.min()) <= -(2**31):
            raise InvalidValue(f"layer {self.name}: {name} holds integers beyond 32 bits")

    def proven(self, amplitude: int, schedule: str, time_steps: int, tokens: int) -> MembraneRange:
        """Range of V, U and every partial sum between them, for any input and event order.

        The readout adds up ``tokens`` tokens: its extremes are ``tokens`` times those of one. A layer that leaks
        has the same range after any number of tokens. Let U of a channel lie in [l, h] before a token. The leak
        never falls as U rises, and neither do the extremes of a step (``fixedpoint.membrane_range``, positive
        test), so one pass over a token takes [l, h] to an interval [l', h'] that every U after it lies in, larger if
        [l, h] is. From [0, 0] on, [l, h] grows to its union with [l', h'], token by token, until it stays the
        same; then no further token leads out of it. It must come to stay: a token takes away at most T·n and adds
        at most T·p (bias included), and each 1 of U is worth τ one token later, so the geometric series keeps
        U above ``−(T·n + 2) / (1 − τ) − shift`` and below ``T·p / (1 − τ) + θ``, and integers cannot grow for ever
        below a bound.

        Parameters
        ----------
        amplitude : int
            Largest value of an input in one step: 255 for pixels, 1 for spikes.
        """
        positive = amplitude * np.maximum(self.weight, 0).sum(axis=1)
        negative = amplitude * np.maximum(-self.weight, 0).sum(axis=1)
        rounds, firings = (time_steps, 1) if schedule == "stream" else (1, time_steps)
        positive, negative = positive * firings, negative * firings
        rises, falls = positive + np.maximum(self.bias, 0), negative + np.maximum(-self.bias, 0)
        if self.threshold is None or self.leak is None:
            return MembraneRange(-tokens * rounds * int(falls.max()), tokens * rounds * int(rises.max()))
        under = over = low = high = np.zeros_like(self.bias)
        while True:
            least, most = self.leak.shifted(under), self.leak.shifted(over)
            low, high = np.minimum(low, least), np.maximum(high, most)
            least, most = least + self.shift, most + self.shift
            for _ in range(rounds):
                low, high = np.minimum(low, least - falls), np.maximum(high, most + rises)
                least, most = least - negative + self.bias, most + positive + self.bias
                fires = most >= self.threshold
                most = np.where(fires, np.maximum(most - firings * self.threshold, self.threshold - 1), most)
                least = np.where(fires, np.minimum(least, 0), least)
            wider = np.minimum(under, least - self.shift), np.maximum(over, most - self.shift)
            low, high = np.minimum(low, wider[0]), np.maximum(high, wider[1])
            if np.array_equal(wider[0], under) and np.array_equal(wider[1], over):
                return MembraneRange(int(low.min()), int(high.max()))
            under, over = wider


L = TypeVar("L", bound=RecurrentLayer)


@dataclass(frozen=True, eq=False)
class TokenNetwork(Generic[L]):
    """What both kinds of recurrent network share; validated as a whole on construction.

    Members
    -------
    inputs : int
        Pixels of a token, C.
    schedule : str
        One of ``RECURRENT_SCHEDULES``.
    time_steps : int
        T steps a token, 1 to ``MAX_TIME_STEPS``.
    tokens : int
        Longest sequence, 1 to ``MAX_TOKENS``: only the readout, which adds up all tokens, depends on it.
    layers : tuple
        A chain; the last is the readout.
    provenance : mapping of JSON values
        Where the network comes from, no part of the fingerprint.
    """

    name: str
    inputs: int
    schedule: str
    time_steps: int
    tokens: int
    layers: tuple[L, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def _validate(self) -> None:
        if self.schedule not in RECURRENT_SCHEDULES:
            raise InvalidValue(f"schedule is {self.schedule!r}, must be one of {', '.join(RECURRENT_SCHEDULES)}")
        for name, value, most in (
            ("time steps", self.time_steps, MAX_TIME_STEPS),
            ("tokens", self.tokens, MAX_TOKENS),
        ):
            if type(value) is not int or not 1 <= value <= most:
                raise InvalidValue(f"{name} is {value}, must be 1 to {most}")
        if not self.layers:
            raise InvalidValue("the network has no layer")
        width = self.inputs
        for index, layer in enumerate(self.layers):
            if layer.weight.shape[1] != width:
                raise InvalidValue(
                    f"layer {layer.name}: weight {layer.weight.shape} expects {layer.weight.shape[1]} inputs, its source "
                    f"has {width}"
                )
            width = layer.channels
            if (layer.threshold is None) != (index == len(self.layers) - 1):
                raise InvalidValue(
                    f"layer {layer.name} {'never fires' if layer.threshold is None else 'fires'}: the last layer, and no "
                    "other, must be a readout without threshold"
                )

    def check(self, sequences: np.ndarray) -> None:
        """Refuse sequences that are not uint8 ``[N, S, C]`` of this network's C, with 1 to ``tokens`` tokens."""
        if sequences.dtype != np.uint8:
            raise InvalidValue(f"sequences are {sequences.dtype}, must be uint8 pixels of 0 to {PIXEL_MAX}")
        if sequences.ndim != 3 or sequences.shape[2] != self.inputs:
            raise InvalidValue(f"sequences have shape {sequences.shape}, must be [N, S, C] with C = {self.inputs}")
        if len(sequences) == 0:
            raise InvalidValue("there is no sequence to run, at least 1 is needed")
        if not 1 <= sequences.shape[1] <= self.tokens:
            raise InvalidValue(
                f"sequences have {sequences.shape[1]} tokens, this network takes 1 to {self.tokens}; convert it with "
                "more tokens"
            )

    def header(self) -> dict[str, Any]:
        """Everything but the arrays and the provenance, as JSON values."""
        return {
            "name": self.name,
            "inputs": self.inputs,
            "schedule": self.schedule,
            "time_steps": self.time_steps,
            "tokens": self.tokens,
            "layers": [
                {"name": layer.name, "leak": None if layer.leak is None else [layer.leak.first, layer.leak.second]}
                for layer in self.layers
            ],
        }

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all that the network means, 64 hexadecimal digits: header and arrays, but no names."""
        arrays = {f"{index}.{name}": a for index, layer in enumerate(self.layers) for name, a in layer.arrays().items()}
        return content_digest(self.header(), arrays)

    def with_provenance(self, **entries: Any) -> Self:
        """The same network with more provenance."""
        return replace(self, provenance={**self.provenance, **entries})


@dataclass(frozen=True, eq=False)
class RecurrentNetwork(TokenNetwork[RecurrentLayer]):
    """Recurrent spiking network in floating point; ``pixel_scale`` is the activation that one pixel step stands for."""

    pixel_scale: float = 1 / PIXEL_MAX

    def __post_init__(self) -> None:
        if not (np.isfinite(self.pixel_scale) and self.pixel_scale > 0):
            raise InvalidValue(f"pixel scale is {self.pixel_scale}, must be above 0")
        self._validate()

    def header(self) -> dict[str, Any]:
        return {**super().header(), "pixel_scale": self.pixel_scale}


@dataclass(frozen=True, eq=False)
class FixedPointRecurrentNetwork(TokenNetwork[FixedPointRecurrentLayer]):
    """Integers only; constructing the network proves the membrane range of every layer (``ranges``).

    Raises
    ------
    InvalidValue
        A weight exceeds ``weight_bits`` (2 to 16), or a membrane would need more than ``MEMBRANE_LIMIT_BITS`` bits.
    """

    weight_bits: int = 8

    def __post_init__(self) -> None:
        if type(self.weight_bits) is not int or not 2 <= self.weight_bits <= 16:
            raise InvalidValue(f"weight bits is {self.weight_bits}, must be 2 to 16")
        self._validate()
        limit = weight_limit(self.weight_bits)
        for layer in self.layers:
            largest = int(np.abs(layer.weight).max())
            if largest > limit:
                raise InvalidValue(
                    f"layer {layer.name}: weight {largest} exceeds {limit}, the limit of {self.weight_bits} bits"
                )
        for layer, proven in zip(self.layers, self.ranges, strict=True):
            # the threshold must fit the word too, so that both compare in it
            bits = max(proven.bits, signed_width(0, 0 if layer.threshold is None else int(layer.threshold.max())))
            if bits > MEMBRANE_LIMIT_BITS:
                raise InvalidValue(
                    f"layer {layer.name} needs a {bits}-bit membrane, the limit is {MEMBRANE_LIMIT_BITS}; "
                    f"use fewer weight bits{', tokens' if layer.threshold is None else ''} or time steps"
                )

    def header(self) -> dict[str, Any]:
        return {**super().header(), "weight_bits": self.weight_bits}

    @cached_property
    def ranges(self) -> tuple[MembraneRange, ...]:
        """Proven membrane range of each layer (``FixedPointRecurrentLayer.proven``)."""
        return tuple(
            layer.proven(PIXEL_MAX if index == 0 else 1, self.schedule, self.time_steps, self.tokens)
            for index, layer in enumerate(self.layers)
        )


@dataclass(frozen=True, eq=False)
class RecurrentTrace:
    """What a run of N sequences of S tokens left behind.

    Members
    -------
    fingerprint : str
        Of the network that ran.
    scores : int64 or float64 [N, classes]
        The readout's membranes after the last token; of a float network divided by T, on the source's scale.
    spikes : tuple of int8 [N, S, T, C]
        Of each layer that fires.
    charges : tuple of int64 or float64 [N, S, C]
        U of every layer after each token; the readout's V.
    extremes : tuple of MembraneRange
        Lowest and highest value that any membrane of a layer took, between two events too; the oracle's only.
    """

    fingerprint: str
    scores: np.ndarray
    spikes: tuple[np.ndarray, ...]
    charges: tuple[np.ndarray, ...]
    extremes: tuple[MembraneRange, ...] = ()

    def __post_init__(self) -> None:
        for array in (self.scores, *self.spikes, *self.charges):
            array.setflags(write=False)

    @property
    def predictions(self) -> np.ndarray:
        """Class of the largest score, the first of equals, int64 ``[N]``."""
        return self.scores.argmax(axis=1)
