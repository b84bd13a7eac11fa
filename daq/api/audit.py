"""The audit: who changed what and when, a line each, in files that are only ever appended to."""

from __future__ import annotations

import json
import logging
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import betterproto
import trio

from daq.core import AuditEntry, DaqError, brief

__all__ = ["Audit", "describe_call"]

logger = logging.getLogger(__name__)

FILE_BYTES = 8 << 20
FILES = 12
"""At most so many, the newest first: `audit.jsonl`, `audit.1.jsonl`, ..."""
WAITING = 10_000
"""Lines that may wait for a disk that stalls; those that do not fit are counted in another line."""
READ_LINES = 1000
_OBJECTS = ("device_id", "execution_id", "script_id", "run_id", "name", "interlock")
"""Fields that say on what a call acts, the first that is given counts."""
_HIDDEN = frozenset({"script_content", "user"})
_SHOWN_FIELDS = 12


@dataclass(slots=True)
class _Call:
    """The call in whose task it is asked, until it has ended."""

    request: Any = None


_CALL: ContextVar[_Call | None] = ContextVar("audited call", default=None)


def describe_call(request: object) -> None:
    """Tell the audit what the current call asks for."""
    call = _CALL.get()
    if call is not None:
        call.request = request


@dataclass
class Audit:
    """Notes calls without waiting for anything; `run` writes them, `read` finds them again.

    Args:
        directory: Where the files are; None keeps nothing.
    """

    directory: Path | None = None
    _waiting: deque[AuditEntry] = field(default_factory=deque)
    _lost: int = 0
    _arrived: trio.Event = field(default_factory=trio.Event)
    _writing: trio.Lock = field(default_factory=trio.Lock)

    @contextmanager
    def noting(self, method: str, *, user: str, token: str, peer: str) -> Iterator[None]:
        """Note the call that is made in the block, with how it ended."""
        call = _Call()
        reset = _CALL.set(call)
        began, clock = time.time_ns(), time.monotonic()
        outcome, message = "ok", ""
        try:
            yield
        except DaqError as error:
            outcome, message = error.kind, brief(error.message)
            raise
        except Exception as error:
            outcome, message = "internal", brief(f"{type(error).__name__}: {error}")
            raise
        except BaseException:
            outcome = "cancelled"
            raise
        finally:
            _CALL.reset(reset)
            target, details = _described(call.request)
            duration = round(time.monotonic() - clock, 3)
            self.note(
                AuditEntry(
                    began, user, token, peer, method, target, details, outcome, message, duration
                )
            )

    def note(self, entry: AuditEntry) -> None:
        """Keep one line for the file."""
        if self.directory is None:
            return
        if len(self._waiting) >= WAITING:
            self._lost += 1
            return
        self._waiting.append(entry)
        self._arrived.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write until cancelled; what waits then is still written, for a second at most."""
        task_status.started()
        try:
            while True:
                await self._arrived.wait()
                self._arrived = trio.Event()
                await self._write()
        finally:
            with trio.move_on_after(1, shield=True):
                await self._write()

    async def _write(self) -> None:
        async with self._writing:
            entries, lost = list(self._waiting), self._lost
            taken = len(entries)
            if self.directory is None or not entries:
                return
            if lost:
                entries.append(_loss(lost))
            lines = "".join(json.dumps(asdict(entry)) + "\n" for entry in entries)
            try:
                await trio.to_thread.run_sync(
                    _append, self.directory, lines.encode(), abandon_on_cancel=True
                )
            except OSError as error:
                logger.error("the audit cannot be written: %s", error.strerror)  # noqa: TRY400
                self._lost += taken
            else:
                self._lost -= lost
            for _ in range(taken):
                self._waiting.popleft()

    async def read(
        self, since_ns: int = 0, until_ns: int = 0, limit: int = READ_LINES
    ) -> list[AuditEntry]:
        """The newest entries between two times, newest first; 0 for no bound."""
        if self.directory is None:
            return []
        await self._write()
        wanted = min(limit or READ_LINES, READ_LINES)
        return await trio.to_thread.run_sync(_read, self.directory, since_ns, until_ns, wanted)


def _loss(lines: int) -> AuditEntry:
    return AuditEntry(time.time_ns(), "", "", "", "audit", outcome="lost", message=f"{lines} lines")


def _described(request: Any) -> tuple[str, str]:
    """On what a call acts, and the rest of what it asks for, in short."""
    if not isinstance(request, betterproto.Message):
        return "", ""
    described: Any = type(cast("Any", request))._betterproto  # noqa: SLF001 - nothing is public
    names = described.sorted_field_names
    given = {name: value for name in names if (value := getattr(request, name))}
    object_name = next((name for name in _OBJECTS if name in given), "")
    rest = {name: given[name] for name in given if name not in _HIDDEN and name != object_name}
    shown = [f"{name}={_short(value)}" for name, value in list(rest.items())[:_SHOWN_FIELDS]]
    return brief(str(given.get(object_name, ""))), " ".join(shown)


def _short(value: object) -> str:
    if isinstance(value, dict):
        pairs = [f"{brief(str(key))}:{brief(str(item))}" for key, item in list(value.items())[:8]]
        return "{" + ", ".join(pairs) + (", ...}" if len(value) > len(pairs) else "}")
    if isinstance(value, list):
        return f"[{', '.join(brief(str(each)) for each in value[:8])}]"
    if isinstance(value, bytes | memoryview):
        return f"{len(value)} bytes"
    return brief(str(value))


# ------------------------------------------------------------------------------ in a thread: files


def _file(directory: Path, number: int) -> Path:
    return directory / (f"audit.{number}.jsonl" if number else "audit.jsonl")


def _append(directory: Path, lines: bytes) -> None:
    directory.mkdir(exist_ok=True, parents=True)
    newest = _file(directory, 0)
    if newest.exists() and newest.stat().st_size + len(lines) > FILE_BYTES:
        for number in range(FILES - 2, -1, -1):
            if _file(directory, number).exists():
                _file(directory, number).replace(_file(directory, number + 1))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(newest, flags, 0o640)
    try:
        os.write(descriptor, lines)
    finally:
        os.close(descriptor)


def _read(directory: Path, since_ns: int, until_ns: int, limit: int) -> list[AuditEntry]:
    found: list[AuditEntry] = []
    for number in range(FILES):
        try:
            lines = _file(directory, number).read_bytes().splitlines()
        except FileNotFoundError:
            break
        for line in reversed(lines):
            entry = _entry(line)
            if entry is None or (until_ns and entry.timestamp_ns >= until_ns):
                continue
            if entry.timestamp_ns < since_ns or len(found) >= limit:
                return found
            found.append(entry)
    return found


def _entry(line: bytes) -> AuditEntry | None:
    """A line of the file; None for half a one, which a power cut leaves behind."""
    try:
        return AuditEntry(**json.loads(line))
    except (ValueError, TypeError):
        return None
