"""Blocks alone: every cycle that their docstrings promise, and nothing lost under back-pressure."""

import random
from itertools import product

import pytest
from amaranth import Shape
from amaranth.sim import Simulator

from hdl import Core
from hdl.host import ErrorCode, PacketType
from hdl.lane import Lane
from hdl.layouts import event_layout, synapse_layout
from hdl.receiver import FrameReceiver
from hdl.sweep import Sweep
from hdl.synapses import SynapseAddresses
from tests.networks import NEURONS, random_network
from toolchain.ir import COUNTING_NEGATIVES

AMPLITUDE = Shape(8)
EVENT, SYNAPSE = event_layout(10, 8, 3, AMPLITUDE), synapse_layout(10, 8, AMPLITUDE)


def simulate(block, *benches):
    simulator = Simulator(block)
    simulator.add_clock(1e-6)
    for bench in benches:
        simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_synapse_addresses_take_a_cycle_each_without_gaps(stall):
    groups, row_stride, column_stride, row_words = 2, 30, 4, 12
    rng = random.Random(1)
    events = [
        {"weight": rng.randrange(500), "membrane": 100 + rng.randrange(100), "rows": rng.randrange(3),
         "columns": rng.randrange(3), "amplitude": rng.randrange(256)}
        for _ in range(20)
    ]  # fmt: skip
    expected = [
        (
            e["weight"] + y * row_stride + x * column_stride + g,
            e["membrane"] - y * row_words - x * groups + g,
            e["amplitude"],
        )
        for e in events
        for y in range(e["rows"] + 1)
        for x in range(e["columns"] + 1)
        for g in range(groups)
    ]
    block = SynapseAddresses(event=EVENT, synapse=SYNAPSE, group_bits=2)
    seen, gaps = [], 0

    async def source(ctx):
        for name, value in (
            ("groups", groups),
            ("row_stride", row_stride),
            ("column_stride", column_stride),
            ("row_words", row_words),
            ("column_words", groups),
        ):
            ctx.set(getattr(block, name), value)
        for event in events:
            while rng.random() < stall:
                await ctx.tick()
            ctx.set(block.i.payload, event)
            ctx.set(block.i.valid, 1)
            await ctx.tick().until(block.i.ready)
            ctx.set(block.i.valid, 0)

    async def sink(ctx):
        nonlocal gaps
        while len(seen) < len(expected):
            _, _, valid, payload = await ctx.tick().sample(block.o.valid, block.o.payload)
            if valid:
                seen.append((payload.weight, payload.membrane, payload.amplitude))
            else:
                gaps += len(seen) > 0

    simulate(block, source, sink)
    assert seen == expected
    assert stall or gaps == 0


@pytest.mark.parametrize("apart", [None, 0, 1])
@pytest.mark.parametrize(("words", "firings"), [(1, 1), (5, 1), (7, 4)])
def test_sweep_takes_the_cycles_it_says(words, firings, apart):
    late = apart is not None
    block = Sweep(word_bits=4, group_bits=3, parameter_bits=4, spike_bits=8, step_bits=3, late=late)
    spikes, durations, steps, written = [], [], [], []

    async def bench(ctx):
        for name, value in (
            ("words", words),
            ("groups", 1),
            ("firings", firings),
            ("first_spike", 3),
            ("spike_stride", 1),
            ("write_back", 1),
            *((("apart", apart),) if late else ()),
        ):
            ctx.set(getattr(block, name), value)
        for pass_name in ("initialize", "fire"):
            ctx.set(getattr(block, pass_name), 1)
            await ctx.tick()
            ctx.set(getattr(block, pass_name), 0)
            cycles = 1  # the strobe's own
            while ctx.get(block.busy):
                if ctx.get(block.spike):
                    spikes.append((ctx.get(block.spike_address), ctx.get(block.spike_word), ctx.get(block.spike_step)))
                await watch(ctx, pass_name, cycles)
                cycles += 1
            durations.append(cycles)
            await watch(ctx, pass_name, cycles)

    async def watch(ctx, pass_name, cycle):
        if pass_name == "fire" and ctx.get(block.step):
            steps.append(cycle)
        if pass_name == "fire" and ctx.get(block.writes):
            written.append((cycle, ctx.get(block.next_written)))
        await ctx.tick()

    simulate(block, bench)
    turns = 2 * firings - 1 if apart else firings
    assert durations == [words + 3, words * turns + 5]
    assert steps == [4 + w * turns + f * (2 if apart else 1) for w in range(words) for f in range(firings)]
    assert written == [(3 + (w + 1) * turns + late, w) for w in range(words)]  # in the cycle before the write
    assert spikes == [(3 + w * firings + f, w, f) for w in range(words) for f in range(firings)]


