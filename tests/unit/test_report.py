"""The report page without a browser: its numbers, words, escaping, charts, and what it refuses."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
import pytest

from tests.networks import lively_network
from tests.pages import HOSTILE, VERIFIED, evidence_of, reports_of
from toolchain.cli.commands import conversion, training
from toolchain.energy import ANN_POLICIES, BASELINES, PROFILES, SNN_POLICIES, load_profile
from toolchain.energy.layer import PARTS
from toolchain.errors import InvalidValue
from toolchain.report import checked, choose, page_content, rasters, read_verification, render, tornado, with_page
from toolchain.report.canvas import SYMBOLS, THEMES, plain
from toolchain.report.numbers import at, energy_unit, listed, pointer, shown
from toolchain.report.rasters import png
from toolchain.report.sensitivity import scaled
from toolchain.report.verdict import plain_words
from toolchain.reporting import FILES, check_folder, write_report


@pytest.fixture(scope="module")
def small():
    """Content of a page about a small network, with its reports."""
    reports, energy, dataset = reports_of()
    evidence = evidence_of(reports, dataset)
    whole = with_page(reports, energy, evidence)
    return reports, whole, page_content(reports, whole, evidence)


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, "number", "–"), (0.0, "number", "0"), (-0.2264, "number", "−0.226"), (3.14159, "number", "3.14"),
        (12345.6, "number", "12,346"), (99.96, "number", "100.0"), (0.00001234, "number", "1.23e-05"),
        (float("inf"), "number", "∞"), (93.127, "percent", "93.13"), (7, "count", "7"), (7.25, "count", "7.25"),
        (1234.5, "count", "1,234"), (2_500_000.0, "energy", "2.50"),
    ],
)  # fmt: skip
def test_numbers_as_text(value, kind, text):
    assert shown(value, kind, "µJ") == text


def test_pointers_and_units():
    content = {"a/b": [{"c~d": 1}]}
    assert at(content, pointer("a/b", 0, "c~d")) == 1
    assert [energy_unit(v) for v in (0.5, 1, 999, 1e3, 2e6, 1e9)] == ["pJ", "pJ", "pJ", "nJ", "µJ", "mJ"]
    assert [listed(w) for w in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


def test_names_that_other_modules_own():
    from toolchain.report.figures import _PARTS as drawn
    from toolchain.report.verdict import _PARTS as said

    assert tuple(drawn) == tuple(said) == PARTS
    assert set(SYMBOLS) == {"snn", *BASELINES}
    assert THEMES["light"].keys() == THEMES["dark"].keys()


def test_tornado_is_what_estimate_says(small):
    """Each value is the ratio of a report under the changed profile; the most important row comes first."""
    report = next(r for r in small[0] if r.profile.name == "45nm-int" and r.network.time_steps == 4)
    found = tornado(report)
    assert found["measure"] == "ratio" and found["pairs"].keys() == {
        f"{s}/{a}" for s in SNN_POLICIES for a in ANN_POLICIES
    }
    for pair, content in found["pairs"].items():
        snn, ann = pair.split("/")
        assert content["nominal"] == report.total.at(report.baseline, snn, ann).ratio
        rows = {row["name"]: row for row in content["rows"]}
        assert rows.keys() == {
            *report.profile.constants.keys() - {"sram_divisor"}, "sram, stated band", "SNN memory policy", "ANN memory policy",
        }  # fmt: skip
        for name, row in rows.items():
            if row["kind"] == "constant":
                for change, factor in zip(row["changes"], (0.5, 2.0), strict=True):
                    again = report.under(scaled(report.profile, name, factor))
                    assert change["value"] == again.total.at(report.baseline, snn, ann).ratio
        band = [c["value"] for c in rows["sram, stated band"]["changes"]]
        divided = [
            report.under(report.profile.divided(d)).total.at(report.baseline, snn, ann).ratio for d in (2.4, 2.8)
        ]
        assert band == pytest.approx(divided, rel=1e-12)
        other = next(p for p in SNN_POLICIES if p != snn)
        (change,) = rows["SNN memory policy"]["changes"]
        assert change == {"label": other, "value": report.total.at(report.baseline, other, ann).ratio}
        factors = [row["factor"] for row in content["rows"]]
        assert factors == sorted(factors, reverse=True) and factors[0] > 1
    assert rows["mac_fp32"]["factor"] == 1  # charged to FP32 only


def test_map_holds_the_network_and_its_break_even(small):
    """Along a row the ratio falls; it is the report's own at its rate, and 1 at σ*/T."""
    found = small[1]["page"]["break_even_map"]
    chosen = [r for r in small[0] if r.profile.name == "45nm-int"]
    assert found["T"] == [1, 2, 4]
    for pair, content in found["pairs"].items():
        for report, row, rate, star, own in zip(
            chosen, content["ratio"], content["rate"], content["rate_star"], content["own_ratio"], strict=True
        ):
            level = report.total.at(report.baseline, *pair.split("/"))
            assert (rate, star, own) == (level.sigma / report.network.time_steps, level.rate_star, level.ratio)
            assert np.all(np.diff(row) < 0)
            steps = report.network.time_steps
            for at_rate, ratio in ((rate, own), (star, 1.0)):
                cost = level.e_fixed + at_rate * steps * level.e_synapse
                assert level.e_ann / cost == pytest.approx(ratio, rel=1e-9)
            if star > found["rates"][0]:
                assert np.interp(star, found["rates"], row) == pytest.approx(1, rel=0.05)


