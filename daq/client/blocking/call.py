"""An action of the asynchronous client under way in another thread."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from daq.client.calls.async_client import AsyncClient
from daq.core import StateError

__all__ = ["FOREVER_S", "Action", "Call"]

FOREVER_S = threading.TIMEOUT_MAX
"""How long to wait where there is no limit. Where a library such as polars has put a signal handler
of its own, Linux goes on with a wait without a timeout, and Python hears of Ctrl-C at its end."""

Result = TypeVar("Result")
Action = Callable[[AsyncClient], Awaitable[Result]]


class Call(Generic[Result]):
    """An action under way in the portal's thread. Its future is done only when the action is."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.future: Future[Result] = Future()
        self._loop = loop
        self._pid = os.getpid()
        self._task: asyncio.Task[Result] | None = None
        self._cancelled = False

    @property
    def is_here(self) -> bool:
        """Whether this is the process that began it, not one that was forked since."""
        return self._pid == os.getpid()

    def check_here(self) -> None:
        """Raise StateError in a forked process, where nobody would ever end the wait for it."""
        if not self.is_here and not self.future.done():
            raise StateError(
                f"this was begun in process {self._pid}, of which this one is a fork",
                advice="wait for it there, or begin anew here",
            )

    def cancel(self) -> None:
        """Ask it to end; `future` is done when it has."""
        if self.is_here:
            with contextlib.suppress(RuntimeError):  # the loop is closed, so it has ended
                self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        self._cancelled = True
        if self._task is not None:
            self._task.cancel()

    def begin(self, action: Action[Result], client: AsyncClient) -> None:
        """Start it; runs in the loop's thread."""
        self.future.set_running_or_notify_cancel()
        self._task = self._loop.create_task(_as_coroutine(action, client))
        self._task.add_done_callback(self._finish)
        if self._cancelled:
            self._task.cancel()

    def _finish(self, task: asyncio.Task[Result]) -> None:
        if task.cancelled():
            self.future.set_exception(asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(task.result())


async def _as_coroutine(action: Action[Result], client: AsyncClient) -> Result:
    return await action(client)
