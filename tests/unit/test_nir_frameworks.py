"""Graphs that other frameworks export: our float network fires as theirs does, neuron by neuron and step by step.

Weights, thresholds and inputs are dyadic rationals of few bits, so that every float32 sum is exact in any order.
"""

import warnings

import nir
import numpy as np
import pytest
import torch
from torch import nn

from sim.passage import passages
from toolchain.errors import UnsupportedModule
from toolchain.interchange import Options, read_nir, to_nir

STEPS, IMAGES = 12, 6
SCALE = 1 / 256


def dyadic(module: nn.Module, seed: int, gain: float = 1.0) -> nn.Module:
    """Weights and biases become multiples of 1/64."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        if parameter.requires_grad and parameter.is_floating_point():
            values = torch.randn(parameter.shape, generator=generator) * gain
            parameter.data = (values * 32).round() / 64
    return module.requires_grad_(False)


def frames(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(7)
    pixels = rng.integers(0, 256, (IMAGES, *shape))
    return np.where(rng.random(pixels.shape) < 0.3, 0, pixels).astype(np.uint8)


def ours(network, images):
    """Spikes of each firing layer, int64 [N, T, C, H, W]."""
    trains = {}
    for passage in passages(network, images):
        if passage.spikes is not None:
            trains.setdefault(passage.layer, []).append(passage.spikes.transpose(0, 1).numpy())
    return [np.concatenate(parts).astype(int) for _, parts in sorted(trains.items())]


def theirs(net, images, forward, neurons):
    """The same of a framework's network: what the modules in ``neurons`` returned in each step of ``forward``."""
    seen = []
    hooks = [
        module.register_forward_hook(lambda _m, _i, out, index=index: seen.append((index, out[0] if isinstance(out, tuple) else out)))
        for index, module in enumerate(neurons)
    ]  # fmt: skip
    forward(net, torch.tensor(images).float() * SCALE)
    for hook in hooks:
        hook.remove()
    return [
        torch.stack([spikes for i, spikes in seen if i == index], dim=1).detach().numpy()
        for index in range(len(neurons))
    ]


def check(network, found, images):
    mine = ours(network, images)
    assert len(mine) == len(found)
    for a, b in zip(mine, found, strict=True):
        b = b.reshape(a.shape)
        assert set(np.unique(b)) == {0, 1}, "the test needs neurons that fire and neurons that do not"
        assert np.array_equal(a, b)
    return mine


def options(preset, **chosen):
    return Options(preset, time_steps=STEPS, pixel_scale=SCALE, **chosen)


def reload(graph, tmp_path, compression="gzip"):
    """Through a file, as a user would."""
    path = tmp_path / "graph.nir"
    nir.write(path, graph, compression=compression)
    return path


def stepwise(net, x):
    for _ in range(STEPS):
        net(x)


def snntorch_network(reset, *, dense=False, **leaky):
    snn = pytest.importorskip("snntorch")

    def neuron(*shape, threshold):
        theta = torch.full(shape, threshold) if dense else torch.tensor(threshold)[:, None, None].expand(shape).clone()
        return snn.Leaky(beta=torch.ones(shape), threshold=theta, init_hidden=True, reset_mechanism=reset, **leaky)

    if dense:
        return nn.Sequential(
            nn.Linear(20, 12), neuron(12, threshold=0.75), nn.Linear(12, 5, bias=False), neuron(5, threshold=0.5)
        )
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), neuron(3, 8, 8, threshold=[1.0, 0.75, 1.5]), nn.AvgPool2d((2, 2)),
        nn.Conv2d(3, 4, (3, 3), stride=1, bias=False), neuron(4, 2, 2, threshold=[1.0, 0.5, 2.0, 0.625]),
        nn.Flatten(), nn.Linear(16, 5), snn.Leaky(beta=torch.ones(5), threshold=torch.ones(5), init_hidden=True, reset_mechanism=reset),
    )  # fmt: skip


def snntorch_graph(net, *shape):
    from snntorch.export_nir import export_to_nir

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # τ = dt/(1 − β) divides by zero at β = 1
        return export_to_nir(net, torch.zeros(1, *shape), ignore_dims=[0])


@pytest.mark.parametrize(("reset", "delay"), [("subtract", True), ("zero", True), ("zero", False)])
def test_snntorch_convolutions(tmp_path, reset, delay):
    net = dyadic(snntorch_network(reset, reset_delay=delay), 1)
    network = read_nir(reload(snntorch_graph(net, 2, 8, 8), tmp_path), options("snntorch", reset=reset))
    images = frames(2, 8, 8)
    check(network, theirs(net, images, stepwise, [net[1], net[4], net[7]]), images)


