"""Reads the tables `[values.NAME]` of a description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from daq.core import Scalar
from daq.drivers.declarative.model import Value
from daq.drivers.declarative.phrases import Phrases
from daq.drivers.declarative.source import Table

__all__ = ["DTYPES", "fits", "read_value"]

DTYPES: Mapping[str, type] = {"float": float, "int": int, "bool": bool, "str": str}

_SAMPLES: Mapping[str, Scalar] = {"float": 1.5, "int": 1, "bool": "1", "str": "text"}
"""As the instrument takes them: formats are tried on these."""


def read_value(table: Table, name: str, phrases: Phrases) -> Value:
    """One value; mistakes are noted in the table's source."""
    dtype = table.choice("type", "float", DTYPES)
    limits = table.limits("limits")
    sample = _SAMPLES[dtype] if limits is None else DTYPES[dtype](limits.low)
    writing = replace(phrases, sample={"value": _sample_written(table, sample)})
    tolerance = table.number("tolerance", 0.0)
    value = Value(
        name=name,
        dtype=dtype,
        units=table.text("units", ""),
        description=table.text("description", ""),
        limits=limits,
        words=_read_words(table, dtype),
        read=phrases.question(table, "read"),
        write=writing.command(table, "write"),
        verify=table.truth("verify", True),
        tolerance=tolerance if "tolerance" in table else None,
        reach_s=table.number("reach", 0.0, "s"),
        invalid=phrases.expression(table, "invalid", ("value",)),
        is_parameter=table.truth("parameter", False),
        is_polled=table.truth("poll", False),
    )
    table.finish()
    _check(table, value)
    return value


def _sample_written(table: Table, sample: Scalar) -> Scalar:
    """With a conversion a whole number may become a fraction; only the real thing can tell."""
    write = table.values.get("write")
    converts = isinstance(write, Mapping) and "convert" in write
    return 1.0 if converts and not isinstance(sample, str) else sample


def _read_words(table: Table, dtype: str) -> dict[Scalar, str]:
    if dtype == "bool":
        on, off = table.text("on", "1"), table.text("off", "0")
        if on == off:
            table.problem("off", f"on and off are written alike: {on!r}")
        return {True: on, False: off}
    for key in ("on", "off"):
        if key in table.values:
            table.problem(key, 'only a value of type = "bool" is on or off')
            table.given(key, "a text", None)
    words = table.scalars("choices")
    if words and dtype != "str":
        table.problem("choices", 'only a value of type = "str" has choices')
    if len(set(words.values())) < len(words):
        table.problem("choices", "two choices are written alike")
    return dict(words.items())


def _check(table: Table, value: Value) -> None:
    if value.read is None and value.write is None:
        table.problem((), "has neither `read` nor `write`: nothing can be done with it")
    is_number = value.dtype in ("float", "int")
    for key, is_there in (
        ("limits", value.limits is not None),
        ("tolerance", value.tolerance is not None),
        ("invalid", value.invalid is not None),
    ):
        if is_there and not is_number:
            table.problem(key, f"a value of type {value.dtype!r} has none")
    if value.is_polled and value.read is None:
        table.problem("poll", "a value without `read` cannot be polled")
    if value.reach_s and (value.read is None or value.write is None or not value.verify):
        table.problem("reach", "only a value that is written and read back is waited for")


def fits(value: Value, given: Any) -> bool:
    """Whether `given` is a value of that type."""
    if value.dtype == "float":
        return isinstance(given, int | float) and not isinstance(given, bool)
    return type(given) is DTYPES[value.dtype]
