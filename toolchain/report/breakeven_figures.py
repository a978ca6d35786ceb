"""Charts about the break-even of a page: σ against σ*, the map over T and rate, the tornado of constants."""

from collections.abc import Mapping, Sequence
from math import log10
from typing import Any

from toolchain.energy import BASELINES
from toolchain.report.canvas import Plots, hatch, interval, layer_names, log_axis, plain, plot, series
from toolchain.report.numbers import UNITS, shown

__all__ = ["heat", "sigmas", "tornados"]

_PAIR_SYMBOLS = ("triangle-left", "triangle-right", "line-ns-open", "diamond-wide")


def sigmas(reports: Sequence[Mapping[str, Any]]) -> Plots:
    """σ of each layer against its σ* under every pair of policies, for each T."""
    plots = {}
    for report in reports:
        baseline = report["baseline"]
        rows = [layer for layer in (*report["layers"], report["total"]) if layer["break_even"]]
        if baseline is None or not rows:
            continue
        names = [name for name, layer in zip(layer_names(report), report["layers"], strict=True) if layer["break_even"]]
        names.append("whole network")
        stars = [[level for level in layer["break_even"] if level["baseline"] == baseline] for layer in rows]
        own = [layer["counts"]["sigma"]["mean"] for layer in rows]
        known = [v for v in (*own, *(level["sigma_star"] for found in stars for level in found)) if v > 0]
        least = min(known, default=1.0) / 2
        traces = [
            {
                "type": "scatter",
                "mode": "lines",
                "x": [end for found in stars for end in _ends([max(lv["sigma_star"], least) for lv in found])],
                "y": [y for name in names for y in (name, name, None)],
                "line": {"color": f"@{baseline}", "width": 7},
                "opacity": 0.3,
                "hoverinfo": "skip",
                "showlegend": False,
            }
        ]
        for symbol, index in zip(_PAIR_SYMBOLS, range(len(stars[0])), strict=True):
            values = [found[index]["sigma_star"] for found in stars]
            pair = f"{stars[0][index]['snn']} / {stars[0][index]['ann']}"
            traces.append(_clamped(f"σ*, {pair}", baseline, values, names, least, symbol))
        traces.append(_clamped("σ of this network", "snn", own, names, least, "circle"))
        last = names[-1]
        plots[str(report["T"])] = plot(
            traces,
            height=210 + 38 * len(names),
            alt=f"Spikes per synapse at T = {report['T']}: σ is {shown(own[-1])} for the whole network, break-even σ* from "
            f"{shown(min(lv['sigma_star'] for lv in stars[-1]))} to {shown(max(lv['sigma_star'] for lv in stars[-1]))} "
            f"over the pairs of memory policies, against {BASELINES[baseline]}.",
            xaxis=log_axis([*known, least], "spikes per synapse and image; σ simulated, σ* estimated"),
            yaxis={"autorange": "reversed", "type": "category", "categoryorder": "array", "categoryarray": names, "ticklabelstandoff": 4},
            shapes=[
                {
                    "type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": "y",
                    "y0": names.index(last) - 0.5, "y1": names.index(last) - 0.5, "line": {"color": "@zero", "width": 1},
                }
            ],
        )  # fmt: skip
    return plots


def _ends(values: Sequence[float]) -> list[float | None]:
    return [min(values), max(values), None]


