"""Leaky networks that other frameworks export: our float network fires as theirs does, neuron by neuron and step by step.

Weights are as they come, and all three simulate in other roundings: the framework in float32, our float network in float32
with the sums in another order, and the graph by hand in float64. So membranes agree but for rounding, and spikes are equal
where no membrane comes as close to its threshold as the roundings lie apart. Each test measures both: the largest distance
between the framework's membranes and those in float64 (``TOLERANCE`` at most), and the smallest distance of a membrane to
its threshold, which on these seeds is larger. That is why the spikes are asserted to be equal, and not nearly so.
"""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from sim import floating, golden, oracle
from tests.nir_by_hand import run_by_hand
from tests.unit.test_nir_frameworks import IMAGES, SCALE, STEPS, frames, options, ours, reload
from toolchain.errors import UnsupportedModule
from toolchain.interchange import read_nir
from toolchain.quantize import quantize

TOLERANCE = 1e-5
"""Of membranes of up to some 20 θ in float32, whose last bit is 1.9e-6 there: a few roundings each step, and β takes back the
older ones."""


def seeded(net: nn.Module, seed: int, gain: float = 1.0) -> nn.Module:
    """Normal weights that make some neurons fire and others not."""
    torch.manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            fan_in = module.weight[0].numel()
            nn.init.normal_(module.weight, std=2 * gain / fan_in**0.5)
            if module.bias is not None:
                nn.init.normal_(module.bias, mean=0.1, std=0.1)
    return net.requires_grad_(False)


def recorded(net, images, neurons, membrane, forward=None):
    """Spikes and membranes of some modules of a framework's network, [N, T, …] each, and what the network gave last."""
    spikes, membranes = [[[] for _ in neurons] for _ in range(2)]

    def hook(module, _inputs, out):
        index = neurons.index(module)
        spikes[index].append(out[0] if isinstance(out, tuple) else out)
        membranes[index].append(membrane(module, out).detach().clone())

    hooks = [module.register_forward_hook(hook) for module in neurons]
    x, last = torch.tensor(images).float() * SCALE, None
    if forward is not None:
        last = forward(net, x)
    else:
        for _ in range(STEPS):
            last = net(x)
    for one in hooks:
        one.remove()
    return *([torch.stack(each, dim=1).detach().numpy() for each in kind] for kind in (spikes, membranes)), last


def held(graph, network, images, spikes, membranes, *, before_reset=False, **rules):
    """Ours, the framework's and the graph by hand, spike for spike; returns the distances that the module's text speaks of."""
    charges, rest = {}, {"subtract": None, "zero": 0.0}
    seen = run_by_hand(graph, images, steps=STEPS, charges=charges, **rules)
    names = [name for name in charges if set(np.unique(seen[name])) <= {0, 1}]
    mine = ours(network, images)
    assert len(mine) == len(spikes) == len(names)
    error, margin = 0.0, np.inf
    for name, own, theirs, found in zip(names, mine, spikes, membranes, strict=True):
        node, z = graph.nodes[name], seen[name].swapaxes(0, 1)
        assert 0.01 < theirs.mean() < 0.9, "the test needs neurons that fire and neurons that do not"
        assert np.array_equal(own, theirs.reshape(own.shape)) and np.array_equal(z, theirs.reshape(z.shape))
        charge, theta = charges[name].swapaxes(0, 1), np.asarray(node.v_threshold, np.float64)
        margin = min(margin, float(np.abs(charge - theta).min()))
        lower = {"value": np.asarray(node.v_reset, np.float64), **rest}[rules["reset"]]
        after = charge - z * theta if lower is None else np.where(z == 1, lower, charge)
        error = max(error, float(np.abs((charge if before_reset else after) - found.reshape(z.shape)).max()))
    assert error <= TOLERANCE and 4 * error < margin, (error, margin)
    return error, margin


def quantized(network, images, bits=8):
    """Golden model = naive oracle on the integers; the share of spikes that are others than in floating point, layer by layer."""
    fixed = quantize(network, bits)
    trace, exact = golden.run(fixed, images, "spikes"), oracle.run(fixed, images)
    assert np.array_equal(trace.scores, exact.scores) and trace.activity == exact.activity
    assert all(np.array_equal(a, b) for a, b in zip(trace.spikes, exact.spikes, strict=True))
    return [float((a != b).mean()) for a, b in zip(trace.spikes, ours(network, images), strict=True)]


