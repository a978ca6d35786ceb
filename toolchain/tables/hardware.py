"""Hardware as tables: verification, netlists, synthesis, and a board's answers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from toolchain.tables.terminal import out, print_table

if TYPE_CHECKING:
    from sim.result import VerificationResult
    from toolchain.balance import Split
    from toolchain.ir import FixedPointNetwork
    from toolchain.synth import GateLevel, SynthesisResult
    from toolchain.trial import Trial

__all__ = [
    "show_critical_path",
    "show_cycles",
    "show_netlist",
    "show_split",
    "show_synthesis",
    "show_trial",
    "show_verdict",
]


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
    print_table(
        "Where the cycles of an image go", ("layer", "cycles", "operations", "utilization", "of all idle"), shown
    )


def show_split(network: "FixedPointNetwork", split: "Split") -> None:
    """The layers of each core of a chain and its cycles."""
    bounds = (0, *split.cuts, len(network.layers))
    rows = [
        (str(number + 1), ", ".join(layer.name for layer in network.layers[first:end]), f"{spent:,.0f}")
        for number, (first, end, spent) in enumerate(zip(bounds, bounds[1:], split.stages, strict=False))
    ]
    print_table("Cores, and the mean cycles of each for an image (exact model)", ("core", "layers", "cycles"), rows)


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
    print_table(
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
    print_table(f"Critical path on {where}, ns", ("signal", "logic", "routing", "sum"), rows)


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
    print_table(title, ("image", "class", "scores", "core, µs", "round trip, ms"), rows)
    counted = [(str(number), *(f"{value:,.1f}" for value in row)) for number, row in enumerate(trial.mean_counters)]
    print_table("Counters of the layers, mean", ("layer", "cycles", "events", "operations", "spikes"), counted)
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
