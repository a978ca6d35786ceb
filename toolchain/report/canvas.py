"""Parts that charts are made of: plots as plain JSON values, colours by role, so that the page can follow its theme.

A plot is ``{data, layout, alt}`` as plotly.js reads it. Every colour in it is a role such as ``@snn``, which the page
replaces by that of its theme (``THEMES``). Texts that come from files must go through ``plain``: plotly reads some HTML.
"""

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10
from typing import Any

__all__ = ["SYMBOLS", "THEMES", "Plots", "hatch", "interval", "layer_names", "log_axis", "plain", "plot", "series"]

THEMES = {
    "light": {
        "text": "#1b1f24", "muted": "#57606a", "grid": "#d9dee4", "zero": "#8c959f", "panel": "#ffffff",
        "snn": "#0060a8", "fp32_dense": "#6e7781", "int8_dense": "#c2410c", "int8_zero_skipping": "#a16207",
        "equal_information_dense": "#047857", "equal_information_zero_skipping": "#86198f",
        "sop": "#08519c", "input": "#3182bd", "bias": "#6baed6", "neuron": "#9ecae1",
        "weights": "#8c2d04", "state": "#d95f0e", "events": "#fdae6b", "static": "#6e7781",
        "scan": "#0060a8", "fire": "#d95f0e", "win": "#0060a8", "lose": "#b45309", "even": "#f6f6f4",
        "none": "#ffffff", "negative": "#b45309",
    },
    "dark": {
        "text": "#e6edf3", "muted": "#9da7b3", "grid": "#30363d", "zero": "#6e7681", "panel": "#161b22",
        "snn": "#58a6ff", "fp32_dense": "#9da7b3", "int8_dense": "#ff8f5a", "int8_zero_skipping": "#e3b341",
        "equal_information_dense": "#3fc296", "equal_information_zero_skipping": "#e08fe8",
        "sop": "#2b7fd4", "input": "#58a6ff", "bias": "#8cc4ff", "neuron": "#bfdfff",
        "weights": "#b8500f", "state": "#f0883e", "events": "#ffc680", "static": "#9da7b3",
        "scan": "#58a6ff", "fire": "#f0883e", "win": "#4c9be8", "lose": "#d98a3d", "even": "#2a3038",
        "none": "#161b22", "negative": "#f0883e",
    },
}  # fmt: skip
"""Colours of each role. Blue against orange for every pair of opposites, which all kinds of colour blindness tell apart;
series differ in symbol and dash as well."""
SYMBOLS = {
    "snn": "circle",
    "fp32_dense": "x-thin-open",
    "int8_dense": "square",
    "int8_zero_skipping": "square-open",
    "equal_information_dense": "diamond",
    "equal_information_zero_skipping": "diamond-open",
}
Plots = dict[str, dict[str, Any]]
"""The plots of one chart under the keys that the page's menus choose by."""
_LONGEST = 40
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def plain(text: str) -> str:
    """A text from outside as plotly must get it: no markup, not endless."""
    return escape(text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…")


def layer_names(report: Mapping[str, Any]) -> list[str]:
    """Names of the layers as plotly must get them, told apart even if a file calls two the same."""
    names = [plain(f"layer {name}" if name.isdigit() else name) for name in (lr["layer"] for lr in report["layers"])]
    return [f"{i + 1}. {name}" if names.count(name) > 1 else name for i, name in enumerate(names)]


def _axis(axis: dict[str, Any]) -> dict[str, Any]:
    return {
        "gridcolor": "@grid",
        "linecolor": "@zero",
        "zerolinecolor": "@zero",
        "tickcolor": "@zero",
        "automargin": True,
        "fixedrange": True,
        **axis,
    }


def plot(data: list[dict[str, Any]], *, height: int, alt: str, **layout: Any) -> dict[str, Any]:
    """A plot; ``layout`` as plotly has it, its axes and legend get the look of all charts."""
    for name in [name for name in layout if name[1:].startswith("axis")]:
        layout[name] = _axis(layout[name])
        if "title" in layout[name]:
            layout[name]["title"] = {"font": {"size": 13}, **layout[name]["title"]}
    return {
        "data": data,
        "alt": alt,
        "layout": {
            "height": height,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": _FONT, "size": 13, "color": "@text"},
            "margin": {"l": 10, "r": 16, "t": 12, "b": 10},
            "hoverlabel": {"bgcolor": "@panel", "bordercolor": "@zero", "font": {"color": "@text"}},
            "dragmode": False,
            **layout,
            "legend": {
                "orientation": "h", "maxheight": 0.9, "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "font": {"size": 12},
                **layout.get("legend", {}),
            },
        },
    }  # fmt: skip


def _tick(value: float) -> str:
    """1-2-5 values of any size, without trailing zeros."""
    if value >= 1e6 or value < 1e-4:
        return f"{value:.0e}".replace("e-0", "e−").replace("e+0", "e").replace("e+", "e").replace("e-", "e−")
    return f"{value:,.10f}".rstrip("0").rstrip(".")


def log_axis(values: Sequence[float], title: str, *, margin: float = 0.08, **more: Any) -> dict[str, Any]:
    """A logarithmic axis around all ``values`` above 0, with ticks a reader can read: decades, or 1, 2, 5."""
    kept = [value for value in values if value > 0] or [1.0]
    low, high = log10(min(kept)), log10(max(kept))
    room = max(margin * (high - low), 0.1)
    low, high = low - room, high + room
    decades = range(floor(low), ceil(high) + 1)
    steps = (1, 2, 5) if high - low < 2.5 else (1, 3) if high - low < 3.5 else (1,)
    sparse = max(1, ceil((high - low) / 8))
    ticks = [step * 10.0**d for d in decades if d % sparse == 0 for step in steps]
    ticks = [tick for tick in ticks if low <= log10(tick) <= high]
    return {
        "type": "log",
        "range": [low, high],
        "tickvals": ticks,
        "ticktext": [_tick(tick) for tick in ticks],
        "title": {"text": title, "standoff": 8},
        **more,
    }


def series(name: str, role: str, x: Sequence[Any], y: Sequence[Any], **more: Any) -> dict[str, Any]:
    """Points of one role, joined by a line."""
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": list(x),
        "y": list(y),
        "line": {"color": f"@{role}", "width": 2},
        "marker": {"color": f"@{role}", "size": 9, "symbol": SYMBOLS.get(role, "circle"), "line": {"width": 2}},
    }
    for key, value in more.items():
        trace[key] = {**trace[key], **value} if isinstance(value, dict) and key in trace else value
    return trace


def hatch(shape: str) -> dict[str, Any]:
    """A pattern drawn over a bar's colour; none for ``""``."""
    return {"shape": shape, "fillmode": "overlay", "fgcolor": "@panel", "fgopacity": 0.6, "size": 6, "solidity": 0.25}


def interval(
    name: str, role: str, y: Sequence[Any], bounds: Sequence[tuple[float, float]], **more: Any
) -> dict[str, Any]:
    """Horizontal bars from low to high, one for each of ``y``."""
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "y": list(y),
        "base": [low for low, _ in bounds],
        "x": [max(high - low, low * 1e-9) for low, high in bounds],
        "marker": {"color": f"@{role}"},
        **more,
    }
