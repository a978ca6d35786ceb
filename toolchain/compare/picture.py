"""Accuracy against a cost as a picture: every candidate, the front as a staircase, and the ANN baselines below."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from toolchain.compare.conclusion import AXES
from toolchain.compare.labels import Box, place
from toolchain.compare.measure import AGAINST, Comparison, Measured
from toolchain.energy import BASELINES
from toolchain.pictures import check_format, save, styled

__all__ = ["draw", "labels_of", "painted"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195")
"""After Okabe & Ito, "Color universal design", 2008."""
_GREY = "#777777"
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_ALONE = ("#333333", "o")
_STYLE = {"text.parse_math": False}  # file names are no formulas
_UNITS = {"energy": 1e6, "cycles": 1.0, "size": 8192.0, "sop": 1e6}
_TITLES = {
    "energy": "energy of an image, µJ (mark: upper bound; bar: down to the lower bound over the memory policies)",
    "cycles": "clock cycles of an image",
    "size": "memory of the core, KiB",
    "sop": "synaptic operations of an image, millions",
}
_LOG_FROM = 3.0
"""Costs that differ by so much stand on a logarithmic axis."""
_MARK = 7.0  # points across
_LABEL_SIZE = 8.0
_Segment = tuple[tuple[float, float], tuple[float, float]]
_LINE, _BAR = 2.0, 0.1
"""How far off, for each square pixel that it covers, a label goes to leave the front's or a source's line, and a bar, free."""


def _looks(comparison: Comparison) -> dict[str, tuple[str, str]]:
    """Colour and mark of each group; files with one candidate share theirs, since their labels name them."""
    sizes = Counter(one.group for one in comparison.candidates)
    several = [group for group, number in sizes.items() if number > 1]
    looks = {
        group: (_COLOURS[i % len(_COLOURS)], _MARKERS[(i + i // len(_COLOURS)) % len(_MARKERS)])
        for i, group in enumerate(several)
    }
    return {group: looks.get(group, _ALONE) for group in sizes}


def labels_of(comparison: Comparison) -> tuple[str, ...]:
    """What stands at each candidate: its settings as far as they differ, and its file's name where no legend tells it."""
    sizes = Counter(one.group for one in comparison.candidates)
    settings = [one.setting.split(",") for one in comparison.candidates]
    common = set.intersection(*(set(parts) for parts in settings))
    labels = []
    for one, parts in zip(comparison.candidates, settings, strict=True):
        short = ", ".join(part for part in parts if part not in common)
        named = () if sizes[one.group] > 1 and short else (one.group,)
        labels.append(", ".join((*named, short) if short else named))
    return tuple(labels)


def _cost(one: Measured, against: str) -> float:
    return AGAINST[against](one) / _UNITS[against]


def _candidates(axes: Axes, comparison: Comparison) -> None:
    """Marks, filled on the front, with bars from the lower to the upper bound of energy."""
    looks, axis = _looks(comparison), comparison.against
    places = Counter((_cost(one, axis), one.accuracy) for one in comparison.candidates)
    for one, by in zip(comparison.candidates, comparison.beaten(), strict=True):
        colour, mark = looks[one.group]
        cost = _cost(one, axis)
        if axis == "energy":
            low = one.energy_low / _UNITS[axis]
            axes.plot(
                [low, cost], [one.accuracy] * 2, color=colour, linewidth=1.1, alpha=0.45, marker="|", markersize=5
            )
        places[cost, one.accuracy] -= 1  # those at one place lie in rings
        axes.plot(
            [cost],
            [one.accuracy],
            mark,
            color=colour,
            markerfacecolor="white" if by else colour,
            markersize=_MARK + 3.5 * min(places[cost, one.accuracy], 4),
            markeredgewidth=1.4,
            zorder=4,
        )


def _staircase(axes: Axes, comparison: Comparison) -> list[_Segment]:
    """The front from its cheapest member to the right edge; what lies below and to the right of it is beaten."""
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    corners, height = [], bottom
    for one in comparison.front():
        cost = _cost(one, comparison.against)
        corners += [(cost, height), (cost, one.accuracy)]
        height = one.accuracy
    corners.append((right, height))
    x, y = zip(*corners, strict=True)
    axes.plot(x, y, color="black", linewidth=1.2, zorder=3)
    axes.fill_between(x, y, bottom, color="black", alpha=0.045, linewidth=0, zorder=0)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    return list(pairwise(corners))


