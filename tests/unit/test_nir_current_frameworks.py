"""Synaptic currents of other frameworks: our float network fires as theirs does, neuron by neuron and step by step.

Held as in ``tests.unit.test_nir_leak_frameworks``, whose text says why spikes are asserted to be equal: the largest distance of
the framework's membranes to those in float64 is measured, and so is the smallest distance of a membrane to its threshold. A
current that lasts adds one rounding a step to each membrane, and makes membranes some 1/(1 − α) times as large.
"""

import warnings

import nir
import numpy as np
import pytest
import torch
from torch import nn

from sim import floating, golden, oracle
from tests.nir_by_hand import run_by_hand
from tests.unit.test_nir_frameworks import IMAGES, STEPS, frames, options, ours, reload
from tests.unit.test_nir_leak_frameworks import held, quantized, recorded, seeded
from toolchain.errors import UnsupportedModule
from toolchain.interchange import Options, read_nir
from toolchain.quantize import quantize

SHARES = [(0.5, 0.9), (0.8, 0.8), (0.9, 0.95), (0.95, 0.6)]
"""α and β."""


def differ(graph, images, spikes, chosen, **wrong):
    """Another rule than the framework's gives other spikes."""
    found = ours(read_nir(graph, options(**{**chosen, **wrong})), images)
    assert any(not np.array_equal(a, b.reshape(a.shape)) for a, b in zip(found, spikes, strict=True)), wrong


# --- snnTorch


def synaptic(alpha, beta, reset="subtract", *, delay=True, dense=False):
    snn = pytest.importorskip("snntorch")
    from snntorch.export_nir import export_to_nir

    def fires(*shape, threshold=1.0):
        return snn.Synaptic(
            alpha=torch.full(shape, alpha), beta=torch.full(shape, beta), threshold=torch.full(shape, threshold), init_hidden=True,
            reset_mechanism=reset, reset_delay=delay,
        )  # fmt: skip

    if dense:
        net = nn.Sequential(nn.Linear(20, 12), fires(12), nn.Linear(12, 5), fires(5, threshold=0.5))
    else:
        net = nn.Sequential(
            nn.Conv2d(2, 3, 3, padding=1), fires(3, 8, 8), nn.AvgPool2d((2, 2)), nn.Conv2d(3, 4, 3),
            fires(4, 2, 2, threshold=0.5), nn.Flatten(), nn.Linear(16, 5), fires(5),
        )  # fmt: skip
    net = seeded(net, 1, gain=1 - alpha)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = export_to_nir(net, torch.zeros(1, *((20,) if dense else (2, 8, 8))), ignore_dims=[0])
    return net, graph, [module for module in net if isinstance(module, snn.Synaptic)]


@pytest.mark.parametrize(("alpha", "beta"), SHARES)
@pytest.mark.parametrize(("reset", "delay"), [("subtract", True), ("zero", False)])
def test_snntorch(tmp_path, alpha, beta, reset, delay):
    net, graph, neurons = synaptic(alpha, beta, reset, delay=delay)
    order = "leak_first" if delay else "reset_first"
    network = read_nir(reload(graph, tmp_path), options("snntorch", reset=reset, leak_order=order))
    for layer in network.layers[:3]:
        assert (layer.current_leak, layer.leak) == (np.float32(alpha), np.float32(beta)), "to the last bit of float32"
    assert network.leak_order == order
    images = frames(2, 8, 8)
    spikes, membranes, _ = recorded(net, images, neurons, lambda module, _: module.mem)
    held(graph, network, images, spikes, membranes, before_reset=delay, compare="gt", reset=reset, order=order, dt=1e-4)
    quantized(network, images)


def test_snntorch_drops_input_where_a_reset_to_zero_is_late():
    with pytest.raises(UnsupportedModule, match=r"drops the input of that step.*reset_delay=False"):
        read_nir(synaptic(0.8, 0.9, "zero", dense=True)[1], options("snntorch", reset="zero"))


