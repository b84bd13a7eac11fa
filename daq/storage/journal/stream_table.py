"""The table that a stream of events is: which columns it has by now, and how an event fits in.

It only ever widens, so that whatever was written before is still true. See `daq.core.columns`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from daq.core import Column, Event, StorageError
from daq.core.columns import is_exact, joined

__all__ = ["MOST_WIDENINGS", "StreamTable", "whole_columns"]

MOST_WIDENINGS = 256
"""Of one stream; a script that records other names each time has made a mistake."""

_MOST_PLANS = 64
_LONG = ("i8", "u8")
_KINDS = {"b": "truth", "i": "whole number", "u": "whole number", "f": "number", "c": "complex"}


@dataclass(slots=True)
class _State:
    """A column, and what is known of its values."""

    column: Column
    empty: bool = False
    """Nothing but missing values so far: the first value decides what it is."""
    inexact: bool = False
    """It holds a whole number that is none as a float."""


class StreamTable:
    """The columns of one stream, and where the values of each name belong."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self.states: dict[str, _State] = {}
        self.widenings = 0
        self.homes: dict[str, tuple[str, ...]] = {}
        """The name that was recorded to the columns that hold values of that name."""
        self._plans: dict[tuple[Column, ...], tuple[str, ...]] = {}
        """Where the values of an event with these columns go, without any widening."""
        self.rows = 0

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns so far, in the order in which they came."""
        return tuple(state.column for state in self.states.values())

    def begin(self, event: Event) -> None:
        """Take the columns of the first event as they are."""
        for column in event.columns:
            self._add(column.name, column, event.values.get(column.name))
        self.rows = 1

    def note(self, event: Event, whole: tuple[str, ...]) -> None:
        """Note an event that has the table's own columns; `whole` are those of 64 bit integers."""
        self.rows += 1
        for name in whole:
            if not is_exact(event.values[name]):
                self.states[name].inexact = True

    def fit(self, event: Event) -> tuple[StreamTable, dict[str, Any], dict[str, int]]:
        """The table with room for the event, and its values and times by the table's columns.

        A table that must widen is another one, and this one stays as it is: what does not come to
        be stored has widened nothing.
        """
        homes = self._plans.get(event.columns)
        if homes is not None and not self._loses(event, homes):
            return self, *self._moved(event, homes)
        wide = self._copy()
        homes = wide.make_room(event)
        if wide.columns == self.columns:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            self.states, self._plans[event.columns] = wide.states, homes
            return self, *self._moved(event, homes)
        if wide.widenings > MOST_WIDENINGS:
            raise StorageError(
                f"stream {self._stream!r} got other columns {MOST_WIDENINGS} times, which is the "
                "limit",
                advice="record the same names each time, and put what differs into a value",
            )
        return wide, *wide.fit(event)[1:]

    def make_room(self, event: Event) -> tuple[str, ...]:
        """Widen so that the event fits; the columns in which its values belong."""
        self.widenings += 1
        homes = tuple(self._place(column, event.values[column.name]) for column in event.columns)
        for name, state in self.states.items():
            if name not in homes and not state.column.optional:
                state.column = replace(state.column, optional=True)
        self._plans[event.columns] = homes
        return homes

    def _loses(self, event: Event, homes: tuple[str, ...]) -> bool:
        """Whether a whole number, so large that it is none as a float, would become one."""
        return any(
            np.dtype(self.states[home].column.dtype).kind in "fc"
            and not is_exact(event.values[column.name])
            for column, home in zip(event.columns, homes, strict=True)
            if column.dtype[1:] in _LONG
        )

    def _moved(self, event: Event, homes: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, int]]:
        """The event's values and times under the names of their columns."""
        self.rows += 1
        values: dict[str, Any] = {}
        times: dict[str, int] = {}
        for column, home in zip(event.columns, homes, strict=True):
            value, state = event.values[column.name], self.states[home]
            times[home] = event.timestamps.get(column.name, event.timestamp_ns)
            if value is not None:
                values[home] = _cast(value, state.column)
                state.empty = False
                if column.dtype[1:] in _LONG and not is_exact(value):
                    state.inexact = True
        return values, times

    def _copy(self) -> StreamTable:
        other = StreamTable(self._stream)
        other.states = {name: replace(state) for name, state in self.states.items()}
        other.homes = dict(self.homes)
        other.widenings, other.rows = self.widenings, self.rows
        return other

    def _place(self, column: Column, value: Any) -> str:
        """The column that takes the value, widened as need be; a new one when none can."""
        homes = self.homes.get(column.name, ())
        if value is None and homes:
            state = self.states[homes[0]]
            state.column = replace(state.column, optional=True)
            return homes[0]
        exact = column.dtype[1:] not in _LONG or is_exact(value)
        for name in homes:
            state = self.states[name]
            if state.empty:
                wider: Column | None = replace(column, name=name, optional=True, note="")
            else:
                wider = joined(state.column, column, exact=exact and not state.inexact)
            if wider is not None:
                state.column = wider
                state.empty = value is None
                state.inexact = state.inexact or not exact
                return name
        return self._add_apart(column, value, homes)

    def _add_apart(self, column: Column, value: Any, homes: tuple[str, ...]) -> str:
        name, note = column.name, ""
        if homes:
            first = self.states[homes[0]].column
            kind = _difference(first, column)
            name = f"{column.name} ({kind})"
            note = f"values of {column.name!r} that do not fit beside the others: {kind}"
        while name in self.states:
            name += "_"
        if name != column.name and not note:
            note = f"recorded as {column.name!r}, a name that was taken"
        late = replace(column, name=name, note=note, optional=self.rows > 0)
        self._add(column.name, late, value)
        return name

    def _add(self, recorded: str, column: Column, value: Any) -> None:
        optional = column.optional or value is None
        self.states[column.name] = _State(
            replace(column, optional=optional) if optional else column,
            empty=value is None,
            inexact=value is not None and column.dtype[1:] in _LONG and not is_exact(value),
        )
        self.homes[recorded] = (*self.homes.get(recorded, ()), column.name)


def _difference(first: Column, other: Column) -> str:
    """In a word, what sets `other` apart."""
    if other.source != first.source:
        return other.source or "given"
    if other.units != first.units:
        return other.units or "no units"
    if other.dtype == "O":
        return "text"
    if len(other.shape) != len(first.shape):
        return f"{len(other.shape)}-d" if other.shape else "scalar"
    return _KINDS.get(np.dtype(other.dtype).kind, other.dtype)


def _cast(value: Any, column: Column) -> Any:
    if column.dtype == "O":
        return value
    return np.asarray(value).astype(column.dtype, copy=False)[()]


def whole_columns(columns: tuple[Column, ...]) -> tuple[str, ...]:
    """Names of those whose numbers may be too large for a float."""
    return tuple(c.name for c in columns if c.dtype[1:] in _LONG)
