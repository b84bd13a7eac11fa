"""A daemon of one's own, for the length of a `with` block."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from daq.core import CommunicationError, StorageError

__all__ = ["ANNOUNCEMENT", "ended_by_signals", "local_daemon"]

ANNOUNCEMENT = re.compile(r"daq is serving on (?P<address>\S+:\d+)")
"""What `daq serve` prints on stdout when clients can connect."""

START_TIMEOUT = 20.0
STOP_TIMEOUT = 15.0
LOG_LINES = 15


@asynccontextmanager
async def local_daemon(directory: Path, config: Path | None = None) -> AsyncIterator[str]:
    """Start a daemon that keeps its data in `directory`, and end it at the end of the block.

    Yields its address on the loopback interface, with a free port. Its log goes to
    `directory/daemon.log`; raises CommunicationError with the log's end when it does not come up.
    """
    log = _log_file(directory)
    process = await _start(directory, config, log)
    try:
        yield await _address(process, log)
    finally:
        await asyncio.shield(asyncio.create_task(_end(process)))


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and a lost terminal cancel the block's task, as Ctrl-C does: no daemon is left."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("needs a task to cancel")
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)


def _log_file(directory: Path) -> Path:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{directory}: cannot be made: {error.strerror}") from error
    return directory / "daemon.log"


async def _start(directory: Path, config: Path | None, log: Path) -> Process:
    command = [sys.executable, "-m", "daq", "serve", "--private", "--data-dir", str(directory)]
    if config is not None:
        command += ["--config", str(config)]
    with log.open("ab") as log_file:
        # A session of its own: Ctrl-C at the terminal is for the command, which ends the daemon
        # in good order, not for the daemon itself.
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=log_file,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )


async def _address(process: Process, log: Path) -> str:
    try:
        async with asyncio.timeout(START_TIMEOUT):
            address = await _announced(process)
    except TimeoutError:
        raise _failed(f"the daemon was not ready within {START_TIMEOUT:g} s", log) from None
    if address is None:
        status = await process.wait()
        raise _failed(f"the daemon ended with exit status {status} before it was ready", log)
    return address


async def _announced(process: Process) -> str | None:
    if process.stdout is None:
        return None
    async for line in process.stdout:
        match = ANNOUNCEMENT.search(line.decode(errors="replace"))
        if match:
            return match["address"]
    return None


def _failed(message: str, log: Path) -> CommunicationError:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
    tail = "\n".join(f"  {line}" for line in lines)
    return CommunicationError(
        f"{message}; its log ends with\n{tail}" if tail else message,
        advice=f"the whole log is in {log}",
    )


async def _end(process: Process) -> None:
    """SIGTERM, and SIGKILL when that does not help in time."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await process.wait()
    except (TimeoutError, asyncio.CancelledError):
        process.kill()
        await process.wait()
