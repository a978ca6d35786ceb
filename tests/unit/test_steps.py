"""The smallest T for a loss, and early exit, against their definitions."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sim import floating, golden
from tests.unit.test_survey import images, source
from toolchain import cli, netfile
from toolchain.connection import Connection
from toolchain.convert import convert
from toolchain.datasets import Dataset
from toolchain.early_exit import Exit, early_exits, verdict
from toolchain.errors import InvalidValue
from toolchain.ir import INPUT, SpikingLayer, SpikingNetwork
from toolchain.quantize import quantize, score_scale
from toolchain.steps import fewest_steps
from toolchain.train import pixels_to_input

DATASET = images(60)


def network_of(schedule, method="optimal", steps=4):
    module = source(torch.nn.ReLU)
    return convert(module, pixels_to_input(torch.tensor(DATASET.frames)), method, steps, schedule=schedule)


@pytest.fixture
def labelled():
    """The images with what the source says as their labels, so that it is always right."""
    with torch.inference_mode():
        labels = source(torch.nn.ReLU)(pixels_to_input(torch.tensor(DATASET.frames))).argmax(dim=1).numpy()
    return replace(DATASET, labels=labels)


@pytest.mark.parametrize("schedule", ["stream", "two_phase", "radix"])
@pytest.mark.parametrize("target", [5, 15, 30])
def test_the_smallest_t_is_chosen(labelled, schedule, target):
    network = network_of(schedule)
    losses = {}
    for steps in range(1, 11 if schedule == "radix" else 65):
        trace = golden.run(quantize(network.with_time_steps(steps)), labelled.frames)
        losses[steps] = 100 - 100 * (trace.predictions == labelled.labels).mean()
    first = min(steps for steps, loss in losses.items() if loss <= target)
    moved = []
    found, tried = fewest_steps(network, labelled, 100.0, target_loss=target, progress=moved.append)
    assert found.time_steps == first and found.fingerprint == network.with_time_steps(first).fingerprint
    assert [(one.time_steps, one.loss) for one in tried] == [
        (steps, pytest.approx(losses[steps])) for steps in range(1, first + 1)
    ]
    assert found.provenance["loss"] == tried[-1].loss and found.provenance["target_loss"] == target
    assert first > 1 and sum(moved) < first


def test_a_method_for_one_t_is_converted_for_each(labelled):
    asked = []

    def again(steps):
        asked.append(steps)
        return network_of("stream", "calibration", steps)

    found, tried = fewest_steps(network_of("stream"), labelled, 100.0, target_loss=20, again=again)
    assert asked == [one.time_steps for one in tried] == list(range(1, found.time_steps + 1))
    assert found.provenance["calibrated_for"] == found.time_steps


def test_no_t_is_one_clear_error(labelled):
    with pytest.raises(InvalidValue, match=r"no T up to 2 loses at most -1 points with 8-bit .* T = \d; allow more"):
        fewest_steps(network_of("stream"), labelled, 100.0, target_loss=-1, most_steps=2)
    switched = replace(network_of("two_phase"), schedule="switched")
    with pytest.raises(InvalidValue, match="schedule switched exists in floating point only"):
        fewest_steps(switched, labelled, 100.0, target_loss=1, most_steps=2)


@pytest.mark.parametrize("schedule", ["stream", "two_phase", "radix"])
def test_unit_puts_scores_of_every_t_on_the_scale_of_the_source(schedule):
    network = network_of(schedule)
    for steps in (2, 9):
        each = network.with_time_steps(steps)
        scores = golden.run(quantize(each, 16), DATASET.frames).scores * score_scale(each, 16)
        assert scores == pytest.approx(floating.run(each, DATASET.frames), abs=0.02)


@pytest.mark.parametrize("schedule", ["stream", "two_phase"])
def test_cascade_is_the_literal_one(schedule):
    network, steps, margin = network_of(schedule), (2, 4, 8), 0.8
    exits = early_exits(network, DATASET, steps, margins=(0.0, margin, 1e9))
    fixed = {e.time_steps: e for e in exits if e.margin is None}
    traces = [golden.run(quantize(network.with_time_steps(t)), DATASET.frames) for t in steps]
    right = spent = sops = 0
    for image in range(len(DATASET.frames)):
        for index, (t, trace) in enumerate(zip(steps, traces, strict=True)):
            scores = np.sort(trace.scores[image])
            lead = (scores[-1] - scores[-2]) * score_scale(network.with_time_steps(t))[0]
            spent += t if schedule == "two_phase" else t - ((0, *steps)[index])
            before = traces[index - 1].activity.operations[image, 1:].sum() if index and schedule == "stream" else 0
            sops += trace.activity.operations[image, 1:].sum() - before
            if lead > margin or t == steps[-1]:
                right += trace.predictions[image] == DATASET.labels[image]
                break
    found = next(e for e in exits if e.margin == margin)
    assert all(0 < share < 1 for share in found.shares) and sum(found.shares) == pytest.approx(1)
    assert found.accuracy == pytest.approx(100 * right / 60)
    assert found.mean_steps == pytest.approx(spent / 60) and found.mean_sop == pytest.approx(sops / 60)
    never = exits[-1]
    assert never.accuracy == fixed[8].accuracy
    assert never.mean_steps == (8 if schedule == "stream" else 14)
    for t, trace in zip(steps, traces, strict=True):
        assert fixed[t].accuracy == pytest.approx(100 * (trace.predictions == DATASET.labels).mean())
        assert fixed[t].mean_sop == pytest.approx(trace.activity.operations[:, 1:].sum() / 60)
        assert fixed[t].mean_spikes == pytest.approx(trace.activity.spikes.sum() / 60)


def test_one_class_has_no_lead():
    readout = SpikingLayer(
        "", (Connection(INPUT, np.ones((1, 4, 1, 1)), kind="linear"),), None, np.zeros(1), np.zeros(1)
    )
    network = SpikingNetwork("one", (4, 1, 1), "two_phase", 2, (readout,))
    data = Dataset("made", np.zeros((2, 4, 1, 1), np.uint8), np.zeros(2, int))
    with pytest.raises(InvalidValue, match="1 class"):
        early_exits(network, data, (1, 2))


def test_verdict_says_plainly():
    def row(margin, steps, share, sop):
        return Exit(margin, steps, share, float(steps), sop, 0.0, ())

    fixed = [row(None, 2, 90.0, 10.0), row(None, 4, 92.0, 20.0), row(None, 8, 93.0, 40.0), row(None, 16, 91.5, 80.0)]
    lines = verdict([*fixed, row(1.0, 16, 91.8, 15.0), row(2.0, 16, 92.0, 24.0), row(None, 32, 91.7, 90.0)])
    assert lines == [
        "against T = 4 it does not pay: margin 2 reaches the 92.00 % of T = 4 with 20.0 % more",
        "against T = 8 it does not pay: no margin reaches the 93.00 % of T = 8",
        "against T = 16 it pays: margin 1 reaches the 91.50 % of T = 16 with 81.2 % fewer synaptic operations",
        "against T = 32 it pays: margin 1 reaches the 91.70 % of T = 32 with 83.3 % fewer synaptic operations",
    ]
    lines = verdict([*fixed, row(2.0, 16, 92.0, 24.0)])
    assert lines[2] == "against T = 16 it does not pay: T = 4 alone reaches its 91.50 % with fewer synaptic operations"


def test_verbs(tmp_path, capsys):
    path = tmp_path / "x.safetensors"
    command = f"convert bundled --schedule stream --images 50 --target-loss 3 --most-steps 8 -o {path}"
    assert cli.run(command.split()) == 0
    assert "Integers at each T" in capsys.readouterr().out
    network = netfile.load_spiking(path)
    assert network.provenance["target_loss"] == 3 and network.provenance["loss"] <= 3
    assert cli.run(f"early-exit {path} -T 1,2 --margins 1 --images 20 --csv {tmp_path}/x.csv".split()) == 0
    assert "gainst T = 2 it" in capsys.readouterr().out
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 4
