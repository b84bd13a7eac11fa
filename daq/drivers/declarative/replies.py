"""From what an instrument writes to values, and back. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from daq.core import Scalar
from daq.drivers.declarative.model import Question, Reply, Value
from daq.drivers.declarative.template import Template

__all__ = [
    "NoMeasurementError",
    "decode",
    "decode_points",
    "encode",
    "encode_all",
    "extract",
    "points_of",
    "require_value",
    "scaled",
    "typed",
]

Points = npt.NDArray[Any]

_LARGEST = 2.0**63


class NoMeasurementError(ValueError):
    """The instrument answered by a number that nothing can have been measured to be."""


def extract(reply: Reply, text: str) -> dict[str, str] | None:
    """The value's text as `text`, and the pattern's groups; None when it does not fit."""
    if reply.strip:
        text = text.strip()
    if reply.pattern is not None:
        found = reply.pattern.fullmatch(text)
        if found is None:
            return None
        groups = {name: group or "" for name, group in found.groupdict().items()}
        whole = found.group(1) if found.re.groups else found.group(0)
        return {**groups, "text": _stripped(reply, groups.get("value", whole or ""))}
    if reply.field is None:
        return {"text": text}
    fields = text.split(reply.separator)
    if reply.field > len(fields):
        return None
    return {"text": _stripped(reply, fields[reply.field - 1])}


def decode(value: Value, text: str) -> Scalar:
    """The value that a reply tells. Raises ValueError saying why it does not."""
    question = value.read or Question(Template("", {}))
    require_value(question, text)
    groups = extract(question.reply, text)
    if groups is None:
        raise ValueError(_misfit(question.reply))
    if question.convert is None:
        return typed(value, groups["text"])
    names: dict[str, Any] = {**groups}
    if "value" in question.convert.names:
        names["value"] = _number(groups["text"])
    return typed(value, question.convert.evaluate(names))


def decode_points(value: Value, reply: str) -> Points:
    """The numbers of a waveform as they stand in a reply; a block's bytes are characters there.

    Raises ValueError saying why there are none. May take long.
    """
    question = value.read or Question(Template("", {}))
    require_value(question, reply)
    if question.block is not None:
        points = _block_points(reply.encode("latin-1"), question.block)
    else:
        found = extract(question.reply, reply)
        if found is None:
            raise ValueError(_misfit(question.reply))
        try:
            points = np.array(found["text"].split(question.reply.separator), dtype=np.float64)
        except ValueError as error:
            raise ValueError(f"its numbers cannot be read: {error}") from None
    wanted = math.prod(value.shape)
    if not points.size:
        raise NoMeasurementError("it has no points")
    if points.size != wanted:
        raise ValueError(f"it has {points.size} points, not {wanted}")
    return points.reshape(value.shape)


def require_value(question: Question, reply: str) -> None:
    """Raise NoMeasurementError for a reply that says that there is no value now."""
    if question.no_value is not None and question.no_value.fullmatch(reply.strip()):
        raise NoMeasurementError(f"it answers {reply.strip()!r}")


def points_of(value: Value, raw: Any) -> Points:
    """A waveform or an image that a library gives. Raises ValueError."""
    points = np.asarray(raw)
    if points.dtype.kind not in "iufb":
        raise ValueError(f"it is no waveform but {points.dtype}")
    if points.size != math.prod(value.shape):
        raise ValueError(f"it has {points.size} points, not {math.prod(value.shape)}")
    return points.reshape(value.shape)


def scaled(value: Value, points: Points, others: Mapping[str, Scalar]) -> Points:
    """A waveform in its units. Raises ValueError where it has values that are no numbers."""
    question = value.read
    result: Any = points
    if question is not None and question.convert is not None:
        with np.errstate(all="ignore"):  # what is not finite is found below
            result = question.convert.evaluate({**others, "value": points.astype(np.float64)})
    whole: npt.NDArray[np.float64] = np.asarray(result, dtype=np.float64)
    if whole.shape != value.shape:
        raise ValueError(f"its conversion gives {whole.shape}, not {value.shape}")
    if not np.isfinite(whole).all():
        raise NoMeasurementError("it has points that are not finite numbers")
    return whole


def encode(value: Value, given: Scalar) -> Scalar:
    """What goes into the command's place `{value}`."""
    if value.words:
        return value.words[given]
    return float(given) if value.dtype == "float" else given


def encode_all(values: Iterable[Value], given: Iterable[Scalar]) -> dict[str, Scalar]:
    """What goes into the command's places, by the names of as many values."""
    return {value.name: encode(value, each) for value, each in zip(values, given, strict=True)}


def typed(value: Value, raw: Any) -> Scalar:
    """What was answered as the value's type. Raises ValueError."""
    if value.dtype == "bool":
        return raw if isinstance(raw, bool) else bool(_choice(value, str(raw)))
    if value.dtype == "str":
        return str(_choice(value, str(raw))) if value.words else str(raw)
    number = _number(raw) if isinstance(raw, str) else float(raw)
    if not math.isfinite(number):
        raise NoMeasurementError(f"{number} is not a finite number")
    if value.dtype == "float":
        return number
    if abs(number) >= _LARGEST:
        raise NoMeasurementError(f"{number:g} is more than a whole number of 64 bits can be")
    if not number.is_integer():
        raise ValueError(f"{number:g} is not a whole number")
    return int(number)


def _block_points(reply: bytes, dtype: str) -> Points:
    """The numbers in a block of IEEE 488.2."""
    if reply[:1] != b"#":
        raise ValueError("it is no block: it does not begin with '#'")
    if reply[1:2] == b"0":
        raise ValueError("its block is of indefinite length")
    data = reply[2 + int(reply[1:2]) :]
    kind = np.dtype(dtype)
    if len(data) % kind.itemsize:
        raise ValueError(f"{len(data)} bytes are no whole number of {dtype}")
    return np.frombuffer(data, kind)


def _misfit(reply: Reply) -> str:
    if reply.pattern is not None:
        return f"it does not fit {reply.pattern.pattern!r}"
    return f"it has no field {reply.field}"


def _stripped(reply: Reply, text: str) -> str:
    return text.strip() if reply.strip else text


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


def _choice(value: Value, text: str) -> Scalar:
    """The choice that is written so; `+1.0E0` is the same as `1`, and spaces around it nothing."""
    text = text.strip()
    for name, word in value.words.items():
        if text.casefold() == word.strip().casefold() or _same_number(text, word):
            return name
    known = ", ".join(repr(word) for word in value.words.values())
    raise ValueError(f"{text!r} is none of {known}")


def _same_number(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return False
