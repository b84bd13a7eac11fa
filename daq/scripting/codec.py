"""Plain data and numeric arrays as msgpack, checked strictly: the sender may be compromised."""

from __future__ import annotations

import math
import struct
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

__all__ = ["CodecError", "pack", "plain", "require_text_keys", "unpack"]

_ARRAY = 1
_MAX_DIMENSIONS = 8
_MAX_DEPTH = 32
_MAX_ITEMS = 100_000
_LARGE = 1 << 18
_DTYPES = frozenset(
    "|b1 |i1 |u1 <i2 <u2 <i4 <u4 <i8 <u8 <f2 <f4 <f8 <c8 <c16".split()  # noqa: SIM905
)


class CodecError(ValueError):
    """The value cannot cross, or the bytes are not what was agreed on."""


def pack(value: object) -> bytes:
    """Encode plain data and numeric arrays; CodecError names what cannot be sent."""
    try:
        data: bytes = msgpack.packb(value, default=_encode)
        if len(data) > _LARGE:
            _check_size(value)
    except UnicodeEncodeError:
        raise CodecError("a text holds half a character (a surrogate), which is no text") from None
    except (TypeError, OverflowError) as error:
        raise CodecError(str(error)) from None
    except (ValueError, RecursionError):  # what msgpack says to a list inside of itself
        raise CodecError("lists and dicts are nested too deeply, or in themselves") from None
    return data


def unpack(data: bytes | bytearray | memoryview) -> Any:
    """Decode what `pack` made; arrays come as read-only views of `data`."""
    try:
        return msgpack.unpackb(data, **_STRICT)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise CodecError(f"not a message: {str(error)[:200] or type(error).__name__}") from None


def plain(value: object, depth: int = 0) -> Any:
    """The value itself, if it is None, a scalar, a text, an array, or lists and maps of these."""
    if value is None or isinstance(value, bool | int | float | str | np.ndarray):
        return value
    if depth < _MAX_DEPTH:
        if type(value) is list:
            for item in value:
                plain(item, depth + 1)
            return value
        if type(value) is dict:
            for key, item in value.items():
                if type(key) is not str:
                    raise CodecError(f"a key is {type(key).__name__}, not text")
                plain(item, depth + 1)
            return value
    raise CodecError(f"{type(value).__name__} is not plain data")


def require_text_keys(value: object) -> None:
    """Raise CodecError for a dict, at any depth, with a key that is not text.

    The other side refuses such a dict as an attack; its author deserves a better answer.
    """
    if type(value) is dict:
        for key, item in value.items():
            if not isinstance(key, str):
                raise CodecError(f"the keys of what leaves a script are texts, not {key!r:.40}")
            require_text_keys(item)
    elif type(value) in (list, tuple):
        for item in value:  # type: ignore[attr-defined]
            if type(item) in (dict, list, tuple):
                require_text_keys(item)


def _check_size(value: object, budget: int = _MAX_ITEMS) -> int:
    """Long lists are slow to check on the other side; arrays are not. Returns what is left."""
    if not isinstance(value, list | tuple | dict):
        return budget
    budget -= len(value)
    if budget < 0:
        raise TypeError(f"lists of more than {_MAX_ITEMS} items are too long; use a numpy array")
    for item in value.values() if isinstance(value, dict) else value:
        budget = _check_size(item, budget)
    return budget


def _encode(value: object) -> object:
    if isinstance(value, np.ndarray):
        return msgpack.ExtType(_ARRAY, _encode_array(value))
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


def _decode(code: int, payload: bytes) -> npt.NDArray[Any]:
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
    return np.frombuffer(payload, dtype, offset=offset).reshape(shape)


_STRICT: dict[str, Any] = {
    "ext_hook": _decode,
    "strict_map_key": True,
    "max_array_len": _MAX_ITEMS,
    "max_map_len": _MAX_ITEMS,
}
