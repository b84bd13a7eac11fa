"""RunService: runs opened by hand, the catalogue, and the data of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any

import trio

from daq.api.door.bridge import Bridge, Emit
from daq.api.door.call_boundary import caller
from daq.api.door.ipc import events_to_ipc
from daq.api.door.paging import MAX_PAGE, first_page, in_thread
from daq.api.door.trio_service import TrioService, streaming, unary
from daq.api.parts import Parts
from daq.api.streams.document_stream import stream_documents
from daq.core import ConfigurationError, RunOutcome, RunSummary, require_short_json
from daq.wire.convert import (
    clean,
    data_from_wire,
    event_to_wire,
    json_mapping_from_wire,
    run_detail_to_wire,
    run_to_wire,
    typed_from_wire,
)
from daq.wire.generated import daq as pb

__all__ = ["RunService"]

DEFAULT_PAGE = 100
DEFAULT_STREAM = "primary"


class RunService(TrioService, pb.RunServiceBase):
    """Manual runs and the storage over gRPC."""

    def __init__(self, bridge: Bridge, services: Parts) -> None:
        super().__init__(bridge)
        self._manual_runs = services.manual_runs
        self._storage = services.storage

    @unary
    async def start_run(self, request: pb.StartRunRequest) -> pb.StartRunResponse:
        run_id = await self._manual_runs.start(
            request.name,
            _read(request.metadata_json, json_mapping_from_wire, typed=request.typed),
            caller().on_record(request.user),
            request.durability or "process",
        )
        return pb.StartRunResponse(run_id)

    @unary
    async def record_point(self, request: pb.RecordPointRequest) -> pb.RecordPointResponse:
        values = _read(request.values_json, data_from_wire, typed=request.typed)
        return event_to_wire(
            await self._manual_runs.record(
                request.run_id, request.device_ids, values, request.units
            )
        )

    @unary
    async def stop_run(self, request: pb.StopRunRequest) -> pb.RunInfo:
        user = caller().on_record(request.user) or str(caller())
        outcome = _outcome(request.outcome)
        return run_to_wire(
            await self._manual_runs.stop(request.run_id, request.reason, user, outcome)
        )

    @unary
    async def list_runs(self, request: pb.ListRunsRequest) -> pb.ListRunsResponse:
        runs, total = await self._storage.list_runs(
            limit=min(request.limit or DEFAULT_PAGE, MAX_PAGE),
            offset=request.offset,
            name=request.name,
            outcome=request.outcome,
            since_ns=request.since_ns,
            until_ns=request.until_ns,
            execution_id=request.execution_id,
            before_order_ns=request.before_order_ns,
        )
        return await in_thread(lambda: _runs_to_wire(runs, total))

    @unary
    async def get_run(self, request: pb.GetRunRequest) -> pb.RunDetail:
        summary = await self._storage.find_run(request.run_id)
        run = await self._storage.describe_run(summary.run_id)
        return await in_thread(lambda: run_detail_to_wire(run.summary, run.start, run.streams))

    @streaming(buffer=2)
    async def read_run(self, request: pb.ReadRunRequest, emit: Emit[pb.RunBatch]) -> None:
        summary = await self._storage.find_run(request.run_id)
        blocks = self._storage.read_run(
            summary.run_id, request.stream or DEFAULT_STREAM, tuple(request.columns)
        )
        encode = partial(events_to_ipc, times=request.times)
        async with aclosing(blocks):
            async for block in blocks:
                ipc = await trio.to_thread.run_sync(encode, block)
                await emit(pb.RunBatch(ipc, block.first, len(block.timestamps)))

    @streaming(buffer=8)
    async def stream_documents(self, request: pb.DocumentsRequest, emit: Emit[pb.Document]) -> None:
        await stream_documents(self._storage, request.run_id, emit, typed=request.typed)

    @streaming(buffer=2)
    async def rebuild_catalogue(
        self, _request: pb.RebuildRequest, emit: Emit[pb.RebuildProgress]
    ) -> None:
        steps = self._storage.rebuild_catalogue()
        async with aclosing(steps):
            async for step in steps:
                problems = [clean(problem) for problem in step.problems]
                await emit(pb.RebuildProgress(step.done, step.files, step.added, problems))

    @streaming(buffer=2)
    async def read_run_file(self, request: pb.GetRunRequest, emit: Emit[pb.FileChunk]) -> None:
        run = await self._storage.find_run(request.run_id)
        chunks = self._storage.read_file(run.run_id)
        async with aclosing(chunks):
            async for chunk, size in chunks:
                await emit(pb.FileChunk(chunk, size))


def _read(
    texts: Mapping[str, str],
    without_tags: Callable[[Mapping[str, str]], dict[str, Any]],
    *,
    typed: bool,
) -> dict[str, Any]:
    """The values of a request; an older client's JSON has no tags."""
    require_short_json(*texts.values())
    return typed_from_wire(texts) if typed else without_tags(texts)


def _runs_to_wire(runs: Iterable[RunSummary], total: int) -> pb.ListRunsResponse:
    return pb.ListRunsResponse(list(first_page(runs, run_to_wire)), total)


def _outcome(word: str) -> RunOutcome:
    """How whoever opened a run says that it ended; the others are the daemon's to tell."""
    allowed = (RunOutcome.COMPLETED, RunOutcome.STOPPED, RunOutcome.FAILED)
    if (word or RunOutcome.COMPLETED) not in allowed:
        raise ConfigurationError(
            f"a manual run does not end as {word!r}", advice=f"choose one of {', '.join(allowed)}"
        )
    return RunOutcome(word or RunOutcome.COMPLETED)