def kinds_of(reports, energy, **changes):
    """Plain words with the focus report changed."""
    rows = [r for r in json.loads(json.dumps(energy))["reports"] if r["profile"] == "45nm-int"]
    rows[-1] |= changes
    return plain_words(rows, rows[-1], energy, unit="nJ", source=None, verification=None)


def test_verdict_says_who_loses(small):
    reports, energy, content = small
    words = {kind: kinds_of(reports, energy, verdict=kind) for kind in ("SNN", "ANN", "depends", "unknown")}
    assert words["ANN"]["headline"] == "The spiking network loses at T = 4."
    assert words["SNN"]["headline"] == "The spiking network wins at T = 4."
    assert "memory policies decide" in words["depends"]["headline"] and "No verdict" in words["unknown"]["headline"]
    for found in words.values():
        assert "equal information, zeros skipped" in found["lead"]
        said = " ".join(text for text, _ in found["sentences"])
        assert "The hardware was not verified" in said and "what its source reaches is not known" in said
        for text, _ in found["sentences"]:  # no ratio without its baseline and its policies
            if "ANN over SNN" in text:
                assert "“equal information, zeros skipped”" in text
                assert any(p in text for p in SNN_POLICIES) and any(p in text for p in ANN_POLICIES)
    focus = energy["reports"][[r["T"] for r in energy["reports"]].index(4)]
    low, high = (shown(v, "energy", content["unit"]) for v in focus["total"]["snn_bounds_pJ"])
    assert any(f"{low} to {high} {content['unit']}" in text for text, _ in content["verdict"]["sentences"])
    failed = {**small[1]["page"]["verification"], "passed": False}
    words = plain_words([focus], focus, energy, unit="nJ", source=None, verification=failed)
    assert "DIFFERS" in words["sentences"][-1][0]


def test_every_label_is_one_of_the_three(small):
    for text, label in small[2]["verdict"]["sentences"]:
        assert any(word in label for word in ("measured", "simulated", "estimated")) or label in (
            "scope",
            "not verified",
        ), text


