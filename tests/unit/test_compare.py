"""Comparisons: what is measured, and how it is shown."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from amaranth.hdl import Fragment, MemoryInstance, Shape
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl.core import Core
from sim import golden
from tests.compared_networks import DATA, FRAMES, write_networks
from tests.networks import NEURONS, random_network
from toolchain import cli, flow
from toolchain.compare import (
    AGAINST,
    COLUMNS,
    candidates_of,
    compare,
    conclusion,
    core_size,
    picture,
    runs,
)
from toolchain.compare.labels import Box
from toolchain.compare.output import write_comparison
from toolchain.cycles import cycles
from toolchain.energy import BASELINES, load_profile
from toolchain.errors import InvalidValue

INTEGER = load_profile("45nm-int")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With the networks of ``tests.compared_networks``."""
    folder = tmp_path_factory.mktemp("networks")
    write_networks(folder)
    return folder


# what is measured


def requests(folder):
    return [f"{folder}/snn.safetensors@T=1..4", f"{folder}/stream.safetensors@T=1,4,b=4", f"{folder}/net.safetensors"]


@pytest.fixture(scope="module")
def found(folder):
    return compare(candidates_of(requests(folder)), DATA, profile=INTEGER, lanes=4, clock_mhz=50.0)


def test_measured_is_what_the_others_say(folder, found):
    """Accuracy and energy of ``energy``, cycles of ``toolchain.cycles``, in the same order."""
    for one, candidate in zip(found.candidates, candidates_of(requests(folder)), strict=True):
        network = candidate.network
        (report,) = flow.fixed_energy(network, DATA, profiles=[INTEGER], lanes=4)
        trace = golden.run(network, FRAMES, "spikes")
        spent = cycles(network, FRAMES, trace, 4).latency
        assert one.cycles == spent.sum() / len(FRAMES) and one.latency_us == (spent / 50).mean()
        right = int((golden.run(network, FRAMES).predictions == DATA.labels).sum())
        assert one.accuracy == report.accuracy == 100 * right / len(FRAMES)
        assert (one.energy_low, one.energy_high) == report.total.snn_bounds and one.energy_low < one.energy_high
        assert one.sop == report.total.numbers["sop_executed"].mean()
        assert one.spikes == golden.run(network, FRAMES).activity.spikes.sum() / len(FRAMES)
        assert one.ann == {name: report.total.ann_bounds(name) for name in BASELINES}
        assert (one.verdict, one.baseline) == (report.verdict, "equal_information_zero_skipping")
        assert (one.ann_low, one.ann_high) == one.ann[one.baseline]
        assert (one.ratio_low, one.ratio_high) == report.total.ratio_bounds(one.baseline)
        assert one.fingerprint == network.fingerprint and one.membrane_bits == network.membrane_bits
        assert one.size == core_size(network, 4)


def test_small_batches_say_the_same(folder, found, monkeypatch):
    monkeypatch.setattr(flow.accounts, "_BATCH_STEPS", 10)
    again = compare(candidates_of(requests(folder)), DATA, profile=INTEGER, lanes=4)
    assert again.candidates == tuple(replace(one, latency_us=None) for one in found.candidates)


def test_equal_integers_run_once(folder, monkeypatch):
    candidates = candidates_of([f"{folder}/snn.safetensors", f"{folder}/copy.safetensors", f"{folder}/net.safetensors"])
    assert runs(candidates) == 2
    ran, original = [], flow.fixed_energy
    monkeypatch.setattr(
        flow, "fixed_energy", lambda net, *a, **o: ran.append(net.fingerprint) or original(net, *a, **o)
    )
    moved = []
    both = compare(candidates, DATA, profile=INTEGER, progress=moved.append)
    assert sum(moved) == runs(candidates) * len(FRAMES)
    assert ran[1:] == list(dict.fromkeys(one.network.fingerprint for one in candidates))  # after the trial on one image
    first, second, _ = both.candidates
    assert (first.name, second.name) == ("snn@T=4,b=8", "copy@T=4,b=8") and second.file.endswith("copy.safetensors")
    assert replace(second, name=first.name, group=first.group, file=first.file) == first
    assert both.beaten()[0] == both.beaten()[1]