# --- spikingjelly


@pytest.mark.parametrize(("alpha", "beta"), SHARES)
def test_spikingjelly(tmp_path, alpha, beta):
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange.to_nir import export_to_nir

    def fires(threshold):
        return neuron.CUBALIFNode(c_decay=alpha, v_decay=beta, v_threshold=threshold, v_reset=0.0)

    net = seeded(
        nn.Sequential(
            layer.Conv2d(2, 3, 3, padding=1), fires(1.0), layer.AvgPool2d(2), layer.Flatten(), layer.Linear(48, 12), fires(0.7),
            layer.Linear(12, 5), neuron.LIFNode(tau=3.0, v_threshold=0.2),
        ), 4, gain=1 - alpha
    )  # fmt: skip
    nn.init.normal_(net[6].weight)
    neurons = [net[1], net[5], net[7]]
    graph = export_to_nir(net, torch.zeros(1, 2, 8, 8))
    functional.reset_net(net)
    network = read_nir(reload(graph, tmp_path), options("spikingjelly"))
    assert [layer.current_leak for layer in network.layers[:3]] == [pytest.approx(alpha), pytest.approx(alpha), None]
    assert [layer.leak for layer in network.layers[:3]] == pytest.approx([beta, beta, 2 / 3])
    images = frames(2, 8, 8)
    spikes, membranes, _ = recorded(net, images, neurons, lambda module, _: module.v)
    held(graph, network, images, spikes, membranes, compare="ge", reset="value", start="reset", dt=1e-4)
    quantized(network, images)


def test_spikingjelly_that_resets_elsewhere_is_refused():
    """Its membrane leaks towards 0, and is reset to something else."""
    from spikingjelly.activation_based import layer, neuron
    from spikingjelly.activation_based.nir_exchange.to_nir import export_to_nir

    net = nn.Sequential(layer.Linear(20, 12), neuron.CUBALIFNode(v_reset=-0.25))
    with pytest.raises(
        UnsupportedModule, match=r"leaks towards v_leak = 0 and is reset to -0\.25, and its synaptic current lasts"
    ):
        read_nir(export_to_nir(net, torch.zeros(1, 20)), options("spikingjelly"))


# --- sinabs


