"""Plain data and numeric arrays as msgpack, checked strictly: the sender may be compromised."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from daq.scripting.packed_size import TooLargeError, require_bounded

__all__ = ["MAX_TEXT", "CodecError", "pack", "require_plain", "require_sendable", "unpack"]

_ARRAY = 1
_MAX_DIMENSIONS = 8
_MAX_DEPTH = 32
"""Lists in lists of one value."""
_ENVELOPE = 2
"""Lists around a value in a message: its fields, and the arguments or names in one of them."""
_MAX_ITEMS = 100_000
"""Of one message, at all depths: each is an object of the daemon's for a moment."""
MAX_TEXT = 1 << 20
"""Characters of one name: of a key, or of a field that is no value."""
_DTYPES = frozenset(
    "|b1 |i1 |u1 <i2 <u2 <i4 <u4 <i8 <u8 <f2 <f4 <f8 <c8 <c16".split()  # noqa: SIM905
)


class CodecError(ValueError):
    """The value cannot cross, or the bytes are not what was agreed on."""


def pack(value: object) -> bytes:
    """Encode plain data and numeric arrays; CodecError names what cannot be sent."""
    try:
        data: bytes = msgpack.packb(value, default=_encode)
        _require_bounded(data)
    except UnicodeEncodeError:
        raise CodecError("a text holds half a character (a surrogate), which is no text") from None
    except (TypeError, OverflowError) as error:
        raise CodecError(str(error)) from None
    except (ValueError, RecursionError):  # what msgpack says to a list inside of itself
        raise CodecError(_TOO_DEEP) from None
    return data


def unpack(data: bytes | bytearray | memoryview) -> Any:
    """Decode what `pack` made; arrays come as read-only views of `data`."""
    _require_bounded(data)
    try:
        return msgpack.unpackb(data, **_STRICT)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise CodecError(f"not a message: {str(error)[:200] or type(error).__name__}") from None


def _require_bounded(data: bytes | bytearray | memoryview) -> None:
    """Before a single object is made of it."""
    if len(data) > _MAX_ITEMS:  # an item takes a byte at least
        try:
            require_bounded(data, _MAX_ITEMS, _MAX_DEPTH + _ENVELOPE + 1)
        except TooLargeError as error:
            raise CodecError(f"{error}; {_USE_ARRAYS}") from None


def require_plain(value: object, depth: int = 0) -> Any:
    """The value itself, if it is None, a scalar, a text, an array, or lists and maps of these."""
    if value is None or isinstance(value, bool | int | float | complex | str | np.ndarray):
        return value
    if depth < _MAX_DEPTH:
        if type(value) is list:
            for item in value:
                require_plain(item, depth + 1)
            return value
        if type(value) is dict:
            for key, item in value.items():
                if type(key) is not str:
                    raise CodecError(f"a key is {type(key).__name__}, not text")
                require_plain(item, depth + 1)
            return value
    raise CodecError(f"{type(value).__name__} is not plain data")


def require_sendable(fields: object) -> None:
    """Raise CodecError for fields of a message, at any depth, that the other side would refuse.

    It refuses them as an attack, and ends the script; their author deserves a better answer.
    """
    _walk(fields, _MAX_ITEMS, 0)


def _walk(value: object, budget: int, depth: int) -> int:
    """Returns what is left of the budget of items."""
    if not isinstance(value, dict | list | tuple):
        if depth == 1 and isinstance(value, str) and len(value) > MAX_TEXT:
            raise CodecError(_too_long(value))
        return budget
    if depth >= _MAX_DEPTH + _ENVELOPE:
        raise CodecError(_TOO_DEEP)
    budget -= len(value)
    if budget < 0:
        raise CodecError(f"there are more than {_MAX_ITEMS} items; {_USE_ARRAYS}")
    items: Iterable[object] = value
    if isinstance(value, dict):
        for key in value:
            _require_key(key)
        items = value.values()
    for item in items:
        if isinstance(item, bytes | bytearray | memoryview):
            raise CodecError("bytes cannot leave the script here; a text or an array of uint8 can")
        if isinstance(item, dict | list | tuple | str):
            budget = _walk(item, budget, depth + 1)
    return budget


def _require_key(key: object) -> None:
    if not isinstance(key, str):
        raise CodecError(f"the keys of what leaves a script are texts, not {key!r:.40}")
    if len(key) > MAX_TEXT:
        raise CodecError(_too_long(key))


_TOO_DEEP = f"lists and dicts are nested too deeply (at most {_MAX_DEPTH}), or in themselves"
_USE_ARRAYS = "lists and dicts that leave or enter a script are short; a numpy array may be long"


def _too_long(text: str) -> str:
    return f"a text of {len(text)} characters is too long, the limit is {MAX_TEXT}"


def _encode(value: object) -> object:
    if isinstance(value, np.ndarray):
        return msgpack.ExtType(_ARRAY, _encode_array(value))
    if isinstance(value, complex | np.complexfloating):
        return msgpack.ExtType(_ARRAY, _encode_array(np.asarray(value, np.complex128)))
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, int):
        raise TypeError(
            "a whole number beyond 64 bits cannot enter or leave a script; a float or text can"
        )
    raise TypeError(
        f"{type(value).__name__} cannot leave the script; "
        "plain values, lists, dicts and numeric arrays can"
    )


def _encode_array(array: npt.NDArray[Any]) -> bytes:
    dtype = array.dtype.newbyteorder("<")
    if dtype.str == "<f16":
        dtype = np.dtype("<f8")
    if dtype.str not in _DTYPES or array.ndim > _MAX_DIMENSIONS:
        raise TypeError(f"an array of {array.dtype} with {array.ndim} dimensions cannot be sent")
    name = dtype.str.encode()
    header = struct.pack(f"<B{len(name)}sB{array.ndim}Q", len(name), name, array.ndim, *array.shape)
    return header + np.ascontiguousarray(array, dtype).tobytes()


def _decode(code: int, payload: bytes) -> npt.NDArray[Any] | complex:
    if code != _ARRAY:
        raise CodecError(f"extension type {code} is unknown")
    try:
        (size,) = struct.unpack_from("<B", payload)
        name, dimensions = struct.unpack_from(f"<{size}sB", payload, 1)
        if dimensions > _MAX_DIMENSIONS:
            raise CodecError(f"an array of {dimensions} dimensions")
        offset = 2 + size
        shape = struct.unpack_from(f"<{dimensions}Q", payload, offset)
    except struct.error:
        raise CodecError("an array without a header") from None
    text = name.decode("ascii", "replace")
    if text not in _DTYPES:
        raise CodecError(f"an array of {text[:20]!r}")
    offset += 8 * dimensions
    dtype = np.dtype(text)
    if math.prod(shape) * dtype.itemsize != len(payload) - offset:
        raise CodecError(f"an array of shape {shape} in {len(payload) - offset} bytes")
    array = np.frombuffer(payload, dtype, offset=offset).reshape(shape)
    return complex(array[()]) if dtype.kind == "c" and not shape else array


_STRICT: dict[str, Any] = {
    "ext_hook": _decode,
    "strict_map_key": True,
    "max_array_len": _MAX_ITEMS,
    "max_map_len": _MAX_ITEMS,
}
