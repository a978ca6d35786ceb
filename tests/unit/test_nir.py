"""NIR graphs in and out: what is read means what the graph says, what is written reads back exactly, the rest is refused."""

import json
import re
from dataclasses import dataclass, fields, replace

import h5py
import nir
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sim import floating
from sim.passage import passages
from tests.nir_graphs import chain, dense, fires, image, random_spiking
from tests.unit.test_architectures import JOINS, Joined
from tests.unit.test_graph import INPUTS
from toolchain import cli
from toolchain.cli.interchange import PRESET_NAMES
from toolchain.connection import Connection
from toolchain.convert import convert
from toolchain.errors import InvalidValue, NetworkFileError, SpikeloomError, UnsupportedModule
from toolchain.interchange import PRESETS, Options, read_nir, to_nir, write_nir
from toolchain.interchange.graph import FIELDS, MAX_NODES, graph_of
from toolchain.ir import INPUT, SpikingLayer, SpikingNetwork
from toolchain.netfile import load_network, save_network
from toolchain.quantize import quantize

RNG = np.random.default_rng(0)
SCALE = 1 / 256


def options(**chosen):
    return Options(**{"preset": "sinabs", "time_steps": 9, "pixel_scale": SCALE, **chosen})


def frames(*shape):
    return np.random.default_rng(3).integers(0, 256, (4, *shape)).astype(np.uint8)


def spikes_of(network, images):
    trains = {}
    for passage in passages(network, images):
        if passage.spikes is not None:
            trains.setdefault(passage.layer, []).append(passage.spikes.numpy())
    return [np.concatenate(parts) for _, parts in sorted(trains.items())]


def run_by_hand(graph, images, *, compare, reset, steps, dt=1.0):
    """A second reading of NIR: node by node and step by step in float64; values at every node, [T, N, …]."""
    order = [node.name for node in graph_of(graph).order()]
    state, seen = {}, {name: [] for name in order}
    x = torch.tensor(images).double() * SCALE
    for _ in range(steps):
        values = {}
        for name in order:
            node, into = graph.nodes[name], [values[a] for a, b in graph.edges if b == name]
            values[name] = _node(node, name, into, x, state, compare, reset, dt)
            seen[name].append(values[name])
    return {name: torch.stack(each).numpy() for name, each in seen.items()}


def _node(node, name, into, x, state, compare, reset, dt):
    kind = type(node).__name__
    if kind == "Input":
        return x.reshape(len(x), *node.input_type["input"])
    total = sum(into[1:], into[0])
    if kind in ("Affine", "Linear"):
        return total @ torch.tensor(node.weight).T + (torch.tensor(node.bias) if kind == "Affine" else 0)
    if kind in ("Conv1d", "Conv2d"):
        conv = F.conv1d if kind == "Conv1d" else F.conv2d
        padding = node.padding if not isinstance(node.padding, np.ndarray) else tuple(node.padding)
        more = {"stride": node.stride, "padding": padding, "dilation": node.dilation, "groups": node.groups}
        return conv(total, torch.tensor(node.weight), torch.tensor(node.bias), **more)
    if kind in ("AvgPool2d", "SumPool2d"):
        size = tuple(int(k) for k in np.broadcast_to(node.kernel_size, 2))
        return F.avg_pool2d(total, size, divisor_override=1 if kind == "SumPool2d" else None)
    if kind == "Flatten":
        return total.flatten(1)
    if kind == "Scale":
        return total * torch.tensor(node.scale)
    if kind == "Output":
        return total
    v = state.get(name, torch.zeros_like(total)) + torch.tensor(node.r) * dt * total
    if kind == "I":
        state[name] = v
        return v
    theta = torch.tensor(node.v_threshold)
    z = (v >= theta if compare == "ge" else v > theta).double()
    rest = torch.tensor(node.v_reset)
    state[name] = v - z * theta if reset == "subtract" else (1 - z) * v + z * rest
    return z


def agree(graph, shape, **rules):
    """Our network against ``run_by_hand``: every spike of every IF, and the scores."""
    images = frames(*shape)
    rules = {"compare": "ge", "reset": "subtract", "steps": 9, **rules}
    chosen = {key: rules[key] for key in ("compare", "reset")}
    network = read_nir(graph, options(time_steps=rules["steps"], dt=rules.get("dt"), **chosen))
    seen = run_by_hand(graph, images, **rules)
    mine = spikes_of(network, images)
    names = [layer.name for layer in network.layers if layer.threshold is not None]
    for name, train in zip(names, mine, strict=True):
        expected = seen[name].reshape(train.shape)
        assert 0 < expected.mean() < 1
        assert np.array_equal(train, expected), name
    last = seen["output"]
    total = last[-1] if isinstance(graph.nodes[{b: a for a, b in graph.edges}["output"]], nir.I) else last.sum(axis=0)
    assert np.array_equal(
        floating.run(network, images) * network.time_steps, total.reshape(len(images), -1).astype(np.float32)
    )
    return network


# --- what is read


@pytest.mark.parametrize("compare", ["ge", "gt"])
@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_an_image_graph_with_every_linear_node(compare, reset):
    network = agree(image(np.random.default_rng(1)), (2, 8, 8), compare=compare, reset=reset)
    assert [c.pool for layer in network.layers for c in layer.connections] == [(1, 1), (2, 2), (2, 2)]
    assert [c.weight.size for layer in network.layers for c in layer.connections] == [54, 36, 80], (
        "convolutions stay so"
    )
    assert (network.schedule, network.input, network.time_steps) == ("stream", "direct", 9)


def test_conv1d():
    rng = np.random.default_rng(2)
    first = nir.Conv1d(16, rng.integers(-8, 9, (3, 2, 5)) / 16, 2, 1, 1, 1, rng.integers(-4, 5, 3) / 16)
    second = nir.Conv1d(None, rng.integers(-16, 17, (4, 3, 3)) / 16, 1, "same", 1, 1, np.zeros(4))
    graph = chain(first, fires(3, 7), second, fires(4, 7), nir.Flatten(None, 0, -1), dense(rng, 3, 28), shape=(2, 16))
    network = agree(graph, (2, 1, 16))
    assert network.input_shape == (2, 1, 16) and network.layers[0].connections[0].weight.shape == (3, 2, 1, 5)


def test_pooling_of_a_current_is_folded_into_the_convolution_before_it():
    rng = np.random.default_rng(3)
    conv = nir.Conv2d(
        (9, 8), rng.integers(-8, 9, (3, 1, 3, 2)) / 16, (1, 2), (1, 0), (1, 1), 1, rng.integers(-4, 5, 3) / 16
    )
    pool = nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    graph = chain(
        conv, pool, fires(3, 4, 2, threshold=0.25), nir.Flatten(None, 0, -1), dense(rng, 3, 24), shape=(1, 9, 8)
    )
    network = agree(graph, (1, 9, 8))
    assert network.layers[0].connections[0].stride == (2, 4)


def convolution(rng, shape, *, stride=1, padding=(0, 0), dilation=(1, 1), groups=1):
    """Weights and biases that are multiples of 1/16."""
    kind = nir.Conv1d if len(shape) == 3 else nir.Conv2d
    return kind(
        None, rng.integers(-8, 9, shape) / 16, stride, padding, dilation, groups, rng.integers(-4, 5, shape[0]) / 16
    )


