"""Whole jobs over several tools, as the command line and other programs call them; nothing is printed."""

from toolchain.flow.accounts import (
    ENERGY_TIME_STEPS,
    energy_sweep,
    fixed_accuracy,
    fixed_energy,
    write_diagnosis,
    write_energy,
)
from toolchain.flow.cores import DEFAULT_LANES, MEMORIES, capacity_for, external_for, shared_out
from toolchain.flow.demo import DEMO_TIME_STEPS, TABLE_IMAGES, Demo
from toolchain.flow.files import Progress, write_json, write_table
from toolchain.flow.hardware import bundle_for, generate, netlist_for, network_of, random_frames, waits

__all__ = [
    "DEFAULT_LANES",
    "DEMO_TIME_STEPS",
    "ENERGY_TIME_STEPS",
    "MEMORIES",
    "TABLE_IMAGES",
    "Demo",
    "Progress",
    "bundle_for",
    "capacity_for",
    "energy_sweep",
    "external_for",
    "fixed_accuracy",
    "fixed_energy",
    "generate",
    "netlist_for",
    "network_of",
    "random_frames",
    "shared_out",
    "waits",
    "write_diagnosis",
    "write_energy",
    "write_json",
    "write_table",
]
