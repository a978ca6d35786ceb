"""What a network will take of a device, and how fast it will run there, before anything is synthesized."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hdl.capacity import Capacity
from hdl.program import Program
from hdl.tiles import ExternalWeights, TiledProgram
from toolchain.errors import InvalidValue
from toolchain.ir import FixedPointNetwork
from toolchain.sizing.activity import Activity, expected_cycles, expected_scans, passes, sending
from toolchain.sizing.loadable import loadable_multipliers, loadable_structure
from toolchain.sizing.model import Model, features, load_models, mapped, speed_class
from toolchain.sizing.structure import Structure, multipliers, prefetch_registers, structure
from toolchain.synth.result import Shortage, find_shortages
from toolchain.synth.targets import DEVICES, Device
from toolchain.timeline import Waiting, time_line

__all__ = ["CANDIDATES", "ENOUGH", "External", "Prediction", "holding", "predict", "recommended"]

CANDIDATES = (1, 2, 4, 8, 16, 32, 64)
"""Lanes that are looked at where none are asked for."""
_WIDE = 0.25
"""Margin where the error of what is fitted is not known."""
ENOUGH = 0.9
"""Of the most images a second: the fewest lanes that reach this share are recommended."""


@dataclass(frozen=True)
class External:
    """What a core is to have whose weights are external; ``hdl.tiles.ExternalWeights.of`` chooses what is None."""

    cache_words: int | None = None
    data_bits: int | None = None


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
        Of an image, for ``activity``; those that it waits for external weights are in it.
    cache_words, waiting : int, Waiting or None
        Where weights are external: words of the cache, and what the memory's port is asked for.
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
    cache_words: int = 0
    waiting: Waiting | None = None

    @property
    def memory_bytes_per_second(self) -> float:
        """That are read of external memory, at ``images_per_second``."""
        return 0.0 if self.waiting is None else self.waiting.read_bytes * self.images_per_second

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
            **self._external(),
        }

    def _external(self) -> dict[str, Any]:
        if self.waiting is None:
            return {}
        return {
            "external_memory": {
                **self.waiting.describe(),
                "cache_words": self.cache_words,
                "bytes_per_second": round(self.memory_bytes_per_second),
            }
        }


def predict(
    network: FixedPointNetwork,
    device: Device,
    lanes: int,
    activity: Activity,
    memories: External | Capacity | None = None,
) -> Prediction:
    """Resources, clock, cycles and images a second of ``network`` on ``device``, harness included as in ``toolchain.synth``.

    With a capacity of a core into which networks are loaded. With ``External`` of one whose weights come from a memory outside: cache
    instead of weight memory, and the prefetcher, a LUT for each of its flip-flops, as two built cores have it.

    Raises
    ------
    InvalidValue
        ``lanes`` out of range, a cache that is too small, or a device whose family has no built points.
    """
    return _predict(_draft(network, lanes, activity, memories), device, activity)


@dataclass(frozen=True, eq=False)
class _Draft:
    """What is the same on every device: the core's program and room, how long its scans take, and what it waits."""

    program: Program
    capacity: Capacity | None
    cycles: float
    waiting: Waiting | None

    def core(self, device: Device) -> Structure:
        """What is built on ``device``."""
        if self.capacity is None:
            return structure(self.program)
        return loadable_structure(self.capacity, single="spram" in device.has)

    def multipliers(self, family: str) -> int:
        """In blocks of the family."""
        return (
            multipliers(self.program, family) if self.capacity is None else loadable_multipliers(self.capacity, family)
        )


def _draft(network: FixedPointNetwork, lanes: int, activity: Activity, memories: External | Capacity | None) -> _Draft:
    capacity = memories if isinstance(memories, Capacity) else None
    if capacity is not None:
        capacity.check(network)
    program = _program(network, lanes, memories if isinstance(memories, External) else None)
    scans = expected_scans(program, activity)
    cycles = expected_cycles(program, activity, scans)
    waiting = _waiting(program, scans, cycles) if isinstance(program, TiledProgram) else None
    return _Draft(program, capacity, cycles, waiting)


