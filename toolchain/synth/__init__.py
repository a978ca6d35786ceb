"""Synthesis, place and route with pip-installed or native tools: what a network takes of a device, and how fast it runs."""

from toolchain.synth.job import RESULT, check_clock, check_seed, find_tools, implement, synthesize
from toolchain.synth.netlist import GateLevel, synthesize_netlist
from toolchain.synth.place import Hop
from toolchain.synth.result import Shortage, SynthesisResult
from toolchain.synth.targets import DEVICES, RESOURCES, Device, find_device

__all__ = [
    "DEVICES", "RESOURCES", "RESULT", "Device", "GateLevel", "Hop", "Shortage", "SynthesisResult", "check_clock", "check_seed",
    "find_device", "find_tools", "implement", "synthesize", "synthesize_netlist",
]  # fmt: skip
