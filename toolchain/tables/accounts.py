"""Accounts of a network as tables: accuracy, errors, energy, where the error comes from."""

from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING

from toolchain.leak import Decay
from toolchain.tables.terminal import out, print_table

if TYPE_CHECKING:
    import pandas as pd

    from toolchain.diagnose import Diagnosed
    from toolchain.early_exit import Exit
    from toolchain.energy import EnergyReport
    from toolchain.quantize import LeakError
    from toolchain.steps import Tried
    from toolchain.survey import Row

__all__ = ["show_diagnosis", "show_energy", "show_errors", "show_exits", "show_leaks", "show_survey", "show_tried"]


def _digits(value: float) -> str:
    return (
        "<0.01"
        if value < 0.005
        else f"{value:.2f}"
        if value < 1
        else f"{value:,.1f}"
        if value < 10
        else f"{value:,.0f}"
    )


def _microjoules(bounds: tuple[float, float]) -> str:
    """Bounds in pJ as ``[low, high]`` in µJ."""
    return f"[{_digits(bounds[0] / 1e6)}, {_digits(bounds[1] / 1e6)}]"


def _ratios(bounds: tuple[float, float] | None) -> str:
    return "-" if bounds is None else f"{_digits(bounds[0])}–{_digits(bounds[1])}"


def _millions(value: float | None) -> str:
    return "-" if value is None else f"{value / 1e6:,.2f} M"


def show_energy(reports: Sequence["EnergyReport"]) -> None:
    """For each profile: the spiking network, its baselines, and the ratios, a row for each T."""
    from toolchain.energy import SCOPE  # heavy, and help must answer at once

    short = {"fp32_dense": "FP32 dense", "int8_dense": "int8 dense", "int8_zero_skipping": "int8 skip",
             "equal_information_dense": "equal dense", "equal_information_zero_skipping": "equal skip"}  # fmt: skip
    for profile in dict.fromkeys(report.profile.name for report in reports):
        chosen = [report for report in reports if report.profile.name == profile]
        name = chosen[0].baseline
        against = f"against {short[name]}" if name else "no ANN to compare with"
        shown = [
            (
                str(report.network.time_steps),
                "-" if report.accuracy is None else f"{report.accuracy:.2f}",
                f"{report.total.numbers['sop_executed'].mean() / 1000:,.0f}k",
                f"{report.total.sigma.mean():.3g}",
                _microjoules(report.total.snn_bounds),
                "-" if name is None else _ratios(report.total.ratio_bounds(name)),
                report.verdict,
            )
            for report in chosen
        ]
        columns = ["T", "acc. %", "SOP", "σ", "SNN µJ [low, high]", "ANN/SNN", "less"]
        print_table(f"Energy of an image, profile {profile}, {against} (simulated)", columns, shown)
        if len(chosen[0].baselines) > 1:
            _baseline_tables(chosen, ("T", *(short[b.name] for b in chosen[0].baselines)))
        for text in dict.fromkeys(text for report in chosen for text in report.warnings):
            out.print(f"Note: {text}.", markup=False)
    _latency_table([report for report in reports if report.profile.name == reports[0].profile.name])
    out.print(
        f"Means over {reports[0].images:,} images; low and high are over the memory policies (SNN stationary and event_driven, "
        "ANN ideal_reuse and no_reuse). Equal: activations as wide as a spike train's value; skip: zeros skipped. "
        f"{SCOPE[0].upper()}{SCOPE[1:]}.",
        markup=False,
    )


def _latency_table(reports: Sequence["EnergyReport"]) -> None:
    """Cycles of an image on the core, what keeps its lanes busy, and time if a clock is given."""
    from toolchain.energy import Spread  # heavy, and help must answer at once

    known = [report for report in reports if "cycles" in report.total.numbers]
    if not known:
        return
    clock, lanes = known[0].clock_mhz, known[0].lanes
    columns, rows = ["T", "cycles", "95 %"], []
    for report in known:
        spent, used, time = report.total.numbers["cycles"], report.utilization, report.latency_us
        row = [str(report.network.time_steps), f"{spent.mean():,.0f}", f"{Spread.of(spent).p95:,.0f}"]
        row += [] if used is None else [f"{used.mean():.3f}"]
        row += [] if time is None else [f"{time.mean():,.1f}", f"{1e6 / time.mean():,.0f}"]
        rows.append(row)
    columns += [] if lanes is None else ["utilization"]
    columns += [] if clock is None else ["µs", "images a second"]
    core = "as given" if lanes is None else f"on a core of {lanes} lanes (exact model of its counter)"
    print_table(f"Cycles of an image, {core}{'' if clock is None else f', {clock:g} MHz'}", columns, rows)


def _baseline_tables(reports: Sequence["EnergyReport"], columns: Sequence[str]) -> None:
    rows = [(str(r.network.time_steps), *(_microjoules(r.total.ann_bounds(b)) for b in r.total.ann)) for r in reports]
    print_table("ANN µJ [low, high]", columns, rows)
    rows = [(str(r.network.time_steps), *(_ratios(r.total.ratio_bounds(b)) for b in r.total.ann)) for r in reports]
    print_table("ANN/SNN, low to high; the SNN costs less where it is above 1", columns, rows)


def show_errors(table: "pd.DataFrame", images: int) -> None:
    """What rounding one layer alone does, from ``toolchain.quantize.error_table`` on ``images`` images."""
    rows = [
        (
            row["layer"],
            f"{row['weight_sqnr_db']:.1f}",
            "-" if isnan(row["threshold_min"]) else f"{row['threshold_min']:.0f}",
            "-" if isnan(row["threshold_error"]) else f"{100 * row['threshold_error']:.3f} %",
            str(row["membrane_bits"]),
            f"{0.0 - row['accuracy_cost']:+.2f}",
        )
        for row in table.to_dict(orient="records")
    ]
    columns = ("layer", "SQNR dB", "least θ", "θ rounding", "V bits", "accuracy, points")
    print_table(f"What rounding one layer alone does, on {images} images", columns, rows)


