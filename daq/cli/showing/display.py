"""How an execution looks while it runs: on a terminal, in a pipe, as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from daq import client
from daq.cli.showing.output import Output
from daq.cli.showing.render import duration, percent, position_in_script, state_cell
from daq.client import ExecutionUpdate, Sample
from daq.core import ExecutionView, OutputLine, format_quantity

__all__ = ["Display", "display_for"]

_LEVEL_STYLES = {"output": "", "info": "cyan", "warning": "yellow", "error": "bold red"}


class Display(client.Display, Protocol):
    """One that may also show readings."""

    rate_hz: float
    """How many updates of line and progress a second make sense."""
    wants_readings: bool
    """Whether `reading` shows anything."""

    def reading(self, sample: Sample) -> None: ...


def display_for(output: Output) -> Display:
    """The display that fits where the output goes."""
    if output.as_json:
        return JsonDisplay(output)
    return LiveDisplay(output.console) if output.is_live else PlainDisplay(output)


class _QuietDisplay:
    """Nothing to set up, nothing to take down, no readings."""

    rate_hz = 2.0
    wants_readings = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to take down."""

    def reading(self, sample: Sample) -> None:
        """Readings are not part of this display."""


class JsonDisplay(_QuietDisplay):
    """A JSON document a line for each update."""

    rate_hz = 10.0

    def __init__(self, output: Output) -> None:
        self._output = output

    def update(self, update: ExecutionUpdate) -> None:
        self._output.record({"execution": update.view, "output": update.output})


class PlainDisplay(_QuietDisplay):
    """A line of text for each change of state, progress, or line, and for each line of output."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._last: tuple[str, ...] = ()

    def update(self, update: ExecutionUpdate) -> None:
        for line in update.output:
            self._output.line(f"{_clock(line.timestamp_ns)} | {line.text}")
        view = update.view
        state = view.record.state.value
        current = (state, percent(view.record.progress), position_in_script(view))
        if current != self._last:
            self._last = current
            self._output.line(f"{_clock()} {state:<9} {current[1]:>5} {current[2]}".rstrip())


class LiveDisplay:
    """A progress bar, the current line and the newest readings, redrawn in place."""

    rate_hz = 10.0
    wants_readings = True

    def __init__(self, console: Console) -> None:
        self._console = console
        self._view: ExecutionView | None = None
        self._readings: dict[str, Sample] = {}
        self._spinner = Spinner("dots")
        self._live = Live(
            console=console, get_renderable=self._render, refresh_per_second=10, transient=True
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, update: ExecutionUpdate) -> None:
        self._view = update.view
        for line in update.output:
            self._console.print(_output_text(line))

    def reading(self, sample: Sample) -> None:
        self._readings[sample.channel] = sample

    def _render(self) -> RenderableType:
        if self._view is None:
            return self._spinner
        view = self._view
        lines: list[RenderableType] = [_progress_line(view)]
        position = position_in_script(view)
        if position:
            lines.append(Text(f"  {position}", "dim", overflow="ellipsis", no_wrap=True))
        if self._readings:
            lines.append(_readings_line(self._readings))
        return Group(*lines)


def _progress_line(view: ExecutionView) -> Table:
    progress = view.record.progress
    state = state_cell(view.record.state)
    times = _steady(view.elapsed_s)
    if view.remaining_s and not view.record.state.is_final:
        times += f", {_steady(view.remaining_s)} left"
    bar = ProgressBar(total=None if progress is None else 1.0, completed=progress or 0.0, width=40)
    grid = Table.grid(padding=(0, 1))
    grid.add_row(
        Text(view.record.script_name, "bold"),
        Text(state.text, state.style),
        bar,
        Text(percent(progress)),
        Text(times, "dim"),
        Text(view.progress_message, "italic"),
    )
    return grid


def _steady(seconds: float) -> str:
    """A duration whose format does not change ten times a second."""
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)


def _readings_line(readings: dict[str, Sample]) -> Text:
    text = Text("  ", overflow="ellipsis", no_wrap=True)
    for channel, sample in sorted(readings.items()):
        text.append(f"{channel} ", "dim")
        text.append(format_quantity(sample.value, sample.units), "cyan")
        text.append("   ")
    return text


def _output_text(line: OutputLine) -> Text:
    return Text(line.text.rstrip("\n"), _LEVEL_STYLES.get(line.level, ""))


def _clock(timestamp_ns: int | None = None) -> str:
    now = (
        datetime.now(UTC)
        if timestamp_ns is None
        else datetime.fromtimestamp(timestamp_ns / 1e9, UTC)
    )
    return now.astimezone().strftime("%H:%M:%S")
