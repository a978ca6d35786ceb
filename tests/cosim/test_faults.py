"""Verification has teeth: faults planted in hardware and golden model, each caught by ``sim.runner.verify``."""

from dataclasses import replace

import numpy as np
import pytest

import toolchain.emit
from sim import golden, oracle, runner
from tests.cosim.planted import faulty_core, faulty_module, faulty_sums
from tests.networks import frames_for, lively_network, random_network
from toolchain.ir import FixedPointNetwork

LANES = 2
pytestmark = pytest.mark.usefixtures("fast_compile")


def tied(network: FixedPointNetwork) -> FixedPointNetwork:
    """The network with every class the same, so that all scores are equal."""
    *hidden, readout = network.layers
    first = np.zeros(readout.channels, int)
    connections = tuple(replace(c, weight=c.weight[first]) for c in readout.connections)
    same = replace(readout, connections=connections, bias=readout.bias[first], offset=readout.offset[first])
    return replace(network, layers=(*hidden, same))


def equal_to_threshold() -> FixedPointNetwork:
    """A ``stream`` network with offsets at the thresholds and neither weights nor biases before them."""
    network = random_network(1, neuron={"input": "direct"})
    first = network.layers[0]
    silent = tuple(replace(c, weight=np.zeros_like(c.weight)) for c in first.connections)
    layer = replace(first, connections=silent, bias=np.zeros_like(first.bias), offset=first.threshold)
    return replace(network, layers=(layer, *network.layers[1:]))


def lively(schedule: str, negative: str, input: str = "direct") -> FixedPointNetwork:
    neuron = {"schedule": schedule, "negative": negative, "reset": "subtract", "compare": "ge", "input": input}
    return lively_network(neuron, 0)


def powers_of_two(network: FixedPointNetwork) -> FixedPointNetwork:
    """The network with thresholds of 16, 32, …, one for each layer."""
    layers = tuple(
        layer if layer.threshold is None else replace(layer, threshold=np.full(layer.channels, 1 << index + 4))
        for index, layer in enumerate(network.layers)
    )
    return replace(network, layers=layers)


STREAM, TWO_PHASE, SMALL_TWO_PHASE = (random_network(seed, neuron={"input": "direct"}) for seed in (1, 4, 3))