def _predict(draft: _Draft, device: Device, activity: Activity) -> Prediction:
    """As ``predict``."""
    family = device.family.name
    models = load_models()
    if family not in models:
        raise InvalidValue(
            f"device {device.name} is not predicted, since no core was built for it; these are: {', '.join(_known(models))}"
        )
    model = models[family]
    program, core, cycles, waiting = draft.program, draft.core(device), draft.cycles, draft.waiting
    memory, dsp = mapped(core, family), draft.multipliers(family)
    # where blocks run out Yosys has no say in it: it would still use as many
    used = model.sizes(features(core, family, dsp=device.has["dsp"] > 0), core, family)
    used |= {"bram": memory.blocks, "dsp": dsp if device.has["dsp"] else 0, "lutram": memory.lutrams}
    if isinstance(program, TiledProgram):
        registers = prefetch_registers(program)
        used |= {name: used[name] + registers for name in ("lut", "ff")}
    if "spram" in device.has:
        used["spram"] = memory.singles
    clock = model.clocks.get(speed_class(device))
    loaded_leak = draft.capacity is not None and draft.capacity.leaks
    fmax = clock.fmax_mhz(memory.blocks) if clock is not None and clock.honest and not loaded_leak else None
    slowest = None if clock is None else clock.slowest_loaded_leak if loaded_leak else clock.slowest
    used_clock = (device.clock_mhz, "assumed") if slowest is None else (slowest, "slowest built")
    used_clock = used_clock if fmax is None else (fmax, "predicted")
    return Prediction(
        device=device,
        lanes=program.lanes,
        weight_bits=(draft.capacity or program.network).weight_bits,
        membrane_bits=(draft.capacity or program.network).membrane_bits,
        used=used,
        has=dict(device.has),
        shortages=find_shortages(used, device.has),
        beyond=_beyond(program, model, draft.capacity),
        margin=max(
            model.error["lut"], model.error["ff"], 0.0 if draft.capacity is None else min(model.loading.error, _WIDE)
        ),
        fmax_mhz=fmax,
        fmax_error=None if clock is None or fmax is None else clock.error,
        clock_mhz=used_clock[0],
        clock_is=used_clock[1],
        cycles=cycles + (0.0 if waiting is None else waiting.total),
        activity=activity,
        cache_words=program.external.cache_words if isinstance(program, TiledProgram) else 0,
        waiting=waiting,
    )


def _program(network: FixedPointNetwork, lanes: int, external: External | None) -> Program:
    if external is None:
        return Program(network, lanes)
    chosen = ExternalWeights.of(network, lanes=lanes, cache_words=external.cache_words, data_bits=external.data_bits)
    return TiledProgram(network, lanes, external=chosen)


def _waiting(program: TiledProgram, scans: list[float], cycles: float) -> Waiting:
    """For weights, with such scans of the instructions."""
    initialization, fire, _ = passes(program)
    return time_line(program, scans, initialization, fire, sending=sending(program), cycles=cycles)


def _beyond(program: Program, model: Model, capacity: Capacity | None) -> tuple[str, ...]:
    lanes = f"more than {model.lanes} lanes" if program.lanes > model.lanes else ""
    has = (program.grouped, bool(program.maxima), program.packing is not None)
    if capacity is not None:
        has = capacity.grouped, bool(capacity.window), capacity.takes_spikes
    groups, maxima, spikes = (
        name if there else ""
        for name, there in zip(
            ("grouped convolutions or shortcuts", "max pooling", "frames of spikes"), has, strict=True
        )
    )
    leaks = "leaks" if (bool(program.decays) if capacity is None else capacity.leaks) else ""
    external = "weights from external memory" if isinstance(program, TiledProgram) else ""
    loaded = "loadable memories" if capacity is not None and not model.loading.points else ""
    return tuple(filter(None, (lanes, groups, maxima, spikes, leaks, external, loaded)))


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
    memories: Callable[[int], External | Capacity | None] = lambda lanes: None,
    devices: Sequence[Device] | None = None,
) -> dict[str, Prediction]:
    """Of ``devices``, or of all, those that hold the network with any of these lanes, by name, each with its recommended prediction.

    ``memories`` gives for each number of lanes what ``predict`` takes.
    """
    found = {}
    looked = [DEVICES[name] for name in _known(load_models())] if devices is None else devices
    drafts = [_draft(network, number, activity, memories(number)) for number in lanes]
    for device in looked:
        best = recommended([_predict(draft, device, activity) for draft in drafts])
        if best is not None:
            found[device.name] = best
    return found
