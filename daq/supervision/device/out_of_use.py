"""Which devices people have taken out of use: remembered while the daemon is down."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daq.supervision.kept import Kept

__all__ = ["Disabled", "OutOfUse"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Disabled:
    """One device's leave."""

    reason: str
    """Who disabled it and why."""
    since_ns: int
    """ns since the epoch."""


class OutOfUse(Kept[Disabled]):
    """The disabled devices by id, those too that are not configured now.

    Args:
        path: The file that holds them; without one they are forgotten with the daemon.
    """

    def __init__(self, path: Path | None = None) -> None:
        super().__init__(path, "devices", _parse)
        if self.damage:
            logger.error("devices that were disabled are in use again: %s", self.damage)

    async def add(self, device_id: str, disabled: Disabled) -> None:
        """Remember it until `remove`. Raises StorageError."""
        self._put(device_id, disabled)
        await self._write()

    async def remove(self, device_id: str) -> None:
        """It is in use again. Raises StorageError."""
        if self.find(device_id) is not None:
            self._put(device_id, None)
            await self._write()


def _parse(record: Mapping[str, Any]) -> Disabled:
    return Disabled(str(record["reason"]), int(record["since_ns"]))
