"""The result in plain words, also where the spiking network loses; no ratio without its baseline and memory policies."""

from collections.abc import Mapping, Sequence
from typing import Any

from toolchain.energy import BASELINES, SNN_POLICIES
from toolchain.report.numbers import listed, shown

__all__ = ["plain_words"]

Report = Mapping[str, Any]
_PARTS = {
    "sop": "adding weights to membranes",
    "input": "the input",
    "bias": "biases",
    "neuron": "comparing and resetting neurons",
    "weights": "reading weights",
    "state": "reading and writing membranes",
    "events": "writing and reading spikes",
    "static": "static and clock energy",
}


def _headline(report: Report) -> tuple[str, str]:
    steps = f"T = {report['T']}"
    if report["baseline"] is None:
        return f"No ANN is compared at {steps}.", f"Profile {report['profile']} cannot charge one."
    label = BASELINES[report["baseline"]]
    return {
        "ANN": (
            f"The spiking network loses at {steps}.",
            f"The ANN of the baseline “{label}” costs less under every pair of memory policies.",
        ),
        "SNN": (
            f"The spiking network wins at {steps}.",
            f"It costs less than the ANN of the baseline “{label}” under every pair of memory policies.",
        ),
        "depends": (
            f"At {steps} the memory policies decide.",
            f"Against the baseline “{label}” the spiking network costs less under some pairs of them, more under others.",
        ),
        "unknown": (f"No verdict at {steps}.", f"Nothing of the baseline “{label}” can be compared."),
    }[report["verdict"]]


def _cost(report: Report, unit: str) -> str:
    low, high = (shown(value, "energy", unit) for value in report["total"]["snn_bounds_pJ"])
    text = f"An image costs the spiking network {low} to {high} {unit} (memory policy stationary to event_driven)"
    if report["baseline"] is None:
        return text + "."
    low, high = (shown(v, "energy", unit) for v in report["total"]["ann"][report["baseline"]]["bounds_pJ"])
    return f"{text}, the ANN of “{BASELINES[report['baseline']]}” {low} to {high} {unit} (ideal_reuse to no_reuse)."


def _ratios(report: Report) -> str | None:
    found = [
        level
        for level in report["total"]["break_even"]
        if level["baseline"] == report["baseline"] and level["ratio"] is not None
    ]
    if not found:
        return None
    low, high = (f(found, key=lambda level: level["ratio"]) for f in (min, max))
    return (
        f"ANN over SNN against “{BASELINES[report['baseline']]}” lies between {shown(low['ratio'])} ({low['ann']} against "
        f"{low['snn']}) and {shown(high['ratio'])} ({high['ann']} against {high['snn']}); below 1 the spiking network costs more."
    )


def _others(report: Report) -> str | None:
    """Under how many pairs the spiking network costs less than each of the other baselines."""
    counted = []
    for name, ann in report["total"]["ann"].items():
        margins = [lv["margin"] > 0 for lv in report["total"]["break_even"] if lv["baseline"] == name]
        if name != report["baseline"] and ann["ratio_bounds"] is not None:
            counted.append(f"{sum(margins)} of {len(margins)} pairs against “{BASELINES[name]}”")
    return f"It costs less under {listed(counted)}." if counted else None


def _over_steps(reports: Sequence[Report]) -> str | None:
    if len(reports) < 2 or reports[0]["baseline"] is None:
        return None
    found = {
        kind: [str(report["T"]) for report in reports if report["verdict"] == kind]
        for kind in ("SNN", "ANN", "depends")
    }
    words = {"SNN": "it wins", "ANN": "it loses", "depends": "the memory policies decide"}
    said = [f"{words[kind]} at T = {listed(steps)}" for kind, steps in found.items() if steps]
    text = f"Of the {len(reports)} values of T, against “{BASELINES[reports[0]['baseline']]}”, {listed(said)}."
    return text if found["SNN"] else f"{text} It wins at none of them."


