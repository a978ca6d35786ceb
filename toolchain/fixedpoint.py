"""Rounding, word widths and the proven range of a membrane: integer facts with no network in them."""

from dataclasses import dataclass

import numpy as np

from toolchain.leak import Decay

__all__ = ["MembraneRange", "membrane_range", "round_half_up", "signed_width", "weight_limit"]


def round_half_up(values: np.ndarray) -> np.ndarray:
    """``⌊x + ½⌋`` as int64, any shape; never round-half-even (design, section 3)."""
    return np.floor(np.asarray(values, np.float64) + 0.5).astype(np.int64)


def signed_width(low: int, high: int) -> int:
    """Bits of the narrowest two's-complement word that holds every integer of ``[low, high]``."""
    return 1 + max(int(high).bit_length() if high > 0 else 0, (-int(low) - 1).bit_length() if low < 0 else 0)


def weight_limit(bits: int) -> int:
    """Largest magnitude of a symmetric ``bits``-bit weight, ``2^(bits−1) − 1``."""
    return 2 ** (bits - 1) - 1


@dataclass(frozen=True)
class MembraneRange:
    """Closed range ``[low, high]`` that a membrane, and a current that lasts, never leaves, for any input and event order."""

    low: int
    high: int

    @property
    def bits(self) -> int:
        """Width of the signed word that holds the range."""
        return signed_width(self.low, self.high)

    @property
    def magnitude(self) -> int:
        """Largest absolute value in the range."""
        return max(-self.low, self.high)


def membrane_range(
    excitation: np.ndarray,
    inhibition: np.ndarray,
    threshold: np.ndarray | None,
    offset: np.ndarray,
    bias: np.ndarray,
    *,
    schedule: str,
    negative: str,
    reset: str,
    compare: str,
    time_steps: int,
    presentations: int,
    constant_current: bool,
    negative_threshold: np.ndarray | None = None,
    leak: Decay | None = None,
    leak_order: str = "reset_first",
    current_leak: Decay | None = None,
) -> MembraneRange:
    """Prove the range of a layer's membranes over every possible input.

    Let ``p`` and ``n`` be the most that one presentation can add and take away. ``two_phase`` and
    ``radix``: all presentations come before the first firing, which only moves ``V`` towards zero, so
    ``V`` stays in ``[offset − k·n, offset + k·p]`` (but ``floor`` may end at up to θ − 1); a firing of ``radix`` is a comparison with half
    of the last threshold, which is ``V ← 2V`` without the growth. ``stream``: the extremes are
    followed step by step. Let ``u`` be the largest V that does not fire, θ − 1 (θ if ``gt``): after
    firing V is at most ``max(V − θ, u)`` (``u`` if it is reset to zero) and, if it can fire, at least 0;
    ``symmetric`` and ``asymmetric`` mirror that below zero; ``correcting`` may lift a negative V up to θ − 1,
    ``floor`` always lifts it by θ, ``memory`` may lift one of −θ or less up to 0.
    Partial sums inside a step are covered, since all ``p`` may arrive before all ``n``. A ``leak`` takes the
    interval after each step but the last into that of ``Decay.extremes``, rounding included; ``leak_first`` does so with
    the V that do not fire and those that do apart, and takes θ off the latter.

    With a ``current_leak`` the presentations add to a current I, 0 at first, whose extremes are followed in the same way, and
    all of I comes to V in each step: a current at its extreme all the time is one that is driven as much as can be, so that
    ``V`` is bounded by the sums of the geometric weights. The range holds both.

    Parameters
    ----------
    excitation, inhibition : int64 [C], not negative
        Largest sum of positive (negative, as a magnitude) contributions of one presentation.
    threshold, offset, bias : int64 [C]
        ``θ`` (``None``: the layer does not fire), offset (once), bias (each step of ``stream``).
    negative_threshold : int64 [C]
        ``θ⁻`` of ``asymmetric``.
    constant_current : bool
        The input is a frame whose current is held and added every step of ``stream``; the current,
        bias included, then lies in the range too.
    presentations : int
        How often input arrives, spikes weighed by what they are worth: ``levels`` of the network, or
        1 for a frame integrated once outside ``stream``.
    """
    low = np.minimum(offset, 0)
    high = np.maximum(offset, 0)
    if schedule != "stream":
        low = np.minimum(low, offset - presentations * inhibition)
        high = np.maximum(high, offset + presentations * excitation)
        if negative == "floor" and threshold is not None:
            high = np.where(low < 0, np.maximum(high, threshold - 1), high)
        return MembraneRange(int(low.min()), int(high.max()))
    if constant_current:
        low = np.minimum(low, np.minimum(bias, 0) - inhibition)
        high = np.maximum(high, np.maximum(bias, 0) + excitation)
    least, most = offset.copy(), offset.copy()
    weakest, strongest = np.zeros_like(offset), np.zeros_like(offset)  # what there is of the current
    for step in range(time_steps):
        if current_leak is None:
            low = np.minimum(low, least - inhibition + np.minimum(bias, 0))
            high = np.maximum(high, most + excitation + np.maximum(bias, 0))
            least = least - inhibition + bias
            most = most + excitation + bias
        else:
            low = np.minimum(low, weakest - inhibition + np.minimum(bias, 0))
            high = np.maximum(high, strongest + excitation + np.maximum(bias, 0))
            weakest, strongest = weakest - inhibition + bias, strongest + excitation + bias
            least, most = least + weakest, most + strongest
            low, high = np.minimum(low, least), np.maximum(high, most)
            weakest, strongest = current_leak.extremes(weakest, strongest)
            low, high = np.minimum(low, weakest), np.maximum(high, strongest)
        before = least, most
        if threshold is not None:
            least, most = _fired(least, most, threshold, negative_threshold, negative, reset, compare)
        low, high = np.minimum(low, least), np.maximum(high, most)
        if leak is None or step == time_steps - 1:
            continue
        if leak_order == "leak_first" and threshold is not None:
            least, most = _leaked_first(leak, *before, threshold, compare)
        else:
            least, most = leak.extremes(least, most)
        low, high = np.minimum(low, least), np.maximum(high, most)
    return MembraneRange(int(low.min()), int(high.max()))


