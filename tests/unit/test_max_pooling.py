"""Max pooling: why the OR of spike trains is exact, what converts and what is refused, and every reading of the integers."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sim import floating, golden, oracle
from tests.cosim.planted import faulty_sums
from tests.pooled_networks import integer_ann, of_torch, pooled_case, random_pooling
from tests.unit.test_architectures import Joined
from tests.unit.test_graph import INPUTS, PIXELS
from tests.unit.test_integers import make_layer, make_network
from toolchain.connection import Connection
from toolchain.convert import convert
from toolchain.convert.graph import read_module
from toolchain.convert.maxima import stacked
from toolchain.cycles import cycles
from toolchain.datasets import Dataset
from toolchain.density import source_macs
from toolchain.diagnose import diagnose
from toolchain.energy import Memory, estimate, layer_counts, observe
from toolchain.errors import InvalidValue, NetworkFileError, UnsupportedModule
from toolchain.geometry import dense_synapses
from toolchain.interchange import to_nir
from toolchain.ir import INPUT
from toolchain.netfile import load_network, save_network
from toolchain.nn import QCFS, StReLU
from toolchain.pooling import MaxPooling
from toolchain.quantize import quantize
from toolchain.survey import Survey

SEEDS = st.integers(0, 2**32 - 1)
SIDE_BY_SIDE = MaxPooling((2, 2), (2, 2))

# ---- why it is exact -------------------------------------------------------------------------


def fired(membrane, threshold, steps):
    """A neuron of ``two_phase`` by the design's own rule, firing after firing."""
    train = []
    for _ in range(steps):
        train.append(membrane >= threshold)
        membrane -= threshold * train[-1]
    return train


