"""What to compare: network files with settings behind an @, spelled out into fixed-point networks.

``FILE@KEY=VALUES,…`` with the keys ``T``, ``b`` (weight bits), ``clipping`` and ``pow2``; values are lists or ranges, and
lists make a candidate of each combination: ``snn.safetensors@T=1..4,b=4,8`` are eight. A file whose whole name has an @
is that file. A fixed-point network has its own T and bits and takes no settings.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from toolchain.errors import InvalidValue
from toolchain.ir import MAX_TIME_STEPS, FixedPointNetwork, SpikingNetwork
from toolchain.netfile import load_network
from toolchain.quantize import CLIPPINGS, quantize

__all__ = ["MOST", "Candidate", "Settings", "candidates_of", "number_list", "split_request"]

MOST = 100
"""Candidates that one comparison takes."""
_BITS = (2, 16)


def number_list(text: str, what: str, least: int, most: int) -> tuple[int, ...]:
    """``1,2,4`` or ``1..8`` as numbers, each once, in their order; ``what`` names them in messages.

    Raises
    ------
    InvalidValue
        No list, or a number outside ``least`` to ``most``.
    """
    numbers: list[int] = []
    try:
        for part in text.split(","):
            first, dots, last = part.partition("..")
            low, high = int(first), int(last) if dots else int(first)
            for end in (low, high):
                if not least <= end <= most:
                    raise InvalidValue(f"{what} is {end}, must be {least} to {most}")
            if low > high:
                raise ValueError
            numbers += range(low, high + 1)
    except InvalidValue:
        raise
    except ValueError:
        raise InvalidValue(f"{what} {text!r} is not a list such as 1,2,4 or a range such as 1..8") from None
    return tuple(dict.fromkeys(numbers))


def _steps(text: str) -> tuple[int, ...]:
    return number_list(text, "time steps", 1, MAX_TIME_STEPS)


def _bits(text: str) -> tuple[int, ...]:
    return number_list(text, "weight bits", *_BITS)


def _clippings(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in CLIPPINGS:
            raise InvalidValue(f"no clipping {name!r}; there are {', '.join(CLIPPINGS)}")
    return names


def _switches(text: str) -> tuple[bool, ...]:
    words = {"no": False, "yes": True}
    if not set(names := text.split(",")) <= set(words):
        raise InvalidValue(f"pow2 is {text!r}, must be yes or no, or both as a list")
    return tuple(dict.fromkeys(words[name] for name in names))


_KEYS: dict[str, tuple[str, Callable[[str], tuple[Any, ...]]]] = {
    "T": ("time_steps", _steps),
    "b": ("weight_bits", _bits),
    "clipping": ("clipping", _clippings),
    "pow2": ("pow2", _switches),
}


@dataclass(frozen=True)
class Settings:
    """How spiking networks become integers; an empty tuple leaves that open, several values multiply.

    Open, they are the network's own T, 8 bits, clipping ``max`` and thresholds that are no powers of two.
    """

    time_steps: tuple[int, ...] = ()
    weight_bits: tuple[int, ...] = ()
    clipping: tuple[str, ...] = ()
    pow2: tuple[bool, ...] = ()

    @staticmethod
    def parsed(values: Mapping[str, str]) -> "Settings":
        """Of keys ``T``, ``b``, ``clipping``, ``pow2`` and their texts.

        Raises
        ------
        InvalidValue
            Another key, or a value out of its range.
        """
        unknown = next((key for key in values if key not in _KEYS), None)
        if unknown is not None:
            raise InvalidValue(f"no setting {unknown!r}; there are {', '.join(_KEYS)}")
        return Settings(**{_KEYS[key][0]: _KEYS[key][1](text) for key, text in values.items()})

    def filled(self, others: "Settings") -> "Settings":
        """What is open here taken from ``others``."""
        return Settings(**{name: value or getattr(others, name) for name, value in vars(self).items()})


@dataclass(frozen=True, eq=False)
class Candidate:
    """One network in one setting.

    Members
    -------
    name : str
        Unlike that of any other candidate: the file's name without ending, and the settings.
    setting : str
        ``T=4,b=8`` and what is unusual, empty for a network that was fixed-point in its file.
    file : Path
    network : FixedPointNetwork
    clipping, pow2 : str or None, bool
        ``None`` where the file does not say.
    group : str
        What its file is called, the same for all settings of it.
    """

    name: str
    setting: str
    file: Path
    network: FixedPointNetwork
    clipping: str | None
    pow2: bool
    group: str


def split_request(text: str) -> tuple[Path, Settings]:
    """The file and the settings that ``FILE@KEY=VALUES,…`` names; the whole text if there is such a file.

    Raises
    ------
    InvalidValue
        Settings that are none.
    """
    name, at, behind = text.rpartition("@")
    if Path(text).exists() or not at or not name:
        return Path(text), Settings()
    values: dict[str, str] = {}
    key = None
    for part in behind.split(","):
        before, equals, value = part.partition("=")
        if equals:
            key = before.strip()
            if key in values:
                raise InvalidValue(f"{text}: {key} stands there twice; give it once, with a list such as {key}=1,2")
            values[key] = value.strip()
        elif key is not None:
            values[key] += f",{part.strip()}"
        else:
            raise InvalidValue(
                f"{text}: no such file, and {behind!r} is no setting such as T=4 or T=1..8,b=4,8; the keys are {', '.join(_KEYS)}"
            )
    try:
        return Path(name), Settings.parsed(values)
    except InvalidValue as error:
        raise InvalidValue(f"{text}: {error}") from None


def _spelled(network: SpikingNetwork, file: Path, settings: Settings, group: str) -> list[Candidate]:
    """A candidate for each combination of settings."""
    full = settings.filled(Settings((network.time_steps,), (8,), ("max",), (False,)))
    found = []
    for steps, bits, clipping, pow2 in product(full.time_steps, full.weight_bits, full.clipping, full.pow2):
        setting = f"T={steps},b={bits}"
        setting += "" if clipping == "max" else f",clipping={clipping}"
        setting += ",pow2=yes" if pow2 else ""
        try:
            fixed = quantize(network.with_time_steps(steps), bits, clipping=clipping, pow2=pow2)
        except InvalidValue as error:
            raise InvalidValue(f"{file}@{setting}: {error}") from error
        found.append(Candidate(f"{group}@{setting}", setting, file, fixed, clipping, pow2, group))
    return found


def _groups(files: Sequence[Path]) -> dict[Path, str]:
    """What to call each file: its name without ending, or its whole path where that is not enough."""
    short = {file: file.stem for file in files}
    times = Counter(name for file, name in short.items() if "@" not in file.name)
    return {file: str(file) if times[name] > 1 or "@" in file.name else name for file, name in short.items()}


def candidates_of(requests: Sequence[str], common: Settings | None = None) -> list[Candidate]:
    """The candidates of ``FILE`` and ``FILE@SETTINGS`` texts, each setting of a file once, in order.

    ``common`` fills what a spiking network's own settings leave open; fixed-point networks stay as they are.

    Raises
    ------
    InvalidValue
        Settings that are none, or for a fixed-point network; ``common`` settings without a network that takes them; fewer than two or more than ``MOST``
        candidates; networks of different input shapes or numbers of classes.
    NetworkFileError
        A file that is no network.
    """
    common = common or Settings()
    asked: list[tuple[Path, Settings, str]] = []
    known: dict[Path, Path] = {}  # a file that two paths lead to is one file
    for text in requests:
        file, settings = split_request(text)
        asked.append((known.setdefault(file.resolve(), file), settings, text))
    loaded = {file: load_network(file) for file in known.values()}
    groups = _groups(list(loaded))
    found: dict[str, Candidate] = {}
    taken = False
    for file, settings, text in asked:
        network = loaded[file]
        if isinstance(network, SpikingNetwork):
            full = settings.filled(common)
            taken |= full != settings
            number = len(found) + prod(max(1, len(values)) for values in vars(full).values())
            if number > MOST:
                raise InvalidValue(
                    f"there are {number} candidates with {text}, must be 2 to {MOST}; give fewer T or bits"
                )
            found |= {one.name: one for one in _spelled(network, file, full, groups[file])}
        elif settings != Settings():
            raise InvalidValue(
                f"{text}: {file} is a fixed-point network with its own T, weight bits and clipping; leave out what is behind "
                "the @, or give the spiking network"
            )
        else:
            kept = network.provenance
            clipping, pow2 = kept.get("clipping"), bool(kept.get("pow2", False))
            found[groups[file]] = Candidate(groups[file], "", file, network, clipping, pow2, groups[file])
    if common != Settings() and not taken:
        raise InvalidValue(
            "-T, -b, --clipping and --pow2 are for spiking networks without such a setting of their own, and there is none: "
            "leave them out, or give a spiking network"
        )
    return _checked(list(found.values()))


def _checked(found: list[Candidate]) -> list[Candidate]:
    if len(found) < 2:
        raise InvalidValue(
            f"there is 1 candidate, {found[0].name}, at least 2 are needed; give another network, or settings such as "
            f"{found[0].file}@T=1..4"
        )
    first = found[0]
    for what, of in (
        ("input shape", lambda network: network.input_shape),
        ("number of classes", lambda network: network.shapes[-1][0]),
    ):
        for one in found[1:]:
            if of(one.network) != of(first.network):
                raise InvalidValue(
                    f"{first.file} and {one.file} cannot be compared: {what} is {of(first.network)} in the first and "
                    f"{of(one.network)} in the second; compare networks for the same images and classes"
                )
    return found
