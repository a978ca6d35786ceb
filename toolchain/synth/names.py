"""Names of the design for what the tools call their nets and cells.

Yosys flattens the hierarchy and names what it makes after the signal beside it (``scanner.x_LUT4_Z_1_D``);
the RTLIL that it read says which part of such a name the design's author wrote.
"""

import re
from collections import defaultdict
from collections.abc import Iterator

__all__ = ["DesignNames"]

_MODULE = re.compile(r"module \\(\S+)")
_OBJECT = re.compile(r"\s+(?:wire|memory) .*\\(\S+)$")
_CELL = re.compile(r"\s+cell \\(\S+) \\(\S+)$")
_NUMBER = re.compile(r"\$\d+")
_SEPARATORS = ("_", "[", ".", "$")


class DesignNames:
    """The signals and memories of a design, from its RTLIL.

    Parameters
    ----------
    rtlil : str
        As ``amaranth.back.rtlil`` writes it.
    top : str
        The module at the top.
    prefix : str
        Path that is left out where a name starts with it.
    """

    def __init__(self, rtlil: str, *, top: str, prefix: str = ""):
        objects: dict[str, set[str]] = defaultdict(set)
        children: dict[str, dict[str, str]] = defaultdict(dict)
        module = ""
        for line in rtlil.splitlines():
            if found := _MODULE.match(line):
                module = found[1]
            elif found := _OBJECT.match(line):
                objects[module].add(found[1])
            elif found := _CELL.match(line):
                children[module][found[2]] = found[1]
        self._prefix = prefix
        self._modules: set[str] = set()
        self._names: set[str] = set()

        def walk(name: str, path: str) -> None:
            self._modules.add(path.rstrip("."))
            self._names.update(path + each for each in objects[name])
            for instance, of in children[name].items():
                if of in objects or of in children:
                    walk(of, f"{path}{instance}.")

        walk(top, "")

    def find(self, name: str) -> tuple[str, bool]:
        """The design's name for a net or cell, and whether it is that signal itself (otherwise: logic beside it)."""
        for part in self._prefixes(name):
            if part in self._names:
                return self._short(part), re.fullmatch(r"(\[\d+\])?", name[len(part) :]) is not None
        for part in self._prefixes(name):
            if part in self._modules:
                return self._short(part), False
        return name, False

    @staticmethod
    def _prefixes(name: str) -> Iterator[str]:
        """``name`` and all that comes before a separator in it, longest first."""
        yield name
        for end in range(len(name) - 1, 0, -1):
            if name[end] in _SEPARATORS:
                yield name[:end]

    def _short(self, name: str) -> str:
        # Amaranth numbers names that occur twice
        return _NUMBER.sub("", name.removeprefix(self._prefix))