HARDWARE = {
    # fault: (network, kinds of difference it must show, module, replacements)
    "greater_instead_of_at_least": (TWO_PHASE, "score", "hdl.lane", (("(excess >= 0)", "(excess > 0)"),)),
    "missed_forwarding": (TWO_PHASE, "spike", "hdl.neurons", (("forward_last.eq(valid", "forward_last.eq(0 & valid"),)),
    "missed_second_forwarding": (TWO_PHASE, "spike", "hdl.neurons", (("forward_before.eq(valid", "forward_before.eq(0 & valid"),)),
    "missed_third_forwarding": (TWO_PHASE, "spike", "hdl.neurons", (("forward_written.eq(write_enable", "forward_written.eq(0 & write_enable"),)),
    "stale_membrane_between_images": (
        SMALL_TWO_PHASE, "spike", "hdl.sweep", (("written_after | (valid[1] & ~firing_pass)", "written_after"),),
    ),
    "lane_swap": (STREAM, "spike", "hdl.neurons", (("self.spike_bits[number].eq(", "self.spike_bits[number ^ 1].eq("),)),
    "lost_event": (STREAM, "counter", "hdl.scanner", (("w_en.eq(valid[3])", "w_en.eq(valid[3] & ~fifo.level[1])"),)),
    "lost_event_under_back_pressure": (
        TWO_PHASE, "counter", "hdl.scanner", (("fifo.level <= _FIFO_DEPTH - _IN_FLIGHT", "fifo.level <= _FIFO_DEPTH"),),
    ),
    "off_by_one_tap": (
        STREAM, "spike", "hdl.synapses",
        (("tap_start_membrane - self.column_words", "tap_start_membrane - self.column_words - 1"),),
    ),
    "wrong_stride": (
        STREAM, "spike", "hdl.program", (("column_stride=taps[1].kernel_step * groups", "column_stride=groups"),),
    ),
    "wrong_padding": (STREAM, "spike", "hdl.program", (("int(k) * weight_scale", "max(0, int(k) - 1) * weight_scale"),)),
    "dropped_offset": (
        TWO_PHASE, "spike", "hdl.program", (('"stream":\n            return {**values, "initial": layer', '"stream":\n            return {**values, "initial": 0 * layer'),),
    ),
    "bias_twice": (
        STREAM, "spike", "hdl.lane", (("held + self.addend", "held + self.addend + self.addend"),),
    ),
    "bias_in_the_fire_phase": (
        STREAM, "spike", "hdl.lane",
        (
            ("loaded = held + self.addend", "loaded = held"),
            ("else 0, potential)),", "else 0, potential) + self.addend),"),
        ),
    ),
    "threshold_not_halved_in_radix": (
        lively("radix", "none"), "spike", "hdl.lane", (("threshold.eq(threshold >> 1)", "threshold.eq(threshold)"),),
    ),
    "spikes_of_radix_worth_the_same": (
        lively("radix", "none"), "spike", "hdl.scanner", (("worth.eq(worth >> 1 if factor else worth - 1)", "worth.eq(worth)"),),
    ),
    "exponents_of_radix_all_the_same": (
        lively("radix", "none", "bitplane"), "spike", "hdl.scanner",
        (("worth.eq(worth >> 1 if factor else worth - 1)", "worth.eq(worth)"),),
    ),
    "bits_of_a_pixel_taken_for_lanes": (
        lively("two_phase", "none", "bitplane"), "spike", "hdl.scanner", (("Mux(self.frame, 0, place)", "place"),),
    ),
    "random_numbers_go_on_from_frame_to_frame": (
        lively("stream", "none", "rate"), "spike", "hdl.scanner", (("m.If(self.start & self.restart)", "m.If(0)"),),
    ),
    "random_number_of_other_bits": (
        lively("two_phase", "none", "rate"), "spike", "hdl.scanner", (("number[0].eq(register[:8])", "number[0].eq(register[8:16])"),),
    ),
    "fields_of_a_word_all_the_first": (
        lively("stream", "none", "spikes"), "spike", "hdl.receiver", (("held.eq(held >> packing.field_bits)", "held.eq(held)"),),
    ),
    "input_spikes_one_place_late": (
        lively("two_phase", "none", "spikes"), "spike", "hdl.receiver", (("self.address.eq(self._base)", "self.address.eq(self._base + 1)"),),
    ),
    "signs_of_input_spikes_lost": (
        lively("two_phase", "symmetric", "spikes"), "spike", "hdl.receiver",
        (("self.data[lanes : lanes + used].eq(held[used : 2 * used])", "self.data[lanes : lanes + used].eq(0)"),),
    ),
    "last_input_spikes_not_written": (
        lively("radix", "none", "spikes"), "spike", "hdl.receiver",
        (("left.eq(Mux(last, packing.fields_in_last, packing.fields_a_word))", "left.eq(Mux(last, 0, packing.fields_a_word))"),),
    ),
    "one_threshold_for_both_signs": (
        lively("stream", "asymmetric"), "spike", "hdl.lane", (("below.eq(self.negative_threshold.shift_left(shift))", "below.eq(self.threshold.shift_left(shift))"),),
    ),
    "negative_threshold_not_halved_in_radix": (
        lively("radix", "asymmetric"), "spike", "hdl.lane", (("below.eq(below >> 1)", "below.eq(below)"),),
    ),
    "memory_forgotten": (
        lively("stream", "memory"), "spike", "hdl.lane", (("below = below & count.any()", "below = below"),),
    ),
    "power_of_two_too_high": (
        powers_of_two(STREAM), "spike", "hdl.neurons", (("1 << self.threshold_exponent", "2 << self.threshold_exponent"),),
    ),
    "sign_lost_between_layers": (
        lively("two_phase", "symmetric"), "spike", "hdl.scanner",
        (("negative = (word.signs & chosen).any() if signed_spikes", "negative = Const(0) if signed_spikes"),),
    ),
    "corrections_forget_earlier_steps": (
        lively("stream", "correcting"), "spike", "hdl.neurons", (("lane.count.eq(counts.read[number])", "lane.count.eq(0)"),),
    ),
    "operations_counted_too_often": (
        STREAM, "counter", "hdl.counters", (("operations + performed", "operations + performed + event"),),
    ),
    "cycles_off_by_one": (TWO_PHASE, "counter", "hdl.counters", (("self.total.eq(1)", "self.total.eq(0)"),)),
    "last_of_equal_scores_wins": (tied(STREAM), "prediction", "hdl.sender", (("(score > best)", "(score >= best)"),)),
    "silent_core": (
        SMALL_TWO_PHASE, "protocol", "hdl.sequencer", (('"FIRE"), m.If(~self.engines_busy)', '"FIRE"), m.If(0)'),),
    ),
}  # fmt: skip

