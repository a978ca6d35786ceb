"""What ``check`` tells, as tables: layers, and what devices would hold."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.markup import escape
from rich.table import Table

from toolchain.tables.terminal import out, print_table

if TYPE_CHECKING:
    from toolchain.checking import Checked
    from toolchain.sizing import Prediction

__all__ = ["show_layers", "show_outside", "show_ports", "show_predictions"]

_LEAST_TEXT = 24
"""Columns that words which may be folded get, however narrow the terminal."""


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
    table.width = least if least > out.width else None  # as in print_table: nothing is cut off
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
    print_table("Estimated, not synthesized; RAM are blocks, full is the scarcest resource", columns, rows, narrow=True)
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
