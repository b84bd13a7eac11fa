"""A run while it is open: reads devices, builds events, has them stored, then shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import trio

from daq.core import (
    Column,
    DaqError,
    Event,
    Measurement,
    OverloadError,
    RunOutcome,
    RunStop,
    RunSummary,
    ScriptError,
    brief,
    require_small,
    split_target,
)
from daq.core.values import recordable
from daq.storage import RunRecorder, clean_text
from daq.supervision import Supervisor

__all__ = ["LiveRun", "plain_values", "refuse_repeated", "run_together"]

MAX_STREAMS = 1000
"""In one run; a script that makes a new one for each event has made a mistake."""
MAX_COLUMNS = 32_768
"""Of one event. What belongs together is one column: an array."""
_INLINE_ITEMS, _INLINE_CHARACTERS = 256, 1 << 16
"""Of an event's values, at all depths: to look at them takes some milliseconds."""
MAX_NAME = 500
"""Characters in the name of a column or a stream."""


class LiveRun:
    """An open run. Everything that it stores is acknowledged before anybody is shown it."""

    def __init__(self, recorder: RunRecorder, supervisor: Supervisor) -> None:
        self._recorder = recorder
        self._supervisor = supervisor
        self._counts: dict[str, int] = {}
        """Events by stream."""
        self._motions = {
            channel: times
            for device in supervisor.devices()
            for channel, times in device.motions.items()
        }
        """Of each device before the run: one that was moved since is an axis."""

    @property
    def run_id(self) -> str:
        return self._recorder.run_id

    @property
    def name(self) -> str:
        return self._recorder.start.name

    async def wait_ready(self) -> None:
        """Wait until it takes events; raises StorageError when it never will."""
        await self._recorder.wait_ready()

    async def store(
        self,
        blocks: Sequence[Measurement],
        values: Mapping[str, Any],
        stream: str,
        now_ns: int,
        units: Mapping[str, str] = MappingProxyType({}),
    ) -> Event:
        """Store one event made of measurements and the caller's own values, then publish it.

        A value that is None is missing; `units` are of those values that have some. Raises
        ParameterError that names the value that cannot be kept, StorageError when the event could
        not be acknowledged.
        """
        if len(blocks) + len(values) > MAX_COLUMNS:
            raise OverloadError(
                f"an event has at most {MAX_COLUMNS} columns, not {len(blocks) + len(values)}; "
                "nothing was stored",
                advice="record what belongs together as one array",
            )
        for name in (stream, *values, *units.values()):
            if len(name) > MAX_NAME:
                raise OverloadError(
                    f"the name {brief(name)!r} is too long: the limit is {MAX_NAME} characters"
                )
        if _is_light(values):
            own, own_columns = _described(values, units)
        else:
            own, own_columns = await trio.to_thread.run_sync(_described, values, units)
        columns = tuple(self._column(block) for block in blocks) + own_columns
        row = {block.channel: _measured(block) for block in blocks} | dict(own)
        if len(row) != len(columns):
            raise ScriptError(
                f"an event has one value per name, but these came twice: {_twice(columns)}"
            )
        if not columns:
            raise ScriptError("there is nothing to record: name devices, or give values")
        stream = clean_text(stream)
        count = self._next_in(stream)
        times = {block.channel: int(block.timestamps[-1]) for block in blocks}
        event = Event(stream, count, now_ns, columns, row, times | {n: now_ns for n, _ in own})
        await self._recorder.append(event)
        self._counts[stream] = count + 1
        for block in blocks:
            device = self._supervisor.device(block.channel.partition(".")[0])
            await device.publish(block.in_event(event.sequence))
        return event

    async def close(self, outcome: RunOutcome, now_ns: int, reason: str, by: str) -> RunSummary:
        """Close the run; returns when its file is complete."""
        return await self._recorder.close(RunStop(outcome, now_ns, reason, by))

    def _column(self, block: Measurement) -> Column:
        device_id, _ = split_target(block.channel)
        role = self._role(block.channel, device_id)
        long = {"g": "<f8", "G": "<c16"}.get(block.values.dtype.char)
        dtype = long or block.values.dtype.str
        return Column(block.channel, block.units, dtype, block.sample_shape, device_id, role)

    def _role(self, channel: str, device_id: str) -> str:
        """What was moved in this run is an axis; what is only read along is not."""
        moved = self._supervisor.device(device_id).motions[channel]
        return "positioner" if moved > self._motions.get(channel, 0) else "detector"

    def _next_in(self, stream: str) -> int:
        """The number of the next event of a stream."""
        if stream not in self._counts and len(self._counts) >= MAX_STREAMS:
            raise OverloadError(
                f"run {self.name!r} has {MAX_STREAMS} streams already, which is the limit",
                advice="record into the same streams each time, and put what differs into a value",
            )
        return self._counts.get(stream, 0)


async def run_together(steps: Sequence[Any]) -> None:
    """Await all steps at the same time; the first failure cancels the others and is raised bare.

    A script that scans two motors should see `LimitError`, not a group of one.
    """
    failures: list[DaqError] = []

    async def run(step: Any, nursery: trio.Nursery) -> None:
        try:
            await step()
        except DaqError as error:
            failures.append(error)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for step in steps:
            nursery.start_soon(run, step, nursery)
    if failures:
        raise failures[0]


def _measured(block: Measurement) -> Any:
    """What a device gave; a long double as the nearest float, which is all that files know."""
    value = block.last()
    return recordable(value, block.channel) if block.values.dtype.char in "gG" else value


def _is_light(values: Mapping[str, Any]) -> bool:
    try:
        require_small(
            values, "", items=_INLINE_ITEMS, characters=_INLINE_CHARACTERS, depth=_INLINE_ITEMS
        )
    except OverloadError:
        return False
    return True


def _described(
    values: Mapping[str, Any], units: Mapping[str, str]
) -> tuple[list[tuple[str, Any]], tuple[Column, ...]]:
    """The caller's own values as they are stored, by name, and the column of each."""
    own = [
        (clean_text(name), recordable(value, f"record({name}=...)"))
        for name, value in values.items()
    ]
    columns = (
        _own_column(name, value, units.get(given, ""))
        for given, (name, value) in zip(values, own, strict=True)
    )
    return own, tuple(columns)


def _own_column(name: str, value: Any, units: str) -> Column:
    if value is None:
        return Column(name, units, "<f8", optional=True)
    if isinstance(value, str):
        return Column(name, units, "O")
    array = np.asarray(value)
    return Column(name, units, array.dtype.str, array.shape)


def _twice(columns: Sequence[Column]) -> str:
    return _repeated(column.name for column in columns)


def refuse_repeated(device_ids: Sequence[str]) -> None:
    """Raise ScriptError before anything is read when a device is named twice."""
    if len(set(device_ids)) < len(device_ids):
        raise ScriptError(
            f"an event has one value per name, but these came twice: {_repeated(device_ids)}"
        )


def _repeated(names: Iterable[str]) -> str:
    return brief(", ".join(sorted(name for name, count in Counter(names).items() if count > 1)))


def plain_values(event: Event) -> dict[str, Any]:
    """Column to value, numpy scalars as Python's own."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in event.values.items()
    }
