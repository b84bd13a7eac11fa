"""Values on the wire: JSON texts, parameter texts, and arrays as bytes with shape and dtype."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from daq.core import ParameterError, Scalar
from daq.core.values import (
    from_json,
    needs_tags,
    recordable,
    strict_json,
    to_json,
    to_jsonable,
)

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
    "point_to_wire",
    "scalar_to_text",
    "scalars_from_wire",
    "typed_from_wire",
    "typed_to_wire",
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
    """Any value that the rule takes as JSON for every program: see `daq.core.values.to_json`."""
    return to_json(value, typed=False)


def json_from_wire(text: str) -> Any:
    """Read one JSON value; a text that is not JSON is taken as the string that it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def json_mapping_to_wire(values: Mapping[str, Any]) -> dict[str, str]:
    """Each value as JSON, as the `*_json` maps of the protocol carry them."""
    return {clean(str(name)): json_to_wire(value) for name, value in values.items()}


def json_mapping_from_wire(
    values: Mapping[str, str], typed: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """The inverse of `json_mapping_to_wire`; of some values a typed form comes beside it."""
    return {name: json_from_wire(text) for name, text in values.items()} | typed_from_wire(typed)


def typed_to_wire(values: Mapping[str, Any]) -> dict[str, str]:
    """Those values again of which plain JSON loses something, in JSON with tags."""
    return {clean(str(name)): to_json(value) for name, value in values.items() if needs_tags(value)}


def typed_from_wire(values: Mapping[str, str]) -> dict[str, Any]:
    """Values from JSON with tags. Raises ParameterError that names the one that is no such JSON."""
    found = {}
    for name, text in values.items():
        try:
            found[name] = from_json(text)
        except ValueError as error:
            raise ParameterError(f"{name}: not a value in JSON: {error}") from error
    return found


def point_to_wire(values: Mapping[str, Any]) -> tuple[dict[str, str], bool]:
    """The values of an event in JSON with tags, and whether there are any tags.

    Numbers keep their type. Raises ParameterError that names what cannot be recorded.
    """
    known = {
        clean(str(name)): _kept(recordable(value, f"record({name}=...)"))
        for name, value in values.items()
    }
    texts = {name: strict_json(to_jsonable(value)) for name, value in known.items()}
    return texts, needs_tags(list(known.values()))


def _kept(value: Any) -> Any:
    """As it is sent: what JSON carries as it is, else an array, also of no dimension."""
    if not isinstance(value, np.generic):
        return value
    as_it_is = value.dtype in (np.float64, np.int64, np.bool_, np.complex128)
    return value.item() if as_it_is else np.asarray(value)


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
