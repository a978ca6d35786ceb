"""Results as tables for the terminal; what is measured where is the callers' business."""

from toolchain.tables.accounts import (
    show_diagnosis,
    show_energy,
    show_errors,
    show_exits,
    show_leaks,
    show_survey,
    show_tried,
)
from toolchain.tables.checks import show_layers, show_outside, show_predictions
from toolchain.tables.hardware import (
    show_critical_path,
    show_cycles,
    show_netlist,
    show_split,
    show_synthesis,
    show_trial,
    show_verdict,
)
from toolchain.tables.terminal import out

__all__ = [
    "out",
    "show_critical_path",
    "show_cycles",
    "show_diagnosis",
    "show_energy",
    "show_errors",
    "show_exits",
    "show_layers",
    "show_leaks",
    "show_netlist",
    "show_outside",
    "show_predictions",
    "show_split",
    "show_survey",
    "show_synthesis",
    "show_trial",
    "show_tried",
    "show_verdict",
]
