"""Energies of operations and memories as data: constants with value, unit, source and status (energy model, section 2)."""

import tomllib
from dataclasses import dataclass, field, replace
from math import log2
from pathlib import Path
from typing import Any

from toolchain.errors import InvalidValue

__all__ = ["PROFILES", "Profile", "Published", "load_profile", "load_published"]

PROFILES = ("45nm-int", "45nm-fp32-legacy", "ice40up5k")
_FOLDER = Path(__file__).parents[1] / "data" / "profiles"
_REQUIRED = {
    "integer": {"add_per_bit": "pJ/bit", "multiply_8x8": "pJ", "sram": "pJ/bit"},
    "float32": {"mac": "pJ", "add": "pJ"},
    "cycles": {"clock_cycle": "pJ", "static_power": "uW", "multiply": "pJ"},
}
_OPTIONAL = {
    "integer": {"mac_fp32": "pJ", "dram": "pJ/bit", "sram_divisor": "1", "clock_cycle": "pJ", "static_power": "uW"},
    "float32": {},
    "cycles": {},
}
_LISTS = {"sram_divisor": 2}
_TEXTS = ("name", "label", "kind")
_STATUS = ("measured", "simulated", "fitted", "assumed")
_LARGEST = 1e9
_PROBED_BITS = range(10, 41)


@dataclass(frozen=True)
class Profile:
    """Energies in pJ, from constants with unit, source and status.

    ``integer``: ``E_add(b) = add_per_bit·b``, ``E_mul(b_w, b_a) = multiply_8x8·b_w·b_a/64``; a bit of a memory of c
    bits costs ``sram``, one value or the coefficients of x³, x² and x with x = log2 c. A fit says nothing
    outside its ``range``: a smaller memory costs what the smallest does, a larger one is extrapolated.
    ``float32``: one value for a MAC, one for an add, whatever the widths; no memory, which is the custom.
    ``cycles``: a clock cycle and a multiplication; additions and memories are part of the cycle.

    ``constants`` are charged; ``orientation`` is only shown.
    """

    name: str
    label: str
    kind: str
    constants: dict[str, dict[str, Any]]
    orientation: dict[str, dict[str, Any]] = field(default_factory=dict)

    def value(self, constant: str) -> float:
        """One number, 0 where an optional constant is missing."""
        return float(self.constants[constant]["value"]) if constant in self.constants else 0.0

    def add(self, bits: int) -> float:
        """One addition or comparison of ``bits``-bit words, pJ."""
        return self.value("add_per_bit") * bits if self.kind == "integer" else self.value("add")

    def mac(self, weight_bits: int, activation_bits: int, bits: int) -> float:
        """One multiply-accumulate into a ``bits``-bit accumulator, pJ."""
        if self.kind == "integer":
            return self.value("multiply_8x8") * weight_bits * activation_bits / 64 + self.add(bits)
        return self.value("mac" if self.kind == "float32" else "multiply")

    @property
    def mac_float32(self) -> float | None:
        """One float32 multiply-accumulate, pJ; ``None`` where the profile does not say."""
        name = "mac" if self.kind == "float32" else "mac_fp32"
        return self.value(name) if name in self.constants else None

    @property
    def has_memory(self) -> bool:
        """Whether bits that move cost anything of their own."""
        return self.kind == "integer"

    @property
    def has_cycles(self) -> bool:
        """Whether clock cycles cost anything: static power or the clock itself."""
        return self.value("clock_cycle") > 0 or self.value("static_power") > 0

    def sram(self, capacity: int) -> float:
        """One bit read from or written to an on-chip memory of ``capacity`` bits, pJ."""
        if not self.has_memory:
            return 0.0
        constant = self.constants["sram"]
        if not isinstance(constant["value"], list):
            return float(constant["value"])
        return _cubic(constant["value"], log2(max(capacity, constant["range"][0])))

    def beyond(self, capacity: int) -> bool:
        """Whether ``sram`` extrapolates for a memory of ``capacity`` bits."""
        return capacity > self.constants.get("sram", {}).get("range", [0, capacity])[1]

    def divided(self, divisor: float) -> "Profile":
        """The same with on-chip memories that cost 1/``divisor``."""
        value = self.constants["sram"]["value"]
        less = [v / divisor for v in value] if isinstance(value, list) else value / divisor
        return replace(self, constants={**self.constants, "sram": {**self.constants["sram"], "value": less}})

    def describe(self) -> dict[str, Any]:
        """As JSON values, provenance included."""
        return {
            "label": self.label,
            "kind": self.kind,
            "constants": self.constants,
            **({"orientation": self.orientation} if self.orientation else {}),
        }


def _cubic(coefficients: list[float], x: float) -> float:
    return sum(float(c) * x**power for c, power in zip(coefficients, (3, 2, 1), strict=True))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300


