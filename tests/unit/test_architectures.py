"""Joins, groups, dilations, lopsided padding, one dimension: each case converts to the source's own numbers, and keeps its weights."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sim import floating, golden, oracle
from tests.unit.test_graph import INPUTS, PIXELS, assert_converts
from toolchain import zoo
from toolchain.convert import convert, replace_max_pooling
from toolchain.density import source_macs
from toolchain.diagnose.source import SourceRun, pair
from toolchain.energy import layer_counts, observe
from toolchain.errors import UnsupportedModule
from toolchain.netfile import load_network, save_network
from toolchain.nn import QCFS
from toolchain.quantize import quantize
from toolchain.train import pixels_to_input


class Joined(nn.Module):
    """A stem, whatever ``body`` makes of it with the convolutions ``a`` and ``b`` (stride 2), and a head."""

    def __init__(self, body, width=4, places=64, activation=nn.ReLU):
        super().__init__()
        torch.manual_seed(5)
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), activation())
        self.a, self.b = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.norm, self.act, self.project = nn.BatchNorm2d(8), activation(), nn.Conv2d(4, 8, 1, stride=2)
        self.body, self.head = body, nn.Linear(width * places, 5)
        with torch.no_grad():
            self.norm.weight.uniform_(-1, 1), self.norm.bias.uniform_(-1, 1)
            self.norm.running_mean.uniform_(-1, 1), self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        return self.head(self.body(self, self.stem(x)).flatten(1))


def in_place(m, x):
    identity = x
    out = m.a(x)
    out += identity
    return F.relu(out, inplace=True)


def both_sides_fire(m, x):
    y = F.relu(m.a(x))
    y += F.relu(m.a(y))
    return y.relu()


def option_a(before, after):
    """The shortcut of He et al.'s option A: every second place, channels of zeros."""
    return lambda m, x: m.act(m.b(x) + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, before, after)))


def pooled_shortcut(m, x):
    return m.act(m.b(x) + F.pad(F.avg_pool2d(x, 2), (0, 0, 0, 0, 0, 4), "constant", 0))


def two_blocks(m, x):
    y = m.act(m.a(x) + x)
    return m.act(m.b(y) + m.project(y))


JOINS = {
    # body, channels, places
    "identity": (lambda m, x: m.act(m.a(x) + x), 4, 64),
    "identity first": (lambda m, x: m.act(x + m.a(x)), 4, 64),
    "in place": (in_place, 4, 64),
    "torch.add": (lambda m, x: m.act(torch.add(m.a(x), x)), 4, 64),
    "method": (lambda m, x: m.act(m.a(x).add(x)), 4, 64),
    "two spiking branches": (both_sides_fire, 4, 64),
    "a layer added to itself": (lambda m, x: m.act(x + x), 4, 64),
    "three branches": (lambda m, x: m.act(m.a(x) + m.a(m.a(x).relu()) + x), 4, 64),
    "projection": (lambda m, x: m.act(m.b(x) + m.project(x)), 8, 16),
    "projection with batch norm": (lambda m, x: m.act(m.b(x) + m.norm(m.project(x))), 8, 16),
    "batch norm behind the addition": (lambda m, x: m.act(m.norm(m.b(x) + m.project(x))), 8, 16),
    "option A, both sides": (option_a(2, 2), 8, 16),
    "option A, behind": (option_a(0, 4), 8, 16),
    "average pooling and zero channels": (pooled_shortcut, 8, 16),
    "projection of pooled spikes": (lambda m, x: m.act(m.b(x) + m.project(F.avg_pool2d(x, 1))), 8, 16),
    "an addition behind an addition": (lambda m, x: m.act(m.a(y := m.act(m.a(x) + x)) + y), 4, 64),
    "pooled behind the join": (lambda m, x: F.avg_pool2d(m.act(m.a(x) + x), 2), 4, 16),
    "global average pooling": (lambda m, x: F.adaptive_avg_pool2d(m.act(m.a(x) + x), 1), 4, 1),
    "mean over places": (lambda m, x: m.act(m.a(x) + x).mean((2, 3)), 4, 1),
    "mean from the end": (lambda m, x: m.act(m.a(x) + x).mean(dim=[-1, -2], keepdim=True), 4, 1),
    "average pooling to 2 × 4": (lambda m, x: F.adaptive_avg_pool2d(m.act(m.a(x) + x), (2, 4)), 4, 8),
}  # fmt: skip


