"""Memories that give nonsense of a word while it is written: what synthesis is told of collisions must be true."""

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from amaranth import Module, Signal
from amaranth.hdl import Elaboratable
from amaranth.lib.memory import Memory
from amaranth.sim import Simulator

from tests.cosim.planted import faulty_module
from tests.networks import NEURONS, frames_for, lively_lasting_network, lively_network, random_network
from tests.pooled_networks import pooled_network
from tests.rtl.memory_model import MemoryModel
from tests.rtl.test_chain import check as check_chain
from tests.rtl.test_core import check
from tests.rtl.test_external import codes_of_frames, impatient, smallest
from tests.rtl.test_external import run as run_external
from tests.rtl.test_leak import PLAIN, lively_leaky_network
from tests.rtl.test_loadable import run
from tests.rtl.test_spike_input import compared, wide
from toolchain.leak import LEAK_ORDERS
from toolchain.segments import cut_places

PLACES = ("hdl.rom", "hdl.source_memories", "hdl.neurons")
"""Modules with memories that are read and written: those in ``hdl.rom.COLLISION_FREE``, and the counts in ``neurons``."""


class CollidingMemory(Elaboratable):
    """As Amaranth's memory, but a word that is read while it is written comes inverted."""

    def __init__(self, *, shape: Any, depth: int, init: list[int]):
        self._memory = Memory(shape=shape, depth=depth, init=init)
        self._reads: list[SimpleNamespace] = []
        self._writes: list[Any] = []

    def read_port(self) -> SimpleNamespace:
        inside = self._memory.read_port()
        port = SimpleNamespace(
            inside=inside, addr=Signal.like(inside.addr), en=Signal(init=1), data=Signal.like(inside.data)
        )
        self._reads.append(port)
        return port

    def write_port(self) -> Any:
        self._writes.append(self._memory.write_port())
        return self._writes[-1]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = self._memory
        for port in self._reads:
            clash = Signal()
            m.d.comb += [
                port.inside.addr.eq(port.addr),
                port.inside.en.eq(port.en),
                port.data.eq(port.inside.data ^ clash.replicate(len(port.data))),
            ]
            for write in self._writes:
                with m.If(port.en):
                    m.d.sync += clash.eq(write.en & (write.addr == port.addr))
        return m


@pytest.fixture
def colliding(monkeypatch):
    for place in PLACES:
        monkeypatch.setattr(import_module(place), "Memory", CollidingMemory)


def test_a_collision_shows():
    m = Module()
    m.submodules.memory = memory = CollidingMemory(shape=8, depth=4, init=[1, 2, 3, 4])
    read, write = memory.read_port(), memory.write_port()
    found = []

    async def bench(ctx):
        for address, enable in ((2, 0), (2, 1), (1, 1), (2, 0)):
            ctx.set(read.addr, address)
            ctx.set(write.addr, 2)
            ctx.set(write.data, 9)
            ctx.set(write.en, enable)
            await ctx.tick()
            found.append(ctx.get(read.data))

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert found == [3, 3 ^ 0xFF, 2, 9]


@pytest.mark.parametrize("neuron", NEURONS, ids=["-".join(neuron.values()) for neuron in NEURONS])
def test_no_collision_is_used(colliding, neuron):
    check(lively_network(neuron, 1), 3)


@pytest.mark.parametrize("seed", range(6))
def test_no_collision_is_used_with_any_geometry(colliding, seed):
    check(random_network(seed, unusual=True), seed)


@pytest.mark.parametrize("stall", [0, 0.4])
@pytest.mark.parametrize("seed", range(3))
def test_no_collision_is_used_in_a_chain(colliding, seed, stall):
    """Whose cores receive the next frame while they are still sending, or have just sent."""
    network = next(n for n in (random_network(s) for s in range(100 * seed, 100 * seed + 100)) if cut_places(n))
    check_chain(network, cut_places(network), seed, lanes=4, stall=stall)


@pytest.mark.parametrize("lanes", [1, 3, 16])
def test_no_collision_is_used_with_frames_of_spikes(colliding, lanes):
    differences, counted, expected = compared(wide("symmetric"), lanes)
    assert not differences and counted == expected


@pytest.mark.parametrize("seed", range(3))
def test_no_collision_is_used_behind_max_pooling(colliding, seed):
    check(pooled_network(seed, padding=seed > 0), seed)


@pytest.mark.parametrize("order", LEAK_ORDERS)
def test_no_collision_is_used_by_leaks(colliding, order):
    check(lively_leaky_network({**PLAIN, "leak_order": order, "input": "direct"}, 1), 5)


@pytest.mark.parametrize("input", ["direct", "spikes"])
def test_no_collision_is_used_by_currents_that_last(colliding, input):
    check(lively_lasting_network({**PLAIN, "input": input}, 1), 5)


def test_no_collision_is_used_by_networks_that_are_loaded(colliding):
    assert not run([random_network(seed, neuron={"input": "direct"}) for seed in range(3)], 3, stall=0.3)


@pytest.mark.parametrize("seed", [1, 3, 6])
def test_no_collision_is_used_with_external_weights(colliding, seed):
    """Not of the cache either, and not where a layer's spikes go over those that it read."""
    network = random_network(seed, unusual=seed % 3 == 0)
    program = smallest(network, 3, 64)
    memory = MemoryModel(program.weight_bytes(), latency=20, stall=0.3, seed=seed)
    assert not run_external(program, frames_for(network, seed, 2), memory)[1].differences


@pytest.mark.parametrize("cause", [{"errors": {30: "slverr"}}, {"silent": {130: 400}}], ids=["error", "silence"])
def test_no_collision_is_used_behind_a_frame_that_was_given_up(colliding, cause):
    program = impatient(8, 32)
    codes = codes_of_frames(program, MemoryModel(program.weight_bytes(), latency=6, **cause), images=5)
    assert any(codes) and codes[-1] is None


def test_a_collision_that_is_used_differs(colliding, monkeypatch):
    fault = (("forward_written.eq(write_enable", "forward_written.eq(0 & write_enable"),)
    monkeypatch.setattr(import_module("hdl.core"), "NeuronArray", faulty_module("hdl.neurons", fault).NeuronArray)
    with pytest.raises(AssertionError):
        for seed in range(6):
            check(random_network(seed, unusual=True), seed)


def test_a_collision_that_is_used_differs_with_external_weights(colliding, monkeypatch):
    fault = (("forward_written.eq(write_enable", "forward_written.eq(0 & write_enable"),)
    monkeypatch.setattr(import_module("hdl.core"), "NeuronArray", faulty_module("hdl.neurons", fault).NeuronArray)
    program = smallest(random_network(1), 3, 64)
    assert run_external(program, frames_for(program.network, 1, 2), MemoryModel(program.weight_bytes()))[1].differences
