"""Numbers of a page: found in the JSON by a pointer, shown rounded, never copied by hand."""

from collections.abc import Sequence
from math import floor, isfinite, log10
from typing import Any

__all__ = ["KINDS", "UNITS", "at", "energy_unit", "pointer", "shown"]

UNITS = {"pJ": 1.0, "nJ": 1e3, "µJ": 1e6, "mJ": 1e9, "J": 1e12}
"""pJ in each."""
KINDS = ("energy", "number", "count", "percent")
"""``energy``: pJ, shown in the page's unit; ``count``: whole; ``number``: three digits; ``percent``: two decimals."""
_DIGITS = 3
_LEAST_PLAIN = 1e-4


def pointer(*steps: str | int) -> str:
    """JSON pointer (RFC 6901) of ``steps`` from the root."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def at(content: Any, place: str) -> Any:
    """What stands at a JSON pointer.

    Raises
    ------
    KeyError, IndexError
        Nothing stands there.
    """
    found = content
    for step in place.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        found = found[int(key)] if isinstance(found, list) else found[key]
    return found


def energy_unit(picojoules: float) -> str:
    """The largest of ``UNITS`` in which ``picojoules`` is at least 1."""
    fitting = [unit for unit, size in UNITS.items() if picojoules >= size]
    return fitting[-1] if fitting else "pJ"


def _rounded(value: float) -> str:
    """Three digits, or a whole number from 100 on."""
    if value == 0:
        return "0"
    if abs(value) < _LEAST_PLAIN:
        return f"{value:.{_DIGITS - 1}e}"
    decimals = max(0, _DIGITS - 1 - floor(log10(abs(value))))
    return f"{value:,.{decimals}f}"


def shown(value: float | None, kind: str = "number", unit: str = "pJ") -> str:
    """One number as text; a dash where there is none."""
    if value is None:
        return "–"
    if not isfinite(value):
        return "∞" if value > 0 else "−∞"
    if kind == "percent":
        text = f"{value:.2f}"
    elif kind == "count":
        text = f"{value:,.0f}" if abs(value) >= 10 ** (_DIGITS - 1) or value == int(value) else _rounded(value)
    else:
        text = _rounded(value / UNITS[unit] if kind == "energy" else value)
    return text.replace("-", "−", 1) if value < 0 else text


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
