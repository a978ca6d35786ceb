"""The survey against runs by hand, what it does with a file it finds, and its tables."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sim import golden
from toolchain import cli
from toolchain import survey as surveys
from toolchain.convert import METHODS, convert
from toolchain.datasets import Dataset
from toolchain.errors import InvalidValue
from toolchain.nn import QCFS, StReLU
from toolchain.quantize import quantize
from toolchain.survey import Survey, best_rows, fitting_methods, markdown, read_rows, settings, write_rows
from toolchain.train import accuracy, pixels_to_input

SHAPE = (1, 6, 6)


def images(count=30, seed=0):
    rng = np.random.default_rng(seed)
    return Dataset("made", rng.integers(0, 256, (count, *SHAPE)).astype(np.uint8), rng.integers(0, 3, count), 3)


def source(activation):
    """Random weights so large that each class is some image's."""
    torch.manual_seed(1)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), activation(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 8), activation(), nn.Linear(8, 3)
    ).eval()
    for layer in (module[0], module[4], module[6]):
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    with torch.inference_mode():
        module[6].bias -= module(pixels_to_input(torch.tensor(images().frames))).mean(dim=0)
    return module


def survey_of(path, module=None, dataset=None, **options):
    batch = pixels_to_input(torch.tensor(images(20, 7).frames))
    options = {"methods": ("optimal", "calibration"), "time_steps": (1, 2, 4), "formats": ("float", "8"), **options}
    return Survey(module or source(nn.ReLU), "made", dataset or images(), batch, path, data="made", **options)


def test_every_row_is_a_run_by_hand(tmp_path):
    module, dataset = source(nn.ReLU), images()
    rows = survey_of(tmp_path / "x.csv", module, dataset, methods=None, formats=("8", "4"), time_steps=(1, 4, 16)).run()
    batch = pixels_to_input(torch.tensor(images(20, 7).frames))
    reached = accuracy(module, dataset)
    assert len({row.setting for row in rows}) > 20
    for row in rows:
        network = convert(
            module, batch, row.method, row.time_steps,
            schedule=row.schedule, negative=row.negative, shift="no" not in row.variant or row.method != "optimal",
        )  # fmt: skip
        try:
            fixed = quantize(network, int(row.format), clipping="mse" if row.format == "4" else "max")
        except InvalidValue as error:
            assert row.accuracy is None and row.note == str(error)
            continue
        trace = golden.run(fixed, dataset.frames)
        assert row.accuracy == pytest.approx(100 * (trace.predictions == dataset.labels).mean(), abs=1e-4)
        assert row.loss == pytest.approx(reached - row.accuracy, abs=2e-4)
        assert row.fingerprint == fixed.fingerprint and row.input == fixed.input
        assert row.spikes == pytest.approx(trace.activity.spikes.sum() / 30, abs=0.1)
        assert row.sop == pytest.approx(trace.activity.operations[:, 1:].sum() / 30, abs=0.1)
        assert row.cycles_bound == pytest.approx(trace.activity.operations.sum() / 30 / 16, abs=0.1)
        assert row.latency_steps == row.time_steps * (1 if row.schedule == "stream" else 2)


def test_settings_fit_the_source():
    assert "qcfs" not in fitting_methods(source(nn.ReLU), SHAPE)
    assert fitting_methods(source(lambda: StReLU(1.0)), SHAPE)[0] == "strelu"
    both = iter((QCFS(4), StReLU(1.0)))
    with pytest.raises(InvalidValue, match="no method takes activations qcfs and strelu together; use one kind"):
        fitting_methods(source(lambda: next(both)), SHAPE)
    chosen = settings(fitting_methods(source(lambda: QCFS(4)), SHAPE))
    assert len(set(chosen)) == len(chosen)
    assert {(s.schedule, s.negative) for s in chosen if s.method == "qcfs"} == {
        ("two_phase", "none"), ("stream", "none"), ("stream", "correcting"), ("radix", "none"),
    }  # fmt: skip
    assert {s.shift for s in chosen if s.method == "optimal"} == {True, False}
    assert {s.method for s in chosen} == {name for name, method in METHODS.items() if "qcfs" in method.activations}


def test_radix_and_switched_leave_out_what_they_have_not(tmp_path):
    job = survey_of(tmp_path / "x.csv", methods=("tsc", "spike_converter"), time_steps=(4, 11))
    rows = job.run()
    assert [(r.schedule, r.time_steps, r.format) for r in rows if r.method == "tsc"] == [
        ("switched", 4, "float"),
        ("switched", 11, "float"),
    ]
    assert {(r.schedule, r.time_steps) for r in rows if r.method == "spike_converter"} == {("radix", 4)}
    assert job.total == 30 * len(rows)


