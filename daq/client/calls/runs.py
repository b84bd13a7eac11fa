"""Runs: opening and closing them by hand, finding them, reading them back."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from daq.client.calls.models import RebuildProgress, RecordedPoint, RunPage
from daq.client.rpc.connection import Connection
from daq.client.rpc.service import ServiceCalls
from daq.core import NotFoundError, RunOutcome, RunSummary
from daq.core.columns import concatenated
from daq.core.names import TIME
from daq.core.values import from_json, needs_tags, plain_mapping, to_json
from daq.wire.convert import (
    RecordedRun,
    data_from_wire,
    point_to_wire,
    run_detail_from_wire,
    run_from_wire,
    typed_from_wire,
)
from daq.wire.event_model import Document
from daq.wire.generated import daq as pb

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RunsClient"]


class RunsClient(ServiceCalls):
    """What `client.runs` offers.

    A run goes by its id, a unique prefix of it, or its name (the newest of that name); an empty
    reference is the newest run.
    """

    service = "RunService"

    def __init__(self, connection: Connection, user: str) -> None:
        super().__init__(connection)
        self._user = user

    async def start(
        self,
        name: str,
        metadata: Mapping[str, Any] | None = None,
        *,
        user: str = "",
        durability: str = "process",
    ) -> str:
        """Open a run for manual work. What devices deliver is stored in it.

        What is recorded survives the death of the daemon; with the durability `disk`, which costs
        an fsync a point, also a power cut.

        Returns:
            The run's id.
        """
        known = plain_mapping(metadata or {})
        if needs_tags(known):
            await self._connection.require("values", "metadata such as arrays, NaN and complex")
        texts = {key: to_json(value) for key, value in known.items()}
        request = pb.StartRunRequest(name, texts, user or self._user, durability, typed=True)
        answer = await self._operate(
            "StartRun", request, pb.StartRunResponse, self._connection.timeout
        )
        return answer.run_id

    async def record(
        self,
        run_id: str,
        devices: Sequence[str],
        values: Mapping[str, Any] | None = None,
        units: Mapping[str, str] | None = None,
    ) -> RecordedPoint:
        """Read devices and store one event; returns when it is stored."""
        texts, tagged = point_to_wire(values or {})
        if tagged:
            await self._connection.require("values", "values such as arrays, NaN and complex")
        request = pb.RecordPointRequest(
            run_id, list(devices), texts, typed=True, units=dict(units or {})
        )
        answer = await self._operate("RecordPoint", request, pb.RecordPointResponse)
        stored = data_from_wire(answer.values_json) | typed_from_wire(answer.values_typed_json)
        return RecordedPoint(answer.sequence, stored)

    async def stop(
        self,
        run_id: str = "",
        *,
        reason: str = "",
        user: str = "",
        outcome: RunOutcome = RunOutcome.COMPLETED,
    ) -> RunSummary:
        """Close a manual run, or the open one, as completed, stopped or failed."""
        request = pb.StopRunRequest(run_id, reason, user or self._user, outcome.value)
        return run_from_wire(await self._operate("StopRun", request, pb.RunInfo))

    async def list(
        self,
        *,
        limit: int = 50,
        offset: int = 0,
        name: str = "",
        outcome: str = "",
        since_ns: int = 0,
        until_ns: int = 0,
        execution_id: str = "",
        before_order_ns: int = 0,
    ) -> RunPage:
        """A page of the catalogue, newest first.

        Args:
            limit: Runs a page.
            offset: Runs to skip.
            name: A glob pattern; empty for all.
            outcome: A `RunOutcome`, or `open`; empty for all.
            since_ns: Only runs that began then or later, ns since the epoch; 0 for all.
            until_ns: Only runs that began before; 0 for all.
            execution_id: Only runs of that execution.
            before_order_ns: Only runs that began before the one of this `order_ns`; 0 for all.

        Returns:
            The runs of this page, and how many fit in all.
        """
        request = pb.ListRunsRequest(
            limit, offset, name, outcome, since_ns, until_ns, execution_id, before_order_ns
        )
        answer = await self._ask("ListRuns", request, pb.ListRunsResponse)
        return RunPage(tuple(run_from_wire(run) for run in answer.runs), answer.total)

    async def get(self, reference: str = "") -> RecordedRun:
        """Everything on record about a run but its data."""
        request = pb.GetRunRequest(reference)
        return run_detail_from_wire(await self._ask("GetRun", request, pb.RunDetail))

    async def read(
        self,
        reference: str = "",
        *,
        stream: str = "primary",
        columns: Sequence[str] = (),
        times: bool = False,
    ) -> AsyncGenerator[pa.RecordBatch, None]:
        """The events of a run as Arrow batches: `time` (UTC, ns) and the run's columns.

        With `times` each column is followed by one that tells when each of its values was read.

        Of an open run, what is stored by now. After a lost connection it goes on where it was.
        Wrap it in `contextlib.aclosing` when you may leave it early.

        Yields:
            Batches of rows; units and shapes are in the metadata of their fields.
        """
        import pyarrow as pa  # loads slowly, and only reading needs it

        request = pb.ReadRunRequest(reference, stream, list(columns), times=times)
        batches = self._resuming("ReadRun", request, pb.RunBatch)
        rows = 0
        async with aclosing(batches):
            async for _, message in batches:
                known = rows - message.first
                if known >= message.rows:
                    continue  # read before the interruption
                with pa.ipc.open_stream(message.ipc) as reader:
                    yield reader.read_next_batch().slice(known)
                rows = message.first + message.rows

    async def documents(self, reference: str = "") -> AsyncGenerator[Document, None]:
        """A run as event-model documents; of an open run as its events are stored, to its end.

        Samples of two dimensions, or of 64 KiB and more, are not in the events: a stream_resource
        names the HDF5 file in which they lie.

        Yields:
            Name and document, from start to stop.
        """
        request = pb.DocumentsRequest(reference, typed=True)
        documents = self._stream("StreamDocuments", request, pb.Document)
        async with aclosing(documents):
            async for message in documents:
                read = from_json if message.typed else json.loads
                yield message.name, read(message.json)

    async def file(self, reference: str = "") -> AsyncGenerator[tuple[bytes, int], None]:
        """The HDF5 file of a run that has ended, piece by piece, each with the file's size."""
        request = pb.GetRunRequest(reference)
        chunks = self._stream("ReadRunFile", request, pb.FileChunk)
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk.data, chunk.size

    async def rebuild(self) -> AsyncGenerator[RebuildProgress, None]:
        """Have the daemon list every run from its file again; tells how far it is.

        Files that had found no room on the disk are completed first. Nothing is forgotten: a run
        whose file is not there stays listed. Leaving the loop early leaves the rest as it was.

        Yields:
            How many runs are listed, of how many.
        """
        steps = self._stream("RebuildCatalogue", pb.RebuildRequest(), pb.RebuildProgress)
        async with aclosing(steps):
            async for step in steps:
                yield RebuildProgress(step.done, step.files, step.added, tuple(step.problems))

    async def columns(
        self,
        reference: str = "",
        *,
        stream: str = "primary",
        columns: Sequence[str] = (),
        times: bool = False,
    ) -> dict[str, npt.NDArray[Any]]:
        """A whole stream of a run as arrays of shape (n, *sample_shape), by column.

        Where values are missing the array is a masked one; arrays of different lengths and texts
        are objects, with None for a missing one. `time` is among them, as datetime64[ns], and with
        `times` the time of each value, as `time of NAME`.

        Returns:
            Column to array, in the units that the run tells.

        Raises:
            NotFoundError: Nothing is stored in that stream.
        """
        from daq.wire.arrow import column_values, is_time_of

        parts: dict[str, list[npt.NDArray[Any]]] = {}
        batches = self.read(reference, stream=stream, columns=columns, times=times)
        async with aclosing(batches):
            async for batch in batches:
                for field, column in zip(batch.schema, batch.columns, strict=True):
                    is_time = field.name == TIME or is_time_of(field) is not None
                    values = (
                        column.to_numpy(zero_copy_only=False)
                        if is_time
                        else column_values(column, field)
                    )
                    parts.setdefault(field.name, []).append(values)
        if not parts:
            which = f"run {reference[:8]}" if reference else "the newest run"
            raise NotFoundError(f"{which} holds nothing in its stream {stream!r}")
        return {name: concatenated(arrays) for name, arrays in parts.items()}