@given(
    st.lists(st.tuples(st.integers(-100, 400), st.integers(1, 60)), min_size=1, max_size=9),
    st.integers(1, 12),
)
def test_or_of_trains_is_the_train_of_the_largest_count(neurons, steps):
    trains = [fired(v, theta, steps) for v, theta in neurons]
    assert all(
        earlier >= later for train in trains for earlier, later in pairwise(train)
    )  # first all spikes, then none
    counts = [sum(train) for train in trains]
    assert counts == [min(max(v // theta, 0), steps) for v, theta in neurons]
    assert [any(step) for step in zip(*trains, strict=True)] == trains[int(np.argmax(counts))]


def test_elsewhere_it_is_not():
    """Spikes in turn: their OR fires in every step of ``stream``, and binary digits 01 and 10 of ``radix`` make 11."""
    assert sum(a or b for a, b in zip((1, 0, 1, 0), (0, 1, 0, 1), strict=True)) != max(2, 2)
    assert max(0b01, 0b10) != 0b01 | 0b10


# ---- windows ---------------------------------------------------------------------------------


@settings(deadline=None)
@given(SEEDS)
def test_windows_are_those_of_torch(seed):
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(3, 10)), int(rng.integers(3, 10)))
    pooling, x = random_pooling(rng, size), rng.integers(0, 9, (2, 3, *size))
    expected = of_torch(torch.tensor(x).float(), pooling).numpy()
    assert np.array_equal(pooling.of(x), expected)
    assert np.array_equal(pooling.of(x > 4), expected > 4)
    assert pooling.output(size) == expected.shape[2:] and pooling.reads(size) == expected[0, 0].size * pooling.taps
    rows, columns = (pooling.places(size, axis) for axis in (0, 1))
    by_place = [[x[:, :, ys][:, :, :, xs].max(axis=(2, 3), initial=0) for xs in columns] for ys in rows]
    assert np.array_equal(np.moveaxis(np.array(by_place), (0, 1), (2, 3)), expected)


@st.composite
def poolings(draw):
    """Arguments of two of torch's poolings in a row and of zeros between, for a frame that they fit."""
    size = draw(st.tuples(st.integers(5, 17), st.integers(5, 17)))

    def one():
        window = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
        stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
        padding = tuple(draw(st.integers(0, w // 2)) for w in window)
        return window, stride, padding, draw(st.booleans())

    pads = tuple(draw(st.tuples(st.integers(0, 2), st.integers(0, 2))) for _ in range(2))
    return size, one(), pads, one()


def torch_pooled(x, window, stride, padding, ceil):
    return F.max_pool2d(x, window, stride, padding, ceil_mode=ceil)


@settings(max_examples=300, deadline=None)
@given(poolings(), SEEDS)
def test_two_poolings_in_a_row_are_one_window_or_none(drawn, seed):
    size, first, pads, second = drawn
    x = torch.tensor(np.random.default_rng(seed).random((1, 1, *size)))
    one = torch_pooled(x, *first)
    below = stacked(size, None, ((0, 0), (0, 0)), *first)
    assert torch.equal(of_torch(x, below), one)
    around = F.pad(one, (*pads[1], *pads[0]))
    if min(a + 2 * p - w for a, p, w in zip(around.shape[2:], second[2], second[0], strict=True)) < 0:
        return
    both = torch_pooled(around, *second)
    found = stacked(size, below, pads, *second)
    if found is not None:
        assert torch.equal(of_torch(x, found), both)
    elif pads == ((0, 0), (0, 0)):  # refused for a reason: a gap between windows, or a place that only a rim has
        gaps = any(s > w for s, w in zip(first[1], first[0], strict=True))
        assert gaps or second[3] or any(second[2]) or any(first[2]) or first[3]


# ---- what converts ---------------------------------------------------------------------------

LEVELS = 8


class Pooled(nn.Module):
    """A convolution to 4 channels of 8 × 8, ``body`` (or an activation and the modules of it), and a head."""

    def __init__(self, body, act=lambda: QCFS(LEVELS, 1.5)):
        super().__init__()
        torch.manual_seed(11)
        if isinstance(body, nn.Module):
            self.chain, body = body, lambda m, x: m.chain(m.act(x))
        self.conv, self.other = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.act, self.norm, self.body = act(), nn.BatchNorm2d(4), body
        with torch.no_grad():
            self.conv.weight *= 4
            (
                self.norm.weight.uniform_(0.5, 2),
                self.norm.bias.uniform_(-0.5, 0.5),
                self.norm.running_mean.uniform_(-1, 1),
            )
            frames = torch.zeros(1, 1, 8, 8)
            features = body(self.eval(), self.conv(frames)).flatten(1).shape[1]
        self.head = nn.Linear(features, 5)

    def forward(self, x):
        return self.head(self.body(self, self.conv(x)).flatten(1))


CONVERTS = {
    # body, and the window of the layer behind the pooling
    "behind the activation": (lambda m, x: F.max_pool2d(m.act(x), 2), SIDE_BY_SIDE),
    "before the activation": (lambda m, x: m.act(F.max_pool2d(x, 2)), SIDE_BY_SIDE),
    "torch's own call": (lambda m, x: torch.max_pool2d(m.act(x), 2), SIDE_BY_SIDE),
    "before batch norm, Dropout and activation": (
        lambda m, x: m.act(F.dropout(m.norm(F.max_pool2d(x, 2)), training=m.training)), SIDE_BY_SIDE,
    ),
    "3 × 3, stride 2, padding 1": (
        lambda m, x: m.act(F.max_pool2d(x, 3, 2, 1)), MaxPooling((3, 3), (2, 2), (1, 1)),
    ),
    "3 × 3, stride 2": (nn.Sequential(nn.MaxPool2d(3, 2)), MaxPooling((3, 3), (2, 2))),
    "ceil mode": (nn.Sequential(nn.MaxPool2d(3, 2, ceil_mode=True)), MaxPooling((3, 3), (2, 2), padding_after=(1, 1))),
    "stride 1": (nn.Sequential(nn.MaxPool2d((2, 3), 1)), MaxPooling((2, 3), (1, 1))),
    "apart": (nn.Sequential(nn.MaxPool2d(2, 3)), MaxPooling((2, 2), (3, 3))),
    "twice, before the activation": (
        lambda m, x: m.act(F.max_pool2d(F.max_pool2d(x, 3, 2, 1), 2)), MaxPooling((5, 5), (4, 4), (1, 1)),
    ),
    "on both sides of the activation": (
        lambda m, x: F.max_pool2d(m.act(F.max_pool2d(x, 2)), 2), MaxPooling((4, 4), (4, 4)),
    ),
    "then average pooling": (nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(2)), SIDE_BY_SIDE),
    "then zeros and a convolution": (
        lambda m, x: m.act(m.other(F.pad(F.max_pool2d(m.act(x), 2), (1, 0, 0, 2)))), SIDE_BY_SIDE,
    ),
    "behind zeros": (lambda m, x: F.max_pool2d(F.pad(m.act(x), (1, 0, 1, 0)), 3), MaxPooling((3, 3), (3, 3), (1, 1))),
    "global": (nn.Sequential(nn.AdaptiveMaxPool2d(1)), MaxPooling((8, 8), (8, 8))),
    "to 2 × 4": (lambda m, x: F.adaptive_max_pool2d(m.act(x), (2, 4)), MaxPooling((4, 2), (4, 2))),
    "amax": (lambda m, x: m.act(x).amax((2, 3)), MaxPooling((8, 8), (8, 8))),
    "torch.amax": (lambda m, x: torch.amax(m.act(x), dim=(-1, -2), keepdim=True), MaxPooling((8, 8), (8, 8))),
}  # fmt: skip


@pytest.mark.parametrize(("body", "window"), CONVERTS.values(), ids=CONVERTS)
def test_qcfs_with_max_pooling_is_the_source_at_t_equal_l(body, window, tmp_path):
    module = Pooled(body).eval()
    with torch.no_grad():
        expected = module(INPUTS).numpy()
    network = convert(module, INPUTS, "qcfs", LEVELS)
    assert network.layers[1].connections[0].maximum == window
    # float32 may move a value that lies on a step; on these frames none does
    assert np.abs(floating.run(network, PIXELS) - expected).max() < 1e-5
    for kind in (network, quantize(network)):
        save_network(kind, tmp_path / "net.safetensors")
        read = load_network(tmp_path / "net.safetensors")
        assert read.fingerprint == kind.fingerprint and read.layers[1].connections[0].maximum == window
    fixed = quantize(network)
    exact = oracle.run(fixed, PIXELS[:1])
    assert np.array_equal(golden.run(fixed, PIXELS[:1]).scores, exact.scores) and exact.spikes[0].any()


@pytest.mark.parametrize("steps", [1, 4, LEVELS])
def test_integers_are_the_integer_ann_with_real_max_pooling(steps):
    module = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.MaxPool2d(3, 2, 1), QCFS(steps, 1.0),
        nn.Conv2d(6, 8, 3, padding=1), QCFS(steps, 1.0), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32, 5),
    ).eval()  # fmt: skip
    spiking = convert(module, INPUTS, "qcfs", steps)
    network = quantize(spiking, 8)
    frames = np.random.default_rng(3).integers(0, 256, (300, 1, 8, 8)).astype(np.uint8)
    trace = golden.run(network, frames, "counts")
    assert np.array_equal(trace.scores, integer_ann(network, frames))
    assert all(count.any() for count in trace.counts)
    # and in floating point the source itself
    with torch.no_grad():
        expected = module(torch.tensor(frames).float() / 255).numpy()
    assert np.median(np.abs(floating.run(spiking, frames) - expected)) < 1e-5


JOINS = {
    "one side pooled, the other with a stride": (lambda m, x: m.act(F.max_pool2d(m.b(x).relu(), 1) + m.project(x)), 8, 16),
    "pooled shortcut": (lambda m, x: m.act(m.b(x) + F.pad(F.max_pool2d(x, 2), (0, 0, 0, 0, 0, 4))), 8, 16),
    "both sides pooled": (lambda m, x: m.act(m.a(F.max_pool2d(x, 2)) + F.max_pool2d(x, 3, 2, 1)), 4, 16),
    "behind the addition": (lambda m, x: F.max_pool2d(m.act(m.a(x) + x), 2), 4, 16),
    "addition, then pooling, then activation": (lambda m, x: m.act(F.max_pool2d(m.a(x) + x, 2)), 4, 16),
    "pooled and not pooled from one layer": (lambda m, x: m.act(m.project(x) + m.b(F.max_pool2d(x, 3, 1, 1))), 8, 16),
}  # fmt: skip


@pytest.mark.parametrize(("body", "width", "places"), JOINS.values(), ids=JOINS)
def test_joins_of_pooled_spikes_convert(body, width, places):
    module = Joined(body, width, places).eval()
    with torch.no_grad():
        expected = module(INPUTS).numpy()
    network = convert(module, INPUTS, "optimal", 1000)
    assert any(c.maximum is not None for layer in network.layers for c in layer.connections)
    # 1,000 levels: off by up to one level in each layer (as in test_graph)
    assert np.abs(floating.run(network, PIXELS) - expected).max() < 0.01 * np.abs(expected).max()
    fixed = quantize(network.with_time_steps(3))
    trace, exact = golden.run(fixed, PIXELS[:1], "spikes"), oracle.run(fixed, PIXELS[:1])
    assert np.array_equal(trace.scores, exact.scores) and trace.activity == exact.activity


def test_series_with_max_pooling_convert():
    torch.manual_seed(4)
    module = nn.Sequential(
        nn.Conv1d(2, 6, 5), nn.MaxPool1d(3, 2, 1), QCFS(4, 1.0), nn.AdaptiveMaxPool1d(3), nn.Flatten(), nn.Linear(18, 4)
    ).eval()
    frames = np.random.default_rng(1).integers(0, 256, (20, 2, 1, 28)).astype(np.uint8)
    inputs = torch.tensor(frames[:, :, 0]).float() / 255
    network = convert(module, inputs, "qcfs", 4)
    assert network.layers[1].connections[0].maximum == MaxPooling((1, 9), (1, 8), (0, 1))
    with torch.no_grad():
        assert np.abs(floating.run(network, frames) - module(inputs).numpy()).max() < 1e-5


REFUSED = {
    "dilation": (lambda m, x: F.max_pool2d(m.act(x), 2, dilation=2), "^MaxPool2d 'max_pool2d': dilation 2, .*windows without gaps"),
    "dilation of a module": (nn.Sequential(nn.MaxPool2d(2, dilation=3)), r"^MaxPool2d 'chain\.0': dilation 3"),
    "means": (lambda m, x: F.max_pool2d(F.avg_pool2d(m.act(x), 2), 2), "^MaxPool2d 'max_pool2d': it reads 'avg_pool2d', a mean of spikes"),
    "slice": (lambda m, x: F.max_pool2d(m.act(x)[:, :, ::2, ::2], 2), "^MaxPool2d 'max_pool2d': it reads 'getitem', a slice"),
    "a Flatten before the activation": (
        lambda m, x: m.act(F.max_pool2d(x, 2).flatten(1)), "^MaxPool2d 'max_pool2d': it pools 'conv', .*a flattening",
    ),
    "no activation": (lambda m, x: F.max_pool2d(x, 8), "^MaxPool2d 'max_pool2d': it pools 'conv', and no activation follows behind"),
    "amax before the activation": (lambda m, x: m.act(x.amax((2, 3))), "^amax 'amax': it pools 'conv', and no activation follows"),
    "amax over rows": (lambda m, x: m.act(x).amax(2), r"^amax 'amax': over axes 2; take the amax over all axes .*: amax\(\(2, 3\)\)"),
    "adaptive to no divisor": (lambda m, x: F.adaptive_max_pool2d(m.act(x), 3), r"adaptive_max_pool2d .*3 places of \(8, 8\) need windows"),
    "gaps": (lambda m, x: F.max_pool2d(F.max_pool2d(m.act(x), 1, 2), 2), "it reads places that no single window covers; use one max"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "message"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_exact_maximum_is_refused_by_name(body, message):
    with pytest.raises(UnsupportedModule, match=message) as refusal:
        convert(Pooled(body), INPUTS, "qcfs", 4)
    assert "\n" not in str(refusal.value)


def test_a_falling_batch_norm_keeps_the_pooling_before_it():
    module = Pooled(lambda m, x: m.act(m.norm(F.max_pool2d(x, 2))))
    with torch.no_grad():
        module.norm.weight[2] = -0.5
    with pytest.raises(
        UnsupportedModule, match=r"^MaxPool2d 'max_pool2d': it pools 'conv', .*batch norm with a negative"
    ):
        convert(module, INPUTS, "qcfs", 4)


def test_pooling_the_frame_is_refused():
    module = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(
        UnsupportedModule, match=r"^MaxPool2d '0': it reads the input frame, .*; pool the images before"
    ):
        convert(module, INPUTS, "optimal", 4)
    module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(1))
    with pytest.raises(UnsupportedModule, match=r"^the network ends with max pooling"):
        convert(module, INPUTS, "optimal", 4)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("optimal", {"schedule": "stream"}),
        ("optimal", {"schedule": "radix"}),
        ("optimal", {"schedule": "stream", "negative": "correcting"}),
        ("rmp", {}),
        ("tsc", {}),
    ],
)
def test_other_schedules_are_refused_with_both_ways_out(method, options):
    module = Pooled(lambda m, x: F.max_pool2d(m.act(x), 2), nn.ReLU)
    with pytest.raises(
        UnsupportedModule, match=r"^MaxPool2d 'max_pool2d': in schedule .* two_phase .*replace_max_pooling"
    ):
        convert(module, INPUTS, method, 4, **options)


