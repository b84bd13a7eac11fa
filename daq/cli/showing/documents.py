"""Any answer as plain JSON: what `--json` prints."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from daq.core import DaqError, ExecutionView
from daq.core.values import plain, strict_json, to_jsonable

__all__ = ["as_document", "error_document", "execution_document", "to_json"]


def to_json(document: Any, *, indent: int | None = None) -> str:
    """One JSON document; NaN is null, infinity a number beyond the largest: `1e999`."""
    return strict_json(as_document(document), indent=indent, ensure_ascii=False)


def as_document(value: Any) -> Any:
    """An answer as what JSON is made of: records field by field, values by the one rule."""
    if isinstance(value, ExecutionView):
        return execution_document(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_document(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_document(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_document(item) for item in value]
    return to_jsonable(plain(value), typed=False)


def error_document(error: DaqError) -> dict[str, str]:
    """What went wrong, for programs: the kind is stable, the message is for people."""
    return {"kind": error.kind, "message": error.message, "advice": error.advice}


def execution_document(view: ExecutionView) -> dict[str, Any]:
    """An execution with everything that is known about it on one level."""
    record = view.record
    fields = {f.name: as_document(getattr(record, f.name)) for f in dataclasses.fields(record)}
    return {
        "execution_id": fields.pop("id"),
        "state": record.state.value,
        **fields,
        "started_ns": record.started_ns,
        "ended_ns": record.ended_ns,
        "source_line": view.source_line,
        "progress_message": view.progress_message,
        "elapsed_s": view.elapsed_s,
        "remaining_s": view.remaining_s,
        "queue_position": view.queue_position,
        "result": as_document(view.result),
        "result_refused": view.result_refused,
    }