def _sources(axes: Axes, comparison: Comparison) -> tuple[list[_Segment], str]:
    """Lines at the accuracies of the FP32 sources, as far as they were measured on just these images, and what to say of all."""
    known = {
        (one.source_accuracy, one.source_images, one.source_data)
        for one in comparison.candidates
        if one.source_accuracy is not None
    }
    left, right = axes.get_xlim()
    lines: list[_Segment] = []
    notes = []
    for accuracy, images, data in sorted(known, key=str):
        same = (data, images) == (f"{comparison.dataset} test", comparison.images)
        if same:
            lines.append(((left, accuracy), (right, accuracy)))
            axes.plot([left, right], [accuracy] * 2, color=_GREY, linewidth=1.0, linestyle=(0, (5, 3)), zorder=1)
        seen = "" if images is None else f" on {images:,} images of {data or 'unknown data'}"
        notes.append(f"{accuracy:.2f} %{seen}{' (dashed)' if same else ''}")
    return lines, "" if not notes else f"FP32 source: {'; '.join(notes)}"


def _baselines(axes: Axes, comparison: Comparison) -> None:
    """Energies of the ANN, a row for each baseline and a bar for each that differs between candidates."""
    names = [name for name in BASELINES if any(name in one.ann for one in comparison.candidates)]
    unit = _UNITS["energy"]
    for row, name in enumerate(names):
        bounds = sorted({one.ann[name] for one in comparison.candidates if name in one.ann})
        for number, (low, high) in enumerate(bounds):
            height = -row + 0.6 * (0.5 - (number + 0.5) / len(bounds))
            width = max(0.5, min(2.6, 9.0 / len(bounds)))
            axes.plot([low / unit, high / unit], [height] * 2, color=_GREY, linewidth=width, solid_capstyle="butt")
        least, most = min(low for low, _ in bounds) / unit, max(high for _, high in bounds) / unit
        left, right = axes.get_xlim()
        behind = right / most > least / left  # on a logarithmic axis, which energies of ANN and SNN always need
        axes.annotate(
            f"ANN, {BASELINES[name]}", (most if behind else least, -row), (5 if behind else -5, 0), fontsize=8, va="center",
            textcoords="offset points", ha="left" if behind else "right", color="#444444",
        )  # fmt: skip
    axes.set_yticks([])
    axes.set_ylim(-len(names) + 0.4, 0.6)
    axes.spines["left"].set_visible(False)


def _scale(axes: Axes, costs: Sequence[float]) -> None:
    """A logarithmic axis with plain numbers where costs differ much, otherwise a linear one."""
    least, most = min(costs), max(costs)
    if least > 0 and most / least >= _LOG_FROM:
        axes.set_xscale("log")
        spread = most / least
        subs = (1.0, 2.0, 5.0) if spread < 1000 else (1.0,)
        axes.xaxis.set_major_locator(LogLocator(subs=subs))
        axes.xaxis.set_minor_formatter(NullFormatter())
        margin = spread**0.06
        axes.set_xlim(least / margin, most * margin)
    else:
        margin = 0.08 * (most - least) or 0.1 * abs(most) or 1.0
        axes.set_xlim(least - margin, most + margin)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))


def _covered(axes: Axes, segments: Sequence[_Segment], margin: float) -> list[Box]:
    """What level and upright lines cover, in pixels."""
    boxes = []
    for segment in segments:
        (x, y), (next_x, next_y) = axes.transData.transform(segment)
        (left, right), (bottom, top) = sorted((x, next_x)), sorted((y, next_y))
        boxes.append(Box(left - margin, bottom - margin, right + margin, top + margin))
    return boxes


def _annotate(figure: Figure, axes: Axes, comparison: Comparison, segments: Sequence[_Segment]) -> list[Annotation]:
    """Labels off each other and off the marks; the front's come first. Thin lines lead to those that stand far off."""
    renderer: Any = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    looks, texts, beaten = _looks(comparison), labels_of(comparison), comparison.beaten()
    pixel = figure.dpi / 72
    points = [
        tuple(axes.transData.transform((_cost(one, comparison.against), one.accuracy))) for one in comparison.candidates
    ]
    half = (_MARK / 2 + 1.5) * pixel
    marks = [Box(x - half, y - half, x + half, y + half) for x, y in points]
    lines = [(box, _LINE) for box in _covered(axes, segments, pixel)]
    if comparison.against == "energy":
        for one, (x, y) in zip(comparison.candidates, points, strict=True):
            low = axes.transData.transform((one.energy_low / _UNITS["energy"], one.accuracy))[0]
            lines.append((Box(low, y - pixel, x, y + pixel), _BAR))
    order = sorted(
        range(len(points)),
        key=lambda i: (bool(beaten[i]), -comparison.candidates[i].accuracy, comparison.candidates[i].name),
    )
    made = []
    for i in order:
        weight = "normal" if beaten[i] else "bold"
        colour = looks[comparison.candidates[i].group][0]
        data = (_cost(comparison.candidates[i], comparison.against), comparison.candidates[i].accuracy)
        text = axes.annotate(
            texts[i], data, (0, 0), textcoords="offset points", fontsize=_LABEL_SIZE, color=colour, weight=weight,
            ha="center", va="center", zorder=5, annotation_clip=False,
        )  # fmt: skip
        made.append(text)
    sizes = []
    for text in made:
        extent = text.get_window_extent(renderer)
        sizes.append((extent.width + 4 * pixel, extent.height + 2 * pixel))
    frame = axes.get_window_extent(renderer)
    bounds = Box(frame.x0, frame.y0, frame.x1, frame.y1)
    boxes = place([points[i] for i in order], sizes, bounds, hard=marks, soft=lines, gap=half + pixel)
    kept = []
    for i, text, box in zip(order, made, boxes, strict=True):
        if box is None:
            text.remove()
            continue
        x, y = points[i]
        centre = ((box.left + box.right) / 2, (box.bottom + box.top) / 2)
        text.set_position(((centre[0] - x) / pixel, (centre[1] - y) / pixel))
        near = (min(max(x, box.left), box.right), min(max(y, box.bottom), box.top))
        if (near[0] - x) ** 2 + (near[1] - y) ** 2 > (2.5 * half) ** 2:
            ends = axes.transData.inverted().transform([(x, y), near])
            axes.plot(*ends.T, color=text.get_color(), linewidth=0.5, alpha=0.7, zorder=2)
        kept.append(text)
    return kept


