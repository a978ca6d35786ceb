"""Each conversion method against a plain reading of its rule on raw activations of a small network."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sim import floating
from toolchain import zoo
from toolchain.convert import METHODS, convert
from toolchain.convert.methods.calibration import CANDIDATES
from toolchain.convert.methods.spike_norm import NORM_STEPS
from toolchain.convert.methods.training_free import CLIPPED_SHARE, MOST_ITERATIONS
from toolchain.convert.statistics import BINS
from toolchain.errors import InvalidValue, UnsupportedModule
from toolchain.nn import QuantizedReLU, ThresholdLeakyReLU, ThresholdReLU
from toolchain.train import load_source, pixels_to_input


def frames(seed, images, shape=(1, 12, 12)):
    return np.random.default_rng(seed).integers(0, 256, (images, *shape)).astype(np.uint8)


def inputs(pixels):
    return pixels_to_input(torch.tensor(pixels))


def source(seed, activation=nn.ReLU):
    """A convolution and a hidden layer, each with an activation, and a readout."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), activation(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(150, 8), activation(), nn.Linear(8, 4),
    )  # fmt: skip


def activations(module, pixels):
    """Float64 [C, images · places] behind both activations, and the scores [classes, images]."""
    with torch.no_grad():
        parts = (module[:2](inputs(pixels)), module[:6](inputs(pixels)), module(inputs(pixels)))
    return [part.transpose(0, 1).flatten(1).double().numpy() for part in parts]


LARGEST = ("optimal", "max_norm", "rmp", "spike_converter", "weighted_spikes", "tsc", "fast_snn", "snm", "ca_lif")


@pytest.mark.parametrize("method", LARGEST)
def test_threshold_is_the_largest_activation(method):
    module, pixels = source(1), frames(1, 300)
    network = convert(module, inputs(pixels), method)
    for layer, values in zip(network.layers, activations(module, pixels)[:2], strict=False):
        assert layer.threshold == pytest.approx(np.full(len(values), values.max()), rel=1e-5)  # other batch sizes
        half = {"fast_snn": True, "ca_lif": True, "optimal": True, "spike_converter": True}.get(method, False)
        assert np.array_equal(layer.initial, layer.threshold / 2 * half)
    assert network.provenance["shift"] == half


@pytest.mark.parametrize(
    ("method", "schedule", "negative", "input", "time_steps"),
    [
        ("fast_snn", "stream", "correcting", "direct", 4),
        ("ca_lif", "stream", "correcting", "direct", 4),
        ("snm", "stream", "memory", "direct", 4),
        ("weighted_spikes", "radix", "none", "bitplane", 8),
        ("tsc", "switched", "none", "direct", 4),
        ("calibration", "stream", "none", "direct", 4),
        ("spike_norm", "stream", "none", "direct", 4),
    ],
)
def test_usual_neuron_of_a_method(method, schedule, negative, input, time_steps):
    network = convert(source(1), inputs(frames(1, 5)), method)
    assert (network.schedule, network.negative, network.input) == (schedule, negative, input)
    assert (network.time_steps, network.seed) == (time_steps, 0x2545F491)


def test_input_and_seed_are_the_users_choice():
    module, pixels = source(1), frames(1, 5)
    network = convert(module, inputs(pixels), "optimal", 8, input="rate", seed=77)
    assert (network.input, network.seed) == ("rate", 77)
    with pytest.raises(
        InvalidValue, match="input is 'rate', must be one of bitplane, direct, spikes with method weighted"
    ):
        convert(module, inputs(pixels), "weighted_spikes", input="rate")
    with pytest.raises(InvalidValue, match="seed is 0, must be 1 to"):
        convert(module, inputs(pixels), "optimal", input="rate", seed=0)


@pytest.mark.parametrize(
    ("activation", "shift", "variant"),
    [
        (ThresholdReLU, False, "T"),
        (nn.ReLU, True, "S"),
        (ThresholdReLU, True, "TS"),
        (nn.ReLU, False, "none"),
    ],
)
def test_variants_of_optimal(activation, shift, variant):
    network = convert(source(2, activation), inputs(frames(2, 20)), "optimal", 4, shift=shift)
    assert network.provenance["variant"] == variant
    assert network.layers[0].initial.any() == shift


def test_training_free_clips_its_share_and_no_step_more():
    module, pixels = source(3), frames(3, 300)
    network, longest = convert(module, inputs(pixels), "training_free", 4), 0
    for layer, values in zip(network.layers, activations(module, pixels)[:2], strict=False):
        for theta, x in zip(layer.threshold, values, strict=True):
            if not x.any():
                assert theta == pytest.approx(values.max(), rel=1e-5)
                continue
            found, steps = 0.0, 0
            while (excess := np.maximum(x - found, 0).mean()) > CLIPPED_SHARE * x.mean() and steps < MOST_ITERATIONS:
                found, steps = min(found + 2 * excess, x.max()), steps + 1
            longest = max(longest, steps)
            # the histogram rounds to its bins, and the last step may fall on either side of the share
            assert theta == pytest.approx(found, abs=2 * CLIPPED_SHARE * x.mean() + 4 * values.max() / BINS)
    assert longest > 8


