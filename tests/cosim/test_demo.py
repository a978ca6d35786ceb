"""The demo's summary has the members that other programs rely on, and says what its other files say."""

import json
import math

import pandas as pd
import pytest

from toolchain import cli
from toolchain.netfile import load_fixed_point

SCHEMA = {
    "schema": int,
    "network": {
        "name": str,
        "fingerprint": str,
        "time_steps": int,
        "schedule": str,
        "weight_bits": int,
        "membrane_bits": int,
        "weights": int,
        "neurons": int,
    },
    "accuracy": {"images": int, "source_fp32": float, "snn_float": float, "fixed_point": float},
    "verification": {
        "simulator": str,
        "images": int,
        "spikes_compared": int,
        "spike_mismatches": int,
        "score_mismatches": int,
        "counters_match": bool,
        "cycles_per_image": float,
        "sops_per_image": float,
        "lanes": int,
        "lane_utilization": float,
    },
    "artifacts": {"verilog": str, "network": str},
}
ROW = {
    "time_steps": int,
    "accuracy": float,
    "sop": float,
    "mac": float,
    "e_snn_pj": float,
    "e_ann_pj": float,
    "profile": str,
    "dense": str,
    "baseline": str,
    "e_snn_bounds_pj": list,
    "e_ann_bounds_pj": list,
    "verdict": str,
}


def check(content, schema):
    for name, kind in schema.items():
        if isinstance(kind, dict):
            check(content[name], kind)
        else:
            number = kind is float and type(content[name]) is int
            assert number or type(content[name]) is kind, f"{name} is {content[name]!r}, must be a {kind.__name__}"


@pytest.mark.usefixtures("fast_compile")
def test_summary(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["demo", "--images", "1", "--json"]) == 0
    written = json.loads((tmp_path / "build" / "demo" / "summary.json").read_text())
    assert json.loads(capsys.readouterr().out) == written
    check(written, SCHEMA)
    for row in written["energy"]:
        check(row, ROW)
    assert {(r["time_steps"], r["profile"]) for r in written["energy"]} >= {(t, "45nm-int") for t in (1, 2, 4, 8, 16)}

    network = load_fixed_point(tmp_path / written["artifacts"]["network"])
    assert network.fingerprint == written["network"]["fingerprint"]
    assert network.fingerprint in (tmp_path / written["artifacts"]["verilog"]).read_text().splitlines()[1]
    verification = written["verification"]
    assert verification["spike_mismatches"] == verification["score_mismatches"] == 0
    assert verification["counters_match"] and verification["lane_utilization"] >= 0.90
    assert verification["spikes_compared"] == network.time_steps * sum(math.prod(s) for s in network.shapes[:-1])
    (deployed,) = (r for r in written["energy"] if r["time_steps"] == network.time_steps and r["profile"] == "45nm-int")
    assert deployed["accuracy"] == written["accuracy"]["fixed_point"]

    table = pd.read_csv(tmp_path / "build" / "demo" / "energy.csv").groupby("T").sum()
    kept = json.loads((tmp_path / "build" / "demo" / "energy.json").read_text())["reports"]
    assert len(kept) == len(written["energy"])
    for row, report in zip(written["energy"], kept, strict=True):
        total = report["total"]
        named = [report[name] for name in ("T", "profile", "accuracy", "baseline", "verdict")]
        assert [row[name] for name in ("time_steps", "profile", "accuracy", "baseline", "verdict")] == named
        assert row["sop"] == total["counts"]["sop_executed"]["mean"] and row["mac"] == total["synapses_dense"]
        assert row["e_snn_bounds_pj"] == total["snn_bounds_pJ"]
        assert row["e_ann_bounds_pj"] == total["ann"][row["baseline"]]["bounds_pJ"]
        if row["profile"] == "45nm-int":
            sums = table.loc[row["time_steps"], ["sop_executed", "e_compute_pJ", "e_total_pJ"]].tolist()
            assert sums == pytest.approx([row["sop"], row["e_snn_pj"], row["e_snn_bounds_pj"][1]], rel=1e-9)
