"""Scripts and executions: upload, start, watch, pause, stop."""

from __future__ import annotations

import builtins
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from daq.client.calls.models import ExecutionUpdate, StateChange, UploadedScript
from daq.client.rpc.connection import Connection
from daq.client.rpc.service import ServiceCalls
from daq.core import (
    CommunicationError,
    ExecutionState,
    ExecutionView,
    Script,
    ScriptCheck,
    ScriptSyntaxError,
    StateError,
    StopReport,
)
from daq.core.values import plain_mapping, to_json
from daq.wire.convert import (
    check_from_wire,
    output_from_wire,
    scalar_to_text,
    script_from_wire,
    status_from_wire,
    stop_from_wire,
)
from daq.wire.generated import daq as pb

__all__ = ["ScriptsClient"]

WATCH_RATE_HZ = 10.0


class ScriptsClient(ServiceCalls):
    """What `client.scripts` offers.

    Wherever a script or an execution is named, its id, a unique prefix of it or the script's name
    serves; an empty reference is the execution that runs, or ran last.
    """

    service = "ControlService"

    def __init__(self, connection: Connection, user: str) -> None:
        super().__init__(connection)
        self._user = user

    async def upload(
        self,
        source: str,
        *,
        name: str = "",
        metadata: Mapping[str, str] | None = None,
        filename: str = "",
    ) -> UploadedScript:
        """Have a script checked and kept.

        Returns:
            Its id, and what its `main` declares.

        Raises:
            ScriptSyntaxError: It is refused: every violation, as Python shows them. They name
                `filename`, so that an editor finds the place, or else `name`.
        """
        request = pb.UploadRequest(source, name, dict(metadata or {}))
        answer = await self._ask("UploadScript", request, pb.UploadResponse)
        check = check_from_wire(answer)
        if not answer.success:
            raise ScriptSyntaxError(_violations(answer, check, filename))
        return UploadedScript(answer.script_id, name, check.description, check.parameters)

    async def check(self, source: str, *, name: str = "") -> ScriptCheck:
        """Check a script against the language policy without keeping it."""
        request = pb.UploadRequest(source, name)
        return check_from_wire(await self._ask("ValidateScript", request, pb.ValidateResponse))

    async def get(self, reference: str) -> Script:
        """A script with its source."""
        request = pb.GetScriptRequest(reference)
        answer = await self._ask("GetScript", request, pb.GetScriptResponse)
        return script_from_wire(answer.script, answer.script_content)

    async def list(self) -> builtins.list[Script]:
        """All scripts, without their sources."""
        found: builtins.list[Script] = []
        while True:
            request = pb.ListScriptsRequest(offset=len(found))
            answer = await self._ask("ListScripts", request, pb.ListScriptsResponse)
            found += [script_from_wire(script) for script in answer.scripts]
            if len(found) >= answer.total or not answer.scripts:
                return found

    async def start(
        self,
        reference: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        user: str = "",
        limits: Mapping[str, float] | None = None,
    ) -> str:
        """Start a script.

        `limits` are lower ones than the daemon's for this start, such as `max_records`.

        Returns:
            The id of the execution.

        Raises:
            ParameterError: `main` does not declare the parameters that way.
            StateError: The daemon does not take it now.
        """
        if limits:
            await self._connection.require("limits", "limits of a start")
        known = plain_mapping(parameters or {})
        request = pb.StartRequest(
            reference,
            {name: scalar_to_text(value) for name, value in known.items()},
            user=user or self._user,
            limits=dict(limits or {}),
            parameters_typed_json={
                name: to_json(value) for name, value in known.items() if not isinstance(value, str)
            },
        )
        answer = await self._operate(
            "StartScript", request, pb.StartResponse, self._connection.timeout
        )
        if not answer.started:
            raise StateError(f"{reference} was not started")
        return answer.execution_id

    async def status(self, reference: str = "") -> ExecutionView:
        """An execution as it is now."""
        request = pb.StatusRequest(reference)
        return status_from_wire(await self._ask("GetScriptStatus", request, pb.ScriptStatus))

    async def executions(
        self, *, script_id: str | None = None, state: ExecutionState | None = None, limit: int = 0
    ) -> builtins.list[ExecutionView]:
        """Executions, newest first; `limit` 0 takes the daemon's default."""
        wanted, found = state.value if state else None, builtins.list[ExecutionView]()
        while True:
            left = max(0, limit - len(found))
            request = pb.ListExecutionsRequest(script_id, wanted, left, len(found))
            answer = await self._ask("ListExecutions", request, pb.ListExecutionsResponse)
            found += [status_from_wire(status) for status in answer.executions]
            if len(found) >= min(limit, answer.total) or not answer.executions:
                return found

    async def watch(
        self,
        reference: str = "",
        *,
        max_rate_hz: float = WATCH_RATE_HZ,
        include_output: bool = True,
    ) -> AsyncGenerator[ExecutionUpdate, None]:
        """State, line, progress and output as they change; ends with the execution.

        After a lost connection it goes on where it was: no line of output is told twice. Wrap it
        in `contextlib.aclosing` when you may leave it early.

        Yields:
            How it is now, and what it printed since the last one.
        """
        request = pb.WatchRequest(reference, max_rate_hz, include_output)
        updates = self._resuming("WatchExecution", request, pb.ExecutionUpdate, bulk=False)
        told, to_skip, seen = 0, 0, 0
        async with aclosing(updates):
            async for interruptions, update in updates:
                if interruptions != seen:  # it begins with all the output again
                    seen, to_skip = interruptions, told if include_output else 0
                skipped = min(to_skip, len(update.output))
                to_skip -= skipped
                output = tuple(output_from_wire(update.output[skipped:]))
                told += len(output)
                view = status_from_wire(update.status)
                request.execution_id = view.record.id  # the same one after an interruption
                yield ExecutionUpdate(view, output)

    async def wait(self, reference: str = "") -> ExecutionView:
        """Wait until an execution has ended, however long it takes; returns how it ended."""
        updates = self.watch(reference, max_rate_hz=1.0, include_output=False)
        async with aclosing(updates):
            async for update in updates:
                if update.view.record.state.is_final:
                    return update.view
        raise CommunicationError("the daemon ended the watch before the execution's end")

    async def stop(
        self,
        reference: str = "",
        *,
        force: bool = False,
        grace_s: float | None = None,
        reason: str = "",
        user: str = "",
    ) -> StopReport:
        """Stop an execution, or the one that runs; returns when the stop is verified.

        Args:
            reference: Empty for the one that runs.
            force: Kill it now instead of letting its cleanup run.
            grace_s: Seconds until a graceful stop becomes a force stop; the daemon's default when
                None. The call waits as long as that takes, whatever the client's timeout.
            reason: For the record.
            user: Who asks; by default whoever the client was opened for.

        Returns:
            How it ended, what each device did, and how long that took.
        """
        request = pb.StopRequest(reference, force, grace_s, reason, user or self._user)
        timeout = self._connection.timeout if force else None
        # Made twice, one without a name would stop what runs next.
        answer = await self._operate(
            "StopScript", request, pb.StopResponse, timeout, repeatable=bool(reference)
        )
        return stop_from_wire(answer)

    async def pause(self, reference: str = "", *, user: str = "") -> StateChange:
        """Ask an execution to pause at its next checkpoint."""
        request = pb.PauseRequest(reference, user or self._user)
        return _change(await self._ask("PauseScript", request, pb.PauseResponse))

    async def resume(self, reference: str = "", *, user: str = "") -> StateChange:
        """Let a paused execution go on."""
        request = pb.ResumeRequest(reference, user or self._user)
        return _change(await self._ask("ResumeScript", request, pb.ResumeResponse))


def _violations(answer: pb.UploadResponse, check: ScriptCheck, filename: str) -> str:
    if filename and check.diagnostics:
        return "\n".join(diagnostic.render(filename) for diagnostic in check.diagnostics)
    return answer.error_message or "the script was refused"


def _change(answer: pb.PauseResponse | pb.ResumeResponse) -> StateChange:
    return StateChange(answer.execution_id, ExecutionState(answer.state), answer.message)
