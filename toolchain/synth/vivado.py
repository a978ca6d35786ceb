"""For devices that only the vendor's tool places and routes: a Vivado script, constraints, and the Verilog they are about."""

from pathlib import Path

from toolchain.synth.targets import Device

__all__ = ["write_vivado"]

_CONSTRAINTS = """\
# The one clock, {clock:g} MHz. The harness registers every pin, so that no delay outside counts.
create_clock -name clk -period {period:.3f} [get_ports clk]
set_false_path -from [get_ports {{reset i_bit i_shift i_offer o_shift o_release}}]
set_false_path -to [get_ports {{i_full o_bit o_full}}]
"""
_SCRIPT = """\
# vivado -mode batch -source vivado.tcl      in this folder; reports beside this file, no bitstream
read_verilog {verilog}
read_xdc top.xdc
synth_design -top {top} -part {part} -mode out_of_context
report_utilization -file vivado-synthesis.rpt
opt_design
place_design
phys_opt_design
route_design
report_utilization -file vivado-utilization.rpt
report_timing_summary -file vivado-timing.rpt
report_timing -max_paths 1 -file vivado-critical-path.rpt
write_checkpoint -force {top}.dcp
"""


def write_vivado(folder: Path, device: Device, verilog: str, *, top: str, clock_mhz: float) -> None:
    """Write ``vivado.tcl``, ``top.xdc`` and ``top.v``; nothing here runs Vivado."""
    (folder / "top.v").write_text(verilog)
    (folder / "top.xdc").write_text(_CONSTRAINTS.format(clock=clock_mhz, period=1000 / clock_mhz))
    (folder / "vivado.tcl").write_text(_SCRIPT.format(verilog="top.v", top=top, part=device.part))
