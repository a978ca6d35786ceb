"""The host's side of the packets (``hdl.host``): frames into words, words into results."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hdl.host import COUNTERS, ErrorCode, PacketType, result_words
from hdl.packing import SpikePacking
from hdl.program import Program
from toolchain.errors import InvalidValue

__all__ = ["Result", "error_of", "frame_packet", "input_packet", "read_result", "spike_packet"]

_ERRORS = {
    ErrorCode.TYPE: "the packet is of another type than the network takes",
    ErrorCode.SIZE: "the frame has another size than the network takes",
    ErrorCode.SHORT: "the packet is shorter than it says",
    ErrorCode.LONG: "the packet is longer than it says",
    ErrorCode.MEMORY: "the external memory answered a read of weights with an error",
    ErrorCode.TIMEOUT: "the external memory did not answer a read of weights in time",
}


@dataclass(frozen=True, eq=False)
class Result:
    """A result packet.

    Members
    -------
    network_id : int
        First 8 digits of the network's fingerprint.
    scores : int64 [classes]
    prediction : int
    counters : int64 [layers, 4]
        ``COUNTERS`` of each layer.
    cycles : int
        From the frame's header to the result's.
    """

    network_id: int
    scores: np.ndarray
    prediction: int
    counters: np.ndarray
    cycles: int


def frame_packet(frame: np.ndarray) -> list[int]:
    """Words of the packet that carries one uint8 ``[C, H, W]`` frame."""
    pixels = np.ascontiguousarray(np.moveaxis(frame, 0, -1)).tobytes()
    padded = pixels + bytes(-len(pixels) % 4)
    return [PacketType.FRAME << 24 | len(pixels), *np.frombuffer(padded, "<u4").tolist()]


def spike_packet(frame: np.ndarray, packing: SpikePacking) -> list[int]:
    """Words of the packet that carries one int8 ``[T, C, H, W]`` frame of spikes."""
    return [PacketType.SPIKES << 24 | packing.fields, *packing.pack(frame).tolist()]


def input_packet(frame: np.ndarray, program: Program) -> list[int]:
    """Words of the packet that carries one frame, pixels or spikes, to the core of ``program``."""
    return frame_packet(frame) if program.packing is None else spike_packet(frame, program.packing)


def error_of(words: Sequence[int]) -> int | None:
    """The code of an error packet (``hdl.host.ErrorCode``); None for other packets."""
    return int(words[1]) if len(words) == 2 and words[0] == PacketType.ERROR << 24 | 1 else None


def read_result(words: Sequence[int], *, classes: int, layers: int) -> Result:
    """Take a result packet apart.

    Raises
    ------
    InvalidValue
        Not a result packet of a network with so many classes and layers; of an error packet, which error.
    """
    following = result_words(classes, layers)
    header = PacketType.RESULT << 24 | following
    code = error_of(words)
    if code is not None:
        known = {int(each): f"{each.name}: {why}" for each, why in _ERRORS.items()}
        raise InvalidValue(f"the core answers with error {code} ({known.get(code, 'unknown')}) instead of a result")
    if not words or words[0] != header or len(words) != 1 + following:
        shown = f"{words[0]:#010x} and {len(words) - 1} more" if words else "no word"
        raise InvalidValue(f"a result packet is {header:#010x} and {following} more words, not {shown}")
    values = np.array(words, np.int64)
    scores = np.array(words[2 : 2 + classes], np.uint32).astype(np.int32).astype(np.int64)
    counters = values[3 + classes : -1].reshape(layers, len(COUNTERS))
    return Result(int(words[1]), scores, int(words[2 + classes]), counters, int(words[-1]))
