"""Run the candidates on the same images and hold them side by side."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from math import sqrt
from typing import Any

import numpy as np
import pandas as pd

from hdl.program import check_lanes
from toolchain import flow
from toolchain.compare.candidates import Candidate
from toolchain.compare.front import Point, dominators
from toolchain.compare.size import CoreSize, core_size
from toolchain.datasets import Dataset
from toolchain.energy import BASELINES, EnergyReport, Profile
from toolchain.errors import InvalidValue

__all__ = ["AGAINST", "COLUMNS", "SCHEMA", "Comparison", "Measured", "compare", "runs"]

SCHEMA = 1

AGAINST: dict[str, Callable[["Measured"], float]] = {
    "energy": lambda one: one.energy_high,
    "cycles": lambda one: one.cycles,
    "size": lambda one: one.size.total,
    "sop": lambda one: one.sop,
}
"""What accuracy may be weighed against: energy by its upper bound over the memory policies."""


@dataclass(frozen=True)
class Measured:
    """A candidate with its means over images; energies in pJ, sizes in bits.

    Members
    -------
    name, group, setting, file : str
        As of ``Candidate``.
    accuracy : float
        Per cent, of the golden model.
    cycles : float
        Clock cycles from a frame's first word to its result's last, exact for each image.
    latency_us : float or None
        The same in µs, where a clock is given.
    sop, spikes : float
        Synaptic operations on spikes, executed; spikes of all layers.
    energy_low, energy_high : float
        Over the memory policies.
    baseline : str or None
        The ANN that ``ann_low`` to ``verdict`` are about; ``None`` if the profile has none.
    verdict : str
        ``SNN`` or ``ANN`` costs less under every pair of policies, or it ``depends``, or is ``unknown``.
    ann : baseline → (low, high)
        Energies of all baselines.
    source_accuracy, source_images, source_data : of the FP32 source when it was converted, ``None`` if unknown
    """

    name: str
    group: str
    setting: str
    file: str
    fingerprint: str
    schedule: str
    negative: str
    input: str
    time_steps: int
    weight_bits: int
    clipping: str | None
    pow2: bool
    membrane_bits: int
    accuracy: float
    cycles: float
    latency_us: float | None
    sop: float
    spikes: float
    energy_low: float
    energy_high: float
    baseline: str | None
    ann_low: float | None
    ann_high: float | None
    ratio_low: float | None
    ratio_high: float | None
    verdict: str
    size: CoreSize
    ann: dict[str, tuple[float, float]]
    source_accuracy: float | None
    source_images: int | None
    source_data: str | None

    def point(self, against: str) -> Point:
        """Accuracy and one of ``AGAINST`` as costs."""
        return (-self.accuracy, float(AGAINST[against](self)))

    @property
    def everything(self) -> Point:
        """Accuracy, energy under either policy, cycles, synaptic operations and size as costs."""
        return (-self.accuracy, self.energy_low, self.energy_high, self.cycles, self.sop, float(self.size.total))


_MAY_LACK = ("latency_us", "ann_low_pJ", "ann_high_pJ", "ratio_low", "ratio_high")
COLUMNS = (
    "name", "file", "fingerprint", "schedule", "negative", "input", "T", "weight_bits", "clipping", "pow2", "membrane_bits",
    "images", "accuracy", "cycles", "latency_us", "sop", "spikes", "e_low_pJ", "e_high_pJ", "baseline",
    "ann_low_pJ", "ann_high_pJ", "ratio_low", "ratio_high", "verdict", "weight_memory_bits", "parameter_memory_bits",
    "membrane_memory_bits", "event_memory_bits", "size_bits", "against", "front", "beaten_by", "never",
)  # fmt: skip
"""Of the table. ``front`` and ``beaten_by`` are about accuracy and ``against``, ``never`` names who is nowhere worse."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Candidates on the same images, under one profile, on cores of the same number of lanes."""

    candidates: tuple[Measured, ...]
    images: int
    dataset: str
    profile: Profile
    lanes: int
    clock_mhz: float | None
    against: str
    warnings: tuple[str, ...]

    def _named(self, points: Sequence[Point]) -> tuple[tuple[str, ...], ...]:
        """For each candidate the names of those at the front's point that dominates it; none on the front."""
        return tuple(
            tuple(sorted(one.name for one, point in zip(self.candidates, points, strict=True) if point == over))
            for over in dominators(points)
        )

    def beaten(self, against: str | None = None) -> tuple[tuple[str, ...], ...]:
        """Who is at least as accurate for no more, and better in one of the two; nobody for those on the front."""
        return self._named([one.point(against or self.against) for one in self.candidates])

    def front(self, against: str | None = None) -> tuple[Measured, ...]:
        """Those that nobody beats, from the cheapest to the most accurate."""
        axis = against or self.against
        found = [one for one, by in zip(self.candidates, self.beaten(axis), strict=True) if not by]
        return tuple(sorted(found, key=lambda one: (*one.point(axis)[::-1], one.name)))

    @property
    def never(self) -> tuple[tuple[str, ...], ...]:
        """Who is nowhere worse, whatever counts, and somewhere better."""
        return self._named([one.everything for one in self.candidates])

    @property
    def chance(self) -> float:
        """Points by which chance alone may move the best accuracy, 95 % of the time, on as many images."""
        share = max(one.accuracy for one in self.candidates) / 100
        return 100 * 1.96 * sqrt(share * (1 - share) / self.images)

    def table(self) -> pd.DataFrame:
        """A row for each candidate, ``COLUMNS``."""
        rows = [
            self._row(one, by, ever) for one, by, ever in zip(self.candidates, self.beaten(), self.never, strict=True)
        ]
        table = pd.DataFrame(rows, columns=list(COLUMNS))
        return table.astype(dict.fromkeys(_MAY_LACK, np.float64))

    def _row(self, one: Measured, by: tuple[str, ...], ever: tuple[str, ...]) -> dict[str, Any]:
        kept = {name: getattr(one, name) for name in COLUMNS if hasattr(one, name)}
        return {
            **kept,
            "T": one.time_steps,
            "images": self.images,
            "e_low_pJ": one.energy_low,
            "e_high_pJ": one.energy_high,
            "ann_low_pJ": one.ann_low,
            "ann_high_pJ": one.ann_high,
            "clipping": one.clipping or "",
            "baseline": one.baseline or "",
            "weight_memory_bits": one.size.weights,
            "parameter_memory_bits": one.size.parameters,
            "membrane_memory_bits": one.size.membranes,
            "event_memory_bits": one.size.events,
            "size_bits": one.size.total,
            "against": self.against,
            "front": not by,
            "beaten_by": " = ".join(by),
            "never": " = ".join(ever),
        }

    def content(self) -> dict[str, Any]:
        """As JSON values."""
        beaten = {axis: self.beaten(axis) for axis in AGAINST}
        return {
            "schema": SCHEMA,
            "status": {
                "accuracy, cycles, sop, spikes": "simulated",
                "energy": "estimated",
                "size": "exact, of the generated core",
            },
            "dataset": self.dataset,
            "images": self.images,
            "profiles": {self.profile.name: self.profile.describe()},
            "profile": self.profile.name,
            "lanes": self.lanes,
            "clock_mhz": self.clock_mhz,
            "against": self.against,
            "candidates": [
                {
                    **{name: value for name, value in asdict(one).items() if name not in ("group", "setting")},
                    "size": {**asdict(one.size), "total": one.size.total},
                    "ann": {name: list(bounds) for name, bounds in one.ann.items()},
                    "front": {axis: not by[index] for axis, by in beaten.items()},
                    "beaten_by": {axis: list(by[index]) for axis, by in beaten.items()},
                    "never": list(ever),
                }
                for index, (one, ever) in enumerate(zip(self.candidates, self.never, strict=True))
            ],
            "front": [one.name for one in self.front()],
            "warnings": list(self.warnings),
        }


