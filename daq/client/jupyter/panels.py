"""Panels of buttons and values: jog a motor, read a detector, watch and stop an execution.

A panel works while no cell runs: the kernel handles one thing at a time. So begin with
`bench.start(...)` or `%%daq --background`, which return at once, and watch that.
"""

from __future__ import annotations

import html
import threading
from collections.abc import Callable
from typing import Any, Self

import ipywidgets

from daq.client.bench.detector import Detector
from daq.client.bench.motor import Motor
from daq.client.bench.readings import Readings
from daq.client.blocking.blocking_stream import BlockingStream
from daq.client.blocking.call import FOREVER_S
from daq.client.blocking.status import Status
from daq.client.calls.models import ExecutionUpdate, PositionUpdate
from daq.client.sending.execution import Execution
from daq.client.showing.html import error_html, progress_html
from daq.core import DaqError, format_quantity

__all__ = ["ExecutionPanel", "JogPanel", "Panel", "ReadoutPanel", "jog", "readout", "watch"]

RATE_HZ = 5
JOIN_S = 5.0
MOST_OUTPUT = 20_000
"""Characters of output that are kept on the page."""


class Panel:
    """A widget whose values follow the bench until it is closed."""

    def __init__(self) -> None:
        self.message = ipywidgets.HTML()
        """What went wrong last."""
        self.widget: Any = None
        """The ipywidget, to be put beside others."""
        self._streams: list[BlockingStream[Any]] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.widget._repr_mimebundle_(**options)

    def close(self) -> None:
        """Follow no longer; the widget stays as it is."""
        for stream in tuple(self._streams):
            stream.close()
        for thread in self._threads:
            thread.join(JOIN_S)

    def button(
        self, label: str, tooltip: str, action: Callable[[], object], style: str = ""
    ) -> Any:
        """A button; what its action raises is shown in the panel."""
        button = ipywidgets.Button(
            description=label, tooltip=tooltip, button_style=style, layout=_width(70)
        )
        button.on_click(lambda _: self._guarded(action))
        return button

    def show_error(self, error: BaseException | None) -> None:
        """Show an error, or with None that there is none any more."""
        if isinstance(error, DaqError):
            self.message.value = error_html(error)
        else:
            self.message.value = error_html(DaqError(str(error))) if error else ""

    def follow(self, stream: BlockingStream[Any], show: Callable[[Any], object]) -> None:
        """Give each item of the stream to `show`, in a thread."""
        self._streams.append(stream)

        def read() -> None:
            try:
                for item in stream:
                    show(item)
            finally:
                stream.close()
                self._streams.remove(stream)

        self.begin(read)

    def begin(self, action: Callable[[], object]) -> None:
        """Do something that takes time, in a thread: the kernel stays free for the next button."""
        thread = threading.Thread(target=self._guarded, args=(action,), daemon=True)
        self._threads = [t for t in self._threads if t.is_alive()]
        self._threads.append(thread)
        thread.start()

    def _guarded(self, action: Callable[[], object]) -> None:
        try:
            action()
        except DaqError as error:
            self.show_error(error)


class JogPanel(Panel):
    """Steps to both sides, a target, a stop; the position live."""

    def __init__(self, motor: Motor, step: float) -> None:
        super().__init__()
        self._motor = motor
        self.position = ipywidgets.Label()
        self.step = ipywidgets.FloatText(step, layout=_width(90))
        self.target = ipywidgets.FloatText(motor.position, layout=_width(110))
        self.back = self.button("-", "one step back", lambda: self._step(-1.0))
        self.forth = self.button("+", "one step forth", lambda: self._step(1.0))
        self.go = self.button("Go", "move to the target", self._go)
        self.halt = self.button("Stop", "stop now", self._stop, "danger")
        units = ipywidgets.Label(motor.units)
        row = [
            ipywidgets.HTML(f"<b>{html.escape(motor.name)}</b>"),
            self.position,
            self.back,
            self.step,
        ]
        row += [self.forth, self.target, units, self.go, self.halt]
        self.widget = ipywidgets.VBox([ipywidgets.HBox(row), self.message])
        portal = motor.portal
        self.follow(
            portal.stream(lambda c: c.streams.positions(motor.name, RATE_HZ), depth=2), self._show
        )

    def _show(self, update: PositionUpdate) -> None:
        moving = " ..." if update.is_moving else ""
        self.position.value = format_quantity(update.position, self._motor.units, 6) + moving

    def _step(self, direction: float) -> None:
        self._watch(self._motor.move_relative(direction * self.step.value, wait=False))

    def _go(self) -> None:
        self._watch(self._motor.move(self.target.value, wait=False))

    def _stop(self) -> None:
        self.begin(self._motor.stop)

    def _watch(self, status: Status[float]) -> None:
        self.show_error(None)
        status.add_callback(self._ended)

    def _ended(self, status: Status[float]) -> None:
        error = status.exception()
        if error is not None:  # one that ended well does not take away what another one said
            self.show_error(error)


