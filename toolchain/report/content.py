"""What a page says, as plain JSON values: the energy report with all that the page adds, and the texts and charts of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any

from toolchain.energy import ANN_POLICIES, BASELINES, SNN_POLICIES, EnergyReport
from toolchain.errors import InvalidValue
from toolchain.ir import FixedPointNetwork
from toolchain.leak import Decay
from toolchain.report import breakeven_figures, figures
from toolchain.report.canvas import Plots
from toolchain.report.numbers import energy_unit, pointer, shown
from toolchain.report.sensitivity import tornado
from toolchain.report.surface import surface
from toolchain.report.verdict import plain_words

__all__ = ["LABELS", "Evidence", "page_content", "with_page"]

LABELS = {
    "measured": "taken from a physical device or a running program",
    "simulated": "counted exactly in the integers of the network or in a simulation of its hardware",
    "estimated": "counts times constants of the energy profile; right as far as the constants are",
}
_PACKAGES = ("spikeloom", "numpy", "torch", "plotly")
_GIVEN = {
    "constant": "halved and doubled",
    "band": "over its stated band",
    "policy": "the other policy",
}


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a page says beside the energy reports.

    Members
    -------
    provenance : mapping
        Of the network, shown as it is.
    source : mapping or None
        ``accuracy`` in per cent of the FP32 source, ``images``, ``data``, ``same_images``.
    verification : mapping or None
        As ``equivalence.checked`` returns it.
    rasters : sequence
        Of ``rasters.rasters``.
    commands : sequence of (text, command)
        That make the page again.
    verify : sequence of str
        Commands that verify the network.
    steps : int or None
        T that the verdict is about; the largest by default.
    """

    provenance: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] | None = None
    verification: Mapping[str, Any] | None = None
    rasters: Sequence[Mapping[str, Any]] = ()
    commands: Sequence[tuple[str, str]] = ()
    verify: Sequence[str] = ()
    steps: int | None = None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _first_profile(reports: Sequence[EnergyReport]) -> list[EnergyReport]:
    """Those of the first profile in the order of T, each T once."""
    chosen = {r.network.time_steps: r for r in reversed(reports) if r.profile.name == reports[0].profile.name}
    return [chosen[steps] for steps in sorted(chosen)]


def with_page(reports: Sequence[EnergyReport], energy: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    """The JSON of ``energy_content`` with ``page``: every number that a page adds to it.

    The page is about the first profile; its verdict is about T = ``evidence.steps``, or the largest T if that is not there.

    Raises
    ------
    InvalidValue
        No report.
    """
    if not reports:
        raise InvalidValue("a page needs one energy report at least")
    chosen = _first_profile(reports)
    times = [report.network.time_steps for report in chosen]
    focus = evidence.steps if evidence.steps in times else times[-1]
    return {
        **energy,
        "page": {
            "profile": reports[0].profile.name,
            "T": focus,
            "source": None if evidence.source is None else dict(evidence.source),
            "verification": None if evidence.verification is None else dict(evidence.verification),
            "tornado": [tornado(report) for report in chosen],
            "break_even_map": surface(chosen),
            "images": [
                {
                    **{name: image[name] for name in ("image", "label", "prediction", "right")},
                    "spikes": {layer["layer"]: layer["spikes"] for layer in image["layers"]},
                }
                for image in evidence.rasters
            ],
            "commands": [list(pair) for pair in evidence.commands],
            "versions": {"python": python_version(), **{name: _version(name) for name in _PACKAGES}},
        },
    }


def _leaks(network: FixedPointNetwork) -> list[list[str]]:
    """Which membranes leak, which currents last, and how much; nothing where none does."""
    order = "reset, then leak" if network.leak_order == "reset_first" else "leak, then reset"
    rows = []
    if network.leaks:
        rows.append(
            ["leaks", f"in every step but the last, {order}: {_kept([(x.name, x.leak) for x in network.layers])}"]
        )
    if network.lasting:
        kept = _kept([(layer.name, layer.current_leak) for layer in network.layers])
        rows.append(["synaptic currents that last", f"in every step but the last: {kept}"])
    return rows


def _kept(leaks: list[tuple[str, Decay | None]]) -> str:
    return "; ".join(f"{name} keeps {leak.share:g} = {leak.text()}" for name, leak in leaks if leak is not None)


def _network(report: EnergyReport, evidence: Evidence) -> list[list[str]]:
    network = report.network
    fires = "≥" if network.compare == "ge" else ">"
    rows = [
        ["name", network.name],
        ["input", f"{' × '.join(map(str, network.input_shape))}, {network.input}"],
        ["layers", f"{len(network.layers)}: {', '.join(layer.name for layer in network.layers)}"],
        ["weights, neurons", f"{network.weights:,}, {network.neurons:,}"],
        ["neuron", f"{network.schedule}, negative {network.negative}, reset {network.reset}, fires at V {fires} θ"],
        *_leaks(network),
        [
            "widths",
            f"weights {network.weight_bits} bit, membranes {network.membrane_bits} bit (at T = {network.time_steps})",
        ],
    ]
    return rows + [[f"provenance: {name}", _value(value)] for name, value in sorted(evidence.provenance.items())]


def _figures(
    reports: Sequence[Mapping[str, Any]],
    focus: Mapping[str, Any],
    energy: Mapping[str, Any],
    evidence: Evidence,
    unit: str,
) -> dict[str, Any]:
    """Charts by name: what menus choose by, and the plots."""
    page = energy["page"]
    found: dict[str, tuple[list[str], Plots]] = {
        "accuracy": ([], figures.accuracy(reports, focus, page["source"], unit)),
        "energies": ([], figures.energies(reports, focus, unit)),
        "stacks": (["T"], figures.stacks(reports, unit)),
        "sigmas": (["T"], breakeven_figures.sigmas(reports)),
        "map": (["pair"], breakeven_figures.heat(page["break_even_map"]) if page["break_even_map"] else {}),
        "tornado": (["T", "pair"], breakeven_figures.tornados(page["tornado"], unit)),
        "cycles": (["T"], figures.cycle_bars(reports)),
        **{f"raster{index}": ([], figures.raster(image)) for index, image in enumerate(evidence.rasters)},
    }
    return {name: {"by": by, "plots": plots} for name, (by, plots) in found.items() if plots}


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_value(one) for one in value)
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _charged(constant: str, store: str) -> str:
    """Whether a constant goes into the figures; ``store`` is where weights lie."""
    if constant == "sram_divisor":
        return "as a band"
    if constant == "mac_fp32":
        return "to FP32 only"
    return "no, weights lie in sram" if constant == "dram" and store == "sram" else "yes"


