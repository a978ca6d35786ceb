"""Spoilt NIR graphs, ONNX models and network files: a valid network or one clear line, never anything else.

10,000 of each are in reports/interchange.
"""

import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import network_mutations, nir_mutations, onnx_mutations
from tests.bench.fuzz import campaign

SEEDS = st.integers(0, 2**32 - 1)
REFUSED = ("UnsupportedModule", "NoCounterpart")


@settings(max_examples=400, deadline=None)
@given(SEEDS)
def test_spoilt_graphs(seed):
    assert nir_mutations.outcome_of_graph(seed) in {"network", "InvalidValue", *REFUSED}


@pytest.mark.parametrize("seed", range(12))
def test_spoilt_files(seed, tmp_path):
    assert nir_mutations.outcome_of_file(seed, tmp_path) in {"network", "refused", "crashed", "hung"}


def test_the_campaign_reaches_both_ends():
    """Mutations are neither harmless nor all fatal."""
    outcomes = [nir_mutations.outcome_of_graph(seed) for seed in range(200)]
    assert 10 < outcomes.count("network") < 150 and sum(map(outcomes.count, REFUSED)) > 10


def test_spoilt_onnx_models(tmp_path):
    """Without bombs, which have tests of their own."""
    seeds = [seed for seed in range(20_000, 20_260) if len(onnx_mutations.spoilt_model(seed)) < 100_000]
    outcomes = [onnx_mutations.outcome_of_graph(seed, tmp_path) for seed in seeds]
    assert set(outcomes) <= {"network", "InvalidValue", *REFUSED, "NetworkFileError"}
    assert outcomes.count("network") > 5 and all(outcomes.count(name) > 10 for name in set(outcomes) - {"network"})


def test_spoilt_onnx_files(tmp_path):
    outcomes = [onnx_mutations.outcome_of_file(seed, tmp_path) for seed in range(20_000, 20_040)]
    assert set(outcomes) == {"network", "refused"}


def test_spoilt_network_files(tmp_path):
    """Sealed again as a forger would, and with bytes changed."""
    outcomes = [network_mutations.outcome_of_contents(seed, tmp_path) for seed in range(20_000, 20_300)]
    assert set(outcomes) == {"network", "NetworkFileError"} and 30 < outcomes.count("network") < 200
    outcomes = [network_mutations.outcome_of_file(seed, tmp_path) for seed in range(20_000, 20_100)]
    assert "refused" in outcomes


def _fails(seed, folder):
    if seed == 3:
        raise KeyError("spoilt")
    if seed == 5:
        os._exit(11)
    if seed == 7:
        bytearray(8 << 30)
    if seed == 9:
        time.sleep(60)
    return "network"


def test_the_campaign_finds_what_is_wrong(tmp_path, monkeypatch):
    """An exception, a process that dies, too much memory, too much time: each once, and the other cases run."""
    monkeypatch.setattr("tests.bench.fuzz.SECONDS", 2)
    found = campaign(_fails, 12, tmp_path)
    assert found.outcomes == {"network": 8}
    assert [line.partition(":")[0] for line in found.failures] == ["seed 3", "seed 5", "seed 7", "seed 9"]
    assert "KeyError" in found.failures[0] and "exit code 11" in found.failures[1]
    assert "MemoryError" in found.failures[2] and "longer than 2 s" in found.failures[3]
