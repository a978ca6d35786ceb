"""Synthesis, place and route with pip-installed or native tools: what a network takes of a device, and how fast it runs.

What generates hardware is imported when it is asked for: tables of devices and results need no Amaranth.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from toolchain.synth.place import Hop
from toolchain.synth.result import Shortage, SynthesisResult
from toolchain.synth.targets import DEVICES, RESOURCES, Device, find_device

if TYPE_CHECKING:
    from toolchain.synth.job import RESULT, check_clock, check_seed, find_tools, implement, synthesize
    from toolchain.synth.netlist import GateLevel, synthesize_netlist

__all__ = [
    "DEVICES", "RESOURCES", "RESULT", "Device", "GateLevel", "Hop", "Shortage", "SynthesisResult", "check_clock", "check_seed",
    "find_device", "find_tools", "implement", "synthesize", "synthesize_netlist",
]  # fmt: skip

_LATER = {
    **dict.fromkeys(("RESULT", "check_clock", "check_seed", "find_tools", "implement", "synthesize"), "job"),
    **dict.fromkeys(("GateLevel", "synthesize_netlist"), "netlist"),
}
"""Names that come from a module which loads Amaranth."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