def test_order_of_candidates_does_not_matter(folder, found):
    back = compare(candidates_of(requests(folder))[::-1], DATA, profile=INTEGER, lanes=4, clock_mhz=50.0)
    assert back.candidates == found.candidates[::-1]
    for axis in AGAINST:
        assert back.front(axis) == found.front(axis) and back.beaten(axis) == found.beaten(axis)[::-1]
    assert back.never == found.never[::-1]


def test_profiles_of_other_kinds(folder):
    candidates = candidates_of([f"{folder}/snn.safetensors@T=1,2"])
    with_clock = compare(candidates, DATA, profile=load_profile("ice40up5k"), clock_mhz=12.0, lanes=4)
    for one, candidate in zip(with_clock.candidates, candidates, strict=True):
        multiplications = golden.run(candidate.network, FRAMES).activity.operations[:, 0].mean()
        expected = one.cycles * (53 + 112 / 12) + 24 * multiplications
        assert one.energy_low == one.energy_high == pytest.approx(expected, rel=1e-12)
        assert (one.baseline, one.verdict, one.ann, one.ann_low, one.ratio_low) == (None, "unknown", {}, None, None)
    assert "profile ice40up5k knows no ANN to compare with" in conclusion(with_clock)
    table = with_clock.table()
    assert table["ann_low_pJ"].isna().all() and table["latency_us"].notna().all()
    legacy = compare(candidates, DATA, profile=load_profile("45nm-fp32-legacy"))
    assert {one.baseline for one in legacy.candidates} == {"fp32_dense"}


def memories(network, lanes):
    """Bits of every memory that the core really has, by name."""
    found, waiting = {}, [("core", Fragment.get(Core(network, lanes=lanes), None))]
    while waiting:
        name, fragment = waiting.pop()
        if isinstance(fragment, MemoryInstance):
            found[name] = found.get(name, 0) + fragment._data.depth * Shape.cast(fragment._data.shape).width
        waiting += [(inner or name, sub) for sub, inner, *_ in fragment.subfragments]
    return found


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from(NEURONS), st.sampled_from([1, 3, 16]))
def test_size_is_that_of_the_cores_memories(seed, neuron, lanes):
    network = random_network(seed, neuron=neuron, time_steps=1 + seed % 5)
    size, real = core_size(network, lanes), memories(network, lanes)
    assert size.weights == real["weights"] and size.parameters == real["parameters"]
    assert size.membranes == real["membranes"] + real.get("counts", 0)
    assert size.events == real["frame"] + sum(bits for name, bits in real.items() if name.startswith("spikes_"))
    assert size.total == size.weights + size.parameters + size.membranes + size.events


# what is shown