def _leaked_first(
    leak: Decay, least: np.ndarray, most: np.ndarray, threshold: np.ndarray, compare: str
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds on decay(V), less θ where V fires, for V from ``least`` to ``most``."""
    unfired = threshold - (0 if compare == "gt" else 1)
    fires = most > unfired
    under, over = leak.extremes(least, np.minimum(most, unfired))
    lowest, highest = leak.extremes(np.maximum(least, unfired + 1), most)
    least = np.where(fires, np.minimum(under, lowest - threshold), under)
    return least, np.where(fires, np.maximum(over, highest - threshold), over)


def _fired(
    least: np.ndarray,
    most: np.ndarray,
    threshold: np.ndarray,
    negative_threshold: np.ndarray | None,
    negative: str,
    reset: str,
    compare: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds on V after one firing, for V from ``least`` to ``most``, int64 ``[C]``."""
    below_threshold = threshold if negative_threshold is None else negative_threshold
    silent = 0 if compare == "gt" else 1
    unfired, unfired_below = threshold - silent, below_threshold - silent
    fires, below = most > unfired, least < -unfired_below
    settled = np.maximum(most - threshold, unfired) if reset == "subtract" else unfired
    most = np.where(fires, settled, most)
    if negative in ("symmetric", "asymmetric"):
        most = np.where(below, np.maximum(most, 0), most)
        least = np.where(below, np.minimum(least + below_threshold, -unfired_below), least)
    elif negative == "memory":
        most = np.where(below, np.maximum(most, 0), most)
    elif negative == "floor":
        most = np.where(least < 0, np.maximum(most, threshold - 1), most)
        least = np.minimum(least + threshold, 0)
    elif negative == "correcting":
        most = np.where(least < 0, np.maximum(most, threshold - 1), most)
    least = np.where(fires, np.minimum(least, 0), least)
    return least, most
