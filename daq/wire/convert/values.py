"""Values on the wire: JSON texts, parameter texts, and arrays as bytes with shape and dtype."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from daq.core import Scalar
from daq.core.values import strict_json

__all__ = [
    "ArrayParts",
    "array_from_wire",
    "array_to_wire",
    "clean",
    "data_from_wire",
    "json_from_wire",
    "json_mapping_from_wire",
    "json_mapping_to_wire",
    "json_to_wire",
    "mean",
    "scalar_to_text",
    "scalars_from_wire",
]

Array = npt.NDArray[Any]


def clean(text: str) -> str:
    """`text` without lone surrogates, which UTF-8 and therefore protobuf cannot carry."""
    return text.encode("utf-8", "replace").decode()


def scalar_to_text(value: object) -> str:
    """A value as a person types it and as `parse_scalar` reads it back: `true`, `0.5`, `knife`."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, int | float):
        return repr(value)
    return json_to_wire(value)


def json_to_wire(value: object) -> str:
    """Any plain value as strict JSON.

    JSON has no word for a number that is not finite: NaN becomes `null`, infinity `1e999`, which
    every parser reads as infinity.
    """
    return strict_json(_jsonable(value))


def _jsonable(value: object) -> object:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return None if math.isnan(value) else value
        case np.floating():  # also a long double, for which Python has no number of its own
            return _jsonable(float(value))
        case np.generic() | np.ndarray():
            return _jsonable(value.tolist())
        case Mapping():
            return {str(key): _jsonable(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_jsonable(item) for item in value]
        case bytes():
            return value.decode("utf-8", "replace")
    return str(value)


def json_from_wire(text: str) -> Any:
    """Read one JSON value; a text that is not JSON is taken as the string that it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def json_mapping_to_wire(values: Mapping[str, Any]) -> dict[str, str]:
    """Each value as JSON, as the `*_json` maps of the protocol carry them."""
    return {clean(str(name)): json_to_wire(value) for name, value in values.items()}


def json_mapping_from_wire(values: Mapping[str, str]) -> dict[str, Any]:
    """The inverse of `json_mapping_to_wire`."""
    return {name: json_from_wire(text) for name, text in values.items()}


def scalars_from_wire(values: Mapping[str, str]) -> dict[str, Scalar]:
    """A map of scalars; `null` is what became of a NaN."""
    parsed = json_mapping_from_wire(values)
    return {name: math.nan if value is None else value for name, value in parsed.items()}


def data_from_wire(values: Mapping[str, str]) -> dict[str, Any]:
    """A map of numbers, texts and arrays; `null` is what became of a NaN, also in an array."""
    return {name: _with_nan(json_from_wire(text)) for name, text in values.items()}


def _with_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_nan(item) for item in value]
    return math.nan if value is None else value


@dataclass(frozen=True, slots=True)
class ArrayParts:
    """An array taken apart for a message; all empty for a scalar."""

    shape: list[int]
    dtype: str
    """numpy type string, such as `<u2`."""
    data: bytes
    """C order."""


def array_to_wire(value: object) -> ArrayParts:
    """Shape, dtype and bytes of an array; nothing for a scalar."""
    array = np.asarray(value)
    if array.ndim == 0:
        return ArrayParts([], "", b"")
    return ArrayParts(list(array.shape), array.dtype.str, array.tobytes())


def array_from_wire(shape: list[int], dtype: str, data: bytes) -> Array:
    """The array that `array_to_wire` took apart. Raises ValueError when the parts do not fit."""
    return np.frombuffer(data, dtype=np.dtype(dtype)).reshape(tuple(shape))


def mean(value: object) -> float:
    """The scalar itself, or the mean of an array; NaN for an empty one."""
    array = np.asarray(value)
    if array.size == 0:
        return math.nan
    with np.errstate(over="ignore", invalid="ignore"):  # it is for a display, not for the record
        return float(array.mean())
