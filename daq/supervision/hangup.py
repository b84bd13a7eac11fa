"""SIGHUP: the configuration is read again, or the terminal is gone."""

from __future__ import annotations

import logging
import os
import signal

import trio

from daq.core import DaqError
from daq.supervision.reloading import Reloader

__all__ = ["reload_on_hangup"]

log = logging.getLogger(__name__)


async def reload_on_hangup(
    reloader: Reloader, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """SIGHUP reads the configuration again; what is wrong with it is logged and changes nothing.

    That of a terminal that was closed ends the daemon, as it ends every program in it.
    """
    had_terminal = _has_terminal()
    with trio.open_signal_receiver(signal.SIGHUP) as hangups:
        task_status.started()
        async for _ in hangups:
            if had_terminal and not _has_terminal():
                signal.raise_signal(signal.SIGTERM)
                return
            try:
                await reloader.reload(by="SIGHUP")
            except DaqError as error:
                log.error("the configuration was not read again: %s", error)  # noqa: TRY400
            except Exception:
                log.exception("the configuration was not read again: a defect of the daemon")


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
