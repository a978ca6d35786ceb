"""Taps of convolutions, counted against torch's own and tap by tap, over strides, padding, dilation, groups and pooling."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl.program import Program
from sim import golden, oracle
from tests.networks import frames_for, random_network
from toolchain.connection import Connection
from toolchain.energy import observe
from toolchain.errors import InvalidValue
from toolchain.geometry import axis_taps, dense_synapses, fan_out
from toolchain.ir import INPUT

SEEDS = st.integers(0, 2**32 - 1)
PAIRS = st.tuples(st.integers(1, 4), st.integers(1, 4))
PADS = st.tuples(st.integers(0, 4), st.integers(0, 4))


@st.composite
def connections(draw):
    """A connection of ones and zeros, and a source that it fits."""
    groups, dilation, pool = draw(st.sampled_from([1, 2, 3])), draw(PAIRS), draw(PAIRS)
    kernel, padding, after = draw(PAIRS), draw(PADS), draw(PADS)
    window = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    size = [
        max(1, w - p - a) * q + draw(st.integers(0, 9)) for w, p, a, q in zip(window, padding, after, pool, strict=True)
    ]
    shape = (groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2)))
    weight = np.random.default_rng(draw(SEEDS)).integers(0, 2, (shape[0], shape[1] // groups, *kernel)).astype(np.int32)
    connection = Connection(
        INPUT, weight, draw(PAIRS), padding, pool, padding_after=after, dilation=dilation, groups=groups
    )
    return connection, (shape[1], *size)


def reached(connection, source, weight):
    """Gradient of torch's own convolution of the padded, pooled source: how many weights each source place meets."""
    x = torch.zeros(1, *source, dtype=torch.float64, requires_grad=True)
    pooled = torch.nn.functional.avg_pool2d(x, connection.pool, divisor_override=1)
    (top, bottom), (left, right) = connection.pads
    y = torch.nn.functional.conv2d(
        torch.nn.functional.pad(pooled, (left, right, top, bottom)),
        torch.tensor(weight, dtype=torch.float64),
        stride=connection.stride,
        dilation=connection.dilation,
        groups=connection.groups,
    )
    assert tuple(y.shape[1:]) == connection.output(source)
    y.sum().backward()
    return x.grad[0].numpy()


@settings(max_examples=200, deadline=None)
@given(connections())
def test_fan_out_is_that_of_torch(drawn):
    connection, source = drawn
    ones = np.ones_like(connection.weight)
    assert np.array_equal(fan_out(connection, source), reached(connection, source, ones))
    assert np.array_equal(fan_out(connection, source, effective=True), reached(connection, source, connection.weight))
    pooled = reached(Connection(**{**vars(connection), "pool": (1, 1)}), connection.pooled(source), ones)
    assert dense_synapses(connection, source) == pooled.sum()


@settings(max_examples=200, deadline=None)
@given(connections())
def test_taps_of_an_axis_are_all_there_are(drawn):
    connection, source = drawn
    for axis in (0, 1):
        taps = axis_taps(connection, source, axis)
        kernel, outputs = connection.kernel[axis], connection.output(source)[1 + axis]
        for place in range(source[1 + axis]):
            pooled = place // connection.pool[axis]
            inside = pooled < connection.pooled(source)[1 + axis]
            expected = [
                (k, o)
                for k in range(kernel)
                for o in range(outputs)
                if inside
                and o * connection.stride[axis] + k * connection.dilation[axis] == pooled + connection.padding[axis]
            ]
            found = [
                (int(taps.kernel[place]) + j * taps.kernel_step, int(taps.output[place]) - j * taps.output_step)
                for j in range(int(taps.count[place]))
            ]
            assert found == expected


@settings(max_examples=60, deadline=None)
@given(connections())
def test_extremes_are_reached_and_never_passed(drawn):
    connection, source = drawn
    highest, _ = connection.extremes(source)
    y = torch.nn.functional.avg_pool2d(torch.ones(1, *source, dtype=torch.float64), connection.pool, divisor_override=1)
    (top, bottom), (left, right) = connection.pads
    y = torch.nn.functional.conv2d(
        torch.nn.functional.pad(y, (left, right, top, bottom)),
        torch.tensor(connection.weight, dtype=torch.float64),
        stride=connection.stride,
        dilation=connection.dilation,
        groups=connection.groups,
    )
    assert (y[0].amax(dim=(1, 2)).numpy() <= highest).all()


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_synaptic_operations_are_counted_over_valid_taps_only(seed):
    """Golden model and oracle against spikes times torch's own count; and the words of weights are those of the kernels."""
    network = random_network(seed, unusual=True)
    frames = frames_for(network, seed, 2)
    trace, exact = golden.run(network, frames, "spikes"), oracle.run(network, frames)
    assert trace.activity == exact.activity and np.array_equal(trace.scores, exact.scores)
    counted = observe(network, frames, trace)
    for index, layer in enumerate(network.layers):
        operations = effective = 0
        for c in layer.connections:
            if c.source == INPUT:
                continue
            spikes, source = trace.counts[c.source].astype(np.int64), network.source_shape(c)
            operations = operations + (spikes * reached(c, source, np.ones_like(c.weight))).sum(axis=(1, 2, 3))
            effective = effective + (spikes * reached(c, source, c.weight != 0)).sum(axis=(1, 2, 3))
        if layer.connections[0].source != INPUT:
            assert np.array_equal(trace.activity.operations[:, index], operations)
            assert np.array_equal(counted.effective[:, index], effective)
    for lanes in (1, 4):
        words = sum(
            c.weight[0].size * -(-c.weight.shape[0] // lanes) for layer in network.layers for c in layer.connections
        )
        assert len(Program(network, lanes).weight_words) == words


ONES = np.ones((4, 2, 1, 1), np.int32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": 3}, "groups is 3, must be at least 1 and divide the 4 output channels"),
        ({"groups": 0}, "groups is 0, must be at least 1"),
        ({"dilation": (0, 1)}, r"dilation is \(0, 1\), must be two whole numbers of 1 to 1024"),
        ({"dilation": (1, 1025)}, "dilation"),
        ({"padding_after": (-1, 0)}, r"padding_after is \(-1, 0\), must be two whole numbers of 0 to 1024"),
        ({"kind": "identity"}, "an identity has a 1 × 1 kernel with at most one weight in a row"),
        ({"kind": "sum"}, "connection kind is 'sum', must be conv2d, linear or identity"),
    ],
)
def test_bad_connections_are_refused(changes, message):
    with pytest.raises(InvalidValue, match=message):
        Connection(INPUT, ONES, **changes)


def test_channels_of_groups_must_fit_the_source():
    with pytest.raises(InvalidValue, match=r"weight \(4, 2, 1, 1\) in 2 groups expects 4 channels, its source has 2"):
        Connection(INPUT, ONES, groups=2).output((2, 5, 5))
    with pytest.raises(InvalidValue, match=r"linear kernel .* without padding, dilation or groups"):
        Connection(INPUT, ONES, kind="linear", groups=2).output((4, 1, 1))
