"""NIR graphs out: what is written reads back exactly, and what NIR cannot say is refused."""

import json
from dataclasses import dataclass, fields, replace

import nir
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.nir_by_hand import frames, options, run_by_hand, spikes_of
from tests.nir_graphs import chain, dense, fires, image, random_spiking
from tests.unit.test_architectures import JOINS, Joined
from tests.unit.test_graph import INPUTS
from toolchain.connection import Connection
from toolchain.convert import convert
from toolchain.errors import InvalidValue
from toolchain.interchange import read_nir, to_nir, write_nir
from toolchain.ir import INPUT, SpikingLayer, SpikingNetwork
from toolchain.quantize import quantize

RNG = np.random.default_rng(0)


@settings(deadline=None)
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
