"""Packets to bytes of a line and back: the format of ``hdl.link``, read a second time in Python."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["END", "LONGEST", "Damaged", "Decoder", "Packet", "encode"]

END = b"\xc0"
"""The mark between packets, RFC 1055."""
LONGEST = 1 << 20
"""Bytes without a mark after which what comes is no packet."""
_ESCAPE = b"\xdb"
_ESCAPED = {END: _ESCAPE + b"\xdc", _ESCAPE: _ESCAPE + b"\xdd"}


@dataclass(frozen=True)
class Packet:
    """A packet whose checksum was right: its tag and its 32-bit words."""

    tag: int
    words: tuple[int, ...]


@dataclass(frozen=True)
class Damaged:
    """Bytes between two marks that are no packet, and what is wrong with them."""

    why: str


def encode(tag: int, words: Sequence[int]) -> bytes:
    """The bytes of a packet, a mark before and behind it.

    Parameters
    ----------
    tag : int
        0 to 255; comes back with the answer.
    words : sequence of int
        32 bits each, at least one.
    """
    body = bytes([tag]) + struct.pack(f"<{len(words)}I", *words)
    body += struct.pack("<I", zlib.crc32(body))
    return END + body.replace(_ESCAPE, _ESCAPED[_ESCAPE]).replace(END, _ESCAPED[END]) + END


def _decode(body: bytes) -> Packet | Damaged:
    plain = bytearray()
    parts = body.split(_ESCAPE)
    plain += parts[0]
    for part in parts[1:]:
        if part[:1] not in (b"\xdc", b"\xdd"):
            return Damaged("a wrong escape")
        plain += (END if part[:1] == b"\xdc" else _ESCAPE) + part[1:]
    if len(plain) < 9 or len(plain) % 4 != 1:
        return Damaged(f"{len(plain)} bytes, not 1 and a multiple of 4")
    if zlib.crc32(plain[:-4]) != int.from_bytes(plain[-4:], "little"):
        return Damaged("a wrong checksum")
    return Packet(plain[0], struct.unpack(f"<{len(plain) // 4 - 1}I", plain[1:-4]))


class Decoder:
    """Collects bytes and gives the packets in them, whatever pieces they come in.

    ``waiting`` is the number of bytes after the last mark.
    """

    def __init__(self) -> None:
        self._body = bytearray()

    @property
    def waiting(self) -> int:
        return len(self._body)

    def feed(self, data: bytes) -> list[Packet | Damaged]:
        """What ended in ``data``; nothing between two marks is nothing."""
        *ended, rest = (bytes(self._body) + data).split(END)
        self._body = bytearray(rest)
        found = [_decode(body) for body in ended if body]
        if len(self._body) > LONGEST:
            self._body.clear()
            found.append(Damaged(f"more than {LONGEST:,} bytes without an end"))
        return found