@pytest.mark.parametrize(
    ("kernel", "chosen", "size", "pads"),
    [
        ((4, 2, 3, 3), {"groups": 2, "dilation": (2, 1), "padding": (2, 1)}, (9, 8), ((2, 1), (2, 1))),
        ((8, 1, 2, 3), {"groups": 4, "stride": (2, 1), "dilation": (3, 2)}, (3, 4), ((0, 0), (0, 0))),
        ((4, 1, 2, 3), {"groups": 4, "padding": "same"}, (9, 8), ((0, 1), (1, 1))),
        ((3, 4, 4, 2), {"dilation": (1, 3), "padding": "same"}, (9, 8), ((1, 1), (2, 2))),
    ],
)  # fmt: skip
def test_groups_dilation_and_padding_same(kernel, chosen, size, pads):
    rng = np.random.default_rng(20)
    outputs, places = kernel[0], kernel[0] * size[0] * size[1]
    rest = fires(outputs, *size, threshold=0.75), nir.Flatten(None, 0, -1), dense(rng, 3, places)
    network = agree(chain(convolution(rng, kernel, **chosen), *rest, shape=(4, 9, 8)), (4, 9, 8))
    found = network.layers[0].connections[0]
    assert (found.padding, found.padding_after) == pads and found.weight.shape == kernel
    assert (found.groups, found.dilation) == (chosen.get("groups", 1), chosen.get("dilation", (1, 1)))
    assert read_nir(to_nir(network)).fingerprint == network.fingerprint


def test_conv1d_with_groups_dilation_and_padding_same():
    rng = np.random.default_rng(21)
    first = convolution(rng, (4, 1, 4), padding="same", dilation=3, groups=2)
    second = convolution(rng, (4, 2, 3), padding=1, dilation=2, groups=2, stride=2)
    rest = fires(4, 7), nir.Flatten(None, 0, -1), dense(rng, 3, 28)
    network = agree(chain(first, fires(4, 16), second, *rest, shape=(2, 16)), (2, 1, 16))
    one, two = (layer.connections[0] for layer in network.layers[:2])
    assert (one.padding, one.padding_after, one.dilation, one.groups) == ((0, 4), (0, 5), (1, 3), 2)
    assert (two.padding, two.padding_after, two.dilation, two.groups) == ((0, 1), (0, 1), (1, 2), 2)
    assert read_nir(to_nir(network)).fingerprint == network.fingerprint


@pytest.mark.parametrize(
    ("kernel", "chosen", "window", "folded"),
    [
        ((4, 2, 3, 2), {"groups": 2, "dilation": (2, 2), "stride": (2, 1)}, (2, 2), ((4, 4), (2, 1))),
        (
            (4, 1, 3, 3),
            {"groups": 4, "dilation": (2, 3), "stride": (3, 2), "padding": (2, 2)},
            (1, 2),
            ((3, 9), (2, 1)),
        ),
        ((2, 4, 1, 2), {"dilation": (5, 4), "stride": (2, 2), "padding": "valid"}, (2, 2), ((2, 4), (2, 2))),
        ((4, 2, 2, 2), {"groups": 2, "padding": "same"}, (3, 2), ((4, 3), (1, 1))),
    ],
)
def test_pooling_of_a_grouped_or_dilated_current_is_folded_exactly(kernel, chosen, window, folded):
    """Along each axis the folded kernel's spacing is what divides both dilation and stride."""
    rng = np.random.default_rng(26)
    conv, pair = convolution(rng, kernel, **chosen), np.array(window)
    x = torch.zeros(1, 4, 12, 13)
    padding = conv.padding if isinstance(conv.padding, str) else tuple(conv.padding)
    whole = F.conv2d(
        x,
        torch.tensor(conv.weight).float(),
        stride=conv.stride,
        padding=padding,
        dilation=conv.dilation,
        groups=conv.groups,
    )
    size = F.avg_pool2d(whole, window).shape[1:]
    pool = nir.SumPool2d(pair, pair, np.array([0, 0]))
    rest = fires(*size), nir.Flatten(None, 0, -1), dense(rng, 3, int(np.prod(size)))
    network = agree(chain(conv, pool, *rest, shape=(4, 12, 13)), (4, 12, 13))
    found = network.layers[0].connections[0]
    assert (found.kernel, found.dilation) == folded and found.groups == conv.groups
    assert np.count_nonzero(found.weight.any(axis=(0, 1))) <= np.prod(folded[0])


def residual(rng):
    """Two frames of spikes, of which the first goes round a depthwise convolution and pooled into a vector."""
    zero, two, four = np.array([0, 0]), np.array([2, 2]), np.array([4, 4])
    nodes = {
        "input": nir.Input(np.array([2, 8, 8])), "a": convolution(rng, (4, 2, 3, 3), padding=(1, 1)), "one": fires(4, 8, 8),
        "b": convolution(rng, (4, 1, 3, 3), padding=(2, 2), dilation=(2, 2), groups=4), "two": fires(4, 8, 8, threshold=2.0),
        "half": nir.AvgPool2d(two, two, zero), "rest": nir.AvgPool2d(four, four, zero), "twice": nir.Scale(np.full((4, 2, 2), 2.0)),
        "c": convolution(rng, (4, 4, 3, 3)), "three": fires(4, 2, 2), "d": nir.Flatten(None, 0, -1), "e": dense(rng, 3, 16),
        "scores": nir.Output(np.array([3])),
    }  # fmt: skip
    edges = [
        ("input", "a"), ("a", "one"), ("one", "b"), ("b", "two"), ("one", "two"), ("two", "half"), ("half", "c"), ("c", "three"),
        ("one", "rest"), ("rest", "twice"), ("twice", "three"), ("three", "d"), ("d", "e"), ("e", "output"),
    ]  # fmt: skip
    nodes["output"] = nodes.pop("scores")
    return nir.NIRGraph(nodes, edges, type_check=False)


def test_spikes_that_join_a_sum_without_weights_are_identities():
    network = agree(residual(np.random.default_rng(23)), (2, 8, 8))
    kinds = [[c.kind for c in layer.connections] for layer in network.layers]
    assert kinds == [["conv2d"], ["conv2d", "identity"], ["conv2d", "identity"], ["linear"]]
    straight, pooled = (network.layers[index].connections[1] for index in (1, 2))
    assert (straight.weight.shape, straight.groups, straight.pool) == ((4, 1, 1, 1), 4, (1, 1))
    assert pooled.pool == (4, 4) and (pooled.weight == 2 / 16).all()
    graph = to_nir(network)
    assert read_nir(graph).fingerprint == network.fingerprint
    images = frames(2, 8, 8)
    seen = run_by_hand(graph, images, compare="ge", reset="subtract", steps=9)
    for index, train in enumerate(spikes_of(network, images)):
        assert np.array_equal(train, seen[f"{index}_neuron"].reshape(train.shape))
    foreign = read_nir(graph, options())  # without our metadata: the same sums, of a convolution
    assert foreign.layers[1].connections[1].kind == "conv2d"
    assert np.array_equal(floating.run(foreign, images), floating.run(network, images))


