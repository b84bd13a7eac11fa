"""Keeps executions on record, behind their backs: no stop ever waits for a database."""

from __future__ import annotations

import logging

import trio

from daq.core import StorageError
from daq.experiment.execution import Execution
from daq.storage import Ledger

__all__ = ["RecordKeeper"]

log = logging.getLogger(__name__)

LINES_IN_MEMORY = 1000
"""Of an execution that runs; those who watch it read these, whoever comes late reads the record."""
RETRY_S = 5.0
FINISH_S = 5.0


class RecordKeeper:
    """Writes what changed. What cannot be written now, on a full disk, is tried again later."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._unsaved: dict[str, Execution] = {}
        self._saved_lines: dict[str, int] = {}
        self._changed = trio.Event()

    def __repr__(self) -> str:
        return f"<RecordKeeper, {len(self._unsaved)} unsaved>"

    def note(self, execution: Execution) -> None:
        """Something about the execution changed."""
        self._unsaved[execution.id] = execution
        self._changed.set()

    def holds(self, execution: Execution) -> bool:
        """Whether something about the execution is not on record yet."""
        return execution.id in self._unsaved

    async def run(self) -> None:
        """Write changes until cancelled. Whoever changed something last calls `finish` then."""
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            if not await self._save_all():
                await trio.sleep(RETRY_S)
                self._changed.set()

    async def finish(self) -> None:
        """Write what is left, also when cancelled, in bounded time."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + FINISH_S):
            await self._save_all()

    async def _save_all(self) -> bool:
        while self._unsaved:
            execution = self._unsaved.pop(next(iter(self._unsaved)))
            try:
                await self._save(execution)
            except StorageError as error:
                self._unsaved.setdefault(execution.id, execution)
                log.warning("execution %s is not on record yet: %s", execution.id[:8], error)
                return False
        return True

    async def _save(self, execution: Execution) -> None:
        saved = self._saved_lines.get(execution.id, 0)
        output = execution.output_since(saved)
        final = execution.finished.is_set()
        await self._ledger.save_execution(execution.record(), execution.result)
        if output:
            await self._ledger.append_output(execution.id, output)
            self._saved_lines[execution.id] = saved = saved + len(output)
        if final:
            self._saved_lines.pop(execution.id, None)
        execution.forget_output(saved if final else saved - LINES_IN_MEMORY)
