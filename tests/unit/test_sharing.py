"""Tables whose equal runs stand there once, and spikes that go over those that were read."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl.program import Program
from hdl.sharing import shared
from hdl.sizes import Sizes
from hdl.tiles import ExternalWeights, TiledProgram
from tests.networks import random_network
from toolchain.buffers import freed, last_reads, peak, place
from toolchain.connection import Connection
from toolchain.ir import INPUT, FixedPointLayer, FixedPointNetwork
from toolchain.sizing.memories import memories


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), max_size=6).map(tuple), max_size=8))
def test_every_run_stands_where_its_place_says(runs):
    table, places = shared(runs)
    assert [table[p : p + len(run)] for p, run in zip(places, runs, strict=True)] == runs
    assert max(map(len, runs), default=0) <= len(table) <= sum(map(len, set(runs)))


def test_equal_runs_and_parts_of_longer_ones_take_no_room():
    table, places = shared([(2, 3), (1, 2, 3, 4), (2, 3), (4, 1), (1, 2)])
    assert table == (1, 2, 3, 4, 4, 1)
    assert places == (1, 0, 1, 4, 0)


def blocks(schedule="two_phase"):
    """A residual network: a join of a convolution and an identity, 1 channel a group, twice; more target groups than a bank holds."""
    rng = np.random.default_rng(3)

    def convolution(source, outputs, inputs):
        return Connection(source, rng.integers(-7, 8, (outputs, inputs, 3, 3)).astype(np.int32), (1, 1), (1, 1))

    def identity(source):
        return Connection(source, np.full((8, 1, 1, 1), 5, np.int32), groups=8)

    def layer(name, *connections):
        zeros = np.zeros(8, np.int64)
        return FixedPointLayer(name, connections, np.full(8, 40), zeros, zeros + 20)

    readout = Connection(4, rng.integers(-7, 8, (5, 8, 4, 4)).astype(np.int32), kind="linear")
    layers = (
        layer("first", convolution(INPUT, 8, 2)),
        layer("a", convolution(0, 8, 8)),
        layer("b", convolution(1, 8, 8), identity(0)),
        layer("c", convolution(2, 8, 8)),
        layer("d", convolution(3, 8, 8), identity(2)),
        FixedPointLayer("readout", (readout,), None, np.zeros(5, np.int64), np.zeros(5, np.int64)),
    )
    return FixedPointNetwork("blocks", (2, 4, 4), schedule, 3, layers, weight_bits=4, input="direct")


def tiled(network, lanes=2, cache_words=288):
    return TiledProgram(network, lanes, external=ExternalWeights(cache_words, 32))


def test_tiles_that_reach_their_words_alike_share_entries():
    program = tiled(blocks())
    assert len(program.tiles) == 14
    whole = [tuple(program.tile_range(t, c) for c in range(t.connection.inputs)) for t in program.tiles]
    for instruction, run in zip(program.instructions, whole, strict=True):
        base = instruction.channel_base
        assert program.channels[base : base + len(run)] == run
    # the first layer's, those of 3 × 3 kernels, identities, the readout's, and its last group's, which has a lane less
    assert len(program.channels) == 2 + 4 * 8 < sum(map(len, whole)) / 3
    rows, columns = program.tables
    assert len(rows) <= 4 * 4 and len(columns) <= 7 * 4


def test_loaded_networks_share_entries_and_others_do_not():
    network = blocks()
    loaded, built = Program(network, 2, ranged=True, general=True), Program(network, 2)
    assert len(built.channels) == 2 + 7 * 8 and len(loaded.channels) == 3 * 8
    for index, instruction in enumerate(loaded.instructions):
        first, length = built.instructions[index].channel_base, instruction.source_groups * 2
        length = instruction.source_groups if instruction.frame else length
        base = instruction.channel_base
        assert loaded.channels[base : base + length] == built.channels[first : first + length]


@pytest.mark.parametrize("schedule", ["two_phase", "stream"])
def test_a_layer_writes_over_what_it_was_the_last_to_read(schedule):
    program = tiled(blocks(schedule))
    plain = Program(program.network, 2)
    train = 16 * 4 * 3
    assert plain.spike_words == 3 * train and program.spike_words == 2 * train
    last = last_reads(program.network)
    for reader, layer in enumerate(program.network.layers):
        for held in range(reader):
            wanted = last[held] > reader and layer.threshold is not None
            assert not wanted or abs(program.spike_bases[held] - program.spike_bases[reader]) >= train


@pytest.mark.parametrize("seed", range(20))
def test_buffers_begin_with_the_first_step(seed):
    """So a layer that fires after every step writes over spikes of that step only."""
    network = random_network(seed, schedule="stream", neuron={"input": ("direct", "spikes")[seed % 2]})
    program = TiledProgram(network, 2, external=ExternalWeights.of(network, lanes=2))
    assert program.spike_words <= Program(network, 2).spike_words
    bases = [program.input_base] * (network.input == "spikes") + [*program.spike_bases]
    assert all(base % program.steps == 0 for base in bases)


def test_freed_lives_end_where_their_last_reader_fires():
    assert freed([2, 2, 3, 3]) == (1, 1, 2, 3)
    assert peak([4] * 4, freed([2, 2, 3, 3])) == 8 < peak([4] * 4, [2, 2, 3, 3])
    assert place([4] * 3, freed([1, 2, 2])) == (0, 0, 0)


@pytest.mark.parametrize("network", [blocks(), random_network(4), random_network(3, unusual=True)])
def test_sizes_are_those_that_are_built(network):
    program = TiledProgram(network, 2, external=ExternalWeights.of(network, lanes=2))
    built, counted = Sizes.of_network(program), {}
    for memory in memories(program):
        counted.setdefault(memory.name, []).append((memory.depth, memory.bits))
    assert sum(bits for _, bits in counted["spikes"]) == built.spike_bits
    assert {depth for depth, _ in counted["spikes"]} == {built.spike_words}
    if built.channel is not None:
        assert counted["channels"] == [(built.channels, built.channel.size)]
    assert max(depth for name in ("rows", "columns") for depth, _ in counted.get(name, [(0, 0)])) <= built.entries
