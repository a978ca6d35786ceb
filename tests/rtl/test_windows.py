"""Max pooling in hardware, in Amaranth's simulator: spikes, scores, counters and cycles; faults; nothing where there is none."""

import numpy as np
import pytest
from amaranth.back import rtlil

from hdl.core import Core
from hdl.program import Program
from sim import golden
from sim.comparison import Comparison
from sim.packets import frame_packet
from tests.cosim.planted import faulty_core
from tests.networks import random_network
from tests.pooled_networks import pooled_case, pooled_network
from tests.rtl import harness
from tests.rtl.test_core import check
from tests.unit.test_integers import make_layer, make_network
from toolchain.cycles import cycles
from toolchain.ir import INPUT
from toolchain.pooling import MaxPooling


@pytest.mark.parametrize("seed", range(10))
def test_core_with_max_pooling_equals_golden_model(seed):
    check(pooled_network(seed, padding=seed % 3 > 0, groups=seed % 4 == 1), seed)


def test_a_word_of_a_window_takes_a_cycle():
    """Windows side by side that cover the frame cost what the frame's words cost: a word read, a cycle."""
    rng = np.random.default_rng(0)
    weight = rng.integers(1, 3, (3, 1, 1, 1))
    pooled, plain = (
        make_network(
            "two_phase",
            4,
            (1, 6, 4),
            make_layer(INPUT, weight, [40] * 3, [0] * 3),
            make_layer(0, rng.integers(1, 3, (2, 3, *size)), None, [0, 0], kind="linear", maximum=maximum),
        )
        for size, maximum in (((3, 2), MaxPooling((2, 2), (2, 2))), ((6, 4), None))
    )
    frame = np.zeros((1, 1, 6, 4), np.uint8)
    dark, also = (cycles(n, frame, golden.run(n, frame, "spikes"), 4).scan[0, 1] for n in (pooled, plain))
    assert dark == also == 6 * 4 * 4 + 5
    check(pooled, 1)


def test_only_cores_with_padded_windows_keep_places():
    def names(network):
        text = rtlil.convert(Core(network, lanes=2), name="core", emit_src=False)
        return {name for name in ("window_first", "window_inside") if f"\\{name}" in text}

    plain = random_network(3, neuron={"schedule": "two_phase"})
    assert names(plain) == set()
    assert names(pooled_network(3, padding=False)) == {"window_first"}
    padded = next(n for n in map(pooled_network, range(20)) if any(any(m.padding) for m in Program(n, 1).maxima))
    assert names(padded) == {"window_first", "window_inside"}


FAULTS = {
    "window one column short": ("hdl.program", '"window_columns": wide,', '"window_columns": max(1, wide - 1),'),
    "window one row short": ("hdl.program", '"window_rows": tall,', '"window_rows": max(1, tall - 1),'),
    "and instead of or": ("hdl.scanner", "counted | Mux(first, 0, before)", "counted & Mux(first, -1, before)"),
    "last word alone": ("hdl.scanner", "counted | Mux(first, 0, before)", "counted"),
    "windows run together": ("hdl.scanner", "counted | Mux(first, 0, before)", "counted | before"),
    "events of windows not complete": ("hdl.scanner", "heard if complete is None else heard & complete", "heard"),
    "wrong row stride": ("hdl.program", "+ down * row_words", "+ right * row_words"),
    "wrong column stride": ("hdl.program", "column = back - column_words + right * column_words", "column = back - column_words + down * column_words"),
    "next row of a window in the wrong column": ("hdl.program", '"tap_row_step": row_words - (wide - 1) * column_words', '"tap_row_step": row_words'),
    "padding forgotten": ("hdl.windows", "(column < window.frame_columns) & (row < window.frame_rows)", "1"),
    "padding along x alone": ("hdl.windows", "(column < window.frame_columns) & (row < window.frame_rows)", "column < window.frame_columns"),
    "windows begin in the frame": ("hdl.program", '"window_base": before,', '"window_base": 0,'),
}  # fmt: skip
CASES = [pooled_case(23, 1, input="direct"), pooled_case(30, 2, input="direct")]
"""The second frame finds spikes of the first behind the buffer that it pools."""


def differences(network, frames, core, monkeypatch):
    monkeypatch.setattr(harness, "Core", core)
    answers = harness.run_core(network, [frame_packet(f) for f in frames], lanes=3)
    trace = golden.run(network, frames, "spikes")
    comparison = Comparison(network, 3, trace, cycles(network, frames, trace, 3))
    comparison.results(answers.packets)
    comparison.spikes(answers.spikes)
    return comparison.differences


def test_the_healthy_core_passes(monkeypatch):
    assert not any(differences(*case, Core, monkeypatch) for case in CASES)


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_caught(monkeypatch, fault):
    module, healthy, faulty = FAULTS[fault]
    with faulty_core(module, ((healthy, faulty),)) as core:
        found = (differences(*case, core, monkeypatch) for case in CASES)
        kinds = next((kinds for each in found if (kinds := {d.what for d in each} & {"spike", "score"})), set())
    assert kinds
