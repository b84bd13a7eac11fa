"""A run as event-model documents: what bluesky's callbacks, databroker and tiled understand.

Pure: values in, plain dictionaries out, the same while the run goes on and when it is read back,
uids included. Samples that are too large for a document (frames, long waveforms) stay where they
are: a `stream_resource` names the run's HDF5 file and the dataset, a `stream_datum` the rows.
Without a file to point to they are in the events, as arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from daq.core import Column, EventBlock, RunOutcome, RunStart, RunStop, planned_axes
from daq.core.columns import with_nan
from daq.core.names import unique_names
from daq.wire.hdf5_names import ENTRY_PARTS, STREAM_PARTS, dataset_name

__all__ = ["Document", "DocumentComposer", "compose_documents", "unpack_page"]

Document = tuple[str, dict[str, Any]]
"""The name of a document (`start`, `descriptor`, `event_page`, ...), and the document."""

_EXTERNAL_BYTES = 64 << 10
_NS = 1_000_000_000
_STATUS = {
    RunOutcome.COMPLETED: "success",
    RunOutcome.STOPPED: "abort",
    RunOutcome.KILLED: "abort",
    RunOutcome.FAILED: "fail",
    RunOutcome.INTERRUPTED: "fail",
}
_TAKEN: dict[str, type | tuple[type, ...]] = {
    "uid": (), "time": (), "daq": (), "versions": (), "hints": dict, "projections": list,
    "data_groups": list, "data_type": dict, "scan_id": int, "sample": (str, dict), "owner": str,
    "group": str, "project": str, "data_session": str,
}  # fmt: skip
"""Keys of a start document that mean something, and as what; another value gets a `_` behind."""
_KINDS = {"b": "boolean", "i": "integer", "u": "integer", "O": "string"}


def compose_documents(
    start: RunStart,
    blocks: Iterable[EventBlock],
    stop: RunStop | None,
    uri: str = "",
    axes: Sequence[str] = (),
) -> Iterator[Document]:
    """All documents of a run that was read back; without a `stop` the run is still open."""
    composer = DocumentComposer(start, uri, axes)
    yield composer.begin()
    for block in blocks:
        yield from composer.events(block)
    if stop is not None:
        yield composer.end(stop)


class DocumentComposer:
    """Makes the documents of one run, as its events come.

    Args:
        start: How the run began.
        uri: Where its HDF5 file is, or will be; empty to put large samples into the events.
        axes: The columns of the main stream that were moved, for a run without a plan's metadata,
            where they are known by now.
    """

    def __init__(self, start: RunStart, uri: str = "", axes: Sequence[str] = ()) -> None:
        self._start = start
        self._uri = uri
        self._axes = tuple(planned_axes(start.metadata) or axes)
        self._descriptors: dict[str, str] = {}
        self._columns: dict[str, tuple[Column, ...]] = {}
        self._names: dict[str, dict[str, str]] = {}
        """Stream to the keys of its columns: documents take no `.` and no `/` in them."""
        self._versions: dict[str, int] = {}
        self._groups: dict[str, str] = {}
        """Stream to its group in the file."""
        self._counts: dict[str, int] = {}

    def begin(self) -> Document:
        """The start document."""
        start = self._start
        hints = {"hints": self._hints()} if self._axes else {}
        # bluesky's tables end with the kind and the number of the scan, and fail without them. The
        # number has to be small and to grow: the second in which the run began.
        known = {
            "plan_name": start.name,
            "plan_type": "generator",
            "scan_id": int(start.started_ns / _NS),
        }
        document = {**known, **hints, **_metadata(start.metadata)} | {
            "uid": start.run_id,
            "time": start.started_ns / _NS,
            "daq": {
                "name": start.name,
                "host": start.host,
                "execution_id": start.execution_id,
                "script_name": start.script_name,
                "script_sha256": start.script_sha256,
                "parameters": _keys(start.parameters),
            },
            "versions": _keys(start.versions),
        }
        if start.user:
            document["owner"] = start.user
        return "start", document

    def _hints(self) -> dict[str, Any]:
        """What to plot against."""
        hints: dict[str, Any] = {"dimensions": [([_key(axis)], "primary") for axis in self._axes]}
        metadata = self._start.metadata
        shape = metadata.get("shape")  # of a grid it has a number for each motor
        is_grid = isinstance(shape, list) and len(shape) == len(self._axes) > 1
        if is_grid and "extents" in metadata:
            hints["gridding"] = "rectilinear"
        return hints

    def events(self, block: EventBlock) -> list[Document]:
        """The documents of some events of a stream, its descriptor before the first of them.

        A stream whose columns widen while it is followed goes on under a further descriptor.
        """
        documents: list[Document] = []
        if self._columns.get(block.stream) != block.columns:
            documents = self._descriptor(block)
        count = len(block.timestamps)
        self._counts[block.stream] = block.first + count
        return [*documents, self._page(block), *self._datums(block)]

    def end(self, stop: RunStop) -> Document:
        """The stop document."""
        document = {
            "uid": self._uid("stop"),
            "time": stop.ended_ns / _NS,
            "run_start": self._start.run_id,
            "exit_status": _STATUS[stop.outcome],
            "outcome": stop.outcome.value,
            "reason": stop.reason,
            "stopped_by": stop.by,
            "num_events": dict(self._counts),
        }
        return "stop", document

    def _uid(self, what: str) -> str:
        """The same for the same part of the same run, whenever it is asked for."""
        return f"{self._start.run_id}-{what}"

    def _is_external(self, column: Column) -> bool:
        large = len(column.shape) > 1 or _sample_bytes(column) >= _EXTERNAL_BYTES
        return bool(self._uri) and large and not column.varies

    def _descriptor(self, block: EventBlock) -> list[Document]:
        version = self._versions[block.stream] = self._versions.get(block.stream, 0) + 1
        again = f"-v{version}" if version > 1 else ""
        uid = self._uid(f"{_uid_part(block.stream)}{again}")
        self._descriptors[block.stream] = uid
        self._columns[block.stream] = block.columns
        names = unique_names((c.name for c in block.columns), clean=_key)
        self._names[block.stream] = names
        if block.stream not in self._groups:
            taken = [*ENTRY_PARTS, *self._groups.values()]
            self._groups[block.stream] = dataset_name(block.stream, taken)
        keys: dict[str, list[str]] = {}
        for column in block.columns:
            keys.setdefault(column.source or "script", []).append(names[column.name])
        plotted = {names[column.name] for column in block.columns if _is_plotted(column)}
        document = {
            "uid": uid,
            "run_start": self._start.run_id,
            "time": int(block.timestamps[0]) / _NS,
            "name": block.stream,
            "data_keys": {names[c.name]: self._data_key(c) for c in block.columns},
            "object_keys": keys,
            "configuration": {name: self._configuration(name) for name in keys},
            "hints": {
                name: {"fields": [field for field in fields if field in plotted]}
                for name, fields in keys.items()
            },
        }
        outside = [column for column in block.columns if self._is_external(column)]
        datasets = _dataset_names(block.columns) if outside else {}
        resources = [self._resource(block.stream, c, datasets[c.name]) for c in outside]
        return [("descriptor", document), *resources]

    def _data_key(self, column: Column) -> dict[str, Any]:
        kind = np.dtype(column.dtype).kind
        if column.optional and kind in "biu":
            kind = "f"  # what is missing is NaN
        key = {
            "source": f"device:{column.source}" if column.source else "script",
            "dtype": "array" if column.shape else _KINDS.get(kind, "number"),
            "shape": [length or None for length in column.shape],
            "units": column.units,
            "object_name": column.source or "script",
            "role": column.role,
            "column": column.name,
        }
        if column.note:
            key["note"] = column.note
        if kind != "O":
            key["dtype_numpy"] = np.dtype(column.dtype).str
        if self._is_external(column):
            # One row of the stream is one sample.
            key |= {"external": "STREAM:", "shape": [1, *column.shape]}
        return key

    def _configuration(self, device: str) -> dict[str, Any]:
        settings = self._start.devices.get(device, {})
        began = self._start.started_ns / _NS
        return {
            "data": dict(settings),
            "timestamps": dict.fromkeys(settings, began),
            "data_keys": {
                name: {"source": f"device:{device}", "dtype": _kind_of(value), "shape": []}
                for name, value in settings.items()
            },
        }

    def _resource(self, stream: str, column: Column, dataset: str) -> Document:
        document = {
            "uid": self._resource_uid(stream, column),
            "run_start": self._start.run_id,
            "data_key": self._names[stream][column.name],
            "mimetype": "application/x-hdf5",
            "uri": self._uri,
            "parameters": {
                "dataset": f"/entry/{self._groups[stream]}/{dataset}",
                "chunk_shape": [1, *column.shape],
            },
        }
        return "stream_resource", document

    def _resource_uid(self, stream: str, column: Column) -> str:
        version = self._versions[stream]
        again = f"-v{version}" if version > 1 else ""
        return self._uid(f"{_uid_part(stream)}{again}-{_uid_part(column.name)}-file")

    def _page(self, block: EventBlock) -> Document:
        uid, names = self._descriptors[block.stream], self._names[block.stream]
        times = _seconds(block.timestamps)
        numbers = range(block.first + 1, block.first + 1 + len(times))
        inside = [c for c in block.columns if not self._is_external(c)]
        document = {
            "descriptor": uid,
            "seq_num": list(numbers),
            "uid": [f"{uid}-{number}" for number in numbers],
            "time": times,
            "data": {names[c.name]: _plain(block.values[c.name]) for c in inside},
            "timestamps": {names[c.name]: _times(block, c, times) for c in inside},
            "filled": {},
        }
        return "event_page", document

    def _datums(self, block: EventBlock) -> Iterator[Document]:
        end = block.first + len(block.timestamps)
        for column in block.columns:
            if self._is_external(column):
                resource = self._resource_uid(block.stream, column)
                document = {
                    "uid": f"{resource}/{block.first}",
                    "stream_resource": resource,
                    "descriptor": self._descriptors[block.stream],
                    "indices": {"start": block.first, "stop": end},
                    "seq_nums": {"start": block.first + 1, "stop": end + 1},
                }
                yield "stream_datum", document


def unpack_page(page: Mapping[str, Any]) -> Iterator[Document]:
    """The events of an `event_page`, one by one."""
    for row, number in enumerate(page["seq_num"]):
        document = {
            "descriptor": page["descriptor"],
            "seq_num": number,
            "uid": page["uid"][row],
            "time": page["time"][row],
            "data": {name: values[row] for name, values in page["data"].items()},
            "timestamps": {name: times[row] for name, times in page["timestamps"].items()},
            "filled": {},
        }
        yield "event", document


def _dataset_names(columns: Iterable[Column]) -> dict[str, str]:
    """Of each column's dataset in the file."""
    names: dict[str, str] = {}
    taken = set(STREAM_PARTS)
    for column in columns:
        names[column.name] = dataset_name(column.name, taken)
        taken.add(names[column.name])
    return names