def test_negative_spikes_are_refused():
    module = Pooled(lambda m, x: F.max_pool2d(m.act(x), 2), lambda: StReLU(1.0))
    with pytest.raises(UnsupportedModule, match="in schedule two_phase with negative spikes symmetric a maximum"):
        convert(module, INPUTS, "strelu", 4)


def test_networks_with_max_pooling_elsewhere_are_refused():
    network, _ = pooled_case(0)
    for members in ({"schedule": "stream"}, {"schedule": "radix"}, {"negative": "symmetric"}, {"negative": "floor"}):
        with pytest.raises(
            InvalidValue, match="layer second reads spikes through max pooling, which is exact in schedule"
        ):
            replace(network, input="direct", **members)
    first = network.layers[0]
    pooled = replace(first.connections[0], maximum=MaxPooling((1, 1), (1, 1)))
    with pytest.raises(InvalidValue, match="layer first reads the input frame through max pooling: not supported"):
        replace(network, layers=(replace(first, connections=(pooled,)), *network.layers[1:]))
    with pytest.raises(InvalidValue, match=r"max pooling window is \(0, 2\), must be two whole numbers of 1 to 1024"):
        MaxPooling((0, 2), (1, 1))
    with pytest.raises(InvalidValue, match=r"source \(1, 2, 2\) is smaller than the window \(3, 3\) of its max"):
        Connection(0, np.ones((1, 1, 1, 1), np.int32), maximum=MaxPooling((3, 3), (1, 1))).output((1, 2, 2))


