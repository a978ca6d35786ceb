"""Packets between host and core: frames in, results or errors out.

Words are 32 bits. The first word of a packet holds its type in bits 31…24 and the number that
follows the type: ``FRAME``: pixels of the frame; ``SPIKES``: fields of the frame; ``RESULT`` and ``ERROR``: words
after the first.

frame:  header, pixels four to a word, the first in the lowest byte, order (y, x, c)
spikes: header, fields of spikes as ``hdl.packing`` lays them out
result: header, network id, scores, prediction, for each layer (cycles, events, operations,
        spikes), cycles of the whole inference
error:  header, ``ErrorCode``
load:   header, the network as ``toolchain.loading`` packs it; answered by loaded: header, network id. Cores whose
        memories hold their network refuse it as ``TYPE``
"""

import enum

__all__ = ["COUNTERS", "ERROR_BITS", "ErrorCode", "PacketType", "result_words"]

ERROR_BITS = 16
"""Of an error code where networks are loaded."""
COUNTERS = ("cycles", "events", "operations", "spikes")
"""Counters of a layer, in packet order, 32 bits each."""


class PacketType(enum.IntEnum):
    """Bits 31…24 of a packet's first word."""

    FRAME = 0x01
    SPIKES = 0x02
    LOAD = 0x10
    RESULT = 0x81
    LOADED = 0x90
    ERROR = 0xEE


class ErrorCode(enum.IntEnum):
    """Why a packet was refused.

    Of load packets only: ``VERSION`` of the format; ``FEATURES``: another neuron, other lanes, or made for a core of another
    capacity; ``CAPACITY``: too large, with the number of the dimension (``hdl.capacity.DIMENSIONS``) in bits 15…8;
    ``CHECKSUM``. Of frames: ``NETWORK``: none was loaded; ``MEMORY``: the external memory answered a read of weights with an
    error or with another number of beats, and the frame was given up; ``TIMEOUT``: it did not answer, likewise.
    """

    TYPE = 1
    SIZE = 2
    SHORT = 3
    LONG = 4
    MEMORY = 5
    TIMEOUT = 6
    VERSION = 8
    FEATURES = 9
    CAPACITY = 10
    CHECKSUM = 11
    NETWORK = 12


def result_words(classes: int, layers: int) -> int:
    """Words of a result packet after its header: id, scores, prediction, counters, cycles."""
    return 1 + classes + 1 + len(COUNTERS) * layers + 1
