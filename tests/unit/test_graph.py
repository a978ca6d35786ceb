"""What a source network may be written with: each case converts to the source's own numbers or is refused by name."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sim import floating
from toolchain.convert import convert
from toolchain.convert.graph import read_module
from toolchain.errors import UnsupportedModule
from toolchain.nn import QCFS, QuantizedReLU, StReLU, ThresholdLeakyReLU, ThresholdReLU
from toolchain.train import pixels_to_input

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8)).astype(np.uint8)
INPUTS = pixels_to_input(torch.tensor(PIXELS))
LIMIT = 6.0


class Net(nn.Module):
    """Convolution, ``act`` (a module or a function), linear; what ``act`` sees lies on both sides of ±LIMIT."""

    def __init__(self, act):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.act, self.head = nn.Conv2d(1, 4, 3), act, nn.Linear(144, 5)
        with torch.no_grad():
            self.conv.weight *= 30

    def forward(self, x):
        return self.head(self.act(self.conv(x)).flatten(1))


def assert_converts(module, method="optimal"):
    """The spiking network with the levels of radix, T = 10, gives the source's scores."""
    with torch.no_grad():
        expected = module.eval()(INPUTS).numpy()
    spiking = floating.run(convert(module, INPUTS, method, 10, schedule="radix"), PIXELS)
    # a neuron is off by up to one level of 1,023 of its threshold, here in up to three layers in a row, and of the
    # up to 144 errors that a score sums most cancel; a wrong limit, order or weight costs tens of per cent
    assert np.abs(spiking - expected).max() < 0.01 * np.abs(expected).max()


def test_the_convolution_reaches_both_limits():
    with torch.no_grad():
        values = Net(nn.Identity()).conv(INPUTS)
    assert values.min() < -LIMIT and values.max() > LIMIT


RELU = {
    "module": nn.ReLU(),
    "in place": nn.ReLU(inplace=True),
    "F.relu": lambda x: F.relu(x),
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "F.relu_": lambda x: F.relu_(x),
    "torch.relu": lambda x: torch.relu(x),
    "torch.relu_": lambda x: torch.relu_(x),
    "method": lambda x: x.relu(),
    "method in place": lambda x: x.relu_(),
    "clamp": lambda x: x.clamp(min=0),
    "clamp by place": lambda x: x.clamp(0),
    "clamp in place": lambda x: x.clamp_(min=0),
    "torch.clamp": lambda x: torch.clamp(x, min=0.0),
    "clamp to infinity": lambda x: x.clamp(0, float("inf")),
}
CLIPPED = {
    "ReLU6": nn.ReLU6(),
    "ReLU6 in place": nn.ReLU6(inplace=True),
    "F.relu6": lambda x: F.relu6(x),
    "Hardtanh": nn.Hardtanh(0, LIMIT),
    "ThresholdReLU": ThresholdReLU(LIMIT),
    "clamp": lambda x: x.clamp(0, LIMIT),
    "clamp by name": lambda x: torch.clamp(x, max=LIMIT, min=0),
}
SYMMETRIC = {"StReLU": StReLU(LIMIT), "Hardtanh": nn.Hardtanh(-LIMIT, LIMIT)}
OTHERS = {
    "QCFS": (QCFS(4, LIMIT), ("qcfs", LIMIT, 4, None)),
    "QuantizedReLU": (QuantizedReLU(3, 0.5), ("quantized", 3.5, 7, None)),
    "ThresholdLeakyReLU": (ThresholdLeakyReLU(LIMIT, 0.25), ("leaky", LIMIT, None, 0.25)),
    "LeakyReLU": (nn.LeakyReLU(), ("leaky", None, None, 0.01)),
    "LeakyReLU in place": (nn.LeakyReLU(0.5, inplace=True), ("leaky", None, None, 0.5)),
    "F.leaky_relu": (lambda x: F.leaky_relu(x), ("leaky", None, None, 0.01)),
    "F.leaky_relu by place": (lambda x: F.leaky_relu(x, 1), ("leaky", None, None, 1.0)),
    "F.leaky_relu_": (lambda x: F.leaky_relu_(x, negative_slope=0.125), ("leaky", None, None, 0.125)),
}
READ = (
    {f"relu {name}": (act, ("relu", None, None, None)) for name, act in RELU.items()}
    | {f"clipped {name}": (act, ("threshold", LIMIT, None, None)) for name, act in CLIPPED.items()}
    | {f"symmetric {name}": (act, ("strelu", LIMIT, None, None)) for name, act in SYMMETRIC.items()}
    | OTHERS
)