def _sample_bytes(column: Column) -> int:
    return np.dtype(column.dtype).itemsize * int(np.prod(column.shape, dtype=np.int64))


def _is_plotted(column: Column) -> bool:
    return not column.shape and np.dtype(column.dtype).kind not in "Oc"


def _kind_of(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) else "number"
    return "string"


def _plain(values: Any) -> list[Any]:
    """Scalars as Python's own, arrays as they are; what is missing is NaN, among objects None."""
    known = with_nan(values, exact=True)
    return list(known.tolist() if known.ndim == 1 and not known.dtype.hasobject else known)


def _times(block: EventBlock, column: Column, events: list[float]) -> list[float]:
    known = block.column_times.get(column.name)
    return events if known is None else _seconds(known)


def _seconds(times: npt.NDArray[np.int64]) -> list[float]:
    """Nanoseconds as seconds, as exact as a float is: they have more digits than one holds."""
    seconds: list[float] = (times // _NS + times % _NS / _NS).tolist()
    return seconds


def _uid_part(name: str) -> str:
    """A name in a uid whose parts a single dash tells apart: no two things get the same one."""
    return "stop-" if name == "stop" else name.replace("-", "--")


def _metadata(values: Mapping[str, Any]) -> dict[str, Any]:
    """The user's own, under names that hide none of a document's; of another kind than theirs."""
    own: dict[str, Any] = _keys(values)
    hiding = {key for key, value in own.items() if not isinstance(value, _TAKEN.get(key, object))}
    names = unique_names(own, hiding)
    return {names[key]: value for key, value in own.items()}


def _keys(value: Any) -> Any:
    """The same with keys that a document may have: no `.` and no `/` in them."""
    if not isinstance(value, Mapping):
        return value
    names = unique_names(map(str, value), clean=_key)
    return {names[str(key)]: _keys(item) for key, item in value.items()}


def _key(name: str) -> str:
    """The name without what a document cannot have in a key."""
    return name.replace(".", "_").replace("/", "_") or "_"
