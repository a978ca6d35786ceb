"""What a network will take of a device, and how fast it will run there, before anything is synthesized."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hdl.capacity import Capacity
from hdl.program import Program
from toolchain.errors import InvalidValue
from toolchain.ir import FixedPointNetwork
from toolchain.sizing.activity import Activity, expected_cycles
from toolchain.sizing.loadable import loadable_multipliers, loadable_structure
from toolchain.sizing.model import Model, features, load_models, mapped, speed_class
from toolchain.sizing.structure import multipliers, structure
from toolchain.synth.result import Shortage, find_shortages
from toolchain.synth.targets import DEVICES, Device

__all__ = ["CANDIDATES", "ENOUGH", "Prediction", "holding", "predict", "recommended"]

CANDIDATES = (1, 2, 4, 8, 16, 32, 64)
"""Lanes that are looked at where none are asked for."""
_WIDE = 0.25
"""Margin where the error of what is fitted is not known."""
ENOUGH = 0.9
"""Of the most images a second: the fewest lanes that reach this share are recommended."""


@dataclass(frozen=True)
class Prediction:
    """Estimated; nothing here was synthesized.

    Members
    -------
    device, lanes, weight_bits, membrane_bits
    used, has : dict
        Of each resource, as ``toolchain.synth`` counts them.
    shortages : tuple of Shortage
    beyond : tuple of str
        In what no built point of the family is like this core: the model was never held against such a one.
    margin : float
        How far the fitted resources were off at worst, where a built point was left out of the fit; a device whose resource
        would run out within that margin is ``close``.
    fmax_mhz, fmax_error : float or None
        From built points of the same speed, and how far off one was that was left out; None where nothing was placed, or where that
        is too far off.
    clock_mhz, clock_is : float, str
        What images a second are computed with: ``predicted``, ``slowest built`` point of the same speed, or the device's usual clock,
        ``assumed``.
    cycles : float
        Of an image, for ``activity``.
    """

    device: Device
    lanes: int
    weight_bits: int
    membrane_bits: int
    used: dict[str, int]
    has: dict[str, int]
    shortages: tuple[Shortage, ...]
    beyond: tuple[str, ...]
    margin: float
    fmax_mhz: float | None
    fmax_error: float | None
    clock_mhz: float
    clock_is: str
    cycles: float
    activity: Activity

    @property
    def fits(self) -> bool:
        """Whether every predicted number is there."""
        return not self.shortages

    @property
    def close(self) -> bool:
        """Whether a fitted resource is so near its limit, on either side, that only synthesis can tell."""
        counted = {"bram", "dsp"}
        if any(each.resource in counted for each in self.shortages):
            return False
        return any(
            abs(self.used[name] / self.has[name] - 1) <= self.margin
            for name in ("lut", "ff")
            if name in self.has and name in self.used
        )

    @property
    def images_per_second(self) -> float:
        """At ``clock_mhz``."""
        return self.clock_mhz * 1e6 / self.cycles

    @property
    def verdict(self) -> str:
        """One line."""
        if self.close:
            return "close: spikeloom synth must tell"
        if self.shortages:
            return "no: " + "; ".join(map(str, self.shortages))
        return "fits"

    def describe(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "status": "estimated",
            "device": self.device.name,
            "lanes": self.lanes,
            "weight_bits": self.weight_bits,
            "membrane_bits": self.membrane_bits,
            "fits": self.fits,
            "close": self.close,
            "verdict": self.verdict,
            "shortages": [asdict(each) for each in self.shortages],
            "resources": {
                name: {"used": number, "available": self.has.get(name)} for name, number in self.used.items()
            },
            "beyond_built_points": list(self.beyond),
            "margin": round(self.margin, 3),
            "fmax_mhz": None if self.fmax_mhz is None else round(self.fmax_mhz, 1),
            "fmax_error": self.fmax_error,
            "clock_mhz": round(self.clock_mhz, 1),
            "clock_is": self.clock_is,
            "cycles": round(self.cycles),
            "images_per_second": round(self.images_per_second, 1),
            "activity": asdict(self.activity),
        }


def predict(
    network: FixedPointNetwork, device: Device, lanes: int, activity: Activity, capacity: Capacity | None = None
) -> Prediction:
    """Resources, clock, cycles and images a second of ``network`` on ``device``, harness included as in ``toolchain.synth``.

    With ``capacity``, of a core into which networks are loaded.

    Raises
    ------
    InvalidValue
        ``lanes`` out of range, or a device whose family has no built points.
    """
    family = device.family.name
    models = load_models()
    if family not in models:
        raise InvalidValue(
            f"device {device.name} is not predicted, since no core was built for it; these are: {', '.join(_known(models))}"
        )
    model = models[family]
    program = Program(network, lanes)
    if capacity is None:
        core, dsp = structure(program), multipliers(program, family)
    else:
        capacity.check(network)
        core = loadable_structure(capacity, single="spram" in device.has)
        dsp = loadable_multipliers(capacity, family)
    memory = mapped(core, family)
    # where blocks run out Yosys has no say in it: it would still use as many
    used = model.sizes(features(core, family, dsp=device.has["dsp"] > 0), core, family)
    used |= {"bram": memory.blocks, "dsp": dsp if device.has["dsp"] else 0, "lutram": memory.lutrams}
    if "spram" in device.has:
        used["spram"] = memory.singles
    clock = model.clocks.get(speed_class(device))
    fmax = clock.fmax_mhz(memory.blocks) if clock is not None and clock.honest else None
    used_clock = (device.clock_mhz, "assumed") if clock is None else (clock.slowest, "slowest built")
    used_clock = used_clock if fmax is None else (fmax, "predicted")
    return Prediction(
        device=device,
        lanes=lanes,
        weight_bits=(capacity or network).weight_bits,
        membrane_bits=(capacity or network).membrane_bits,
        used=used,
        has=dict(device.has),
        shortages=find_shortages(used, device.has),
        beyond=_beyond(program, model, capacity),
        margin=max(model.error["lut"], model.error["ff"], 0.0 if capacity is None else min(model.loading.error, _WIDE)),
        fmax_mhz=fmax,
        fmax_error=None if clock is None or fmax is None else clock.error,
        clock_mhz=used_clock[0],
        clock_is=used_clock[1],
        cycles=expected_cycles(program, activity),
        activity=activity,
    )


def _beyond(program: Program, model: Model, capacity: Capacity | None) -> tuple[str, ...]:
    lanes = f"more than {model.lanes} lanes" if program.lanes > model.lanes else ""
    groups = "grouped convolutions or shortcuts" if program.grouped else ""
    maxima = "max pooling" if program.maxima else ""
    spikes = "" if program.packing is None else "frames of spikes"
    loaded = "loadable memories" if capacity is not None and not model.loading.points else ""
    return tuple(filter(None, (lanes, groups, maxima, spikes, loaded)))


def _known(models: dict[str, Model]) -> list[str]:
    return [name for name, device in DEVICES.items() if device.family.name in models]


def recommended(predictions: Sequence[Prediction]) -> Prediction | None:
    """Of predictions for one device, the one of fewest lanes that fits surely and gives ``ENOUGH`` of the most images a second.

    None if none fits.
    """
    fitting = [p for p in predictions if p.fits and not p.close]
    if not fitting:
        return None
    most = max(p.images_per_second for p in fitting)
    return min((p for p in fitting if p.images_per_second >= ENOUGH * most), key=lambda p: p.lanes)


def holding(
    network: FixedPointNetwork,
    activity: Activity,
    lanes: Sequence[int] = CANDIDATES,
    room: Callable[[int], Capacity | None] = lambda lanes: None,
) -> dict[str, Prediction]:
    """Devices that hold the network with any of these lanes, by name, each with its recommended prediction; ``room``: of a loadable core."""
    found = {}
    for name in _known(load_models()):
        best = recommended([predict(network, DEVICES[name], number, activity, room(number)) for number in lanes])
        if best is not None:
            found[name] = best
    return found
