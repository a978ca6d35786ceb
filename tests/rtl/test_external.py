"""Weights from external memory: every network exact behind a memory that stalls, cycles as said, and faults that must show."""

from dataclasses import replace

import numpy as np
import pytest

from hdl.capacity import Capacity
from hdl.core import Core
from hdl.host import ErrorCode
from hdl.program import Program
from hdl.rom import zeros_in_loops
from hdl.tiles import DATA_BITS, TIMEOUT, ExternalWeights, TiledProgram
from sim import golden
from sim.comparison import Comparison
from sim.packets import error_of, input_packet, read_result
from tests.cosim.planted import faulty_core
from tests.networks import NEURONS, frames_for, random_network
from tests.pooled_networks import pooled_network
from tests.rtl import harness
from tests.rtl.memory_model import ERRORS, MemoryModel
from tests.unit.test_sharing import blocks, tiled
from toolchain.bandwidth import waiting
from toolchain.cycles import cycles
from toolchain.errors import InvalidValue


def smallest(network, lanes, data_bits):
    """The program with the smallest cache that the network takes."""
    with pytest.raises(InvalidValue, match="--weight-cache") as refused:
        TiledProgram(network, lanes, external=ExternalWeights(2, data_bits))
    needed = int(str(refused.value).split()[-3])
    return TiledProgram(network, lanes, external=ExternalWeights(needed, data_bits))


def run(program, frames, memory, limit=400_000):
    """Packets and spikes of a core, and what differs from the models."""
    network, lanes = program.network, program.lanes
    packets = [input_packet(frame, program) for frame in frames]
    answers = harness.run_core(
        network, packets, lanes=lanes, external=program.external, memory=memory, limit=limit
    )  # fmt: skip
    trace = golden.run(network, frames, "spikes")
    comparison = Comparison(network, lanes, trace, cycles(network, frames, trace, lanes, program), waits=True)
    comparison.results(answers.packets)
    comparison.spikes(answers.spikes)
    return answers, comparison


@pytest.mark.parametrize(("lanes", "data_bits"), [(2, 32), (3, 512), (4, 64), (16, 32)])
@pytest.mark.parametrize("seed", [1, 3, 4, 6, 9])
def test_random_networks_are_exact(seed, lanes, data_bits):
    network = random_network(seed, unusual=seed % 3 == 0)
    if lanes == 16 and data_bits == 32:
        assert lanes * network.weight_bits > data_bits
    program = smallest(network, lanes, data_bits)
    frames = frames_for(network, seed, 2)
    memory = MemoryModel(program.weight_bytes(), latency=20, stall=0.3, seed=seed)
    _, comparison = run(program, frames, memory)
    assert not comparison.differences
    assert not memory.wrong


@pytest.mark.parametrize("neuron", NEURONS[::7], ids=["-".join(neuron.values()) for neuron in NEURONS[::7]])
def test_neurons_and_input_spikes_are_exact(neuron):
    network = random_network(11, neuron={**neuron, "input": "spikes"})
    program = smallest(network, 2, 64)
    memory = MemoryModel(program.weight_bytes(), latency=9, stall=0.2)
    assert not run(program, frames_for(network, 1, 2), memory)[1].differences
    assert not memory.wrong


def test_max_pooling_is_exact():
    network = pooled_network(5)
    program = smallest(network, 2, 32)
    memory = MemoryModel(program.weight_bytes(), latency=9, stall=0.2)
    assert not run(program, frames_for(network, 1, 1), memory)[1].differences
    assert len(program.tiles) > sum(len(layer.connections) for layer in network.layers)


@pytest.mark.parametrize("schedule", ["two_phase", "stream"])
def test_residual_blocks_are_exact(schedule):
    """Whose tiles share entries of the channel table, and whose spikes go over those that were read."""
    program = tiled(blocks(schedule))
    memory = MemoryModel(program.weight_bytes(), latency=9, stall=0.2)
    assert not run(program, frames_for(program.network, 1, 1), memory)[1].differences