def test_joins_branches_and_spikes_without_weights():
    """Two synapses into one neuron, one spike train into two neurons, and spikes that enter a neuron as they are."""
    rng = np.random.default_rng(4)
    nodes = {
        "input": nir.Input(np.array([6])), "a": dense(rng, 4, 6), "one": fires(4), "b": dense(rng, 4, 4), "two": fires(4),
        "c": dense(rng, 4, 4), "three": fires(4, threshold=1.5), "four": fires(4, threshold=2.0),
        "d": dense(rng, 3, 4), "output": nir.Output(np.array([3])),
    }  # fmt: skip
    edges = [
        ("input", "a"), ("a", "one"), ("one", "b"), ("b", "two"), ("two", "c"), ("c", "three"), ("one", "three"),
        ("three", "four"), ("one", "four"), ("four", "d"), ("d", "output"),
    ]  # fmt: skip
    network = agree(nir.NIRGraph(nodes, edges, type_check=False), (6, 1, 1))
    assert [len(layer.connections) for layer in network.layers] == [1, 1, 2, 2, 1]
    assert [c.kind for c in network.layers[2].connections] == ["linear", "identity"]
    graph = to_nir(network)
    assert "Conv2d" not in [type(node).__name__ for node in graph.nodes.values()], "NIR's vectors are not convolved"
    assert read_nir(graph).fingerprint == network.fingerprint


def test_a_graph_inside_a_graph_is_read_in_its_place():
    rng = np.random.default_rng(5)
    inner = nir.NIRGraph(
        {"input": nir.Input(np.array([4])), "w": dense(rng, 4, 4), "if": fires(4), "output": nir.Output(np.array([4]))},
        [("input", "w"), ("w", "if"), ("if", "output")], type_check=False,
    )  # fmt: skip
    nested = chain(dense(rng, 4, 6), fires(4), inner, dense(rng, 3, 4))
    flat = chain(nested.nodes["0"], nested.nodes["1"], inner.nodes["w"], inner.nodes["if"], nested.nodes["3"])
    a, b = read_nir(nested, options()), read_nir(flat, options())
    assert a.fingerprint == b.fingerprint and a.layers[1].name == "2.if"


@pytest.mark.parametrize("end", ["current", "integrator", "spikes"])
def test_readouts(end):
    """A graph may end in currents, in an I, or in spikes, which are then counted."""
    rng = np.random.default_rng(6)
    last = {"current": [], "integrator": [nir.I(r=np.full(3, 0.5))], "spikes": [fires(3)]}[end]
    network = agree(chain(dense(rng, 5, 6), fires(5), dense(rng, 3, 5), *last), (6, 1, 1))
    assert len(network.layers) == (3 if end == "spikes" else 2)


def test_the_last_membrane_as_readout():
    rng = np.random.default_rng(7)
    graph = chain(dense(rng, 5, 6), fires(5), dense(rng, 3, 5), fires(3))
    network = read_nir(graph, options(readout="membrane"))
    plain = read_nir(chain(*(graph.nodes[name] for name in "012")), options())
    assert network.fingerprint == plain.fingerprint


def test_resets_to_a_value_and_starts():
    """Reset to v_reset is reset to 0, counted from there; V(0) = 0 is then −v_reset."""
    node = fires(3, threshold=1.0, v_reset=np.array([0.25, -0.5, 0.0]))
    graph = chain(dense(RNG, 3, 6), node, nir.Linear(np.eye(3)))
    layer = read_nir(graph, options(reset="value", start="reset")).layers[0]
    assert layer.threshold.tolist() == [0.75, 1.5, 1.0] and not layer.initial.any()
    layer = read_nir(graph, options(reset="value", start="zero")).layers[0]
    assert layer.initial.tolist() == [-0.25, 0.5, 0.0]
    agree(graph, (6, 1, 1), reset="value")


def test_gain_is_r_times_dt():
    rng = np.random.default_rng(8)
    agree(chain(dense(rng, 4, 6), fires(4, r=8.0), dense(rng, 3, 4), fires(3, r=2.0)), (6, 1, 1), dt=0.25)


def test_one_step_of_neurons_that_leak_and_of_a_threshold():
    """In the first step there is nothing to leak; the network then runs for one step only."""
    weight = dense(RNG, 3, 6)
    ones = np.ones(3)
    exact = read_nir(chain(weight, fires(3), nir.Linear(np.eye(3))), options(time_steps=1))
    for node in (
        nir.Threshold(ones),
        nir.LIF(tau=4 * ones, r=4 * ones, v_leak=0 * ones, v_threshold=ones),
        nir.CubaLIF(tau_mem=4 * ones, tau_syn=ones, r=4 * ones, v_leak=0 * ones, v_threshold=ones),
    ):
        graph = chain(weight, node, nir.Linear(np.eye(3)))
        network = read_nir(graph, options(time_steps=1))
        assert network.fingerprint == exact.fingerprint
        with pytest.raises(InvalidValue, match=r"time steps is 2, must be 1.*would leak"):
            network.with_time_steps(2)
        with pytest.raises(InvalidValue, match="must be 1"):
            replace(quantize(network, 8), time_steps=2)
        with pytest.raises(InvalidValue, match="T = 1 only"):
            to_nir(network)
    lazy = chain(weight, fires(3), nir.Linear(np.eye(3)), nir.LI(tau=2 * ones, r=2 * ones, v_leak=0 * ones))
    assert read_nir(lazy, options(time_steps=1)).layers[-1].threshold is None


def test_an_input_shape_for_a_graph_that_reads_a_vector():
    rng = np.random.default_rng(9)
    graph = chain(dense(rng, 4, 6), fires(4), dense(rng, 3, 4))
    network = read_nir(graph, options(input_shape=(1, 2, 3)))
    images = frames(1, 2, 3)
    plain = floating.run(read_nir(graph, options()), images.reshape(-1, 6, 1, 1))
    assert np.array_equal(floating.run(network, images), plain)


def test_input_rate():
    network = read_nir(chain(dense(RNG, 3, 6), fires(3)), options(input="rate", seed=5))
    assert (network.input, network.seed) == ("rate", 5)
    assert "probability p/256 in each step, worth 1 on" in network.provenance["nir"]["notes"][0]


# --- the contract


def test_the_contract_is_kept_and_every_preset_is_on_the_command_line(tmp_path):
    assert tuple(PRESETS) == PRESET_NAMES
    for name, preset in PRESETS.items():
        graph = chain(dense(RNG, 3, 6), fires(3, r=1 / (preset.contract.dt or 1)))
        network = read_nir(graph, options(preset=name))
        told = network.provenance["nir"]
        assert told["contract"]["preset"] == name and set(preset.hidden) <= set(told["warnings"])
        assert network.compare == preset.contract.compare
        assert network.reset == ("subtract" if preset.contract.reset == "subtract" else "zero")
        assert np.array_equal(network.layers[0].connections[0].weight[:, :, 0, 0], graph.nodes["0"].weight)
        save_network(network, tmp_path / "x.safetensors")
        assert load_network(tmp_path / "x.safetensors").provenance["nir"] == told


