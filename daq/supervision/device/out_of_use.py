"""Which devices people have taken out of use: remembered while the daemon is down."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import trio

from daq.supervision.json_file import read_kept, write_json

__all__ = ["Disabled", "OutOfUse"]

logger = logging.getLogger(__name__)

VERSION = 1
"""A document without one is of a time before versions, and holds the devices alone."""


@dataclass(frozen=True, slots=True)
class Disabled:
    """One device's leave."""

    reason: str
    """Who disabled it and why."""
    since_ns: int
    """ns since the epoch."""


class OutOfUse:
    """The disabled devices by id, those too that are not configured now.

    Args:
        path: The file that holds them; without one they are forgotten with the daemon.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._turn = trio.Lock()
        known, damage = (None, "") if path is None else read_kept(path, VERSION, _parse)
        self._devices = known or {}
        if damage:
            logger.error("devices that were disabled are in use again: %s", damage)

    def __repr__(self) -> str:
        return f"<OutOfUse: {', '.join(self._devices) or 'none'}>"

    def find(self, device_id: str) -> Disabled | None:
        """Since when and why it is disabled, if it is."""
        return self._devices.get(device_id)

    async def add(self, device_id: str, disabled: Disabled) -> None:
        """Remember it until `remove`. Raises StorageError."""
        self._devices[device_id] = disabled
        await self._save()

    async def remove(self, device_id: str) -> None:
        """It is in use again. Raises StorageError."""
        if self._devices.pop(device_id, None) is not None:
            await self._save()

    async def _save(self) -> None:
        async with self._turn:  # what is written last is what is true last
            if self._path is None:
                return
            devices = {name: asdict(each) for name, each in self._devices.items()}
            document = {"version": VERSION, "devices": devices}
            await trio.to_thread.run_sync(write_json, self._path, document)


def _parse(document: Mapping[str, Any]) -> dict[str, Disabled]:
    devices = document["devices"] if "version" in document else document
    return {
        name: Disabled(str(each["reason"]), int(each["since_ns"])) for name, each in devices.items()
    }
