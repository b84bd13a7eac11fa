"""The codec of both ends: strict about what comes in, and without copies of large payloads.

betterproto 2.0.0b7 takes truncated and garbage input for a message without a word, and copies a
`bytes` field about five times on its way. So input is walked once at the outer level, which finds
both; and the one large field of a few messages goes around betterproto.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar, cast

import betterproto
from grpclib.encoding.base import CodecBase

from daq.wire.generated import daq as pb
from daq.wire.map_fields import encode_with_maps

__all__ = ["BulkCodec", "Field", "encoded", "walk"]

Message = TypeVar("Message", bound=betterproto.Message)

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}
_WIRE_TYPES = {
    **dict.fromkeys(betterproto.WIRE_VARINT_TYPES, _VARINT),
    **dict.fromkeys(betterproto.WIRE_FIXED_64_TYPES, _FIXED64),
    **dict.fromkeys(betterproto.WIRE_LEN_DELIM_TYPES, _BYTES),
    **dict.fromkeys(betterproto.WIRE_FIXED_32_TYPES, _FIXED32),
}

_BULK: dict[type[betterproto.Message], tuple[str, int]] = {
    pb.RunBatch: ("ipc", 1),
    pb.FileChunk: ("data", 1),
    pb.MeasurementBlock: ("ipc", 2),
    pb.FrameData: ("data", 5),
    pb.DataPoint: ("data", 54),
    pb.ReadValueResponse: ("data", 52),
}
"""Message to the name and number of its large field."""

BULK_BYTES = 4096
"""A payload below this is not worth the detour."""


class _Encoded:
    """A message as it travels."""

    def __init__(self, message: betterproto.Message) -> None:
        self.data = encode_with_maps(message)
        self.message_type = type(message)


def encoded(message: Message) -> Message:
    """The message, encoded already: all that can be done with it is to send it.

    For threads, where the size of a message is somebody else's choice.
    """
    return cast("Message", _Encoded(message))


class Field(NamedTuple):
    """One field at the outer level of an encoded message."""

    number: int
    wire_type: int
    start: int
    """Where its key begins."""
    value: int
    """Where its content begins, behind the key and the length."""
    end: int


class BulkCodec(CodecBase):
    """Encodes and decodes the messages of `daq`, and any other betterproto or protobuf message."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return b"".join(self.encode_parts(message, message_type))

    def encode_parts(self, message: Any, message_type: Any) -> tuple[bytes | memoryview, ...]:
        """The message, or all but the payload of its large field and the payload as it is."""
        if isinstance(message, _Encoded) and message.message_type is message_type:
            return (message.data,)
        if not isinstance(message, message_type):
            raise TypeError(f"{message_type.__name__} expected, not {type(message).__name__}")
        name, number = _BULK.get(message_type, ("", 0))
        payload: bytes | memoryview = getattr(message, name) if name else b""
        if len(payload) < BULK_BYTES:
            return (encode_with_maps(message),)
        setattr(message, name, b"")
        try:
            rest = message.SerializeToString()
        finally:
            setattr(message, name, payload)
        # The order of fields is free in protobuf.
        key = betterproto.encode_varint(number << 3 | _BYTES)
        return b"".join((rest, key, betterproto.encode_varint(len(payload)))), payload

    def decode(self, data: bytes | memoryview, message_type: Any) -> Any:
        """The message; its large field is a view of `data` where that is one.

        Raises ValueError when `data` is not such a message.
        """
        if not issubclass(message_type, betterproto.Message):
            return message_type.FromString(bytes(data))
        bulk_name, bulk_number = _BULK.get(message_type, ("", 0))
        expected = _expected(message_type)
        bulk: Field | None = None
        for field in walk(data):
            allowed = expected.get(field.number, (field.wire_type,))
            if field.wire_type not in allowed:
                raise ValueError(f"field {field.number} has wire type {field.wire_type}")
            if field.number == bulk_number and field.end - field.value >= BULK_BYTES:
                bulk = field
        if bulk is None:
            return message_type.FromString(bytes(data))
        message = message_type.FromString(b"".join((data[: bulk.start], data[bulk.end :])))
        setattr(message, bulk_name, data[bulk.value : bulk.end])
        return message


@functools.cache
def _expected(message_type: Any) -> dict[int, tuple[int, ...]]:
    """Field number to the wire types that it may have; numbers may also come packed."""
    fields = message_type._betterproto.meta_by_field_name.values()  # noqa: SLF001
    return {
        meta.number: (_WIRE_TYPES[meta.proto_type], _BYTES)
        if meta.proto_type in betterproto.PACKED_TYPES
        else (_WIRE_TYPES[meta.proto_type],)
        for meta in fields
    }


def walk(data: bytes | memoryview) -> Iterator[Field]:
    """The fields at the outer level; raises ValueError where the encoding is broken."""
    position = 0
    while position < len(data):
        start = position
        key, position = _varint(data, position)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise ValueError("a field has number 0")
        value, position = _content(data, position, wire_type)
        if position > len(data):
            raise ValueError(f"field {number} is cut short")
        yield Field(number, wire_type, start, value, position)


def _content(data: bytes | memoryview, position: int, wire_type: int) -> tuple[int, int]:
    """Where the content of a field begins and ends."""
    if wire_type == _VARINT:
        return position, _varint(data, position)[1]
    if wire_type == _BYTES:
        length, position = _varint(data, position)
        return position, position + length
    if wire_type in _FIXED_SIZES:
        return position, position + _FIXED_SIZES[wire_type]
    raise ValueError(f"there is no wire type {wire_type}")


def _varint(data: bytes | memoryview, position: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise ValueError("a number is cut short")
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
    raise ValueError("a number is longer than 64 bits")