def test_flags_change_the_preset():
    network = read_nir(chain(dense(RNG, 3, 6), fires(3)), options(reset="zero", compare="gt", dt=0.5))
    contract = network.provenance["nir"]["contract"]
    assert (contract["reset"], contract["compare"], contract["dt"], contract["preset"]) == ("zero", "gt", 0.5, "sinabs")


@pytest.mark.parametrize(
    ("node", "guess"),
    [
        (fires(3), "sinabs or norse, by r = 1"),
        (nir.LIF(tau=np.full(3, np.inf), r=np.full(3, np.inf), v_leak=np.zeros(3), v_threshold=np.ones(3)), "snntorch"),
        (fires(3, r=1e4), "spikingjelly, by r = 1e4"),
    ],
)
def test_an_unknown_origin_is_warned_of(node, guess):
    graph = chain(dense(RNG, 3, 6), node)
    try:
        told = read_nir(graph, options(preset=None)).provenance["nir"]
    except InvalidValue as error:
        assert "choose --dt, or --preset" in str(error) or "presets snntorch and rockpool take 1" in str(error)
        told = read_nir(
            graph, options(preset=None, dt=1e-4) if "1e4" in guess else options(preset="snntorch")
        ).provenance["nir"]
    if "snntorch" not in guess:
        assert re.search(rf"does not say which framework exported it \(like {guess}", told["warnings"][0])
        assert told["contract"]["preset"] == "nir"


# --- what is written


@given(st.integers(0, 2**32 - 1))
def test_what_is_written_reads_back_exactly(seed):
    network = random_spiking(seed)
    back = read_nir(to_nir(network))
    assert back.fingerprint == network.fingerprint
    assert back.name == network.name and [layer.name for layer in back.layers] == [
        layer.name for layer in network.layers
    ]
    for a, b in zip(network.arrays().items(), back.arrays().items(), strict=True):
        assert a[0] == b[0] and np.array_equal(a[1], b[1])


@pytest.mark.parametrize("seed", range(6))
def test_through_a_file_and_in_the_eyes_of_nir(tmp_path, seed):
    """The file reads back exactly; the nir package reads it too, and finds its types sound where it can infer them."""
    network = random_spiking(seed)
    nodes = write_nir(network, tmp_path / "x.nir")
    assert read_nir(tmp_path / "x.nir").fingerprint == network.fingerprint
    graph = nir.read(tmp_path / "x.nir", type_check=False)
    assert len(graph.nodes) == sum(nodes.values())
    assert read_nir(graph).fingerprint == network.fingerprint


def test_scale_nodes_stand_only_where_folding_would_round():
    powers = read_nir(chain(dense(RNG, 3, 6), fires(3, threshold=2.0), nir.Linear(np.eye(3))), options())
    other = read_nir(
        chain(dense(RNG, 3, 6), fires(3, threshold=0.7), nir.Linear(np.random.default_rng(1).normal(size=(3, 3)))),
        options(),
    )
    kinds = [[type(node).__name__ for node in to_nir(network).nodes.values()] for network in (powers, other)]
    assert "Scale" not in kinds[0] and "Scale" in kinds[1]
    folded = to_nir(other, folded=True)
    assert "Scale" not in [type(node).__name__ for node in folded.nodes.values()]
    back = read_nir(folded)
    assert all(
        np.allclose(a, b, rtol=1e-15) for a, b in zip(back.arrays().values(), other.arrays().values(), strict=True)
    )


def test_a_written_graph_means_the_same_to_a_second_reader():
    """Not only to our importer: node by node, in float64, it fires as our float network does."""
    network = read_nir(image(np.random.default_rng(1)), options())
    images = frames(2, 8, 8)
    seen = run_by_hand(to_nir(network), images, compare="ge", reset="subtract", steps=9)
    for index, train in enumerate(spikes_of(network, images)):
        assert np.array_equal(train, seen[f"{index}_neuron"].reshape(train.shape))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schedule": "two_phase"}, r"schedule two_phase cannot be said in NIR.*--schedule stream"),
        ({"schedule": "radix"}, r"schedule radix cannot be said"),
        ({"negative": "symmetric"}, r"negative spikes \(symmetric\) cannot be said.*--negative none"),
        ({"input": "bitplane"}, r"input bitplane cannot be said.*--input direct"),
    ],
)
def test_what_nir_cannot_say(change, message):
    network = read_nir(chain(dense(RNG, 3, 6), fires(3), nir.Linear(np.eye(3))), options())
    with pytest.raises(InvalidValue, match=message):
        to_nir(replace(network, **change))


def spiking(*connections, shape=(4, 6, 6)):
    """A layer of these connections, and a readout of the first one's size."""
    channels, height, width = connections[0].output(shape)
    first = SpikingLayer("one", connections, np.ones(channels), np.full(channels, -0.0), np.zeros(channels))
    read = Connection(0, np.ones((2, channels, height, width)), kind="linear")
    last = SpikingLayer("out", (read,), None, np.zeros(2), np.zeros(2))
    return SpikingNetwork("hand", shape, "stream", 4, (first, last))


def test_padding_on_one_side():
    """What ``same`` pads at stride 1 is said so; all else is refused."""
    kernel = np.random.default_rng(0).normal(size=(4, 4, 2, 4))
    same = spiking(Connection(INPUT, kernel, padding=(0, 1), padding_after=(1, 2)))
    graph = to_nir(same)
    assert graph.nodes["0_0_weight"].padding == "same" and read_nir(graph).fingerprint == same.fingerprint
    for changed in ({"padding": (1, 2), "padding_after": (0, 1)}, {"stride": (2, 1)}, {"dilation": (1, 2)}):
        other = replace(same.layers[0].connections[0], **changed)
        with pytest.raises(
            InvalidValue, match=r"layer one pads \(\d, \d\) before and \(\d, \d\) behind.*pad alike in the source"
        ):
            to_nir(spiking(other))


@dataclass(frozen=True, eq=False)
class Late(Connection):
    """A synapse of some day, with a member that export has not heard of."""

    delay: int = 0
    gains: tuple = ()


@dataclass(frozen=True, eq=False)
class Noisy(SpikingNetwork):
    """The same of a network."""

    noise: float = 0.0


def test_no_member_is_left_out():
    """A member that export does not know must be as usual, whatever will be added to networks; and a dense stride."""
    weight = np.ones((4, 4, 3, 3))
    plain = spiking(Connection(INPUT, weight))
    assert read_nir(to_nir(spiking(Late(INPUT, weight)))).fingerprint == plain.fingerprint
    for changed, told in (({"delay": 1}, "delay is 1"), ({"gains": (1, 2)}, r"gains is \(1, 2\)")):
        with pytest.raises(
            InvalidValue, match=rf"layer one: connection: {told}, which export does not write into NIR; make it"
        ):
            to_nir(spiking(Late(INPUT, weight, **changed)))
    values = {member.name: getattr(plain, member.name) for member in fields(plain)}
    assert read_nir(to_nir(Noisy(**values))).fingerprint == plain.fingerprint
    with pytest.raises(InvalidValue, match=r"the network: noise is 0\.5, which export does not"):
        to_nir(Noisy(**values, noise=0.5))
    last = replace(plain.layers[1].connections[0], stride=(2, 2))
    strided = replace(plain, layers=(plain.layers[0], replace(plain.layers[1], connections=(last,))))
    with pytest.raises(InvalidValue, match=r"layer out: connection: stride is \(2, 2\).*make it \(1, 1\)"):
        to_nir(strided)