# --- snnTorch


def snntorch(beta, reset="subtract", *, delay=True, dense=False):
    snn = pytest.importorskip("snntorch")

    def fires(*shape, threshold=1.0):
        return snn.Leaky(
            beta=torch.full(shape, beta), threshold=torch.full(shape, threshold), init_hidden=True, reset_mechanism=reset,
            reset_delay=delay,
        )  # fmt: skip

    if dense:
        net = nn.Sequential(nn.Linear(20, 12), fires(12), nn.Linear(12, 5), fires(5, threshold=0.5))
    else:
        net = nn.Sequential(
            nn.Conv2d(2, 3, 3, padding=1), fires(3, 8, 8), nn.AvgPool2d((2, 2)), nn.Conv2d(3, 4, 3),
            fires(4, 2, 2, threshold=0.5), nn.Flatten(), nn.Linear(16, 5), fires(5),
        )  # fmt: skip
    net = seeded(net, 1)
    return net, _export(net, *(() if dense else (2, 8, 8))), [module for module in net if isinstance(module, snn.Leaky)]


@pytest.mark.parametrize("beta", [0.5, 0.8, 0.9, 0.97])
@pytest.mark.parametrize(("reset", "delay"), [("subtract", True), ("zero", True), ("zero", False)])
def test_snntorch(tmp_path, beta, reset, delay):
    net, graph, neurons = snntorch(beta, reset, delay=delay)
    network = read_nir(reload(graph, tmp_path), options("snntorch", reset=reset))
    assert network.layers[0].leak == np.float32(beta).astype(float)
    assert network.leak_order == ("leak_first" if reset == "subtract" else "reset_first")
    images = frames(2, 8, 8)
    spikes, membranes, _ = recorded(net, images, neurons, lambda module, _: module.mem)
    order = "leak_first" if reset == "subtract" else "reset_first"
    rules = {"compare": "gt", "reset": reset, "order": order, "dt": 1e-4}
    held(graph, network, images, spikes, membranes, before_reset=delay, **rules)
    quantized(network, images)


def test_snntorch_without_reset_delay(tmp_path):
    """θ is taken off at once: --leak-order reset_first, exact while no membrane exceeds 2θ."""
    net, _, neurons = snntorch(0.8, delay=False, dense=True)
    graph = _export(seeded(net, 3, gain=0.35))
    network = read_nir(reload(graph, tmp_path), options("snntorch", leak_order="reset_first"))
    images, charges = frames(20, 1, 1), {}
    rules = {"compare": "gt", "reset": "subtract", "dt": 1e-4}
    run_by_hand(graph, images, steps=STEPS, charges=charges, **rules)
    assert all(charge.max() <= 2 * graph.nodes[name].v_threshold.max() for name, charge in charges.items())
    spikes, membranes, _ = recorded(net, images.reshape(IMAGES, 20), neurons, lambda module, _: module.mem)
    held(graph, network, images, spikes, membranes, **rules)
    wrong = ours(read_nir(graph, options("snntorch")), images)
    assert any(not np.array_equal(a, b.reshape(a.shape)) for a, b in zip(wrong, spikes, strict=True))


def _export(net, *shape):
    from snntorch.export_nir import export_to_nir

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return export_to_nir(net, torch.zeros(1, *(shape or (20,))), ignore_dims=[0])


@pytest.mark.parametrize(("reset", "delay"), [("subtract", True), ("zero", False)])
def test_snntorch_synaptic_with_a_leaky_membrane(tmp_path, reset, delay):
    """α = 0: CubaLIF whose synaptic current lasts one step."""
    snn = pytest.importorskip("snntorch")

    def fires(size):
        return snn.Synaptic(
            alpha=torch.zeros(size), beta=torch.full((size,), 0.85), threshold=torch.ones(size), init_hidden=True,
            reset_mechanism=reset, reset_delay=delay,
        )  # fmt: skip

    net = seeded(nn.Sequential(nn.Linear(20, 12), fires(12), nn.Linear(12, 5), fires(5)), 2)
    graph, images = _export(net), frames(20, 1, 1)
    order = "leak_first" if delay else "reset_first"
    network = read_nir(reload(graph, tmp_path), options("snntorch", reset=reset, leak_order=order))
    found = recorded(net, images.reshape(IMAGES, 20), [net[1], net[3]], lambda module, _: module.mem)[:2]
    held(graph, network, images, *found, before_reset=delay, compare="gt", reset=reset, order=order, dt=1e-4)