GOLDEN = {
    "greater_instead_of_at_least": (equal_to_threshold(), (("torch.ge if", "torch.gt if"),)),
    "rounded_up_quotient": (
        TWO_PHASE,
        (("torch.div(magnitude, threshold).floor_()", "torch.div(magnitude, threshold).ceil_()"),),
    ),
    "dropped_offset": (TWO_PHASE, (("self.drive(values).add_(self.offset)", "self.drive(values)"),)),
    "bias_in_the_fire_phase": (
        STREAM,
        (("(spikes, self.threshold, value=-1)", "(spikes, self.threshold, value=-1).add_(self.bias)"),),
    ),
    "firings_at_the_end": (TWO_PHASE, (("values.abs() > times", "values.abs() >= steps - times"),)),
}
SUMS = {
    "one_tap_too_early": (STREAM, (("storage_offset() + ky * row", "storage_offset() + max(0, ky - 1) * row"),)),
}


def frames(network: FixedPointNetwork) -> np.ndarray:
    return frames_for(network, 4, 2)


def check(bundle, network, *, caught: str | None, stall: float = 0.0) -> None:
    result = runner.verify(bundle, network, frames(network), stall=stall, seed=3)
    kinds = {difference.what for difference in result.differences}
    assert result.passed == (caught is None)
    assert caught is None or caught in kinds, kinds


@pytest.mark.parametrize("network", [STREAM, TWO_PHASE, tied(STREAM)], ids=["stream", "two_phase", "tied"])
def test_healthy_hardware_passes(tmp_path, network):
    check(toolchain.emit.emit(network, tmp_path, lanes=LANES), network, caught=None, stall=0.3)


@pytest.mark.parametrize("name", HARDWARE)
def test_fault_in_hardware_is_caught(tmp_path, monkeypatch, name):
    network, caught, module, replacements = HARDWARE[name]
    with faulty_core(module, replacements) as core:
        monkeypatch.setattr(toolchain.emit, "Core", core)
        bundle = toolchain.emit.emit(network, tmp_path, lanes=LANES)
    check(bundle, network, caught=caught, stall=0.3 if "under" in name else 0.0)


@pytest.mark.parametrize("name", [*GOLDEN, *SUMS])
def test_fault_in_golden_model_is_caught(name):
    """By the oracle; and so by hardware, which equals the oracle."""
    network, replacements = {**GOLDEN, **SUMS}[name]
    faulty = faulty_sums(replacements) if name in SUMS else faulty_module("sim.golden", replacements)
    exact = oracle.run(network, frames(network))

    def agrees(model) -> bool:
        trace = model.run(network, frames(network), "spikes")
        same = [np.array_equal(a, b) for a, b in zip(trace.spikes, exact.spikes, strict=True)]
        return all(same) and np.array_equal(trace.scores, exact.scores)

    assert agrees(golden)
    assert not agrees(faulty)


def test_fault_in_golden_model_fails_verification(tmp_path, monkeypatch):
    network, replacements = GOLDEN["firings_at_the_end"]
    bundle = toolchain.emit.emit(network, tmp_path, lanes=LANES)
    monkeypatch.setattr(runner, "golden", faulty_module("sim.golden", replacements))
    check(bundle, network, caught="spike")
