"""What notebooks show of devices, runs, executions and errors. Pure: values in, HTML out.

All text is escaped: a label, a reason or what a script printed is never markup.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from daq.core import (
    DaqError,
    DeviceDescription,
    DeviceSnapshot,
    DeviceState,
    ExecutionState,
    ExecutionView,
    RunOutcome,
    RunSummary,
    axis_label,
    format_quantity,
    format_time,
)
from daq.wire.convert import RecordedStream

__all__ = [
    "device_html",
    "devices_html",
    "error_html",
    "execution_html",
    "progress_html",
    "reading_html",
    "run_html",
    "runs_html",
    "table_html",
]

MOST_NAMES = 24
"""Columns, or keys of metadata, that are shown of a run."""

# One green, amber and red that can be told apart on light and on dark pages.
_GOOD, _BUSY, _BAD, _PLAIN = "#2e9e5b", "#c98a00", "#d0453c", "#808080"
_STATE_COLOURS: Mapping[str, str] = {
    DeviceState.READY: _GOOD,
    DeviceState.CONNECTING: _BUSY,
    DeviceState.DEGRADED: _BUSY,
    DeviceState.STALE: _BUSY,
    DeviceState.BUSY: _BUSY,
    DeviceState.OFFLINE: _BAD,
    ExecutionState.COMPLETED: _GOOD,
    ExecutionState.PENDING: _BUSY,
    ExecutionState.RUNNING: _BUSY,
    ExecutionState.PAUSED: _BUSY,
    ExecutionState.STOPPING: _BUSY,
    ExecutionState.ERROR: _BAD,
    ExecutionState.KILLED: _BAD,
    RunOutcome.COMPLETED: _GOOD,
    RunOutcome.KILLED: _BAD,
    RunOutcome.FAILED: _BAD,
    RunOutcome.INTERRUPTED: _BAD,
    "open": _BUSY,
}
_CELL = "text-align:left;padding:1px 10px 1px 0;vertical-align:top"
_LONGEST = 2000
LONGEST_LINE = 100
_MEASURED = ("position", "reading", "value")
"""Fields of a state that are in the units of the device."""


def device_html(description: DeviceDescription, snapshot: DeviceSnapshot | None) -> str:
    """A device: what it is, how it is now, what can be called on it; `snapshot` None: unknown."""
    rows: list[tuple[object, object]] = [("driver", description.driver)]
    if snapshot is not None:
        rows += [(name, _with_units(name, v, description)) for name, v in snapshot.fields.items()]
        rows += [("reason", snapshot.reason)] if snapshot.reason else []
        rows += [("does", snapshot.activity)] if snapshot.activity else []
    if description.limits is not None:
        rows.append(("limits", f"{description.limits} {description.units}"))
    if description.resolution is not None:
        rows.append(("resolution", "{} x {} px".format(*description.resolution)))
    if description.parameters:
        rows.append(("parameters", ", ".join(p.name for p in description.parameters)))
    rows.append(("offers", ", ".join(operation.name for operation in description.operations)))
    state = snapshot.state if snapshot is not None else "unknown"
    return _card(_title(description.id, description.label, state), _facts(rows))


def devices_html(devices: Iterable[tuple[DeviceDescription, DeviceSnapshot]]) -> str:
    """The bench: one line a device."""
    rows = [
        (
            description.id,
            description.label,
            _Markup(_badge(snapshot.state)),
            _newest(description, snapshot),
            description.driver,
        )
        for description, snapshot in devices
    ]
    return table_html(("device", "", "state", "now", "driver"), rows)


def reading_html(name: str, value: Any, units: str) -> str:
    """A reading: the number with its units, or what kind of array it is."""
    shape = getattr(value, "shape", ())
    if shape:
        text = f"{' x '.join(str(n) for n in shape)} {value.dtype} {units}".rstrip()
        text += f", {value.min():.5g} to {value.max():.5g}" if value.size else ""
    else:
        text = format_quantity(value, units)
    return f"<div><b>{_text(name)}</b>&nbsp; {_text(text)}</div>"


def run_html(summary: RunSummary, streams: Sequence[RecordedStream] = ()) -> str:
    """A run: how it ended, what it holds, what the user said about it."""
    rows: list[tuple[object, object]] = [("began", format_time(summary.started_ns))]
    if summary.ended_ns:
        rows.append(("took", f"{(summary.ended_ns - summary.started_ns) / 1e9:.3g} s"))
    rows += [("reason", summary.reason)] if summary.reason else []
    rows += [("script", summary.script_name)] if summary.script_name else []
    rows += [("user", summary.user)] if summary.user else []
    for stream in streams:
        columns = ", ".join(axis_label(c.name, c.units) for c in stream.columns[:MOST_NAMES])
        more = _more(len(stream.columns))
        rows.append((stream.name, f"{stream.points} points of {columns}{more}"))
    rows += islice(summary.metadata.items(), MOST_NAMES)
    if more := _more(len(summary.metadata)):
        rows.append(("...", f"metadata{more}"))
    outcome = summary.outcome or "open"
    title = _title(summary.name or "run", summary.run_id[:8], outcome)
    return _card(title, _facts(rows))


def _more(count: int) -> str:
    return f" and {count - MOST_NAMES} more" if count > MOST_NAMES else ""


def runs_html(summaries: Iterable[RunSummary], total: int) -> str:
    """The newest runs of the catalogue, a line each."""
    rows = [
        (
            s.run_id[:8],
            s.name,
            _Markup(_badge(s.outcome or "open")),
            s.points,
            format_time(s.started_ns),
        )
        for s in summaries
    ]
    head = f"<div>{total} runs, newest first</div>"
    return head + table_html(("id", "name", "outcome", "points", "began"), rows)


def execution_html(view: ExecutionView) -> str:
    """An execution: state, progress, line, and how it ended."""
    record = view.record
    rows: list[tuple[object, object]] = []
    if record.parameters:
        rows.append(("parameters", ", ".join(f"{k}={v}" for k, v in record.parameters.items())))
    rows.append(("elapsed", f"{view.elapsed_s:.1f} s"))
    rows += [("runs", ", ".join(i[:8] for i in record.run_ids))] if record.run_ids else []
    rows += [("message", record.message)] if record.message else []
    rows += [("result", repr(view.result))] if view.result is not None else []
    trace = f"<pre>{_text(record.traceback)}</pre>" if record.traceback else ""
    return progress_html(view) + _card("", _facts(rows) + trace)


def progress_html(view: ExecutionView, name: str = "") -> str:
    """The bar, the state and the live line of an execution."""
    record = view.record
    done = min(max(record.progress or 0.0, 0.0), 1.0)
    if record.state is ExecutionState.COMPLETED:
        done = 1.0
    colour = _STATE_COLOURS.get(record.state, _PLAIN)
    bar = (
        '<span style="display:inline-block;width:240px;height:9px;border:1px solid #8888;'
        f'border-radius:5px;overflow:hidden"><span style="display:block;height:100%;'
        f'width:{done:.1%};background:{colour}"></span></span>'
    )
    times = f"{view.elapsed_s:.1f} s"
    if view.remaining_s and not record.state.is_final:
        times += f", {view.remaining_s:.0f} s left"
    line = ""
    if record.line and record.state is not ExecutionState.COMPLETED:
        line = f"line {record.line}: {view.source_line.strip()[:LONGEST_LINE]}"
    head = f"<b>{_text(name or record.script_name)}</b> {_badge(record.state)}"
    return (
        f"<div>{head} {bar} {done:.0%} <small>{_text(times)}</small> "
        f"<i>{_text(view.progress_message)}</i><br><small><code>{_text(line)}</code></small></div>"
    )


def error_html(error: DaqError) -> str:
    """An error: its class, what, where and why, and what to do."""
    head = f'<b style="color:{_BAD}">{_text(type(error).__name__)}</b>'
    advice = f'<div style="margin-top:3px">{_text(error.advice)}</div>' if error.advice else ""
    notes = "".join(f"<pre>{_text(note)}</pre>" for note in getattr(error, "__notes__", ()))
    message = f'<div style="white-space:pre-wrap">{_text(error.message)}</div>'
    style = f"border-left:3px solid {_BAD};padding-left:8px"
    return f'<div style="{style}">{head}{message}{advice}{notes}</div>'


def table_html(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; its cells are texts."""
    head = "".join(f'<th style="{_CELL}">{_text(h)}</th>' for h in heads)
    lines = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{_cell(cell)}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