def test_snntorch_synaptic_with_a_late_reset_to_zero_drops_input():
    """Why that is refused: the graph by hand, in either order, is not what snnTorch does."""
    snn = pytest.importorskip("snntorch")
    size = {"alpha": torch.zeros(12), "beta": torch.full((12,), 0.85), "threshold": torch.ones(12)}
    net = seeded(nn.Sequential(nn.Linear(20, 12), snn.Synaptic(**size, init_hidden=True, reset_mechanism="zero")), 2)
    graph, images = _export(net), frames(20, 1, 1)
    with pytest.raises(UnsupportedModule, match=r"drops the input of that step.*reset_delay=False"):
        read_nir(graph, options("snntorch", reset="zero"))
    spikes = recorded(net, images.reshape(IMAGES, 20), [net[1]], lambda module, _: module.mem)[0][0]
    seen = run_by_hand(graph, images, steps=STEPS, compare="gt", reset="zero", dt=1e-4)
    assert not np.array_equal(seen["1"].swapaxes(0, 1), spikes)


def test_snntorch_one_beta_a_neuron_is_refused():
    snn = pytest.importorskip("snntorch")
    betas = torch.linspace(0.5, 0.9, 12)
    net = nn.Sequential(nn.Linear(20, 12), snn.Leaky(beta=betas, threshold=torch.ones(12), init_hidden=True))
    with pytest.raises(
        UnsupportedModule, match=r"node '1' \(LIF\) keeps 0\.5 .* in channel 0, 0\.536364 in channel 1.*one β"
    ):
        read_nir(_export(net), options("snntorch"))


# --- spikingjelly


def test_spikingjelly(tmp_path):
    """Input that decays too, or not; resets to 0 and elsewhere; learned τ; and a current-based neuron."""
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange.to_nir import export_to_nir

    net = seeded(
        nn.Sequential(
            layer.Conv2d(2, 3, 3, padding=1), neuron.LIFNode(tau=2.5, v_threshold=0.3), layer.AvgPool2d(2), layer.Flatten(),
            layer.Linear(48, 12), neuron.LIFNode(tau=4.0, decay_input=False, v_reset=-0.25), layer.Linear(12, 8),
            neuron.ParametricLIFNode(init_tau=3.0, v_threshold=0.2), layer.Linear(8, 5),
            neuron.CUBALIFNode(c_decay=0.0, v_decay=0.75, v_reset=0.0),
        ), 4
    )  # fmt: skip
    neurons = [net[1], net[5], net[7], net[9]]
    graph = export_to_nir(net, torch.zeros(1, 2, 8, 8))
    functional.reset_net(net)
    network = read_nir(reload(graph, tmp_path), options("spikingjelly"))
    assert [layer.leak for layer in network.layers[:4]] == pytest.approx([0.6, 0.75, 2 / 3, 0.75], abs=1e-7)
    images = frames(2, 8, 8)
    spikes, membranes, _ = recorded(net, images, neurons, lambda module, _: module.v)
    rules = {"compare": "ge", "reset": "value", "start": "reset", "dt": 1e-4}
    held(graph, network, images, spikes, membranes, **rules)
    quantized(network, images)
    for wrong in ({"start": "zero"}, {"drive": "whole"}):
        found = ours(read_nir(graph, options("spikingjelly", **wrong)), images)
        assert any(not np.array_equal(a, b.reshape(a.shape)) for a, b in zip(found, spikes, strict=True)), wrong


# --- sinabs


