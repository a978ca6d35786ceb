"""NIR graphs in: what is read means what the graph says, under a contract that is kept."""

import re
from dataclasses import replace

import nir
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sim import floating
from tests.nir_by_hand import agree, frames, options, run_by_hand, spikes_of
from tests.nir_graphs import chain, dense, fires, image
from toolchain.cli.interchange import PRESET_NAMES
from toolchain.errors import InvalidValue
from toolchain.interchange import PRESETS, read_nir, to_nir
from toolchain.netfile import load_network, save_network
from toolchain.quantize import quantize

RNG = np.random.default_rng(0)


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


def test_one_step_of_a_threshold():
    """A neuron that keeps nothing runs for one step; such a network then holds for T = 1 only."""
    weight = dense(RNG, 3, 6)
    exact = read_nir(chain(weight, fires(3), nir.Linear(np.eye(3))), options(time_steps=1))
    network = read_nir(chain(weight, nir.Threshold(np.ones(3)), nir.Linear(np.eye(3))), options(time_steps=1))
    assert network.fingerprint == exact.fingerprint
    with pytest.raises(InvalidValue, match=r"time steps is 2, must be 1.*would leak"):
        network.with_time_steps(2)
    with pytest.raises(InvalidValue, match="must be 1"):
        replace(quantize(network, 8), time_steps=2)
    with pytest.raises(InvalidValue, match="T = 1 only"):
        to_nir(network)


def test_an_input_shape_for_a_graph_that_reads_a_vector():
    rng = np.random.default_rng(9)
    graph = chain(dense(rng, 4, 6), fires(4), dense(rng, 3, 4))
    network = read_nir(graph, options(input_shape=(1, 2, 3)))
    images = frames(1, 2, 3)
    plain = floating.run(read_nir(graph, options()), images.reshape(-1, 6, 1, 1))
    assert np.array_equal(floating.run(network, images), plain)


@pytest.mark.parametrize("ones", [1, 2, 3])
@pytest.mark.parametrize("first", [True, False])
def test_one_example_of_one_step_that_an_exporter_left_in(ones, first):
    """Input (1, n) and Rockpool's (1, 1, n), Output (1, 1, m): the frame is (n, 1, 1), a Linear or a neuron reads it."""
    rng = np.random.default_rng(9)
    nodes = [
        *([] if first else [fires(6, threshold=0.75)]),
        dense(rng, 4, 6),
        fires(4),
        dense(rng, 3, 4),
        fires(3, threshold=0.5),
    ]
    plain = agree(chain(*nodes), (6, 1, 1))
    spread = chain(*nodes, shape=((1,) * ones + (6,)), out=((1,) * ones + (3,)))
    network = read_nir(spread, options())
    assert network.input_shape == (6, 1, 1) and network.fingerprint == plain.fingerprint
    for wrong in ((2,) + (1,) * (ones - 1) + (3,), (1,) * ones + (4,), (3,) + (1,) * ones):
        spread.nodes["output"] = nir.Output(np.array(wrong))
        with pytest.raises(InvalidValue, match=r"\(Output\) has shape .*, what leads to it \(3,\)"):
            read_nir(spread, options())
    steps = chain(*nodes, shape=(1, 9, 6))
    with pytest.raises(InvalidValue, match=r"its input \(1, 9, 6\)(; export one example of one step)?"):
        read_nir(steps, options())


def test_a_frame_of_one_row_stays_one_where_it_is_convolved():
    rng = np.random.default_rng(9)
    weight = rng.integers(-8, 9, (3, 1, 1, 3)) / 16
    conv = nir.Conv2d((1, 6), weight, (1, 1), (0, 0), (1, 1), 1, rng.integers(0, 5, 3) / 16)
    nodes = conv, fires(3, 1, 4, threshold=0.5), nir.Flatten(None, 0, -1), dense(rng, 3, 12)
    assert agree(chain(*nodes, shape=(1, 1, 6)), (1, 1, 6)).input_shape == (1, 1, 6)


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


def exporter(tau, r):
    return nir.CubaLIF(*(np.full(3, value) for value in (tau, tau, r, 0.0, 1.0)))


@pytest.mark.parametrize(
    ("node", "guess"),
    [
        (fires(3), "sinabs or norse, by r = 1"),
        (nir.LIF(tau=np.full(3, np.inf), r=np.full(3, np.inf), v_leak=np.zeros(3), v_threshold=np.ones(3)), "snntorch"),
        (fires(3, r=1e4), "spikingjelly, by r = 1e4"),
        (exporter(6e-3, r=6 * np.exp(-1 / 6)), "rockpool, by r = τ/dt·exp"),
        (exporter(1e-3, r=1.0), "norse, by r = 1"),
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
