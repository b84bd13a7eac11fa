"""Which devices people have taken out of use: remembered while the daemon is down."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import trio

from daq.core import StorageError
from daq.supervision.json_file import read_json, write_json

__all__ = ["Disabled", "OutOfUse"]

logger = logging.getLogger(__name__)


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
        self._devices: dict[str, Disabled] = {}
        self._turn = trio.Lock()
        try:
            known = {} if path is None else read_json(path)
            self._devices = {name: Disabled(**each) for name, each in known.items()}
        except FileNotFoundError:
            return
        except (AttributeError, TypeError) as error:
            logger.error("devices that were disabled are in use again: %s: %s", path, error)  # noqa: TRY400
        except StorageError as error:
            logger.error("devices that were disabled are in use again: %s", error)  # noqa: TRY400

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
            document = {name: asdict(each) for name, each in self._devices.items()}
            await trio.to_thread.run_sync(write_json, self._path, document)
