"""Core values as text for people: executions, scripts, devices, runs, stop reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from daq.cli.showing.output import Cell, Output
from daq.client import DaemonInfo, DeviceInfo, DeviceListing, RunPage
from daq.core import (
    Column,
    DeviceSnapshot,
    DeviceState,
    DeviceStop,
    ExecutionState,
    ExecutionView,
    RunOutcome,
    RunSummary,
    Script,
    StopOutcome,
    StopReport,
    format_quantity,
    format_time,
    signature,
)
from daq.core.values import strict_json, to_jsonable
from daq.wire.convert import RecordedRun

__all__ = [
    "device_state_cell",
    "duration",
    "outcome_cell",
    "percent",
    "position_in_script",
    "render_device_stops",
    "render_devices",
    "render_execution",
    "render_executions",
    "render_info",
    "render_run",
    "render_runs",
    "render_scripts",
    "render_stop",
    "state_cell",
]

_STATE_STYLES = {
    ExecutionState.RUNNING: "bold blue",
    ExecutionState.PAUSED: "yellow",
    ExecutionState.STOPPING: "yellow",
    ExecutionState.COMPLETED: "green",
    ExecutionState.ERROR: "bold red",
    ExecutionState.STOPPED: "yellow",
    ExecutionState.KILLED: "red",
}
_OUTCOME_STYLES = {
    RunOutcome.COMPLETED: "green",
    RunOutcome.STOPPED: "yellow",
    RunOutcome.KILLED: "red",
    RunOutcome.FAILED: "bold red",
    RunOutcome.INTERRUPTED: "red",
}
_MOST_RESULT = 2000
_STOPS = {
    StopOutcome.STOPPED: Cell("stopped", "green"),
    StopOutcome.IDLE: Cell("already idle", "dim"),
    StopOutcome.REFUSED: Cell("refused", "bold red"),
    StopOutcome.UNREACHABLE: Cell("unreachable", "bold red"),
}
_DEVICE_STYLES = {
    DeviceState.READY: "green",
    DeviceState.DEGRADED: "yellow",
    DeviceState.STALE: "bold yellow",
    DeviceState.BUSY: "cyan",
    DeviceState.DISABLED: "magenta",
    DeviceState.CONNECTING: "yellow",
    DeviceState.OFFLINE: "bold red",
}


def state_cell(state: ExecutionState) -> Cell:
    """A state in its colour."""
    return Cell(state.value, _STATE_STYLES.get(state, ""))


def device_state_cell(state: DeviceState) -> Cell:
    """A device's state in its colour."""
    return Cell(state.value, _DEVICE_STYLES.get(state, ""))


def outcome_cell(outcome: RunOutcome | None) -> Cell:
    """A run's outcome in its colour; `open` while there is none."""
    return Cell(outcome.value, _OUTCOME_STYLES[outcome]) if outcome else Cell("open", "bold blue")


def duration(seconds: float) -> str:
    """`12.3 ms`, `4.56 s`, `2:05`, `1:02:05`."""
    if seconds < 60:
        return format_quantity(seconds, "s", 3)
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def percent(progress: float | None) -> str:
    """`45 %`, or nothing while nothing is known."""
    return "" if progress is None else f"{100 * progress:.0f} %"


def position_in_script(view: ExecutionView) -> str:
    """`line 12: stage.move_abs(x)`; empty before the first line."""
    if not view.record.line:
        return ""
    source = view.source_line.strip()
    return f"line {view.record.line}: {source}" if source else f"line {view.record.line}"


def render_execution(output: Output, view: ExecutionView) -> None:
    """Everything about one execution."""
    record = view.record
    queued = f"{view.queue_position}. in the queue" if view.queue_position else ""
    output.fields(
        [
            ("execution", record.id),
            ("script", f"{record.script_name} ({record.script_id})"),
            ("parameters", _pairs(record.parameters)),
            ("state", state_cell(record.state)),
            ("queue", queued),
            ("progress", _progress(view)),
            ("at", position_in_script(view)),
            ("started", format_time(record.started_ns)),
            ("ended", format_time(record.ended_ns)),
            ("duration", duration(view.elapsed_s) if record.started_ns else ""),
            ("by", record.user),
            ("runs", ", ".join(record.run_ids)),
            ("message", "" if record.traceback else record.message),
        ]
    )
    if record.traceback:
        output.line(Cell(record.traceback.rstrip(), "red"))
    render_result(output, view)
    if view.devices:
        render_device_stops(output, view.devices)


