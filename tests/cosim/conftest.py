"""Small networks simulate for milliseconds: compile them fast instead of well."""

import pytest

from sim import runner


@pytest.fixture
def fast_compile(monkeypatch):
    """Verilator's output and run time without optimization."""
    kept = [option for option in runner.VERILATOR_MAKE if not option.startswith("OPT_")]
    monkeypatch.setattr(runner, "VERILATOR_MAKE", (*kept, "OPT_FAST=-O0", "OPT_SLOW=-O0", "OPT_GLOBAL=-O0"))
