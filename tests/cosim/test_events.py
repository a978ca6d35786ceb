"""The whole way of an event camera: recordings, binning, a source of shares, conversion, integers, hardware."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sim import floating, golden, oracle, runner
from tests.saccades import EVENT, SIDE, record
from toolchain import datasets
from toolchain.convert import convert
from toolchain.emit import emit
from toolchain.energy import load_profile
from toolchain.energy.memory import snn_capacities
from toolchain.events import Binning, Job, Window, find_recordings, open_recording, write_samples
from toolchain.flow import fixed_energy
from toolchain.nn import QCFS
from toolchain.quantize import quantize
from toolchain.train import accuracy, calibration, pixels_to_input

STEPS = 4


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Twelve of scikit-learn's digits under simulated saccades, in T = 4 steps on 17 × 17 places of two polarities."""
    folder = tmp_path_factory.mktemp("recordings")
    digits = datasets.load("digits")
    for number, (frame, label) in enumerate(zip(digits.frames[:12], digits.labels[:12], strict=True)):
        (folder / str(label)).mkdir(exist_ok=True)
        image = frame[0].repeat(3, 0).repeat(3, 1)
        np.save(folder / str(label) / f"{number}.npy", record(image, np.random.default_rng(number)))
    found, _ = find_recordings([folder])
    jobs = [Job(open_recording(one.path, (SIDE, SIDE)), (Window(0, 300_000, one.label),)) for one in found]
    written = write_samples(jobs, Binning(STEPS, pool=2), folder / "x.npz", {})
    assert written.shape == (12, STEPS, 2, 17, 17) and written.account.merged > 0 and not written.empty
    return datasets.load(str(folder / "x.npz"))


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), QCFS(STEPS), nn.AvgPool2d(2),
        nn.Conv2d(4, 5, 3, stride=2), QCFS(STEPS), nn.Flatten(), nn.Linear(45, 10),
    )  # fmt: skip
    for layer in net:
        if isinstance(layer, QCFS):
            layer.threshold.data.fill_(0.7)
    return net.eval()


def test_recordings_are_synthetic_but_plausible():
    events = record(np.kron(np.eye(4), np.ones((7, 7))).astype(np.uint8) * 255, np.random.default_rng(3))
    assert events.dtype == EVENT and (np.diff(events["t"]) >= 0).all() and events["t"].max() < 300_000
    assert events["x"].max() < SIDE and events["y"].max() < SIDE and set(events["p"]) == {0, 1}
    assert np.array_equal(
        events, record(np.kron(np.eye(4), np.ones((7, 7))).astype(np.uint8) * 255, np.random.default_rng(3))
    )
    # one event for each rise has one for the fall as the edge moves on: about as many of both
    assert 0.5 < events["p"].mean() / (1 - events["p"].mean()) < 2


def test_two_phase_is_the_source_on_shares(dataset, module):
    """The drive of the first layer is the sum of its spikes, exactly: float equals the source, integers their closed form."""
    spiking = convert(module, calibration(dataset, 12), "qcfs", STEPS, input="spikes")
    scores = module(pixels_to_input(torch.tensor(dataset.frames))).detach().numpy()
    assert np.allclose(floating.run(spiking, dataset.frames), scores, atol=1e-4)
    assert floating.accuracy(spiking, dataset.frames, dataset.labels) == accuracy(module, dataset)
    network = quantize(spiking, 8)
    trace = golden.run(network, dataset.frames, "spikes")
    first = network.layers[0]
    counts = torch.tensor(dataset.frames.sum(axis=1), dtype=torch.float64)
    membrane = F.conv2d(counts, torch.tensor(first.connections[0].weight).double(), padding=1).numpy()
    membrane = membrane.astype(np.int64) + first.offset[:, None, None]
    fired = np.clip(membrane // first.threshold[:, None, None], 0, STEPS)
    assert np.array_equal(trace.spikes[0].sum(axis=1, dtype=np.int64), fired) and fired.any()


def test_energy_counts_the_first_layer_as_synaptic_operations(dataset, module):
    network = quantize(convert(module, calibration(dataset, 12), "qcfs", STEPS, input="spikes"), 8)
    (report,) = fixed_energy(network, dataset, profiles=[load_profile("45nm-int")])
    first = report.layers[0]
    assert first.counts is not None and first.counts.input_kind == "spikes"
    # each spike reaches 4 channels at every tap of 3 × 3 that lies within the frame
    taps = np.full((17, 17), 9)
    taps[[0, -1]] -= 3
    taps[:, [0, -1]] -= 3
    taps[[0, 0, -1, -1], [0, -1, 0, -1]] += 1
    assert np.array_equal(first.numbers["sop_executed"], (dataset.frames.sum(axis=(1, 2)) * 4 * taps).sum(axis=(1, 2)))
    for policy in first.parts.values():
        assert not policy["input"].any() and policy["sop"].all()
    places = 17 * 17
    assert snn_capacities(network)[2] == STEPS * (2 * places + 4 * places)  # its input and what it fires, a bit each


@pytest.mark.usefixtures("fast_compile")
@pytest.mark.parametrize("schedule", ["two_phase", "stream"])
def test_hardware(dataset, module, tmp_path, schedule, monkeypatch):
    network = quantize(convert(module, calibration(dataset, 12), "qcfs", STEPS, schedule=schedule, input="spikes"), 8)
    frames = dataset.frames[:3]
    trace, exact = golden.run(network, frames, "spikes"), oracle.run(network, frames)
    assert np.array_equal(trace.scores, exact.scores) and trace.activity == exact.activity
    assert all(np.array_equal(a, b) for a, b in zip(trace.spikes, exact.spikes, strict=True))
    assert all(train.any() and not train.all() for train in trace.spikes)
    bundle = emit(network, tmp_path, lanes=4)
    result = runner.verify(bundle, network, frames, stall=0.2)
    assert result.passed, result.differences
    if schedule == "stream":
        return
    # a fault in what is sent: the two polarities in each other's place
    send = runner.input_packet
    monkeypatch.setattr(
        runner, "input_packet", lambda frame, program: send(np.ascontiguousarray(frame[:, ::-1]), program)
    )
    assert not runner.verify(bundle, network, frames).passed


def test_the_order_of_time_counts_in_stream_only(dataset, module):
    for schedule, same in (("two_phase", True), ("stream", False)):
        network = quantize(
            convert(module, calibration(dataset, 12), "qcfs", STEPS, schedule=schedule, input="spikes"), 8
        )
        backwards = np.ascontiguousarray(dataset.frames[:, ::-1])
        found = golden.run(network, dataset.frames).scores, golden.run(network, backwards).scores
        assert np.array_equal(*found) is same
    assert replace(network, time_steps=8).frame_shape == (8, 2, 17, 17)