def render_result(output: Output, view: ExecutionView) -> None:
    """What `main` returned, as JSON, or why it could not be kept."""
    if view.result_refused:
        output.line(Cell(view.result_refused, "yellow"))
    elif view.result is not None:
        text = strict_json(to_jsonable(view.result, typed=False), ensure_ascii=False)
        more = f" ... ({len(text)} characters; --json has all)" if len(text) > _MOST_RESULT else ""
        output.line(Cell("returned ", "dim"), f"{text[:_MOST_RESULT]}{more}")


def _progress(view: ExecutionView) -> str:
    parts = [percent(view.record.progress), view.progress_message]
    if view.remaining_s is not None and not view.record.state.is_final:
        parts.append(f"{duration(view.remaining_s)} left")
    return ", ".join(part for part in parts if part)


def render_executions(output: Output, views: Iterable[ExecutionView]) -> None:
    """Executions below each other, as they come."""
    rows = [
        (
            output.short(view.record.id),
            view.record.script_name,
            state_cell(view.record.state),
            percent(view.record.progress),
            format_time(view.record.transitions[0].timestamp_ns if view.record.transitions else 0),
            duration(view.elapsed_s) if view.record.started_ns else "",
            view.record.user,
            _first_line(view.record.message),
        )
        for view in views
    ]
    if not rows:
        output.line("no executions")
        return
    output.table(
        ["id", "script", "state", "progress>", "submitted", "duration>", "by", "message"], rows
    )


def render_scripts(output: Output, scripts: Iterable[Script]) -> None:
    """Scripts with what their `main` declares."""
    rows = [
        (
            output.short(script.id),
            script.name,
            format_time(script.uploaded_ns),
            signature(script.parameters) if script.parameters else "",
            _first_line(script.description),
        )
        for script in scripts
    ]
    if not rows:
        output.line("no scripts; upload one with `daq client upload FILE`")
        return
    output.table(["id", "name", "uploaded", "parameters", "description"], rows)


def render_stop(output: Output, report: StopReport, script: str = "") -> None:
    """How a stop went: the verdict, where the script stood, and each device's answer."""
    name = f"{script} " if script else ""
    where = f" at line {report.line}" if report.line else ""
    output.line(
        f"{name}{report.execution_id} is ",
        state_cell(report.state),
        f"{where}, after {duration(report.duration_s)}",
    )
    if report.message:
        output.line(report.message)
    if report.escalated:
        output.line(Cell("the graceful stop passed its deadline and became a force stop", "yellow"))
    if report.devices:
        render_device_stops(output, report.devices)
    else:
        output.line(Cell("it had used no device", "dim"))


def render_device_stops(output: Output, stops: Iterable[DeviceStop]) -> None:
    """What each device did, where it rests, and what it is owed."""
    rows = [
        (stop.device, _STOPS[stop.outcome], duration(stop.duration_s), _stop_message(stop))
        for stop in stops
    ]
    output.table(["device", "outcome", "time>", "message"], rows)


def _stop_message(stop: DeviceStop) -> str | Cell:
    where = "" if stop.position is None else f"at {format_quantity(stop.position, stop.units, 6)}"
    said = "; ".join(part for part in (stop.message, where) if part)
    if not stop.owed:
        return said
    owed = "it is owed its stop, which comes first when it can be reached"
    return Cell(f"{said}; {owed}" if said else owed, "bold red")


def render_devices(output: Output, listing: DeviceListing) -> None:
    """Devices with their states, and those that could not be set up."""
    rows = [_device_row(device) for device in listing.devices]
    rows += [
        (device, "", Cell("failed", "bold red"), "", reason)
        for device, reason in listing.failures.items()
    ]
    if not rows:
        output.line("no devices are configured")
        return
    output.table(["device", "driver", "state", "value", "offers"], rows)


def _device_row(device: DeviceInfo) -> tuple[str | Cell, ...]:
    description, snapshot = device.description, device.snapshot
    offers = ", ".join(operation.name for operation in description.operations)
    return (
        device.id,
        description.driver,
        Cell(snapshot.activity or snapshot.state.value, _DEVICE_STYLES[snapshot.state]),
        _device_value(device),
        _device_message(snapshot) or offers,
    )


def _device_message(snapshot: DeviceSnapshot) -> str | Cell:
    """Why it is not simply ready: what it is owed comes first."""
    invalid = [f"no {name}: {why}" for name, why in snapshot.invalid.items()]
    said = "; ".join([f"{snapshot.reason}{_next_attempt(snapshot)}", *invalid]).strip("; ")
    owed = f"it is owed {snapshot.owed}" if snapshot.owed else ""
    lost = f"it is unreferenced {snapshot.unreferenced}" if snapshot.unreferenced else ""
    if not owed and not lost:
        return said
    return Cell("; ".join(filter(None, (owed, lost, said))), "bold red")


