"""The execution queue: scripts are kept, executions wait, run one at a time and stay on record."""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import trio

from daq.core import (
    AmbiguousError,
    DaqError,
    ExecutionRecord,
    ExecutionState,
    ExecutionView,
    NotFoundError,
    OutputLine,
    OverloadError,
    Program,
    ProgramFactory,
    Script,
    ScriptCheck,
    StateError,
    StopReport,
    Transition,
    convert_parameters,
    did_you_mean,
    require_short_json,
    require_small,
)
from daq.core.values import plain_mapping
from daq.experiment.control import ExecutionControl, StopOrder, already_ended
from daq.experiment.execution import Execution, source_line
from daq.experiment.interlocked import InterlockedPrograms
from daq.experiment.record_keeper import RecordKeeper
from daq.storage import Storage
from daq.supervision import PauseRule, Supervisor

__all__ = ["ExecutionQueue"]

log = logging.getLogger(__name__)

MAX_WAITING = 1000
MAX_WAITING_OF_ONE = 100
"""Executions of one user that may wait."""
NAME_CHARACTERS = 200
METADATA_ITEMS = 100
METADATA_CHARACTERS = 64 << 10
"""Of a script: they are read in every list of scripts."""
PARAMETERS = 1000
PARAMETER_CHARACTERS = 1 << 20
PARAMETER_DEPTH = 32
PARAMETER_NUMBERS = 100_000
PAUSE_ANSWER_S = 0.5
"""How long `pause` waits for the next checkpoint before it answers that it is still to come."""
OUTPUT_LINES = 1000
"""At most so many lines of an execution's output are read at a time."""
KEPT = 100
"""So many executions are kept in memory after their end; of older ones the record is."""


