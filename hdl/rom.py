"""Read-only memories."""

from amaranth import Module, unsigned
from amaranth.lib.memory import Memory, ReadPort

__all__ = ["ReadPort", "rom"]


def rom(m: Module, name: str, bits: int, init: list[int]) -> ReadPort:
    """Add a memory of ``bits``-bit words to ``m``; returns its read port, data one cycle after the address."""
    memory = Memory(shape=unsigned(bits), depth=max(2, len(init)), init=init)
    m.submodules[name] = memory
    return memory.read_port()
