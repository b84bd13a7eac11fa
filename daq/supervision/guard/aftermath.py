"""What the daemon before this one has left to be done: its last wills, when its guard died too."""

from __future__ import annotations

import fcntl
import logging
import os
import select
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from daq.supervision.guard.process import keeping
from daq.supervision.guard.process.daemon import Daemon
from daq.supervision.guard.process.wills import act
from daq.supervision.json_file import read_kept

__all__ = ["carry_out_what_is_left"]

logger = logging.getLogger(__name__)

PREDECESSOR_S = 5.0
"""How long an earlier daemon's guard may still be at work; it needs 2 s."""
_LOOK_S = 0.05


def carry_out_what_is_left(directory: Path) -> None:
    """Wait for an earlier daemon's guard, or end it, and do what it has not done. Blocks.

    A report of what was done is then among the guard's reports in this directory.
    """
    if not directory.is_dir():
        return
    # Not truncated: it says which process holds it.
    with (directory / "lock").open("a+", encoding="utf-8") as lock:
        is_ours = _wait_for(lock.fileno(), PREDECESSOR_S)
        kept, _ = read_kept(directory / keeping.KEPT, keeping.VERSION, _kept)
        if kept is not None and _lives(kept):
            logger.warning("another daemon lives that keeps its last wills in %s", directory)
        elif not is_ours and not _take_from(lock.fileno(), directory):
            logger.error("the guard of a daemon that is gone is still at work in %s", directory)
        elif kept is not None:
            _carry_out(directory, kept["orders"])


def _kept(document: Mapping[str, Any]) -> Mapping[str, Any]:
    _ = document["boot"], document["born"], document["orders"]["wills"], document["orders"]["pid"]
    return document


def _carry_out(directory: Path, orders: Mapping[str, Any]) -> None:
    logger.error("a daemon and its guard have ended together: their last wills are carried out")
    nobody = Daemon({**orders, "pid": -1, "kill_frozen": False}, lambda: False)
    report = act(dict(orders), "it died together with its guard, found at this start", nobody)
    try:
        keeping.write_report({**orders, "directory": str(directory)}, report)
        keeping.forget(directory)
    except OSError as error:
        logger.error("what was done cannot be written down: %s: %s", error, report)  # noqa: TRY400


def _lives(kept: Mapping[str, Any]) -> bool:
    """Whether the daemon of these wills is there: the same process, not one of its number."""
    if kept["boot"] != keeping.boot() or kept["born"] is None:
        return False
    return bool(keeping.started_at(kept["orders"]["pid"]) == kept["born"])


def _take_from(lock: int, directory: Path) -> bool:
    """Whether the lock is ours now: a guard that is stopped, whose daemon is gone, is ended.

    It would act when it goes on, in the middle of what is done then.
    """
    pid = _holder(directory)
    if pid is None:
        return False
    logger.error("the guard %d of a daemon that is gone does not end: it is killed", pid)
    with suppress(OSError):
        pidfd = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            select.select([pidfd], [], [], PREDECESSOR_S)
        finally:
            os.close(pidfd)
    return _wait_for(lock, PREDECESSOR_S)


def _holder(directory: Path) -> int | None:
    """The guard that holds the lock; None for a process that is none."""
    lock = directory / "lock"
    with suppress(OSError, ValueError):
        pid = int(lock.read_text(encoding="ascii"))
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if os.fsencode(lock) in command:
            return pid
    return None


def _wait_for(lock: int, seconds: float) -> bool:
    """Take the lock, until this file is closed; False when another holds it all the time."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_S)
        else:
            return True