SHARING_FAULTS = {
    "place_before": ("hdl.sharing", "place = len(table)", "place = max(0, len(table) - 1)", "two_phase"),
    "first_entry_is_enough": ("hdl.sharing", "tuple(table[start : start + len(run)]) == run", "True", "two_phase"),
    "tiles_taken_for_alike": ("hdl.tiles", "prod(connection.kernel), tile.groups, self._last_lanes(tile)", "0", "two_phase"),
    "freed_before_it_is_read": ("hdl.tiles", "return sizes, freed(last)", "return sizes, freed(freed(last))", "two_phase"),
    "steps_apart": ("hdl.program", "return place(sizes, last),", "return tuple(n + b for n, b in enumerate(place(sizes, last))),", "stream"),
}  # fmt: skip
"""Module, healthy text, faulty text, schedule that shows it."""


@pytest.mark.parametrize("name", SHARING_FAULTS)
def test_faults_in_sharing_show(monkeypatch, name):
    module, healthy, faulty, schedule = SHARING_FAULTS[name]
    program = tiled(blocks(schedule))
    with faulty_core(module, ((healthy, faulty),)) as core:
        monkeypatch.setattr(harness, "Core", core)
        try:
            memory = MemoryModel(program.weight_bytes())
            _, comparison = run(program, frames_for(program.network, 1, 1), memory, limit=40_000)
        except AssertionError:  # silent
            return
    assert comparison.differences


WAITING = random_network(1)


def test_a_memory_that_is_fast_enough_costs_only_the_scans():
    network = random_network(4)
    program = smallest(network, 2, 64)
    assert len(program.tiles) > len(network.layers) - 1
    frames = np.repeat(frames_for(network, 4, 1), 2, axis=0)
    answers, comparison = run(program, frames, MemoryModel(program.weight_bytes()))
    assert not comparison.differences
    trace = golden.run(network, frames, "spikes")
    spent = cycles(network, frames, trace, 2, program)
    result = read_result(answers.packets[1], classes=network.shapes[-1][0], layers=len(network.layers))
    assert result.counters[:, 0].tolist() == spent.layers[1].tolist()
    assert result.cycles == spent.total[1]
    assert waiting(program, frames, trace, latency=1).starving == ()


@pytest.mark.parametrize("latency", [0, 40])
def test_waits_are_estimated_within_a_tenth(latency):
    network = WAITING
    program = smallest(network, 2, 32)
    frames = np.repeat(frames_for(network, 1, 1), 2, axis=0)
    memory = MemoryModel(program.weight_bytes(), latency=latency)
    answers, _ = run(program, frames, memory)
    trace = golden.run(network, frames, "spikes")
    result = read_result(answers.packets[1], classes=network.shapes[-1][0], layers=len(network.layers))
    measured = int((result.counters[:, 0] - cycles(network, frames, trace, 2, program).layers[1]).sum())
    found = waiting(program, frames, trace, latency=latency)
    assert measured > 1000
    assert abs(found.total - measured) < measured / 10
    assert "layer1" in str(found) and "estimated" in str(found)


def test_what_both_banks_hold_is_read_once():
    network = random_network(0)
    program = TiledProgram(network, 4, external=ExternalWeights.of(network, lanes=4))
    assert len(program.tiles) == 1
    memory = MemoryModel(program.weight_bytes())
    run(program, frames_for(network, 1, 5), memory)
    assert memory.beats == 2 * program.tiles[0].beats


def test_a_tile_longer_than_a_burst_does_not_cross_4_kib():
    network = WAITING
    program = TiledProgram(network, 3, external=ExternalWeights(2000, 32))
    memory = MemoryModel(program.weight_bytes(), stall=0.1)
    run(program, frames_for(network, 1, 1), memory)
    assert max(tile.beats for tile in program.tiles) > program.external.burst == 256
    assert not memory.wrong and max(beats for _, beats in memory.bursts) == 256


