"""The account as a picture: stacked causes of each layer's error, and what each layer alone costs."""

from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from toolchain.diagnose.account import Diagnosis
from toolchain.errors import InvalidValue
from toolchain.netfile import replacing

__all__ = ["FORMATS", "check_format", "draw"]

FORMATS = (".svg", ".png", ".pdf")
COLOURS = {
    "clipping": "#D55E00",
    "quantization": "#0072B2",
    "inherited": "#BBBBBB",
    "unevenness": "#E69F00",
    "fixed_point": "#009E73",
}
"""Of Okabe & Ito, "Color universal design", 2008: told apart in all kinds of colour blindness; grey for what is inherited."""
HATCHES = {"clipping": "///", "quantization": "", "inherited": "", "unevenness": "...", "fixed_point": "\\\\\\"}
_STYLE = {
    "svg.hashsalt": "spikeloom",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "hatch.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_UNDATED = {".svg": {"Date": None, "Creator": None}, ".png": {"Software": None}, ".pdf": {"CreationDate": None}}


def check_format(path: Path) -> None:
    """Refuse a file whose ending is none of ``FORMATS``."""
    if path.suffix not in FORMATS:
        raise InvalidValue(f"picture {path} ends in {path.suffix or 'nothing'!r}, must end in {', '.join(FORMATS)}")


def _errors(axes: Axes, diagnosis: Diagnosis) -> None:
    """Contributions stacked from 0, those below 0 downwards; a mark at their sum."""
    places = range(len(diagnosis.layers))
    up, down = [0.0] * len(places), [0.0] * len(places)
    for part, colour in COLOURS.items():
        values = [layer.contributions[part] for layer in diagnosis.layers]
        starts = [up[i] if value >= 0 else down[i] for i, value in enumerate(values)]
        axes.bar(
            places, values, 0.62, starts, color=colour, hatch=HATCHES[part], edgecolor="white", linewidth=0.8,
            label=part.replace("_", "-"),
        )  # fmt: skip
        for i, value in enumerate(values):
            up[i], down[i] = up[i] + max(value, 0), down[i] + min(value, 0)
    totals = [layer.error for layer in diagnosis.layers]
    axes.plot(places, totals, "_", color="black", markersize=26, markeredgewidth=1.6, label="whole error")
    span = max(up) - min(down) or 1.0
    for i, total in enumerate(totals):
        axes.text(i, up[i] + 0.015 * span, f"{total:.3g} %", ha="center", va="bottom")
    axes.set_ylim(min(down) - (0.04 * span if min(down) < 0 else 0), max(up) + 0.1 * span)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_ylabel("mean square error,\n% of the layer's signal")
    axes.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2, handlelength=1.6)


def _costs(axes: Axes, diagnosis: Diagnosis) -> None:
    """Points that each layer's own error costs, the worst layer named."""
    costs = [layer.accuracy_cost for layer in diagnosis.layers]
    worst = diagnosis.worst
    colours = ["#333333" if i == worst else "#999999" for i in range(len(costs))]
    axes.bar(range(len(costs)), costs, 0.62, color=colours)
    span = max(max(costs) - min(costs), 1.0)
    for i, cost in enumerate(costs):
        note = f"{0.0 + cost:.2f}" + (f"\nmost: {diagnosis.layers[i].cause.replace('_', '-')}" if i == worst else "")
        axes.text(
            i, max(cost, 0) + 0.03 * span, note, ha="center", va="bottom", fontweight="bold" if i == worst else None
        )
    axes.set_ylim(min(0.0, *costs) - (0.06 * span if min(costs) < 0 else 0), max(0.0, *costs) + 0.42 * span)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_ylabel("points lost with\nthis layer's own error")
    axes.set_xlabel("layer")
    axes.set_xticks(range(len(costs)), [layer.layer for layer in diagnosis.layers])
    axes.get_xticklabels()[worst].set_fontweight("bold")


def draw(diagnosis: Diagnosis, path: Path, title: str) -> None:
    """Write the picture as SVG, PNG or PDF, by the ending of ``path``; the same bytes for the same account.

    Raises
    ------
    InvalidValue
        Another ending, or a file that cannot be written.
    """
    check_format(path)
    with matplotlib.rc_context(_STYLE):
        width = max(6.4, 2.2 + 0.85 * len(diagnosis.layers))
        figure = Figure(figsize=(width, 6.0), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title, x=0.01, ha="left", fontsize=10.5)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        _errors(above, diagnosis)
        _costs(below, diagnosis)
        with replacing(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], dpi=150, metadata=_UNDATED[path.suffix])
