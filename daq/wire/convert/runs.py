"""Runs on record: `daq.core.documents` to and from messages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from daq.core import Column, Event, RunOutcome, RunStart, RunSummary
from daq.core.values import plain, to_json
from daq.wire.convert.values import (
    clean,
    json_mapping_from_wire,
    json_mapping_to_wire,
    typed_to_wire,
)
from daq.wire.generated import daq as pb

__all__ = [
    "RecordedRun",
    "RecordedStream",
    "StreamLike",
    "event_to_wire",
    "run_detail_from_wire",
    "run_detail_to_wire",
    "run_from_wire",
    "run_to_wire",
]


class StreamLike(Protocol):
    """What is told about one stream of a run, by whatever class the storage has for it."""

    @property
    def name(self) -> str: ...
    @property
    def points(self) -> int: ...
    @property
    def columns(self) -> tuple[Column, ...]: ...


@dataclass(frozen=True, slots=True)
class RecordedStream:
    """One stream of a run, as it came over the wire."""

    name: str
    points: int
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """Everything about a run but its data, as it came over the wire."""

    summary: RunSummary
    start: RunStart
    streams: tuple[RecordedStream, ...]


def run_to_wire(summary: RunSummary) -> pb.RunInfo:
    return pb.RunInfo(
        run_id=summary.run_id,
        name=clean(summary.name),
        start_time_ns=summary.started_ns,
        end_time_ns=summary.ended_ns,
        outcome=summary.outcome.value if summary.outcome else "",
        reason=clean(summary.reason),
        by=clean(summary.by),
        user=clean(summary.user),
        execution_id=summary.execution_id,
        script_name=clean(summary.script_name),
        points=summary.points,
        path=clean(summary.path),
        metadata_json=json_mapping_to_wire(summary.metadata),
        metadata_typed_json=typed_to_wire(summary.metadata),
        other_points={clean(name): count for name, count in summary.other_points.items()},
        order_ns=summary.order_ns,
    )


def run_from_wire(message: pb.RunInfo) -> RunSummary:
    return RunSummary(
        run_id=message.run_id,
        name=message.name,
        started_ns=message.start_time_ns,
        ended_ns=message.end_time_ns,
        outcome=RunOutcome(message.outcome) if message.outcome else None,
        reason=message.reason,
        by=message.by,
        user=message.user,
        execution_id=message.execution_id,
        script_name=message.script_name,
        points=message.points,
        path=message.path,
        metadata=json_mapping_from_wire(message.metadata_json, message.metadata_typed_json),
        other_points=dict(message.other_points),
        order_ns=message.order_ns,
    )


def run_detail_to_wire(
    summary: RunSummary, start: RunStart, streams: Iterable[StreamLike]
) -> pb.RunDetail:
    return pb.RunDetail(
        info=run_to_wire(summary),
        parameters_json=json_mapping_to_wire(start.parameters),
        devices_json=json_mapping_to_wire(start.devices),
        parameters_typed_json=typed_to_wire(start.parameters),
        devices_typed_json=typed_to_wire(start.devices),
        versions={clean(name): clean(text) for name, text in start.versions.items()},
        host=clean(start.host),
        script_source=clean(start.script_source),
        script_sha256=start.script_sha256,
        streams=[
            pb.RunStream(s.name, s.points, [_column_to_wire(column) for column in s.columns])
            for s in streams
        ],
    )


def run_detail_from_wire(message: pb.RunDetail) -> RecordedRun:
    summary = run_from_wire(message.info)
    start = RunStart(
        run_id=summary.run_id,
        name=summary.name,
        started_ns=summary.started_ns,
        user=summary.user,
        metadata=summary.metadata,
        execution_id=summary.execution_id,
        script_name=summary.script_name,
        script_source=message.script_source,
        script_sha256=message.script_sha256,
        parameters=json_mapping_from_wire(message.parameters_json, message.parameters_typed_json),
        devices=json_mapping_from_wire(message.devices_json, message.devices_typed_json),
        versions=dict(message.versions),
        host=message.host,
    )
    streams = tuple(
        RecordedStream(s.name, s.points, tuple(_column_from_wire(c) for c in s.columns))
        for s in message.streams
    )
    return RecordedRun(summary, start, streams)


def _column_to_wire(c: Column) -> pb.RunColumn:
    return pb.RunColumn(
        clean(c.name),
        c.units,
        c.dtype,
        list(c.shape),
        clean(c.source),
        c.role,
        optional=c.optional,
        note=clean(c.note),
    )


def _column_from_wire(m: pb.RunColumn) -> Column:
    return Column(m.name, m.units, m.dtype, tuple(m.shape), m.source, m.role, m.optional, m.note)


def event_to_wire(event: Event) -> pb.RecordPointResponse:
    """An event's values as JSON; of an array only its shape, since `ReadRun` brings the data."""
    shown = {name: _brief(value) for name, value in event.values.items()}
    return pb.RecordPointResponse(
        sequence=event.sequence,
        values_json=json_mapping_to_wire(shown),
        values_typed_json={
            clean(name): to_json(value)
            for name, value in shown.items()
            if value is None or isinstance(value, complex)  # NaN is what null stands for here
        },
    )


def _brief(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.shape:
        return {"shape": list(value.shape)}
    return plain(value)
