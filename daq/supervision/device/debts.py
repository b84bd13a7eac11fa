"""What devices are owed: the stop, or the safe state, that could not be done when it was due."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import trio

from daq.core import StorageError
from daq.supervision.json_file import read_kept, write_json

__all__ = ["Debt", "Debts"]

logger = logging.getLogger(__name__)

VERSION = 1
"""A document without one is of a time before versions, and holds the debts alone."""


@dataclass(frozen=True, slots=True)
class Debt:
    """What one device is owed."""

    safe: bool
    """Its safe state; else that it is stopped."""
    reason: str
    """Why it was not done."""
    since_ns: int
    """ns since the epoch."""

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since_ns / 1e9, UTC)
        what = "its safe state" if self.safe else "a stop"
        return f"{what} since {since:%Y-%m-%d %H:%M:%S} UTC: {self.reason}"


class Debts:
    """The debts by device id. A restart of the daemon pays none of them, so they are kept.

    Args:
        path: The file that holds them; without one they are forgotten with the daemon.
        now_ns: The daemon's time.
    """

    def __init__(self, path: Path | None, now_ns: Callable[[], int]) -> None:
        self._path = path
        self._now_ns = now_ns
        self._watchers: dict[str, Callable[[str], None]] = {}
        self._changed = trio.Event()
        known, self._damage = (None, "") if path is None else read_kept(path, VERSION, _parse)
        self._debts = known or {}

    def __repr__(self) -> str:
        return f"<Debts: {', '.join(self._debts) or 'none'}>"

    def watch(self, device_id: str, tell: Callable[[str], None]) -> None:
        """Tell somebody of a device's debt in words, now and whenever it changes.

        Each is owed its safe state when nobody can know what it was owed.
        """
        is_new = device_id not in self._watchers
        self._watchers[device_id] = tell
        if self._damage and is_new:
            self.add(device_id, safe=True, reason=f"nobody knows what it was owed: {self._damage}")
        self._tell(device_id)

    def find(self, device_id: str) -> Debt | None:
        """What a device is owed."""
        return self._debts.get(device_id)

    def add(self, device_id: str, *, safe: bool, reason: str) -> None:
        """It was not stopped, or not made safe. The first reason stays; safe is more than stop."""
        debt = self._debts.get(device_id)
        if debt is not None and debt.safe >= safe:
            return
        since_ns = self._now_ns() if debt is None else debt.since_ns
        reason = reason.removeprefix(f"{device_id}: ")
        self._debts[device_id] = Debt(safe, reason, since_ns)
        logger.warning("%s: it is owed %s", device_id, self._debts[device_id])
        self._change(device_id)

    def settle(self, device_id: str, *, safe: bool) -> None:
        """It was stopped, or made safe, which is more."""
        debt = self._debts.get(device_id)
        if debt is None or debt.safe > safe:
            return
        del self._debts[device_id]
        logger.info("%s: it was owed %s; that is done", device_id, debt)
        self._change(device_id)

    async def keep(self) -> None:
        """Write every change down until cancelled, and the last one then."""
        try:
            while True:
                await self._changed.wait()
                self._changed = trio.Event()
                await self._save()
        finally:
            with trio.CancelScope(shield=True):
                if self._changed.is_set():
                    await self._save()

    async def _save(self) -> None:
        if self._path is None:
            return
        debts = {name: asdict(debt) for name, debt in self._debts.items()}
        document = {"version": VERSION, "debts": debts}
        try:
            await trio.to_thread.run_sync(write_json, self._path, document)
        except StorageError as error:
            logger.error("a restart would forget what devices are owed: %s", error)  # noqa: TRY400

    def _change(self, device_id: str) -> None:
        self._changed.set()
        self._tell(device_id)

    def _tell(self, device_id: str) -> None:
        debt = self._debts.get(device_id)
        if device_id in self._watchers:
            self._watchers[device_id]("" if debt is None else str(debt))


def _parse(document: Mapping[str, Any]) -> dict[str, Debt]:
    debts = document["debts"] if "version" in document else document
    return {
        name: Debt(bool(each["safe"]), str(each["reason"]), int(each["since_ns"]))
        for name, each in debts.items()
    }
