"""What is known of devices and must outlive the daemon: a record each, in one file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

import trio

from daq.core import StorageError
from daq.supervision.json_file import read_kept, write_json

__all__ = ["Kept"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

VERSION = 1
"""A document without one is of a time before versions, and holds the records alone."""


class Kept(Generic[T]):
    """Records by device id; those who watch a device are told of its record in words.

    Args:
        path: The file that holds them; without one they are forgotten with the daemon.
        key: Under which they stand there.
        parse: Makes one of what stands there: a dataclass whose `str` is for people.
    """

    def __init__(
        self, path: Path | None, key: str, parse: Callable[[Mapping[str, Any]], T]
    ) -> None:
        def parse_all(document: Mapping[str, Any]) -> dict[str, T]:
            records = document[key] if "version" in document else document
            return {name: parse(each) for name, each in records.items()}

        self._path = path
        self._key = key
        self._watchers: dict[str, Callable[[str], None]] = {}
        self._changed = trio.Event()
        self._turn = trio.Lock()
        self._doubted: set[str] = set()
        known, self.damage = (None, "") if path is None else read_kept(path, VERSION, parse_all)
        """Why nobody knows what was kept, in words."""
        self._records: dict[str, T] = known or {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(self._records) or 'none'}>"

    def watch(self, device_id: str, tell: Callable[[str], None]) -> None:
        """Tell somebody of a device's record in words, now and whenever it changes."""
        self._watchers[device_id] = tell
        self._tell(device_id)

    def find(self, device_id: str) -> T | None:
        """The record of a device."""
        return self._records.get(device_id)

    def doubt(self, device_id: str) -> str:
        """Why nobody knows what was kept of a device; said once, so that it can be settled."""
        if device_id in self._doubted:
            return ""
        self._doubted.add(device_id)
        return self.damage

    async def keep(self) -> None:
        """Write every change down until cancelled, and the last one then."""
        while True:
            try:
                await self._changed.wait()
            finally:
                if self._changed.is_set():
                    self._changed = trio.Event()
                    with trio.CancelScope(shield=True):
                        await self._save()

    def _put(self, device_id: str, record: T | None) -> None:
        """Remember a record, or forget it."""
        if record is None:
            self._records.pop(device_id, None)
        else:
            self._records[device_id] = record
        self._changed.set()
        self._tell(device_id)

    async def _save(self) -> None:
        try:
            await self._write()
        except StorageError as error:
            logger.error("a restart would forget its %s: %s", self._key, error)  # noqa: TRY400

    async def _write(self) -> None:
        """Write all of it down now. Raises StorageError."""
        async with self._turn:  # what is written last is what is true last
            if self._path is None:
                return
            records = {name: asdict(each) for name, each in self._records.items()}  # type: ignore[call-overload]
            document = {"version": VERSION, self._key: records}
            await trio.to_thread.run_sync(write_json, self._path, document)

    def _tell(self, device_id: str) -> None:
        record = self._records.get(device_id)
        if device_id in self._watchers:
            self._watchers[device_id]("" if record is None else str(record))
