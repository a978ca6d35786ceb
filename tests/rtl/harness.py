"""Run a core, or a chain of cores, in Amaranth's simulator: packets in, packets and spike words out."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from amaranth.hdl import ValueLike
from amaranth.sim import Simulator, SimulatorContext

from hdl.capacity import Capacity
from hdl.chain import Chain
from hdl.core import Core
from hdl.tiles import ExternalWeights
from tests.rtl.memory_model import MemoryModel
from toolchain.ir import FixedPointNetwork

__all__ = ["CoreRun", "run_core"]


@dataclass
class CoreRun:
    """Packets as lists of words, the clock in which each ended, and spike words (packets seen before, layer, step, word, bits)."""

    packets: list[list[int]] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    spikes: list[tuple[int, int, int, int, int]] = field(default_factory=list)


def run_core(
    content: FixedPointNetwork | Capacity,
    packets: list[list[int]],
    *,
    lanes: int,
    stall: float = 0.0,
    seed: int = 0,
    limit: int = 200_000,
    cuts: tuple[int, ...] = (),
    external: ExternalWeights | None = None,
    memory: MemoryModel | None = None,
) -> CoreRun:
    """Send packets, wait for as many answers; ``stall`` is the share of clocks either side holds back."""
    core = Chain(content, lanes=lanes, cuts=cuts) if cuts else Core(content, lanes=lanes, external=external)
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
        for clock in range(limit):
            ctx.set(core.m_axis_tready, rng.random() >= stall)
            _, _, data, last, taken = await ctx.tick().sample(
                core.m_axis_tdata, core.m_axis_tlast, core.m_axis_tvalid & core.m_axis_tready
            )
            if not taken:
                continue
            packet.append(data)
            if last:
                run.packets.append(packet)
                run.ends.append(clock)
                packet = []
                if len(run.packets) == len(packets):
                    return
        raise AssertionError(f"{len(run.packets)} of {len(packets)} answers after {limit} clocks")

    def monitor(prefix: str, done: ValueLike) -> Callable[[SimulatorContext], Awaitable[None]]:
        """Keeps the spike words of the ports ``{prefix}_*``."""

        async def watch(ctx: SimulatorContext) -> None:
            finished = 0
            spike = [getattr(core, f"{prefix}_{name}") for name in ("layer", "step", "word", "bits")]
            async for _, _reset, valid, ended, *values in ctx.tick().sample(
                getattr(core, f"{prefix}_valid"), done, *spike
            ):
                if valid:
                    run.spikes.append((finished, *values))
                finished += ended

        return watch

    simulator = Simulator(core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(source)
    if memory is not None:
        simulator.add_testbench(memory.serve(core), background=True)
    simulator.add_testbench(sink)
    for number in range(len(cuts) + 1 if cuts else 0):
        simulator.add_testbench(monitor(f"spike{number}", getattr(core, f"spike{number}_done")), background=True)
    if not cuts:
        simulator.add_testbench(
            monitor("spike", core.m_axis_tvalid & core.m_axis_tready & core.m_axis_tlast), background=True
        )
    simulator.run()
    return run
