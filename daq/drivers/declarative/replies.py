"""From what an instrument writes to values, and back. No I/O."""

from __future__ import annotations

import math
from typing import Any

from daq.core import Scalar
from daq.drivers.declarative.model import Question, Reply, Value
from daq.drivers.declarative.template import Template

__all__ = ["decode", "encode", "extract", "typed"]


def extract(reply: Reply, text: str) -> dict[str, str] | None:
    """The value's text as `text`, and the pattern's groups; None when it does not fit."""
    text = text.strip()
    if reply.pattern is not None:
        found = reply.pattern.fullmatch(text)
        if found is None:
            return None
        groups = {name: group or "" for name, group in found.groupdict().items()}
        whole = found.group(1) if found.re.groups else found.group(0)
        return {**groups, "text": groups.get("value", whole or "").strip()}
    if reply.field is None:
        return {"text": text}
    fields = text.split(reply.separator)
    return {"text": fields[reply.field - 1].strip()} if reply.field <= len(fields) else None


def decode(value: Value, text: str) -> Scalar:
    """The value that a reply tells. Raises ValueError saying why it does not."""
    question = value.read or Question(Template("", {}))
    groups = extract(question.reply, text)
    if groups is None:
        pattern = question.reply.pattern
        expected = (
            f"it does not fit {pattern.pattern!r}"
            if pattern is not None
            else f"it has no field {question.reply.field}"
        )
        raise ValueError(expected)
    if question.convert is None:
        return typed(value, groups["text"])
    names: dict[str, Any] = {**groups}
    if "value" in question.convert.names:
        names["value"] = _number(groups["text"])
    return typed(value, question.convert.evaluate(names))


def encode(value: Value, given: Scalar) -> Scalar:
    """What goes into the command's place `{value}`."""
    if value.words:
        return value.words[given]
    return float(given) if value.dtype == "float" else given


def typed(value: Value, raw: Any) -> Scalar:
    """What was answered as the value's type. Raises ValueError."""
    if value.dtype == "bool":
        return raw if isinstance(raw, bool) else bool(_choice(value, str(raw)))
    if value.dtype == "str":
        return str(_choice(value, str(raw))) if value.words else str(raw)
    number = _number(raw) if isinstance(raw, str) else float(raw)
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a finite number")
    if value.dtype == "float":
        return number
    if not number.is_integer():
        raise ValueError(f"{number:g} is not a whole number")
    return int(number)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


def _choice(value: Value, text: str) -> Scalar:
    """The choice that is written so; `+1.0E0` is the same as `1`."""
    for name, word in value.words.items():
        if text.casefold() == word.casefold() or _same_number(text, word):
            return name
    known = ", ".join(repr(word) for word in value.words.values())
    raise ValueError(f"{text!r} is none of {known}")


def _same_number(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return False
