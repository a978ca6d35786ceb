"""Memories: read-only, and read-write in slices as deep as a block RAM."""

import re

from amaranth import Module, unsigned
from amaranth.lib.memory import Memory, ReadPort, WritePort

__all__ = ["COLLISION_FREE", "ReadPort", "rom", "slices", "zeros_in_loops"]

COLLISION_FREE = ("membranes", "spikes_*", "frame")
"""Memories whose read port may give anything of a word that is written in that cycle: what it gives is never used, since ``neurons``
forwards what is written and the others are read once they are whole. Tools need no logic that defines it."""

_BLOCK = {512: 36, 1024: 18, 2048: 9, 4096: 4, 8192: 2}
"""Widths of a block RAM of 16 Kbit and parity, by the depth of which it has them; 1 bit beyond."""
_ZEROS = re.compile(r"^  initial begin\n((?:    \w+\[\d+\] = \d+'h0+;\n){16,})  end\n", re.M)
_FIRST = re.compile(r"    (\w+)\[0\] = (\d+'h)0+;\n")


def rom(m: Module, name: str, bits: int, init: list[int]) -> ReadPort:
    """Add a memory of ``bits``-bit words to ``m``; returns its read port, data one cycle after the address."""
    memory = Memory(shape=unsigned(bits), depth=max(2, len(init)), init=init)
    m.submodules[name] = memory
    return memory.read_port()


def slices(m: Module, name: str, bits: int, depth: int) -> list[tuple[int, ReadPort, WritePort]]:
    """Add to ``m`` a memory of ``depth`` words, cut so that one block RAM is deep enough for each slice.

    A memory that is deeper than its blocks ends in a multiplexer between them, behind the slowest output that
    an FPGA has; slices have none. Returns for each slice its lowest bit and its ports, data one cycle after
    the address.
    """
    width = next((width for most, width in _BLOCK.items() if depth <= most), 1)
    found = []
    for low in range(0, bits, width):
        memory = Memory(shape=unsigned(min(width, bits - low)), depth=depth, init=[])
        m.submodules[f"{name}_{low}"] = memory
        found.append((low, memory.read_port(), memory.write_port()))
    return found


def zeros_in_loops(text: str) -> str:
    """Verilog in which memories that begin as nothing but zeros say so in a loop, and not in a line for each word.

    The spikes of VGG-16 alone are 262,144 such lines, over which C++ compilers sit for minutes.
    """

    def loop(block: re.Match[str]) -> str:
        first = _FIRST.match(block[1])
        depth = block[1].count("\n")
        if first is None or not block[1].splitlines()[-1].startswith(f"    {first[1]}[{depth - 1}] "):
            return block[0]
        return (
            f"  initial begin : zeros_of_{first[1]}\n    integer word;\n"
            f"    for (word = 0; word < {depth}; word = word + 1) {first[1]}[word] = {first[2]}0;\n  end\n"
        )

    return _ZEROS.sub(loop, text)
