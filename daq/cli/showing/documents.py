"""Any answer as plain JSON: what `--json` prints."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from daq.core import DaqError, ExecutionView

__all__ = ["error_document", "execution_document", "plain", "to_json"]


def to_json(document: Any, *, indent: int | None = None) -> str:
    """One JSON document; numbers that JSON does not know (NaN, infinity) become null."""
    return json.dumps(plain(document), indent=indent, ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """Dataclasses, enums, paths, mappings and arrays as what JSON is made of."""
    if value is None or (isinstance(value, bool | int) and not isinstance(value, Enum)):
        return value
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str | Path):
        return str(value)
    if isinstance(value, ExecutionView):
        return execution_document(value)
    return _composite(value)


def _composite(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return repr(value)


def error_document(error: DaqError) -> dict[str, str]:
    """What went wrong, for programs: the kind is stable, the message is for people."""
    return {"kind": error.kind, "message": error.message, "advice": error.advice}


def execution_document(view: ExecutionView) -> dict[str, Any]:
    """An execution with everything that is known about it on one level."""
    record = view.record
    fields = {f.name: plain(getattr(record, f.name)) for f in dataclasses.fields(record)}
    return {
        "execution_id": fields.pop("id"),
        "state": record.state.value,
        **fields,
        "started_ns": record.started_ns,
        "ended_ns": record.ended_ns,
        "source_line": view.source_line,
        "progress_message": view.progress_message,
        "elapsed_s": plain(view.elapsed_s),
        "remaining_s": plain(view.remaining_s),
        "queue_position": view.queue_position,
    }