def _why(report: Report) -> str:
    """The largest part under each policy, and the layer that costs most."""
    said = []
    for policy in SNN_POLICIES:
        parts = report["total"]["snn"][policy]["parts_pJ"]
        whole = sum(parts.values())
        name = max(parts, key=parts.__getitem__)
        if whole:
            said.append(f"{shown(100 * parts[name] / whole)} % of its energy for {_PARTS[name]} under {policy}")
    if not said:
        return "It costs nothing: no spike was fired."
    most = max(report["layers"], key=lambda layer: layer["snn_bounds_pJ"][1])
    share = 100 * most["snn_bounds_pJ"][1] / report["total"]["snn_bounds_pJ"][1]
    text = f"Where it goes: {listed(said)}. Layer {most['layer']} takes {shown(share)} % of the upper bound"
    return f"{text}, and reads the frame, not spikes." if most.get("input_kind") == "direct" else f"{text}."


def _break_even(report: Report) -> str | None:
    levels = [level for level in report["total"]["break_even"] if level["baseline"] == report["baseline"]]
    if not levels:
        return None
    low, high = (f(level["sigma_star"] for level in levels) for f in (min, max))
    sigma = levels[0]["sigma"]
    text = (
        f"A synapse sees σ = {shown(sigma)} spikes of an image. The break-even σ*, below which the spiking network costs less, lies "
        f"between {shown(low)} and {shown(high)} over the pairs of memory policies."
    )
    if low <= 0:
        text += " Where σ* is not above 0, no rate is low enough: what does not depend on spikes alone costs more than the ANN."
    return text


def _accuracy(report: Report, energy: Mapping[str, Any], source: Mapping[str, Any] | None) -> str | None:
    if report["accuracy"] is None:
        return None
    images = shown(report["samples"], "count")
    text = f"At T = {report['T']} it gets {report['accuracy']:.2f} % of {images} images of {energy['dataset']} right"
    if source is None:
        return f"{text}; what its source reaches is not known."
    where = "the same images" if source["same_images"] else f"{source['images']:,} images of {source['data']}"
    return f"{text}; its source in FP32 {source['accuracy']:.2f} % of {where}."


def _latency(report: Report) -> str | None:
    found = report.get("latency")
    if not found:
        return None
    text = f"An image takes {shown(found['cycles']['mean'], 'count')} clock cycles"
    if found["lanes"] is not None:
        text += f" on {found['lanes']} lanes"
    if found["us"] is not None:
        text += f", {shown(found['us']['mean'])} µs at {shown(found['clock_MHz'])} MHz"
    return text + "."


def _left_out(report: Report) -> str | None:
    static = any(report["total"]["snn"][policy]["parts_pJ"]["static"] for policy in SNN_POLICIES)
    return None if static else "Static and clock energy are not in these figures."


def _equivalence(verification: Mapping[str, Any] | None) -> tuple[str, str]:
    if verification is None:
        return "The hardware was not verified against these integers.", "not verified"
    images = f"{verification['images']:,} images on {verification['simulator']}"
    if verification["passed"]:
        return f"The generated hardware agrees with these integers in every bit, on {images}.", "simulated"
    return (
        f"The generated hardware DIFFERS from these integers, on {images}: the figures above are not of it.",
        "simulated",
    )


def plain_words(
    reports: Sequence[Report],
    focus: Report,
    energy: Mapping[str, Any],
    *,
    unit: str,
    source: Mapping[str, Any] | None,
    verification: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """``{kind, headline, lead, sentences}``, a sentence being ``[text, label]``; ``reports`` are of one profile, over T."""
    headline, lead = _headline(focus)
    said = [
        (_accuracy(focus, energy, source), "simulated"),
        (_cost(focus, unit), "estimated"),
        (_ratios(focus), "estimated"),
        (_others(focus), "estimated"),
        (_over_steps(reports), "estimated"),
        (_why(focus), "estimated"),
        (_break_even(focus), "σ simulated, σ* estimated"),
        (_latency(focus), "simulated"),
        (_left_out(focus), "scope"),
        _equivalence(verification),
    ]
    return {
        "kind": "unknown" if focus["baseline"] is None else focus["verdict"],
        "headline": headline,
        "lead": lead,
        "sentences": [[text, label] for text, label in said if text is not None],
    }