def sinabs_network(norm, slow):
    """Two LIF with tau_syn, and ExpLeak as readout, or, without, a LIF behind an ExpLeak."""
    pytest.importorskip("sinabs", reason="sinabs wants nir ≤ 1.0.4 and samna: pip install --no-deps sinabs pbr")
    from sinabs import activation, layers
    from sinabs.nir import to_nir

    def fires(tau, theta, *shape):
        more = {} if slow is None else {"tau_syn": torch.full(shape, slow)}
        return layers.LIFSqueeze(
            batch_size=IMAGES, tau_mem=torch.full(shape, tau), spike_threshold=torch.full(shape, theta),
            spike_fn=activation.SingleSpike, norm_input=norm, **more,
        )  # fmt: skip

    def leaks(tau, size):
        return layers.ExpLeakSqueeze(batch_size=IMAGES, tau_mem=torch.full((size,), tau))

    low = 0.3 if norm else 1.0
    first = (
        nn.Conv2d(2, 3, 3, padding=1, bias=False),
        fires(3.0, low, 3, 8, 8),
        layers.SumPool2d(2),
        nn.Flatten(),
        nn.Linear(48, 9),
    )
    before = [] if slow is not None else [leaks(2.5, 9)]
    net = seeded(
        nn.Sequential(*first, *before, fires(8.0, low, 9), nn.Linear(9, 5), leaks(10.0, 5)), 6, gain=1 if norm else 0.3
    )
    graph = to_nir(net, torch.zeros(IMAGES, 2, 8, 8))
    graph.infer_types()
    for module in net:
        if hasattr(module, "reset_states"):
            module.reset_states()
    return net, graph, [module for module in net if isinstance(module, layers.LIFSqueeze)]


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("slow", [1.5, 4.0])
def test_sinabs_with_tau_syn(tmp_path, norm, slow):
    """Its file leaves tau_syn out: --tau-syn says it. The graph by hand is that file with CubaLIF in the place of LIF."""
    net, graph, neurons = sinabs_network(norm, slow)
    chosen = {"preset": "sinabs", **({} if norm else {"drive": "whole"})}
    network = read_nir(reload(graph, tmp_path, None), options(**chosen, tau_syn=slow))
    alpha = pytest.approx(np.exp(-1 / slow), abs=1e-7)
    assert [layer.current_leak for layer in network.layers] == [alpha, alpha, None]
    for name, node in graph.nodes.items():
        if isinstance(node, nir.LIF):
            tau = torch.full_like(node.tau, slow)
            graph.nodes[name] = nir.CubaLIF(tau, node.tau, node.r, node.v_leak, node.v_threshold)
    told = read_nir(graph, options(**chosen))
    assert told.fingerprint == network.fingerprint
    images = frames(2, 8, 8)
    spikes, membranes, last = recorded(net, images, neurons, lambda module, _: module.v_mem)
    rules = {"decay": "exp", "drive": "share" if norm else "whole", "current_drive": "kept"}
    held(graph, network, images, spikes, membranes, compare="ge", reset="subtract", **rules)
    assert np.allclose(floating.run(network, images) * STEPS, last.numpy(), rtol=1e-5, atol=1e-5)
    quantized(network, images)
    for wrong in ("whole", "share"):
        differ(graph, images, spikes, chosen, current_drive=wrong)


def test_sinabs_exp_leak_before_lif(tmp_path):
    """An ExpLeak between a Linear and a LIF is its synaptic current."""
    net, graph, neurons = sinabs_network(False, None)
    network = read_nir(reload(graph, tmp_path, None), options("sinabs", drive="whole"))
    assert [layer.current_leak for layer in network.layers] == [None, pytest.approx(np.exp(-1 / 2.5), abs=1e-7), None]
    images = frames(2, 8, 8)
    spikes, membranes, last = recorded(net, images, neurons, lambda module, _: module.v_mem)
    held(graph, network, images, spikes, membranes, compare="ge", reset="subtract", decay="exp", drive="whole")
    assert np.allclose(floating.run(network, images) * STEPS, last.numpy(), rtol=1e-5, atol=1e-5)
    quantized(network, images)


# --- Norse


def norse_network(alpha, beta):
    norse = pytest.importorskip("norse.torch")

    def fires(threshold):
        values = {"tau_syn_inv": 1000 * (1 - alpha), "tau_mem_inv": 1000 * (1 - beta), "v_th": threshold}
        return norse.LIFCell(norse.LIFParameters(**{key: torch.tensor(value) for key, value in values.items()}))

    net = seeded(
        norse.SequentialState(nn.Linear(20, 12), fires(0.5), nn.Linear(12, 9), fires(0.3), nn.Linear(9, 5), norse.LIBoxCell()), 8,
        gain=0.5 / (1 - beta) * (1 - alpha),
    )  # fmt: skip
    return net, norse.to_nir(net, torch.zeros(1, 20)), [net[1], net[3]]