@pytest.mark.parametrize(("body", "width", "places"), JOINS.values(), ids=JOINS)
def test_joins_convert(body, width, places):
    assert_converts(Joined(body, width, places))


def test_shortcuts_are_connections_of_their_own():
    network = convert(Joined(lambda m, x: m.act(m.a(x) + x)), INPUTS, "optimal", 4)
    body, shortcut = network.layers[1].connections
    assert (body.kind, body.source, body.groups) == ("conv2d", 0, 1)
    assert (shortcut.kind, shortcut.source, shortcut.groups, shortcut.weight.tolist()) == (
        "identity", 0, 4, [[[[1.0]]]] * 4,
    )  # fmt: skip
    # one spike of a source channel is worth its λ, on the scale of the channel that it enters
    fixed = quantize(network, 8)
    scales = network.layers[1].threshold / fixed.layers[1].threshold
    for integer, scale in zip(fixed.layers[1].connections[1].weight.ravel(), scales, strict=True):
        assert integer == pytest.approx(network.layers[0].threshold[0] / 1 / scale, rel=0.02)


@pytest.mark.parametrize(("before", "after", "groups"), [(2, 2, 2), (0, 4, 1), (4, 0, 1)])
def test_shortcuts_with_zero_channels_store_blocks_of_a_diagonal(before, after, groups):
    network = convert(Joined(option_a(before, after), 8, 16), INPUTS, "optimal", 4)
    shortcut = network.layers[1].connections[1]
    assert (shortcut.kind, shortcut.stride, shortcut.groups) == ("identity", (2, 2), groups)
    assert shortcut.weight.shape == (8, 4 // groups, 1, 1) and (shortcut.weight != 0).sum() == 4


CONVOLUTIONS = {
    "groups": nn.Conv2d(4, 6, 3, groups=2, padding=1),
    "depthwise": nn.Conv2d(4, 4, 3, groups=4, padding=1),
    "depthwise with stride": nn.Conv2d(4, 4, 3, groups=4, padding=1, stride=2),
    "channel multiplier": nn.Conv2d(4, 12, (3, 2), groups=4),
    "dilation": nn.Conv2d(4, 5, 3, dilation=2, padding=2),
    "dilation along x": nn.Conv2d(4, 5, (2, 3), dilation=(1, 3), padding=(0, 2)),
    "dilation and stride": nn.Conv2d(4, 5, 2, dilation=2, stride=2),
    "dilation, stride and groups": nn.Conv2d(4, 8, 3, dilation=(3, 2), stride=(2, 3), groups=2, padding=4),
    "same, even kernel": nn.Conv2d(4, 5, (2, 4), padding="same"),
    "same with dilation": nn.Conv2d(4, 5, 3, dilation=2, padding="same"),
    "lopsided padding": nn.Sequential(nn.ZeroPad2d((2, 0, 1, 3)), nn.Conv2d(4, 5, 3)),
    "padding twice": nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(4, 5, 3, padding=1, stride=2)),
    "pooled, then padded": nn.Sequential(nn.AvgPool2d(2), nn.ZeroPad2d((0, 1, 0, 0)), nn.Conv2d(4, 5, 2)),
}


