"""Leaky membranes and currents: the share that stays from one step to the next, and shifts and adders that come near it.

A leak acts between two steps of ``stream``: after every step but the last, ``V ← β·V``. That is the leak at the start of
every step but the first of LIF neurons elsewhere. In integers it is ``V ← V − Σ ±(V >> k)`` with at most ``MAX_TERMS``
signed powers of two: arithmetic shifts that round down, each on its own. Where a neuron fires in that step, either the
reset comes first, ``V ← decay(V − θ)``, or the leak does, ``V ← decay(V) − θ`` (``LEAK_ORDERS``).

A synaptic current that lasts (CubaLIF) is a second state, I, 0 before the first step: in each step ``I ← I + Σ w·s + bias``,
``V ← V + I``, the neuron fires, and after every step but the last ``I ← α·I``, by a decay of the same kind; no reset touches it.

``toolchain.recurrent.Leak`` is another thing: what recurrent networks keep from one token to the next, two powers of two
that are added, at most 0.75.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise, product

import numpy as np

from toolchain.errors import InvalidValue

__all__ = [
    "LEAK_ORDERS",
    "MAX_DECAY_SHIFT",
    "MAX_TERMS",
    "Decay",
    "check_current",
    "check_leak",
    "check_share",
    "time_constant",
]

LEAK_ORDERS = ("reset_first", "leak_first")
"""Of a neuron that fires: ``V ← decay(V − θ)`` (spikingjelly, sinabs, Norse; ``V ← 0`` with reset zero), or
``V ← decay(V) − θ`` (the delayed reset by subtraction of snnTorch)."""
MAX_DECAY_SHIFT = 15
MAX_TERMS = 3
_ONE = 1 << MAX_DECAY_SHIFT


def check_share(where: str, share: object, *, current: bool = False) -> float:
    """β of a floating-point leak, or α of a ``current``, above 0 and below 1; ``where`` names the layer for the message."""
    if not isinstance(share, float) or not 0 < share < 1:
        if current:
            raise InvalidValue(
                f"{where}: current leak is {share}, must be a number above 0 and below 1, the share of the synaptic current "
                "that stays each step; leave it out where none stays"
            )
        raise InvalidValue(
            f"{where}: leak is {share}, must be a number above 0 and below 1, the share of the membrane that stays each "
            "step; leave it out where all of it stays"
        )
    return float(share)


def check_leak(where: str, *, schedule: str, negative: str, reset: str, order: str) -> None:
    """Refuse a neuron that cannot leak; ``where`` names the layer.

    Raises
    ------
    InvalidValue
        Another schedule than ``stream``, negative spikes, or ``leak_first`` with reset zero.
    """
    if schedule != "stream":
        raise InvalidValue(
            f"{where} leaks, which needs schedule stream, not {schedule}: elsewhere a membrane collects all steps before it "
            "fires; use stream, or leave the leak out"
        )
    if negative != "none":
        raise InvalidValue(
            f"{where} leaks, which needs negative none, not {negative}: no neuron here leaks and fires negative spikes; "
            "leave out one of them"
        )
    if order == "leak_first" and reset == "zero":
        raise InvalidValue(
            f"{where} leaks with leak order leak_first, which needs reset subtract: a membrane set to 0 leaks nothing; use "
            "reset_first, which is the same there"
        )


def check_current(where: str, *, schedule: str, negative: str) -> None:
    """Refuse a neuron whose synaptic current cannot last; ``where`` names the layer.

    Raises
    ------
    InvalidValue
        Another schedule than ``stream``, or negative spikes.
    """
    if schedule != "stream":
        raise InvalidValue(
            f"{where} has a synaptic current that lasts, which needs schedule stream, not {schedule}: elsewhere a membrane "
            "collects all steps before it fires; use stream, or leave the current leak out"
        )
    if negative != "none":
        raise InvalidValue(
            f"{where} has a synaptic current that lasts, which needs negative none, not {negative}: no neuron here has one and "
            "fires negative spikes; leave out one of them"
        )


def time_constant(share: float) -> float:
    """τ = −1/ln β, in steps: after so many, 1/e is left."""
    return -1 / math.log(share)


@dataclass(frozen=True)
class Decay:
    """``decay(V) = V − Σ ±(V >> k)``, near ``β·V`` with ``β = 1 − Σ ±2^−k``.

    Each shift rounds down on its own, so that ``decay(V)`` lies above ``β·V − 2`` and below ``β·V + 3``; it is not
    always monotone, and a small negative V may change its sign or stay.

    Members
    -------
    terms : tuple of int
        Signed shifts, ±k for ±2^−k: ``(3, -5)`` takes off V >> 3 and gives back V >> 5. One to ``MAX_TERMS``, k from 0 to
        ``MAX_DECAY_SHIFT``, increasing; the first is positive. 0 takes off all of V, ``(0, -2)`` leaves V >> 2.

    Raises
    ------
    InvalidValue
        Other terms, or β not above 0.
    """

    terms: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", tuple(self.terms))
        shifts = [abs(term) if type(term) is int else -1 for term in self.terms]
        rising = all(a < b for a, b in pairwise(shifts))
        if not 1 <= len(shifts) <= MAX_TERMS or not rising or shifts[0] < 0 or shifts[-1] > MAX_DECAY_SHIFT:
            raise InvalidValue(
                f"leak is {list(self.terms)}, must be 1 to {MAX_TERMS} signed shifts of 0 to {MAX_DECAY_SHIFT} whose "
                "magnitudes increase"
            )
        if self.terms[0] < 0 or self._kept <= 0:
            raise InvalidValue(
                f"leak is {list(self.terms)}, which keeps {self.share:g} of a membrane, must be above 0 and below 1"
            )

    @classmethod
    def nearest(cls, share: float) -> "Decay":
        """The decay nearest to β; of several that of fewer terms, then of least ``bias``, of fewer adders, of larger shifts.

        Raises
        ------
        InvalidValue
            β is not above 0 and below 1.
        """
        check_share("this neuron", share)

        def rank(decay: "Decay") -> tuple[float, int, float, int, list[int]]:
            distance = abs(decay.share - share)
            return distance, len(decay.terms), abs(decay.bias), decay.adders, [-abs(term) for term in decay.terms]

        return min(_all_decays(), key=rank)

    @property
    def _kept(self) -> int:
        """β in units of 2^−MAX_DECAY_SHIFT."""
        return _ONE - sum((1 if term >= 0 else -1) * (_ONE >> abs(term)) for term in self.terms)

    @property
    def share(self) -> float:
        """β, exact."""
        return self._kept / _ONE

    @property
    def bias(self) -> float:
        """Mean of decay(V) − β·V over all V: what rounding down adds a step, in units of the membrane."""
        return sum((1 if term >= 0 else -1) * (1 - 2.0 ** -abs(term)) / 2 for term in self.terms)

    @property
    def taken(self) -> tuple[int, ...]:
        """Shifts whose V >> k is taken off."""
        return tuple(term for term in self.terms if term >= 0)

    @property
    def given_back(self) -> tuple[int, ...]:
        """Shifts whose V >> k is given back."""
        return tuple(-term for term in self.terms if term < 0)

    @property
    def adders(self) -> int:
        """Additions and subtractions of one decay; V − (V >> 0) needs none."""
        return len(self.terms) - (2 if self.terms[0] == 0 else 0)

    def text(self) -> str:
        """``1 − 2^−3 + 2^−5``, as β is made."""
        return "1" + "".join(f" {'−' if term >= 0 else '+'} 2^−{abs(term)}" for term in self.terms).replace("2^−0", "1")

    def extremes(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bounds, int64 of any shape, on decay(V) for V from ``low`` to ``high``.

        V >> k is 2^−k·V less at most 1 − 2^−k. So decay(V) is at most β·V and the sum of these over the shifts that
        are taken off, and at least β·V less their sum over those that are given back. Besides, 0 ≤ decay(V) ≤ V where
        V ≥ 0, and decay(V) is less than the number of shifts taken off where V < 0.
        """
        over = sum(_ONE - (_ONE >> shift) for shift in self.taken)
        under = sum(_ONE - (_ONE >> shift) for shift in self.given_back)
        most = np.minimum(self._scaled(high, over), np.maximum(high, len(self.taken) - 1))
        least = -self._scaled(-low, under)
        return np.where(low >= 0, np.maximum(least, 0), least), most

    def _scaled(self, membrane: np.ndarray, more: int) -> np.ndarray:
        """``⌊β·V + more·2^−MAX_DECAY_SHIFT⌋``, without products beyond 64 bits."""
        whole, rest = membrane >> MAX_DECAY_SHIFT, membrane & (_ONE - 1)
        return whole * self._kept + ((rest * self._kept + more) >> MAX_DECAY_SHIFT)


@lru_cache(maxsize=1)
def _all_decays() -> tuple[Decay, ...]:
    """Every decay there is."""
    found = []
    for count in range(1, MAX_TERMS + 1):
        for shifts in combinations(range(MAX_DECAY_SHIFT + 1), count):
            for signs in product((1, -1), repeat=count - 1):
                terms = (shifts[0], *(s * k for s, k in zip(signs, shifts[1:], strict=True)))
                if sum((1 if t >= 0 else -1) * (_ONE >> abs(t)) for t in terms) < _ONE:
                    found.append(Decay(terms))
    return tuple(found)