@pytest.mark.parametrize(("alpha", "beta"), SHARES)
def test_norse(tmp_path, alpha, beta):
    """LIFCell, whose current takes its input whole; a leaky integrator as readout. Its membrane takes it in the same step."""
    net, graph, neurons = norse_network(alpha, beta)
    network = read_nir(reload(graph, tmp_path, None), options("norse", input_shape=(20, 1, 1)))
    assert [layer.current_leak for layer in network.layers] == [*[pytest.approx(alpha, abs=1e-6)] * 2, None]
    assert [layer.leak for layer in network.layers] == pytest.approx([beta, beta, 0.9], abs=1e-6)

    def run(net, x):
        state = None
        for _ in range(STEPS):
            out, state = net(x, state)
        return out

    images = frames(20, 1, 1)
    spikes, membranes, last = recorded(net, images.reshape(IMAGES, 20), neurons, lambda _, out: out[1].v, run)
    rules = {"compare": "gt", "reset": "value", "start": "leak", "dt": 1e-6, "current_drive": "whole"}
    held(graph, network, images, spikes, membranes, **rules)
    assert np.allclose(floating.run(network, images) * STEPS, last.detach().numpy(), rtol=1e-5, atol=1e-5)
    quantized(network, images)
    differ(graph, images, spikes, {"preset": "norse", "input_shape": (20, 1, 1)}, current_drive="tau")


# --- Rockpool


def rockpool_network(kind, slow, tau):
    """Linear and LIFTorch twice, or Linear, ExpSynTorch, LIFNeuronTorch and a readout of ExpSynTorch."""
    pytest.importorskip("rockpool", reason="rockpool stands in no extra: pip install rockpool==3.1.0")
    from rockpool import parameters
    from rockpool.nn import modules
    from rockpool.nn.combinators import Sequential
    from rockpool.nn.modules.torch.nir import to_nir

    def constant(size, value):
        return parameters.Constant(torch.full((size,), value))

    def fires(size):
        more = {
            "tau_mem": constant(size, tau),
            "threshold": constant(size, 1.0),
            "bias": constant(size, 0.0),
            "dt": 1e-3,
        }
        more |= {"noise_std": 0.0, "max_spikes_per_dt": torch.tensor(1.0)}
        if kind == "LIFTorch":
            return [modules.LIFTorch(size, tau_syn=parameters.Constant(torch.full((size, 1), slow)), **more)]
        return [modules.ExpSynTorch(size, tau=constant(size, slow), dt=1e-3), modules.LIFNeuronTorch(size, **more)]

    def dense(*shape):
        return modules.LinearTorch(shape, has_bias=True)

    ends = [modules.ExpSynTorch(5, tau=constant(5, 4e-3), dt=1e-3)]
    net = Sequential(dense(20, 12), *fires(12), dense(12, 9), *fires(9), dense(9, 5), *ends)
    generator = torch.Generator().manual_seed(3)
    share = 1 - np.exp(-1e-3 / slow)
    linear = [module for module in net.modules().values() if isinstance(module, modules.LinearTorch)]
    for gain, module in zip((2, 5, 5), linear, strict=True):
        shape = module.weight.shape
        module.weight.data = torch.randn(shape, generator=generator) * gain * share / shape[0] ** 0.5
        module.bias.data = torch.randn(shape[1:], generator=generator) * 0.1 * share
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = to_nir(net, torch.zeros(1, 1, 20))
    return net.reset_state(), graph