def test_every_member_of_a_connection_changes_the_graph_or_is_refused():
    """Each member of Connection, changed alone: a graph that reads back to that, or one line; never another network."""
    plain = Connection(
        INPUT, np.arange(1.0, 17)[:, None, None, None].repeat(4, 1) * np.ones((1, 1, 3, 3)), padding=(1, 1)
    )
    changes = {
        "weight": -plain.weight, "stride": (2, 1), "padding": (0, 0), "pool": (2, 1), "kind": "identity", "padding_after": (0, 1),
        "dilation": (1, 2), "groups": 2,
    }  # fmt: skip
    elsewhere = {"source", "maximum"}  # max pooling exists outside of stream only: refused, in test_max_pooling
    assert {member.name for member in fields(Connection)} == {*elsewhere, *changes}, "say here what a new member does"
    for name, value in changes.items():
        more = {name: value}
        if name == "kind":
            more |= {"weight": np.eye(16, 4)[:, :, None, None], "padding": (0, 0), "padding_after": (0, 0)}
        if name == "groups":
            more["weight"] = plain.weight[:, :2]
        network = spiking(replace(plain, **more))
        try:
            back = read_nir(to_nir(network))
        except InvalidValue as error:
            assert name in ("padding", "padding_after") and "pads" in str(error)
            continue
        assert back.fingerprint == network.fingerprint != spiking(plain).fingerprint, name


def test_a_readout_that_is_a_convolution_and_joins_of_both_kinds():
    rng = np.random.default_rng(24)
    conv = Connection(0, rng.normal(size=(4, 1, 6, 6)), groups=4)
    short = Connection(0, np.ones((4, 1, 1, 1)), pool=(6, 6), kind="identity", groups=4)
    whole = Connection(0, rng.normal(size=(4, 4, 6, 6)), kind="linear")
    base = spiking(Connection(INPUT, rng.normal(size=(4, 4, 1, 1))))
    for connections in ((conv,), (conv, short), (whole, short, conv)):
        joined = SpikingLayer("join", connections, np.full(4, 0.7), rng.normal(size=4), np.zeros(4))
        read = replace(joined, name="out", threshold=None)
        after = SpikingLayer(
            "out", (Connection(1, np.eye(4)[:, :, None, None], kind="linear"),), None, np.zeros(4), np.zeros(4)
        )
        for rest in ((read,), (joined, after)):
            network = replace(base, layers=(base.layers[0], *rest))
            assert read_nir(to_nir(network)).fingerprint == network.fingerprint


@pytest.mark.parametrize(
    "case", ["identity", "three branches", "option A, both sides", "average pooling and zero channels"]
)
def test_converted_residual_networks_read_back_exactly(tmp_path, case):
    body, width, places = JOINS[case]
    network = convert(Joined(body, width, places), INPUTS, "optimal", 6, schedule="stream", shift=False)
    assert "identity" in [c.kind for layer in network.layers for c in layer.connections]
    write_nir(network, tmp_path / "x.nir")
    back = read_nir(tmp_path / "x.nir")
    assert back.fingerprint == network.fingerprint
    assert quantize(back, 8).fingerprint == quantize(network, 8).fingerprint


def test_a_converted_dense_shortcut_reads_back_exactly():
    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(6)
            self.a, self.b, self.c = nn.Linear(36, 6), nn.Linear(6, 6), nn.Linear(6, 3)

        def forward(self, x):
            y = F.relu(self.a(x.flatten(1)))
            return self.c(F.relu(self.b(y) + y))

    network = convert(Dense(), torch.rand(8, 1, 6, 6), "optimal", 6, schedule="stream", shift=False)
    assert [c.kind for c in network.layers[1].connections] == ["linear", "identity"]
    assert read_nir(to_nir(network)).fingerprint == network.fingerprint


def test_identities_are_kept_in_the_metadata_and_checked():
    network = spiking(Connection(INPUT, np.eye(4)[:, :, None, None], kind="identity"))
    graph = to_nir(network)
    assert read_nir(graph).layers[0].connections[0].kind == "identity"
    graph.nodes["0_0_weight"].weight = np.ones((4, 4, 1, 1))  # trained on somewhere else: no identity any more
    assert read_nir(graph).layers[0].connections[0].kind == "conv2d"
    told = json.loads(graph.metadata["spikeloom"])
    assert told["identities"] == [[0, 0, 1]]
    for spoilt in (7, [7], [[0, 0]], [[0, 0, 0]], [[0, -1, 1]], [[0, 0, True]], [["0", 0, 1]]):
        graph.metadata["spikeloom"] = json.dumps({**told, "identities": spoilt})
        with pytest.raises(InvalidValue, match="metadata are damaged"):
            read_nir(graph)
    del told["identities"]
    graph.metadata["spikeloom"] = json.dumps(told)
    assert read_nir(graph).name == "hand", "files of before are read"


def test_nir_neurons_start_at_zero():
    network = read_nir(chain(dense(RNG, 3, 6), fires(3, v_reset=np.full(3, -1.0))), options(reset="value"))
    with pytest.raises(
        InvalidValue, match=r"layer 1 starts at V\(0\) = 1, NIR neurons have no start value.*-m optimal --no-shift"
    ):
        to_nir(network)


def test_damaged_metadata_are_named_and_can_be_done_without():
    network = random_spiking(1)
    graph = to_nir(network)
    for text in (
        "{",
        "[]",
        "7",
        json.dumps({"schema": 1}),
        graph.metadata["spikeloom"].replace('"schema": 1', '"schema": 2'),
    ):
        graph.metadata["spikeloom"] = text
        with pytest.raises(InvalidValue, match="metadata are damaged; choose --preset and -T"):
            read_nir(graph)
        assert read_nir(graph, options()).shapes == network.shapes


# --- the table of the README: each unsupported or ambiguous construct by name

THREE, SIX = np.ones(3), np.ones((3, 6))
LINEAR = nir.Linear(SIX)
CONV = {
    "input_shape": None,
    "weight": np.ones((3, 2, 3, 3)),
    "stride": (1, 1),
    "padding": (0, 0),
    "dilation": (1, 1),
    "groups": 1,
    "bias": THREE,
}
POOL = {"kernel_size": np.array([2, 2]), "stride": np.array([2, 2]), "padding": np.array([0, 0])}


def conv(**changed):
    return chain(
        nir.Conv2d(**{**CONV, **changed}),
        fires(3, 6, 6),
        nir.Flatten(None, 0, -1),
        nir.Linear(np.ones((3, 108))),
        shape=(2, 8, 8),
    )


def pool(**changed):
    return chain(
        nir.Conv2d(**CONV),
        fires(3, 6, 6),
        nir.SumPool2d(**{**POOL, **changed}),
        nir.Flatten(None, 0, -1),
        nir.Linear(np.ones((3, 27))),
        shape=(2, 8, 8),
    )


