"""One execution: what it is, how it is, what it printed. `control` conducts it while it runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import trio

from daq.core import (
    DeviceStop,
    ExecutionRecord,
    ExecutionState,
    ExecutionView,
    Log,
    OutputLine,
    Program,
    Script,
)
from daq.experiment.execution_state import Lifecycle
from daq.experiment.provenance import Provenance

__all__ = ["Execution", "source_line"]

log = logging.getLogger(__name__)


class Execution:
    """One start of a script, from its place in the queue to its verified end."""

    def __init__(
        self,
        execution_id: str,
        script: Script,
        parameters: Mapping[str, Any],
        user: str,
        now_ns: Callable[[], int],
        on_change: Callable[[Execution], None],
        limits: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self.id = execution_id
        self.script = script
        self.parameters = parameters
        self.user = user
        self.limits = limits
        """Those that are lower than the sandbox's."""
        self.now_ns = now_ns
        self.program: Program | None = None
        """There once it started, also after it ended."""
        self.ended_at = 0
        """The line that ended it: the program itself has moved on to leave its `with` blocks."""
        self.message = ""
        self.traceback = ""
        self.result: Any = None
        """What `main` returned."""
        self.result_refused = ""
        """Why that could not be kept."""
        self.finished = trio.Event()
        """Set when the end is verified: hardware safe, run closed."""
        self._on_change = on_change
        self._life = Lifecycle(now_ns)
        self._version = 0
        self._changed = trio.Event()
        self._output: list[OutputLine] = []
        self._forgotten = 0
        self._progress_message = ""
        self._run_ids: tuple[str, ...] = ()
        self.device_stops: Callable[[], tuple[DeviceStop, ...]] = tuple
        """What each device did when it was made safe, with what is owed as of now."""

    def __repr__(self) -> str:
        return f"<Execution {self.id[:8]} {self.script.name!r} {self.state}>"

    @property
    def state(self) -> ExecutionState:
        return self._life.state

    @property
    def line(self) -> int:
        """The line that is being executed, or was last; 0 before the first."""
        return self.ended_at or (self.program.line if self.program else 0)

    @property
    def progress(self) -> float | None:
        """0 to 1, or None while nothing is known."""
        if self.state is ExecutionState.COMPLETED:
            return 1.0
        return self.program.progress if self.program else None

    def record(self) -> ExecutionRecord:
        """What is kept of it, as of now."""
        return ExecutionRecord(
            id=self.id,
            script_id=self.script.id,
            script_name=self.script.name,
            parameters=self.parameters,
            user=self.user,
            transitions=self._life.history,
            message=self.message,
            traceback=self.traceback,
            line=self.line,
            progress=self.progress,
            run_ids=self._run_ids,
        )

    def view(self, queue_position: int = 0) -> ExecutionView:
        """How it is at this moment."""
        record = self.record()
        elapsed = self._life.active_ns() / 1e9
        return ExecutionView(
            record,
            self._version,
            source_line=source_line(self.script, record.line),
            progress_message=self._progress_message,
            elapsed_s=elapsed,
            remaining_s=_remaining(record, elapsed),
            queue_position=queue_position,
            result=self.result,
            result_refused=self.result_refused,
            devices=self.device_stops(),
        )

    def provenance(self) -> Provenance:
        """What the record of its runs says about where they come from."""
        return Provenance(
            user=self.user,
            execution_id=self.id,
            script_id=self.script.id,
            script_name=self.script.name,
            script_source=self.script.source,
            script_sha256=self.script.sha256,
            parameters=self.parameters,
        )

    def output_since(self, index: int) -> list[OutputLine]:
        """What it printed, from line number `index` on, as far as it is still in memory."""
        return self._output[max(0, index - self._forgotten) :]

    @property
    def forgotten(self) -> int:
        """How many lines, from the first on, are only on record any more."""
        return self._forgotten

    def forget_output(self, before: int) -> None:
        """Let go of the lines with lower numbers, which are on record."""
        count = max(0, before - self._forgotten)
        del self._output[:count]
        self._forgotten += count

    async def wait_changed(self, seen: int) -> int:
        """Wait until the version is higher than `seen`; returns it."""
        while self._version <= seen:
            await self._changed.wait()
        return self._version

    def enter(self, state: ExecutionState, reason: str = "") -> None:
        """Change state, if the table allows it."""
        self._life.enter(state, reason)
        log.info("execution %s is %s%s", self.id[:8], state, f": {reason}" if reason else "")
        self.touch()

    def note(self, text: str) -> None:
        """Write down, in its history and its output, what somebody else did while it ran."""
        self._life.note(text)
        self.on_output(Log(text, "warning", self.line))

    def end_unstarted(self, state: ExecutionState, message: str) -> None:
        """End it before it ever ran: there is nothing to be made safe, or closed."""
        self.message = message
        self.enter(state, message)
        self.finished.set()

    def touch(self) -> None:
        """Tell those who watch that something about it changed."""
        self._version += 1
        changed, self._changed = self._changed, trio.Event()
        changed.set()
        self._on_change(self)

    def on_output(self, entry: Log) -> None:
        now = self.now_ns()
        texts = entry.text.splitlines() or [""]
        # A flood has thousands of lines, nearly all the same: each is kept once.
        lines = {text: OutputLine(now, entry.level, text, entry.line) for text in set(texts)}
        self._output += [lines[text] for text in texts]
        self.touch()

    def on_progress_message(self, message: str) -> None:
        self._progress_message = message
        self.touch()

    def on_run_opened(self, run_id: str) -> None:
        self._run_ids += (run_id,)
        self.touch()


def source_line(script: Script, line: int) -> str:
    """The text of a line of the script, without its indent; empty when there is no such line."""
    lines = script.source.splitlines()
    return lines[line - 1].strip() if 0 < line <= len(lines) else ""


def _remaining(record: ExecutionRecord, elapsed: float) -> float | None:
    """An even pace from here on is the best guess; none before one percent."""
    progress = record.progress
    if record.state.is_final or not progress or progress < 0.01:
        return None
    return elapsed * (1 - progress) / progress