class _Markup(str):
    """Text that this module made as markup, with everything in it escaped."""

    __slots__ = ()


def _cell(value: object) -> str:
    return value if isinstance(value, _Markup) else _text(value)


def _text(value: object) -> str:
    text = str(value)
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}..."
    return html.escape(text)


def _badge(state: object) -> str:
    colour = _STATE_COLOURS.get(str(state), _PLAIN)
    return f'<span style="color:{colour}">&#9679;</span>&nbsp;{_text(state)}'


def _title(name: str, more: str, state: object) -> str:
    return f"<div><b>{_text(name)}</b> {_text(more)} &nbsp;{_badge(state)}</div>"


def _card(title: str, body: str) -> str:
    return f'<div style="padding:2px 0">{title}{body}</div>'


def _facts(rows: Iterable[tuple[object, object]]) -> str:
    lines = "".join(
        f'<tr><td style="{_CELL};opacity:0.7">{_text(name)}</td>'
        f'<td style="{_CELL}">{_text(value)}</td></tr>'
        for name, value in rows
    )
    return f"<table><tbody>{lines}</tbody></table>" if lines else ""


def _with_units(name: str, value: object, description: DeviceDescription) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if name in _MEASURED:
        return format_quantity(value, description.units)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _newest(description: DeviceDescription, snapshot: DeviceSnapshot) -> str:
    for name in _MEASURED:
        if name in snapshot.fields:
            return _with_units(name, snapshot.fields[name], description)
    return snapshot.activity