def _constants(energy: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each constant of each profile that is charged, and for those that are only shown."""
    rows = []
    store = energy["reports"][0]["memory"]["weights"]
    for name, profile in energy["profiles"].items():
        for kind in ("constants", "orientation"):
            for constant, entry in profile.get(kind, {}).items():
                more = (
                    f"; fitted from {_value(entry['range'][0])} to {_value(entry['range'][1])} bit"
                    if "range" in entry
                    else ""
                )
                rows.append(
                    {
                        "profile": name,
                        "constant": constant,
                        "charged": _charged(constant, store) if kind == "constants" else "no, for orientation",
                        "value": _value(entry["value"]),
                        "place": pointer("profiles", name, kind, constant, "value"),
                        "unit": entry["unit"] + more,
                        "status": entry["status"],
                        "source": entry["source"],
                    }
                )
    return rows


def _levels(report: Mapping[str, Any], place: str, baseline: str) -> dict[str, str]:
    """Pointers to the break-even of each pair of policies, ``snn/ann``."""
    return {
        f"{level['snn']}/{level['ann']}": f"{place}/break_even/{index}"
        for index, level in enumerate(report["break_even"])
        if level["baseline"] == baseline
    }


def _stars(layer: Mapping[str, Any], place: str, baseline: str | None) -> list[str]:
    """Pointers to the least and the largest σ* over the pairs of policies."""
    found = [i for i, level in enumerate(layer["break_even"]) if level["baseline"] == baseline]
    if not found:
        return []
    key = [layer["break_even"][i]["sigma_star"] for i in found].index
    stars = [layer["break_even"][i]["sigma_star"] for i in found]
    return [_star(place, found[key(f(stars))]) for f in (min, max)]


def _star(place: str, index: int) -> str:
    """To the σ* of one break-even."""
    return f"{place}/break_even/{index}/sigma_star"


def _layer_rows(energy: Mapping[str, Any], indices: Sequence[int]) -> list[dict[str, Any]]:
    """A row for each T and layer, and one for the whole network."""
    rows = []
    for index in indices:
        report = energy["reports"][index]
        for number, layer in [*enumerate(report["layers"]), (-1, report["total"])]:
            place = pointer("reports", index, *(("layers", number) if number >= 0 else ("total",)))
            rows.append(
                {
                    "T": report["T"],
                    "name": layer["layer"] if number >= 0 else "whole network",
                    "total": number < 0,
                    "type": layer.get("type", "all" if number < 0 else "–"),
                    "place": place,
                    "baseline": report["baseline"],
                    "stars": _stars(layer, place, report["baseline"]),
                    "verdict": layer["verdict"],
                    "cycles": "cycles" in layer["counts"],
                    "layer": layer,
                }
            )
    return rows


def page_content(reports: Sequence[EnergyReport], energy: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    """All that the template shows, from the JSON of ``with_page``; only names and shapes are read from the networks."""
    page = energy["page"]
    chosen = _first_profile(reports)
    places = {
        report["T"]: index for index, report in reversed(list(enumerate(energy["reports"])))
        if report["profile"] == page["profile"]
    }  # fmt: skip
    indices = [places[steps] for steps in sorted(places)]
    rows = [energy["reports"][index] for index in indices]
    focus = energy["reports"][places[page["T"]]]
    unit = energy_unit(focus["total"]["snn_bounds_pJ"][1])
    network = next(report for report in chosen if report.network.time_steps == page["T"])
    baseline = focus["baseline"]
    pairs = [f"{snn}/{ann}" for snn in SNN_POLICIES for ann in ANN_POLICIES]
    headline = f"{focus['memory']['snn']}/{focus['memory']['ann']}"
    return {
        "title": f"{network.network.name}: energy of a spiking network",
        "name": network.network.name,
        "unit": unit,
        "energy": energy,
        "place": pointer("reports", places[page["T"]]),
        "focus": focus,
        "T": page["T"],
        "times": [{"T": steps, "place": pointer("reports", places[steps])} for steps in sorted(places)],
        "several_profiles": len(energy["profiles"]) > 1,
        "all": [{"place": pointer("reports", i), **_named(report)} for i, report in enumerate(energy["reports"])],
        "baseline": baseline,
        "baselines": {name: BASELINES[name] for name in focus["total"]["ann"]},
        "pairs": {pair: pair.replace("/", " against ") for pair in pairs}
        if baseline
        else dict.fromkeys(SNN_POLICIES, ""),
        "pair": headline if baseline else focus["memory"]["snn"],
        "levels": {
            name: _levels(focus["total"], pointer("reports", places[page["T"]], "total"), name)
            for name in focus["total"]["ann"]
        },
        "verdict": plain_words(
            rows, focus, energy, unit=unit, source=page["source"], verification=page["verification"]
        ),
        "network": _network(network, evidence),
        "figures": _figures(rows, focus, energy, evidence, unit),
        "rasters": [{k: v for k, v in image.items() if k != "layers"} for image in evidence.rasters],
        "raster_layers": [[_raster_note(layer) for layer in image["layers"]] for image in evidence.rasters],
        "layers": _layer_rows(energy, indices),
        "tornado_rows": _tornado_rows(page["tornado"], unit),
        "constants": _constants(energy),
        "warnings": list(dict.fromkeys(text for report in energy["reports"] for text in report["warnings"])),
        "labels": LABELS,
        "verify": list(evidence.verify),
    }


def _named(report: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: report[name] for name in ("T", "profile", "baseline", "verdict", "fingerprint")},
        "label": BASELINES.get(report["baseline"], "none"),
    }


def _raster_note(layer: Mapping[str, Any]) -> str:
    text = f"{shown(layer['spikes'], 'count')} spikes of {layer['neurons']:,} neurons in layer {layer['layer']}"
    width = layer["neurons"] / len(layer["values"][0]) if layer["values"] else 1
    if width > 1:
        text += f", a column is the mean of {width:.0f} neurons"
    if layer["of_steps"] > layer["steps"]:
        text += f", the first {layer['steps']} of {layer['of_steps']} steps"
    return text


def _tornado_rows(found: Sequence[Mapping[str, Any]], unit: str) -> list[dict[str, Any]]:
    """Of each T and pair, the rows of the table beside the chart, with pointers to its values."""
    rows = []
    for number, one in enumerate(found):
        kind = "energy" if one["measure"] == "e_snn_pJ" else "number"
        for pair, content in one["pairs"].items():
            base = pointer("page", "tornado", number, "pairs", pair)
            rows.append(
                {
                    "key": f"{one['T']}|{pair}",
                    "T": one["T"],
                    "pair": pair.replace("/", " against "),
                    "kind": kind,
                    "nominal": f"{base}/nominal",
                    "rows": [
                        {
                            "name": row["name"],
                            "how": _GIVEN[row["kind"]],
                            "factor": f"{base}/rows/{index}/factor",
                            "changes": [
                                {"label": change["label"], "place": f"{base}/rows/{index}/changes/{k}/value"}
                                for k, change in enumerate(row["changes"])
                            ],
                        }
                        for index, row in enumerate(content["rows"])
                    ],
                }
            )
    return rows
