"""Spoilt NIR graphs and files: a valid network or one clear line, never anything else. 10,000 in reports/interchange."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.nir_mutations import outcome_of_file, outcome_of_graph

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=400, deadline=None)
@given(SEEDS)
def test_spoilt_graphs(seed):
    assert outcome_of_graph(seed) in {"network", "InvalidValue", "UnsupportedModule"}


@pytest.mark.parametrize("seed", range(12))
def test_spoilt_files(seed, tmp_path):
    assert outcome_of_file(seed, tmp_path) in {"network", "refused"}


def test_the_campaign_reaches_both_ends():
    """Mutations are neither harmless nor all fatal."""
    outcomes = [outcome_of_graph(seed) for seed in range(200)]
    assert 10 < outcomes.count("network") < 150 and outcomes.count("UnsupportedModule") > 10
