"""The charts of a page, from its JSON: accuracy and energy over T, layers, rasters, cycles.

Each function gives the plots of one chart under the keys that the page's menus choose by (``""`` without menus, ``T``,
``snn/ann``, or ``T|snn/ann``).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from toolchain.energy import ANN_POLICIES, BASELINES, SNN_POLICIES
from toolchain.report.canvas import Plots, hatch, interval, layer_names, log_axis, plot, series
from toolchain.report.numbers import UNITS, shown

__all__ = ["accuracy", "cycle_bars", "energies", "raster", "stacks"]

_LADDER = 8
"""Most values of T that one chart of bars shows."""
_PARTS = {
    "sop": "synaptic operations",
    "input": "input",
    "bias": "bias",
    "neuron": "neurons",
    "weights": "weight reads",
    "state": "membrane traffic",
    "events": "spike traffic",
    "static": "static and clock",
}
_PATTERNS = {
    "sop": "",
    "input": "/",
    "bias": "\\",
    "neuron": ".",
    "weights": "",
    "state": "/",
    "events": ".",
    "static": "x",
}


def _snn(report: Mapping[str, Any], policy: str) -> float:
    return float(report["total"]["snn"][policy]["e_total_pJ"]["mean"])


def _ann(report: Mapping[str, Any], name: str, policy: str) -> float:
    return float(report["total"]["ann"][name][policy]["e_total_pJ"]["mean"])


def _two_policies(
    name: str,
    role: str,
    reports: Sequence[Mapping[str, Any]],
    of: Callable[..., float],
    policies: Sequence[str],
    **more: Any,
) -> list[dict[str, Any]]:
    """The area between a network's two policies over T, and a line for each."""
    low, high = ([of(report, policy) for report in reports] for policy in policies)
    y = [report["accuracy"] for report in reports]
    steps = [f"T = {report['T']}" for report in reports]
    area = {
        "type": "scatter",
        "mode": "lines",
        "x": [*low, *high[::-1]],
        "y": [*y, *y[::-1]],
        "fill": "toself",
        "fillcolor": f"@{role}",
        "opacity": 0.13,
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
        "legendgroup": role,
    }
    lines = [
        series(
            f"{name}, {policy}",
            role,
            x,
            y,
            text=steps,
            customdata=steps,
            legendgroup=role,
            line={"dash": dash},
            hovertemplate=f"{name}, {policy}<br>%{{customdata}}: %{{x:.3g}}, %{{y:.2f}} %<extra></extra>",
            **more,
        )
        for policy, x, dash in zip(policies, (low, high), ("solid", "dot"), strict=True)
    ]
    return [area, *lines]