def _legend(figure: Figure, comparison: Comparison) -> None:
    looks = _looks(comparison)
    handles = [
        Line2D([], [], color=colour, marker=mark, linestyle="none", markersize=_MARK, label=group)
        for group, (colour, mark) in looks.items()
        if (colour, mark) != _ALONE
    ]
    black: Any = {"color": "black", "marker": "o", "markersize": _MARK, "markeredgewidth": 1.4}
    handles.append(Line2D([], [], **black, linewidth=1.2, label="on the front"))
    handles.append(Line2D([], [], **black, linestyle="none", markerfacecolor="white", label="beaten"))
    if comparison.against == "energy" and comparison.candidates[0].ann:
        handles.append(Line2D([], [], color=_GREY, linewidth=2.6, label="without spikes: an ANN each, low to high"))
    figure.legend(handles=handles, frameon=False, ncols=min(4, len(handles)), loc="outside lower center", fontsize=8.5)


def painted(comparison: Comparison) -> tuple[Figure, list[Annotation]]:
    """The picture and the labels in it; a label that would cover another is left out, and the picture says so."""
    axis = comparison.against
    strip = axis == "energy" and any(one.ann for one in comparison.candidates)
    rows = len({name for one in comparison.candidates for name in one.ann}) if strip else 0
    figure = Figure(figsize=(9.0, 5.6 + 0.24 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    if strip:
        main, below = figure.subplots(2, 1, sharex=True, height_ratios=(5.0, 0.26 * rows))
    else:
        main = below = figure.subplots()
    _candidates(main, comparison)
    costs = [_cost(one, axis) for one in comparison.candidates]
    if axis == "energy":
        costs += [one.energy_low / _UNITS[axis] for one in comparison.candidates]
        costs += [
            value / _UNITS[axis] for one in comparison.candidates for bounds in one.ann.values() for value in bounds
        ]
    _scale(main, costs)
    if strip:
        _baselines(below, comparison)
    segments, source = _sources(main, comparison)
    main.margins(y=0.12)
    main.autoscale(axis="y")
    segments += _staircase(main, comparison)
    main.set_ylabel("accuracy, %")
    below.set_xlabel(_TITLES[axis])
    heading = (
        f"accuracy against {AXES[axis]}: {len(comparison.candidates)} candidates, {comparison.images:,} images of "
        f"{comparison.dataset}\nprofile {comparison.profile.name}, {comparison.lanes} lanes; accuracy simulated, "
        f"{'energy estimated' if axis == 'energy' else 'size exact' if axis == 'size' else f'{axis} simulated'}"
    )
    figure.suptitle("\n".join(part for part in (heading, source) if part), x=0.01, ha="left", fontsize=9.5)
    _legend(figure, comparison)
    figure.canvas.draw()  # settles the layout, which labels must not change
    figure.set_layout_engine("none")
    kept = _annotate(figure, main, comparison, segments)
    left_out = len(comparison.candidates) - len(kept)
    if left_out:
        main.set_title(f"{left_out} labels left out for want of room; the table has all", loc="right", fontsize=8)
    return figure, kept


def draw(comparison: Comparison, path: Path) -> None:
    """Write the picture as SVG, PNG or PDF, by the ending of ``path``; the same bytes for the same comparison.

    Raises
    ------
    InvalidValue
        Another ending, or a file that cannot be written.
    """
    check_format(path)
    with styled(_STYLE):
        figure, _ = painted(comparison)
        save(figure, path)
