"""Plant faults in the sources of the hardware or the golden model and load the faulty copies."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType

__all__ = ["Replacements", "faulty_chain", "faulty_core", "faulty_module", "faulty_sums"]

Replacements = tuple[tuple[str, str], ...]
"""(healthy text, faulty text); each healthy text must stand exactly once in the module."""


def faulty_module(name: str, replacements: Replacements) -> ModuleType:
    """A copy of module ``name`` with the faults in it; the module itself is not touched."""
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None
    source = Path(spec.origin).read_text()
    for healthy, faulty in replacements:
        assert source.count(healthy) == 1, f"{name} no longer holds {healthy!r} exactly once"
        source = source.replace(healthy, faulty)
    module = ModuleType(name)
    module.__file__ = spec.origin
    exec(compile(source, spec.origin, "exec"), module.__dict__)
    return module


def faulty_sums(replacements: Replacements) -> ModuleType:
    """A copy of the golden model with the faults in its sums, ``sim.synapses``."""
    golden = faulty_module("sim.golden", ())
    vars(golden)["Synapses"] = faulty_module("sim.synapses", replacements).Synapses
    return golden


@contextmanager
def _faulty(name: str, replacements: Replacements, module: str, member: str) -> Iterator[type]:
    """A class of a second ``hdl`` package in which module ``name`` has the faults."""
    before = {key: sys.modules.pop(key) for key in list(sys.modules) if key.startswith("hdl.")}
    try:
        sys.modules[name] = faulty_module(name, replacements)
        yield getattr(importlib.import_module(module), member)
    finally:
        for key in [key for key in sys.modules if key.startswith("hdl.")]:
            del sys.modules[key]
        sys.modules.update(before)
        for key, whole in before.items():  # the packages name the second copies until then
            package, _, child = key.rpartition(".")
            setattr(sys.modules[package], child, whole)


def faulty_core(name: str, replacements: Replacements) -> AbstractContextManager[type]:
    """``hdl.core.Core`` of a second ``hdl`` package in which module ``name`` has the faults."""
    return _faulty(name, replacements, "hdl.core", "Core")


def faulty_chain(name: str, replacements: Replacements) -> AbstractContextManager[type]:
    """``hdl.chain.Chain``, likewise."""
    return _faulty(name, replacements, "hdl.chain", "Chain")