class Chained(nn.Module):
    """A stem, one convolution with batch norm, global average pooling and a head."""

    def __init__(self, middle, activation=nn.ReLU):
        super().__init__()
        torch.manual_seed(6)
        self.stem, self.middle, self.act = nn.Conv2d(1, 4, 3), middle, activation()
        with torch.no_grad():
            channels = middle(torch.zeros(2, 4, 6, 6)).shape[1]
        self.norm, self.head = nn.BatchNorm2d(channels), nn.Linear(channels, 5)
        self.pool = nn.AdaptiveAvgPool2d(1)
        with torch.no_grad():
            self.stem.weight *= 20
            self.norm.weight.uniform_(-1, 1), self.norm.running_mean.uniform_(-1, 1)

    def forward(self, x):
        x = self.act(self.norm(self.middle(self.act(self.stem(x)))))
        return self.head(self.pool(x).flatten(1))


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # torch pads a copy there
@pytest.mark.parametrize("middle", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolutions_stay_convolutions(middle, tmp_path):
    module = Chained(middle)
    assert_converts(module)
    spiking = convert(module, INPUTS, "optimal", 4)
    kernel = next(m for m in middle.modules() if isinstance(m, nn.Conv2d)).weight
    assert spiking.layers[1].connections[0].weight.shape == kernel.shape
    assert spiking.weights == sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    for network in (spiking, quantize(spiking)):
        save_network(network, tmp_path / "net.safetensors")
        assert load_network(tmp_path / "net.safetensors").fingerprint == network.fingerprint


@pytest.mark.parametrize("name", ["depthwise", "dilation, stride and groups", "lopsided padding"])
def test_qcfs_with_these_convolutions_is_exact_at_t_equal_l(name):
    module = Chained(CONVOLUTIONS[name], lambda: QCFS(4, 1.5)).eval()
    with torch.no_grad():
        expected = module(INPUTS).numpy()
    scores = floating.run(convert(module, INPUTS, "qcfs", 4), PIXELS)
    assert np.median(np.abs(scores - expected)) < 1e-5


class Series(nn.Module):
    """A network on [N, 2, 40], as sensors give it; with ``lead`` it takes frames [N, 2, 1, 40]."""

    def __init__(self, lead):
        super().__init__()
        torch.manual_seed(7)
        self.lead = lead
        self.layers = nn.Sequential(
            nn.Conv1d(2, 8, 5, stride=2, padding=2), nn.BatchNorm1d(8), nn.ReLU(), nn.AvgPool1d(2),
            nn.Conv1d(8, 8, 3, padding=2, dilation=2, groups=8), nn.ReLU(), nn.Conv1d(8, 6, 3, padding="same"), nn.ReLU(),
        )  # fmt: skip
        self.pool, self.head = nn.AdaptiveAvgPool1d(1), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.pool(self.layers(self.lead(x))).flatten(1))


@pytest.mark.parametrize(
    "lead", [None, lambda x: x.squeeze(2), lambda x: x.flatten(2)], ids=["series", "squeeze", "flatten"]
)
def test_series_convert(lead):
    module = Series(lead or (lambda x: x)).eval()
    frames = np.random.default_rng(8).integers(0, 256, (30, 2, 1, 40)).astype(np.uint8)
    inputs = pixels_to_input(torch.tensor(frames))
    inputs = inputs if lead else inputs.squeeze(2)
    network = convert(module, inputs, "optimal", 10, schedule="radix")
    assert network.input_shape == (2, 1, 40)
    assert [layer.connections[0].kernel for layer in network.layers] == [(1, 5), (1, 3), (1, 3), (1, 1)]
    with torch.no_grad():
        expected = module(inputs).numpy()
    assert np.abs(floating.run(network, frames) - expected).max() < 0.01 * np.abs(expected).max()


def test_series_need_one_dimension():
    with pytest.raises(
        UnsupportedModule, match=r"Conv1d 'layers\.0': its input has 2 axes behind the channels; use Conv2d on"
    ):
        convert(Series(lambda x: x), torch.rand(2, 2, 40, 1), "optimal", 4)
    module = nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(38, 3))
    with pytest.raises(
        UnsupportedModule, match="AvgPool2d '2': its input has 1 axes behind the channels; use pooling of 1d"
    ):
        convert(module, torch.rand(2, 2, 40), "optimal", 4)


