"""A run while it is open: reads devices, builds events, has them stored, then shows them."""

from __future__ import annotations

import platform
import socket
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
import trio

import daq
from daq.core import (
    Capability,
    Column,
    DaqError,
    Event,
    Measurement,
    OverloadError,
    RunOutcome,
    RunStart,
    RunStop,
    RunSummary,
    Scalar,
    ScriptError,
)
from daq.storage import RunRecorder, Storage, clean_text
from daq.supervision import Device, Supervisor

__all__ = ["LiveRun", "Provenance", "plain_values", "run_together", "software_versions"]

SETTINGS_TIMEOUT_S = 2.0
MAX_STREAMS = 1000
"""In one run; a script that makes a new one for each event has made a mistake."""


def software_versions() -> dict[str, str]:
    """What a run's record says about the software that made it."""
    names = ("numpy", "h5py", "trio", "grpclib", "RestrictedPython")
    return {
        "daq": daq.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a run comes from: the execution and the script behind it, or a person alone."""

    user: str = ""
    execution_id: str = ""
    script_id: str = ""
    script_name: str = ""
    script_source: str = ""
    script_sha256: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Stream:
    """A table of events with one set of columns."""

    name: str
    columns: tuple[Column, ...]
    count: int = 0


class LiveRun:
    """An open run. Everything that it stores is acknowledged before anybody is shown it."""

    def __init__(self, recorder: RunRecorder, supervisor: Supervisor, name: str) -> None:
        self._recorder = recorder
        self._supervisor = supervisor
        self._streams: dict[str, _Stream] = {}
        self._tables: dict[tuple[str, tuple[Column, ...]], _Stream] = {}
        """By the name that was asked for."""
        self.name = name

    @property
    def run_id(self) -> str:
        return self._recorder.run_id

    @classmethod
    async def open(
        cls,
        storage: Storage,
        supervisor: Supervisor,
        provenance: Provenance,
        name: str,
        metadata: Mapping[str, Any],
        now_ns: int,
        durability: str = "process",
        on_begun: Callable[[LiveRun], None] | None = None,
    ) -> LiveRun:
        """Open a run: notes down everything that is known, including all devices' settings.

        `on_begun` gets it before it is ready, and with it the duty to close it, whatever happens.
        """
        start = RunStart(
            run_id=uuid.uuid4().hex,
            name=name,
            started_ns=now_ns,
            user=provenance.user,
            metadata=dict(metadata),
            execution_id=provenance.execution_id,
            script_id=provenance.script_id,
            script_name=provenance.script_name,
            script_source=provenance.script_source,
            script_sha256=provenance.script_sha256,
            parameters=provenance.parameters,
            devices=await _settings(supervisor),
            versions=software_versions(),
            host=socket.gethostname(),
            durability=durability,
        )
        if on_begun is None:
            return cls(await storage.open_run(start), supervisor, name)
        begun: list[LiveRun] = []

        def begin(recorder: RunRecorder) -> None:
            begun.append(cls(recorder, supervisor, name))
            on_begun(begun[0])

        await storage.open_run(start, begin)
        return begun[0]

    async def acquire(self, device_ids: Sequence[str]) -> list[Measurement]:
        """Read the devices, several at once; may be cancelled, nothing is stored yet."""
        return await self._supervisor.acquire(device_ids)

    async def store(
        self, blocks: Sequence[Measurement], values: Mapping[str, Any], stream: str, now_ns: int
    ) -> Event:
        """Store one event made of measurements and the caller's own values, then publish it.

        Raises StorageError when it could not be acknowledged.
        """
        own = [(clean_text(name), _own_value(name, value)) for name, value in values.items()]
        columns = tuple(self._column(block) for block in blocks) + tuple(
            _own_column(name, value) for name, value in own
        )
        table = self._stream(clean_text(stream), columns)
        row = {block.channel: block.last() for block in blocks} | dict(own)
        if len(row) != len(columns):
            raise ScriptError(
                f"an event has one value per name, but these came twice: {_twice(columns)}"
            )
        times = {block.channel: int(block.timestamps[-1]) for block in blocks}
        event = Event(
            table.name, table.count, now_ns, columns, row, times | {n: now_ns for n, _ in own}
        )
        await self._recorder.append(event)
        table.count += 1
        for block in blocks:
            device = self._supervisor.device(block.channel.partition(".")[0])
            await device.publish(block.in_event(event.sequence))
        return event

    async def close(self, outcome: RunOutcome, now_ns: int, reason: str, by: str) -> RunSummary:
        """Close the run; returns when its file is complete."""
        return await self._recorder.close(RunStop(outcome, now_ns, reason, by))

    def _column(self, block: Measurement) -> Column:
        device_id = block.channel.partition(".")[0]
        capabilities = self._supervisor.device(device_id).description.capabilities
        role = "positioner" if Capability.MOVABLE in capabilities else "detector"
        return Column(
            block.channel, block.units, block.values.dtype.str, block.sample_shape, device_id, role
        )

    def _stream(self, name: str, columns: tuple[Column, ...]) -> _Stream:
        """The table for these columns: another set of columns under one name gets its own."""
        stream = self._streams.get(name)
        if stream is None or stream.columns != columns:
            stream = self._tables.get((name, columns))
        if stream is None:
            stream = self._tables[name, columns] = self._new_stream(name, columns)
        return stream

    def _new_stream(self, name: str, columns: tuple[Column, ...]) -> _Stream:
        if len(self._streams) >= MAX_STREAMS:
            raise OverloadError(
                f"run {self.name!r} has {MAX_STREAMS} streams already, which is the limit",
                advice="a stream is a set of columns: record the same ones each time, and put "
                "what differs into a value",
            )
        for number in range(1, len(self._streams) + 2):
            candidate = name if number == 1 else f"{name}_{number}"
            stream = self._streams.setdefault(candidate, _Stream(candidate, columns))
            if stream.columns == columns:
                return stream
        raise AssertionError("one more name than streams always fits")


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


async def _settings(supervisor: Supervisor) -> dict[str, Mapping[str, Scalar]]:
    """Every device's settings; one that does not answer in time is left out, not waited for."""
    settings: dict[str, Mapping[str, Scalar]] = {}

    async def ask(device: Device) -> None:
        with trio.move_on_after(SETTINGS_TIMEOUT_S):
            settings[device.id] = await device.settings()

    async with trio.open_nursery() as nursery:
        for device in supervisor.devices():
            nursery.start_soon(ask, device)
    return dict(sorted(settings.items()))


def _own_value(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return value
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        array = np.empty(0)
    if array.dtype.kind not in "biuf" or array.size == 0:
        raise ScriptError(
            f"record({name}=...) takes a number, a string or an array of numbers, not {value!r:.80}"
        )
    return array if array.ndim else array[()]


def _own_column(name: str, value: Any) -> Column:
    if isinstance(value, str):
        return Column(name, "", "O")
    array = np.asarray(value)
    return Column(name, "", array.dtype.str, array.shape)


def _twice(columns: Sequence[Column]) -> str:
    names = [column.name for column in columns]
    return ", ".join(sorted({name for name in names if names.count(name) > 1}))


def plain_values(event: Event) -> dict[str, Any]:
    """Column to value, numpy scalars as Python's own."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in event.values.items()
    }
