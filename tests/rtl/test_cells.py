"""Hardware pays only for what its network uses: cells and memories counted in the generated netlist."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from amaranth.back import rtlil

from hdl import Core
from hdl.program import Program
from tests.networks import lively_network
from toolchain.ir import FixedPointNetwork

LANES = 4


def network(schedule: str, negative: str = "none", input: str = "direct") -> FixedPointNetwork:
    neuron = {"schedule": schedule, "negative": negative, "reset": "subtract", "compare": "ge", "input": input}
    return lively_network(neuron, 0)


def cells(network: FixedPointNetwork) -> tuple[Counter[str], dict[str, int]]:
    """Cells by type over all modules, and memories with their bits."""
    text = rtlil.convert(Core(network, lanes=LANES), emit_src=False)
    memories = re.findall(r"memory width (\d+) size (\d+) \\(\w+)", text)
    return Counter(re.findall(r"^  cell \$(\w+) ", text, re.M)), {name: int(w) * int(s) for w, s, name in memories}


def in_lanes(network: FixedPointNetwork, kind: str) -> int:
    """Cells of a kind in one lane."""
    text = rtlil.convert(Core(network, lanes=LANES), emit_src=False)
    lanes = re.findall(r"^module \\[\w.]*lane_\d+\n.*?^end$", text, re.M | re.S)
    counts = {len(re.findall(rf"^  cell \${kind} ", lane, re.M)) for lane in lanes}
    assert len(lanes) == LANES and len(counts) == 1
    return counts.pop()


@pytest.mark.parametrize("schedule", ["two_phase", "stream"])
def test_only_amplitudes_need_a_multiplier_and_only_planes_a_shifter(schedule):
    found = {
        input: (in_lanes(network(schedule, input=input), "mul"), in_lanes(network(schedule, input=input), "shl"))
        for input in ("direct", "bitplane", "rate")
    }
    assert found == {"direct": (1, 0), "bitplane": (0, 1), "rate": (0, 0)}


def test_spikes_of_radix_shift_unless_pixels_multiply_anyway():
    assert [in_lanes(network("radix"), kind) for kind in ("mul", "shl")] == [1, 0]
    assert [in_lanes(network("radix", input="bitplane"), kind) for kind in ("mul", "shl")] == [0, 1]


def test_only_signed_spikes_have_signs_and_only_corrections_counts():
    memories = {negative: cells(network("stream", negative))[1] for negative in ("none", "symmetric", "correcting")}
    assert {negative: "counts" in found for negative, found in memories.items()} == {
        "none": False, "symmetric": False, "correcting": True
    }  # fmt: skip
    for negative, signs in (("none", 1), ("symmetric", 2), ("asymmetric", 2), ("correcting", 2), ("memory", 2)):
        assert Program(network("stream", negative), LANES).spike_bits == signs * LANES


def test_a_plain_neuron_needs_fewer_cells_than_any_other():
    def arithmetic(negative: str) -> int:
        plain = network("stream")
        layers = tuple(
            replace(layer, negative_threshold=layer.threshold if negative == "asymmetric" else None)
            for layer in plain.layers
        )
        found, _ = cells(replace(plain, negative=negative, layers=layers))
        return found["add"] + found["sub"] + found["ge"] + found["gt"] + found["le"] + found["lt"]

    plain = arithmetic("none")
    assert all(arithmetic(negative) > plain for negative in ("symmetric", "asymmetric", "correcting", "memory"))


def test_only_rate_has_random_numbers():
    gates = {input: cells(network("two_phase", input=input))[0]["xor"] for input in ("direct", "bitplane", "rate")}
    assert gates["direct"] == gates["bitplane"] < gates["rate"]


def test_powers_of_two_leave_the_parameter_memory():
    plain = network("two_phase")
    layers = tuple(
        layer if layer.threshold is None else replace(layer, threshold=np.full(layer.channels, 64))
        for layer in plain.layers
    )
    before, after = (cells(n)[1]["parameters"] for n in (plain, replace(plain, layers=layers)))
    assert after < 0.6 * before  # a threshold is as wide as the initial membrane that stays, one bit less
