"""Spike buffers: none overlaps another that is held with it, and what they need is predicted."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl.program import Program
from tests.networks import random_network
from toolchain import zoo
from toolchain.buffers import held, last_reads, peak, place
from toolchain.convert import convert
from toolchain.energy.memory import snn_capacities
from toolchain.quantize import quantize


@st.composite
def lives(draw):
    sizes = draw(st.lists(st.integers(0, 20), min_size=1, max_size=10))
    return sizes, [draw(st.integers(i, len(sizes) - 1)) for i in range(len(sizes))]


@settings(max_examples=300, deadline=None)
@given(lives())
def test_buffers_held_together_never_overlap(drawn):
    sizes, last = drawn
    bases = place(sizes, last)
    for late in range(len(sizes)):
        for early in range(late):
            if last[early] >= late and sizes[early] and sizes[late]:
                first, second = sorted((early, late), key=lambda i: bases[i])
                assert bases[first] + sizes[first] <= bases[second]
    needed = max(base + size for base, size in zip(bases, sizes, strict=True))
    assert peak(sizes, last) <= needed <= sum(sizes)
    assert held(sizes, last) == tuple(
        sum(sizes[j] for j in range(len(sizes)) if j <= i <= last[j]) for i in range(len(sizes))
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=10))
def test_a_chain_needs_two_neighbours_at_most(sizes):
    last = [min(i + 1, len(sizes) - 1) for i in range(len(sizes))]
    bases = place(sizes, last)
    pairs = [a + b for a, b in zip(sizes, [*sizes[1:], 0], strict=True)]
    assert max(base + size for base, size in zip(bases, sizes, strict=True)) == peak(sizes, last) == max(pairs)


def test_a_hidden_overlap_would_be_seen():
    """The property above is about lifetimes: a shortcut must survive the layer in between."""
    assert place([4, 4, 4, 4], [2, 2, 3, 3]) != place([4, 4, 4, 4], [1, 2, 3, 3])
    assert (peak([4, 4, 4, 4], [2, 2, 3, 3]), peak([4, 4, 4, 4], [1, 2, 3, 3])) == (12, 8)


@pytest.mark.parametrize(("widths", "lanes"), [((16, 32, 64), 16), ((4, 8, 16), 4), ((4, 8, 16), 16)])
def test_residual_networks_hold_three_trains_of_the_first_stage(widths, lanes):
    """What a block reads, what it writes, and the shortcut: not the sum of the layers."""
    module = zoo.resnet(torch.nn.ReLU, 10, widths).eval()
    network = quantize(convert(module, torch.rand(2, 3, 32, 32), "optimal", 4))
    program = Program(network, lanes)
    last = last_reads(network)
    assert last[:4] == (2, 2, 4, 4) and last[-2:] == (len(last) - 1,) * 2
    groups = -(-widths[0] // lanes)
    assert program.spike_words == peak(program.spike_sizes, last) == 3 * 32 * 32 * groups * 4
    assert program.spike_words < 0.4 * sum(program.spike_sizes)
    assert snn_capacities(network)[2] == 3 * 32 * 32 * widths[0] * 4


def test_spikes_are_in_the_memory_until_they_were_read_last():
    network = next(
        n for n in map(random_network, range(1000)) if len(n.layers) == 3 and len(n.layers[2].connections) == 2
    )
    program = Program(network, 2)
    first, second, _ = program.spike_bases
    sizes = program.spike_sizes
    assert first + sizes[0] <= second or second + sizes[1] <= first
    alone = replace(network.layers[2], connections=network.layers[2].connections[:1])
    chain = replace(network, layers=(*network.layers[:2], alone))
    assert last_reads(network) == (2, 2, 2) and last_reads(chain) == (1, 2, 2)
