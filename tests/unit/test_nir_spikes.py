"""Graphs of other frameworks that are driven by spikes: float network and integers fire as theirs, step by step.

Every weight is a multiple of 1/64 with 127/64 in each channel, and hidden thresholds are 1, so that 8-bit integers are exact.
"""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from sim import golden
from tests.unit.test_nir_frameworks import ours
from toolchain import cli
from toolchain.errors import InvalidValue
from toolchain.events import from_nir, to_nir
from toolchain.interchange import Options, read_nir
from toolchain.interchange import to_nir as to_graph
from toolchain.netfile import load_spiking
from toolchain.quantize import quantize

STEPS, IMAGES = 12, 6


def trains(*shape, seed=7):
    """Spikes as of an event camera, int8 [N, T, C, H, W]."""
    return (np.random.default_rng(seed).random((IMAGES, STEPS, *shape)) < 0.3).astype(np.int8)


def exact(module, seed):
    """Weights that 8-bit integers hold exactly; the layers get no bias."""
    rng = np.random.default_rng(seed)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            weight = rng.integers(-60, 61, layer.weight.shape)
            weight.reshape(len(weight), -1)[:, 0] = 127
            layer.weight.data = torch.tensor(weight / 64, dtype=torch.float32)
    return module.requires_grad_(False)


def theirs(net, spikes, neurons):
    """Spikes of the neuron modules in each step, [N, T, ...]."""
    seen = [[] for _ in neurons]
    hooks = [
        module.register_forward_hook(
            lambda _m, _i, out, index=index: seen[index].append(out[0] if isinstance(out, tuple) else out)
        )
        for index, module in enumerate(neurons)
    ]
    for step in torch.tensor(spikes).float().transpose(0, 1):
        net(step)
    for hook in hooks:
        hook.remove()
    return [torch.stack(steps, dim=1).numpy() for steps in seen]


def snntorch():
    snn = pytest.importorskip("snntorch")
    from snntorch.export_nir import export_to_nir

    def fires(*shape, threshold=1.0):
        return snn.Leaky(
            beta=torch.ones(shape), threshold=torch.full(shape, threshold), init_hidden=True, reset_mechanism="subtract"
        )

    net = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, bias=False), fires(3, 8, 8), nn.Conv2d(3, 4, 3, stride=2, bias=False), fires(4, 3, 3),
        nn.Flatten(), nn.Linear(36, 5, bias=False), fires(5, threshold=2.5),
    )  # fmt: skip
    exact(net, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # τ = dt/(1 − β) divides by zero at β = 1
        graph = export_to_nir(net, torch.zeros(1, 2, 8, 8), ignore_dims=[0])
    return net, graph, [net[1], net[3], net[6]]


def spikingjelly():
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange.to_nir import export_to_nir

    net = nn.Sequential(
        layer.Conv2d(2, 3, 3, padding=1, bias=False), neuron.IFNode(), layer.Conv2d(3, 4, 3, stride=2, bias=False),
        neuron.IFNode(), layer.Flatten(), layer.Linear(36, 5, bias=False), neuron.IFNode(v_threshold=2.5),
    )  # fmt: skip
    exact(net, 2)
    graph = export_to_nir(net, torch.zeros(1, 2, 8, 8))
    functional.reset_net(net)
    return net, graph, [net[1], net[3], net[6]]


@pytest.mark.parametrize("framework", [snntorch, spikingjelly])
def test_spikes_and_integers_equal_the_frameworks(framework):
    net, graph, neurons = framework()
    spikes = trains(2, 8, 8)
    network = read_nir(graph, Options(framework.__name__, time_steps=STEPS, input="spikes"))
    assert (network.input, network.pixel_scale, network.frame_shape) == ("spikes", 1.0, (STEPS, 2, 8, 8))
    found = theirs(net, spikes, neurons)
    fixed = quantize(network, 8)
    integers = golden.run(fixed, spikes, "spikes").spikes
    for mine, whole, given in zip(ours(network, spikes), integers, found, strict=True):
        given = given.reshape(mine.shape)
        assert set(np.unique(given)) == {0, 1}, "the test needs neurons that fire and neurons that do not"
        assert np.array_equal(mine, given)
        assert np.array_equal(whole, given)
    # the comparison can fail: the same spikes in another order give others
    assert not np.array_equal(
        ours(network, spikes[:, ::-1].copy())[0], found[0].reshape(ours(network, spikes)[0].shape)
    )
    assert np.array_equal(
        golden.run(fixed, from_nir(to_nir(spikes, 1e-4), (2, 8, 8))).scores, golden.run(fixed, spikes).scores
    )
    again = read_nir(to_graph(network))
    assert again.fingerprint == network.fingerprint and again.input == "spikes"


def test_from_the_command_line(tmp_path, capsys):
    import nir

    _, graph, _ = spikingjelly()
    nir.write(tmp_path / "net.nir", graph)
    options = ["--preset", "spikingjelly", "-T", str(STEPS), "--input", "spikes"]
    target = tmp_path / "snn.safetensors"
    assert cli.run(["import", str(tmp_path / "net.nir"), *options, "-o", str(target)]) == 0
    assert "the graph's Input receives the spikes of each step, 1 each" in capsys.readouterr().out
    assert load_spiking(target).input == "spikes"
    assert cli.run(["export", str(target), "-o", str(tmp_path / "again.nir")]) == 0
    assert "Input = spike·1" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(InvalidValue, match="seed 3 is for input rate, the input is spikes"):
        read_nir(graph, Options("spikingjelly", time_steps=STEPS, input="spikes", seed=3))
