"""One rule for every value that comes from a person or a script and is kept or sent.

It holds for what is recorded, for the metadata of runs, for results and for parameters:

- None, truth values, whole numbers of 64 bits, floats (NaN and infinity too), complex numbers and
  texts stay as they are; numpy's numbers become Python's, and keep
  their type where they are recorded;
- arrays of numbers keep type and shape; bytes are an array of uint8;
- a long double, a Decimal and a Fraction become the nearest float;
- a date or a time is its ISO text, a duration its seconds; a path or a UUID is its text;
- a member of an enum is its value; a set is a sorted list, a tuple or range a list; the keys of a
  mapping become texts.

Whatever else comes is refused with the place where it stands, such as `sample['parts'][2]`.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from os import PathLike, fspath
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from daq.core.errors import ParameterError

__all__ = [
    "from_json",
    "from_jsonable",
    "needs_tags",
    "plain",
    "plain_mapping",
    "recordable",
    "strict_json",
    "to_json",
    "to_jsonable",
]

Array = npt.NDArray[Any]

_NUMBERS = "biufc"
_DEEPEST = 32
_WORD = 2**63
_EXACT = 2**53
_SHORT = 1000
"""An array of up to so many numbers is readable in JSON; a longer one is base64."""


def plain(value: Any, where: str = "value") -> Any:
    """The value by the rule of this module, as None, a number, a text, an array, a list or a dict.

    Args:
        value: Whatever somebody gave.
        where: Its name, for the error.

    Raises ParameterError that says where something stands that cannot be kept, and what would do.
    """
    return _plain(value, where, 0)


def plain_mapping(values: Mapping[Any, Any], where: str = "") -> dict[str, Any]:
    """Each value by the rule, named by its key in errors; keys become texts."""
    return {key: _plain(value, f"{where}{key}", 0) for key, value in _with_text_keys(values, where)}


def recordable(value: Any, where: str) -> Any:
    """A value of an event: None for a missing one, a text, a typed numpy number, or an array.

    A list is an array; None inside of a list of numbers is NaN. Raises ParameterError that names
    the value.
    """
    if isinstance(value, np.generic) and value.dtype.kind in _NUMBERS:
        return _number_array(np.asarray(value), where)[()]
    if isinstance(value, np.ndarray) and value.dtype.kind in _NUMBERS:
        return _number_array(_as_array(value, where), where)[()]
    known = _plain(value, where, 0)
    if known is None or isinstance(known, str):
        return known
    if isinstance(known, dict):
        raise _refused(where, "a mapping", "record its values one by one")
    return _number_array(_as_array(known, where), where)[()]


# ---------------------------------------------------------------------------------------- the rule


def _plain(value: Any, where: str, depth: int) -> Any:
    if value is None or type(value) in (bool, float, str, complex):
        return value
    if depth > _DEEPEST:
        raise _refused(where, f"nested more than {_DEEPEST} deep, or inside of itself")
    if type(value) is int:
        if -_WORD <= value < 2 * _WORD:
            return value
        raise _refused(where, "a whole number beyond 64 bits", "give a float, or its text")
    for kinds, convert in _RULES:
        if isinstance(value, kinds):
            return convert(value, where, depth)
    if hasattr(value, "__array__"):
        return _number_array(_as_array(value, where), where)
    raise _refused(where, f"a value of type {type(value).__name__}")


def _items(value: Any, where: str, depth: int) -> list[Any]:
    return [_plain(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]


def _set(value: Any, where: str, depth: int) -> list[Any]:
    items = _items(value, where, depth)
    try:
        return sorted(items)
    except TypeError:  # of several kinds
        return sorted(items, key=lambda item: (type(item).__name__, repr(item)))


def _mapping(value: Any, where: str, depth: int) -> dict[str, Any]:
    return {
        key: _plain(item, f"{where}[{key!r}]", depth + 1)
        for key, item in _with_text_keys(value, where)
    }


def _with_text_keys(values: Mapping[Any, Any], where: str) -> list[tuple[str, Any]]:
    pairs = [(_key(key, where), value) for key, value in values.items()]
    if len({key for key, _ in pairs}) < len(pairs):
        raise _refused(where or "the mapping", "a mapping with two keys of the same text")
    return pairs


def _key(key: Any, where: str) -> str:
    if isinstance(key, Enum):
        key = key.value
    if isinstance(key, str):
        return str(key)
    if key is None or isinstance(key, bool | int | float | np.generic | PathLike | date | time):
        return str(key)
    raise _refused(where, f"a mapping with a {type(key).__name__} as a key", "use texts as keys")


def _nearest(value: Any, where: str, _depth: int = 0) -> float:
    try:
        number = float(value)
    except (OverflowError, ValueError):  # what is too large, and a signalling NaN
        raise _refused(where, "a number beyond the range of a float", "give its text") from None
    if math.isinf(number) and value not in (math.inf, -math.inf):
        raise _refused(where, "a number beyond the range of a float", "give its text")
    return number


def _generic(value: Any, where: str, depth: int) -> Any:
    if value.dtype.kind == "m":
        return float(value / np.timedelta64(1, "ns")) / 1e9
    if value.dtype.kind == "M":
        return str(value)
    if value.dtype.kind in "fc":
        return _number_array(np.asarray(value), where)[()].item()
    return _plain(value.item(), where, depth + 1)


def _array(value: Any, where: str, depth: int) -> Any:
    if value.ndim == 0 and value.dtype.kind != "V":
        return _plain(value[()], where, depth + 1)
    if value.dtype.kind in "US":
        return _items(value.tolist(), where, depth)
    return _number_array(_as_array(value, where), where)


def _bytes(value: Any, _where: str, _depth: int) -> Array:
    return np.frombuffer(bytes(value), np.uint8)


def _enum(value: Any, where: str, depth: int) -> Any:
    return _plain(value.value, where, depth + 1)


def _text(value: Any, _where: str, _depth: int) -> str:
    return str(value)


_RULES: tuple[tuple[Any, Callable[[Any, str, int], Any]], ...] = (
    (Enum, _enum),  # first: members of an IntEnum or a StrEnum are numbers and texts too
    (np.ndarray, _array),
    (np.generic, _generic),
    (str, _text),
    (int, lambda value, where, depth: _plain(int(value), where, depth)),
    (float, lambda value, _where, _depth: float(value)),
    (complex, lambda value, _where, _depth: complex(value)),
    ((list, tuple, range), _items),
    (Mapping, _mapping),
    (AbstractSet, _set),
    ((bytes, bytearray, memoryview), _bytes),
    ((Decimal, Fraction), _nearest),
    ((datetime, date, time), lambda value, _where, _depth: value.isoformat()),
    (timedelta, lambda value, _where, _depth: value.total_seconds()),
    (PathLike, lambda value, where, depth: _plain(fspath(value), where, depth + 1)),
    (UUID, _text),
)


# ------------------------------------------------------------------------------------------- arrays


def _as_array(value: Any, where: str) -> Array:
    if isinstance(value, np.ma.MaskedArray) and value.mask.any():
        kind = value.dtype.kind
        value = value.astype(np.promote_types(value.dtype, "f8" if kind in "biu" else "f4"))
        value = value.filled(np.nan)
    try:
        array = np.asarray(value)
        if array.dtype == object and array.size and not isinstance(value, np.ndarray):
            array = np.array(_missing_as_nan(value))
        if array.dtype.kind in "fc" and isinstance(value, list):
            _require_exact(value, where)
    except (ValueError, TypeError, OverflowError):
        raise _refused(
            where, "a list of lists of different lengths", "record an array of one shape"
        ) from None
    return array


def _require_exact(value: Any, where: str) -> None:
    """Raise for whole numbers that become others beside a fraction, which a list makes of them."""
    if isinstance(value, list):
        for item in value:
            _require_exact(item, where)
    elif isinstance(value, int) and abs(value) > _EXACT:
        raise _refused(where, f"{value} as a float, in a list with other floats,")


def _missing_as_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [_missing_as_nan(item) for item in value]
    return math.nan if value is None else value


def _number_array(array: Array, where: str) -> Array:
    if array.dtype.kind not in _NUMBERS:
        held = {"U": "texts", "S": "texts", "O": "different things", "M": "dates", "m": "durations"}
        what = f"an array of {held.get(array.dtype.kind, str(array.dtype))}"
        raise _refused(where, what, "arrays hold numbers or truth values")
    if array.dtype.kind in "fc" and array.dtype.itemsize > (16 if array.dtype.kind == "c" else 8):
        with np.errstate(over="ignore"):
            smaller = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
        if not np.array_equal(np.isfinite(smaller), np.isfinite(array)):
            raise _refused(where, "a number beyond the range of a float", "give its text")
        return smaller
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _refused(where: str, what: str, advice: str = "") -> ParameterError:
    return ParameterError(
        f"{where}: {what} cannot be kept",
        advice=advice or "numbers, texts, arrays of numbers, lists and mappings of these can",
    )


# --------------------------------------------------------------------------------------------- JSON

# What JSON has no word for is an object with one key that begins with a dollar, and `$dict` is an
# ordinary mapping that looks like one.

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?Infinity|NaN')
_WORDS = {"Infinity": "1e999", "-Infinity": "-1e999", "NaN": "null"}
"""Strict JSON: every parser reads the numbers as infinity."""


def to_json(value: Any, *, typed: bool = True) -> str:
    """Strict JSON of any value that the rule takes; `from_json` makes the same value of it again.

    Args:
        value: What is to be sent or kept.
        typed: Whether arrays keep their type and NaN is told from null. Else arrays are lists, NaN
            is null and a complex number `{"re": 1.0, "im": 2.0}`: no tags, for other programs.

    Raises ParameterError for what the rule refuses.
    """
    return strict_json(to_jsonable(plain(value), typed=typed))


def strict_json(value: Any, *, indent: int | None = None, ensure_ascii: bool = True) -> str:
    """JSON of what it is made of: infinity as a number that is read as infinity, NaN as null."""
    text = json.dumps(value, indent=indent, ensure_ascii=ensure_ascii)
    if "Infinity" not in text and "NaN" not in text:
        return text
    return _TOKEN.sub(lambda token: _WORDS.get(token[0], token[0]), text)


def to_jsonable(value: Any, *, typed: bool = True) -> Any:
    """A value that `plain` made, as what JSON is made of."""
    match value:
        case float() if math.isnan(value):
            return {"$float": "nan"} if typed else None
        case complex():
            parts = [to_jsonable(part, typed=typed) for part in (value.real, value.imag)]
            return {"$complex": parts} if typed else dict(zip(("re", "im"), parts, strict=True))
        case list() | tuple():
            return [to_jsonable(item, typed=typed) for item in value]
        case Mapping():
            known = {key: to_jsonable(item, typed=typed) for key, item in value.items()}
            return {"$dict": known} if typed and _is_like_a_tag(known) else known
        case np.ndarray():
            return _array_to_jsonable(value) if typed else to_jsonable(value.tolist(), typed=False)
    return value


def needs_tags(value: Any) -> bool:
    """Whether JSON without tags would lose something of a value that `plain` made."""
    match value:
        case float():
            return math.isnan(value)
        case complex() | np.ndarray():
            return True
        case list():
            return any(map(needs_tags, value))
        case Mapping():
            return _is_like_a_tag(value) or any(map(needs_tags, value.values()))
    return False


def _is_like_a_tag(mapping: Mapping[str, Any]) -> bool:
    return len(mapping) == 1 and next(iter(mapping)).startswith("$")


def _array_to_jsonable(array: Array) -> dict[str, Any]:
    parts: dict[str, Any] = {"dtype": array.dtype.str, "shape": list(array.shape)}
    if array.size > _SHORT or array.dtype.kind == "c":
        parts["base64"] = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    else:
        parts["values"] = to_jsonable(array.reshape(-1).tolist())
    return {"$array": parts}


def from_json(text: str) -> Any:
    """The inverse of `to_json`. Raises ValueError for what is no JSON, or no such array."""
    return from_jsonable(json.loads(text))


def from_jsonable(value: Any) -> Any:
    """The inverse of `to_jsonable`; raises ValueError for a tag that does not hold its kind."""
    if isinstance(value, list):
        return [from_jsonable(item) for item in value]
    if not isinstance(value, dict):
        return value
    if _is_like_a_tag(value):
        ((key, inside),) = value.items()
        if key in _READERS:
            try:
                return _READERS[key](inside)
            except (TypeError, KeyError, AttributeError, OverflowError, SyntaxError) as error:
                raise ValueError(f"{key} does not hold what it should: {error}") from error
    return {key: from_jsonable(item) for key, item in value.items()}


def _complex_from_jsonable(parts: Any) -> complex:
    real, imaginary = parts
    return complex(float(from_jsonable(real)), float(from_jsonable(imaginary)))


def _array_from_jsonable(parts: dict[str, Any]) -> Array:
    dtype = np.dtype(parts["dtype"])
    if dtype.kind not in _NUMBERS:
        raise ValueError(f"an array of {dtype}")
    if "base64" in parts:
        flat = np.frombuffer(base64.b64decode(parts["base64"], validate=True), dtype)
    else:
        flat = np.array(from_jsonable(parts["values"]), dtype)
    return flat.reshape([int(length) for length in parts["shape"]])


_READERS: dict[str, Callable[[Any], Any]] = {
    "$float": float,
    "$complex": _complex_from_jsonable,
    "$dict": lambda inside: {key: from_jsonable(item) for key, item in inside.items()},
    "$array": _array_from_jsonable,
}
