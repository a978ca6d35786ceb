"""What a network is worth and costs on a whole data set: accuracy, energy, and where the error comes from."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hdl.program import check_lanes
from sim import golden
from toolchain.cycles import cycles
from toolchain.datasets import Dataset
from toolchain.diagnose import Deployment, Diagnosed
from toolchain.energy import EnergyReport, Profile, energy_content, energy_table, estimate, observe
from toolchain.flow.cores import DEFAULT_LANES
from toolchain.flow.files import Progress, silent, write_json
from toolchain.ir import FixedPointNetwork, SpikingNetwork
from toolchain.netfile import replacing
from toolchain.quantize import quantize
from toolchain.trace import Activity

__all__ = ["ENERGY_TIME_STEPS", "energy_sweep", "fixed_accuracy", "fixed_energy", "write_diagnosis", "write_energy"]

ENERGY_TIME_STEPS = (1, 2, 4, 8, 16)
_BATCH = 500
_BATCH_STEPS = 2000
"""Images times T at once, where spike trains are kept."""
_SOURCE_ACCURACY = ("accuracy_source", "accuracy_images", "calibration_data")


def fixed_accuracy(network: FixedPointNetwork, dataset: Dataset, progress: Progress = silent) -> float:
    """Share of right predictions of the golden model, in per cent."""
    dataset = dataset.at(network.time_steps)
    predictions = golden.run(network, dataset.frames, progress=progress).predictions
    return float((predictions == dataset.labels).mean()) * 100


def energy_sweep(
    network: SpikingNetwork,
    dataset: Dataset,
    *,
    profiles: Sequence[Profile],
    time_steps: Sequence[int] = ENERGY_TIME_STEPS,
    weight_bits: int = 8,
    clipping: str = "max",
    pow2: bool = False,
    lanes: int | None = DEFAULT_LANES,
    progress: Progress = silent,
    **options: Any,
) -> list[EnergyReport]:
    """Quantize for each T, run the golden model on the whole data set, charge every profile.

    Memory is bounded: images go in batches, and only counts for each layer stay. ``progress`` counts images over all T;
    ``options`` are those of ``toolchain.energy.estimate``.
    """
    reports: list[EnergyReport] = []
    for steps in time_steps:
        fixed = quantize(network.with_time_steps(steps), weight_bits, clipping=clipping, pow2=pow2)
        reports += fixed_energy(fixed, dataset, profiles=profiles, lanes=lanes, progress=progress, **options)
    return reports


def fixed_energy(
    network: FixedPointNetwork,
    dataset: Dataset,
    *,
    profiles: Sequence[Profile],
    lanes: int | None = DEFAULT_LANES,
    progress: Progress = silent,
    **options: Any,
) -> list[EnergyReport]:
    """Reports of one fixed-point network at its own T, one for each profile.

    Static and clock energy and latency are those of a core of ``lanes`` lanes, whose cycles are counted exactly; unless
    ``options`` give ``cycles``, or ``lanes`` is ``None``.
    """
    dataset = dataset.at(network.time_steps)
    if options.get("cycles") is not None:
        lanes = None
    if lanes is not None:
        check_lanes(lanes)
    parts: list[Activity] = []
    spent: list[np.ndarray] = []
    right = 0
    batch = max(1, min(_BATCH, _BATCH_STEPS // network.time_steps))
    for start in range(0, len(dataset.frames), batch):
        frames = dataset.frames[start : start + batch]
        trace = golden.run(network, frames, "counts" if lanes is None else "spikes", progress=progress)
        right += int((trace.predictions == dataset.labels[start : start + batch]).sum())
        parts.append(observe(network, frames, trace))
        if lanes is not None:
            found = cycles(network, frames, trace, lanes)
            spent.append(np.column_stack([found.layers, found.latency - found.layers.sum(axis=1)]))
    percent = 100 * right / len(dataset.frames)
    activity = Activity.joined(parts)
    if lanes is not None:
        options = {**options, "cycles": np.concatenate(spent), "lanes": lanes}
    return [estimate(network, activity, profile=profile, accuracy=percent, **options) for profile in profiles]


def write_energy(
    reports: Sequence[EnergyReport],
    dataset: Dataset,
    csv: Path | None,
    js: Path | None,
    *,
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """The reports as JSON values, and as CSV and JSON files where asked for; the CSV is of the first profile.

    ``provenance`` of the network: what it says of its source's accuracy goes along.
    """
    content = {
        **energy_content(reports),
        "dataset": dataset.name,
        "images": len(dataset.frames),
        "source": {name: provenance[name] for name in _SOURCE_ACCURACY if name in provenance},
    }
    if csv is not None:
        table = energy_table([report for report in reports if report.profile.name == reports[0].profile.name])
        with replacing(csv) as temporary:
            table.to_csv(temporary, index=False)
    if js is not None:
        write_json(content, js)
    return content


def write_diagnosis(
    found: Diagnosed, deployment: Deployment, dataset: Dataset, csv: Path | None, picture: Path | None
) -> dict[str, Any]:
    """The account as JSON values, and its table as CSV and as picture where asked for."""
    diagnosis, network = found.diagnosis, deployment.network
    table = diagnosis.table()
    if csv is not None:
        with replacing(csv) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
    if picture is not None:
        from toolchain.diagnose.picture import draw  # matplotlib is heavy

        last, value = "integers", diagnosis.accuracy_integers
        if value is None:
            last, value = "spiking network", diagnosis.accuracy_spiking
        bits = "" if diagnosis.accuracy_integers is None else f", {deployment.weight_bits}-bit weights"
        draw(
            diagnosis,
            picture,
            f"{network.name}: {deployment.method or 'made by hand'}, {network.schedule}, T = {network.time_steps}{bits}\n"
            f"source {diagnosis.accuracy_source:.2f} %, {last} {value:.2f} % on {diagnosis.images:,} images of {dataset.name}",
        )
    return {
        "schema": 1,
        "status": "simulated",
        "dataset": dataset.name,
        "images": diagnosis.images,
        "fingerprint": network.fingerprint,
        "weight_bits": deployment.weight_bits,
        "clipping": deployment.clipping,
        "pow2": deployment.pow2,
        "accuracy_source": diagnosis.accuracy_source,
        "accuracy_spiking": diagnosis.accuracy_spiking,
        "accuracy_integers": diagnosis.accuracy_integers,
        "layers": json.loads(table.to_json(orient="records")),
        "worst": diagnosis.layers[diagnosis.worst].layer,
        "cause": diagnosis.layers[diagnosis.worst].cause,
        "advice": found.remedy.advice,
        "tried": found.remedy.tried,
        "accuracy_tried": found.accuracy_tried,
    }
