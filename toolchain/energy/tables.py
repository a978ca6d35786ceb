"""A report as data frame (CSV), as JSON values, and as HTML for notebooks (energy model, section 7)."""

from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from toolchain.energy.baselines import Baseline
from toolchain.energy.breakeven import BreakEven
from toolchain.energy.layer import PARTS, LayerEnergy, Spread
from toolchain.energy.memory import SNN_POLICIES
from toolchain.energy.profiles import load_published
from toolchain.energy.report import SCOPE, EnergyReport

__all__ = ["COLUMNS", "SCHEMA", "energy_content", "energy_table", "report_html"]

SCHEMA = 3
COLUMNS = (
    "layer", "type", "T", "input_kind", "neurons", "synapses_dense", "spikes_in", "rate", "sigma", "sop_executed",
    "sop_effective", "mac_input", "ac_bias", "neuron_ops", "weight_bits_read", "state_bits_moved", "event_bits_moved",
    "e_compute_pJ", "e_memory_pJ", "e_static_pJ", "e_total_pJ", "ann_mac_dense", "ann_mac_effective", "ann_e_total_pJ",
    "ratio", "sigma_star", "margin",
)  # fmt: skip
"""Of the table. ``rate`` is σ/T; the ANN is the report's ``baseline``, bits and energies are under its ``memory``."""


def _row(report: EnergyReport, layer: LayerEnergy) -> dict[str, Any]:
    """Means over images; ``None`` where there is no such number."""
    steps, policy, name = report.network.time_steps, report.memory.snn, report.baseline
    counts, bits = layer.counts, layer.bits[policy]
    level = layer.at(name, policy, report.memory.ann)
    sigma = float(layer.sigma.mean())

    def mean(number: str) -> float | None:
        return float(layer.numbers[number].mean()) if number in layer.numbers else None

    return {
        "layer": layer.name,
        "type": counts.kind if counts else "none",
        "T": steps,
        "input_kind": counts.input_kind if counts else "none",
        "neurons": counts.neurons if counts else 0,
        "synapses_dense": layer.synapses,
        "spikes_in": mean("spikes_in"),
        "rate": sigma / steps,
        "sigma": sigma,
        "sop_executed": mean("sop_executed"),
        "sop_effective": mean("sop_effective"),
        "mac_input": mean("mac_input"),
        "ac_bias": mean("ac_bias"),
        "neuron_ops": mean("neuron_ops"),
        "weight_bits_read": float(bits.weights.mean()),
        "state_bits_moved": float(bits.state.mean()),
        "event_bits_moved": float(bits.events.mean()),
        "e_compute_pJ": float(layer.compute(policy).mean()),
        "e_memory_pJ": float(layer.memory(policy).mean()),
        "e_static_pJ": float(layer.static(policy).mean()),
        "e_total_pJ": float(layer.energy(policy).mean()),
        "ann_mac_dense": layer.synapses,
        "ann_mac_effective": None if name is None else float(layer.macs[name].mean()),
        "ann_e_total_pJ": None if name is None else float(layer.ann[name][report.memory.ann].mean()),
        "ratio": level.ratio if level else None,
        "sigma_star": level.sigma_star if level else None,
        "margin": level.margin if level else None,
    }


def energy_table(reports: Sequence[EnergyReport]) -> pd.DataFrame:
    """A row for each layer and T, ``COLUMNS``; reports should be of one profile, since no column names it."""
    rows = [_row(report, layer) for report in reports for layer in report.layers]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    unknown = [c for c in COLUMNS if table[c].dtype == object and c not in ("layer", "type", "input_kind")]
    return table.astype(dict.fromkeys(unknown, np.float64))


def _spread(values: np.ndarray) -> dict[str, float]:
    return asdict(Spread.of(values))


def _level(found: BreakEven) -> dict[str, Any]:
    return {**asdict(found), "margin": found.margin}


