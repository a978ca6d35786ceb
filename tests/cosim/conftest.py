"""Small networks simulate for milliseconds: compile them fast instead of well."""

import pytest

from sim import verilator


@pytest.fixture
def fast_compile(monkeypatch):
    """Verilator's output without optimization."""
    options = tuple("OPT_FAST=-O0" if option.startswith("OPT_FAST") else option for option in verilator.MAKE_OPTIONS)
    monkeypatch.setattr(verilator, "MAKE_OPTIONS", options)