def test_a_file_with_another_window_is_refused(tmp_path):
    network, _ = pooled_case(1)
    path = tmp_path / "net.safetensors"
    save_network(network, path)
    raw = path.read_bytes()
    assert raw.count(rb"\"maximum\": {") >= 1
    place = raw.index(rb"\"window\": [", raw.index(rb"\"maximum\": {")) + len(rb"\"window\": [")
    path.write_bytes(raw[:place] + b"9" + raw[place + 1 :])
    with pytest.raises(NetworkFileError, match="was edited"):
        load_network(path)


# ---- every reading of the integers -----------------------------------------------------------


@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_golden_model_equals_oracle(seed, groups):
    network, frames = pooled_case(seed, groups=groups)
    trace, exact = golden.run(network, frames, "spikes"), oracle.run(network, frames)
    assert np.array_equal(trace.scores, exact.scores) and trace.activity == exact.activity
    for found, expected in ((trace.spikes, exact.spikes), (trace.membranes, exact.membranes)):
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    if (network.compare, network.input) == ("ge", "direct"):
        assert np.array_equal(trace.scores, integer_ann(network, frames))


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_membranes_stay_in_the_proven_range(seed):
    network, frames = pooled_case(seed)
    trace = golden.run(network, frames, "spikes")
    for found, proven in zip(trace.membranes, network.ranges, strict=True):
        assert proven.low <= found.min() and found.max() <= proven.high


