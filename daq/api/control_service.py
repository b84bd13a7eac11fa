"""ControlService: scripts, executions, live status and measurements."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import asdict

import trio

from daq.api.door.bridge import Bridge, Emit
from daq.api.door.call_boundary import caller
from daq.api.door.paging import MAX_PAGE, page
from daq.api.door.trio_service import TrioService, immediate, streaming, unary
from daq.api.parts import Parts
from daq.api.streams.block_stream import stream_blocks
from daq.api.streams.measurement_stream import stream_measurements
from daq.api.streams.watching import located, watch_execution
from daq.core import ExecutionState, ExecutionView, NotFoundError, require_short_json
from daq.scripting import SandboxStatistics
from daq.storage.memory import resident_mb
from daq.supervision import GuardStatistics
from daq.wire.convert import (
    check_to_wire,
    clean,
    script_to_wire,
    status_to_wire,
    stop_to_wire,
    typed_from_wire,
    upload_to_wire,
)
from daq.wire.generated import daq as pb

__all__ = ["ControlService"]

DEFAULT_LISTED = 100
STATUS_PERIOD_S = 0.5
FEATURES = (
    "scripts", "pause", "watch", "runs", "arrow", "reflection", "health", "error-kinds",
    "claims", "interlocks", "guard", "limits", "results", "values",
)  # fmt: skip


class ControlService(TrioService, pb.ControlServiceBase):
    """The execution queue over gRPC."""

    def __init__(self, bridge: Bridge, services: Parts) -> None:
        super().__init__(bridge)
        self._services = services
        self._queue = services.queue

    # ------------------------------------------------------------------------------------ scripts

    @unary
    async def upload_script(self, request: pb.UploadRequest) -> pb.UploadResponse:
        script, check = await self._queue.upload(
            request.script_content, request.name, request.metadata, caller().party
        )
        return upload_to_wire(script, check, request.name or "script.py")

    @unary
    async def validate_script(self, request: pb.UploadRequest) -> pb.ValidateResponse:
        return check_to_wire(
            await self._queue.check(
                request.script_content, request.name or "script.py", caller().party
            )
        )

    @unary
    async def list_scripts(self, request: pb.ListScriptsRequest) -> pb.ListScriptsResponse:
        scripts = self._queue.scripts()
        wanted = scripts[request.offset :][: request.limit or MAX_PAGE]
        return pb.ListScriptsResponse(await page(wanted, script_to_wire), len(scripts))

    @immediate
    def get_script(self, request: pb.GetScriptRequest) -> pb.GetScriptResponse:
        script = self._queue.script(request.script_id)
        return pb.GetScriptResponse(script_to_wire(script), clean(script.source))

    # --------------------------------------------------------------------------------- executions

    @unary
    async def start_script(self, request: pb.StartRequest) -> pb.StartResponse:
        user = caller().on_record(request.user)
        require_short_json(*request.parameters_typed_json.values())
        parameters = request.parameters | typed_from_wire(request.parameters_typed_json)
        execution_id = await self._queue.start(request.script_id, parameters, user, request.limits)
        return pb.StartResponse(started=True, execution_id=execution_id)

    @unary
    async def stop_script(self, request: pb.StopRequest) -> pb.StopResponse:
        report = await self._queue.stop(
            request.execution_id,
            force=request.force,
            grace_s=request.grace_s,
            reason=request.reason,
            user=_who(request.user),
        )
        return stop_to_wire(report)

    @unary
    async def pause_script(self, request: pb.PauseRequest) -> pb.PauseResponse:
        view = await self._queue.pause(request.execution_id, _who(request.user))
        outstanding = self._queue.pause_outstanding(view.record.id)
        said = f"not yet: {'; '.join(outstanding)}" if outstanding else _stands(view)
        return pb.PauseResponse(view.record.id, view.record.state.value, said)

    @unary
    async def resume_script(self, request: pb.ResumeRequest) -> pb.ResumeResponse:
        view = await self._queue.resume(request.execution_id, _who(request.user))
        return pb.ResumeResponse(view.record.id, view.record.state.value, _stands(view))

    @unary
    async def get_script_status(self, request: pb.StatusRequest) -> pb.ScriptStatus:
        view = await self._queue.view_with_result(request.execution_id)
        return status_to_wire(await located(self._queue, view))

    @unary
    async def list_executions(self, request: pb.ListExecutionsRequest) -> pb.ListExecutionsResponse:
        ids = self._queue.matching(request.script_id or "", request.state or "")
        wanted = ids[request.offset :][: request.limit or DEFAULT_LISTED]
        # Each is looked at when its turn has come: to tell its line, its script is read.
        views = map(self._queue.view, wanted)
        return pb.ListExecutionsResponse(await page(views, status_to_wire), len(ids))

    @streaming(buffer=4)
    async def watch_execution(
        self, request: pb.WatchRequest, emit: Emit[pb.ExecutionUpdate]
    ) -> None:
        await watch_execution(self._queue, request, emit)

    # --------------------------------------------------------------------------------------- live

    @streaming(buffer=1)
    async def stream_status(self, request: pb.StatusRequest, emit: Emit[pb.SystemStatus]) -> None:
        """Ends with the execution when one was named, else goes on until the client leaves."""
        execution_id = (
            self._queue.view(request.execution_id).record.id if request.execution_id else ""
        )
        while True:
            state = self._state(execution_id)
            await emit(self._system_status(state))
            if execution_id and state is not None and state.is_final:
                return
            await trio.sleep(STATUS_PERIOD_S)

    def _state(self, execution_id: str) -> ExecutionState | None:
        """The state of an execution; of any that is going on when none is named."""
        try:
            state = self._queue.view(execution_id).record.state
        except NotFoundError:
            return None
        return state if execution_id or not state.is_final else None

    def _system_status(self, state: ExecutionState | None) -> pb.SystemStatus:
        return pb.SystemStatus(
            current_state="idle" if state is None else state.value,
            current_memory_usage_mb=resident_mb(),
            live_values=dict(self._live_values()),
            timestamp_ns=time.time_ns(),
        )

    def _live_values(self) -> Iterator[tuple[str, float]]:
        bus = self._services.bus
        for channel in bus.channels():
            block = bus.latest(channel)
            if block is not None and block.values.ndim == 1:
                yield channel, float(block.last())

    @streaming(buffer=64)
    async def stream_measurements(
        self, request: pb.MeasurementRequest, emit: Emit[pb.DataPoint]
    ) -> None:
        await stream_measurements(
            self._services.bus, self._services.supervisor.devices(), request, emit
        )

    @streaming(buffer=2)
    async def stream_blocks(
        self, request: pb.BlockRequest, emit: Emit[pb.MeasurementBlock]
    ) -> None:
        await stream_blocks(self._services.bus, self._services.supervisor.devices(), request, emit)

    @immediate
    def get_daemon_info(self, _request: pb.DaemonInfoRequest) -> pb.DaemonInfoResponse:
        services = self._services
        info = services.info
        return pb.DaemonInfoResponse(
            version=info.version,
            features=list(FEATURES),
            available_hardware=[device.id for device in services.supervisor.devices()],
            uptime_seconds=int(trio.current_time() - info.started),
            host=info.host,
            pid=os.getpid(),
            data_directory=info.data_directory,
            confinement=dict(services.sandbox.confinement()),
            versions=dict(info.versions),
            counters=self._counters(),
            ring_path=info.ring_path,
            flight_address=info.flight_address,
            warnings=[
                clean(str(warning))
                for warning in (*info.damages, *services.guard.warnings, *services.storage.warnings)
            ],
        )

    def _counters(self) -> dict[str, float]:
        services = self._services
        loop = trio.lowlevel.current_statistics()
        return {
            "loop.tasks": float(loop.tasks_living),
            "loop.runnable": float(loop.tasks_runnable),
            "daemon.memory_mb": resident_mb(),
            "storage.recovered_runs": float(len(services.storage.recovered)),
            "interlocks.tripped": float(sum(lock.tripped for lock in services.interlocks.status())),
            **_counted("guard", services.guard.statistics()),
            **_counted("sandbox", services.sandbox.statistics()),
        }


def _counted(part: str, statistics: GuardStatistics | SandboxStatistics) -> dict[str, float]:
    return {
        f"{part}.{name}": float(value)
        for name, value in asdict(statistics).items()
        if isinstance(value, int | float)
    }


def _who(claimed: str) -> str:
    """Who stops, pauses or resumes; whoever says nothing goes by the network address."""
    return caller().on_record(claimed) or str(caller())


def _stands(view: ExecutionView) -> str:
    """Where it stands, for people."""
    line = f"line {view.record.line}: {view.source_line.strip()}" if view.record.line else ""
    return clean(line or view.record.transitions[-1].reason)