def accuracy(
    reports: Sequence[Mapping[str, Any]], focus: Mapping[str, Any], source: Mapping[str, Any] | None, unit: str
) -> Plots:
    """Accuracy against energy over T, with every baseline whose accuracy is known."""
    if any(report["accuracy"] is None for report in reports):
        return {}
    size = UNITS[unit]

    def snn(report: Mapping[str, Any], policy: str) -> float:
        return _snn(report, policy) / size

    traces = _two_policies("SNN", "snn", reports, snn, SNN_POLICIES)
    for line in traces[1:]:
        line |= {"mode": "lines+markers+text", "textposition": "top center" if len(reports) > 1 else "bottom center"}
        line["textfont"] = {"size": 11, "color": "@snn"}
    if len(reports) > 10:  # labels of many T would cover each other
        for line in traces[1:]:
            line["text"] = [text if index % (len(reports) // 6) == 0 else "" for index, text in enumerate(line["text"])]
    x = [snn(report, policy) for report in reports for policy in SNN_POLICIES]
    for name in focus["total"]["ann"]:
        if name == "equal_information_zero_skipping":

            def ann(report: Mapping[str, Any], policy: str) -> float:
                return _ann(report, "equal_information_zero_skipping", policy) / size

            traces += _two_policies(BASELINES[name], name, reports, ann, ANN_POLICIES, mode="lines+markers")
            x += [ann(report, policy) for report in reports for policy in ANN_POLICIES]
        elif source is not None and name != "equal_information_dense":
            ends = [_ann(focus, name, policy) / size for policy in ANN_POLICIES]
            traces.append(
                series(
                    BASELINES[name],
                    name,
                    ends,
                    [source["accuracy"]] * 2,
                    text=list(ANN_POLICIES),
                    hovertemplate=f"{BASELINES[name]}, %{{text}}<br>%{{x:.3g}}, %{{y:.2f}} %<extra></extra>",
                )
            )
            x += ends
    best = max(report["accuracy"] for report in reports)
    alt = (
        f"Accuracy against energy of an image. Spiking network from T = {reports[0]['T']} to {reports[-1]['T']}: "
        f"{shown(min(x[: 2 * len(reports)]))} to {shown(max(x[: 2 * len(reports)]))} {unit}, at most {best:.2f} %."
    )
    return {
        "": plot(
            traces,
            height=480,
            alt=alt,
            xaxis=log_axis(x, f"energy of an image, {unit} (estimated)"),
            yaxis={"title": {"text": "accuracy, % (simulated)"}, "ticksuffix": ""},
            hovermode="closest",
        )
    }


def energies(reports: Sequence[Mapping[str, Any]], focus: Mapping[str, Any], unit: str) -> Plots:
    """Low to high energy at each T, of the spiking network and of each baseline."""
    size = UNITS[unit]
    if len(reports) > _LADDER:
        kept = {round(index * (len(reports) - 1) / (_LADDER - 1)) for index in range(_LADDER)}
        reports = [report for index, report in enumerate(reports) if index in kept or report["T"] == focus["T"]]
    rows = [f"T = {report['T']}" for report in reports]
    hover = f"%{{fullData.name}}, %{{y}}<br>%{{base:.3g}} to %{{customdata:.3g}} {unit}<extra></extra>"
    traces, x = [], []
    for name in (None, *focus["total"]["ann"]):
        found = [r["total"]["snn_bounds_pJ"] if name is None else r["total"]["ann"][name]["bounds_pJ"] for r in reports]
        bounds = [(low / size, high / size) for low, high in found]
        more = {"customdata": [high for _, high in bounds], "hovertemplate": hover}
        traces.append(interval("SNN" if name is None else BASELINES[name], name or "snn", rows, bounds, **more))
        x += [end for pair in bounds for end in pair]
    for trace in traces[1:]:
        skips = trace["name"].endswith("zeros skipped")
        trace["marker"]["pattern"] = hatch("/" if skips else "")
    alt = "Energy of an image at each T, low to high over the memory policies. " + " ".join(
        f"{row}: SNN {shown(r['total']['snn_bounds_pJ'][0], 'energy', unit)} to "
        f"{shown(r['total']['snn_bounds_pJ'][1], 'energy', unit)} {unit}."
        for row, r in zip(rows, reports, strict=True)
    )
    return {
        "": plot(
            traces,
            height=110 + len(rows) * (18 + 13 * len(traces)),
            alt=alt,
            barmode="group",
            bargap=0.18,
            xaxis=log_axis(x, f"energy of an image, {unit} (estimated)"),
            yaxis={"autorange": "reversed", "type": "category"},
        )
    }


def stacks(reports: Sequence[Mapping[str, Any]], unit: str) -> Plots:
    """Where the energy of each layer goes, under both policies, for each T."""
    size, plots = UNITS[unit], {}
    for report in reports:
        layers, names, baseline = report["layers"], layer_names(report), report["baseline"]
        rows = [[name for name in names for _ in SNN_POLICIES], [p for _ in names for p in SNN_POLICIES]]
        traces = []
        for part, label in _PARTS.items():
            values = [layer["snn"][p]["parts_pJ"][part] / size for layer in layers for p in SNN_POLICIES]
            if not any(values):
                continue
            traces.append(
                {
                    "type": "bar",
                    "orientation": "h",
                    "name": label,
                    "x": values,
                    "y": rows,
                    "marker": {"color": f"@{part}", "pattern": hatch(_PATTERNS[part])},
                    "hovertemplate": f"{label}: %{{x:.3g}} {unit}<extra>%{{y}}</extra>",
                }
            )
        if baseline is not None:
            ends = {
                p: [layer["ann"][baseline][p]["e_total_pJ"]["mean"] / size for layer in layers] for p in ANN_POLICIES
            }
            for policy, values in ends.items():
                traces.append(
                    {
                        "type": "scatter",
                        "mode": "markers",
                        "name": f"ANN ({BASELINES[baseline]}), {policy}",
                        "x": [value for value in values for _ in SNN_POLICIES],
                        "y": rows,
                        "marker": {
                            "color": f"@{baseline}",
                            "symbol": "line-ns-open" if policy == "ideal_reuse" else "diamond-open",
                            "size": 11,
                            "line": {"width": 2.5},
                        },
                        "hovertemplate": f"ANN, {policy}: %{{x:.3g}} {unit}<extra></extra>",
                    }
                )
        largest = max(layers, key=lambda layer: layer["snn_bounds_pJ"][1])
        plots[str(report["T"])] = plot(
            traces,
            height=270 + 54 * len(names),
            alt=f"Energy of each layer at T = {report['T']} by its parts. Layer {largest['layer']} costs most, up to "
            f"{shown(largest['snn_bounds_pJ'][1], 'energy', unit)} {unit}.",
            barmode="stack",
            bargap=0.25,
            xaxis={"title": {"text": f"energy of an image, {unit} (estimated)", "standoff": 8}, "rangemode": "tozero"},
            yaxis={"autorange": "reversed"},
            legend={"traceorder": "normal"},
        )
    return plots


def cycle_bars(reports: Sequence[Mapping[str, Any]]) -> Plots:
    """Clock cycles of each layer, mean, with the 95th percentile, for each T."""
    plots = {}
    for report in reports:
        rows = [layer for layer in report["layers"] if "cycles" in layer["counts"]]
        names = [
            n for n, layer in zip(layer_names(report), report["layers"], strict=True) if "cycles" in layer["counts"]
        ]
        if not rows:
            continue
        spread = [layer["counts"]["cycles"] for layer in rows]
        bars = {
            "type": "bar",
            "orientation": "h",
            "name": "mean",
            "x": [s["mean"] for s in spread],
            "y": names,
            "marker": {"color": "@snn"},
            "hovertemplate": "%{y}: %{x:,.0f} cycles<extra>mean</extra>",
        }
        tail = {
            "type": "scatter",
            "mode": "markers",
            "name": "95th percentile of images",
            "x": [s["p95"] for s in spread],
            "y": names,
            "marker": {"color": "@text", "symbol": "line-ns-open", "size": 14, "line": {"width": 2}},
            "hovertemplate": "%{y}: %{x:,.0f} cycles<extra>95th percentile</extra>",
        }
        plots[str(report["T"])] = plot(
            [bars, tail],
            height=130 + 36 * len(names),
            alt=f"Clock cycles of an image at T = {report['T']}, layer by layer, "
            f"{shown(sum(s['mean'] for s in spread), 'count')} in all.",
            bargap=0.35,
            xaxis={"title": {"text": "clock cycles of an image (simulated)", "standoff": 8}, "rangemode": "tozero"},
            yaxis={"autorange": "reversed", "type": "category"},
        )
    return plots


def raster(image: Mapping[str, Any]) -> Plots:
    """Spikes of one image: a panel for each layer, neurons across, time downwards."""
    layers = image["layers"]
    heights = [28 + max(26, min(9 * layer["steps"], 130)) for layer in layers]
    total = sum(heights) + 46
    traces, layout, top = [], {}, 1.0
    for index, (layer, height) in enumerate(zip(layers, heights, strict=True)):
        number = "" if index == 0 else str(index + 1)
        starts = layer["ends"][:-1]
        width = max(1.0, layer["neurons"] / len(starts))
        traces.append(
            {
                "type": "heatmap",
                "xaxis": f"x{number}",
                "yaxis": f"y{number}",
                "x0": width / 2,
                "dx": width,
                "y0": 1,
                "dy": 1,
                "z": layer["values"],
                "zmin": -1 if image["signed"] else 0,
                "zmax": 1,
                "colorscale": [[0, "@negative"], [0.5, "@none"], [1, "@snn"]] if image["signed"] else [[0, "@none"], [1, "@snn"]],
                "showscale": False,
                "hovertemplate": "neuron %{x:.0f}, step %{y}: %{z:.2f}<extra></extra>",
            }
        )  # fmt: skip
        panel = (height - 28) / (total - 30)
        bottom = max(0.0, top - panel)
        last = index == len(layers) - 1
        layout[f"xaxis{number}"] = {
            "anchor": f"y{number}", "showgrid": False, "zeroline": False, "showline": True, "mirror": True,
            "range": [0, layer["neurons"]], "showticklabels": True, "nticks": 5, "tickfont": {"size": 10},
            **({"title": {"text": "neuron (channel, y, x)", "standoff": 4}} if last else {}),
        }  # fmt: skip
        ticks = sorted({1, layer["steps"]})
        layout[f"yaxis{number}"] = {
            "domain": [bottom, top], "autorange": "reversed", "showgrid": False, "zeroline": False, "showline": True,
            "mirror": True, "tickvals": ticks, "ticktext": [f"t = {t}" for t in ticks], "tickfont": {"size": 10},
        }  # fmt: skip
        top = bottom - 28 / (total - 30)
    alt = f"Spikes of image {image['image']}: " + ", ".join(
        f"{shown(layer['spikes'], 'count')} in layer {layer['layer']}" for layer in layers
    )
    return {"": plot(traces, height=total, alt=alt + ".", margin={"l": 10, "r": 8, "t": 4, "b": 26}, **layout)}
