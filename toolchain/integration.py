"""Texts for those who put the core into a design of their own: Verilog, LiteX, AXI DMA, Verilator with C++."""

import re
from collections.abc import Sequence
from pathlib import Path
from string import Template

from amaranth import Shape
from amaranth.lib import wiring

from hdl.host import PacketType, result_words
from hdl.prefetch import memory_port
from hdl.program import Program
from toolchain.bundle import CORE
from toolchain.ir import FixedPointNetwork

__all__ = ["AXIS", "CPP_FILES", "INTEGRATION_FILES", "TEMPLATES", "cpp_files", "integration_files"]

TEMPLATES = Path(__file__).parent / "templates"
"""Texts that generated folders are filled with."""
AXIS = "spikeloom_axis"
"""Name of the wrapper module for block designs."""
INTEGRATION_FILES = {
    "spikeloom_instance.v": "instance.v",
    f"{AXIS}.v": "axis.v",
    "spikeloom_litex.py": "litex_module.txt",
    "axi_dma.md": "axi_dma.md",
    "axi_dma.tcl": "axi_dma.tcl",
}
"""Template of each file."""
CPP_FILES = ("main.cpp", "Makefile", "vectors.txt")
"""The bench in C++, which goes with the vectors of one network."""
_LENGTH_BITS = 14


def integration_files(
    network: FixedPointNetwork,
    program: Program,
    unused: Sequence[str],
    load: int | None = None,
    data_bits: int | None = None,
) -> dict[str, str]:
    """Contents of ``INTEGRATION_FILES``, by name; the packet lengths in them are those of ``network``.

    Parameters
    ----------
    unused : sequence of str
        Outputs that stay open.
    load : int, optional
        Words of the packet that brings the network, of a core whose memories are loaded.
    data_bits : int, optional
        Width of the port through which weights come from external memory; there are only the Verilog files then, since the
        others know nothing of such a port.
    """
    classes, layers = network.shapes[-1][0], len(network.layers)
    packing = program.packing
    if packing is None:
        frame, header = 1 + -(-program.pixels // 4), PacketType.FRAME << 24 | program.pixels
        content = f"{program.pixels} pixels, four in a word, the first in the lowest byte, in the order y, x, channel"
    else:
        frame, header = 1 + packing.words, PacketType.SPIKES << 24 | packing.fields
        content = "the spikes of all time steps, in the order that ports.json says"
    result = 1 + result_words(classes, layers)
    loading = "" if load is None else f" Before the first, the {load} words of network.load bring the network."
    memory = {} if data_bits is None else memory_port(data_bits)
    values = {
        "core": CORE,
        "axis": AXIS,
        "instance": "spikeloom_instance",
        "name": re.sub(r"[^\w .-]", "_", network.name, flags=re.ASCII) or "network",
        "fingerprint": network.fingerprint,
        "content": content,
        "kind": "the pixels" if packing is None else "the spikes",
        "loading": loading,
        "unused": ",\n".join(
            [*(f"      .{name}({name})" for name in memory), *(f"      .{name}()" for name in unused)]
        ),
        "memory": "".join(_port(name, member) for name, member in memory.items()),
        "associated": ":m_axi" if memory else "",
        "classes": classes,
        "frame_words": frame,
        "frame_bytes": 4 * frame,
        "frame_header": f"{header:08X}",
        "result_words": result,
        "result_bytes": 4 * result,
        "prediction_at": 2 + classes,
        "length_bits": max(_LENGTH_BITS, (4 * max(frame, result, load or 0)).bit_length()),
    }
    return {
        name: Template((TEMPLATES / template).read_text()).substitute(values)
        for name, template in INTEGRATION_FILES.items()
        if name.endswith(".v") or not memory
    }


def _port(name: str, member: wiring.Member) -> str:
    """The declaration of a port of the memory, behind others."""
    direction = "output" if member.flow is wiring.Out else "input "
    bits = Shape.cast(member.shape).width
    return f",\n    {direction} wire {f'[{bits - 1}:0]' if bits > 1 else '':8}  {name}"


def cpp_files(frames: list[list[int]], answers: list[list[int | None]], patience: int) -> dict[str, str]:
    """Contents of ``CPP_FILES``, by name.

    Parameters
    ----------
    frames, answers : list of list of int
        Words of each packet; None where any word is right.
    patience : int
        Clocks in which an answer must have come.
    """
    lines = [f"patience {patience}"]
    for frame, answer in zip(frames, answers, strict=True):
        lines.append(" ".join(["frame", str(len(frame)), *(f"{word:08x}" for word in frame)]))
        lines.append(" ".join(["answer", str(len(answer)), *("-" if w is None else f"{w:08x}" for w in answer)]))
    texts = {name: (TEMPLATES / name).read_text() for name in CPP_FILES[:2]}
    return {**texts, CPP_FILES[2]: "\n".join(lines) + "\n"}