def _layer(report: EnergyReport, layer: LayerEnergy) -> dict[str, Any]:
    """One layer or the total: counts, energies by policy and part, baselines, break-even and verdict."""
    row = _row(report, layer)
    described = {name: row[name] for name in ("layer", "type", "input_kind", "neurons", "synapses_dense")}
    return {
        **(described if layer.counts else {"layer": layer.name, "synapses_dense": layer.synapses}),
        "counts": {"sigma": _spread(layer.sigma), **{name: _spread(v) for name, v in layer.numbers.items()}},
        "snn": {
            policy: {
                "e_compute_pJ": _spread(layer.compute(policy)),
                "e_memory_pJ": _spread(layer.memory(policy)),
                "e_static_pJ": _spread(layer.static(policy)),
                "e_total_pJ": _spread(layer.energy(policy)),
                "parts_pJ": {part: float(layer.parts[policy][part].mean()) for part in PARTS},
                "weight_bits_read": float(layer.bits[policy].weights.mean()),
                "state_bits_moved": float(layer.bits[policy].state.mean()),
                "event_bits_moved": float(layer.bits[policy].events.mean()),
            }
            for policy in SNN_POLICIES
        },
        "snn_bounds_pJ": list(layer.snn_bounds),
        "ann": {
            name: {
                "mac": _spread(layer.macs[name]),
                **{policy: {"e_total_pJ": _spread(energy)} for policy, energy in policies.items()},
                "bounds_pJ": list(layer.ann_bounds(name)),
                "ratio_bounds": _listed(layer.ratio_bounds(name)),
                "verdict": layer.verdict(name),
            }
            for name, policies in layer.ann.items()
        },
        "break_even": [_level(found) for found in layer.break_even],
        "verdict": layer.verdict(report.baseline),
    }


def _listed(bounds: tuple[float, float] | None) -> list[float] | None:
    return None if bounds is None else list(bounds)


def _baseline(found: Baseline) -> dict[str, Any]:
    lists = {name: list(getattr(found, name)) for name in ("activation_bits", "output_bits")}
    return {**asdict(found), **lists, "label": found.label}


def _latency(report: EnergyReport) -> dict[str, Any] | None:
    """Cycles from a frame's first word to its result's last, and what follows from them; ``None`` if unknown."""
    if "cycles" not in report.total.numbers:
        return None
    spent, used = report.latency_us, report.utilization
    return {
        "lanes": report.lanes,
        "clock_MHz": report.clock_mhz,
        "cycles": _spread(report.total.numbers["cycles"]),
        "us": None if spent is None else _spread(spent),
        "utilization": None if used is None else _spread(used),
    }


def _report(report: EnergyReport) -> dict[str, Any]:
    network = report.network
    return {
        "T": network.time_steps,
        "profile": report.profile.name,
        "fingerprint": network.fingerprint,
        "schedule": network.schedule,
        "negative": network.negative,
        "input": network.input,
        "weight_bits": network.weight_bits,
        "membrane_bits": network.membrane_bits,
        "samples": report.images,
        "accuracy": report.accuracy,
        "memory": asdict(report.memory),
        "baseline": report.baseline,
        "baselines": [_baseline(found) for found in report.baselines],
        "total": _layer(report, report.total),
        "layers": [_layer(report, layer) for layer in report.layers],
        "verdict": report.verdict,
        "latency": _latency(report),
        "sensitivity": {
            name: {"snn_bounds_pJ": list(snn), "ann_bounds_pJ": list(ann)}
            for name, (snn, ann) in report.sensitivity.items()
        },
        "warnings": list(report.warnings),
    }


def energy_content(reports: Sequence[EnergyReport]) -> dict[str, Any]:
    """JSON values: every report with mean, standard deviation and 95th percentile, and the profiles with provenance."""
    profiles = {report.profile.name: report.profile.describe() for report in reports}
    return {
        "schema": SCHEMA,
        "status": "simulated",
        "scope": SCOPE,
        "profiles": profiles,
        "published": {
            "note": "for orientation only: figures include different things and are not charged anywhere",
            "chips": [asdict(chip) for chip in load_published()],
        },
        "reports": [_report(report) for report in reports],
    }


def report_html(report: EnergyReport) -> str:
    """A table of layers under what it is about, and the warnings."""
    total, name = report.total, report.baseline
    caption = (
        f"{report.network.name}, T = {report.network.time_steps}, profile {report.profile.name}, {report.images:,} images; "
        f"memory {report.memory.snn} against {report.memory.ann}, baseline {name or 'none'}"
    )
    low, high = total.snn_bounds
    sums = f"SNN {low / 1000:,.1f} to {high / 1000:,.1f} nJ over the memory policies"
    if name is not None:
        low, high = total.ann_bounds(name)
        sums += f", ANN {low / 1000:,.1f} to {high / 1000:,.1f} nJ: {report.verdict}"
    if "cycles" in total.numbers:
        sums += f"; {total.numbers['cycles'].mean():,.0f} cycles"
    table = energy_table([report]).to_html(index=False, border=0, float_format=lambda value: f"{value:.4g}")
    notes = "".join(f"<li>{escape(text)}</li>" for text in report.warnings)
    return f"<p><b>{escape(caption)}</b><br>{escape(sums)}</p>{table}<ul>{notes}</ul>"