def graph(nodes, *edges):
    ends = {"input": nir.Input(np.array([6])), "output": nir.Output(np.array([3]))}
    return nir.NIRGraph({**ends, **nodes}, list(edges), type_check=False)


def spread(**changed):
    values = {"r": np.ones((3, 6, 6)), "v_threshold": np.ones((3, 6, 6)), **changed}
    return chain(
        nir.Conv2d(**CONV), nir.IF(**values), nir.Flatten(None, 0, -1), nir.Linear(np.ones((3, 108))), shape=(2, 8, 8)
    )


UNEVEN = np.ones((3, 6, 6))
UNEVEN[1, 2, 3] = 2
PATH = ("input", "w"), ("w", "n"), ("n", "output")
SOUND = {"w": LINEAR, "n": fires(3)}
REFUSED = {
    # neurons
    "LIF": (chain(LINEAR, nir.LIF(4 * THREE, 4 * THREE, 0 * THREE, THREE)), {}, r"node '1' \(LIF\) leaks: it keeps 0\.75 of its membrane in a step of 1; .*train it as IF"),
    "LI": (chain(LINEAR, fires(3), nir.Linear(np.eye(3)), nir.LI(4 * THREE, 4 * THREE, 0 * THREE)), {}, r"node '3' \(LI\) leaks"),
    "CubaLIF, membrane": (chain(LINEAR, nir.CubaLIF(THREE, 4 * THREE, THREE, 0 * THREE, THREE)), {}, r"\(CubaLIF\) leaks"),
    "CubaLIF, current": (chain(LINEAR, nir.CubaLIF(4 * THREE, np.inf * THREE, np.inf * THREE, 0 * THREE, THREE)), {"preset": "snntorch", "dt": 1.0}, r"synaptic current keeps 0\.75 of itself"),
    "CubaLIF, late current": (chain(LINEAR, nir.CubaLIF(THREE, 4 * THREE, 4 * THREE, 0 * THREE, THREE)), {"preset": "norse", "dt": 1.0, "time_steps": 1}, r"one step late"),
    "LIF, gain open": (chain(LINEAR, nir.LIF(np.inf * THREE, np.inf * THREE, 0 * THREE, THREE)), {}, r"τ and r are infinite.*presets snntorch"),
    "LIF, no input": (chain(LINEAR, nir.LIF(np.inf * THREE, THREE, 0 * THREE, THREE)), {}, r"τ is infinite and r is not"),
    "LIF, τ = 0": (chain(LINEAR, nir.LIF(0 * THREE, THREE, 0 * THREE, THREE)), {}, r"τ is 0, must be above 0"),
    "Threshold": (chain(LINEAR, nir.Threshold(THREE)), {}, r"\(Threshold\) keeps no membrane.*-T 1"),
    "I inside": (chain(LINEAR, nir.I(THREE), nir.Linear(np.eye(3)), fires(3)), {}, r"\(I\) hands its membrane on to 2"),
    "Delay": (chain(LINEAR, nir.Delay(THREE), fires(3)), {}, r"\(Delay\) is not supported.*without delays"),
    "CubaLI": (chain(LINEAR, nir.CubaLI(THREE, THREE, THREE, THREE)), {}, r"\(CubaLI\) is not supported"),
    "thresholds in a channel": (spread(v_threshold=UNEVEN), {}, r"v_threshold differs within channel 1: hardware keeps one"),
    "r in a channel": (spread(r=UNEVEN), {}, r"r differs within channel 1"),
    "threshold 0": (chain(LINEAR, fires(3, threshold=0.0)), {}, r"threshold less reset value is 0 in channel 0"),
    "threshold below reset": (chain(LINEAR, fires(3, v_reset=2 * THREE)), {"reset": "value"}, r"threshold less reset value is -1"),
    "v_reset and subtract": (chain(LINEAR, fires(3, v_reset=-THREE)), {}, r"v_reset is -1, which reset subtract contradicts; choose --reset value"),
    "NaN threshold": (chain(LINEAR, fires(3, threshold=np.nan)), {}, r"v_threshold holds NaN"),
    "neuron shape": (chain(LINEAR, fires(4)), {}, r"node '1' \(IF\): r has shape \(4,\), its input \(3,\)"),
    "time step": (chain(LINEAR, fires(3, r=5.0)), {"preset": None}, r"r is 5 and NIR does not say the time step: choose --dt, or --preset"),
    "clamp": (chain(LINEAR, fires(3)), {"clamp": "-1"}, r"clamp is '-1', must be none.*min_v_mem=None"),
    "reset": (chain(LINEAR, fires(3)), {"reset": "none"}, r"reset is 'none', must be one of subtract, zero, value"),
    "preset": (chain(LINEAR, fires(3)), {"preset": "brian"}, r"no preset 'brian'; there are nir, snntorch"),
    "T": (chain(LINEAR, fires(3)), {"time_steps": None}, r"does not say for how many time steps; choose -T|how many time steps it runs; choose -T"),
    "T = 0": (chain(LINEAR, fires(3)), {"time_steps": 0}, r"time steps is 0, must be 1 to 1024"),
    # synapses
    "groups": (conv(groups=2, weight=np.ones((3, 1, 3, 3))), {}, r"\(Conv2d\): connection groups is 2, must .* divide the 3 output"),
    "groups of the input": (conv(groups=3, weight=np.ones((3, 1, 3, 3))), {}, r"weight has 1 input channels in each of 3 groups, its input 2"),
    "groups, several": (conv(groups=np.array([2, 1])), {}, r"groups has several numbers, must have one"),
    "groups 0": (conv(groups=0), {}, r"groups is \[0\.0\], must be whole numbers of 1"),
    "dilation": (conv(dilation=(2, 4)), {}, r"node '0' \(Conv2d\): source \(2, 8, 8\).* smaller than the kernel \(5, 9\)"),
    "dilation 0": (conv(dilation=(0, 1)), {}, r"dilation is \[0\.0, 1\.0\], must be whole numbers of 1 to 1024"),
    "dilation, same": (conv(padding="same", dilation=(1024, 1), weight=np.ones((3, 2, 4, 1))), {}, r"connection padding is \(1536, 0\), must be"),
    "same, stride": (conv(padding="same", stride=(2, 2)), {}, r"padding same needs stride 1"),
    "stride 0": (conv(stride=(0, 1)), {}, r"stride is \[0\.0, 1\.0\], must be whole numbers of 1 to 1024"),
    "padding −1": (conv(padding=(-1, 0)), {}, r"padding is \[-1\.0, 0\.0\]"),
    "channels": (conv(weight=np.ones((3, 5, 3, 3))), {}, r"weight has 5 input channels, its input 2"),
    "kernel too large": (conv(weight=np.ones((3, 2, 9, 9))), {}, r"node '0' \(Conv2d\): source \(2, 8, 8\).* smaller than the kernel"),
    "input_shape": (chain(nir.Conv2d(**{**CONV, "input_shape": (9, 9)}), fires(3, 6, 6), shape=(2, 8, 8)), {}, r"input_shape is \(9, 9\), its input \(2, 8, 8\)"),
    "NaN weight": (chain(nir.Linear(np.full((3, 6), np.nan)), fires(3)), {}, r"node '0' \(Linear\): weight holds NaN"),
    "infinite weight": (chain(nir.Linear(np.full((3, 6), np.inf)), fires(3)), {}, r"weight holds infinite values"),
    "weight shape": (chain(nir.Linear(np.ones((3, 5))), fires(3)), {}, r"weight has shape \(3, 5\), its input \(6,\)"),
    "bias shape": (chain(nir.Affine(SIX, np.ones(4)), fires(3)), {}, r"bias has shape \(4,\), must be \(3,\)"),
    "no Flatten": (chain(nir.Linear(np.ones((3, 6))), fires(3), shape=(1, 2, 3)), {}, r"its input \(1, 2, 3\); put a Flatten before it"),
    "two synapses": (chain(LINEAR, nir.Linear(np.eye(3)), fires(3)), {}, r"node '1' \(Linear\) follows another weighted node with no neuron between"),
    "overlapping pooling": (pool(stride=np.array([1, 1])), {}, r"windows \(2, 2\) at stride \(1, 1\)"),
    "padded pooling": (pool(padding=np.array([1, 1])), {}, r"\(SumPool2d\) has padding"),
    "pooling too large": (pool(kernel_size=np.array([9, 9]), stride=np.array([9, 9])), {}, r"its windows \(9, 9\) are larger"),
    "Scale in a channel": (chain(nir.Conv2d(**CONV), fires(3, 6, 6), nir.Scale(UNEVEN), nir.Conv2d(**{**CONV, "weight": np.ones((3, 3, 3, 3))}), fires(3, 4, 4), shape=(2, 8, 8)), {}, r"a Scale before it differs within a channel"),
    "Scale of a current": (chain(nir.Conv2d(**CONV), nir.Scale(UNEVEN), fires(3, 6, 6), shape=(2, 8, 8)), {}, r"\(Scale\) differs within a channel of a current"),
    "Scale shape": (chain(LINEAR, nir.Scale(np.ones(4)), fires(3)), {}, r"scale has shape \(4,\), its input \(3,\)"),
    "partial Flatten": (chain(nir.Conv2d(**CONV), fires(3, 6, 6), nir.Flatten(None, 1, -1), nir.Linear(np.ones((3, 36))), shape=(2, 8, 8)), {}, r"makes \(3, 36\) of \(3, 6, 6\); only flattening into a vector"),
    # the graph
    "recurrent": (graph({**SOUND, "back": nir.Linear(np.eye(3))}, *PATH, ("n", "back"), ("back", "n")), {}, r"has a cycle, (n → back → n|back → n → back): recurrent connections have no hardware"),
    "self-loop": (graph(SOUND, *PATH, ("n", "n")), {}, r"has a cycle, n → n"),
    "dangling edge": (graph(SOUND, *PATH, ("n", "ghost")), {}, r"edge 'n' → 'ghost' dangles: there is no node 'ghost'"),
    "double edge": (graph(SOUND, *PATH, ("w", "n")), {}, r"edge 'w' → 'n' stands twice"),
    "into the Input": (graph(SOUND, *PATH, ("n", "input")), {}, r"leads into the Input"),
    "not fed": (graph({**SOUND, "idle": LINEAR}, *PATH, ("idle", "n")), {}, r"node 'idle' \(Linear\) is not fed by the Input"),
    "leads nowhere": (graph({**SOUND, "idle": LINEAR}, *PATH, ("input", "idle")), {}, r"node 'idle' \(Linear\) does not lead to the Output"),
    "no Input": (nir.NIRGraph({"w": LINEAR, "output": nir.Output(THREE)}, [("w", "output")], type_check=False), {}, r"has no Input node, must have exactly one"),
    "no Output": (nir.NIRGraph({"input": nir.Input(np.array([6])), "w": LINEAR}, [("input", "w")], type_check=False), {}, r"has no Output node"),
    "two Inputs": (graph({**SOUND, "more": nir.Input(np.array([6]))}, *PATH, ("more", "w")), {}, r"has 2 Input nodes \('input', 'more'\)"),
    "two Outputs": (graph({**SOUND, "more": nir.Output(np.array([3]))}, *PATH, ("n", "more")), {}, r"has 2 Output nodes"),
    "joined shapes": (graph({"w": LINEAR, "n": fires(3), "v": nir.Linear(np.ones((4, 6)))}, *PATH, ("input", "v"), ("v", "n")), {}, r"edges into it have different shapes, \(3,\), \(4,\)"),
    "frame joins spikes": (graph({**SOUND, "u": nir.Linear(np.eye(3)), "v": nir.Linear(SIX), "m": fires(3)}, ("input", "w"), ("w", "n"), ("n", "u"), ("u", "m"), ("input", "v"), ("v", "m"), ("m", "output")), {}, r"layer m mixes the input frame with spikes"),
    "Output shape": (chain(LINEAR, fires(3), out=(4,)), {}, r"\(Output\) has shape \(4,\), what leads to it \(3,\)"),
    "image scores": (chain(nir.Conv2d(**CONV), shape=(2, 8, 8), out=(3, 6, 6)), {}, r"is an image, \(3, 6, 6\); scores must be a vector"),
    "no layer": (chain(out=(6,)), {}, r"reads the Input with no layer between"),
    "batch": (chain(LINEAR, fires(3), shape=(4, 1, 1, 6)), {}, r"has four sizes; export one example"),
    "huge input": (chain(LINEAR, fires(3), shape=(1 << 20, 1 << 20)), {}, r"at most 67108864 values"),
    "input shape": (chain(LINEAR, fires(3)), {"input_shape": (1, 2, 2)}, r"input shape \(1, 2, 2\) does not fit"),
    "readout": (chain(LINEAR, fires(3)), {"readout": "rank"}, r"readout is 'rank', must be one of count, membrane"),
    "seed": (chain(LINEAR, fires(3)), {"seed": 5}, r"seed 5 is for input rate"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    spoilt, chosen, message = REFUSED[case]
    with pytest.raises(SpikeloomError, match=message) as error:
        read_nir(spoilt, options(**chosen))
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_too_many_nodes():
    many = {str(i): fires(3) for i in range(MAX_NODES)}
    with pytest.raises(InvalidValue, match=f"has {MAX_NODES + 4} nodes, must have 1 to {MAX_NODES}"):
        read_nir(graph({**SOUND, **many}, *PATH), options())


def test_an_unknown_kind_and_a_missing_value():
    content = {
        "type": "NIRGraph",
        "nodes": {"input": {"type": "Input", "shape": THREE}, "x": {"type": "Izhikevich"}},
        "edges": [],
    }
    with pytest.raises(
        UnsupportedModule, match=rf"node 'x' \(Izhikevich\) is of no kind that is read; these are: {', '.join(FIELDS)}"
    ):
        graph_of(content)
    content["nodes"]["x"] = {"type": "Affine", "weight": SIX}
    with pytest.raises(InvalidValue, match="node 'x' \\(Affine\\) has no bias"):
        graph_of(content)


# --- files and the command line


def good(path):
    nir.write(path, chain(dense(np.random.default_rng(0), 4, 6), fires(4), dense(np.random.default_rng(1), 3, 4)))
    return path


def spoil_with(path, change):
    with h5py.File(good(path), "r+") as content:
        change(content)
    return path


def _big(content):
    del content["node/nodes/0/weight"]
    content["node/nodes/0"].create_dataset(
        "weight", shape=(1 << 20, 1 << 20), dtype="f4", chunks=(1024, 1024), compression="gzip"
    )


def _external(content):
    content["node/nodes/0/other"] = h5py.ExternalLink("/etc/hostname", "/")


def _soft(content):
    content["node/nodes/0/other"] = h5py.SoftLink("/node")


def _round_and_round(content):
    content["node/nodes/0/again"] = content["node"]


def _compound(content):
    del content["node/nodes/0/weight"]
    content["node/nodes/0/weight"] = np.zeros(3, [("a", "f4"), ("b", "i4")])


def _no_graph(content):
    del content["node"]


def _edges(content):
    del content["node/edges"]
    content["node/edges"] = np.arange(4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_big, r"holds more than 1024 MiB of arrays, at /node/nodes/0/weight"),
        (_external, r"holds a link, /node/nodes/0/other; only groups"),
        (_soft, r"holds a link"),
        (_round_and_round, r"holds groups more than 24 deep"),
        (_compound, r"only numbers and texts are read"),
        (_no_graph, r"holds no NIR graph"),
        (_edges, r"has no nodes or no edges"),
    ],
)
def test_files_that_are_no_plain_graph(tmp_path, capsys, change, message):
    path = spoil_with(tmp_path / "x.nir", change)
    assert cli.run(["import", str(path), "-T", "4", "--preset", "sinabs", "-o", str(tmp_path / "x.safetensors")]) == 2
    told = capsys.readouterr().err
    assert re.search(message, told) and told.count("\n") == 1
    assert not (tmp_path / "x.safetensors").exists()


