"""Runs that a person opens from a client, without a script."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import trio

from daq.core import Event, NotFoundError, RunOutcome, RunSummary, StateError, StorageError
from daq.experiment.live_run import LiveRun, refuse_repeated
from daq.experiment.provenance import Provenance
from daq.storage import Storage
from daq.supervision import Supervisor

__all__ = ["ManualRuns"]

log = logging.getLogger(__name__)


class ManualRuns:
    """At most one open manual run: manual work happens on one bench, by one person at a time."""

    def __init__(self, supervisor: Supervisor, storage: Storage, now_ns: Callable[[], int]) -> None:
        self._supervisor = supervisor
        self._storage = storage
        self._now_ns = now_ns
        self._run: LiveRun | None = None
        self._opening = False
        self._storing = trio.Lock()

    async def start(
        self, name: str, metadata: Mapping[str, Any], user: str, durability: str = "process"
    ) -> str:
        """Open a run; returns its id. Raises StateError while another is open."""
        if self._run is not None or self._opening:
            name = self._run.name if self._run else "another"
            raise StateError(
                f"manual run {name!r} is still open", advice="stop it before you start another"
            )
        self._opening = True
        try:
            start = await Provenance(user=user).start_of_run(
                self._supervisor,
                name=name or "manual",
                metadata=metadata,
                now_ns=self._now_ns(),
                durability=durability,
            )
            self._run = LiveRun(await self._storage.open_run(start), self._supervisor)
        finally:
            self._opening = False
        return self._run.run_id

    async def record(
        self,
        run_id: str,
        device_ids: Sequence[str],
        values: Mapping[str, Any],
        units: Mapping[str, str] = MappingProxyType({}),
    ) -> Event:
        """Read the devices and store one event; returns it as stored."""
        run = self._find(run_id)
        refuse_repeated(device_ids)
        blocks = await self._supervisor.acquire(device_ids)
        async with self._storing:  # events are numbered, and two clients may record at once
            return await run.store(blocks, values, "primary", self._now_ns(), units)

    async def stop(
        self,
        run_id: str,
        reason: str,
        user: str,
        outcome: RunOutcome = RunOutcome.COMPLETED,
    ) -> RunSummary:
        """Close the run; returns when its file is complete."""
        return await self._close(self._find(run_id), outcome, reason, user)

    async def shutdown(self, reason: str) -> None:
        """Close the open run, if any, because the daemon ends."""
        if self._run is None:
            return
        try:
            await self._close(self._run, RunOutcome.STOPPED, reason, "")
        except StorageError as error:
            log.error("the manual run could not be closed: %s", error)  # noqa: TRY400

    async def _close(self, run: LiveRun, outcome: RunOutcome, reason: str, user: str) -> RunSummary:
        """However that ends, the run takes no more, and the next one may begin."""
        try:
            return await run.close(outcome, self._now_ns(), reason, user)
        finally:
            if self._run is run:  # of two who close it, the second must not forget the next one
                self._run = None

    def _find(self, run_id: str) -> LiveRun:
        if self._run is None:
            raise NotFoundError("no manual run is open", advice="open one with StartRun first")
        if not self._run.run_id.startswith(run_id):
            raise NotFoundError(f"{run_id!r} is not the open manual run {self._run.run_id}")
        return self._run