@pytest.mark.parametrize("schedule", ["two_phase", "stream", "radix"])
def test_integers_of_joins_and_groups_agree_and_every_part_of_the_chain_takes_them(schedule):
    module = Joined(two_blocks, 8, 16).eval()
    spiking = convert(module, INPUTS, "optimal", 4, schedule=schedule)
    network = quantize(spiking)
    frames = PIXELS[:2]
    trace, exact = golden.run(network, frames, "spikes"), oracle.run(network, frames)
    assert np.array_equal(trace.scores, exact.scores) and trace.activity == exact.activity
    assert all(np.array_equal(a, b) and a.any() for a, b in zip(trace.spikes, exact.spikes, strict=True))
    # energy: a shortcut is one addition a spike, and no multiplication of the ANN
    counts = layer_counts(network, observe(network, frames, trace))
    assert [c.kind for c in counts] == ["conv2d", "conv2d+identity", "conv2d+conv2d", "linear"]
    spikes = trace.spikes[0].astype(bool).sum(axis=(1, 2, 3, 4))
    body = network.layers[1].connections[0]
    assert counts[1].synapses == 4 * 4 * (8 * 3 - 2) ** 2
    assert (counts[1].sop - spikes == operations_of_body(body, network, trace)).all()
    # the source beside it
    assert source_macs(module, spiking, frames).shape == (2, 4)
    run = SourceRun(pair(module, spiking))
    with torch.inference_mode():
        before, after = run.layers(INPUTS[:2])
    assert len(before) == 4 and torch.equal(run.scores_with(1, after[1]), before[-1])


def operations_of_body(connection, network, trace):
    """Valid taps of a 3 × 3 convolution of padding 1 to 4 channels, counted place by place."""
    spikes = np.abs(trace.spikes[connection.source]).sum(axis=1)
    rows = np.array([3 - (y in (0, 7)) for y in range(8)])
    return (spikes * np.multiply.outer(rows, rows)).sum(axis=(1, 2, 3)) * 4


def test_resnet20_keeps_its_weights():
    module = zoo.build("resnet20", activation="relu").eval()
    network = convert(module, torch.rand(2, 3, 32, 32), "optimal", 4)
    stored = sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    shortcuts = 16 * 3 + 32 * 2 + 64 * 2
    assert network.weights == stored + shortcuts
    assert sorted({layer.connections[-1].kind for layer in network.layers}) == ["conv2d", "identity", "linear"]


def pooled(*poolings):
    layers = [layer for m in poolings for layer in (nn.Conv2d(1, 1, 3, padding=1), nn.ReLU(), m)]
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(3))


def test_max_pooling_can_be_replaced_and_trained_back():
    """The copy converts, and gradient steps bring it back to what the original said."""
    torch.manual_seed(9)
    module = pooled(nn.MaxPool2d(2), nn.MaxPool2d(3, stride=2, padding=1))
    with torch.no_grad():
        wanted = module(INPUTS)
    with pytest.raises(UnsupportedModule, match=r"MaxPool2d '2': .* fine-tune a copy with average pooling \(toolchain"):
        convert(module, INPUTS, "optimal", 4, schedule="stream")
    copy = replace_max_pooling(module)
    assert [type(m) for m in copy if isinstance(m, nn.AvgPool2d)] == [nn.AvgPool2d] * 2
    assert isinstance(module[2], nn.MaxPool2d) and copy[6] is not module[6]
    assert len(convert(copy, INPUTS, "optimal", 4, schedule="stream").layers) == 3
    optimizer, losses = torch.optim.Adam(copy.parameters(), 0.01), []
    for _ in range(60):
        optimizer.zero_grad()
        losses.append((copy(INPUTS) - wanted).square().mean())
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 2
    assert isinstance(replace_max_pooling(nn.MaxPool1d(2)), nn.AvgPool1d)


@pytest.mark.parametrize(
    "pooling",
    [
        nn.MaxPool2d(3, stride=1),
        nn.MaxPool2d(2, dilation=2),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.MaxPool2d(3, stride=2),
    ],
)
def test_max_pooling_of_other_sizes_is_refused(pooling):
    with pytest.raises(
        UnsupportedModule, match=r"MaxPool2d 'inner\.1': no average pooling gives as many places as kernel"
    ):
        replace_max_pooling(Nested(pooling))


class Nested(nn.Module):
    def __init__(self, pooling):
        super().__init__()
        self.inner = nn.Sequential(nn.ReLU(), pooling)