def test_csv_through_pandas(found, tmp_path):
    write_comparison(found, tmp_path / "c.csv")
    assert (tmp_path / "c.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
    table = found.table()
    read = pd.read_csv(tmp_path / "c.csv", keep_default_na=False, na_values={"latency_us": [""]})
    pd.testing.assert_frame_equal(read, table, check_exact=True)
    assert table["name"].tolist() == [one.name for one in found.candidates]
    assert table["front"].tolist() == [one in found.front() for one in found.candidates]
    assert (table["front"] == (table["beaten_by"] == "")).all() and set(table["against"]) == {"energy"}
    sizes = ["weight_memory_bits", "parameter_memory_bits", "membrane_memory_bits", "event_memory_bits"]
    assert (table[sizes].sum(axis=1) == table["size_bits"]).all()
    assert table["weight_memory_bits"].tolist() == [one.size.weights for one in found.candidates]
    assert table["event_memory_bits"].tolist() == [one.size.events for one in found.candidates]
    assert table["T"].tolist() == [1, 2, 3, 4, 1, 4, 3] and (table["images"] == len(FRAMES)).all()


def test_json(found, tmp_path):
    content = write_comparison(found, None, tmp_path / "c.json")
    assert json.loads((tmp_path / "c.json").read_text()) == content
    json.dumps(content, allow_nan=False)
    assert (content["schema"], content["images"], content["lanes"], content["clock_mhz"]) == (1, 12, 4, 50.0)
    assert content["profiles"] == {"45nm-int": INTEGER.describe()} and content["against"] == "energy"
    assert content["conclusion"] == conclusion(found) and content["front"] == [one.name for one in found.front()]
    by_name = {one.name: one for one in found.candidates}
    for row in content["candidates"]:
        one = by_name[row["name"]]
        assert (row["accuracy"], row["cycles"], row["energy_high"]) == (one.accuracy, one.cycles, one.energy_high)
        assert row["size"]["total"] == one.size.total and row["ann"].keys() == BASELINES.keys()
        assert row["front"] == {axis: one in found.front(axis) for axis in AGAINST}
        assert all(bool(row["beaten_by"][axis]) != row["front"][axis] for axis in AGAINST)
        assert set(row["never"]) <= by_name.keys()


def made(found, accuracies, costs, **more):
    """A comparison of as many candidates with these accuracies and energies, in three files."""
    like = found.candidates[0]
    rows = []
    for i, (accuracy, cost) in enumerate(zip(accuracies, costs, strict=True)):
        group = f"network-{i % 3}"
        setting = f"T={i // 3 + 1},b=8"
        rows.append(
            replace(
                like, name=f"{group}@{setting}", group=group, setting=setting, accuracy=accuracy, energy_high=cost,
                energy_low=cost / 5, cycles=cost, sop=cost, **more,
            )
        )  # fmt: skip
    return replace(found, candidates=tuple(rows))


def test_conclusion_in_words(found):
    lines = conclusion(made(found, [90.0, 92.0, 91.0, 92.0], [1e6, 2e6, 3e6, 4e6]))
    assert lines[0].startswith(
        "most accurate: network-1@T=1,b=8 and network-0@T=2,b=8, 92.00 %; on 12 images chance moves"
    )
    assert "least energy, clock cycles and synaptic operations: network-0@T=1,b=8, at 90.00 %" in lines
    assert "all alike in memory of the core" in lines
    assert (
        "the front of accuracy against energy (upper bound over the memory policies), from cheap to accurate: "
        "network-0@T=1,b=8 (90.00 %, 1 µJ), network-1@T=1,b=8 (92.00 %, 2 µJ)"
    ) in lines
    assert "against memory of the core the front is network-0@T=2,b=8 and network-1@T=1,b=8" in lines
    assert (
        "never worth choosing, since another is nowhere worse in accuracy, energy, cycles, operations and memory: "
        "network-2@T=1,b=8 (by network-1@T=1,b=8), network-0@T=2,b=8 (by network-1@T=1,b=8)"
    ) in lines
    kept = conclusion(made(found, [90.0, 92.0], [1e6, 2e6]))
    assert "none is beaten in everything at once" in kept
    # beaten under one view only: less energy, but more memory
    two = made(found, [90.0, 90.0], [1e6, 2e6])
    larger = replace(two.candidates[0], size=replace(two.candidates[0].size, weights=10**6))
    lines = conclusion(replace(two, candidates=(larger, two.candidates[1])))
    assert "none is beaten in everything at once" in lines
    assert any(
        line.startswith("beaten in accuracy and energy") and "network-1@T=1,b=8 (by network-0" in line for line in lines
    )


@pytest.mark.parametrize(
    ("verdicts", "line"),
    [
        (["ANN", "ANN"], "the ANN (equal information, zeros skipped) costs less than any candidate whatever"),
        (
            ["SNN", "depends"],
            "against the ANN (equal information, zeros skipped): network-0@T=1,b=8 cost less than the ANN whatever the "
            "memory policies; for network-1@T=1,b=8 it depends on the memory policies",
        ),
    ],
)
def test_verdicts_in_words(found, verdicts, line):
    two = made(found, [90.0, 91.0], [1e6, 2e6])
    rows = [replace(one, verdict=verdict) for one, verdict in zip(two.candidates, verdicts, strict=True)]
    assert conclusion(replace(two, candidates=tuple(rows)))[-1].startswith(line)


@pytest.mark.parametrize("number", [2, 6, 20])
def test_labels_of_the_picture(found, number):
    """All there, none on another one; with everything at one place too."""
    rng = np.random.default_rng(number)
    for spread in (3.0, 0.0):
        costs = 1e7 * np.exp(spread / 2 * rng.random(number))
        pictured = made(found, (90 + spread * rng.random(number)).tolist(), costs.tolist())
        figure, labels = picture.painted(pictured)
        assert len(labels) == number
        renderer = figure.canvas.get_renderer()
        extents = [label.get_window_extent(renderer) for label in labels]
        boxes = [Box(e.x0, e.y0, e.x1, e.y1) for e in extents]
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
        assert {label.get_text() for label in labels} == set(picture.labels_of(pictured))


def test_labels_say_what_differs(found):
    assert picture.labels_of(found) == ("T=1, b=8", "T=2, b=8", "T=3, b=8", "T=4, b=8", "T=1, b=4", "T=4, b=4", "net")
    assert set(picture.labels_of(made(found, [1.0] * 4, [1.0] * 4))) == {
        "T=1",
        "T=2",
        "network-1, T=1",
        "network-2, T=1",
    }


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_picture_is_written_in_one_step(found, tmp_path, ending, monkeypatch):
    paths = [tmp_path / f"{name}.{ending}" for name in "ab"]
    for path in paths:
        write_comparison(found, picture=path)
    first, second = (path.read_bytes() for path in paths)
    assert first == second and first.startswith({"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[ending])
    if ending == "svg":
        text = first.decode()
        for said in ("accuracy, %", "net", "T=4, b=4", "ANN, int8 dense", "on the front", "beaten"):
            assert said in text

    def half(figure, path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(picture.Figure, "savefig", half)
    with pytest.raises(InvalidValue, match="No space"):
        write_comparison(found, picture=paths[0])
    assert paths[0].read_bytes() == first and sorted(tmp_path.iterdir()) == paths


@pytest.mark.parametrize("axis", AGAINST)
def test_staircase_is_the_front(found, axis):
    """The black line rises at the members of the front and nowhere else."""
    shown = replace(found, against=axis)
    figure, _ = picture.painted(shown)
    (line,) = [line for line in figure.axes[0].lines if line.get_color() == "black"]
    corners = list(zip(*line.get_data(), strict=True))
    unit = {"energy": 1e6, "cycles": 1.0, "size": 8192.0, "sop": 1e6}[axis]
    on = shown.front()
    assert corners[1:-1:2] == [(AGAINST[axis](one) / unit, one.accuracy) for one in on]
    assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(corners))
    assert corners[-1] == (figure.axes[0].get_xlim()[1], max(one.accuracy for one in found.candidates))


def test_sources_only_where_they_were_measured(found):
    known = [(92.0, 12, "twelve train"), (93.0, 11, "twelve test"), (94.0, 12, "twelve test"), (None, None, None)]
    rows = [
        replace(one, source_accuracy=reached, source_images=images, source_data=data)
        for one, (reached, images, data) in zip(found.candidates, known * 2, strict=False)
    ]
    figure, _ = picture.painted(replace(found, candidates=tuple(rows)))
    levels = [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert [set(line.get_ydata()) for line in levels] == [{94.0}]
    said = figure.get_suptitle()
    for text in ("92.00 % on 12 images of twelve train;", "93.00 % on 11 images of twelve test;"):
        assert text in said
    assert said.endswith("94.00 % on 12 images of twelve test (dashed)")


def test_names_are_no_formulas(found, tmp_path):
    rows = [replace(one, group="_a$x_1$ & b") for one in found.candidates[:2]]
    picture.draw(replace(found, candidates=tuple(rows)), tmp_path / "x.svg")
    assert "_a$x_1$ &amp; b</text>" in (tmp_path / "x.svg").read_text()


def test_command_line(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    command = "compare snn.safetensors@T=1,2 radix.safetensors net.safetensors -T 2 --data digits --images 30"
    files = f"--csv {tmp_path}/c.csv --json-file {tmp_path}/c.json --picture {tmp_path}/c.svg --clock 50 -P 8 --against cycles"
    assert cli.run([*command.split(), *files.split()]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    content = json.loads((tmp_path / "c.json").read_text())
    table = pd.read_csv(tmp_path / "c.csv")
    assert table["name"].tolist() == ["snn@T=1,b=8", "snn@T=2,b=8", "radix@T=2,b=8", "net"]
    assert set(table["against"]) == {"cycles"} and (table["images"] == 30).all()
    for row in content["candidates"]:
        mark = "*" if row["front"]["cycles"] else " "
        assert f" {mark}{row['name']} " in shown.out and f"{row['cycles']:,.0f}" in shown.out
    for line in content["conclusion"]:
        assert f"{line[0].upper()}{line[1:]}." in shown.out
    assert (tmp_path / "c.svg").read_text().count("clock cycles of an image") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.csv", "c.json", "c.svg"]
    assert cli.run([*command.split(), "--json", "--against", "cycles", "-P", "8", "--clock", "50"]) == 0
    assert json.loads(capsys.readouterr().out) == content
    assert max(len(line) for line in shown.out.splitlines() if line.startswith(" ")) <= 80