@pytest.mark.parametrize("shift", [True, False])
@pytest.mark.parametrize("steps", [2, 5, 16])
def test_thresholds_of_calibration_have_the_least_error_of_95(steps, shift):
    module, pixels = source(4), frames(4, 200)
    network = convert(module, inputs(pixels), "calibration", steps, shift=shift)
    assert len(CANDIDATES) == 95
    for layer, values in zip(network.layers, activations(module, pixels)[:2], strict=False):
        for theta, x in zip(layer.threshold, values, strict=True):
            if not x.any():
                continue

            def error(limit, x=x):
                return ((x - limit * np.clip(np.floor(x * steps / limit + shift / 2) / steps, 0, 1)) ** 2).mean()

            errors = [error(share * x.max()) for share in CANDIDATES]
            assert min(abs(theta - share * x.max()) for share in CANDIDATES) < 1e-5 * x.max()
            # a histogram of 4,096 bins: near-ties may go either way
            assert error(theta) <= min(errors) * 1.03 + (values.max() / BINS) ** 2
    assert network.layers[0].threshold.min() < activations(module, pixels)[0].max() / 2


@pytest.mark.parametrize("steps", [4, 8, 16])
@pytest.mark.parametrize("shift", [True, False])
def test_calibration_takes_the_mean_error_away(monkeypatch, steps, shift):
    module, pixels = source(5), frames(5, 150)
    values = activations(module, pixels)
    monkeypatch.setitem(METHODS, "uncalibrated", replace(METHODS["calibration"], refine=None))
    networks = [convert(module, inputs(pixels), m, steps, shift=shift) for m in ("calibration", "uncalibrated")]
    assert np.array_equal(networks[0].layers[1].threshold, networks[1].layers[1].threshold)
    assert networks[0].provenance["calibrated_for"] == steps

    def errors(network):
        found = floating.trace(network, pixels)
        given = [*(o.swapaxes(0, 1).reshape(o.shape[1], -1) for o in found.outputs), found.scores.T]
        return [np.abs(g.mean(axis=1) - v.mean(axis=1)).mean() for g, v in zip(given, values, strict=True)]

    calibrated, uncalibrated = map(errors, networks)
    assert all(c < u / 3 for c, u in zip(calibrated, uncalibrated, strict=True))
    assert calibrated[2] < 1e-5  # the readout is linear in its bias: float32 sums
    if not shift:  # half a threshold is most of the mean error, and the mean most of the error
        after, before = (np.abs(floating.run(n, pixels) - values[2].T).mean() for n in networks)
        assert after < before / 2


def test_calibration_takes_two_phase():
    module, pixels = source(5), frames(5, 80)
    network = convert(module, inputs(pixels), "calibration", 4, schedule="two_phase", shift=False)
    means = activations(module, pixels)[2].mean(axis=1)
    assert floating.run(network, pixels).mean(axis=0) == pytest.approx(means, abs=1e-5)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_spike_norm_takes_the_largest_input_of_a_step_while_earlier_layers_spike(reset):
    torch.manual_seed(6)
    module = nn.Sequential(nn.Linear(20, 12), nn.ReLU(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 3))  # fmt: skip
    pixels = frames(6, 300, (20, 1, 1))
    network = convert(module, inputs(pixels)[:, :, 0, 0], "spike_norm", 4, reset=reset)
    arriving = np.repeat((inputs(pixels).double().numpy()[:, :, 0, 0])[None], NORM_STEPS, axis=0)
    linear = [m for m in module if isinstance(m, nn.Linear)]
    for layer, m in zip(network.layers[:-1], linear, strict=False):
        drive = arriving @ m.weight.detach().double().numpy().T + m.bias.detach().double().numpy()
        theta = drive.max()
        # float32 membranes: a neuron may fire a step later, which moves no largest input here
        assert layer.threshold == pytest.approx(np.full(layer.channels, theta), rel=1e-5)
        membrane, arriving = np.zeros(drive[0].shape), np.zeros(drive.shape)
        for step in range(NORM_STEPS):
            membrane += drive[step]
            fired = membrane >= theta
            membrane = np.where(fired, 0 if reset == "zero" else membrane - theta, membrane)
            arriving[step] = fired * theta
    # spikes come together, so that a step brings more than the mean does
    assert network.layers[1].threshold[0] > 1.5 * activations_of(module, pixels)[1].max()
    assert network.provenance["norm_steps"] == NORM_STEPS