def _is_above_zero(value: Any) -> bool:
    return _is_number(value) and 0 < value < _LARGEST


def _check_fit(where: str, entry: dict[str, Any]) -> None:
    """Three coefficients, a range, and a positive energy for every memory."""
    value, limits = entry["value"], entry.get("range")
    if len(value) != 3 or not all(map(_is_number, value)):
        raise InvalidValue(f"{where} is {value}, must be a number, or the coefficients of x³, x² and x")
    if not (
        isinstance(limits, list) and len(limits) == 2 and all(map(_is_number, limits)) and 1 < limits[0] < limits[1]
    ):
        raise InvalidValue(f"{where}: range is {limits!r}, must be the smallest and the largest memory fitted, in bits")
    for power in _PROBED_BITS:
        found = _cubic(value, max(power, log2(limits[0])))
        if found <= 0:
            raise InvalidValue(f"{where}: its coefficients give {found:.3g} pJ/bit for 2^{power} bits, must be above 0")


def _constant(where: str, entry: Any, unit: str | None, values: int = 1) -> dict[str, Any]:
    """One validated constant as JSON values; any unit if ``unit`` is ``None``."""
    if not isinstance(entry, dict):
        raise InvalidValue(f"{where} is missing")
    value = entry.get("value")
    if where.endswith(" sram") and isinstance(value, list):
        _check_fit(where, entry)
    elif values > 1:
        if not (isinstance(value, list) and len(value) == values and all(map(_is_above_zero, value))):
            raise InvalidValue(f"{where} is {value!r}, must be {values} numbers above 0 and below 1e9")
    elif not _is_above_zero(value):
        raise InvalidValue(f"{where} is {value!r}, must be a number above 0 and below 1e9")
    if unit is not None and entry.get("unit") != unit:
        raise InvalidValue(f"{where} is in {entry.get('unit')!r}, must be in {unit}")
    if not entry.get("unit") or entry.get("status") not in _STATUS or not entry.get("source"):
        raise InvalidValue(f"{where} needs a unit, a source and a status of {', '.join(_STATUS)}")
    # TOML knows dates and times, which JSON does not
    return {k: v if isinstance(v, str | int | float | list) else str(v) for k, v in entry.items()}


def _read(path: Path, missing: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise InvalidValue(
            f"{missing} ({error.strerror}); there are {', '.join(PROFILES)}, or give a TOML file"
        ) from error
    except (ValueError, RecursionError) as error:  # no TOML, no text, an endless number, endless nesting
        raise InvalidValue(f"energy profile {path} is not TOML: {error}") from error


def load_profile(name: str) -> Profile:
    """A profile of ``PROFILES`` by name, or a TOML file by path.

    Raises
    ------
    InvalidValue
        Unknown name; a constant that is missing, unknown, not a number, not above 0, in another unit, or
        without source or status.
    """
    path = _FOLDER / f"{name}.toml" if name in PROFILES else Path(name)
    content = _read(path, f"no energy profile {name!r}")
    kind = content.get("kind")
    if not isinstance(kind, str) or kind not in _REQUIRED:
        raise InvalidValue(f"energy profile {path}: kind is {kind!r}, must be one of {', '.join(_REQUIRED)}")
    units = {**_REQUIRED[kind], **_OPTIONAL[kind]}
    constants = {}
    for constant, unit in units.items():
        if constant in content:
            where = f"energy profile {path}: {constant}"
            constants[constant] = _constant(where, content[constant], unit, _LISTS.get(constant, 1))
        elif constant in _REQUIRED[kind]:
            raise InvalidValue(f"energy profile {path}: constant {constant} is missing")
    for constant in content:
        if constant not in (*units, *_TEXTS, "orientation"):
            raise InvalidValue(
                f"energy profile {path}: no constant {constant!r} in kind {kind}; it has {', '.join(units)}"
            )
    shown = content.get("orientation", {})
    if not isinstance(shown, dict):
        raise InvalidValue(f"energy profile {path}: orientation is {shown!r}, must be a table of constants")
    orientation = {key: _constant(f"energy profile {path}: orientation {key}", v, None) for key, v in shown.items()}
    name, label = (str(content.get(key, path.stem)) for key in ("name", "label"))
    return Profile(name, label, kind, constants, orientation)


@dataclass(frozen=True)
class Published:
    """A published energy of one synaptic operation on one chip, pJ: for orientation, never charged."""

    chip: str
    pj_per_sop: float
    note: str
    source: str
    status: str


def load_published() -> tuple[Published, ...]:
    """The shipped table, cheapest first."""
    content = tomllib.loads((_FOLDER / "published.toml").read_text())
    return tuple(
        Published(note=e.pop("note", ""), status=content["status"], **e, source=content["source"])
        for e in content["chip"]
    )
