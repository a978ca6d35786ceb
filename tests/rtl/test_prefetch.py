"""The prefetcher alone: tiles that begin anywhere and are longer than a page come whole, in bursts that keep the rules."""

import random

import pytest
from amaranth.sim import Simulator

from hdl.prefetch import Prefetcher
from hdl.tiles import DATA_BITS, PAGE, ExternalWeights, Tile
from tests.cosim.planted import faulty_module
from tests.rtl.memory_model import MemoryModel

WORDS = (700, 3, 450)
"""Weight words of each tile."""


def prefetched(component, data_bits, *, first=37):
    """What a bank holds of each tile when it is ready, what was expected, and the memory."""
    content, tiles, expected, base = bytearray(random.Random(1).randbytes(first * data_bits // 8)), [], [], first
    for number, words in enumerate(WORDS):
        values = [random.Random(number * 1000 + n).getrandbits(data_bits) for n in range(words)]
        expected.append(values)
        content += b"".join(value.to_bytes(data_bits // 8, "little") for value in values)
        tiles.append(Tile(number, 0, None, 0, 1, words, base, words))
        base += words
    external = ExternalWeights(2 * max(WORDS), data_bits)
    prefetcher = component(
        tiles, [False] * len(tiles), steps=4, external=external, word_bits=data_bits, depth=max(WORDS)
    )
    memory = MemoryModel(bytes(content), latency=7, stall=0.1)
    cache, found = {}, []

    async def watch(ctx):
        ctx.set(prefetcher.release, 0)
        for _ in range(8_000):
            _, _, ready, bank, write, address, data = await ctx.tick().sample(
                prefetcher.ready, prefetcher.bank, prefetcher.write, prefetcher.address, prefetcher.data
            )
            if write:
                cache[address & 1, address >> 1] = data
            released = ctx.get(prefetcher.release)
            ctx.set(prefetcher.release, 0)
            if ready and not released:
                found.append([cache.get((bank, n)) for n in range(WORDS[len(found)])])
                ctx.set(prefetcher.release, 1)
                if len(found) == len(tiles):
                    return

    simulator = Simulator(prefetcher)
    simulator.add_clock(1e-8)
    simulator.add_testbench(watch)
    simulator.add_testbench(memory.serve(prefetcher), background=True)
    simulator.run()
    return found, expected, memory


@pytest.mark.parametrize("data_bits", DATA_BITS)
def test_tiles_come_whole_and_no_burst_crosses_a_page(data_bits):
    found, expected, memory = prefetched(Prefetcher, data_bits)
    assert found == expected
    assert not memory.wrong
    assert len({address // PAGE for address, _ in memory.bursts}) > 1


FAULTS = {
    "bursts_not_aligned": ("room.eq(burst - beat[: burst.bit_length() - 1])", "room.eq(burst)", "4 KiB"),
    "burst_longer_than_a_page": ("length.eq(room),\n", "length.eq(left),\n", "4 KiB"),
    "another_size_told": ("self.m_axi_arsize.eq(size)", "self.m_axi_arsize.eq(size - 1)", "size"),
    "next_burst_a_beat_early": ("beat.eq(beat + length)", "beat.eq(beat + length - 1)", ""),
    "last_word_left_out": ("left.eq(tile.beats), entry.eq(0)", "left.eq(tile.beats - 1), entry.eq(0)", ""),
}
"""Healthy text, faulty text, and what the watch on the rules says; where nothing, the words are wrong."""


@pytest.mark.parametrize("name", FAULTS)
def test_faults_show(name):
    healthy, faulty, broken = FAULTS[name]
    found, expected, memory = prefetched(faulty_module("hdl.prefetch", ((healthy, faulty),)).Prefetcher, 512)
    assert any(broken in rule for rule in memory.wrong) if broken else found != expected
