"""Makes values of the tables `[values.NAME]` of a description."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from daq.config import KeyPath
from daq.core import Scalar
from daq.drivers.declarative.model import Value
from daq.drivers.declarative.phrases import Phrases
from daq.drivers.declarative.tables import ArgumentTable, ValueTable

__all__ = ["DTYPES", "fits", "make_values", "read_words", "sample_of"]

DTYPES: Mapping[str, type] = {"float": float, "int": int, "bool": bool, "str": str}

_SAMPLES: Mapping[str, Scalar] = {"float": 1.5, "int": 1, "bool": "1", "str": "text"}
"""As the instrument takes them: formats are tried on these."""


def make_values(tables: Mapping[str, ValueTable], phrases: Phrases) -> dict[str, Value]:
    """All values; mistakes are noted."""
    samples = {
        name: _SAMPLES[table.type]
        for name, table in tables.items()
        if table.type in _SAMPLES and (table.read is not None or table.text)
    }
    return {name: _make(name, tables, phrases, samples) for name in tables}


def _make(
    name: str, tables: Mapping[str, ValueTable], phrases: Phrases, samples: Mapping[str, Scalar]
) -> Value:
    at, table = ("values", name), tables[name]
    others = {other: sample for other, sample in samples.items() if other != name}
    writing = replace(phrases, sample={**others, "value": _sample_written(table)})
    scale = _scalars(others, table) if table.type == "waveform" else ()
    unconditional = [other for other in others if not tables[other].requires]
    value = Value(
        name=name,
        dtype=table.type,
        units=table.units,
        description=table.description,
        limits=table.limits,
        shape=table.shape or (),
        words=read_words(at, table, phrases),
        read=phrases.question((*at, "read"), table.read, scale),
        write=writing.commands((*at, "write"), table.write),
        text=phrases.template((*at, "text"), table.text, others) if table.text else None,
        verify=table.verify,
        tolerance=table.tolerance,
        reach_s=table.reach,
        invalid=phrases.expression((*at, "invalid"), table.invalid, ("value",)),
        # One that has a condition itself could wait for this one in turn.
        requires=phrases.expression((*at, "requires"), table.requires, unconditional),
        is_parameter=table.parameter,
        is_polled=table.poll,
    )
    _check(at, table, value, phrases)
    return value


def _scalars(others: Iterable[str], table: ValueTable) -> tuple[str, ...]:
    """The values that a waveform may be scaled by: those that its conversion names."""
    return tuple(others) if table.read is not None and table.read.convert else ()


def sample_of(table: ValueTable | ArgumentTable) -> Any:
    """Something that it may be, as the instrument takes it, to try formats on."""
    if table.limits is not None and table.type in ("float", "int"):
        return DTYPES[table.type](table.limits.low)
    return _SAMPLES.get(table.type, 1.5)


def _sample_written(table: ValueTable) -> Any:
    """With a conversion a whole number may become a fraction; only the real thing can tell."""
    sample = sample_of(table)
    converts = table.write is not None and table.write.convert
    return 1.0 if converts and not isinstance(sample, str) else sample


def read_words(
    at: KeyPath, table: ValueTable | ArgumentTable, phrases: Phrases
) -> dict[Scalar, str]:
    note = phrases.mistakes.note
    if table.type == "bool":
        on = "1" if table.on is None else table.on
        off = "0" if table.off is None else table.off
        if on == off:
            note((*at, "off"), f"on and off are written alike: {on!r}")
        return {True: on, False: off}
    for key, given in (("on", table.on), ("off", table.off)):
        if given is not None:
            note((*at, key), 'only a value of type = "bool" is on or off')
    if table.choices and table.type != "str":
        note((*at, "choices"), 'only a value of type = "str" has choices')
    if len(set(table.choices.values())) < len(table.choices):
        note((*at, "choices"), "two choices are written alike")
    return dict(table.choices.items())


def _check(at: KeyPath, table: ValueTable, value: Value, phrases: Phrases) -> None:
    note = phrases.mistakes.note
    if not value.is_readable and not value.write:
        note(at, "has neither `read` nor `write`: nothing can be done with it")
    for key, is_there in (
        ("limits", value.limits is not None),
        ("tolerance", value.tolerance is not None),
        ("invalid", value.invalid is not None),
    ):
        if is_there and value.dtype not in ("float", "int"):
            note((*at, key), f"a value of type {value.dtype!r} has none")
    if table.requires and table.read is None:
        note((*at, "requires"), "a value without `read` is not asked for")
    if value.is_polled and not value.is_readable:
        note((*at, "poll"), "a value without `read` cannot be polled")
    if value.reach_s and not (value.is_readable and value.write and value.verify):
        note((*at, "reach"), "only a value that is written and read back is waited for")
    if value.text is not None and (value.dtype != "str" or value.read or value.write):
        note((*at, "text"), 'belongs to a value of type = "str" that is neither read nor written')
    _check_waveform(at, table, value, phrases)


def _check_waveform(at: KeyPath, table: ValueTable, value: Value, phrases: Phrases) -> None:
    note = phrases.mistakes.note
    if value.dtype != "waveform":
        if value.shape:
            note((*at, "shape"), 'only a value of type = "waveform" has a shape')
        if table.read is not None and table.read.block:
            note((*at, "read", "block"), 'only a value of type = "waveform" comes as a block')
        return
    if not value.shape:
        note((*at, "shape"), "is missing; give it as shape = the number of points")
    if value.write or value.is_parameter or value.is_polled:
        note(at, "a waveform can only be read")


def fits(value: Value, given: Any) -> bool:
    """Whether `given` is a value of that type. A whole number may be written as 3.0."""
    if value.dtype in ("float", "int"):
        is_number = isinstance(given, int | float) and not isinstance(given, bool)
        return is_number and (value.dtype == "float" or float(given).is_integer())
    return type(given) is DTYPES.get(value.dtype)
