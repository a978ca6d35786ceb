"""Settings of phase-locked loops, found by trying all: which clocks a device makes of its oscillator's, and how."""

from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from toolchain.errors import InvalidValue

__all__ = ["Ecp5Pll", "Ice40Pll", "Pll", "ecp5_pll", "ice40_pll"]


@dataclass(frozen=True)
class Ecp5Pll:
    """EHXPLLL with its feedback from CLKOP: out = in / ``reference`` · ``feedback``, VCO = out · ``output``.

    Limits: phase detector 3.125 to 400 MHz, VCO 400 to 800 MHz; Lattice FPGA-DS-02012, sysCLOCK PLL timing.
    """

    out_hz: Fraction
    reference: int
    feedback: int
    output: int


@dataclass(frozen=True)
class Ice40Pll:
    """SB_PLL40 with simple feedback: out = in / (``divr`` + 1) · (``divf`` + 1) / 2^``divq``.

    Limits: phase detector 10 to 133 MHz, VCO 533 to 1066 MHz, out 16 to 275 MHz; Lattice FPGA-TN-02052.
    ``filter_range`` follows from the phase detector's frequency, as IceStorm's icepll sets it.
    """

    out_hz: Fraction
    divr: int
    divf: int
    divq: int
    filter_range: int


Pll = Ecp5Pll | Ice40Pll
_MHZ = 1_000_000
_EXACT = Fraction(1, 10_000)
"""As exact as an oscillator is, so that 33.333 MHz is a third of 100."""
_FILTERS = (17, 26, 44, 66, 101)


@cache
def _ecp5_settings(in_hz: int) -> dict[Fraction, Ecp5Pll]:
    """All there are, by the clock; of those that make the same, the one whose VCO is nearest to 600 MHz."""
    found: dict[Fraction, tuple[Fraction, Ecp5Pll]] = {}
    for reference in range(1, 129):
        detector = Fraction(in_hz, reference)
        if not 3_125_000 <= detector <= 400 * _MHZ:
            continue
        for feedback in range(1, 81):
            out = detector * feedback
            for output in range(max(1, -int(-400 * _MHZ // out)), min(128, int(800 * _MHZ // out)) + 1):
                off = abs(out * output - 600 * _MHZ)
                if 400 * _MHZ <= out * output <= 800 * _MHZ and (out not in found or off < found[out][0]):
                    found[out] = off, Ecp5Pll(out, reference, feedback, output)
    return {out: pll for out, (_, pll) in found.items()}


@cache
def _ice40_settings(in_hz: int) -> dict[Fraction, Ice40Pll]:
    """All there are, by the clock; of those that make the same, the one with the fastest phase detector."""
    found: dict[Fraction, Ice40Pll] = {}
    for divr in range(16):
        detector = Fraction(in_hz, divr + 1)
        if not 10 * _MHZ <= detector <= 133 * _MHZ:
            continue
        for divf in range(128):
            vco = detector * (divf + 1)
            if not 533 * _MHZ <= vco <= 1066 * _MHZ:
                continue
            for divq in range(1, 7):
                out = vco / (1 << divq)
                if 16 * _MHZ <= out <= 275 * _MHZ:
                    found.setdefault(out, Ice40Pll(out, divr, divf, divq, 1 + bisect(_FILTERS, detector / _MHZ)))
    return found


def _choose(settings: Callable[[int], dict[Fraction, Pll]], in_hz: int, out_hz: int) -> Pll:
    known = settings(in_hz)
    nearest = min(known, key=lambda out: abs(out - out_hz))
    if abs(nearest - out_hz) <= _EXACT * out_hz:
        return known[nearest]
    below = max((out for out in known if out < out_hz), default=None)
    above = min((out for out in known if out > out_hz), default=None)
    near = " and ".join(f"{float(out) / _MHZ:.6g}" for out in (below, above) if out is not None)
    raise InvalidValue(
        f"clock is {out_hz / _MHZ:g} MHz, the PLL does not make that of {in_hz / _MHZ:g} MHz; nearest: {near} MHz"
    )


def ecp5_pll(in_hz: int, out_hz: int) -> Pll:
    """Settings for that clock, to 100 ppm.

    Raises
    ------
    InvalidValue
        There are none; the message names the nearest clocks.
    """
    return _choose(_ecp5_settings, in_hz, out_hz)  # type: ignore[arg-type]


def ice40_pll(in_hz: int, out_hz: int) -> Pll:
    """As ``ecp5_pll``."""
    return _choose(_ice40_settings, in_hz, out_hz)  # type: ignore[arg-type]
