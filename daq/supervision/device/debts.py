"""What devices are owed: the stop, or the safe state, that could not be done when it was due."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daq.supervision.kept import Kept

__all__ = ["Debt", "Debts"]

logger = logging.getLogger(__name__)


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


class Debts(Kept[Debt]):
    """The debts by device id. A restart of the daemon pays none of them, so they are kept.

    Args:
        path: The file that holds them; without one they are forgotten with the daemon.
        now_ns: The daemon's time.
    """

    def __init__(self, path: Path | None, now_ns: Callable[[], int]) -> None:
        super().__init__(path, "debts", _parse)
        self._now_ns = now_ns

    def watch(self, device_id: str, tell: Callable[[str], None]) -> None:
        """Tell somebody of a device's debt in words, now and whenever it changes.

        Each is owed its safe state when nobody can know what it was owed.
        """
        super().watch(device_id, tell)
        if why := self.doubt(device_id):
            self.add(device_id, safe=True, reason=f"nobody knows what it was owed: {why}")

    def add(self, device_id: str, *, safe: bool, reason: str) -> None:
        """It was not stopped, or not made safe. The first reason stays; safe is more than stop."""
        debt = self.find(device_id)
        if debt is not None and debt.safe >= safe:
            return
        since_ns = self._now_ns() if debt is None else debt.since_ns
        debt = Debt(safe, reason.removeprefix(f"{device_id}: "), since_ns)
        logger.warning("%s: it is owed %s", device_id, debt)
        self._put(device_id, debt)

    def settle(self, device_id: str, *, safe: bool) -> None:
        """It was stopped, or made safe, which is more."""
        debt = self.find(device_id)
        if debt is None or debt.safe > safe:
            return
        logger.info("%s: it was owed %s; that is done", device_id, debt)
        self._put(device_id, None)


def _parse(record: Mapping[str, Any]) -> Debt:
    return Debt(bool(record["safe"]), str(record["reason"]), int(record["since_ns"]))