FAULTS = {
    "window one short": (("unfold(2, pooling.window[1], ", "unfold(2, max(1, pooling.window[1] - 1), "), ("assert windows", "assert True or windows")),
    "least instead of largest": (("windows.amax(", "windows.amin("),),
    "wrong row stride": (("pooling.window[0], pooling.stride[0])", "pooling.window[0], pooling.stride[1])"), ("assert windows", "assert True or windows")),
    "events before the pooling": (("maximum(counts, self.connection.maximum).sum", "counts.sum"),),
    "padding on the other side": (("F.pad(x, (0, 0, left, right, top, bottom))\n    windows", "F.pad(x, (0, 0, right, left, bottom, top))\n    windows"),),
}  # fmt: skip


def agrees(model, network, frames, exact):
    try:
        trace = model.run(network, frames, "spikes")
    except RuntimeError:  # shapes that do not fit
        return False
    same = all(np.array_equal(a, b) for a, b in zip(trace.spikes, exact.spikes, strict=True))
    return same and np.array_equal(trace.scores, exact.scores) and trace.activity == exact.activity


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_in_the_golden_model_are_caught(fault):
    faulty = faulty_sums(FAULTS[fault])
    cases = [pooled_case(seed) for seed in (2, 5, 6)]
    exact = [oracle.run(*case) for case in cases]
    assert all(agrees(golden, *case, e) for case, e in zip(cases, exact, strict=True))
    assert not all(agrees(faulty, *case, e) for case, e in zip(cases, exact, strict=True))


