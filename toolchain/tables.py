"""Results as tables for the terminal; what is measured where is the callers' business."""

from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from toolchain.leak import Decay

if TYPE_CHECKING:
    import pandas as pd

    from sim.result import VerificationResult
    from toolchain.balance import Split
    from toolchain.checking import Checked
    from toolchain.diagnose import Diagnosed
    from toolchain.early_exit import Exit
    from toolchain.energy import EnergyReport
    from toolchain.ir import FixedPointNetwork
    from toolchain.quantize import LeakError
    from toolchain.sizing import Prediction
    from toolchain.steps import Tried
    from toolchain.survey import Row
    from toolchain.synth import GateLevel, SynthesisResult
    from toolchain.trial import Trial

__all__ = [
    "out", "show_critical_path", "show_cycles", "show_diagnosis", "show_energy", "show_errors", "show_exits", "show_layers", "show_leaks", "show_netlist", "show_outside",
    "show_predictions", "show_split", "show_survey", "show_synthesis", "show_trial", "show_tried", "show_verdict",
]  # fmt: skip

out = Console(highlight=False, soft_wrap=True)
_UNLIMITED = 10_000
_LEAST_TEXT = 24
"""Columns that words which may be folded get, however narrow the terminal."""


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, narrow: bool = False) -> None:
    table = Table(title=escape(title), title_justify="left", header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.padding = (0, 1, 0, 0) if narrow else table.padding
    for index, column in enumerate(columns):
        table.add_column(escape(column), justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # a terminal breaks a line that is too long; a table that fits itself to it would cut numbers off
    natural = Measurement.get(out, out.options.update(width=_UNLIMITED), table).maximum
    table.width = natural if natural > out.width else None
    out.print(table)


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
        _table(f"Energy of an image, profile {profile}, {against} (simulated)", columns, shown)
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
    _table(f"Cycles of an image, {core}{'' if clock is None else f', {clock:g} MHz'}", columns, rows)


def _baseline_tables(reports: Sequence["EnergyReport"], columns: Sequence[str]) -> None:
    rows = [(str(r.network.time_steps), *(_microjoules(r.total.ann_bounds(b)) for b in r.total.ann)) for r in reports]
    _table("ANN µJ [low, high]", columns, rows)
    rows = [(str(r.network.time_steps), *(_ratios(r.total.ratio_bounds(b)) for b in r.total.ann)) for r in reports]
    _table("ANN/SNN, low to high; the SNN costs less where it is above 1", columns, rows)


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
    _table(f"What rounding one layer alone does, on {images} images", columns, rows)


def show_leaks(leaks: "Sequence[LeakError]") -> None:
    """What shifts and adders make of each leak."""
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
    columns = ("layer", "β", "β in shifts", "error", "τ in steps", "rounding a step")
    _table(
        "Leaks: the share β of a membrane that stays each step; rounding is in units of the integer membrane",
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
    _table("Whole error of each layer, mean square in % of its signal; neurons that never fire, %", columns, rows)
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
    _table("Its own error, likewise; activations clipped, %; accuracy with this error alone", columns, rows)
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


def show_verdict(result: "VerificationResult") -> None:
    """Whether hardware and golden model agree, at what speed, and the first differences."""
    mark = "[bold green]PASS[/]" if result.passed else "[bold red]FAIL[/]"
    out.print(
        f"{mark} {result.images} images {f'through the netlist for {result.netlist} ' if result.netlist else ''}"
        f"on {result.simulator} {result.simulator_version}: "
        f"{result.spikes_compared:,} spikes compared, {result.spike_mismatches} differ; "
        f"{result.score_mismatches} scores or predictions and {result.counter_mismatches} counters differ"
    )
    out.print(
        f"     {result.cycles_per_image:,.0f} cycles and {result.operations_per_image:,.0f} synaptic operations an image, "
        f"lane utilization {result.lane_utilization:.3f} on {result.lanes} lanes, "
        f"{result.clocks_per_second:,.0f} simulated clocks a second"
    )
    if result.cores > 1 and result.interval:
        out.print(
            f"     {result.cores} cores of {result.lanes} lanes: an image every {result.interval:,.0f} cycles, "
            f"{1e6 / result.interval:,.1f} images a second at each MHz; an image's own cycles hold its waits between cores"
        )
    for difference in result.differences[:10]:
        out.print(f"     {difference}", markup=False)
    if len(result.differences) > 10:
        out.print(f"     … {len(result.differences) - 10} more with --json")


def show_netlist(level: "GateLevel") -> None:
    """What the netlist that was verified is made of, and what no simulation of it covers."""
    out.print(
        f"     {sum(level.cells.values()):,} cells by Yosys {level.yosys}, {level.command}: "
        + ", ".join(f"{number:,} {kind}" for kind, number in level.cells.items())
    )
    if level.ours:
        listed = ", ".join(f"{number:,} {kind}" for kind, number in level.ours.items())
        out.print(f"     Models of {listed} are Spikeloom's own; those of all other cells are Yosys's")
    out.print("     Not covered: place and route, delays, the device itself")


def show_cycles(result: "VerificationResult") -> None:
    """Where the cycles of an image go, layer by layer."""
    rows = result.breakdown()
    lost = sum(row["idle_lane_cycles"] for row in rows) or 1.0
    shown = [
        (
            row["part"],
            f"{row['cycles']:,.0f}",
            f"{row['operations']:,.0f}",
            f"{row['utilization']:.3f}",
            f"{100 * row['idle_lane_cycles'] / lost:.1f} %",
        )
        for row in rows
    ]
    _table("Where the cycles of an image go", ("layer", "cycles", "operations", "utilization", "of all idle"), shown)


def show_split(network: "FixedPointNetwork", split: "Split") -> None:
    """The layers of each core of a chain and its cycles."""
    bounds = (0, *split.cuts, len(network.layers))
    rows = [
        (str(number + 1), ", ".join(layer.name for layer in network.layers[first:end]), f"{spent:,.0f}")
        for number, (first, end, spent) in enumerate(zip(bounds, bounds[1:], split.stages, strict=False))
    ]
    _table("Cores, and the mean cycles of each for an image (exact model)", ("core", "layers", "cycles"), rows)


def _millions(value: float | None) -> str:
    return "-" if value is None else f"{value / 1e6:,.2f} M"


def show_survey(rows: Sequence["Row"], formats: Sequence[str]) -> None:
    """The most accurate setting for each T, a table for each format."""
    from toolchain.survey import best_rows

    for name in formats:
        shown = [
            (row.label, str(row.time_steps), f"{row.accuracy:.2f}", f"{row.loss:+.2f}", _millions(row.sop))
            for row in best_rows(rows, name)
        ]
        title = f"Best setting for each T, {'float' if name == 'float' else f'{name}-bit integers'} (simulated)"
        _table(title, ("setting", "T", "acc. %", "loss", "SOP"), shown)


def show_tried(tried: Sequence["Tried"]) -> None:
    """What each T lost."""
    shown = [
        (str(t.time_steps), "-", "-", "-") if t.accuracy is None or t.loss is None
        else (str(t.time_steps), f"{t.accuracy:.2f}", f"{t.loss:+.2f}", _millions(t.sop))
        for t in tried
    ]  # fmt: skip
    _table("Integers at each T", ("T", "acc. %", "loss", "SOP"), shown)


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
    _table("Early exit (simulated)", ("", "acc. %", "steps", "SOP", "% of images that end at each T"), shown)


def show_synthesis(results: Sequence["SynthesisResult"], *, judged: bool = True) -> None:
    """A row for each device and number of lanes, then what does not fit and what is only estimated.

    Without ``judged`` the verdict on each is left to the caller.
    """
    from toolchain.synth import RESOURCES  # heavy, and help must answer at once

    def share(result: "SynthesisResult", resource: str) -> str:
        used, has = result.used.get(resource, 0), result.has.get(resource)
        return f"{used:,} {100 * used / has:.0f}%" if has else f"{used:,}"

    rows = [
        (
            result.device.name,
            str(result.lanes) if result.cores == 1 else f"{result.cores} × {result.lanes}",
            share(result, "lut"),
            *(f"{result.used.get(name, 0):,}" for name in ("ff", "carry")),
            *(share(result, name) for name in ("bram", "dsp")),
            "-" if result.fmax_mhz is None else f"{result.fmax_mhz:.1f}",
            "yes" if result.fits else "no",
        )
        for result in results
    ]
    columns = ("device", "lanes", "LUT", "FF", "carry", "BRAM", "DSP", "MHz", "fits")
    _table(
        f"{results[0].network}, {results[0].weight_bits}-bit weights: used, and share of what there is", columns, rows
    )
    for result in results if judged else ():
        mark = "[bold green]PASS[/]" if result.meets else "[bold red]FAIL[/]"
        where = f"{result.device.name}, {result.lanes} lanes"
        out.print(f"{mark} {where}: {escape(result.verdict)}; took {result.seconds['total']:.0f} s")
        if result.way_out:
            out.print(f"     Way out: {result.way_out}", markup=False)
        more = [f"{result.used[name]:,} {RESOURCES[name]}" for name in ("lutram", "spram") if result.used.get(name)]
        if more:
            out.print(f"     Also {', '.join(more)}", markup=False)
        out.print(f"     Logs and netlist in {result.folder}", markup=False)
    tools = dict.fromkeys(f"{name} {version}" for result in results for name, version in result.tools.items())
    kinds = sorted({result.status for result in results})
    meaning = {
        "estimated": "estimated: counted by Yosys before placement",
        "simulated": "simulated: by place and route, with its maximum delays",
    }
    out.print(
        f"{', '.join(tools)}; {'; '.join(meaning[kind] for kind in kinds)}. Nothing ran on silicon.",
        markup=False,
    )


def show_critical_path(result: "SynthesisResult") -> None:
    """The slowest path between registers, hop by hop, in the design's names."""
    rows = []
    total = 0.0
    for hop in result.path:
        total += hop.logic_ns + hop.routing_ns
        name = f"beside {hop.name}" if hop.beside else hop.name
        rows.append((name, f"{hop.logic_ns:.2f}", f"{hop.routing_ns:.2f}", f"{total:.2f}"))
    where = f"{result.device.name}, {result.lanes} lanes"
    _table(f"Critical path on {where}, ns", ("signal", "logic", "routing", "sum"), rows)


def show_trial(trial: "Trial") -> None:
    """Class, scores and times of each image that a board answered, the counters of its layers, and whether they are right."""
    board = trial.identity
    rows = [
        (
            str(number),
            str(result.prediction),
            " ".join(map(str, result.scores)),
            f"{1e6 * core:,.1f}",
            f"{1e3 * spent:.2f}",
        )
        for number, (result, core, spent) in enumerate(
            zip(trial.results, trial.core_seconds, trial.seconds, strict=True)
        )
    ]
    size = "×".join(map(str, board.input_shape))
    title = f"Network {board.network_id:08x}: {size}, T = {board.time_steps}, {board.lanes} lanes at {board.clock_hz / 1e6:g} MHz"
    _table(title, ("image", "class", "scores", "core, µs", "round trip, ms"), rows)
    counted = [(str(number), *(f"{value:,.1f}" for value in row)) for number, row in enumerate(trial.mean_counters)]
    _table("Counters of the layers, mean", ("layer", "cycles", "events", "operations", "spikes"), counted)
    out.print(
        "Core: the layers' cycles over the clock, by the board's counters. Round trip: measured here, the serial line included.",
        markup=False,
    )
    if trial.repeats:
        out.print(f"{trial.repeats} packets were damaged on the line and sent again", markup=False)
    if trial.differences is None:
        return
    if trial.passed:
        out.print(
            f"[bold green]PASS[/] {len(trial.results)} images: scores, classes, counters and cycles as the models say"
        )
    else:
        out.print(f"[bold red]FAIL[/] {len(trial.differences)} differences from the models")
        for difference in trial.differences[:10]:
            out.print(f"  {difference}", markup=False)


def show_layers(checked: "Checked") -> None:
    """What becomes of every layer, and what to do about those that do not convert."""
    from toolchain.checking import VERDICTS

    rows = [(f.layer or "-", f.kind or "-", VERDICTS[f.verdict], f.reason) for f in checked.findings]
    table = Table(
        title=escape(f"{checked.source}, {checked.kind}"), title_justify="left", header_style="bold", box=box.SIMPLE_HEAD,
        pad_edge=False,
    )  # fmt: skip
    for name, fold in (("layer", False), ("kind", False), ("verdict", False), ("what becomes of it", True)):
        table.add_column(name, no_wrap=not fold, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    whole = sum(
        max(map(cell_len, column))
        for column in zip(("layer", "kind", "verdict"), *(row[:3] for row in rows), strict=True)
    )
    least = whole + _LEAST_TEXT + 2 * len(table.columns)
    table.width = least if least > out.width else None  # as in _table: nothing is cut off
    out.print(table, soft_wrap=False, crop=False)
    for finding in checked.problems:
        where = "" if repr(finding.layer) in finding.reason else f"{finding.layer or checked.source}: "
        out.print(f"{where}{finding.reason}. Way out: {finding.way_out or 'none'}.", markup=False)
    count = len(checked.problems)
    out.print("Every layer converts." if not count else f"{count} of {len(rows)} layers do not convert as they are.")


def show_ports(predictions: "Sequence[Prediction]") -> None:
    """What cores with external weights ask of the memory's port, a line each."""
    for each in predictions:
        found = each.waiting
        if found is None:
            continue
        waits = f"waits {found.total / each.cycles:.1%} of its cycles" if found.starving else "never waits"
        out.print(
            f"External weights, {each.device.name}, {each.lanes} lanes (estimated): cache {each.cache_words:,} words, port {found.data_bits} bits, "
            f"latency {found.latency}; an image reads {found.read_bytes / 1e6:,.1f} MB, {each.memory_bytes_per_second / 1e6:,.1f} MB/s at that speed, "
            f"of {found.data_bits / 8 * each.clock_mhz:,.0f} that the port has, and {waits}.",
            markup=False,
        )


def show_outside(predictions: "Sequence[Prediction]", *, tried: bool) -> None:
    """Which devices hold a core that nobody holds with its weights, if they are external; ``tried``: they were already."""
    if tried:
        out.print("The membranes, spikes and the cache stay on chip, and are too much, or the lanes' logic is.")
    elif predictions:
        out.print("No device holds the weights; with --memories external these hold the core:")
        show_predictions(predictions, None)
    else:
        out.print("Nor does one hold the core with --memories external; add that and --device to see what is short.")


def show_predictions(predictions: "Sequence[Prediction]", best: "Prediction | None") -> None:
    """Predicted sizes and speed, a row for each device and number of lanes; ``best`` is recommended."""
    if not predictions:
        out.print("No device known here holds it by these estimates.")
        return
    marks = {"predicted": "", "slowest built": "†", "assumed": "‡"}
    rows = []
    for each in predictions:
        fullest = max(each.used[name] / has for name, has in each.has.items() if has and name in each.used)
        cycles = f"{each.cycles:,.0f}" if each.cycles < 1e6 else f"{each.cycles / 1e3:,.0f}k"
        speed = f"{each.images_per_second:,.0f}" if each.images_per_second >= 10 else f"{each.images_per_second:.2g}"
        rows.append(
            (
                each.device.name, f"{each.lanes}{'*' if each.beyond else ''}{'←' if each is best else ''}",
                *(f"{each.used[name]:,}" for name in ("lut", "ff", "bram", "dsp")), f"{100 * fullest:.0f} %",
                f"{each.clock_mhz:.0f}{marks[each.clock_is]}", cycles, speed,
                "close" if each.close else "yes" if each.fits else "no",
            )
        )  # fmt: skip
    columns = ["device", "lanes", "LUT", "FF", "RAM", "DSP", "full", "MHz", "cycles", "images/s", "fits"]
    _table("Estimated, not synthesized; RAM are blocks, full is the scarcest resource", columns, rows, narrow=True)
    short = [each for each in predictions if each.shortages and not each.close]
    for name in dict.fromkeys(each.device.name for each in short):
        first = next(each for each in short if each.device.name == name)
        lanes = f"{first.lanes} lane{'s' if first.lanes > 1 else ''}"
        out.print(f"{name} with {lanes}: {'; '.join(map(str, first.shortages))}.", markup=False)
    if best is not None:
        out.print(
            f"Recommended on {best.device.name}: {best.lanes} lane{'s' if best.lanes > 1 else ''} (←), the fewest that give 90 % of the most images a second."
        )
    elif len({each.device.name for each in predictions}) == 1 and len(predictions) > 1:
        out.print(f"None of these surely fits {predictions[0].device.name}.")
    notes = {
        "*: no built point of the family has {}.": dict.fromkeys(text for each in predictions for text in each.beyond),
        "†: {} of the built points that are as fast.": ["slowest"]
        * any(p.clock_is == "slowest built" for p in predictions),
        "‡: {} clock, nothing like it was built.": ["the device's usual"]
        * any(p.clock_is == "assumed" for p in predictions),
        "close: {} must tell, the estimate is too near a limit.": ["spikeloom synth"]
        * any(p.close for p in predictions),
    }
    for text, values in notes.items():
        if values:
            out.print(text.format(", or ".join(values)), markup=False)
    show_ports(predictions)
    margin = max(each.margin for each in predictions)
    clocks = [each.fmax_error for each in predictions if each.fmax_error is not None]
    told = f"; clocks by up to {100 * max(clocks):.0f} %" if clocks else ""
    out.print(f"LUT and FF were off by up to {100 * margin:.0f} % where a built point was left out of the fit{told}.")