def test_snntorch_depthwise_and_dilated_convolutions(tmp_path):
    """There and back: their spikes, ours, and those of our own export read again."""
    snn = pytest.importorskip("snntorch")

    def fires(*shape, threshold):
        return snn.Leaky(
            beta=torch.ones(shape), threshold=torch.full(shape, threshold), init_hidden=True, reset_mechanism="subtract"
        )

    net = nn.Sequential(
        nn.Conv2d(2, 6, 2, padding="same", groups=2), fires(6, 8, 8, threshold=0.75),
        nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6, bias=False), fires(6, 8, 8, threshold=0.5),
        nn.Conv2d(6, 4, (2, 3), stride=2, dilation=(1, 2)), nn.AvgPool2d((2, 2)), fires(4, 2, 1, threshold=0.25),
        nn.Flatten(), nn.Linear(8, 5), fires(5, threshold=0.5),
    )  # fmt: skip
    dyadic(net, 8)
    network = read_nir(reload(snntorch_graph(net, 2, 8, 8), tmp_path), options("snntorch"))
    images = frames(2, 8, 8)
    found = theirs(net, images, stepwise, [net[1], net[3], net[6], net[9]])
    check(network, found, images)
    again = read_nir(reload(to_nir(network), tmp_path))
    assert again.fingerprint == network.fingerprint
    check(again, found, images)
    assert [(c.groups, c.dilation) for layer in network.layers for c in layer.connections][:3] == [
        (2, (1, 1)), (6, (2, 2)), (1, (1, 2)),
    ]  # fmt: skip


def test_spikingjelly_dilated_convolution(tmp_path):
    """Its exporter refuses groups itself."""
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange.to_nir import export_to_nir

    net = nn.Sequential(
        layer.Conv2d(2, 3, (3, 2), padding="same", dilation=(2, 1)), neuron.IFNode(v_threshold=0.75),
        layer.Conv2d(3, 4, 3, dilation=2), neuron.IFNode(v_threshold=0.5),
        layer.Flatten(), layer.Linear(64, 5), neuron.IFNode(v_threshold=0.5),
    )  # fmt: skip
    dyadic(net, 9)
    graph = export_to_nir(net, torch.zeros(1, 2, 8, 8))
    functional.reset_net(net)
    images = frames(2, 8, 8)
    network = read_nir(reload(graph, tmp_path), options("spikingjelly"))
    check(network, theirs(net, images, stepwise, [net[1], net[3], net[6]]), images)


def test_snntorch_dense(tmp_path):
    net = dyadic(snntorch_network("subtract", dense=True), 2)
    network = read_nir(reload(snntorch_graph(net, 20), tmp_path), options("snntorch"))
    images = frames(20, 1, 1)
    check(network, theirs(net, images.reshape(IMAGES, 20), stepwise, [net[1], net[3]]), images)


def test_the_wrong_comparison_or_reset_shows(tmp_path):
    """The comparison above can fail: V meets θ exactly, and what is left over it counts."""
    net = dyadic(snntorch_network("subtract", dense=True), 2)
    graph = reload(snntorch_graph(net, 20), tmp_path)
    images = frames(20, 1, 1)
    found = theirs(net, images.reshape(IMAGES, 20), stepwise, [net[1], net[3]])
    for wrong in ({"compare": "ge"}, {"reset": "zero"}):
        mine = ours(read_nir(graph, options("snntorch", **wrong)), images)
        assert any(not np.array_equal(a, b.reshape(a.shape)) for a, b in zip(mine, found, strict=True)), wrong


def test_snntorch_synaptic_without_any_leak(tmp_path):
    """α = 0 and β = 1: the synaptic current lasts one step, the membrane for ever."""
    snn = pytest.importorskip("snntorch")

    def neuron(size):
        return snn.Synaptic(
            alpha=torch.zeros(size), beta=torch.ones(size), threshold=torch.ones(size), init_hidden=True
        )

    net = dyadic(nn.Sequential(nn.Linear(20, 12), neuron(12), nn.Linear(12, 5), neuron(5)), 3)
    network = read_nir(reload(snntorch_graph(net, 20), tmp_path), options("snntorch"))
    images = frames(20, 1, 1)
    check(network, theirs(net, images.reshape(IMAGES, 20), stepwise, [net[1], net[3]]), images)


def test_snntorch_recurrence_is_refused():
    snn = pytest.importorskip("snntorch")
    recurrent = snn.RLeaky(beta=0.9, linear_features=12, init_hidden=True)
    graph = snntorch_graph(nn.Sequential(nn.Linear(20, 12), recurrent), 20)
    with pytest.raises(UnsupportedModule, match=r"cycle, .*lif.*w_rec.*recurrent connections have no hardware"):
        read_nir(graph, options("snntorch"))


