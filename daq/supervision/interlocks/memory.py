"""What interlocks must not forget while the daemon is down: what is latched, who acknowledged."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import trio

from daq.core import StorageError
from daq.supervision.json_file import read_json, write_json

__all__ = ["Acknowledgement", "InterlockMemory", "Latch"]

logger = logging.getLogger(__name__)

VERSION = 1


@dataclass(frozen=True, slots=True)
class Latch:
    """An interlock that has tripped and waits for a person."""

    reason: str
    since_ns: int
    """ns since the epoch."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who has reset an interlock last."""

    by: str
    at_ns: int
    """ns since the epoch."""
    note: str = ""


class InterlockMemory:
    """Latches and acknowledgements by the interlock's name, also of those not configured now.

    Args:
        path: The file that holds them; without one they are forgotten with the daemon.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._latches: dict[str, Latch] = {}
        self._acknowledged: dict[str, Acknowledgement] = {}
        self._turn = trio.Lock()
        self.damage = ""
        """Why nobody knows what was latched; empty when it is known."""
        if path is not None:
            self._load(path)

    def __repr__(self) -> str:
        return f"<InterlockMemory: latched: {', '.join(self._latches) or 'none'}>"

    def latch(self, name: str) -> Latch | None:
        """Why and since when it is latched, if it is, or if nobody can know that it is not."""
        if self.damage:
            return Latch(f"nobody knows whether it was latched: {self.damage}", 0)
        return self._latches.get(name)

    def acknowledgement(self, name: str) -> Acknowledgement | None:
        """Who has reset it last, if anybody has."""
        return self._acknowledged.get(name)

    async def keep(self, name: str, latch: Latch) -> None:
        """It is latched until `acknowledge`."""
        self._latches[name] = latch
        await self._save()

    async def acknowledge(self, name: str, acknowledgement: Acknowledgement) -> None:
        """It is not latched any more."""
        self._latches.pop(name, None)
        self._acknowledged[name] = acknowledgement
        await self._save()

    def _load(self, path: Path) -> None:
        try:
            document = read_json(path)
            if document["version"] > VERSION:
                raise ValueError(f"it is of version {document['version']}, made by a later daq")
            self._latches = {k: Latch(**v) for k, v in document["latches"].items()}
            self._acknowledged = {
                k: Acknowledgement(**v) for k, v in document["acknowledged"].items()
            }
        except FileNotFoundError:
            return
        except StorageError as error:
            self.damage = error.message
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            self.damage = f"{path} cannot be read: {error}"
        if self.damage:
            logger.error("%s; every interlock with `latched` counts as tripped", self.damage)

    async def _save(self) -> None:
        """A disk that is full must not keep anybody from making safe: it is told, not raised."""
        async with self._turn:  # what is written last is what is true last
            document: dict[str, Any] = {
                "version": VERSION,
                "latches": {name: asdict(each) for name, each in self._latches.items()},
                "acknowledged": {name: asdict(each) for name, each in self._acknowledged.items()},
            }
            if self._path is None:
                return
            try:
                await trio.to_thread.run_sync(write_json, self._path, document)
            except StorageError as error:
                logger.error("a restart would forget what is latched: %s", error.message)  # noqa: TRY400