@pytest.mark.parametrize("kind", ["LIFTorch", "ExpSynTorch"])
@pytest.mark.parametrize(("slow", "tau"), [(2e-3, 6e-3), (2e-2, 2e-2), (5e-3, 1.5e-3)])
def test_rockpool(tmp_path, kind, slow, tau):
    """The file as it is written: Input (1, 1, 20), Output (1, 1, 5)."""
    net, graph = rockpool_network(kind, slow, tau)
    assert graph.nodes["input"].input_type["input"].tolist() == [1, 1, 20]
    network = read_nir(reload(graph, tmp_path, None), options("rockpool"))
    alpha, beta = (pytest.approx(np.exp(-1e-3 / value), abs=1e-6) for value in (slow, tau))
    assert [layer.current_leak for layer in network.layers] == [alpha, alpha, None]
    assert [layer.leak for layer in network.layers[:2]] == [beta, beta]
    images = frames(20, 1, 1)
    x = torch.tensor(images.reshape(IMAGES, 1, 20)).float().repeat(1, STEPS, 1) / 256
    out, _, record = net(x, record=True)
    parts = [record[name] for name in record if name.endswith(("LIFTorch", "LIFNeuronTorch"))]
    spikes = [part["spikes"].detach().numpy() for part in parts]
    graph.nodes["input"].input_type["input"] = np.array([20])
    rules = {"compare": "ge", "reset": "subtract", "decay": "exp", "drive": "tau", "current_drive": "kept", "dt": 1e-3}
    for node in graph.nodes.values():  # r·dt/τ is 1/β of the gain of a LIF, and the gain of a LI
        if isinstance(node, nir.LIF | nir.CubaLIF):
            node.r = np.asarray(node.r, np.float64) * np.exp(1e-3 / tau)
    held(graph, network, images, spikes, [part["vmem"].detach().numpy() for part in parts], **rules)
    assert np.allclose(floating.run(network, images) * STEPS, out[:, -1].detach().numpy(), rtol=1e-5, atol=1e-5)
    quantized(network, images)


# --- the step in which a current reaches the membrane


@pytest.mark.parametrize("framework", ["snntorch", "norse", "rockpool"])
def test_spikes_reach_the_membrane_in_their_own_step(framework):
    """Driven by spikes, where a step shows: a reading by which the membrane takes the current a step later is another."""
    trains = (np.random.default_rng(7).random((IMAGES, STEPS, 20, 1, 1)) < 0.3).astype(np.int8)
    x, chosen = torch.tensor(trains).float().flatten(2), Options(framework, time_steps=STEPS, input="spikes")
    if framework == "rockpool":
        net, graph = rockpool_network("LIFTorch", 5e-3, 6e-3)
        _, _, record = net(x, record=True)
        first = record["1_LIFTorch"]["spikes"].detach().numpy()
        network = read_nir(graph, chosen)
        graph.nodes["1_LIFTorch"].r = np.asarray(graph.nodes["1_LIFTorch"].r, np.float64) * np.exp(1e-3 / 6e-3)
        rules = {"compare": "ge", "reset": "subtract", "decay": "exp", "current_drive": "kept", "dt": 1e-3}
    else:
        net, graph, neurons = synaptic(0.8, 0.85, dense=True) if framework == "snntorch" else norse_network(0.8, 0.85)
        network = read_nir(graph, chosen)
        seen, state = [], None
        for step in x.transpose(0, 1):
            if framework == "norse":
                hook = neurons[0].register_forward_hook(lambda _m, _i, out: seen.append(out[0].detach()))
                _, state = net(step, state)
                hook.remove()
            else:
                seen.append(neurons[0](net[0](step)))
        first = torch.stack(seen, dim=1).numpy()
        rules = {
            "snntorch": {"compare": "gt", "reset": "subtract", "order": "leak_first", "dt": 1e-4},
            "norse": {"compare": "gt", "reset": "value", "start": "leak", "dt": 1e-6, "current_drive": "whole"},
        }[framework]
    name = next(name for name, node in graph.nodes.items() if isinstance(node, nir.CubaLIF))
    by_hand, late = (
        run_by_hand(graph, trains[..., 0, 0], steps=STEPS, scale=1, late=late, **rules)[name]
        .swapaxes(0, 1)
        .reshape(first.shape)
        for late in (False, True)
    )
    assert 0.01 < first.mean() < 0.9
    assert np.array_equal(by_hand, first) and not np.array_equal(late, first)
    assert np.array_equal(ours(network, trains)[0].reshape(first.shape), first)
    fixed = quantize(network, 8)
    trace, exact = golden.run(fixed, trains, "spikes"), oracle.run(fixed, trains)
    assert np.array_equal(trace.scores, exact.scores)
    assert all(np.array_equal(a, b) for a, b in zip(trace.spikes, exact.spikes, strict=True))
