"""The harness is transparent: words shifted in and out through its pins give the golden model's scores."""

import re

import numpy as np
from amaranth.sim import Simulator

from hdl import Core
from hdl.harness import PIN_REGISTERS, TOP, Harness, harness_rtlil
from sim import golden
from sim.packets import frame_packet, read_result
from tests.networks import frames_for, random_network

NETWORK = random_network(3)


def test_scores_through_the_pins():
    frames = frames_for(NETWORK, 0, 2)
    dut = Harness(Core(NETWORK, lanes=2))
    packets = []

    async def source(ctx):
        ctx.set(dut.reset, 1)
        await ctx.tick().repeat(3)
        ctx.set(dut.reset, 0)
        for frame in frames:
            words = frame_packet(frame)
            for place, word in enumerate(words):
                while ctx.get(dut.i_full):
                    await ctx.tick()
                ctx.set(dut.i_shift, 1)
                for bit in range(33):
                    ctx.set(dut.i_bit, word >> bit & 1 if bit < 32 else place == len(words) - 1)
                    await ctx.tick()
                ctx.set(dut.i_shift, 0)
                ctx.set(dut.i_offer, 1)
                await ctx.tick()
                ctx.set(dut.i_offer, 0)
                await ctx.tick().repeat(2)  # until the flag stands

    async def sink(ctx):
        packet = []
        for _ in range(200_000):
            await ctx.tick()
            if not ctx.get(dut.o_full):
                continue
            word = 0
            for bit in range(33):
                word |= ctx.get(dut.o_bit) << bit
                ctx.set(dut.o_shift, 1)
                await ctx.tick()
                ctx.set(dut.o_shift, 0)
                await ctx.tick()
            ctx.set(dut.o_release, 1)
            await ctx.tick()
            ctx.set(dut.o_release, 0)
            await ctx.tick().repeat(2)
            packet.append(word & 0xFFFF_FFFF)
            if word >> 32:
                packets.append(packet)
                packet = []
                if len(packets) == len(frames):
                    return
        raise AssertionError(f"{len(packets)} answers")

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(source)
    simulator.add_testbench(sink)
    simulator.run()
    expected = golden.run(NETWORK, frames)
    for packet, scores, prediction in zip(packets, expected.scores, expected.predictions, strict=True):
        result = read_result(packet, classes=NETWORK.shapes[-1][0], layers=len(NETWORK.layers))
        assert np.array_equal(result.scores, scores)
        assert result.prediction == prediction


def test_one_clock_ten_pins_and_the_same_text_twice():
    text = harness_rtlil(Core(NETWORK, lanes=2))
    assert text == harness_rtlil(Core(NETWORK, lanes=2))
    top = text[text.index(f"module \\{TOP}\n") :]
    pins = re.findall(r"wire width (\d+) (input|output) \d+ +\\(\w+)", top[: top.index("\nend\n")])
    assert [width for width, _, _ in pins] == ["1"] * 10
    assert {name for _, _, name in pins} == {
        "clk", "reset", "i_bit", "i_shift", "i_offer", "o_shift", "o_release", "i_full", "o_bit", "o_full"
    }  # fmt: skip
    assert "rst" not in {name for _, _, name in pins}


def test_registers_of_the_harness():
    text = harness_rtlil(Core(NETWORK, lanes=2))
    module = re.search(rf"^module \\{TOP}\.harness\n.*?^end$", text, re.M | re.S)[0]
    widths = [int(width) for width in re.findall(r"cell \$dff \$\d+\n\s+parameter \\WIDTH (\d+)", module)]
    assert sum(widths) == PIN_REGISTERS
