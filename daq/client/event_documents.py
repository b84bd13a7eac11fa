"""A run as event-model documents, for bluesky's callbacks, databroker and tiled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from daq.core import Column, RunOutcome
from daq.wire.convert import RecordedRun

__all__ = ["Document", "run_documents"]

Array = npt.NDArray[Any]
Document = tuple[str, dict[str, Any]]

_EXIT_STATUS = {
    RunOutcome.COMPLETED: "success",
    RunOutcome.STOPPED: "abort",
    RunOutcome.KILLED: "abort",
    RunOutcome.FAILED: "fail",
    RunOutcome.INTERRUPTED: "fail",
}
_WORDS = {"b": "boolean", "i": "integer", "u": "integer", "f": "number", "O": "string"}
PAGE_ROWS = 1000


def run_documents(
    run: RecordedRun, streams: Mapping[str, Mapping[str, Array]], *, pages: bool = False
) -> Iterator[Document]:
    """`(name, document)` from start to stop, in the order in which bluesky emits them.

    Args:
        run: The run's record.
        streams: For each stream its columns, with `time` (datetime64[ns]) among them.
        pages: Events as `event_page` of up to 1000 rows instead of one `event` each.
    """
    summary = run.summary
    yield "start", _start(run)
    counts = {}
    for stream in run.streams:
        table = streams.get(stream.name)
        if table is None:
            continue
        descriptor = _descriptor(run, stream.name, stream.columns)
        yield "descriptor", descriptor
        uid = descriptor["uid"]
        counts[stream.name] = len(table["time"])
        yield from _pages(uid, table) if pages else _events(uid, table)
    if summary.outcome is not None:
        yield (
            "stop",
            {
                "uid": f"{summary.run_id}-stop",
                "run_start": summary.run_id,
                "time": summary.ended_ns / 1e9,
                "exit_status": _EXIT_STATUS[summary.outcome],
                "reason": summary.reason,
                "num_events": counts,
            },
        )


def _start(run: RecordedRun) -> dict[str, Any]:
    summary, start = run.summary, run.start
    reserved = {
        "uid": summary.run_id,
        "time": summary.started_ns / 1e9,
        "daq": {
            "name": summary.name,
            "execution_id": summary.execution_id,
            "script_name": summary.script_name,
            "script_sha256": start.script_sha256,
            "parameters": dict(start.parameters),
            "path": summary.path,
        },
        "versions": dict(start.versions),
        "hints": _plot_hints(run),
    }
    document = {"plan_name": summary.name, **_wordy(summary.metadata), **reserved}
    if summary.user:
        document["owner"] = summary.user
    return document


def _wordy(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The user's metadata, without what event-model would misunderstand."""
    expected: dict[str, type | tuple[type, ...]] = {
        "scan_id": int, "group": str, "owner": str, "project": str, "sample": (str, dict),
        "data_groups": list, "projections": list, "data_type": dict,
    }  # fmt: skip
    return {
        key.replace(".", "_"): value
        for key, value in metadata.items()
        if isinstance(value, expected.get(key, object))
    }


def _plot_hints(run: RecordedRun) -> dict[str, Any]:
    axes = [
        column.name
        for stream in run.streams
        if stream.name == "primary"
        for column in stream.columns
        if column.role == "setpoint" and not column.shape
    ]
    hints: dict[str, Any] = {
        "dimensions": [([axis], "primary") for axis in axes] or [(["time"], "primary")]
    }
    if run.summary.metadata.get("plan_name") == "grid_scan" and len(axes) > 1:
        hints["gridding"] = "rectilinear"
    return hints


def _descriptor(run: RecordedRun, stream: str, columns: Sequence[Column]) -> dict[str, Any]:
    run_id = run.summary.run_id
    sources: dict[str, list[Column]] = {}
    for column in columns:
        sources.setdefault(column.source or "script", []).append(column)
    now = run.summary.started_ns / 1e9
    return {
        "uid": f"{run_id}-{stream}",
        "run_start": run_id,
        "time": now,
        "name": stream,
        "data_keys": {c.name: _data_key(c) for c in columns},
        "object_keys": {source: [c.name for c in own] for source, own in sources.items()},
        "hints": {
            source: {"fields": [c.name for c in own if not c.shape and c.dtype != "O"]}
            for source, own in sources.items()
        },
        "configuration": {
            source: _configuration(run.start.devices.get(source, {}), now) for source in sources
        },
    }


def _data_key(column: Column) -> dict[str, Any]:
    word = "array" if column.shape else _WORDS.get(np.dtype(column.dtype).kind, "array")
    key: dict[str, Any] = {
        "source": f"daq:{column.source}" if column.source else "daq:script",
        "dtype": word,
        "shape": list(column.shape),
        "units": column.units,
        "object_name": column.source or "script",
    }
    if column.dtype != "O":
        key["dtype_numpy"] = column.dtype
    return key


def _configuration(settings: Mapping[str, Any], now: float) -> dict[str, Any]:
    words = {bool: "boolean", int: "integer", float: "number", str: "string"}
    plain = {key: value for key, value in settings.items() if type(value) in words}
    return {
        "data": plain,
        "timestamps": dict.fromkeys(plain, now),
        "data_keys": {
            key: {"source": "daq", "dtype": words[type(value)], "shape": []}
            for key, value in plain.items()
        },
    }


def _seconds(table: Mapping[str, Array]) -> Array:
    nanoseconds: Array = table["time"].astype("datetime64[ns]").astype(np.int64)
    return nanoseconds / 1e9


def _events(descriptor: str, table: Mapping[str, Array]) -> Iterator[Document]:
    times = _seconds(table)
    columns = {name: values for name, values in table.items() if name != "time"}
    for row, moment in enumerate(times.tolist()):
        yield (
            "event",
            {
                "uid": f"{descriptor}-{row + 1}",
                "descriptor": descriptor,
                "seq_num": row + 1,
                "time": moment,
                "data": {name: _plain(values[row]) for name, values in columns.items()},
                "timestamps": dict.fromkeys(columns, moment),
                "filled": {},
            },
        )


def _pages(descriptor: str, table: Mapping[str, Array]) -> Iterator[Document]:
    times = _seconds(table).tolist()
    columns = {name: values for name, values in table.items() if name != "time"}
    for first in range(0, len(times), PAGE_ROWS):
        rows = range(first, min(first + PAGE_ROWS, len(times)))
        moments = times[rows.start : rows.stop]
        yield (
            "event_page",
            {
                "uid": [f"{descriptor}-{row + 1}" for row in rows],
                "descriptor": descriptor,
                "seq_num": [row + 1 for row in rows],
                "time": moments,
                "data": {
                    name: [_plain(value) for value in values[rows.start : rows.stop]]
                    for name, values in columns.items()
                },
                "timestamps": dict.fromkeys(columns, moments),
                "filled": {},
            },
        )


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