def test_a_file_that_crashes_the_library_is_one_line(tmp_path, monkeypatch):
    """The reading process is a process: what kills or stops it does not reach ours."""
    from toolchain.interchange import hdf5

    path = good(tmp_path / "x.nir")
    for body, message in (
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "the HDF5 library crashes on it"),
        ("import time; time.sleep(60)", "takes too long to read"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGXCPU)", "takes too long to read"),
    ):
        (tmp_path / "hdf5_child.py").write_text(body)
        monkeypatch.setattr(hdf5, "__file__", str(tmp_path / "hdf5.py"))
        monkeypatch.setattr(hdf5, "MIN_SECONDS", 0.5)
        with pytest.raises(NetworkFileError, match=message):
            hdf5.read_contents(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("import IN/none.nir -T 4 -o OUT", r"cannot read NIR file .*none\.nir: No such file"),
        ("import IN -T 4 -o OUT", r"cannot read NIR file .*: Is a directory"),
        ("import IN/text.nir -T 4 -o OUT", r"text\.nir is no whole HDF5 file"),
        ("import IN/cut.nir -T 4 -o OUT", r"cut\.nir is no whole HDF5 file"),
        ("import IN/good.nir -o OUT", r"does not say for how many time steps.*choose -T"),
        ("import IN/good.nir -T 4 --preset no -o OUT", r"no preset 'no'"),
        ("import IN/good.nir -T 4 --dt 0 -o OUT", r"time step is 0, must be above 0"),
        ("import IN/good.nir -T 4 --dt nan -o OUT", r"time step is nan"),
        ("import IN/good.nir -T 4 --pixel-scale 0 -o OUT", r"pixel scale is 0"),
        ("import IN/good.nir -T 4 --input events -o OUT", r"input is 'events', must be one of direct"),
        ("import IN/good.nir -T 4 --input-shape 1,x -o OUT", r"input shape '1,x' is not C,H,W"),
        ("import IN/good.nir -T 4 --input-shape 1,4,4 -o OUT", r"input shape \(1, 4, 4\) does not fit"),
        ("import IN/good.nir -T 4 -o IN/no/x.safetensors", r"cannot write"),
        ("export IN/good.nir -o OUT", r"not a Spikeloom network file"),
        ("export IN/fixed.safetensors -o OUT", r"holds a fixed-point network, a spiking network is needed"),
        ("export IN/snn.safetensors -o IN/no/x.nir", r"cannot write"),
    ],
)
def test_wrong_command_lines(tmp_path, capsys, arguments, message):
    good(tmp_path / "good.nir")
    (tmp_path / "text.nir").write_text("hello")
    (tmp_path / "cut.nir").write_bytes((tmp_path / "good.nir").read_bytes()[:3000])
    network = read_nir(tmp_path / "good.nir", options())
    save_network(network, tmp_path / "snn.safetensors")
    save_network(quantize(network, 8), tmp_path / "fixed.safetensors")
    target = tmp_path / "made"
    assert cli.run(arguments.replace("IN", str(tmp_path)).replace("OUT", str(target)).split()) == 2
    told = capsys.readouterr().err
    assert re.search(message, told) and told.count("\n") == 1 and "Traceback" not in told
    assert not target.exists()