@pytest.mark.parametrize("data_bits", DATA_BITS)
@pytest.mark.parametrize("lanes", [1, 5, 64])
def test_the_file_holds_every_weight(lanes, data_bits):
    network = random_network(6)
    program = TiledProgram(network, lanes, external=ExternalWeights.of(network, lanes=lanes, data_bits=data_bits))
    content, bits = program.weight_bytes(), network.weight_bits
    together, beats = program.external.words_a_beat(program.word_bits), program.external.beats_a_word(program.word_bits)
    found = []
    for tile in program.tiles:
        for number in range(tile.words):
            beat = tile.base + number // together * beats
            first = beat * data_bits // 8
            value = int.from_bytes(content[first : first + beats * data_bits // 8], "little")
            value >>= number % together * program.word_bits
            found.append([value >> lane * bits & (1 << bits) - 1 for lane in range(lanes)])
    if len(program.tiles) == sum(len(layer.connections) for layer in network.layers):
        expected = [[weight & (1 << bits) - 1 for weight in word] for word in Program(network, lanes).weight_words]
        assert found == expected
    assert sum(map(sum, found)) == sum(
        int((c.weight & (1 << bits) - 1).sum()) for layer in network.layers for c in layer.connections
    )


def test_what_does_not_fit_is_refused():
    with pytest.raises(
        InvalidValue, match=r"the weight cache has 4 words, but layer layer\d needs [\d,]+ for two banks"
    ):
        TiledProgram(WAITING, 3, external=ExternalWeights(4, 32))
    with pytest.raises(InvalidValue, match="48 bits, must be one of 32"):
        ExternalWeights(4, 48)
    with pytest.raises(InvalidValue, match="1 words, must be 2"):
        ExternalWeights(1, 32)
    with pytest.raises(InvalidValue, match="cannot be external"):
        Core(Capacity.of(WAITING, lanes=3), external=ExternalWeights(480, 32))
    rate = random_network(1, neuron={"schedule": "stream", "input": "rate"})
    with pytest.raises(InvalidValue, match="all of a connection that cannot be cut"):
        TiledProgram(rate, 1, external=ExternalWeights(2, 32))


FAULTS = {
    "banks_exchanged_early": ("hdl.core", "prefetcher.release.eq(sequencer.scanned)", "prefetcher.release.eq(sequencer.scan)"),
    "scan_does_not_wait": ("hdl.sequencer", "with m.Elif(self.weights_ready):", "with m.Elif(1):"),
    "last_beat_dropped": ("hdl.prefetch", "left.eq(tile.beats), entry", "left.eq(tile.beats - 1), entry"),
    "wrong_tile_base": ("hdl.prefetch", "beat.eq(tile.base)", "beat.eq(tile.base + 1)"),
    "wrong_first_group": ("hdl.tiles", "self._event_base(tile.layer) + tile.first", "self._event_base(tile.layer)"),
    "tile_taken_for_another": ("hdl.prefetch", "(held[filling] == place)", "1"),
    "steps_not_repeated": ("hdl.prefetch", "(step != self._steps - 1)", "0"),
    "events_counted_in_every_tile": ("hdl.core", 'event & instruction["counted"]', "event"),
    "written_where_it_is_read": ("hdl.prefetch", "Cat(filling, entry)", "Cat(~filling, entry)"),
}  # fmt: skip
"""Module, healthy text, faulty text."""


def sound():
    """Whether a core with the fault gives exact answers, and its requests keep the rules."""
    program = smallest(WAITING, 3, 64)
    memory = MemoryModel(program.weight_bytes(), latency=5)
    try:
        _, comparison = run(program, frames_for(WAITING, 1, 2), memory, limit=40_000)
    except AssertionError:
        return False
    return not comparison.differences and not memory.wrong


def test_without_a_fault_all_is_sound():
    assert sound()


@pytest.mark.parametrize("name", FAULTS)
def test_faults_show(monkeypatch, name):
    module, healthy, faulty = FAULTS[name]
    with faulty_core(module, ((healthy, faulty),)) as core:
        monkeypatch.setattr(harness, "Core", core)
        assert not sound()


READ_OFTEN = random_network(11)


def codes_of_frames(program, memory, *, images=4, limit=20_000):
    """Of each frame the code of its error packet, None where it was answered; every such answer is exact."""
    network = program.network
    frames = frames_for(network, 5, images)
    packets = [input_packet(frame, program) for frame in frames]
    answers = harness.run_core(
        network, packets, lanes=program.lanes, external=program.external, memory=memory, limit=limit
    )
    trace = golden.run(network, frames)
    found = []
    for image, packet in enumerate(answers.packets):
        found.append(error_of(packet))
        if found[-1] is None:
            result = read_result(packet, classes=network.shapes[-1][0], layers=len(network.layers))
            assert result.scores.tolist() == trace.scores[image].tolist()
            for place, name in enumerate(("events", "operations", "spikes"), 1):
                assert result.counters[:, place].tolist() == getattr(trace.activity, name)[image].tolist()
    assert not memory.wrong
    return found


def frames_given_up(program, memory, *, images=4):
    """Whether each frame was answered by ``MEMORY``; every other answer is exact."""
    codes = codes_of_frames(program, memory, images=images)
    assert set(codes) <= {ErrorCode.MEMORY, None}
    return [code is not None for code in codes]


@pytest.mark.parametrize(("lanes", "data_bits"), [(3, 32), (8, 32), (3, 512)])
@pytest.mark.parametrize("error", ERRORS)
def test_a_bus_error_ends_one_frame_and_the_next_is_exact(error, lanes, data_bits):
    program = smallest(READ_OFTEN, lanes, data_bits)
    beats = program.tiles[-1].base + program.tiles[-1].beats
    for place in (0, beats // 2, beats + 2):
        memory = MemoryModel(program.weight_bytes(), latency=6, stall=0.1, errors={place: error})
        assert sum(frames_given_up(program, memory, images=3)) == 1, place
        assert memory.made == [error]


def test_errors_one_behind_the_other_and_a_wrong_packet_between():
    program = smallest(READ_OFTEN, 3, 64)
    memory = MemoryModel(
        program.weight_bytes(), errors={0: "decerr", 1: "slverr", 2: "exokay", 60: "short", 200: "long"}
    )
    found = frames_given_up(program, memory, images=6)
    assert memory.made == ["decerr", "slverr", "exokay", "short", "long"]
    assert 2 <= sum(found) <= 4 and not found[-1]
    frame = frames_for(READ_OFTEN, 5, 1)[0]
    good = input_packet(frame, program)
    memory = MemoryModel(program.weight_bytes(), errors={0: "slverr"})
    packets = [good[:-1], good, good[:-1], good]
    answers = harness.run_core(READ_OFTEN, packets, lanes=3, external=program.external, memory=memory).packets
    assert [error_of(answer) for answer in answers] == [ErrorCode.SHORT, ErrorCode.MEMORY, ErrorCode.SHORT, None]


def test_what_both_banks_held_is_read_again_after_an_error():
    network = random_network(0)
    program = TiledProgram(network, 4, external=ExternalWeights.of(network, lanes=4))
    memory = MemoryModel(program.weight_bytes(), errors={2: "slverr"})
    assert frames_given_up(program, memory) == [True, False, False, False]
    assert memory.beats == 3 * program.tiles[0].beats


ERROR_FAULTS = {
    "response_not_looked_at": ("hdl.prefetch", "wrong | self.m_axi_rresp[1]", "wrong", "slverr"),
    "slave_errors_only": ("hdl.prefetch", "self.m_axi_rresp[1]", "(self.m_axi_rresp == 2)", "decerr"),
    "last_not_looked_at": ("hdl.prefetch", "lost | (last ^ self.m_axi_rlast)", "lost", "early"),
    "missing_last_taken": ("hdl.prefetch", "(last ^ self.m_axi_rlast)", "(~last & self.m_axi_rlast)", "missing"),
    "early_last_taken": ("hdl.prefetch", "(last ^ self.m_axi_rlast)", "(last & ~self.m_axi_rlast)", "short"),
    "beats_left_over": ("hdl.prefetch", "m.If(drained):", "m.If(1):", "early"),
    "spoilt_tile_used": ("hdl.sequencer", "self.weights_ready & self.weights_spoilt", "0", "slverr"),
    "no_new_start": ("hdl.core", "prefetcher.restart.eq(sequencer.abandon)", "prefetcher.restart.eq(0)", "slverr"),
    "what_is_held_stays_known": ("hdl.prefetch", "full, known, restarting", "full, restarting", "slverr"),
    "place_stays": ("hdl.prefetch", "in (place, layer_start,", "in (layer_start,", "slverr"),
    "word_begun_before_goes_on": ("hdl.prefetch", "        with m.If(begin):\n            m.d.sync += part.eq(0)\n", "", "short"),
    "another_code": ("hdl.core", "Mux(abandoned, Mux(late, ErrorCode.TIMEOUT, ErrorCode.MEMORY), error)", "error", "slverr"),
}  # fmt: skip
"""Module, healthy text, faulty text, the error of the memory that shows it."""


def recovers(error):
    """Whether a core with the fault gives one frame up and the others right."""
    program = smallest(READ_OFTEN, 8, 32)
    for place in (0, 3):
        memory = MemoryModel(program.weight_bytes(), latency=20, stall=0.3, errors={place: error})
        try:
            if sum(frames_given_up(program, memory, images=3)) != 1:
                return False
        except (AssertionError, InvalidValue):  # silent, or another answer
            return False
    return True


@pytest.mark.parametrize("error", sorted({error for *_, error in ERROR_FAULTS.values()}))
def test_without_a_fault_it_recovers(error):
    assert recovers(error)


@pytest.mark.parametrize("name", ERROR_FAULTS)
def test_faults_in_what_watches_the_memory_show(monkeypatch, name):
    module, healthy, faulty, error = ERROR_FAULTS[name]
    with faulty_core(module, ((healthy, faulty),)) as core:
        monkeypatch.setattr(harness, "Core", core)
        assert not recovers(error)


def impatient(lanes, data_bits, timeout=100):
    """A program whose core waits for so many clocks."""
    program = smallest(READ_OFTEN, lanes, data_bits)
    return replace(program, external=replace(program.external, timeout=timeout))


def recovered(codes):
    """Whether the first frame and those behind it until some place got ``TIMEOUT``, and the others their answer."""
    late = codes.count(ErrorCode.TIMEOUT)
    return 0 < late < len(codes) and codes == [ErrorCode.TIMEOUT] * late + [None] * (len(codes) - late)


@pytest.mark.parametrize(("lanes", "data_bits"), [(8, 32), (3, 512)])
@pytest.mark.parametrize("kind", ["silent", "deaf"])
@pytest.mark.parametrize("when", ["from the start", "in the middle", "in the middle of a burst"])
def test_a_silent_memory_ends_frames_until_it_answers_again(kind, when, lanes, data_bits):
    program = impatient(lanes, data_bits)
    first = program.tiles[0].beats
    place = {"from the start": 0, "in the middle": 1, "in the middle of a burst": 2}[when]
    if kind == "silent":
        place = {0: 0, 1: first, 2: first + max(1, program.tiles[1].beats // 2)}[place]
    memory = MemoryModel(program.weight_bytes(), latency=6, **{kind: {place: 700}})
    codes = codes_of_frames(program, memory, images=7)
    assert recovered(codes), codes


def test_a_memory_that_never_answers_ends_every_frame():
    program = impatient(3, 32)
    for never in ({"silent": {0: 10**9}}, {"deaf": {0: 10**9}}, {"silent": {5: 10**9}}):
        codes = codes_of_frames(program, MemoryModel(program.weight_bytes(), **never), images=3, limit=2000)
        assert codes == [ErrorCode.TIMEOUT] * 3


def test_a_core_without_time_out_waits_and_one_with_it_is_patient_enough():
    silent = {0: 3000}
    program = impatient(3, 32, timeout=0)
    assert codes_of_frames(program, MemoryModel(program.weight_bytes(), silent=silent), images=2) == [None, None]
    program = impatient(3, 32, timeout=3000)
    assert codes_of_frames(program, MemoryModel(program.weight_bytes(), silent=silent), images=2) == [None, None]
    forever = MemoryModel(program.weight_bytes(), silent={0: 10**9})
    with pytest.raises(AssertionError, match="0 of 1 answers"):
        codes_of_frames(impatient(3, 32, timeout=0), forever, images=1, limit=5000)


def test_beats_that_were_lost_and_then_silence():
    """A wrong ``rlast``, of which 1,024 quiet clocks are waited for, and meanwhile no address is taken, or beats never end."""
    program = impatient(8, 32)
    memory = MemoryModel(program.weight_bytes(), errors={0: "early"}, deaf={1: 800})
    codes = codes_of_frames(program, memory, images=25)
    assert recovered(codes), codes
    endless = MemoryModel(program.weight_bytes(), errors={0: "endless"})
    assert codes_of_frames(program, endless, images=3) == [ErrorCode.TIMEOUT] * 3


def test_time_outs_out_of_range_are_refused():
    for timeout in (-1, 1, 63, 1 << 32):
        with pytest.raises(InvalidValue, match="must be 64 to 4,294,967,295, or 0 for none; change --memory-timeout"):
            ExternalWeights(480, 32, timeout)
    assert ExternalWeights(480, 32).timeout == TIMEOUT == 1 << 20


TIMEOUT_FAULTS = {
    "never_late": ("hdl.prefetch", "self.late.eq(left == 0)", "self.late.eq(0)"),
    "not_looked_at": ("hdl.sequencer", "m.Elif(self.weights_late)", "m.Elif(0)"),
    "code_of_an_error": ("hdl.core", "Mux(late, ErrorCode.TIMEOUT, ErrorCode.MEMORY)", "ErrorCode.MEMORY"),
    "frames_go_on": ("hdl.core", "prefetcher.restart.eq(sequencer.abandon)", "prefetcher.restart.eq(0)"),
    "late_beats_are_anothers": (
        "hdl.prefetch", "                with m.If(lost):\n",
        '                with m.If(restarting):\n                    m.next = "RESTART"\n                with m.Elif(lost):\n',
    ),
    "patience_does_not_begin_anew": ("hdl.prefetch", "m.If(self.waiting & ~moves)", "m.If(self.waiting)"),
    "patience_ends_before_a_frame": ("hdl.prefetch", "m.If(self.waiting & ~moves)", "m.If(~moves)"),
    "addresses_do_not_count": ("hdl.prefetch", "(request | beat |", "(beat |"),
    "beats_do_not_count": ("hdl.prefetch", "(request | beat | self.write)", "request"),
    "drained_beats_count": ("hdl.prefetch", "self.write) & ~lost)", "self.write))"),
}  # fmt: skip
"""Module, healthy text, faulty text."""


def patient_and_no_more():
    """Whether a core with the fault gives up what is silent and nothing else."""
    program = impatient(8, 32)
    content, beats = program.weight_bytes(), program.tiles[0].beats
    assert 15 < program.receiving < 30  # a frame begins to wait about 30 clocks behind the reset
    try:
        for memory in (
            MemoryModel(content, silent=dict.fromkeys(range(20), 60)),
            MemoryModel(content, silent={0: 115}),
            MemoryModel(content, latency=80, deaf={0: 95}),
        ):
            if codes_of_frames(program, memory, images=1, limit=5000) != [None]:
                return False
        endless = MemoryModel(content, errors={0: "endless"})
        if codes_of_frames(program, endless, images=1, limit=2000) != [ErrorCode.TIMEOUT]:
            return False
        return recovered(codes_of_frames(program, MemoryModel(content, latency=6, silent={beats + 1: 700}), images=7))
    except (AssertionError, InvalidValue):
        return False


def test_a_sound_core_is_patient_and_no_more():
    assert patient_and_no_more()


@pytest.mark.parametrize("name", TIMEOUT_FAULTS)
def test_faults_in_patience_show(monkeypatch, name):
    module, healthy, faulty = TIMEOUT_FAULTS[name]
    with faulty_core(module, ((healthy, faulty),)) as core:
        monkeypatch.setattr(harness, "Core", core)
        assert not patient_and_no_more()


def test_zeros_in_loops_hold_only_what_was_zero():
    def memory(name, values):
        return "  initial begin\n" + "".join(f"    {name}[{n}] = {v};\n" for n, v in enumerate(values)) + "  end\n"

    zero = ["4'h0"] * 20
    text = zeros_in_loops("module m;\n" + memory("a", zero) + memory("b", [*zero[1:], "4'h1"]) + memory("c", zero[:3]))
    assert "for (word = 0; word < 20; word = word + 1) a[word] = 4'h0;" in text
    assert memory("b", [*zero[1:], "4'h1"]) in text and memory("c", zero[:3]) in text
    assert text.count("initial") == 3 and "a[1]" not in text