@pytest.mark.parametrize("norm", [True, False])
def test_sinabs(tmp_path, norm):
    """LIF with and without norm_input, and ExpLeak, which has none, as readout."""
    pytest.importorskip("sinabs", reason="sinabs wants nir ≤ 1.0.4 and samna: pip install --no-deps sinabs pbr")
    from sinabs import activation, layers
    from sinabs.nir import to_nir

    def fires(tau, theta, *shape):  # tensors, because nir finds no types of scalars, and writes no Flatten without
        return layers.LIFSqueeze(
            batch_size=IMAGES, tau_mem=torch.full(shape, tau), spike_threshold=torch.full(shape, theta),
            spike_fn=activation.SingleSpike, norm_input=norm,
        )  # fmt: skip

    low = 0.3 if norm else 1.0
    net = seeded(
        nn.Sequential(
            nn.Conv2d(2, 3, 3, padding=1, bias=False), fires(3.0, low, 3, 8, 8), layers.SumPool2d(2), nn.Flatten(), nn.Linear(48, 9),
            fires(8.0, low, 9), nn.Linear(9, 5), layers.ExpLeakSqueeze(batch_size=IMAGES, tau_mem=torch.full((5,), 10.0)),
        ), 6
    )  # fmt: skip
    graph = to_nir(net, torch.zeros(IMAGES, 2, 8, 8))
    graph.infer_types()
    for module in net:
        if hasattr(module, "reset_states"):
            module.reset_states()
    network = read_nir(reload(graph, tmp_path, None), options("sinabs", **({} if norm else {"drive": "whole"})))
    assert [layer.leak for layer in network.layers] == pytest.approx(np.exp([-1 / 3, -1 / 8, -1 / 10]), abs=1e-7)
    assert any("norm_input" in warning for warning in network.provenance["nir"]["warnings"])
    images = frames(2, 8, 8)
    spikes, membranes, last = recorded(net, images, [net[1], net[5]], lambda module, _: module.v_mem)
    rules = {"compare": "ge", "reset": "subtract", "decay": "exp", "drive": "share" if norm else "whole"}
    held(graph, network, images, spikes, membranes, **rules)
    assert np.allclose(floating.run(network, images) * STEPS, last.numpy(), rtol=1e-5, atol=1e-5)
    quantized(network, images)


# --- Norse


def test_norse(tmp_path):
    """A resting potential, where it starts too; the input decays; a current-based neuron; a leaky integrator as readout."""
    norse = pytest.importorskip("norse.torch")

    def fires(tau_inv, threshold, leak=0.0):
        values = {"tau_mem_inv": tau_inv, "v_th": threshold, "v_leak": leak}
        return norse.LIFBoxCell(norse.LIFBoxParameters(**{key: torch.tensor(value) for key, value in values.items()}))

    short = norse.LIFParameters(
        tau_syn_inv=torch.tensor(1000.0), tau_mem_inv=torch.tensor(250.0), v_th=torch.tensor(0.2)
    )
    net = seeded(
        norse.SequentialState(
            nn.Linear(20, 12), fires(200.0, 0.25, 0.125), nn.Linear(12, 9), norse.LIFCell(short), nn.Linear(9, 7),
            fires(300.0, 0.2), nn.Linear(7, 5), norse.LIBoxCell(),
        ), 8
    )  # fmt: skip
    graph = norse.to_nir(net, torch.zeros(1, 20))
    network = read_nir(reload(graph, tmp_path, None), options("norse", input_shape=(20, 1, 1)))
    assert [layer.leak for layer in network.layers] == pytest.approx([0.8, 0.75, 0.7, 0.9], abs=1e-7)
    assert any("product of the two" in warning for warning in network.provenance["nir"]["warnings"])

    def run(net, x):
        state = None
        for _ in range(STEPS):
            out, state = net(x, state)
        return out

    images = frames(20, 1, 1)
    neurons = [net[1], net[3], net[5]]
    found = recorded(net, images.reshape(IMAGES, 20), neurons, lambda _, out: out[1].v, run)
    rules = {"compare": "gt", "reset": "value", "start": "leak", "dt": 1e-6}
    held(graph, network, images, *found[:2], **rules)
    assert np.allclose(floating.run(network, images) * STEPS, found[2].detach().numpy(), rtol=1e-5, atol=1e-5)
    quantized(network, images)
