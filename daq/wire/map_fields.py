"""Maps of strings to strings and to numbers, encoded by hand.

betterproto 2.0.0b7 needs some 10 us for each entry of a map; the daemon's answer about itself has
forty of them.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Mapping
from typing import Any, cast

import betterproto
from betterproto import encode_varint

__all__ = ["encode_with_maps"]

_LENGTH_DELIMITED = 2
_DOUBLE = struct.Struct("<Bd")


def encode_with_maps(message: Any) -> bytes:
    """The same as `SerializeToString`, but for the order of the fields, which is free."""
    fields = _map_fields(type(message)) if isinstance(message, betterproto.Message) else ()
    if not fields:
        encoded: bytes = message.SerializeToString()
        return encoded
    maps = [(getattr(message, name), *rest) for name, *rest in fields]
    for name, *_ in fields:
        setattr(message, name, {})
    try:
        parts: list[bytes] = [message.SerializeToString()]
    finally:
        for (name, *_), (value, *_) in zip(fields, maps, strict=True):
            setattr(message, name, value)
    for value, number, is_number in maps:
        parts += _entries(value, encode_varint(number << 3 | _LENGTH_DELIMITED), is_number)
    return b"".join(parts)


@functools.cache
def _map_fields(message_type: type[betterproto.Message]) -> tuple[tuple[str, int, bool], ...]:
    """Name, number, and whether the values are numbers, of those that are encoded here."""
    found = cast("Any", message_type)._betterproto.meta_by_field_name  # noqa: SLF001
    return tuple(
        (name, meta.number, meta.map_types[1] == betterproto.TYPE_DOUBLE)
        for name, meta in found.items()
        if meta.map_types is not None
        and meta.map_types[0] == betterproto.TYPE_STRING
        and meta.map_types[1] in (betterproto.TYPE_STRING, betterproto.TYPE_DOUBLE)
    )


def _entries(values: Mapping[str, Any], key: bytes, is_number: bool) -> list[bytes]:
    parts: list[bytes] = []
    for name, value in values.items():
        content = _DOUBLE.pack(0x11, value) if is_number else _text(b"\x12", value)
        entry = _text(b"\x0a", name) + content
        parts += (key, encode_varint(len(entry)), entry)
    return parts


def _text(key: bytes, text: str) -> bytes:
    encoded = text.encode()
    return key + encode_varint(len(encoded)) + encoded