def _next_attempt(snapshot: DeviceSnapshot) -> str:
    """When it is tried again, by this machine's clock."""
    if not snapshot.next_attempt_ns:
        return ""
    return f" (next attempt at {format_time(snapshot.next_attempt_ns).partition(' ')[2]})"


def _device_value(device: DeviceInfo) -> str:
    fields = device.snapshot.fields
    for name in ("position", "reading"):
        value = fields.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return format_quantity(value, device.description.units)
    shown = [(k, v) for k, v in fields.items() if isinstance(v, bool | int | float)]
    return ", ".join(f"{key} {_plain(value)}" for key, value in shown[:3])


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def render_info(output: Output, info: DaemonInfo) -> None:
    """The daemon, its sandbox and its counters."""
    weak = [f"{layer}: {state}" for layer, state in info.confinement.items() if state != "active"]
    layers = [layer for layer, state in info.confinement.items() if state == "active"]
    output.fields(
        [
            ("version", info.version),
            ("host", info.host),
            ("process", str(info.pid)),
            ("up for", duration(info.uptime_s)),
            ("data", info.data_directory),
            ("ring", info.ring_path),
            ("Arrow Flight", info.flight_address),
            ("devices", ", ".join(info.devices)),
            ("features", ", ".join(info.features)),
            ("sandbox", ", ".join(layers)),
            ("not active", Cell("; ".join(weak), "yellow")),
            ("software", _pairs(info.versions)),
        ]
    )
    for warning in info.warnings:
        output.line(Cell(warning, "bold red"))
    output.fields((name, f"{value:g}") for name, value in sorted(info.counters.items()))


def render_runs(output: Output, page: RunPage) -> None:
    """A page of the catalogue."""
    if not page.runs:
        output.line("no runs")
        return
    rows = [
        (
            output.short(run.run_id),
            run.name,
            outcome_cell(run.outcome),
            str(run.points),
            format_time(run.started_ns),
            _run_duration(run),
            run.script_name,
        )
        for run in page.runs
    ]
    output.table(["id", "name", "outcome", "points>", "started", "duration>", "script"], rows)
    if page.total > len(page.runs):
        output.note(f"{len(page.runs)} of {page.total} runs; --limit and --offset show others")


def _run_duration(run: RunSummary) -> str:
    return duration((run.ended_ns - run.started_ns) / 1e9) if run.ended_ns else ""


def render_run(output: Output, detail: RecordedRun) -> None:
    """Everything on record about a run, and its columns."""
    run = detail.summary
    output.fields(
        [
            ("run", run.run_id),
            ("name", run.name),
            ("outcome", outcome_cell(run.outcome)),
            ("reason", run.reason),
            ("ended by", run.by),
            ("started", format_time(run.started_ns)),
            ("duration", _run_duration(run)),
            ("user", run.user),
            ("script", run.script_name),
            ("execution", run.execution_id),
            ("parameters", _pairs(detail.start.parameters)),
            ("metadata", _pairs(run.metadata)),
            ("points", run.points_in_words.replace(" points", "", 1)),
            ("file", run.path),
        ]
    )
    rows = [
        (stream.name, column.name, column.units, _holds(column), column.role)
        for stream in detail.streams
        for column in stream.columns
    ]
    if rows:
        output.table(["stream", "column", "units", "holds", "role"], rows[:_MOST_COLUMNS])
    if len(rows) > _MOST_COLUMNS:
        output.note(f"{_MOST_COLUMNS} of {len(rows)} columns; --json tells all")


_MOST_COLUMNS, _MOST_PAIRS = 64, 24
_KINDS = {
    "f": "numbers", "i": "whole numbers", "u": "whole numbers", "c": "complex numbers",
    "b": "true or false", "U": "texts", "O": "texts", "S": "texts",
}  # fmt: skip
"""By numpy's letter."""


def _holds(column: Column) -> str:
    """What a column is made of, in words: `numbers`, `images of 480 x 640 whole numbers`."""
    letter = next((c for c in column.dtype if c.isalpha()), "O")
    words = _KINDS.get(letter, column.dtype)
    if not column.shape:
        return words
    lengths = " x ".join(str(length) for length in column.shape)
    what = {1: "waveforms", 2: "images"}.get(len(column.shape), "arrays")
    return f"{what} of {lengths} {words}"


def _pairs(values: Mapping[str, object]) -> str:
    shown = [f"{key}={value}" for key, value in islice(values.items(), _MOST_PAIRS)]
    more = len(values) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
