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
from tests.networks import NEURONS, lively_network, random_network
from tests.rtl.test_core import check
from toolchain.ir import COUNTING_NEGATIVES

PLACES = ("hdl.rom", "hdl.core", "hdl.neurons")
"""Modules with memories that are read and written, all of them in ``hdl.rom.COLLISION_FREE``."""
PLAIN = [neuron for neuron in NEURONS if neuron["negative"] not in COUNTING_NEGATIVES]
"""Without the memory of counts, of which nothing is claimed."""


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


@pytest.mark.parametrize("neuron", PLAIN, ids=["-".join(neuron.values()) for neuron in PLAIN])
def test_no_collision_is_used(colliding, neuron):
    check(lively_network(neuron, 1), 3)


@pytest.mark.parametrize("seed", range(6))
def test_no_collision_is_used_with_any_geometry(colliding, seed):
    check(random_network(seed, unusual=True), seed)


def test_a_collision_that_is_used_differs(colliding, monkeypatch):
    fault = (("forward_written.eq(write_enable", "forward_written.eq(0 & write_enable"),)
    monkeypatch.setattr(import_module("hdl.core"), "NeuronArray", faulty_module("hdl.neurons", fault).NeuronArray)
    with pytest.raises(AssertionError):
        for seed in range(6):
            check(random_network(seed, unusual=True), seed)
