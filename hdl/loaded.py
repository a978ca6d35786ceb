"""Memories that are written by a load while others of their kind are read."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.back import rtlil
from amaranth.hdl import Value
from amaranth.lib import data
from amaranth.lib.memory import Memory

from hdl.capacity import Capacity
from hdl.layouts import load_layout, width_for

__all__ = ["LoadedPort", "bus_layout", "left_out", "loaded", "without_contents"]

_PART = r"(?:program|rows|columns|channels|parameters|weights)_\d+"
"""Memories that are loaded; each part of one has its lowest bit behind its name."""
_RTLIL = re.compile(rf'^  cell \$meminit_v2 \S+\n    parameter \\MEMID "\\\\{_PART}"\n(?:    .*\n)*  end\n', re.M)
_COLLISIONS = re.compile(
    rf'^(  cell \$memrd_v2 \S+\n    parameter \\MEMID "\\\\{_PART}"\n(?:    .*\n)*?    parameter \\COLLISION_X_MASK )1\'0$',
    re.M,
)
_VERILOG = re.compile(rf"^  initial begin\n(?:    {_PART}\[\d+\] = \d+'\w0+;\n)+  end\n", re.M)


_NAME = re.compile(_PART)


@dataclass(frozen=True)
class LoadedPort:
    """As a read port: ``addr`` and ``en`` are to be driven, ``data`` comes one cycle later."""

    addr: Signal
    en: Signal
    data: Value


def bus_layout(capacity: Capacity) -> data.StructLayout:
    """Of the words that ``Loader`` writes."""
    sections = capacity.sections
    entries = max(getattr(capacity, section.count) for section in sections)
    return load_layout(entries, max(section.words for section in sections), len(sections))


def loaded(m: Module, name: str, capacity: Capacity, bus: data.View) -> LoadedPort:
    """Add to ``m`` the memory of section ``name``, in parts of 32 bits as its words come; returns its read port.

    With two banks an entry has two places side by side: ``bus.bank`` is read, the other one written, so that no depth is
    rounded up. Each part has one address for both ways, since nothing is read while a network is loaded: so it fits
    memories of one port, and tools need no logic for collisions. It has no contents before.
    """
    sections = capacity.sections
    number = next(place for place, section in enumerate(sections) if section.name == name)
    section, entries = sections[number], getattr(capacity, sections[number].count)
    reads, writes = ([bus.bank], [~bus.bank]) if capacity.banks == 2 else ([], [])
    address = Signal(width_for(entries - 1), name=f"{name}_address")
    enable = Signal(name=f"{name}_enable")
    values = []
    for part in range(section.words):
        low = 32 * part
        bits = min(32, section.bits - low)
        memory = Memory(shape=unsigned(bits), depth=max(2, capacity.banks * entries), init=[])
        m.submodules[f"{name}_{low}"] = memory
        read, write = memory.read_port(), memory.write_port()
        place = Signal.like(read.addr, name=f"{name}_place_{low}")
        strobe = Signal(name=f"{name}_write_{low}")
        m.d.comb += [
            strobe.eq(bus.write & (bus.section == number) & (bus.word == part)),
            place.eq(Mux(bus.write, Cat(*writes, bus.entry), Cat(*reads, address))),
            read.addr.eq(place),
            read.en.eq(enable & ~strobe),
            write.addr.eq(place),
            write.data.eq(bus.data),
            write.en.eq(strobe),
        ]
        values.append(read.data)
    return LoadedPort(address, enable, Cat(*values))


def without_contents(text: str) -> str:
    """RTLIL or Verilog of a core whose memories are loaded, without the zeros that Amaranth gives every memory.

    Memories that cannot be initialized, such as the single-port RAM of iCE40 UltraPlus, can then hold them. RTLIL also gets told that
    no port of theirs reads while another writes, so that nothing is built around memories of two ports; Verilog cannot say so.
    """
    return _VERILOG.sub("", _COLLISIONS.sub(r"\g<1>1'1", _RTLIL.sub("", text)))


@contextmanager
def left_out() -> Iterator[None]:
    """Within, Amaranth writes no contents of loaded memories that ``without_contents`` would take out again.

    It makes a number and a letter of every bit, and Yosys a line of every word: of VGG-16 that is gigabytes and tens of minutes. An
    Amaranth that goes about it in another way writes them, and ``without_contents`` then has its work; the text is the same.
    """
    emitter: Any = getattr(rtlil, "ModuleEmitter", None)
    before = getattr(emitter, "emit_memory", None)
    if before is None:
        yield
        return

    def emit_memory(self: Any, index: int, cell: Any) -> None:
        if not _NAME.fullmatch(cell.name) or any(cell.init):
            before(self, index, cell)

    emitter.emit_memory = emit_memory
    try:
        yield
    finally:
        emitter.emit_memory = before