def coloured(value):
    """Roles replaced as the page does."""
    if isinstance(value, str):
        return THEMES["light"][value[1:]] if value.startswith("@") else value
    if isinstance(value, dict):
        return {name: coloured(one) for name, one in value.items()}
    return [coloured(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("profiles", "steps"),
    [
        (("45nm-int",), (4,)),
        (("45nm-int",), range(1, 13)),
        (("45nm-fp32-legacy",), (1, 4)),
        (("ice40up5k",), (1, 4)),
        (PROFILES, (2, 4)),
    ],
)
def test_plotly_knows_every_member_of_every_chart(profiles, steps):
    """Of every kind of profile, which differ in baselines and memory, for one T and many."""
    reports, energy, dataset = reports_of(steps, profiles)
    evidence = evidence_of(reports, dataset)
    content = page_content(reports, with_page(reports, energy, evidence), evidence)
    wanted = {"energies", "stacks", "tornado", "cycles", "accuracy", "raster0"}
    if "45nm-int" in profiles:
        wanted |= {"sigmas", "map"}
    assert wanted <= content["figures"].keys()
    for name, figure in content["figures"].items():
        for key, found in figure["plots"].items():
            assert len(key.split("|")) == max(1, len(figure["by"])) and found["alt"].endswith("."), name
            go.Figure(coloured(found["data"]), coloured(found["layout"]))  # raises for what plotly does not know
            assert found["data"]
    json.dumps(content["figures"], allow_nan=False)
    render(content, "")


def test_one_network_without_accuracy_cycles_or_examples():
    reports, energy, dataset = reports_of((2,), ("45nm-int",), known_cycles=False)
    reports = [replace(report, accuracy=None) for report in reports]
    for report in energy["reports"]:
        report["accuracy"] = None
    evidence = evidence_of(reports, dataset, source=None, verification=None, rasters=[], steps=None)
    content = page_content(reports, with_page(reports, energy, evidence), evidence)
    assert {"accuracy", "cycles", "raster0"}.isdisjoint(content["figures"])
    page = render(content, "")
    assert "Not verified." in page and "spikeloom verify net.safetensors" in page
    assert 'id="latency"' not in page and 'id="spikes"' not in page


class Elements(HTMLParser):
    """Every element with its attributes, and text outside scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text, self.stack = [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.stack.append(tag)

    def handle_endtag(self, tag):
        while self.stack and self.stack.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"script", "style"} & set(self.stack):
            self.text += data


def test_text_from_files_is_only_text():
    """Names of network, layers, data set and provenance that would break out of HTML, scripts or charts."""
    reports, energy, dataset = reports_of(name=HOSTILE)
    evidence = evidence_of(reports, dataset)
    content = page_content(reports, with_page(reports, energy, evidence), evidence)
    page = render(content, HOSTILE)
    found = Elements(page)
    assert HOSTILE in found.text
    tags = [tag for tag, _ in found.elements]
    assert tags.count("img") == len(content["rasters"]) and tags.count("script") == 5
    assert not any(name.startswith("on") for _, attributes in found.elements for name in attributes)
    assert page.count("<img src=x") == 0
    for figure in content["figures"].values():  # plotly reads HTML
        assert "<img" not in json.dumps([p["data"] for p in figure["plots"].values()])
    assert plain("<b>" + "x" * 99) == "&lt;b&gt;" + "x" * 36 + "…"


def test_page_holds_all_and_reaches_for_nothing(small):
    page = render(small[2], "layer\n")
    assert len(page.encode()) < 6e6
    found = Elements(page)
    for tag, attributes in found.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, name, value)
    (policy,) = [a["content"] for tag, a in found.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy and "connect-src" not in policy
    assert not re.search(r"@import|url\((?!data:)", page.split("</style>")[0])
    headings = [int(tag[1]) for tag, _ in found.elements if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    tags = [tag for tag, _ in found.elements]
    assert tags.count("caption") == tags.count("table") and tags.count("figcaption") == tags.count("figure")
    assert all(attributes.get("alt") for tag, attributes in found.elements if tag == "img")
    assert all(a.get("aria-label") for _, a in found.elements if a.get("role") in ("img", "region"))
    assert render(small[2], "layer\n") == page  # the same bytes for the same content


def test_elements_name_their_numbers(small):
    """Every number of the page is that of the JSON at its place."""
    _, energy, content = small
    numbers = [a for _, a in Elements(render(content, "")).elements if "data-at" in a]
    assert len(numbers) > 500
    for attributes in numbers:
        assert json.loads(attributes["data-value"]) == at(energy, attributes["data-at"])


def test_files_are_written_together(tmp_path, small, monkeypatch):
    reports, energy, _ = small
    evidence = evidence_of(reports, reports_of()[2])
    target = tmp_path / "new" / "folder"
    kept = {name: value for name, value in energy.items() if name != "page"}
    content = write_report(target, reports, kept, evidence)
    assert sorted(path.name for path in target.iterdir()) == sorted(FILES)
    assert json.loads((target / "energy.json").read_text()) == json.loads(json.dumps(content))
    rows = (target / "energy.csv").read_text().splitlines()
    assert len(rows) == 1 + sum(len(r.layers) for r in reports if r.profile.name == "45nm-int")
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    monkeypatch.setattr("toolchain.reporting.render", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(target, reports, kept, evidence)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before
    (tmp_path / "file").write_text("")
    for wrong in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(InvalidValue, match=r"cannot make folder .*choose another"):
            check_folder(wrong)
    check_folder(tmp_path / "not" / "there")
    assert not (tmp_path / "not").exists()


GOOD = {**VERIFIED, "fingerprint": "a" * 64}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, None),
        ({"passed": False, "spike_mismatches": 3}, None),
        ({"fingerprint": "b" * 64}, "is of network b{16}, the page is about a{16}; verify that one"),
        ({"spike_mismatches": 1}, "says passed and counts differences"),
        ({"counters_match": False}, "says passed and counts differences"),
        ({"images": 0}, "is of no image"),
        ({"images": True}, "images is True, must be a whole number"),
        ({"lanes": -1}, "lanes is -1, must be a whole number from 0 on"),
        ({"passed": "yes"}, "passed is 'yes', must be true or false"),
        ({"simulator": 5}, "simulator is 5, must be a text"),
        ({"stall": float("nan")}, "stall is nan, must be a number from 0 on"),
        ({"lane_utilization": None}, "lane_utilization is None, must be a number"),
    ],
)
def test_verifications(change, message, tmp_path):
    content = {**GOOD, **change}
    if message is None:
        assert checked(content, "x", ["a" * 64])["passed"] is content["passed"]
        return
    with pytest.raises(InvalidValue, match=message):
        checked(content, "x", ["a" * 64])
    (tmp_path / "v.json").write_text(json.dumps(content))
    with pytest.raises(InvalidValue, match=message):
        read_verification(tmp_path / "v.json", ["a" * 64])


@pytest.mark.parametrize(
    ("text", "message"),
    [("[]", "holds no JSON object"), ("{", "is not JSON"), ("{}", "images is missing"), ("[" * 9999, "is not JSON")],
)
def test_files_that_are_no_verification(text, message, tmp_path):
    (tmp_path / "v.json").write_text(text)
    with pytest.raises(InvalidValue, match=message):
        read_verification(tmp_path / "v.json", ["a"])
    with pytest.raises(InvalidValue, match="cannot read verification"):
        read_verification(tmp_path / "none", ["a"])


def test_examples_are_of_different_classes_and_one_is_wrong():
    labels = np.array([0, 0, 1, 2, 3, 4, 1])
    predictions = np.array([0, 0, 1, 2, 3, 0, 1])
    assert choose(predictions, labels) == [0, 2, 3, 5]
    assert choose(labels, labels) == [0, 2, 3, 4]
    assert choose(1 - labels, labels) == [0]


def test_rasters_hold_every_spike():
    """Columns are means of neighbours: their sizes times their values sum to the spikes."""
    from sim import golden
    from tests.networks import frames_for

    for neuron in ({"schedule": "stream", "negative": "symmetric", "reset": "subtract"}, {"schedule": "two_phase"}):
        network = lively_network(neuron, 0)
        frames = frames_for(network, 3, 2)
        trace = golden.run(network, frames, "spikes")
        for index, image in enumerate(rasters(network, frames, np.zeros(2, int), trace, [5, 9], "digits")):
            assert image["image"] == (5, 9)[index] and image["right"] == (trace.predictions[index] == 0)
            for layer, train in zip(image["layers"], trace.spikes, strict=True):
                spikes = train[index].reshape(len(train[index]), -1).astype(int)
                assert layer["spikes"] == np.abs(spikes).sum() and layer["steps"] == len(spikes)
                width = np.diff(layer["ends"])
                sums = (np.array(layer["values"]) * width).round().astype(int)
                assert (sums == np.add.reduceat(spikes, layer["ends"][:-1], axis=1)).all()


def test_images_are_readable():
    from io import BytesIO

    from matplotlib.image import imread

    for channels in (1, 3):
        frame = np.random.default_rng(0).integers(0, 256, (channels, 5, 7), dtype=np.uint8)
        import base64

        shown_ = imread(BytesIO(base64.b64decode(png(frame).partition(",")[2])), format="png")
        found = (np.atleast_3d(shown_) * 255).round().astype(int)
        assert (found.transpose(2, 0, 1) == frame).all()


def test_commands_say_how_files_were_made():
    made = {"architecture": "mlp", "dataset": "fashion-mnist", "epochs": 15, "flip": True, "levels": 4, "seed": 0}
    assert (
        training(made, "/some/where/mlp.safetensors") == "spikeloom train -a mlp --epochs 15 --flip -o mlp.safetensors"
    )
    made = {"architecture": "cnn", "activation": "relu", "dataset": "x y", "epochs": 30, "levels": None}
    assert training(made, "a.safetensors") == "spikeloom train -A relu --data 'x y' -o a.safetensors"
    network = replace(
        lively_network({"schedule": "stream"}, 0),
        input="bitplane",
        provenance={"method": "optimal", "shift": False, "calibration_data": "bundled test", "calibration_images": 9},
    )
    assert conversion(network, "dir/net.py:build", "a") == (
        f"spikeloom convert net.py:build -m optimal -T {network.time_steps} --schedule stream --input bitplane --no-shift "
        "--data bundled --split test --images 9 -o a"
    )
    assert conversion(replace(network, provenance={}), "x", "a") is None


def test_a_profile_scaled_and_scaled_back():
    for name in PROFILES:
        profile = load_profile(name)
        for constant, entry in profile.constants.items():
            back = scaled(scaled(profile, constant, 2.0), constant, 0.5)
            assert back.constants[constant]["value"] == entry["value"]