@pytest.mark.parametrize(("act", "expected"), READ.values(), ids=READ)
def test_activations_are_read_as_what_they_are(act, expected):
    activation = read_module(Net(act), (1, 8, 8)).blocks[0].activation
    assert (activation.kind, activation.limit, activation.levels, activation.slope) == expected


@pytest.mark.parametrize("act", [*RELU.values(), *CLIPPED.values()], ids=[*RELU, *CLIPPED])
def test_every_spelling_of_relu_and_its_clip_converts(act):
    assert_converts(Net(act))


@pytest.mark.parametrize("act", SYMMETRIC.values(), ids=SYMMETRIC)
def test_symmetric_clips_convert(act):
    assert_converts(Net(act), "strelu")


class Shared(nn.Module):
    """One activation behind three synapses, and one synapse in two places."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.first, self.again, self.head = nn.Linear(64, 12), nn.Linear(12, 12), nn.Linear(12, 5)
        self.act = nn.ReLU()

    def forward(self, x):
        x = self.act(self.first(x.flatten(1)))
        x = self.act(self.again(x))
        return self.head(self.act(self.again(x)))


def test_shared_modules_convert():
    network = convert(Shared(), INPUTS, "optimal", 4)
    assert len(network.layers) == 4
    # each place has its own largest activation
    assert len({float(layer.threshold[0]) for layer in network.layers[:-1]}) == 3
    assert_converts(Shared())


def test_batch_norm_behind_linear_converts():
    torch.manual_seed(2)
    norm = nn.BatchNorm1d(12)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), norm, nn.ReLU(), nn.Linear(12, 5), nn.BatchNorm1d(5))
    with torch.no_grad():
        norm.weight.uniform_(-2, 2), norm.bias.uniform_(-1, 1)  # a negative weight turns the sign
        module.train()(INPUTS)
    assert norm.weight.min() < 0
    assert_converts(module)


class Forward(nn.Module):
    """Convolutions ``a`` and ``b`` of the same shape and a head that takes its frame; ``body`` is the forward pass."""

    def __init__(self, body, features=256):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(1, 4, 3, padding=1)
        self.body, self.head, self.scale = body, nn.Linear(features, 5), nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.head(self.body(self, x).flatten(1))


def input_added_in_place(m, x):
    y = m.a(x).relu()
    y += x
    return y


def dropped(m, x):
    y = m.a(x)
    y.relu_()
    return y


FRAME = (
    "^add '{}': one side reads the input frame, whose pixels no layer can add to spikes; put a layer with an activation"
)
SILENT = (
    "'{}': it reads the addition '{}', behind which no neuron fires; put a ReLU or an activation of toolchain.nn right"
)
CONSTANT = "^add 'add' computes with a constant; move the constant into"
REFUSED = {
    "MaxPool3d": (Net(nn.Sequential(nn.ReLU(), nn.MaxPool3d(2))), r"^MaxPool3d 'act\.1' .*; use MaxPool2d"),
    "AdaptiveAvgPool2d": (
        Net(nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(4))),
        r"^AdaptiveAvgPool2d 'act\.1': 4 places of \(6, 6\) need windows of different sizes; ask for 1, or for a number that",
    ),
    "mean over channels": (
        Net(lambda x: x.relu().mean(1)),
        r"^mean 'mean': over axes 1; take the mean over all axes behind",
    ),
    "add of two synapses of the frame": (Forward(lambda m, x: torch.add(m.a(x), m.b(x))), FRAME.format("add")),
    "add to itself": (Forward(lambda m, x: (y := m.a(x).relu()) + y), f"^Flatten {SILENT.format('flatten', 'add')}"),
    "add without activation": (Forward(lambda m, x: m.a(x).relu() + m.b(x).relu()), SILENT.format("flatten", "add")),
    "add before a Linear": (
        Forward(lambda m, x: m.a(x).relu().flatten(1) + m.b(x).relu().flatten(1)),
        "^add 'add': 'relu' was flattened or has zeros around it; add before flattening",
    ),
    "add of a constant": (Forward(lambda m, x: m.a(x).relu() + 1), CONSTANT),
    "add of a parameter": (Forward(lambda m, x: m.a(x).relu() + m.scale), CONSTANT),
    "add with a factor": (
        Forward(lambda m, x: torch.add(m.a(x).relu(), m.b(x).relu(), alpha=2)),
        "^add 'add' has a factor alpha; move it into the weights",
    ),
    "add of shapes that differ": (
        Forward(lambda m, x: (m.a(x).relu() + F.avg_pool2d(m.b(x).relu(), 2)).relu()),
        r"^add 'add': it adds 'relu' of shape \(4, 8, 8\) to 'avg_pool2d' of shape \(4, 4, 4\); bring both to one shape",
    ),
    "add of the input": (
        Forward(lambda m, x: m.a(x).relu().add(x)),
        r"^add 'add': it adds 'relu' of shape .* to 'input'",
    ),
    "input added in place": (
        Forward(input_added_in_place),
        r"^add 'add': it adds 'relu' of shape .* to 'input' of shape",
    ),
    "branching before the activation": (
        Forward(lambda m, x: ((y := m.a(x)).relu() + y).relu()),
        "^'a' is read by 'relu' and 'add' before its activation, so each would need a copy of its weights; put the branching",
    ),
    "product of branches": (
        Forward(lambda m, x: m.a(x).relu() * m.b(x).relu()),
        "^mul 'mul' has no exact spiking counterpart; a product of two branches",
    ),
    "cat": (
        Forward(lambda m, x: torch.cat([m.a(x).relu(), x], dim=1), 320),
        "^cat 'cat' .*branches are joined by adding them",
    ),
    "result dropped": (
        Forward(dropped),
        "^'relu_' changes 'a' in place, which 'flatten' reads afterwards; write it without",
    ),
    "padding that reflects": (
        Net(nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"))),
        r"^Conv2d 'act\.1': padding mode is reflect; use zero padding",
    ),
    "padding with ones": (Net(lambda x: F.pad(x.relu(), (1, 1), value=1.0)), "^pad 'pad' puts other values than zeros"),
    "negative padding": (Net(lambda x: F.pad(x.relu(), (-1, 0))), r"^pad 'pad': amounts \(-1, 0\); put zeros around"),
    "part of a frame": (
        Net(lambda x: x.relu()[:, :, 1:]),
        "^slice 'getitem': it takes a part .*; only every n-th place",
    ),
    "convolution of a slice": (
        Forward(lambda m, x: m.a(m.a(x[:, :, ::2, ::2]).relu())),
        "^Conv2d 'a': it reads 'getitem', a slice or channels of zeros; write the layer it belongs to with its own stride",
    ),
    "squeeze of many places": (Net(lambda x: x.relu().squeeze(2)), "^squeeze 'squeeze': axis 2 of places"),
    "overlapping average pooling": (
        Net(nn.Sequential(nn.ReLU(), nn.AvgPool2d(3, stride=1, padding=1))),
        r"^AvgPool2d 'act\.1': kernel \(3, 3\), stride \(1, 1\), padding 1, .*only windows that do not overlap",
    ),
    "Softmax": (Net(nn.Sequential(nn.ReLU(), nn.Softmax(1))), r"^Softmax 'act\.1' .*leave it out: the arg-max"),
    "three dimensions": (Net(nn.Sequential(nn.ReLU(), nn.Conv3d(4, 4, 3))), r"^Conv3d 'act\.1' .*; use Conv2d"),
    "transposed convolution": (
        Net(nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(4, 4, 3))),
        r"^ConvTranspose2d 'act\.1' has no exact spiking counterpart; use Conv2d",
    ),
    "Hardtanh": (Net(nn.Hardtanh(-1, 2)), r"^Hardtanh 'act' clips from -1 to 2; clip from 0, or symmetrically"),
    "F.hardtanh": (Net(lambda x: F.hardtanh(x)), r"^hardtanh 'hardtanh' .*; use the module nn\.Hardtanh or"),
    "clamp on both sides": (Net(lambda x: x.clamp(-1, 1)), r"^clamp 'clamp' clips from -1 to 1; .*StReLU\(a\)"),
    "clamp above": (Net(lambda x: x.clamp(max=1)), "^clamp 'clamp' clips from None to 1; "),
    "clamp to 0": (Net(lambda x: x.clamp(0, 0)), "^clamp 'clamp' clips from 0 to 0; "),
    "clamp to a size": (Net(lambda x: x.clamp(0, x.size(0))), "^clamp 'clamp' clips from 0 to size; "),
    **{
        f"slope {slope}": (
            Net(nn.LeakyReLU(slope)),
            f"^LeakyReLU 'act': negative_slope is {slope}, must be above 0 and at most 1; train it with",
        )
        for slope in (0.0, -0.1, 1.5, float("nan"))
    },
    "slope of a call": (Net(lambda x: F.leaky_relu(x, 2)), "^LeakyReLU 'leaky_relu': negative_slope is 2, must"),
}


@pytest.mark.parametrize(("module", "message"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_convert_is_refused_by_name(module, message):
    with pytest.raises(UnsupportedModule, match=message) as refusal:
        convert(module, INPUTS, "optimal", 4)
    assert "\n" not in str(refusal.value)