@pytest.mark.parametrize("reset", [0.0, -0.25, 0.25])
def test_spikingjelly(tmp_path, reset):
    """Hard reset to 0 or elsewhere, where the membrane starts too."""
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange.to_nir import export_to_nir

    def fires(threshold):
        return neuron.IFNode(v_threshold=threshold, v_reset=reset)

    net = nn.Sequential(
        layer.Conv2d(2, 3, 3, padding=1, stride=(1, 2)), fires(0.75), layer.AvgPool2d(2),
        layer.Flatten(), layer.Linear(24, 9, bias=False), fires(1.0), layer.Linear(9, 5), fires(0.5),
    )  # fmt: skip
    dyadic(net, 4)
    graph = export_to_nir(net, torch.zeros(1, 2, 8, 8))
    functional.reset_net(net)
    images = frames(2, 8, 8)
    network = read_nir(reload(graph, tmp_path), options("spikingjelly"))
    check(network, theirs(net, images, stepwise, [net[1], net[5], net[7]]), images)


def test_spikingjelly_with_another_time_step():
    """r = 1/dt: the wrong dt is another gain."""
    from spikingjelly.activation_based import layer, neuron
    from spikingjelly.activation_based.nir_exchange.to_nir import export_to_nir

    net = dyadic(nn.Sequential(layer.Linear(20, 5), neuron.IFNode()), 5)
    graph = export_to_nir(net, torch.zeros(1, 20), dt=1e-3)
    weight = net[0].weight.numpy()
    right = read_nir(graph, options("spikingjelly", dt=1e-3)).layers[0].connections[0].weight
    wrong = read_nir(graph, options("spikingjelly")).layers[0].connections[0].weight
    assert np.array_equal(right[:, :, 0, 0], weight) and np.allclose(wrong[:, :, 0, 0], weight / 10)


def test_sinabs(tmp_path):
    """Single spikes as under its preset; its usual several spikes a step differ, which the preset warns of."""
    pytest.importorskip("sinabs", reason="sinabs wants nir ≤ 1.0.4 and samna: pip install --no-deps sinabs pbr")
    from sinabs import activation, layers
    from sinabs.nir import to_nir

    def build(spikes):
        def fires(theta):
            return layers.IAFSqueeze(batch_size=IMAGES, spike_threshold=torch.tensor(theta), spike_fn=spikes)

        return dyadic(
            nn.Sequential(
                nn.Conv2d(2, 3, 3, padding=1, bias=False), fires(0.75), layers.SumPool2d(2),
                nn.Flatten(), nn.Linear(48, 9), fires(1.0), nn.Linear(9, 5), fires(0.5),
            ), 6, 1.5
        )  # fmt: skip

    images = frames(2, 8, 8)
    for spikes, equal in ((activation.SingleSpike, True), (activation.MultiSpike, False)):
        net = build(spikes)
        graph = to_nir(net, torch.zeros(IMAGES, 2, 8, 8))
        graph.infer_types()  # else nir cannot write its Flatten
        for module in net:
            if hasattr(module, "reset_states"):
                module.reset_states()
        network = read_nir(reload(graph, tmp_path), options("sinabs"))
        assert any("MultiSpike" in warning for warning in network.provenance["nir"]["warnings"])
        found = theirs(net, images, stepwise, [net[1], net[5], net[7]])
        if equal:
            check(network, found, images)
        else:
            assert found[0].max() > 1
            assert any(
                not np.array_equal(a, b.reshape(a.shape)) for a, b in zip(ours(network, images), found, strict=True)
            )


def test_norse(tmp_path):
    """Reset to 0, V > θ, parameters without shape, and a batch of one in the Input."""
    norse = pytest.importorskip("norse.torch")

    def fires(threshold):
        return norse.IAFCell(norse.IAFParameters(v_th=torch.tensor(threshold)))

    net = norse.SequentialState(nn.Linear(20, 12), fires(0.75), nn.Linear(12, 5, bias=False), fires(0.5))
    dyadic(net, 8)
    graph = norse.to_nir(net, torch.zeros(1, 20))
    images = frames(20, 1, 1)

    def run(net, x):
        state = None
        for _ in range(STEPS):
            _, state = net(x, state)

    network = read_nir(reload(graph, tmp_path, None), options("norse", input_shape=(20, 1, 1)))
    check(network, theirs(net, images.reshape(IMAGES, 20), run, [net[1], net[3]]), images)


@pytest.mark.parametrize("gain", [1.0, 1 / 3])
def test_any_weights_within_rounding(gain):
    """Weights as initialized: float32 sums in another order, so that a spike may move where V meets θ within rounding."""
    torch.manual_seed(0)
    net = snntorch_network("subtract").requires_grad_(False)
    for parameter in net.parameters():
        parameter *= gain * 4
    network = read_nir(snntorch_graph(net, 2, 8, 8), options("snntorch"))
    images = frames(2, 8, 8)
    found = theirs(net, images, stepwise, [net[1], net[4], net[7]])
    for a, b in zip(ours(network, images), found, strict=True):
        assert 0 < b.mean() < 1 and (a != b.reshape(a.shape)).mean() <= 1e-3