def runs(candidates: Sequence[Candidate]) -> int:
    """Networks to run: those that are the same integers run once."""
    return len({one.network.fingerprint for one in candidates})


def compare(
    candidates: Sequence[Candidate],
    dataset: Dataset,
    *,
    profile: Profile,
    lanes: int = 16,
    clock_mhz: float | None = None,
    baseline: str | None = None,
    against: str = "energy",
    progress: Callable[[int], None] = lambda _: None,
) -> Comparison:
    """Accuracy, cycles, operations, energy bounds and memory sizes of each candidate on all images of a data set.

    Memory is bounded: images go in batches. ``progress`` counts images, ``runs(candidates)·N`` in all.

    Parameters
    ----------
    clock_mhz : float
        For latency in µs and static power.
    baseline : str
        One of ``BASELINES`` for verdicts; the fairest there is by default.
    against : str
        One of ``AGAINST``.

    Raises
    ------
    InvalidValue
        A value out of its limits, frames of another shape, a profile that needs a clock without one.
    """
    check_lanes(lanes)
    if against not in AGAINST:
        raise InvalidValue(f"accuracy against {against!r} is not known; there are {', '.join(AGAINST)}")
    if baseline is not None and baseline not in BASELINES:
        raise InvalidValue(f"no baseline {baseline!r}; there are {', '.join(BASELINES)}")
    shape = candidates[0].network.input_shape
    if dataset.frames.shape[-3:] != shape:
        raise InvalidValue(
            f"images of {dataset.name} are {dataset.frames.shape[-3:]}, the networks take {shape}; choose other images, or networks"
        )
    options: dict[str, Any] = {"profiles": [profile], "lanes": lanes, "clock_mhz": clock_mhz, "baseline": baseline}
    flow.fixed_energy(candidates[0].network, dataset.take(1), **options)  # refused now, not after the runs
    first: dict[str, Measured] = {}
    found: list[Measured] = []
    warnings: list[str] = []
    for one in candidates:
        known = first.get(one.network.fingerprint)
        if known is None:
            (report,) = flow.fixed_energy(one.network, dataset, progress=progress, **options)
            known = first[one.network.fingerprint] = _measured(one, report, lanes)
            warnings += report.warnings
        found.append(_as(known, one))
    return Comparison(
        candidates=tuple(found),
        images=len(dataset.frames),
        dataset=dataset.name,
        profile=profile,
        lanes=lanes,
        clock_mhz=clock_mhz,
        against=against,
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _as(known: Measured, one: Candidate) -> Measured:
    """What was measured, under the name of a candidate of the same integers; its source may be another."""
    kept = one.network.provenance
    reached, seen = kept.get("accuracy_source"), kept.get("accuracy_images")
    return replace(
        known,
        name=one.name,
        group=one.group,
        setting=one.setting,
        file=str(one.file),
        clipping=one.clipping,
        pow2=one.pow2,
        source_accuracy=float(reached) if isinstance(reached, int | float) else None,
        source_images=seen if isinstance(seen, int) else None,
        source_data=str(kept["calibration_data"]) if "calibration_data" in kept else None,
    )


def _measured(one: Candidate, report: EnergyReport, lanes: int) -> Measured:
    network, total, name = one.network, report.total, report.baseline
    assert report.accuracy is not None
    ann_low, ann_high = (None, None) if name is None else total.ann_bounds(name)
    ratio_low, ratio_high = (None if name is None else total.ratio_bounds(name)) or (None, None)
    low, high = total.snn_bounds
    return Measured(
        name=one.name,
        group=one.group,
        setting=one.setting,
        file=str(one.file),
        fingerprint=network.fingerprint,
        schedule=network.schedule,
        negative=network.negative,
        input=network.input,
        time_steps=network.time_steps,
        weight_bits=network.weight_bits,
        clipping=one.clipping,
        pow2=one.pow2,
        membrane_bits=network.membrane_bits,
        accuracy=report.accuracy,
        cycles=float(total.numbers["cycles"].mean()),
        latency_us=None if report.latency_us is None else float(report.latency_us.mean()),
        sop=float(total.numbers["sop_executed"].mean()),
        spikes=float(total.numbers["spikes_out"].mean()),
        energy_low=low,
        energy_high=high,
        baseline=name,
        ann_low=ann_low,
        ann_high=ann_high,
        ratio_low=ratio_low,
        ratio_high=ratio_high,
        verdict=report.verdict,
        size=core_size(network, lanes),
        ann={name: total.ann_bounds(name) for name in total.ann},
        source_accuracy=None,
        source_images=None,
        source_data=None,
    )
