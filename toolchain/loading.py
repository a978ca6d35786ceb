"""A network as the packet that loads it into a core whose memories are loaded; needs no hardware at hand.

Words are 32 bits. After the packet's first word (``LOAD`` and the number of words that follow) the header, a word each:
``hdl.capacity.HEADER``; then the entries of each of ``Capacity.sections``, lowest bits first, each entry
padded to whole words; then the CRC-32 (as of zip) of all words before, as little-endian bytes.
"""

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hdl.capacity import DIMENSIONS, FORMAT, HEADER, Capacity, Section, needs
from hdl.host import PacketType
from hdl.program import Program
from toolchain.errors import InvalidValue
from toolchain.ir import FixedPointNetwork
from toolchain.netfile import replacing

__all__ = ["load_packet", "loaded_answer", "read_load", "sealed", "write_load"]

_WRAPPING = (
    "group_stride", "lane_stride", "row_stride", "column_stride", "row_words", "column_words", "target_base"
)  # fmt: skip
"""Members of an instruction that may exceed their bits where nothing uses them: addresses wrap around alike."""


def load_packet(network: FixedPointNetwork, capacity: Capacity) -> np.ndarray:
    """Words of the packet that loads ``network`` into a core of ``capacity``, uint32 ``[words]``.

    Raises
    ------
    InvalidValue
        The network does not fit: one line names what is short.
    """
    program = capacity.program(network)
    needed = needs(network, capacity.lanes)
    if not capacity.grouped:
        needed["channels"] = 0
    entries = _entries(program, capacity)
    header = [
        FORMAT,
        capacity.features(network.schedule, network.input, capacity.leak_code(network)),
        capacity.digest,
        int(network.fingerprint[:8], 16),
        network.seed,
        *_frame(program),
        *(needed[name] for name in DIMENSIONS),
    ]
    parts = [np.array(header, np.uint32)]
    for section in capacity.sections:
        values = entries[section.name]
        assert len(values) == needed[section.count], f"{section.name} has {len(values)} entries"
        parts.append(_packed(section, values))
    return sealed(np.concatenate(parts))


def sealed(words: Sequence[int] | np.ndarray) -> np.ndarray:
    """The load packet of header and entries ``words``: first word before and checksum behind, uint32."""
    following = np.asarray(words, np.uint32)
    packet = np.concatenate([np.array([PacketType.LOAD << 24 | len(following) + 1], np.uint32), following])
    return np.append(packet, np.uint32(zlib.crc32(packet.astype("<u4").tobytes())))


def loaded_answer(network: FixedPointNetwork) -> list[int]:
    """The packet by which a core says that it holds ``network`` now."""
    return [PacketType.LOADED << 24 | 1, int(network.fingerprint[:8], 16)]


def write_load(network: FixedPointNetwork, capacity: Capacity, path: Path) -> int:
    """Write the load packet as little-endian 32-bit words into a file; returns their number.

    Raises
    ------
    InvalidValue
        The network does not fit, or the file cannot be written.
    """
    words = load_packet(network, capacity)
    with replacing(path) as temporary:
        temporary.write_bytes(words.astype("<u4").tobytes())
    return len(words)


def read_load(path: Path) -> list[int]:
    """Words of the load packet in a file of ``write_load``.

    Raises
    ------
    InvalidValue
        No such file, no load packet, or one whose length or checksum is wrong.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidValue(f"cannot read {path}: {error.strerror}; name a file of spikeloom pack") from error
    words = np.frombuffer(data[: len(data) // 4 * 4], "<u4")
    if len(words) < len(HEADER) + 2 or words[0] >> 24 != PacketType.LOAD:
        raise InvalidValue(f"{path} holds no load packet; spikeloom pack writes one")
    if len(data) % 4 or int(words[0]) & 0xFFFFFF != len(words) - 1:
        raise InvalidValue(
            f"{path} has {len(data):,} bytes, the packet in it {4 + 4 * (int(words[0]) & 0xFFFFFF):,}; pack it again"
        )
    if zlib.crc32(data[:-4]) != int(words[-1]):
        raise InvalidValue(f"{path} is damaged: its checksum is wrong; pack it again")
    return [int(word) for word in words.tolist()]


def _frame(program: Program) -> tuple[int, int, int]:
    """The header's words about frames of spikes; 0 for pixels."""
    packing = program.packing
    if packing is None:
        return 0, 0, 0
    return (
        packing.fields,
        packing.used | packing.fields_a_word << 8 | packing.words_a_field - 1 << 16,
        program.input_base,
    )


def _entries(program: Program, capacity: Capacity) -> dict[str, np.ndarray]:
    """Values of the entries of each section, int64 ``[entries, repeats · fields]`` in the order of its fields."""
    sections = {section.name: section for section in capacity.sections}
    lanes = capacity.lanes
    tables = dict(zip(("rows", "columns"), program.tables, strict=True))
    found = {
        "program": [[getattr(i, name) for name, _ in sections["program"].fields] for i in program.instructions],
        **{
            table: [[getattr(entry, name) for name, _ in sections[table].fields] for entry in entries]
            for table, entries in tables.items()
        },
        "parameters": _parameters(program, capacity),
        "weights": program.weight_words,
    }
    if capacity.grouped:
        found["channels"] = [
            [getattr(entry, name) for name, _ in sections["channels"].fields] for entry in program.channels
        ]
    assert sections["weights"].repeats == lanes
    return {name: np.array(values, np.int64) for name, values in found.items()}


def _parameters(program: Program, capacity: Capacity) -> list[list[int]]:
    """Parameters of each lane; thresholds of ``radix`` shifted to where its first firing compares."""
    shift = program.steps - 1 if program.network.schedule == "radix" else 0
    return [
        [lane.get(name, 0) << (shift if "threshold" in name else 0) for lane in word for name, _ in capacity.parameters]
        for word in program.parameter_words
    ]


def _packed(section: Section, values: np.ndarray) -> np.ndarray:
    """Entries as words, uint32 ``[entries · words]``: every value in its bits, each entry padded to whole words."""
    columns = []
    for place, (name, bits) in enumerate(section.fields * section.repeats):
        column = values[:, place]
        fits = (column >= -(1 << bits - 1)) & (column < 1 << bits)
        assert name in _WRAPPING or fits.all(), f"{section.name}: {name} does not fit {bits} bits"
        columns.append((column[:, None] >> np.arange(bits) & 1).astype(np.uint8))
    padding = np.zeros((len(values), 32 * section.words - section.bits), np.uint8)
    bits_of_entries = np.concatenate([*columns, padding], axis=1)
    return np.packbits(bits_of_entries, axis=1, bitorder="little").view("<u4").astype(np.uint32).ravel()
