"""What interlocks must not forget while the daemon is down: what is latched, who acknowledged."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import trio

from daq.core import StorageError
from daq.supervision.json_file import read_kept, write_json

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
        self._damage = ""
        """Why nobody knows what was latched; empty when it is known."""
        self._known_since: set[str] = set()
        """What was acknowledged after the damage."""
        if path is not None:
            self._load(path)

    def __repr__(self) -> str:
        return f"<InterlockMemory: latched: {', '.join(self._latches) or 'none'}>"

    def latch(self, name: str) -> Latch | None:
        """Why and since when it is latched, if it is, or if nobody can know that it is not."""
        if self._damage and name not in self._latches and name not in self._known_since:
            return Latch(f"nobody knows whether it was latched: {self._damage}", 0)
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
        self._known_since.add(name)
        self._acknowledged[name] = acknowledgement
        await self._save()

    def _load(self, path: Path) -> None:
        known, damage = read_kept(path, VERSION, _parse)
        if known is not None:
            self._latches, self._acknowledged, self._damage, self._known_since = known
            return
        self._damage = damage
        if damage:
            logger.error("every interlock with `latched` counts as tripped: %s", damage)
            _write(path, self._document())  # the next start does not know it either

    async def _save(self) -> None:
        """Also when that is cancelled."""
        if self._path is None:
            return
        with trio.CancelScope(shield=True):
            async with self._turn:  # what is written last is what is true last
                await trio.to_thread.run_sync(_write, self._path, self._document())

    def _document(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "latches": {name: asdict(each) for name, each in self._latches.items()},
            "acknowledged": {name: asdict(each) for name, each in self._acknowledged.items()},
            "damage": self._damage,
            "known_since": sorted(self._known_since),
        }


def _write(path: Path, document: dict[str, Any]) -> None:
    """A disk that is full must not keep anybody from making safe: it is told, not raised."""
    try:
        write_json(path, document)
    except StorageError as error:
        logger.error("a restart would forget what is latched: %s", error.message)  # noqa: TRY400


Known = tuple[dict[str, Latch], dict[str, Acknowledgement], str, set[str]]


def _parse(document: Mapping[str, Any]) -> Known:
    return (
        {
            name: Latch(str(each["reason"]), int(each["since_ns"]))
            for name, each in document["latches"].items()
        },
        {name: Acknowledgement(**each) for name, each in document["acknowledged"].items()},
        str(document.get("damage", "")),
        set(document.get("known_since", ())),
    )