class ExecutionQueue:
    """Runs executions one after the other: the bench is one, and so is what moves on it."""

    def __init__(
        self,
        factory: ProgramFactory,
        supervisor: Supervisor,
        storage: Storage,
        now_ns: Callable[[], int],
        grace_s: float = 5.0,
        pause_rules: Mapping[str, PauseRule] = MappingProxyType({}),
    ) -> None:
        self._factory = factory
        self._supervisor = supervisor
        self._storage = storage
        self._ledger = storage.ledger
        self._now_ns = now_ns
        self._grace_s = grace_s
        self._pause_rules = pause_rules
        self.interlocked = InterlockedPrograms(grace_s)
        """What interlocks may do here."""
        self._scripts: dict[str, Script] = {}
        self._past: dict[str, ExecutionRecord] = {}
        self._executions: dict[str, Execution] = {}
        self._waiting: list[Execution] = []
        self._running: ExecutionControl | None = None
        self._arrived = trio.Event()
        self._closing = False
        self._keeper = RecordKeeper(storage.ledger)

    # ------------------------------------------------------------------------------------ running

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Load what is on record, then run what is queued until cancelled."""
        self._scripts = {script.id: script for script in await self._ledger.load_scripts()}
        for record in await self._ledger.load_executions():
            self._past[record.id] = await self._close_orphan(record)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keeper.run)
                task_status.started()
                while True:
                    await self._run_next()
        finally:
            await self._keeper.finish()

    async def _close_orphan(self, record: ExecutionRecord) -> ExecutionRecord:
        """An execution that was not over when the daemon died ended there and then."""
        if record.state.is_final:
            return record
        reason = f"the daemon ended while it was {record.state}"
        end = Transition(ExecutionState.KILLED, self._now_ns(), reason)
        closed = replace(record, transitions=(*record.transitions, end), message=reason)
        await self._ledger.save_execution(closed)
        return closed

    async def _run_next(self) -> None:
        while not self._waiting:
            self._arrived = trio.Event()
            await self._arrived.wait()
        execution = self._waiting.pop(0)
        for waiting in self._waiting:
            waiting.touch()  # it moved up
        try:
            program = self._program(execution)
        except DaqError as error:  # what it asked for is not allowed any more
            execution.end_unstarted(ExecutionState.ERROR, error.message)
            return
        self._running = control = ExecutionControl(
            execution, program, self._supervisor, self._storage, self._pause_rules
        )
        self.interlocked.begin(control)
        try:
            await control.run()
        finally:
            self._running = None
            self.interlocked.end()
            self._keep_records_of_ended()

    def is_idle(self) -> bool:
        """Whether nothing runs."""
        return self._running is None

    def _program(self, execution: Execution) -> Program:
        script = execution.script
        return self._factory.program(
            script.source,
            filename(script.name),
            execution.parameters,
            execution.id,
            execution.limits,
        )

    def _keep_records_of_ended(self) -> None:
        """Keep only the record of those that ended long ago."""
        ended = [e for e in self._executions.values() if e.finished.is_set()]
        for execution in ended[:-KEPT]:
            if not self._keeper.holds(execution):
                self._past[execution.id] = execution.record()
                del self._executions[execution.id]

    async def shutdown(self, reason: str) -> None:
        """Take nothing new, cancel what waits, stop what runs gracefully."""
        self._closing = True
        for execution in tuple(self._waiting):
            await self.stop(execution.id, reason=reason)
        if self._running is not None:
            await self.stop(self._running.execution.id, reason=reason)

    async def clear(self, user: str, reason: str, by: str) -> list[str]:
        """Take out those that wait, of one user or of all; the ids of those taken out."""
        ids = [each.id for each in self._waiting if user in ("", each.user)]
        for execution_id in ids:
            await self.stop(execution_id, reason=reason or "the queue was cleared", user=by)
        return ids

    def reconfigure(self, pause_rules: Mapping[str, PauseRule], grace_s: float) -> None:
        """What the configuration says now; the grace counts for stops, the rules for executions."""
        self._pause_rules = pause_rules
        self._grace_s = self.interlocked.grace_s = grace_s

    # ------------------------------------------------------------------------------------ scripts

    async def check(self, source: str, name: str, user: str = "") -> ScriptCheck:
        """Check a script against the language policy without keeping it."""
        return await self._factory.check(source, filename(name), user)

    async def upload(
        self, source: str, name: str, metadata: Mapping[str, str], user: str = ""
    ) -> tuple[Script | None, ScriptCheck]:
        """Check a script and keep it; the same text under the same name is kept once.

        Raises OverloadError for a name or metadata that are too large.
        """
        name = name.strip() or "script"
        require_small(name, "the name of a script", items=0, characters=NAME_CHARACTERS, depth=0)
        require_small(
            metadata,
            "the metadata of a script",
            items=METADATA_ITEMS,
            characters=METADATA_CHARACTERS,
            depth=1,
        )
        check = await self._factory.check(source, filename(name), user)
        if not check.accepted:
            return None, check
        sha256 = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
        for known in self._scripts.values():
            if (known.sha256, known.name, known.metadata) == (sha256, name, dict(metadata)):
                return known, check
        script = Script(
            id=uuid.uuid4().hex,
            name=name,
            source=source,
            sha256=sha256,
            uploaded_ns=self._now_ns(),
            metadata=dict(metadata),
            parameters=check.parameters,
            description=check.description,
        )
        await self._ledger.save_script(script)
        self._scripts[script.id] = script
        return script, check

    def scripts(self) -> list[Script]:
        """All scripts, newest first."""
        return sorted(self._scripts.values(), key=lambda s: s.uploaded_ns, reverse=True)

    def script(self, ref: str) -> Script:
        """Find a script by id, unique prefix of one, or name (the newest of that name)."""
        if not ref:
            if len(self._scripts) == 1:
                return next(iter(self._scripts.values()))
            raise NotFoundError("no script was named", advice="`scripts` lists what is there")
        for script in self.scripts():
            if ref in (script.id, script.name, script.name.removesuffix(".py")):
                return script
        names = (script.name for script in self._scripts.values())
        return self._scripts[_unique_prefix(ref, self._scripts, "script", names)]

    # --------------------------------------------------------------------------------- executions

    async def start(
        self,
        script_ref: str,
        parameters: Mapping[str, Any],
        user: str,
        limits: Mapping[str, float] = MappingProxyType({}),
    ) -> str:
        """Queue an execution, with lower limits than the sandbox's where `limits` says so.

        Parameters are values, or the texts that people type for them. Raises ParameterError when
        `main` declares something else, and for other limits.
        """
        self._refuse_at_end()
        self._require_room(user)
        require_small(
            parameters,
            "the parameters of an execution",
            items=PARAMETERS,
            characters=PARAMETER_CHARACTERS,
            depth=PARAMETER_DEPTH,
            numbers=PARAMETER_NUMBERS,
        )
        require_short_json(*(text for text in parameters.values() if isinstance(text, str)))
        script = self.script(script_ref)
        values = plain_mapping(convert_parameters(script.parameters, parameters))
        self._factory.check_limits(limits)
        execution = Execution(
            uuid.uuid4().hex, script, values, user, self._now_ns, self._keeper.note, limits
        )
        await self._ledger.save_execution(execution.record())
        self._refuse_at_end()  # the next start closes its record
        self._executions[execution.id] = execution
        self._waiting.append(execution)
        self._arrived.set()
        return execution.id

    def _require_room(self, user: str) -> None:
        own = sum(waiting.user == user for waiting in self._waiting)
        if own >= MAX_WAITING_OF_ONE:
            raise OverloadError(
                f"{own} executions of {user or 'nobody in particular'} are waiting already, "
                "which is the limit for one user",
                advice="`queue clear` takes them out",
            )
        if len(self._waiting) >= MAX_WAITING:
            raise OverloadError(f"{MAX_WAITING} executions are waiting already, which is the limit")

    def _refuse_at_end(self) -> None:
        if self._closing:
            raise StateError("the daemon is shutting down and starts nothing new")

    def view(self, ref: str = "") -> ExecutionView:
        """One execution by id, prefix or script name; without, the one that runs or ran last."""
        return self._view(self._resolve(ref))

    async def view_with_result(self, ref: str = "") -> ExecutionView:
        """The same; what one returned that ended long ago is taken from the record."""
        view = self.view(ref)
        if view.record.id in self._executions:
            await trio.lowlevel.checkpoint()
            return view
        return replace(view, result=await self._ledger.load_result(view.record.id))

    def matching(self, script_id: str = "", state: str = "") -> list[str]:
        """Ids of the executions, newest first."""
        return [
            record.id
            for record in self._records()
            if script_id in ("", record.script_id, record.script_name)
            and state.upper() in ("", record.state)
        ]

    async def output(self, execution_id: str, after: int = 0) -> tuple[list[OutputLine], int]:
        """Some output from line number `after` on, and the number to ask for next.

        There was no more, for now, when that is the same number.
        """
        execution = self._executions.get(execution_id)
        if execution is not None and after >= execution.forgotten:
            lines = execution.output_since(after)[:OUTPUT_LINES]
        else:
            lines = await self._ledger.load_output(execution_id, after, OUTPUT_LINES)
        return lines, after + len(lines)

    async def wait_changed(self, execution_id: str, version: int) -> int:
        """Wait until its version is higher; one from before the restart never changes."""
        if execution_id not in self._executions:
            await trio.sleep_forever()
        return await self._executions[execution_id].wait_changed(version)

    async def locate(self, ref: str = "") -> int:
        """The exact line on which it is now, also inside a long C call."""
        execution_id = self._resolve(ref)
        if self._running is None or self._running.execution.id != execution_id:
            await trio.lowlevel.checkpoint()
            return self._view(execution_id).record.line
        return await self._running.locate()

    async def stop(
        self,
        ref: str = "",
        *,
        force: bool = False,
        grace_s: float | None = None,
        reason: str = "",
        user: str = "",
    ) -> StopReport:
        """Stop an execution, or the one that runs; returns when the end is verified."""
        order = StopOrder(force, self._grace_s if grace_s is None else grace_s, reason, user)
        execution_id = self._resolve(ref, active=True)
        if self._running is not None and self._running.execution.id == execution_id:
            return await self._running.stop(order)
        record = self._view(execution_id).record
        if record.state.is_final:
            return already_ended(record)
        execution = self._executions[execution_id]
        self._waiting.remove(execution)
        execution.end_unstarted(ExecutionState.STOPPED, f"cancelled before it started ({order})")
        return StopReport(execution.id, execution.state, execution.message, 0.0)

    async def pause(self, ref: str = "", user: str = "") -> ExecutionView:
        """Pause at the next checkpoint; the view says whether it is there yet.

        What the pause means for the devices is done at once, wherever the script stands.
        """
        execution_id, control = self._controlled(ref)
        control.pause(user)
        with trio.move_on_after(PAUSE_ANSWER_S):
            await control.wait_paused()
        return self._view(execution_id)

    def pause_outstanding(self, execution_id: str) -> tuple[str, ...]:
        """What a pause that was asked for has not yet reached; empty when it has."""
        if self._running is None or self._running.execution.id != execution_id:
            return ()
        return self._running.pause_outstanding()

    async def resume(self, ref: str = "", user: str = "") -> ExecutionView:
        """Go on after a pause."""
        execution_id, control = self._controlled(ref)
        await control.resume(user)
        return self._view(execution_id)

    # ------------------------------------------------------------------------------------ finding

    def _records(self) -> list[ExecutionRecord]:
        live = [execution.record() for execution in self._executions.values()]
        everything: Iterable[ExecutionRecord] = (*live, *self._past.values())
        return sorted(everything, key=lambda r: r.transitions[0].timestamp_ns, reverse=True)

    def _view(self, execution_id: str) -> ExecutionView:
        execution = self._executions.get(execution_id)
        if execution is not None:
            position = self._waiting.index(execution) + 1 if execution in self._waiting else 0
            return execution.view(position)
        record = self._past[execution_id]
        script = self._scripts.get(record.script_id)
        text = source_line(script, record.line) if script else ""
        elapsed = (record.ended_ns - record.started_ns) / 1e9 if record.started_ns else 0.0
        return ExecutionView(record, 0, text, elapsed_s=elapsed)

    def _controlled(self, ref: str) -> tuple[str, ExecutionControl]:
        execution_id = self._resolve(ref, active=True)
        if self._running is None or self._running.execution.id != execution_id:
            state = self._view(execution_id).record.state
            raise StateError(f"execution {execution_id[:8]} is {state}, it does not run")
        return execution_id, self._running

    def _resolve(self, ref: str, *, active: bool = False) -> str:
        """The id behind `ref`; `active` asks for one that could be stopped when no id is given."""
        if not ref:
            return self._default(active=active)
        if ref in self._executions or ref in self._past:
            return ref
        ids = [*self._executions, *self._past]
        records = self._records()
        named = [r.id for r in records if ref in (r.script_name, r.script_name.removesuffix(".py"))]
        running = [
            i for i in named if i in self._executions and not self._executions[i].state.is_final
        ]
        if len(running) > 1:
            raise AmbiguousError(f"{ref!r} fits {len(running)} executions: {_short(running)}")
        names = (record.script_name for record in records)
        return (running or named or [_unique_prefix(ref, ids, "execution", names)])[0]

    def _default(self, *, active: bool) -> str:
        if self._running is not None:
            return self._running.execution.id
        if len(self._waiting) == 1:
            return self._waiting[0].id
        records = self._records()
        if active or not records:
            raise NotFoundError(
                "no execution is running", advice="`executions` lists the past ones"
            )
        return records[0].id


def filename(name: str) -> str:
    """What stands in tracebacks for a script of this name."""
    return name if name.endswith(".py") else f"{name}.py"


def _short(ids: Sequence[str]) -> str:
    return ", ".join(i[:8] for i in ids[:5]) + (", ..." if len(ids) > 5 else "")


def _unique_prefix(ref: str, ids: Iterable[str], what: str, names: Iterable[str]) -> str:
    fits = [i for i in ids if i.startswith(ref)]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise AmbiguousError(f"{ref!r} fits {len(fits)} {what}s: {_short(fits)}")
    listed = f"`{what}s` lists what is there"
    meant = did_you_mean(ref, names)
    raise NotFoundError(f"no {what} is called {ref!r}", advice=meant or listed)