def show_leaks(leaks: "Sequence[LeakError]", *, currents: bool = False) -> None:
    """What shifts and adders make of each leak of membranes, or of ``currents``; nothing of none."""
    if not leaks:
        return
    share, state = ("α", "synaptic current") if currents else ("β", "membrane")
    rows = [
        (
            leak.layer,
            f"{leak.leak:.6g}",
            f"{leak.share:.6g} = {Decay(leak.terms).text()}",
            f"{leak.error:+.2g}",
            f"{leak.time_constant:.5g} → {leak.time_constant_kept:.5g} ({leak.time_constant_kept / leak.time_constant - 1:+.2%})",
            f"{leak.rounding:+.2f}",
        )
        for leak in leaks
    ]
    columns = ("layer", share, f"{share} in shifts", "error", "τ in steps", "rounding a step")
    print_table(
        f"{'Currents that last' if currents else 'Leaks'}: the share {share} of a {state} that stays each step; rounding is in "
        "units of the integer membrane",
        columns,
        rows,
    )


def show_diagnosis(found: "Diagnosed") -> None:
    """The account of each layer, the layer that costs most, and its remedy."""
    from toolchain.diagnose import PARTS, TIE  # heavy, and help must answer at once

    diagnosis = found.diagnosis
    integers = diagnosis.accuracy_integers
    parts = [part for part in PARTS if part != "fixed_point" or integers is not None]

    def share(value: float) -> str:
        return "-" if isnan(value) else f"{value:.2f}" if abs(value) >= 0.005 else "0"

    def name(index: int) -> str:
        return diagnosis.layers[index].layer + (" *" if index == diagnosis.worst else "")

    short = {"quantization": "quant.", "inherited": "inherit", "unevenness": "uneven", "fixed_point": "fixed"}
    rows = [
        (
            name(index),
            *(share(layer.contributions[part]) for part in parts),
            share(layer.error),
            share(layer.silent),
        )
        for index, layer in enumerate(diagnosis.layers)
    ]
    columns = ("layer", *(short.get(part, "clip") for part in parts), "whole", "silent")
    print_table("Whole error of each layer, mean square in % of its signal; neurons that never fire, %", columns, rows)
    parts.remove("inherited")
    rows = [
        (
            name(index),
            *(share(layer.own_contributions[part]) for part in parts),
            share(layer.own),
            share(layer.clipped),
            f"{0.0 - layer.accuracy_cost:+.2f}",
        )
        for index, layer in enumerate(diagnosis.layers)
    ]
    columns = ("layer", *(short.get(part, "clip") for part in parts), "own", "clipped", "points")
    print_table("Its own error, likewise; activations clipped, %; accuracy with this error alone", columns, rows)
    worst = diagnosis.layers[diagnosis.worst]
    end = diagnosis.accuracy_spiking if integers is None else integers
    out.print(
        f"Source {diagnosis.accuracy_source:.2f} %, floating-point spiking network {diagnosis.accuracy_spiking:.2f} %, "
        + ("no integers for this schedule" if integers is None else f"integers {integers:.2f} %")
        + f" on {diagnosis.images:,} images"
    )
    cause = worst.cause.replace("_", "-")
    if worst.accuracy_cost >= TIE:
        out.print(f"Layer {worst.layer} costs most, {worst.accuracy_cost:.2f} points alone, most of it by {cause}")
    else:
        out.print(
            f"No layer alone costs {TIE} points or more; most of its own error has layer {worst.layer}, most of it by {cause}"
        )
    if end >= diagnosis.accuracy_source:
        out.print("Nothing is lost against the source on these images: nothing needs a remedy")
        return
    out.print(f"Remedy: {found.remedy.advice}", markup=False)
    if found.accuracy_tried is not None:
        out.print(f"Tried here: {found.remedy.tried}: {end:.2f} % before, {found.accuracy_tried:.2f} % with it")


def show_survey(rows: Sequence["Row"], formats: Sequence[str]) -> None:
    """The most accurate setting for each T, a table for each format."""
    from toolchain.survey import best_rows

    for name in formats:
        shown = [
            (row.label, str(row.time_steps), f"{row.accuracy:.2f}", f"{row.loss:+.2f}", _millions(row.sop))
            for row in best_rows(rows, name)
        ]
        title = f"Best setting for each T, {'float' if name == 'float' else f'{name}-bit integers'} (simulated)"
        print_table(title, ("setting", "T", "acc. %", "loss", "SOP"), shown)


def show_tried(tried: Sequence["Tried"]) -> None:
    """What each T lost."""
    shown = [
        (str(t.time_steps), "-", "-", "-") if t.accuracy is None or t.loss is None
        else (str(t.time_steps), f"{t.accuracy:.2f}", f"{t.loss:+.2f}", _millions(t.sop))
        for t in tried
    ]  # fmt: skip
    print_table("Integers at each T", ("T", "acc. %", "loss", "SOP"), shown)


def show_exits(exits: Sequence["Exit"]) -> None:
    """Fixed T first, then the cascade for each margin."""
    shown = [
        (
            f"T = {e.time_steps}" if e.margin is None else f"margin {e.margin:g}",
            f"{e.accuracy:.2f}",
            f"{e.mean_steps:.2f}",
            _millions(e.mean_sop),
            ", ".join(f"{100 * share:.0f}" for share in e.shares),
        )
        for e in exits
    ]
    print_table("Early exit (simulated)", ("", "acc. %", "steps", "SOP", "% of images that end at each T"), shown)