@pytest.mark.parametrize("neuron", NEURONS, ids=["-".join(neuron.values()) for neuron in NEURONS])
def test_lane_fires_at_its_threshold_and_not_before(neuron):
    network = random_network(100, neuron=neuron, time_steps=1)
    lane = Lane(weight_bits=8, membrane_bits=12, amplitude=AMPLITUDE, weighing="multiply", network=network)
    strict = neuron["compare"] == "gt"
    fired = {}

    async def bench(ctx):
        ctx.set(lane.fires, 1)
        ctx.set(lane.threshold, 100)
        if neuron["negative"] == "asymmetric":
            ctx.set(lane.negative_threshold, 70)
        for count, membrane in product((0, 1), (-101, -100, -99, -71, -70, -69, -1, 0, 99, 100, 101)):
            if neuron["negative"] in COUNTING_NEGATIVES:
                ctx.set(lane.count, count)
            ctx.set(lane.membrane, membrane)
            await ctx.tick()
            ctx.set(lane.load, 1)
            await ctx.tick()
            ctx.set(lane.load, 0)
            minus = ctx.get(lane.negative) if network.signed_spikes else 0
            fired[count, membrane] = (ctx.get(lane.spike) * (-1 if minus else 1), ctx.get(lane.after))

    simulate(lane, bench)
    for (count, membrane), (spike, after) in fired.items():
        up = membrane > 100 or (membrane == 100 and not strict)
        down = {
            "none": False,
            "symmetric": membrane < -100 or (membrane == -100 and not strict),
            "asymmetric": membrane < -70 or (membrane == -70 and not strict),
            "floor": membrane < 0,
            "correcting": membrane < 0 and count,
            "memory": (membrane < -100 or (membrane == -100 and not strict)) and count,
        }[neuron["negative"]]
        assert spike == up - bool(down)
        taken = 70 if spike < 0 and neuron["negative"] == "asymmetric" else 100
        assert after == (0 if up and neuron["reset"] == "zero" else membrane - taken * spike)


@pytest.mark.parametrize("weighing, bits", [("multiply", 8), ("shift", 3), ("add", 0)])
@pytest.mark.parametrize("negative", ["none", "symmetric"])
def test_synapse_multiplies_shifts_or_adds(weighing, bits, negative):
    network = random_network(100, neuron={"schedule": "two_phase", "negative": negative})
    shape = Shape(bits + network.signed_spikes, network.signed_spikes and weighing == "multiply")
    lane = Lane(weight_bits=8, membrane_bits=20, amplitude=shape, weighing=weighing, network=network)
    sums = []

    async def bench(ctx):
        for weight, amplitude in product((-127, -1, 0, 127), range(1 << bits)):
            for sign in (1, -1) if network.signed_spikes else (1,):
                factor = {"multiply": amplitude, "shift": 1 << amplitude, "add": 1}[weighing]
                encoded = sign * amplitude if weighing == "multiply" else amplitude | (sign < 0) << bits
                ctx.set(lane.weight, weight)
                ctx.set(lane.add, 1)
                await ctx.tick()
                ctx.set(lane.amplitude, encoded)
                ctx.set(lane.membrane, 1000)
                await ctx.tick()
                await ctx.tick()
                sums.append(ctx.get(lane.sum) == 1000 + weight * sign * factor)

    simulate(lane, bench)
    assert sums and all(sums)


def test_receiver_tells_what_is_wrong_and_starts_clean():
    block = FrameReceiver(pixels=6)
    header = PacketType.FRAME << 24 | 6
    packets = [
        [header, 1, 2],
        [header],
        [header, 1],
        [header, 1, 2, 3],
        [header + 1, 1, 2],
        [0x55 << 24 | 6, 9],
        [header, 3, 4],
    ]
    written, outcomes = [], []

    async def source(ctx):
        ctx.set(block.accept, 1)
        for packet in packets:
            for place, word in enumerate(packet):
                ctx.set(block.i.payload.data, word)
                ctx.set(block.i.payload.last, place == len(packet) - 1)
                ctx.set(block.i.valid, 1)
                await ctx.tick().until(block.i.ready)
            ctx.set(block.i.valid, 0)

    async def sink(ctx):
        while len(outcomes) < len(packets):
            _, _, write, word, data, done, failed, error = await ctx.tick().sample(
                block.write, block.word, block.data, block.done, block.failed, block.error
            )
            if write:
                written.append((word, data))
            if done or failed:
                outcomes.append(None if done else ErrorCode(error))

    simulate(block, source, sink)
    assert outcomes == [
        None, ErrorCode.SHORT, ErrorCode.SHORT, ErrorCode.LONG, ErrorCode.SIZE, ErrorCode.TYPE, None
    ]  # fmt: skip
    assert written[:2] == [(0, 1), (1, 2)] and written[-2:] == [(0, 3), (1, 4)]


def test_core_is_what_the_package_offers():
    core = Core(random_network(3), lanes=4)
    assert len(core.spike_bits) == 4

    async def bench(ctx):
        await ctx.tick()
        assert ctx.get(core.s_axis_tready) and not ctx.get(core.m_axis_tvalid)

    simulate(core, bench)
