"""Runs and events: `open_run` and `record`, and what the plans build on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np

from daq.core import CloseRun, OpenRun, Point, Quantity, Record
from daq.core.values import plain_mapping, recordable
from daq.scripting.child.devices import device_id
from daq.scripting.child.session import ScriptStop, Session

__all__ = ["Run", "Runs"]

_MAX_REASON = 500
_PRIMARY = "primary"
_ASIDE = "per_point"


class Run:
    """`with open_run(...) as run`: a run that is open inside of the block."""

    __slots__ = ("_durability", "_metadata", "_runs", "id", "name")

    def __init__(self, runs: Runs, name: str, metadata: Mapping[str, Any], durability: str) -> None:
        self._runs = runs
        self._metadata = metadata
        self._durability = durability
        self.name = name
        self.id = ""

    def __enter__(self) -> Self:
        self.id = self._runs.begin(self.name, self._metadata, self._durability)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        self._runs.end(error)
        return False

    def __repr__(self) -> str:
        return f"<run '{self.name}' {self.id or 'not open yet: use it with with'}>"


class Runs:
    """Which run is open, and what is recorded in it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._open = False
        self._stream = _PRIMARY
        """Where goes what names no stream."""

    def open_run(self, name: str, /, *, durability: str = "process", **metadata: Any) -> Run:
        """A run for a `with` block; the metadata is stored with it.

        With `durability="disk"` what it records survives a power cut too, at the price of an fsync
        for each event.
        """
        for what, text in (("name", name), ("durability", durability)):
            if not isinstance(text, str):
                raise TypeError(f"a run's {what} is text, not {type(text).__name__}")
        return Run(self, name, metadata, durability)

    def begin(self, name: str, metadata: Mapping[str, Any], durability: str) -> str:
        """Open a run; returns its id."""
        run_id = str(self._session.request(OpenRun(name, plain_mapping(metadata), durability)))
        self._open = True
        return run_id

    def end(self, error: BaseException | None) -> None:
        """Close the open run, as failed when an error (not a stop) came out of it."""
        self._open = False
        failed = error is not None and not isinstance(error, ScriptStop | GeneratorExit)
        reason = f"{type(error).__name__}: {error}"[:_MAX_REASON] if failed else ""
        self._session.request(CloseRun(failed, reason))

    @contextmanager
    def own(self, name: str, metadata: Mapping[str, Any]) -> Iterator[None]:
        """A run for a plan, unless one is open already."""
        if self._open:
            yield
            return
        with self.open_run(name, **metadata):
            yield

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What is recorded meanwhile goes to a stream of its own, unless it names one."""
        outer = self._stream
        self._stream = _ASIDE if outer == _PRIMARY else f"{outer}_{_ASIDE}"
        try:
            yield
        finally:
            self._stream = outer

    def record(
        self, *devices: object, stream: str = "", no_value: bool = False, **values: Any
    ) -> dict[str, Any]:
        """Read the devices and store one event; returns {column: value} as stored.

        With `no_value` a reading that is invalid now, such as an overload, is stored as nan.
        """
        names, named = list(map(device_id, devices)), stream or self._stream
        units = _units(values)
        return self._record(Record(names, _recordable(values), named, bool(no_value), units))

    def point(
        self,
        moves: Mapping[str, float],
        devices: Sequence[str],
        dwell: float = 0.0,
        values: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Move all, settle, dwell, read all and store, in one request."""
        positions = {device: float(position) for device, position in moves.items()}
        return self._record(
            Point(
                positions,
                list(devices),
                float(dwell),
                _recordable(values or {}),
                self._stream,
                _units(values or {}),
            )
        )

    def _record(self, request: Record | Point) -> dict[str, Any]:
        stored: dict[str, Any] = self._session.request(request)
        self._open = True  # by the engine, if it was not: a script that records has a run
        return stored


def _units(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: value.units for name, value in values.items() if isinstance(value, Quantity)}


def _recordable(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an event; numbers as arrays, so that they keep their type on the way."""
    kept = {name: recordable(value, f"record({name}=...)") for name, value in values.items()}
    return {n: v if v is None or isinstance(v, str) else np.asarray(v) for n, v in kept.items()}
