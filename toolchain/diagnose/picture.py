"""The account as a picture: stacked causes of each layer's error, and what each layer alone costs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from toolchain.diagnose.account import PARTS, Diagnosis
from toolchain.pictures import check_format, save, styled

__all__ = ["COLOURS", "draw"]

COLOURS = {
    "clipping": "#D55E00",
    "quantization": "#0072B2",
    "inherited": "#BBBBBB",
    "unevenness": "#E69F00",
    "fixed_point": "#009E73",
}
"""Of Okabe & Ito, "Color universal design", 2008: told apart in all kinds of colour blindness; grey for what is inherited."""
HATCHES = {"clipping": "///", "quantization": "", "inherited": "", "unevenness": "xx", "fixed_point": "\\\\\\"}
_STYLE = {"hatch.linewidth": 0.6}


def _stack(axes: Axes, stacks: Sequence[Mapping[str, float]]) -> None:
    """A bar for each layer, contributions stacked from 0, those below 0 downwards; a mark and a number at their sum."""
    places = range(len(stacks))
    up, down = [0.0] * len(places), [0.0] * len(places)
    for part, colour in COLOURS.items():
        values = [stack[part] for stack in stacks]
        starts = [up[i] if value >= 0 else down[i] for i, value in enumerate(values)]
        axes.bar(places, values, 0.62, starts, color=colour, hatch=HATCHES[part], edgecolor="white", linewidth=0.6)
        for i, value in enumerate(values):
            up[i], down[i] = up[i] + max(value, 0), down[i] + min(value, 0)
    wholes = [sum(stack.values()) for stack in stacks]
    axes.plot(places, wholes, "_", color="black", markersize=26, markeredgewidth=1.6)
    span = max(up) - min(down) or 1.0
    for i, whole in enumerate(wholes):
        axes.text(i, up[i] + 0.02 * span, f"{whole:.3g} %" if whole >= 0.01 else "< 0.01 %", ha="center", va="bottom")
    axes.set_ylim(min(down) - (0.04 * span if min(down) < 0 else 0), max(up) + 0.14 * span)


def _costs(axes: Axes, diagnosis: Diagnosis) -> None:
    """Points that each layer's own error costs, the worst layer with its largest part."""
    costs = [layer.accuracy_cost for layer in diagnosis.layers]
    worst = diagnosis.worst
    colours = ["#333333" if i == worst else "#999999" for i in range(len(costs))]
    axes.bar(range(len(costs)), costs, 0.62, color=colours)
    span = max(0.0, *costs) - min(0.0, *costs) or 1.0
    for i, cost in enumerate(costs):
        note = f"{0.0 + cost:.2f}" + (f"\n{diagnosis.layers[i].cause.replace('_', '-')}" if i == worst else "")
        weight = "bold" if i == worst else "normal"
        axes.text(i, max(cost, 0) + 0.03 * span, note, ha="center", va="bottom", fontweight=weight)
    axes.set_ylim(min(0.0, *costs) - (0.06 * span if min(costs) < 0 else 0), max(0.0, *costs) + 0.45 * span)
    axes.set_xlim(-0.75, len(costs) - 0.25)
    axes.set_xlabel("layer (bold: costs most, and by what)")
    axes.set_xticks(range(len(costs)), [layer.layer for layer in diagnosis.layers])
    axes.get_xticklabels()[worst].set_fontweight("bold")


def _legend(figure: Figure, parts: Sequence[str]) -> None:
    handles: list[Artist] = [
        Patch(facecolor=COLOURS[part], hatch=HATCHES[part], edgecolor="white", label=part.replace("_", "-"))
        for part in parts
    ]
    handles.append(Line2D([], [], color="black", linewidth=1.6, label="sum"))
    figure.legend(
        handles=handles,
        frameon=False,
        ncols=len(handles),
        loc="outside lower center",
        columnspacing=0.9,
        handlelength=1.5,
    )


def draw(diagnosis: Diagnosis, path: Path, title: str) -> None:
    """Write the picture as SVG, PNG or PDF, by the ending of ``path``; the same bytes for the same account.

    Raises
    ------
    InvalidValue
        Another ending, or a file that cannot be written.
    """
    check_format(path)
    parts = [part for part in PARTS if part != "fixed_point" or diagnosis.accuracy_integers is not None]
    with styled(_STYLE):
        figure = Figure(figsize=(max(7.2, 2.2 + 0.85 * len(diagnosis.layers)), 8.0), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
        whole, own, costs = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 2))
        _stack(whole, [layer.contributions for layer in diagnosis.layers])
        _stack(own, [layer.own_contributions for layer in diagnosis.layers])
        _costs(costs, diagnosis)
        for axes, heading in (
            (whole, "whole error of the layer, mean square in % of its signal"),
            (own, "its own error, without what it inherits, mean square in % of its signal"),
            (costs, "points of accuracy lost if the source has this own error alone"),
        ):
            axes.set_title(heading, loc="left", fontsize=9.5)
            axes.axhline(0, color="black", linewidth=0.8)
            axes.spines["bottom"].set_visible(False)
            axes.tick_params(bottom=False)
        _legend(figure, parts)
        save(figure, path)
