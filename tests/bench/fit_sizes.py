"""Fit what ``spikeloom check`` predicts of LUTs, flip-flops, carry cells and clocks to built points, and tell how far it is off.

    python tests/bench/fit_sizes.py NETWORKS [reports/synthesis/points.csv]

NETWORKS as for tests/bench/synthesis_table.py, which makes the points. Writes ``toolchain/data/sizes.json``, which ships with the
package, and reports/synthesis/sizes.csv: for each point what was built, what is predicted, and what would be if that
point had been left out of the fit. What loading networks costs is fitted to reports/synthesis/loadable.csv. Coefficients are not negative; those of a family stay near what all families together
say, scaled to it, as far as its own points do not say otherwise.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from hdl.program import Program
from tests.bench.synthesis_table import load, read_table
from toolchain.capacities import listed_capacity
from toolchain.netfile import replacing
from toolchain.sizing.loadable import loadable_multipliers, loadable_structure
from toolchain.sizing.model import COEFFICIENTS, FITTED, features, known, mapped, speed_class
from toolchain.sizing.structure import multipliers, structure
from toolchain.synth import Device, find_device

__all__ = ["Built", "fit_clocks", "fit_loading", "fit_sizes", "read_loaded", "read_points"]

NEARNESS = 0.02
"""Weight of the other families against a relative error of 1 in a point."""
COUNTED = ("bram", "dsp", "lutram")
SLOPE = 0.5
"""Steepest fall of a clock with block RAMs that is believed."""


@dataclass(frozen=True)
class Built:
    """A row of the table and what its core is made of."""

    row: dict[str, Any]
    device: Device
    features: dict[str, dict[str, float]]
    known: dict[str, int]
    counted: dict[str, int]
    loader: int = 0

    @property
    def family(self) -> str:
        return self.device.family.name


def read_points(networks: Path, table: Path) -> list[Built]:
    """Every row of the table with its structure; without devices that are only counted."""
    found = []
    for row in read_table(table).to_dict(orient="records"):
        device = find_device(row["device"])
        if device.family.placer is None:
            continue
        program = Program(load(networks, row["network"]), int(row["lanes"]))
        core = structure(program)
        taken, dsp = mapped(core, device.family.name), bool(device.has["dsp"])
        found.append(
            Built(
                row,
                device,
                features(core, device.family.name, dsp=dsp),
                known(core, device.family.name),
                {
                    "bram": taken.blocks,
                    "dsp": multipliers(program, device.family.name) if dsp else 0,
                    "lutram": taken.lutrams,
                },
            )
        )
    return found


def read_loaded(networks: Path, table: Path) -> list[Built]:
    """Rows of cores into which networks are loaded, with room for what ``capacity`` says, or for just the network, in two banks."""
    found = []
    for row in pd.read_csv(table, dtype={"capacity": str}).fillna({"capacity": ""}).to_dict(orient="records"):
        listed = row["capacity"] or None
        room = listed_capacity(load(networks, row["network"]), lanes=int(row["lanes"]), listed=listed)
        device = find_device(row["device"])
        family, dsp = device.family.name, bool(device.has["dsp"])
        core = loadable_structure(room, single="spram" in device.has)
        taken = mapped(core, family)
        counted = {
            "bram": taken.blocks,
            "dsp": loadable_multipliers(room, family) if dsp else 0,
            "lutram": taken.lutrams,
        }
        found.append(Built(row, device, features(core, family, dsp=dsp), known(core, family), counted, core.loader))
    return found


def fit_loading(built: Sequence[Built], whole: dict[str, dict[str, np.ndarray]], family: str) -> dict[str, Any]:
    """What a register of the loader costs, from what the rest of the model leaves; without points of the family, as in the others."""
    own = [point for point in built if point.family == family]

    def cost(points: Sequence[Built], what: str) -> float:
        left = [(point.row[what] - _predicted(point, whole[what], what)) / point.loader for point in points]
        return max(0.0, float(np.mean(left)))

    error = None
    if len(own) > 1:
        off = []
        for point in own:
            others = [each for each in own if each is not point]
            for what in ("lut", "ff"):
                told = _predicted(point, whole[what], what) + cost(others, what) * point.loader
                off.append(abs(told / point.row[what] - 1))
        error = round(max(off), 4)
    return {
        "coefficients": {what: round(cost(own or built, what), 4) for what in FITTED},
        "points": len(own),
        "error": error,
    }


def _matrix(points: Sequence[Built], what: str) -> tuple[np.ndarray, np.ndarray]:
    x = np.array([list(p.features[what].values()) for p in points], float)
    y = np.array([p.row[what] - p.known[what] for p in points], float)
    return x, y


def _solve(x: np.ndarray, y: np.ndarray, near: np.ndarray | None = None) -> np.ndarray:
    """Least squares of relative errors, no coefficient below 0, ``near`` others if they are given."""
    a, b = x / y[:, None], np.ones(len(y))
    scale = np.abs(a).max(axis=0) + 1e-12
    a = a / scale
    if near is not None:
        weight = np.sqrt(NEARNESS)
        a = np.vstack([a, weight * np.eye(len(scale))])
        b = np.concatenate([b, weight * near * scale])
    return np.asarray(nnls(a, b)[0] / scale)


def fit_sizes(points: Sequence[Built], what: str) -> dict[str, np.ndarray]:
    """Coefficients of each family for one of ``FITTED``, and under ``""`` those of all families together."""
    x, y = _matrix(points, what)
    pooled = _solve(x, y)
    found = {"": pooled}
    for family in dict.fromkeys(p.family for p in points):
        own = [number for number, p in enumerate(points) if p.family == family]
        ratio = np.median(y[own] / np.maximum(x[own] @ pooled, 1))
        found[family] = _solve(x[own], y[own], pooled * ratio)
    return found


def _timed(point: Built) -> bool:
    return bool(point.row["fmax_mhz"] > 0)


def fit_clocks(points: Sequence[Built]) -> dict[str, tuple[float, float]]:
    """Of each class of speed, log2 Fmax without block RAM and how it falls with log2 of them; the fall is one for all classes."""
    timed = [p for p in points if _timed(p)]
    classes = list(dict.fromkeys(speed_class(p.device) for p in timed))
    fmax = np.log2([p.row["fmax_mhz"] for p in timed])
    blocks = np.log2([1 + p.counted["bram"] for p in timed])
    member = np.array([[speed_class(p.device) == name for name in classes] for p in timed], float)
    centred = blocks - member @ (member.T @ blocks / member.sum(axis=0))
    slope = -float(centred @ fmax) / max(float(centred @ centred), 1e-9)
    slope = min(max(slope, 0.0), SLOPE)
    levels = member.T @ (fmax + slope * blocks) / member.sum(axis=0)
    return {name: (float(level), slope) for name, level in zip(classes, levels, strict=True)}


def _predicted(point: Built, fitted: dict[str, np.ndarray], what: str) -> float:
    weights = fitted.get(point.family, fitted[""])
    return float(point.known[what] + np.array(list(point.features[what].values())) @ weights)


def _clock(point: Built, clocks: dict[str, tuple[float, float]]) -> float | None:
    if speed_class(point.device) not in clocks or not _timed(point):
        return None
    level, slope = clocks[speed_class(point.device)]
    return float(2 ** (level - slope * np.log2(1 + point.counted["bram"])))


def compare(points: Sequence[Built]) -> pd.DataFrame:
    """For each point and resource: built, predicted, and predicted without that point, with relative errors in %."""
    whole = {what: fit_sizes(points, what) for what in FITTED}
    clocks = fit_clocks(points)
    rows = []
    for number, point in enumerate(points):
        others = [p for place, p in enumerate(points) if place != number]
        name = {key: point.row[key] for key in ("network", "device", "lanes", "status")}
        told: list[tuple[str, float, float | None, float | None]] = []
        for what in FITTED:
            without = _predicted(point, fit_sizes(others, what), what)
            told.append((what, point.row[what], _predicted(point, whole[what], what), without))
        told += [(what, point.row[what], point.counted[what], None) for what in COUNTED]
        if _timed(point):
            told.append(("fmax_mhz", point.row["fmax_mhz"], _clock(point, clocks), _clock(point, fit_clocks(others))))
        for what, built, fitted, without in told:
            row = {**name, "resource": what, "built": built}
            for title, value in (("predicted", fitted), ("left_out", without)):
                row[title] = None if value is None else round(value, 1)
                off = None if value is None or not built else round(100 * (value / built - 1), 1)
                row[f"{title}_error_percent"] = off
            rows.append(row)
    return pd.DataFrame(rows)


def _worst(table: pd.DataFrame, **which: str) -> float:
    """Largest relative error of placed points that were left out."""
    chosen = table[table.status == "simulated"]
    for column, value in which.items():
        chosen = chosen[chosen[column] == value]
    return round(float(chosen.left_out_error_percent.abs().max()) / 100, 4)


def _loaded_leaks(table: Path) -> dict[str, float]:
    """Lowest clock of cores whose leaks are loaded, by class of speed."""
    built = pd.read_csv(table)
    built = built[(built.core == "loadable") & (built.network == "leaky")]
    return {
        str(k): float(v)
        for k, v in built.fmax_mhz.groupby([speed_class(find_device(d)) for d in built.device]).min().items()
    }


def describe(
    points: Sequence[Built], table: pd.DataFrame, loaded: Sequence[Built], leaks: dict[str, float]
) -> dict[str, Any]:
    """Contents of ``sizes.json``; ``leaks``: the lowest clock of cores whose leaks are loaded, by class of speed."""
    whole, clocks = {what: fit_sizes(points, what) for what in FITTED}, fit_clocks(points)
    table = table.assign(
        family=[find_device(name).family.name for name in table.device],
        speed=[speed_class(find_device(name)) for name in table.device],
    )
    families = {}
    for family in dict.fromkeys(p.family for p in points):
        own = [p for p in points if p.family == family]
        speeds = [name for name in clocks if any(speed_class(p.device) == name for p in own)]
        families[family] = {
            "points": len(own),
            "lanes": max(int(p.row["lanes"]) for p in own),
            "coefficients": {
                what: {
                    name: round(float(weight), 4)
                    for name, weight in zip(own[0].features[what], whole[what][family], strict=True)
                }
                for what in FITTED
            },
            "error": {what: _worst(table, family=family, resource=what) for what in FITTED},
            "loading": fit_loading(loaded, whole, family),
            "clocks": {
                name: {
                    "at_one": round(clocks[name][0], 4),
                    "slope": round(clocks[name][1], 4),
                    "error": _worst(table, speed=name, resource="fmax_mhz"),
                    "slowest": min(p.row["fmax_mhz"] for p in own if speed_class(p.device) == name and _timed(p)),
                    "points": sum(speed_class(p.device) == name and _timed(p) for p in own),
                    **({"slowest_loaded_leak": round(leaks[name], 2)} if name in leaks else {}),
                }
                for name in speeds
            },
        }
    versions = {name: points[0].row[name] for name in ("yosys", "nextpnr", "amaranth")}
    return {"made_by": "tests/bench/fit_sizes.py", "tools": versions, "families": families}


def main(networks: Path, table: Path) -> None:
    """Fit, write and print."""
    points = read_points(networks, table)
    told = compare(points)
    loaded = read_loaded(networks, table.parent / "loadable.csv")
    leaks = _loaded_leaks(table.parent / "leaks.csv")
    content = json.dumps(describe(points, told, loaded, leaks), indent=1).replace("NaN", "null")
    with replacing(COEFFICIENTS) as temporary:
        temporary.write_text(content + "\n")
    with replacing(table.parent / "sizes.csv") as temporary:
        told.to_csv(temporary, index=False)
    for what, rows in told.groupby("resource", sort=False):
        off, alone = rows.predicted_error_percent.abs(), rows.left_out_error_percent.abs()
        print(
            f"{what:9} {len(rows):3} points: worst {off.max():5.1f} %, left out {alone.max():5.1f} % (mean {alone.mean():4.1f} %)"
        )
    print(told[told.left_out_error_percent.abs() > 15].to_string(index=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "reports/synthesis/points.csv"))