# ---- costs -----------------------------------------------------------------------------------


def by_hand():
    """A row of 4 neurons that fire 3, 0, 1 and 2 spikes at T = 3; a class that reads windows of 2, a padded one first."""
    first = make_layer(INPUT, [[[[1]]]], [10], [0])
    pooling = MaxPooling((1, 2), (1, 2), (0, 1))
    readout = make_layer(0, [[[[1, 10]]]], None, [0], kind="linear", maximum=pooling)
    return make_network("two_phase", 3, (1, 1, 4), first, readout), np.array([90, 5, 19, 20], np.uint8).reshape(
        1, 1, 1, 4
    )


def test_events_and_costs_by_hand():
    network, frame = by_hand()
    trace = golden.run(network, frame, "spikes")
    # windows (padding, 3) and (0, 1); the last neuron is a dropped rim
    assert trace.counts[0].ravel().tolist() == [3, 0, 1, 2] and trace.scores.tolist() == [[3 + 10]]
    assert (trace.activity.events[0].tolist(), trace.activity.operations[0].tolist()) == ([4, 4], [4, 4])
    counts = layer_counts(network, observe(network, frame, trace))
    assert [c.ors for c in counts] == [0, 3 * 2]
    assert counts[1].spikes_in.tolist() == [4] and counts[1].synapses == 2 == counts[1].inputs
    assert counts[1].mac_nonzero.tolist() == [2]
    # 4 words a step are read: two windows of two
    report = estimate(network, observe(network, frame, trace), memory=Memory(events="bitmap"))
    assert report.layers[1].bits["event_driven"].events.tolist() == [3 * 4]
    assert report.layers[1].numbers["ors"].tolist() == [6] and report.total.numbers["ors"].tolist() == [6]
    assert any("max pooling" in text for text in report.warnings)
    add = report.profile.add(1)
    plain = estimate(network, trace.activity)
    assert plain.layers[1].parts["stationary"]["neuron"].tolist() == [6 * add]
    # 12 words; the last that makes an event is the 8th: it leaves in cycle 12, is taken in 17 and written in 23
    assert cycles(network, frame, trace, 1).scan[0, 1] == 5 + 7 + 5 + 1 + 5
    assert dense_synapses(network.layers[1].connections[0], (1, 1, 4)) == 2