def _clamped(
    name: str, role: str, values: Sequence[float], rows: Sequence[str], least: float, symbol: str
) -> dict[str, Any]:
    """Markers; what a logarithmic axis cannot show lies at its left end, and says so."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [max(value, least) for value in values],
        "y": list(rows),
        "text": [shown(value) + ("" if value > 0 else " (off the axis)") for value in values],
        "marker": {"color": f"@{role}", "symbol": symbol, "size": 13, "line": {"width": 2.5, "color": f"@{role}"}},
        "hovertemplate": "%{text}<extra>" + name + "</extra>",
    }


def heat(surface: Mapping[str, Any]) -> Plots:
    """The break-even map of each pair of policies; with a single T the curve of its row."""
    plots = {}
    rates, steps = surface["rates"], [f"T = {t}" for t in surface["T"]]
    label = BASELINES[surface["baseline"]]
    for pair, found in surface["pairs"].items():
        snn, _, ann = pair.partition("/")
        alt = f"ANN over SNN under {snn} against {ann}, baseline {label}. " + " ".join(
            f"{t}: rate {shown(rate)}, break-even at {shown(max(star, 0.0))}."
            for t, rate, star in zip(steps, found["rate"], found["rate_star"], strict=True)
        )
        title = "spikes per synapse and step (rate)"
        if len(steps) == 1:
            plots[pair] = _curve(surface, found, title, alt)
            continue
        left = rates[0]
        lines = series(
            "break-even",
            "text",
            [max(star, left) for star in found["rate_star"]],
            steps,
            mode="lines+markers",
            marker={"symbol": ["line-ns-open" if star > left else "triangle-left" for star in found["rate_star"]]},
            customdata=[shown(star) for star in found["rate_star"]],
            hovertemplate="break-even at rate %{customdata}, %{y}<extra></extra>",
        )
        own = series(
            "this network",
            "text",
            found["rate"],
            steps,
            mode="markers",
            marker={"symbol": "circle", "size": 12, "color": "@panel", "line": {"color": "@text", "width": 2.5}},
            customdata=found["own_ratio"],
            hovertemplate="this network, %{y}: rate %{x:.3g}, ratio %{customdata:.3g}<extra></extra>",
        )
        plots[pair] = plot(
            [_heat(rates, steps, found["ratio"]), lines, own],
            height=150 + 46 * len(steps),
            alt=alt,
            xaxis=log_axis([rates[0], rates[-1]], title, margin=0.0) | {"showgrid": False},
            yaxis={"type": "category", "showgrid": False, "categoryorder": "array", "categoryarray": steps},
        )
    return plots


def _heat(rates: Sequence[float], steps: Sequence[str], ratios: Sequence[Sequence[float | None]]) -> dict[str, Any]:
    """log10 of the ratio, blue where the spiking network costs less, orange where it costs more."""
    values = [[None if ratio is None or ratio <= 0 else log10(ratio) for ratio in row] for row in ratios]
    return {
        "type": "heatmap",
        "x": list(rates),
        "y": list(steps),
        "z": [[None if v is None else round(v, 4) for v in row] for row in values],
        "customdata": [[None if r is None else float(f"{r:.4g}") for r in row] for row in ratios],
        "zmin": -2,
        "zmax": 2,
        "colorscale": [[0, "@lose"], [0.5, "@even"], [1, "@win"]],
        "colorbar": {
            "title": {"text": "ANN / SNN", "side": "right"},
            "tickvals": [-2, -1, 0, 1, 2],
            "ticktext": ["≤ 0.01", "0.1", "1", "10", "≥ 100"],
            "thickness": 14,
            "outlinewidth": 0,
        },
        "hovertemplate": "%{y}, rate %{x:.3g}: ANN / SNN = %{customdata:.3g}<extra></extra>",
    }


def _curve(surface: Mapping[str, Any], found: Mapping[str, Any], title: str, alt: str) -> dict[str, Any]:
    rates, ratios = surface["rates"], list(found["ratio"][0])
    curve = series("ratio at other rates", "snn", rates, ratios, mode="lines", hovertemplate="rate %{x:.3g}: %{y:.3g}")
    own = series("this network", "text", found["rate"], found["own_ratio"], mode="markers", marker={"size": 12})
    known = [ratio for ratio in (*ratios, 1.0) if ratio is not None]
    level = {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": 1,
        "y1": 1,
        "line": {"color": "@text", "dash": "dash"},
    }
    return plot(
        [curve, own],
        height=380,
        alt=alt,
        xaxis=log_axis([rates[0], rates[-1]], title, margin=0.0),
        yaxis=log_axis(known, "ANN / SNN, above 1 the SNN costs less"),
        shapes=[level],
    )


def tornados(found: Sequence[Mapping[str, Any]], unit: str) -> Plots:
    """How far each constant moves the total, for each T and pair of policies."""
    plots = {}
    for one in found:
        energy = one["measure"] == "e_snn_pJ"
        size = UNITS[unit] if energy else 1.0
        what = f"SNN energy of an image, {unit}" if energy else "ANN / SNN"
        for pair, content in one["pairs"].items():
            nominal, rows = content["nominal"] / size, content["rows"]
            known = [change["value"] / size for row in rows for change in row["changes"] if change["value"]]
            constants = [row for row in rows if row["kind"] != "policy"]
            policies = [row for row in rows if row["kind"] == "policy"]
            traces = [
                _bars(constants, nominal, size, "halved, or the first end of a band", "snn", 0),
                _bars(constants, nominal, size, "doubled, or the second end", "int8_dense", 1),
                _bars(policies, nominal, size, "the other memory policy", "static", 0),
            ]
            first = rows[0]
            plots[f"{one['T']}|{pair}"] = plot(
                traces,
                height=130 + 34 * len(rows),
                alt=f"{what} at T = {one['T']}, {pair.replace('/', ' against ')}: {shown(nominal)}. {first['name']} matters most, "
                f"by a factor of up to {shown(first['factor'])}.",
                barmode="overlay",
                bargap=0.35,
                xaxis=log_axis([*known, nominal, *([] if energy else [1.0])], f"{what} (estimated)"),
                yaxis={
                    "autorange": "reversed",
                    "type": "category",
                    "categoryorder": "array",
                    "categoryarray": [plain(row["name"]) for row in rows],
                },
                shapes=[_rule(nominal, "solid", "@text"), *([] if energy else [_rule(1.0, "dash", "@zero")])],
            )
    return plots


def _rule(x: float, dash: str, colour: str) -> dict[str, Any]:
    line = {"color": colour, "width": 1.5, "dash": dash}
    return {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": x, "x1": x, "line": line}


def _bars(
    rows: Sequence[Mapping[str, Any]], nominal: float, size: float, name: str, role: str, index: int
) -> dict[str, Any]:
    """The first or second change of each of ``rows``."""
    kept = [row for row in rows if len(row["changes"]) > index and row["changes"][index]["value"]]
    changes = [row["changes"][index] for row in kept]
    values = [change["value"] / size for change in changes]
    bounds = [(min(value, nominal), max(value, nominal)) for value in values]
    return interval(
        name,
        role,
        [plain(row["name"]) for row in kept],
        bounds,
        marker={"color": f"@{role}", "pattern": hatch("/" if index else "")},
        text=[change["label"] for change in changes],
        textposition="none",
        customdata=values,
        hovertemplate="%{y}, %{text}: %{customdata:.3g}<extra></extra>",
    )
