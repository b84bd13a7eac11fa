"""How many fields a request has, told from its bytes before a message is made of it.

betterproto 2.0.0b7 needs some 10 us for each entry of a map, and for unknown fields a time that
grows with the square of their number: a request of some megabytes would hold the event loop for
minutes. The walk stops at the limit.
"""

from __future__ import annotations

import functools
from typing import Any

import betterproto

__all__ = ["MAX_FIELDS", "require_few_fields"]

MAX_FIELDS = 8192
"""Of one request: fields, elements of lists and entries of maps, at all depths."""

_LENGTH_DELIMITED = 2
_FIXED_SIZES = {1: 8, 5: 4}


def require_few_fields(data: bytes | memoryview, message_type: Any) -> None:
    """Raise OverflowError for a request of more than `MAX_FIELDS` fields.

    What is not a message at all is left to the decoder.
    """
    _count(data, 0, len(data), _parts(message_type), MAX_FIELDS)


def _count(data: bytes | memoryview, position: int, end: int, parts: Any, left: int) -> int:
    """What is left of the fields behind those between `position` and `end`."""
    while position < end:
        left -= 1
        if left < 0:
            raise OverflowError(f"it has more than {MAX_FIELDS} entries, which is the limit")
        key, position = _varint(data, position, end)
        wire_type = key & 7
        if wire_type == 0:
            _, position = _varint(data, position, end)
        elif wire_type == _LENGTH_DELIMITED:
            size, position = _varint(data, position, end)
            inner = parts.get(key >> 3)
            if inner is None:
                pass
            elif isinstance(inner, int):  # numbers, packed
                left -= max(0, min(size, end - position) // inner - 1)
            else:
                left = _count(data, position, min(position + size, end), inner, left)
            position += size
        else:
            position += _FIXED_SIZES.get(wire_type, end)
    return left


def _varint(data: bytes | memoryview, position: int, end: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 70, 7):
        if position >= end:
            break
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    return result, position


@functools.cache
def _parts(message_type: Any) -> dict[int, Any]:
    """By number: the parts of a field that is a message or a map, the size of packed numbers."""
    if not issubclass(message_type, betterproto.Message):
        return {}  # a stranger's, or the text of a map's entry
    described = message_type._betterproto  # noqa: SLF001
    parts: dict[int, Any] = {}
    for name, meta in described.meta_by_field_name.items():
        if meta.proto_type in (betterproto.TYPE_MESSAGE, betterproto.TYPE_MAP):
            parts[meta.number] = _parts(described.cls_by_field[name])
        elif meta.proto_type in betterproto.PACKED_TYPES:
            parts[meta.number] = 1  # a varint has a byte at least
    return parts