class ReadoutPanel(Panel):
    """The reading of a detector in large figures, once or live."""

    def __init__(self, detector: Detector, rate_hz: int) -> None:
        super().__init__()
        self._detector = detector
        self._rate_hz = rate_hz
        self._live: BlockingStream[Readings] | None = None
        self.value = ipywidgets.HTML(_figures("--"))
        self.read = self.button("Read", "take one reading", lambda: self.begin(self._read_once))
        self.live = ipywidgets.ToggleButton(description="Live", layout=_width(70))
        self.live.observe(self._switch, "value")
        name = ipywidgets.HTML(f"<b>{html.escape(detector.name)}</b>")
        row = ipywidgets.HBox([name, self.value, self.read, self.live])
        self.widget = ipywidgets.VBox([row, self.message])

    def _read_once(self) -> None:
        self._show(self._detector.read())
        self.show_error(None)

    def _show(self, readings: Readings) -> None:
        self.value.value = _figures(repr(readings).partition(": ")[2])

    def _switch(self, change: dict[str, Any]) -> None:
        if change["new"]:
            self._live = self._detector.stream(self._rate_hz)
            self.follow(self._live, self._show)
        elif self._live is not None:
            self._live.close()


class ExecutionPanel(Panel):
    """Bar, live line and output of an execution; pause, stop, force stop."""

    def __init__(self, execution: Execution) -> None:
        super().__init__()
        self._execution = execution
        self.progress = ipywidgets.HTML()
        self.output = ipywidgets.Textarea(disabled=True, layout=ipywidgets.Layout(width="640px"))
        self.pause = self.button(
            "Pause", "pause at the next checkpoint", self._hold(execution.pause)
        )
        self.resume = self.button("Resume", "let it go on", self._hold(execution.resume))
        self.stop = self.button("Stop", "stop; its cleanup runs", self._hold(self._stop), "warning")
        self.force = self.button("Force", "kill it, make safe", self._hold(self._kill), "danger")
        self._buttons = [self.pause, self.resume, self.stop, self.force]
        self.widget = ipywidgets.VBox(
            [self.progress, ipywidgets.HBox(self._buttons), self.output, self.message]
        )
        self.follow(execution.watch(), self._show)

    def wait_end(self, timeout: float | None = None) -> bool:
        """Wait until the panel has shown the end of the execution."""
        for thread in self._threads:
            thread.join(FOREVER_S if timeout is None else timeout)
        return not any(thread.is_alive() for thread in self._threads)

    def _show(self, update: ExecutionUpdate) -> None:
        self.progress.value = progress_html(update.view)
        for line in update.output:
            self.output.value = f"{self.output.value}{line.text}\n"[-MOST_OUTPUT:]
        if update.view.record.state.is_final:
            for button in self._buttons:
                button.disabled = True

    def _hold(self, action: Callable[[], object]) -> Callable[[], None]:
        return lambda: self.begin(action)

    def _stop(self) -> None:
        self._execution.stop(reason="the notebook's Stop button")

    def _kill(self) -> None:
        self._execution.stop(force=True, reason="the notebook's Force button")


def jog(motor: Motor, step: float = 0.1) -> JogPanel:
    """Buttons to move a motor by `step` (in its units) and to a target, and to stop it."""
    return JogPanel(motor, step)


def readout(detector: Detector, rate_hz: int = RATE_HZ) -> ReadoutPanel:
    """The reading of a detector, when asked for or live."""
    return ReadoutPanel(detector, rate_hz)


def watch(execution: Execution) -> ExecutionPanel:
    """What an execution does, with buttons to pause and to stop it."""
    return ExecutionPanel(execution)


def _width(pixels: int) -> Any:
    return ipywidgets.Layout(width=f"{pixels}px")


def _figures(text: str) -> str:
    return f'<span style="font-size:150%;font-family:monospace">{html.escape(text)}</span>'
