"""Scripts and executions: `daq.core.execution` and `daq.core.program` to and from messages."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from daq.core import (
    DeviceStop,
    Diagnostic,
    ExecutionRecord,
    ExecutionState,
    ExecutionView,
    OutputLine,
    Script,
    ScriptCheck,
    ScriptParameter,
    StopOutcome,
    StopReport,
    Transition,
)
from daq.core.values import from_json, needs_tags, to_json
from daq.wire.convert.values import clean, json_from_wire, json_to_wire, scalar_to_text
from daq.wire.generated import daq as pb

__all__ = [
    "check_from_wire",
    "check_to_wire",
    "output_from_wire",
    "output_to_wire",
    "script_from_wire",
    "script_to_wire",
    "status_from_wire",
    "status_to_wire",
    "stop_from_wire",
    "stop_to_wire",
    "upload_to_wire",
]


def status_to_wire(view: ExecutionView) -> pb.ScriptStatus:
    record = view.record
    return pb.ScriptStatus(
        execution_id=record.id,
        state=record.state.value,
        error_message=clean(record.message),
        start_time_ns=record.started_ns,
        end_time_ns=record.ended_ns,
        script_id=record.script_id,
        progress_percent=_percent(record.progress),
        current_line=f"{record.line}: {clean(view.source_line.strip())}" if record.line else "",
        script_name=clean(record.script_name),
        line=record.line,
        source_line=clean(view.source_line),
        progress=record.progress,
        progress_message=clean(view.progress_message),
        elapsed_s=view.elapsed_s,
        remaining_s=view.remaining_s,
        queue_position=view.queue_position,
        parameters={name: scalar_to_text(value) for name, value in record.parameters.items()},
        user=clean(record.user),
        run_ids=list(record.run_ids),
        traceback=clean(record.traceback),
        transitions=[
            pb.StateTransition(t.state.value, t.timestamp_ns, clean(t.reason))
            for t in record.transitions
        ],
        version=view.version,
        result_json="" if view.result is None else json_to_wire(view.result),
        result_typed_json=to_json(view.result) if needs_tags(view.result) else "",
        result_refused=clean(view.result_refused),
        devices=_stops_to_wire(view.devices),
    )


def _percent(progress: float | None) -> int:
    if progress is None or not math.isfinite(progress):
        return 0
    return int(100 * min(max(progress, 0.0), 1.0))


def _progress(message: pb.ScriptStatus) -> float | None:
    if message.progress is None:  # nothing is known; or an older API, which has only the percentage
        return message.progress_percent / 100 or None
    return message.progress


def status_from_wire(message: pb.ScriptStatus) -> ExecutionView:
    """The execution as the daemon saw it; its parameters are texts, as `StartScript` takes them."""
    transitions = tuple(
        Transition(ExecutionState(t.state), t.timestamp_ns, t.reason) for t in message.transitions
    )
    fallback = Transition(ExecutionState(message.state), message.start_time_ns)
    record = ExecutionRecord(
        id=message.execution_id,
        script_id=message.script_id,
        script_name=message.script_name,
        parameters=dict(message.parameters),
        user=message.user,
        transitions=transitions or (fallback,),
        message=message.error_message,
        traceback=message.traceback,
        line=message.line,
        progress=_progress(message),
        run_ids=tuple(message.run_ids),
    )
    return ExecutionView(
        record,
        version=message.version,
        source_line=message.source_line,
        progress_message=message.progress_message,
        elapsed_s=message.elapsed_s,
        remaining_s=message.remaining_s,
        queue_position=message.queue_position,
        result=_result(message),
        result_refused=message.result_refused,
        devices=_stops_from_wire(message.devices),
    )


def _result(message: pb.ScriptStatus) -> Any:
    if message.result_typed_json:
        return from_json(message.result_typed_json)
    return json_from_wire(message.result_json) if message.result_json else None


def output_to_wire(lines: Iterable[OutputLine]) -> list[pb.OutputEntry]:
    return [
        pb.OutputEntry(line.timestamp_ns, line.level, clean(line.text), line.line) for line in lines
    ]


def output_from_wire(entries: Iterable[pb.OutputEntry]) -> list[OutputLine]:
    return [OutputLine(e.timestamp_ns, e.level, e.text, e.line) for e in entries]


def script_to_wire(script: Script) -> pb.ScriptInfo:
    return pb.ScriptInfo(
        script_id=script.id,
        name=clean(script.name),
        upload_time_ns=script.uploaded_ns,
        metadata={clean(key): clean(value) for key, value in script.metadata.items()},
        sha256=script.sha256,
        description=clean(script.description),
        parameters=_parameters_to_wire(script.parameters),
    )


def script_from_wire(message: pb.ScriptInfo, source: str = "") -> Script:
    """A script; `source` travels beside its `ScriptInfo`, and only in `GetScript`."""
    return Script(
        id=message.script_id,
        name=message.name,
        source=source,
        sha256=message.sha256,
        uploaded_ns=message.upload_time_ns,
        metadata=dict(message.metadata),
        parameters=_parameters_from_wire(message.parameters),
        description=message.description,
    )


def _parameters_to_wire(parameters: Iterable[ScriptParameter]) -> list[pb.ScriptParameterInfo]:
    return [
        pb.ScriptParameterInfo(
            name=p.name,
            annotation=clean(p.annotation),
            required=p.required,
            default_json="" if p.required else json_to_wire(p.default),
        )
        for p in parameters
    ]


def _parameters_from_wire(
    messages: Iterable[pb.ScriptParameterInfo],
) -> tuple[ScriptParameter, ...]:
    return tuple(
        ScriptParameter(
            m.name, m.annotation, m.required, None if m.required else json_from_wire(m.default_json)
        )
        for m in messages
    )


def check_to_wire(check: ScriptCheck) -> pb.ValidateResponse:
    return pb.ValidateResponse(
        accepted=check.accepted,
        diagnostics=[_diagnostic_to_wire(d) for d in check.diagnostics],
        parameters=_parameters_to_wire(check.parameters),
        description=clean(check.description),
    )


def upload_to_wire(script: Script | None, check: ScriptCheck, filename: str) -> pb.UploadResponse:
    """The answer to an upload; a refused script shows every violation as Python would."""
    answer = check_to_wire(check)
    return pb.UploadResponse(
        script_id=script.id if script else "",
        success=script is not None,
        error_message="\n".join(clean(d.render(filename)) for d in check.diagnostics),
        diagnostics=answer.diagnostics,
        parameters=answer.parameters,
        description=answer.description,
    )


def check_from_wire(message: pb.ValidateResponse | pb.UploadResponse) -> ScriptCheck:
    return ScriptCheck(
        diagnostics=tuple(_diagnostic_from_wire(d) for d in message.diagnostics),
        parameters=_parameters_from_wire(message.parameters),
        description=message.description,
    )


def _diagnostic_to_wire(d: Diagnostic) -> pb.ScriptDiagnostic:
    return pb.ScriptDiagnostic(
        d.line,
        d.column,
        d.end_line,
        d.end_column,
        d.code,
        clean(d.message),
        clean(d.text),
        d.text_start,
    )


def _diagnostic_from_wire(m: pb.ScriptDiagnostic) -> Diagnostic:
    return Diagnostic(
        m.line, m.column, m.end_line, m.end_column, m.code, m.message, m.text, m.text_start
    )


def stop_to_wire(report: StopReport) -> pb.StopResponse:
    return pb.StopResponse(
        stopped=report.state.is_final,
        message=clean(report.message),
        execution_id=report.execution_id,
        state=report.state.value,
        duration_s=report.duration_s,
        devices=_stops_to_wire(report.devices),
        line=report.line,
        escalated=report.escalated,
    )


def _stops_to_wire(stops: Iterable[DeviceStop]) -> list[pb.DeviceStopInfo]:
    return [
        pb.DeviceStopInfo(
            device_id=stop.device,
            outcome=stop.outcome.value,
            duration_s=stop.duration_s,
            message=clean(stop.message),
            position=stop.position,
            units=stop.units,
            owed=stop.owed,
        )
        for stop in stops
    ]


def _stops_from_wire(messages: Iterable[pb.DeviceStopInfo]) -> tuple[DeviceStop, ...]:
    return tuple(
        DeviceStop(
            m.device_id,
            StopOutcome(m.outcome),
            m.duration_s,
            m.message,
            position=m.position,
            units=m.units,
            owed=m.owed,
        )
        for m in messages
    )


def stop_from_wire(message: pb.StopResponse) -> StopReport:
    # An older API says only whether it was stopped.
    fallback = ExecutionState.STOPPED if message.stopped else ExecutionState.STOPPING
    return StopReport(
        execution_id=message.execution_id,
        state=ExecutionState(message.state) if message.state else fallback,
        message=message.message,
        duration_s=message.duration_s,
        devices=_stops_from_wire(message.devices),
        line=message.line,
        escalated=message.escalated,
    )