def test_networks_without_max_pooling_say_nothing_of_it():
    network = make_network(
        "two_phase", 3, (1, 1, 1), make_layer(INPUT, [[1]], [1], [0]), make_layer(0, [[1]], None, [0])
    )
    frame = np.ones((1, 1, 1, 1), np.uint8)
    report = estimate(network, golden.run(network, frame).activity)
    assert "ors" not in report.total.numbers and not any("max" in text for text in report.warnings)
    assert "maximum" not in str(network.header())


def test_diagnose_density_and_survey_take_it(tmp_path):
    module = Pooled(lambda m, x: m.act(m.other(F.max_pool2d(m.act(x), 3, 2, 1)))).eval()
    spiking = convert(module, INPUTS, "qcfs", LEVELS)
    labels = module(INPUTS).argmax(dim=1).numpy()
    found = diagnose(module, spiking, PIXELS, labels)
    assert found.accuracy_spiking == 100 and len(found.layers) == 3
    # L = T: no layer adds quantization error of its own
    assert all(abs(layer.own_contributions["quantization"]) < 1e-6 for layer in found.layers[:-1])
    macs = source_macs(module, spiking, PIXELS)
    pooled = read_module(module, (1, 8, 8))
    assert pooled.maxima == ["MaxPool2d 'max_pool2d'"] and macs.shape == (40, 3)
    with torch.no_grad():
        peaks = F.max_pool2d(module.act(module.conv(INPUTS)), 3, 2, 1).numpy()
    rows = np.array([2, 3, 3, 2])
    assert macs[:, 1].tolist() == ((peaks > 0) * np.multiply.outer(rows, rows) * 4).sum(axis=(1, 2, 3)).tolist()
    data = Dataset("made", PIXELS, labels)
    options = {"data": "made", "time_steps": [LEVELS], "formats": ["float"]}
    chosen = Survey(module, "pooled", data, INPUTS, tmp_path / "s.csv", **options)
    assert {(s.schedule, s.negative) for s in chosen.settings} == {("two_phase", "none")}
    assert max(row.accuracy for row in chosen.run()) == 100
    with pytest.raises(InvalidValue, match=r"^the source has MaxPool2d 'max_pool2d', which needs schedule two_phase"):
        Survey(module, "pooled", data, INPUTS, tmp_path / "t.csv", methods=["rmp"], **options)


def test_nir_has_no_words_for_it():
    spiking = convert(Pooled(lambda m, x: F.max_pool2d(m.act(x), 2)), INPUTS, "qcfs", 4)
    with pytest.raises(InvalidValue, match=r"^layer head reads spikes through max pooling, which NIR has no words for"):
        to_nir(spiking)
