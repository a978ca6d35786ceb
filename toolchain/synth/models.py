"""What the cells of a netlist do: the simulation models that Yosys ships, cut down to the cells that are used.

Yosys has models of everything but the block RAMs and multipliers of some families, of which it knows only
the ports. Those are modelled here (``cells/FAMILY.v``), from the makers' documents.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from toolchain.errors import InvalidValue, ToolMissing

__all__ = ["OURS", "YOSYS", "CellModels", "cell_models"]

YOSYS = "yosys"
"""Origin of a model that came with Yosys."""
OURS = "spikeloom"
"""Origin of a model that came with Spikeloom."""
_OWN = Path(__file__).parent / "cells"
_INCLUDE = re.compile(r'^\s*`include\s+"([^"]+)"')
_MODULE = re.compile(
    r"^[ \t]*(?P<attributes>(?:\(\*[^\n]*?\*\)\s*)*)(?P<body>module\s+(?P<name>\w+)\b.*?\bendmodule\b)", re.M | re.S
)
_TIMING = re.compile(r"//[^\n]*|\bspecify\b.*?\bendspecify\b", re.S)
_PREAMBLE = {
    # Icarus knows no default values of ports, which Yosys connects all
    "ice40": "`ifdef __ICARUS__\n`define NO_ICE40_DEFAULT_ASSIGNMENTS\n`endif\n",
}


@dataclass(frozen=True)
class CellModels:
    """Verilog of the cells of one netlist.

    Members
    -------
    text : str
        The models, one file.
    origin : dict
        Of each type of cell: ``YOSYS`` or ``OURS``.
    """

    text: str
    origin: dict[str, str]


def _read(path: Path) -> str:
    """A Verilog file with its includes in their places."""
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise ToolMissing(f"cannot read {path}: {error.strerror}; install Yosys whole") from error
    whole = []
    for line in lines:
        included = _INCLUDE.match(line)
        whole.append(_read(path.parent / included[1]) if included else line)
    return "\n".join(whole)


def _modules(text: str) -> tuple[str, dict[str, str]]:
    """Directives before the first module, and each module that says what it does; the first of a name counts.

    Some have ports and delays only: they are as black as those marked so.
    """
    found: dict[str, str] = {}
    first = len(text)
    for module in _MODULE.finditer(text):
        first = min(first, module.start())
        if "blackbox" not in module["attributes"]:
            found.setdefault(module["name"], module["body"])
    names = found.keys()
    told = {name: set(re.findall(r"\w+", _TIMING.sub("", body))) - {name} for name, body in found.items()}
    behaved = {name: body for name, body in found.items() if told[name] & (names | {"assign", "always"})}
    return text[:first], behaved


def cell_models(family: str, share: Path, kinds: Iterable[str]) -> CellModels:
    """Models of the cell types ``kinds`` of a family, from ``share``, the folder of Yosys's libraries, as it is there.

    Raises
    ------
    InvalidValue
        Nobody here knows what a cell does; the message names it.
    ToolMissing
        A library is not there.
    """
    head, shipped = _modules(_read(share / family / "cells_sim.v"))
    own_file = _OWN / f"{family}.v"
    own = _modules(own_file.read_text())[1] if own_file.exists() else {}
    wanted = sorted(set(kinds))
    unknown = [kind for kind in wanted if kind not in shipped and kind not in own]
    if unknown:
        raise InvalidValue(
            f"there is no simulation model of {', '.join(unknown)}: Yosys knows only their ports; verify the netlist of another "
            "device, such as hx8k, up5k or ecp5-85k, or a smaller network, which needs no such cells"
        )
    origin = {kind: YOSYS if kind in shipped else OURS for kind in wanted}
    known = {**own, **shipped}
    used: dict[str, str] = {}
    waiting = list(wanted)
    while waiting:  # cells are made of cells
        name = waiting.pop(0)
        if name not in used:
            used[name] = known[name]
            inside = set(re.findall(r"\w+", known[name])) & known.keys()
            waiting += sorted(inside - used.keys())
    texts = [f"// {name}: model of {YOSYS if name in shipped else OURS}\n{text}" for name, text in sorted(used.items())]
    return CellModels("\n\n".join((_PREAMBLE.get(family, "") + head.strip(), *texts)).lstrip() + "\n", origin)
