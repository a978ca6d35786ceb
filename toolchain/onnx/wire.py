"""Look over the bytes of a protocol buffer before it is parsed: a small file can ask for much memory or deep recursion.

The parser allocates an object of some hundred bytes for a message of two, so its memory is bounded by counting fields first.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NoReturn

__all__ = ["MAX_DEPTH", "MAX_FIELDS", "MAX_PARSED_BYTES", "check_wire"]

MAX_FIELDS = 1_000_000
"""Fields of all messages together; the weights of a tensor are one."""
MAX_DEPTH = 20
"""Messages in messages; a graph without control flow needs 7."""
MAX_PARSED_BYTES = 2 << 30
"""What the parsed messages may take, estimated from above."""
_MESSAGE_BYTES, _FIELD_BYTES = 400, 16
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_NO_MODEL = "is no whole ONNX model"


@cache
def _fields(descriptor: Any) -> dict[int, tuple[str, Any]]:
    """For the number of each field that carries a length: ``message`` and its descriptor, ``text``, or ``numbers``."""
    found: dict[int, tuple[str, Any]] = {}
    for number, field in descriptor.fields_by_number.items():
        if field.message_type is not None:
            found[number] = ("message", field.message_type)
        elif field.type == field.TYPE_STRING:
            found[number] = ("text", None)
        elif field.type not in (field.TYPE_BYTES, field.TYPE_FLOAT, field.TYPE_DOUBLE):
            found[number] = ("numbers", None)
    return found


def _varint(raw: bytes, place: int, end: int) -> tuple[int, int]:
    """A number of up to ten bytes and the place behind it."""
    value = shift = 0
    while place < end and shift < 70:
        byte = raw[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
    raise IndexError


def check_wire(raw: bytes, descriptor: Any, refuse: Callable[[str], NoReturn]) -> None:
    """Call ``refuse`` with a reason unless ``raw`` is a whole message of ``descriptor`` within the limits.

    Unknown fields are allowed, as the format wants it; groups, which ONNX has none of, are not.
    """
    taken = fields = 0
    stack = [(len(raw), descriptor)]
    place = 0
    try:
        while stack:
            end, message = stack[-1]
            if place == end:
                stack.pop()
                continue
            tag, place = _varint(raw, place, end)
            number, wire = tag >> 3, tag & 7
            fields += 1
            taken += _FIELD_BYTES
            length = 0
            if wire == _VARINT:
                _, place = _varint(raw, place, end)
            elif wire in (_FIXED32, _FIXED64):
                length = 4 if wire == _FIXED32 else 8
            elif wire == _LENGTH:
                length, place = _varint(raw, place, end)
            else:
                refuse(f"{_NO_MODEL}: wire type {wire} at byte {place}")
            if number == 0 or place + length > end:
                refuse(f"{_NO_MODEL}: a field reaches over its end at byte {place}")
            kind, child = _fields(message).get(number, ("bytes", None)) if wire == _LENGTH else ("number", None)
            if kind == "message":
                taken += _MESSAGE_BYTES
                stack.append((place + length, child))
                if len(stack) > MAX_DEPTH:
                    refuse(f"holds messages more than {MAX_DEPTH} deep, at byte {place}")
            else:
                if kind == "text":
                    raw[place : place + length].decode()
                taken += 8 * length if kind == "numbers" else length
                place += length
            if fields > MAX_FIELDS:
                refuse(f"holds more than {MAX_FIELDS:,} fields")
            if taken > MAX_PARSED_BYTES:
                refuse(f"would take more than {MAX_PARSED_BYTES >> 20} MiB of memory")
    except IndexError:
        refuse(f"{_NO_MODEL}: it ends within a number, at byte {place}")
    except UnicodeDecodeError:
        refuse(f"{_NO_MODEL}: a name at byte {place} is not UTF-8")