def test_an_interrupted_survey_goes_on(tmp_path, monkeypatch):
    whole = survey_of(tmp_path / "whole.csv").run()
    calls, convert_module = [], surveys.convert

    def interrupted(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return convert_module(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(surveys, "convert", interrupted)
        survey_of(tmp_path / "part.csv").run()
    held = read_rows(tmp_path / "part.csv")
    assert 0 < len(held) < len(whole)

    def never(*arguments, **options):
        raise AssertionError("measured again")

    seen = []
    job = survey_of(tmp_path / "part.csv")
    assert job.run(seen.append) == whole
    assert sum(seen) == job.total
    monkeypatch.setattr(golden, "run", never)
    monkeypatch.setattr(golden, "anytime", never)
    monkeypatch.setattr(surveys.floating, "anytime", never)
    assert survey_of(tmp_path / "part.csv").run() == whole
    assert (tmp_path / "part.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    # a smaller survey leaves the rest of the file
    assert survey_of(tmp_path / "part.csv", methods=("optimal",), time_steps=(2,)).run() == whole


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "x.csv"
    survey_of(path).run()
    with pytest.raises(InvalidValue, match=r"x\.csv is about made on 30 images of made, not made on 29 of made; name"):
        survey_of(path, dataset=images(29))
    other = source(nn.ReLU)
    other[0].weight.data *= 2
    before = path.read_bytes()
    with pytest.raises(InvalidValue, match=r"x\.csv holds another network for optimal, two_phase, shift, T = 1"):
        survey_of(path, other).run()
    assert path.read_bytes() == before
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InvalidValue, match=r"x\.csv is no table of spikeloom survey; name another file or remove it"):
        survey_of(path)


def test_a_t_that_does_not_fit_leaves_the_smaller_ones_and_is_no_obstacle_later(tmp_path, monkeypatch):
    from toolchain import ir

    wide = images()
    options = {"methods": ("optimal",), "time_steps": (1, 2, 1024), "formats": ("16",)}
    monkeypatch.setattr(ir, "MEMBRANE_LIMIT_BITS", 28)
    rows = survey_of(tmp_path / "x.csv", dataset=wide, **options).run()
    stream = {row.time_steps: row for row in rows if row.schedule == "stream" and row.variant == "shift"}
    assert "membrane" in stream[1024].note and stream[1024].accuracy is None
    assert stream[1].accuracy is not None and stream[2].accuracy is not None and not stream[1].note
    monkeypatch.setattr(ir, "MEMBRANE_LIMIT_BITS", 10)  # nothing fits
    options["time_steps"] = (1, 2)
    assert all(row.accuracy is None for row in survey_of(tmp_path / "y.csv", dataset=wide, **options).run())
    monkeypatch.undo()
    assert all(row.accuracy is not None for row in survey_of(tmp_path / "y.csv", dataset=wide, **options).run())


def test_formats_are_one_whatever_their_spelling(tmp_path):
    assert survey_of(tmp_path / "x.csv", formats=("8", "08", " 8", "float")).formats == ("8", "float")


def test_equal_networks_run_once(tmp_path, monkeypatch):
    run, count = golden.anytime, []
    monkeypatch.setattr(golden, "anytime", lambda *a, **k: count.append(1) or run(*a, **k))
    rows = survey_of(tmp_path / "x.csv", methods=("fast_snn", "ca_lif"), formats=("8",)).run()
    assert len(count) == 1 and len(rows) == 6
    assert [row.accuracy for row in rows[:3]] == [row.accuracy for row in rows[3:]]


def test_tables(tmp_path):
    rows = survey_of(tmp_path / "x.csv", formats=("8",)).run()
    rows = [replace(row, accuracy=float(10 * row.time_steps + len(row.schedule))) for row in rows[:6]]
    rows[1] = replace(rows[1], accuracy=None, note="none")
    write_rows(rows, tmp_path / "y.csv")
    assert read_rows(tmp_path / "y.csv") == rows
    assert [row.time_steps for row in best_rows(rows, "8")] == [1, 2, 4]
    text = markdown(rows, "8").splitlines()
    assert text[0] == "| setting | T = 1 | 2 | 4 |" and text[1] == "|---|---|---|---|"
    assert text[2] == "| optimal, two_phase, shift | **19.00** | – | **49.00** |"
    assert best_rows(rows, "4") == []


def test_verb(tmp_path, capsys):
    command = f"survey bundled -m qcfs -T 1,2 --formats float,8 --images 10 --calibration-images 10 -o {tmp_path}/x.csv"
    assert cli.run(command.split()) == 0
    text = capsys.readouterr().out
    assert "8-bit integers" in text and "qcfs, " in text and "16 rows; the source reaches" in text
    with (tmp_path / "x.csv").open() as file:
        assert {line["schedule"] for line in csv.DictReader(file)} == {"two_phase", "stream", "radix"}


KEPT = sorted((Path(__file__).parents[2] / "reports" / "conversion").glob("survey-*.csv"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_kept_tables_can_be_gone_on_with(path):
    """``make tables`` takes all images, and would refuse a file of fewer: such a file has their number in its name."""
    rows = read_rows(path)
    name, _, images = path.stem.removeprefix("survey-").partition("-first-")
    assert rows and {row.source for row in rows} == {name}
    whole = {"fashion-mnist": 10_000, "mnist-subset": 1_000}[rows[0].data]
    assert {row.images for row in rows} == {int(images) if images else whole}
