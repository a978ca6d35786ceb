"""A comparison as tables for the terminal."""

from collections.abc import Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from toolchain.compare.conclusion import AXES
from toolchain.compare.measure import Comparison
from toolchain.tables import out

__all__ = ["show_comparison"]


def _show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Names, which may be long, break where they must; numbers are never cut off."""
    table = Table(
        title=escape(title),
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column(escape(columns[0]), overflow="fold")
    for column in columns[1:]:
        table.add_column(escape(column), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    out.print(table)


def show_comparison(comparison: Comparison) -> None:
    """All candidates, those on the front with a star, then what the columns mean and the warnings."""
    results, networks = [], []
    for one, by in zip(comparison.candidates, comparison.beaten(), strict=True):
        name = f"{' ' if by else '*'}{escape(one.name)}"
        latency = () if one.latency_us is None else (f"{one.latency_us:,.1f}",)
        bounds = f"[{one.energy_low / 1e6:,.3g}, {one.energy_high / 1e6:,.3g}]"
        results.append((name, f"{one.accuracy:.2f}", f"{one.cycles:,.0f}", *latency, bounds, one.verdict))
        networks.append(
            (
                name,
                one.fingerprint[:8],
                one.schedule,
                str(one.time_steps),
                f"{one.weight_bits}/{one.membrane_bits}",
                f"{one.sop / 1000:,.0f}k",
                f"{one.spikes / 1000:,.1f}k",
                f"{one.size.total / 8192:,.1f}",
            )
        )
    first = comparison.candidates[0]
    clocked = () if first.latency_us is None else ("µs",)
    title = f"{len(results)} candidates on {comparison.images:,} images of {comparison.dataset} (simulated; energy estimated)"
    columns: tuple[str, ...] = ("candidate", "acc. %", "cycles", *clocked, "SNN µJ", "less")
    _show(title, columns, results)
    columns = ("candidate", "print", "schedule", "T", "w/V", "SOP", "spikes", "KiB")
    _show("What they are; bits of weights and membranes; memory of the core", columns, networks)
    for text in comparison.warnings:
        out.print(f"Note: {text}.", markup=False)
    out.print(
        f"* on the front of accuracy against {AXES[comparison.against]}: no other candidate is at least as accurate for no more and better in "
        f"one of the two. Cycles: from a frame's first word to its result's last on {comparison.lanes} lanes. "
        f"Energy: profile {comparison.profile.name}, low and high over the memory policies. KiB: weight, "
        "parameter, membrane and event memory of the core. Less: who costs less, SNN or its ANN"
        f"{'' if first.baseline is None else f', {first.baseline}'}. Print: the fingerprint's first digits.",
        markup=False,
    )
