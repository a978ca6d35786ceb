"""The sender of results alone: every score of every lane and word, whatever the numbers of both, and the cycles that its docstring promises."""

import random
from itertools import pairwise

import pytest
from amaranth.sim import Simulator

from hdl.host import PacketType, result_words
from hdl.sender import ResultSender
from tests.cosim.planted import faulty_module

BITS, LAYERS, IDENTITY = 12, 2, 0xC0FFEE
COUNTERS = [[random.Random(layer).getrandbits(32) for _ in range(4)] for layer in range(LAYERS)]


def answer(sender, scores: list[int], lanes: int, *, stall: float = 0.0) -> tuple[list[int], list[int]]:
    """The words of a result packet, and the cycle in which each was taken; membranes come three cycles after ``read_word``."""
    words = [scores[first : first + lanes] for first in range(0, len(scores), lanes)]
    noise = random.Random(1)
    words[-1] = words[-1] + [noise.randrange(-(1 << BITS - 1), 1 << BITS - 1) for _ in range(lanes - len(words[-1]))]
    packed = [sum((value & (1 << BITS) - 1) << BITS * lane for lane, value in enumerate(word)) for word in words]
    taken: list[int] = []
    at: list[int] = []

    async def membranes(ctx):
        past = [0, 0, 0]
        async for _, reset, word in ctx.tick().sample(sender.read_word):
            if not reset:
                past = [word, *past[:2]]
                ctx.set(sender.scores.as_value(), packed[past[2] % len(packed)])

    async def counters(ctx):
        async for _, _, layer in ctx.tick().sample(sender.counters_address):
            ctx.set(sender.counters, sum(value << 32 * n for n, value in enumerate(COUNTERS[layer % LAYERS])))

    async def host(ctx):
        ctx.set(sender.cycles, 4711)
        await ctx.tick().repeat(8)
        ctx.set(sender.send_result, 1)
        await ctx.tick()
        ctx.set(sender.send_result, 0)
        cycle = 0
        while True:
            ctx.set(sender.o.ready, noise.random() >= stall)
            if ctx.get(sender.o.valid) and ctx.get(sender.o.ready):
                taken.append(ctx.get(sender.o.payload.data))
                at.append(cycle)
                if ctx.get(sender.o.payload.last):
                    break
            await ctx.tick()
            cycle += 1
            assert cycle < 100 * len(scores) + 1000

    simulator = Simulator(sender)
    simulator.add_clock(1e-6)
    simulator.add_process(membranes)
    simulator.add_process(counters)
    simulator.add_testbench(host)
    simulator.run()
    return taken, at


def sender_of(classes: int, lanes: int, kind: type = ResultSender):
    return kind(classes=classes, layers=LAYERS, lanes=lanes, membrane_bits=BITS, network_id=IDENTITY)


def scores_for(classes: int) -> list[int]:
    rng = random.Random(classes)
    scores = [rng.randrange(-(1 << BITS - 1), 1 << BITS - 1) for _ in range(classes)]
    return [*scores[:-1], max(scores)]  # the last one is among the largest, and the first of those wins


@pytest.mark.parametrize("stall", [0.0, 0.5])
@pytest.mark.parametrize("lanes", [1, 2, 7, 8, 9, 16, 24, 64])
@pytest.mark.parametrize("classes", [1, 2, 10, 17, 65, 130])
def test_every_score_arrives(classes, lanes, stall):
    scores = scores_for(classes)
    words, _ = answer(sender_of(classes, lanes), scores, lanes, stall=stall)
    expected = [
        *(PacketType.RESULT << 24 | result_words(classes, LAYERS), IDENTITY),
        *(score & 0xFFFFFFFF for score in scores),
        scores.index(max(scores)),
        *(value for layer in COUNTERS for value in layer),
        4711,
    ]
    assert words == expected


@pytest.mark.parametrize(("classes", "lanes"), [(10, 16), (70, 64), (30, 8), (5, 1)])
def test_a_score_takes_two_cycles_and_a_word_of_them_three_more(classes, lanes):
    _, at = answer(sender_of(classes, lanes), scores_for(classes), lanes)
    gaps = [after - before for before, after in pairwise(at[2 : 2 + classes])]
    assert gaps == [5 if number % lanes == 0 else 2 for number in range(1, classes)]


@pytest.mark.parametrize(
    "fault",
    [
        ("Array(near)[lane[places:]]", "near[0]"),
        ("Array(near)[lane[places:]]", "Array(near)[(lane + 1)[places:]]"),
        ("word_select(lane[:places], size)", "word_select((lane + 1)[:places], size)"),
        ("[lane.eq(0), word.eq(word + 1)]", "[lane.eq(0)]"),
        ("range(0, self._lanes, _NEIGHBOURS)", "range(0, self._lanes - _NEIGHBOURS, _NEIGHBOURS)"),
    ],
)
def test_planted_faults_are_caught(fault):
    scores = scores_for(130)
    words, _ = answer(sender_of(130, 64, faulty_module("hdl.sender", (fault,)).ResultSender), scores, 64)
    assert words[2 : 2 + len(scores)] != [score & 0xFFFFFFFF for score in scores]
