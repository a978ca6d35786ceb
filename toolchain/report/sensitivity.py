"""Which constant matters most: each halved and doubled, or moved over its stated band, and everything charged again."""

from dataclasses import replace
from itertools import product
from math import exp, log
from typing import Any

from toolchain.energy import ANN_POLICIES, SNN_POLICIES, EnergyReport, Profile

__all__ = ["scaled", "tornado"]

_BANDS = {"sram_divisor": "sram"}
"""Constants that are a band of another one, which is divided by them."""


def scaled(profile: Profile, constant: str, factor: float) -> Profile:
    """The same with one constant (all coefficients of a fit) times ``factor``."""
    entry = profile.constants[constant]
    value = entry["value"]
    more = [v * factor for v in value] if isinstance(value, list) else value * factor
    return replace(profile, constants={**profile.constants, constant: {**entry, "value": more}})


def _changes(profile: Profile) -> list[tuple[str, str, list[tuple[str, Profile]]]]:
    """Name, kind and the profiles to charge again."""
    found = []
    for name, entry in profile.constants.items():
        if name in _BANDS:
            target = _BANDS[name]
            band = [(f"÷ {divisor:g}", scaled(profile, target, 1 / divisor)) for divisor in entry["value"]]
            found.append((f"{target}, stated band", "band", band))
        else:
            both = [("halved", scaled(profile, name, 0.5)), ("doubled", scaled(profile, name, 2.0))]
            found.append((name, "constant", both))
    return found


def _measures(report: EnergyReport) -> dict[str, float | None]:
    """Of each pair of policies (``snn/ann``): ANN over SNN; without a baseline, of each policy, pJ of an image."""
    if report.baseline is None:
        return {policy: float(report.total.energy(policy).mean()) for policy in SNN_POLICIES}
    found = {}
    for snn, ann in product(SNN_POLICIES, ANN_POLICIES):
        level = report.total.at(report.baseline, snn, ann)
        found[f"{snn}/{ann}"] = level.ratio if level else None
    return found


def _policy_rows(pair: str, nominal: dict[str, float | None]) -> list[dict[str, Any]]:
    """What the other policy of either side does, all else equal."""
    snn, _, ann = pair.partition("/")
    rows = []
    for name, mine, policies in (("SNN memory policy", snn, SNN_POLICIES), ("ANN memory policy", ann, ANN_POLICIES)):
        if not mine:
            continue
        other = next(policy for policy in policies if policy != mine)
        key = pair.replace(mine, other)
        rows.append({"name": name, "kind": "policy", "changes": [{"label": other, "value": nominal[key]}]})
    return rows


def _swing(row: dict[str, Any], nominal: float) -> float:
    values = [change["value"] for change in row["changes"]]
    return max(abs(log(value / nominal)) if value else 0.0 for value in values)


def tornado(report: EnergyReport) -> dict[str, Any]:
    """As JSON values: for each pair of policies the nominal value and a row for each constant, the most important first.

    The value is ANN over SNN of the whole network against ``report.baseline``, or, where there is none, the spiking
    network's energy in pJ. Rows are sorted by the largest factor that a change moves it by. A last kind of row, ``policy``,
    says what the other memory policy of one side does.
    """
    nominal = _measures(report)
    again = [
        (name, kind, [(label, _measures(report.under(profile))) for label, profile in changed])
        for name, kind, changed in _changes(report.profile)
    ]
    pairs = {}
    for pair, value in nominal.items():
        if not value:
            continue
        rows = [
            {"name": name, "kind": kind, "changes": [{"label": label, "value": m[pair]} for label, m in moved]}
            for name, kind, moved in again
        ] + _policy_rows(pair, nominal)
        for row in rows:
            row["factor"] = exp(_swing(row, value))
        pairs[pair] = {"nominal": value, "rows": sorted(rows, key=lambda row: -row["factor"])}
    return {
        "status": "estimated",
        "T": report.network.time_steps,
        "profile": report.profile.name,
        "baseline": report.baseline,
        "measure": "e_snn_pJ" if report.baseline is None else "ratio",
        "pairs": pairs,
    }
