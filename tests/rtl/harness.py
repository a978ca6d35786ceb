"""Run a core in Amaranth's simulator: packets in, packets and spike words out."""

import random
from dataclasses import dataclass, field

from amaranth.sim import Simulator, SimulatorContext

from hdl.capacity import Capacity
from hdl.core import Core
from toolchain.ir import FixedPointNetwork

__all__ = ["CoreRun", "run_core"]


@dataclass
class CoreRun:
    """Packets as lists of words, and spike words (packets seen before, layer, step, word, bits)."""

    packets: list[list[int]] = field(default_factory=list)
    spikes: list[tuple[int, int, int, int, int]] = field(default_factory=list)


def run_core(
    content: FixedPointNetwork | Capacity,
    packets: list[list[int]],
    *,
    lanes: int,
    stall: float = 0.0,
    seed: int = 0,
    limit: int = 200_000,
) -> CoreRun:
    """Send packets, wait for as many answers; ``stall`` is the share of clocks either side holds back."""
    core = Core(content, lanes=lanes)
    run = CoreRun()
    rng = random.Random(seed)

    async def source(ctx: SimulatorContext) -> None:
        for packet in packets:
            for place, word in enumerate(packet):
                while rng.random() < stall:
                    await ctx.tick()
                ctx.set(core.s_axis_tdata, word)
                ctx.set(core.s_axis_tlast, place == len(packet) - 1)
                ctx.set(core.s_axis_tvalid, 1)
                await ctx.tick().until(core.s_axis_tready)
                ctx.set(core.s_axis_tvalid, 0)

    async def sink(ctx: SimulatorContext) -> None:
        packet: list[int] = []
        for _ in range(limit):
            ctx.set(core.m_axis_tready, rng.random() >= stall)
            _, _, data, last, taken = await ctx.tick().sample(
                core.m_axis_tdata, core.m_axis_tlast, core.m_axis_tvalid & core.m_axis_tready
            )
            if not taken:
                continue
            packet.append(data)
            if last:
                run.packets.append(packet)
                packet = []
                if len(run.packets) == len(packets):
                    return
        raise AssertionError(f"{len(run.packets)} of {len(packets)} answers after {limit} clocks")

    async def monitor(ctx: SimulatorContext) -> None:
        spike = (core.spike_layer, core.spike_step, core.spike_word, core.spike_bits)
        async for _, _reset, valid, *values in ctx.tick().sample(core.spike_valid, *spike):
            if valid:
                run.spikes.append((len(run.packets), *values))

    simulator = Simulator(core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(source)
    simulator.add_testbench(sink)
    simulator.add_testbench(monitor, background=True)
    simulator.run()
    return run