def test_import_and_export_as_a_user(tmp_path, capsys):
    path, snn, net = good(tmp_path / "x.nir"), tmp_path / "snn.safetensors", tmp_path / "y.nir"
    assert cli.run(["import", str(path), "-T", "8", "--preset", "snntorch", "--dt", "1", "-o", str(snn)]) == 0
    shown = capsys.readouterr()
    assert "warning: the file does not say reset_mechanism" in shown.err
    for part in (
        "semantics contract:",
        "preset snntorch",
        "dt = 1",
        "V > θ",
        "θ is subtracted",
        "V(0) = 0; lower clamp: none",
        "the graph's Input receives pixel·0.00392157",
    ):
        assert part in shown.out
    made = tmp_path / "net.safetensors"
    assert cli.run(["quantize", str(snn), "-o", str(made)]) == 2  # no data set has frames of (6, 1, 1)
    assert (
        "must be [N, C, H, W] with (C, H, W) = (6, 1, 1); choose --data that fits, or --no-table"
        in capsys.readouterr().err
    )
    assert cli.run(["quantize", str(snn), "--no-table", "-o", str(made)]) == 0
    assert load_network(made).provenance["nir"]["contract"]["preset"] == "snntorch"
    capsys.readouterr()
    assert cli.run(["quantize", str(snn), "--no-table", "--json", "-o", str(made)]) == 0
    assert json.loads(capsys.readouterr().out)["errors"] == []
    assert cli.run(["export", str(snn), "-o", str(net)]) == 0
    assert (
        "NIR does not say, so tell the reader: dt = 1; fires at V > θ; then θ is subtracted; V(0) = 0; T = 8"
        in capsys.readouterr().out
    )
    again = tmp_path / "again.safetensors"
    assert cli.run(["import", str(net), "-o", str(again), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["fingerprint"] == load_network(snn).fingerprint == load_network(again).fingerprint
    assert told["nir"]["contract"]["preset"] == "spikeloom"
    assert cli.run(["export", str(snn), "-o", str(net), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["nodes"]["IF"] == 1