def test_spike_norm_refuses_a_layer_that_no_spike_reaches():
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 2))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.001]]))  # the second neuron needs 1,000 steps
        module[2].weight.copy_(torch.tensor([[0.0, 1.0]]))
        module[2].bias.fill_(-1e-6)
    with pytest.raises(InvalidValue, match=r"layer '2' is not excited within 100 steps .* use method rmp"):
        convert(module, torch.ones(3, 2), "spike_norm")


def activations_of(module, pixels):
    """Outputs of the ReLUs of a chain that reads vectors."""
    x, found = inputs(pixels)[:, :, 0, 0], []
    with torch.no_grad():
        for m in module:
            x = m(x)
            if isinstance(m, nn.ReLU):
                found.append(x.numpy())
    return found


@pytest.mark.parametrize("method", ["calibration", "spike_norm"])
def test_layer_by_layer_methods_are_deterministic(method):
    threads, prints = torch.get_num_threads(), set()
    for count in (1, 2, 1):
        torch.set_num_threads(count)
        prints.add(convert(source(7), inputs(frames(7, 70)), method, 6).fingerprint)
    torch.set_num_threads(threads)
    assert len(prints) == 1


@pytest.mark.parametrize(("method", "half"), [("qcfs", 0.5), ("fast_snn", 0.5), ("ca_lif", 0.5), ("snm", 0)])
def test_quantized_sources_keep_their_limit(method, half):
    module, pixels = source(8, lambda: QuantizedReLU(2, 0.25)), frames(8, 60)
    network = convert(module, inputs(pixels), method, 4)
    for layer in network.layers[:-1]:
        assert np.array_equal(layer.threshold, np.full(layer.channels, 0.75))
        assert np.array_equal(layer.initial, half * layer.threshold)


def test_qcfs_computes_a_quantized_relu_exactly():
    module, pixels = source(8, lambda: QuantizedReLU(2, 0.25)), frames(8, 60)
    network = convert(module, inputs(pixels), "qcfs", 3)
    # float32 on both sides; no membrane lies on a threshold here
    assert floating.run(network, pixels) == pytest.approx(activations(module, pixels)[2].T, abs=1e-5)


@pytest.mark.parametrize("method", ["fast_snn", "ca_lif"])
def test_correcting_spikes_come_nearer_to_the_quantized_source_than_stream(method):
    module = load_source(zoo.BUNDLED_WEIGHTS).module
    pixels = frames(9, 60, (1, 28, 28)) // 2
    with torch.no_grad():
        expected = module(inputs(pixels)).numpy()
    stream = convert(module, inputs(pixels), "qcfs", 4, schedule="stream")
    correcting = convert(module, inputs(pixels), method, 4)
    errors = [np.abs(floating.run(n, pixels) - expected).mean() for n in (correcting, stream)]
    assert errors[0] < 0.8 * errors[1]


def test_leaky_relu_has_two_thresholds_and_approaches_the_source():
    module, pixels = source(10, lambda: nn.LeakyReLU(0.2)), frames(10, 120)
    values = activations(module, pixels)
    errors = []
    for steps in (8, 512):
        network = convert(module, inputs(pixels), "leaky_relu", steps)
        errors.append(np.abs(floating.run(network, pixels) - values[2].T).max())
    assert (network.schedule, network.negative) == ("two_phase", "asymmetric")
    for layer, x in zip(network.layers[:-1], values, strict=False):
        assert layer.threshold == pytest.approx(np.full(layer.channels, np.abs(x).max()), rel=1e-5)
        assert layer.negative_threshold == pytest.approx(layer.threshold / 0.2)
        assert not layer.initial.any() and x.min() < 0
    assert errors[1] < errors[0] / 8 and errors[1] < 0.02 * np.abs(values[2]).max()


def test_clipped_leaky_relu_keeps_its_limit():
    module, pixels = source(10, lambda: ThresholdLeakyReLU(0.3, 0.5)), frames(10, 60)
    assert activations(module, pixels)[0].max() == pytest.approx(0.3)
    network = convert(module, inputs(pixels), "leaky_relu", 512)
    for layer in network.layers[:-1]:
        assert np.array_equal(layer.threshold, np.full(layer.channels, 0.3))
        assert np.array_equal(layer.negative_threshold, np.full(layer.channels, 0.6))
    expected = activations(module, pixels)[2].T
    assert np.abs(floating.run(network, pixels) - expected).max() < 0.02 * np.abs(expected).max()


def test_leaky_relu_is_refused_elsewhere():
    pixels = frames(10, 5)
    with pytest.raises(UnsupportedModule, match=r"method optimal needs .* '1' is leaky; use method leaky_relu$"):
        convert(source(10, nn.LeakyReLU), inputs(pixels), "optimal")
    with pytest.raises(UnsupportedModule, match="needs leaky activations, '1' is relu; use method optimal, max_norm"):
        convert(source(10), inputs(pixels), "leaky_relu")
