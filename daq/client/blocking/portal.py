"""The way from ordinary code to the asynchronous client: one background thread with a loop.

Any thread may call. A process that was forked gets a thread and a connection of its own at its
first call: those of its parent stayed there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from daq.client.blocking.blocking_stream import BlockingStream
from daq.client.blocking.call import FOREVER_S, Action, Call
from daq.client.calls.async_client import AsyncClient
from daq.core import CommunicationError, StateError

__all__ = ["Portal"]

log = logging.getLogger(__name__)

CANCEL_S = 3.0
"""How long an interrupted call may take to clean up after itself, such as stopping a motion."""
CLOSE_S = 5.0

Result = TypeVar("Result")


class _Worker:
    """The thread, its loop, and the client that lives in it."""

    def __init__(self, make_client: Callable[[], AsyncClient]) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.SelectorEventLoop()
        self.client = make_client()
        self._stopping = asyncio.Event()
        self._opened: Future[None] = Future()
        self.thread = threading.Thread(target=self._run, name="daq client", daemon=True)
        self.notices = ThreadPoolExecutor(1, "daq callbacks")
        self._calls: set[Call[Any]] = set()

    def start(self) -> None:
        """Returns when calls can be made; raises what keeps the client from being opened."""
        self.thread.start()
        self._opened.result()

    def begin(self, action: Action[Result]) -> Call[Result]:
        """Begin an action; from any thread."""
        call: Call[Result] = Call(self.loop)
        # A loop knows its tasks by weak references only.
        self._calls.add(call)
        call.future.add_done_callback(lambda _: self._calls.discard(call))
        try:
            self.loop.call_soon_threadsafe(call.begin, action, self.client)
        except RuntimeError as error:
            self._calls.discard(call)
            raise CommunicationError("the connection was closed") from error
        return call

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
                runner.run(self._serve())
        except Exception as error:
            if self._opened.done():
                raise
            self._opened.set_exception(error)

    async def _serve(self) -> None:
        async with self.client:
            self._opened.set_result(None)
            await self._stopping.wait()
            # Before the connection goes: what is under way may have a motion to stop.
            under_way = asyncio.all_tasks() - {asyncio.current_task()}
            for task in under_way:
                task.cancel()
            if under_way:
                await asyncio.wait(under_way, timeout=CANCEL_S)

    def stop(self) -> None:
        """End the thread; what is under way is cancelled first."""
        if self.pid != os.getpid() or not self.thread.is_alive():
            return
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._stopping.set)
        if threading.current_thread() is not self.thread:
            self.thread.join(CLOSE_S)
        self.notices.shutdown(wait=False)


class Portal:
    """Runs actions of the asynchronous client from any thread that has no loop of its own."""

    def __init__(self, make_client: Callable[[], AsyncClient]) -> None:
        self._make_client = make_client
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._worker: _Worker | None = None
        self._left_behind: list[_Worker] = []
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._worker else "not used yet"
        return f"<Portal {state}>"

    def _running(self) -> _Worker:
        if self._pid != os.getpid():
            # The parent's sockets and loop are also open here; to close them would disturb it.
            self._lock, self._pid = threading.Lock(), os.getpid()
            if self._worker is not None:
                self._left_behind.append(self._worker)
                self._worker = None
        worker = self._worker
        if worker is not None:
            return worker
        with self._lock:
            if self._closed:
                raise CommunicationError(
                    "the connection was closed", advice="open another with daq.client.connect()"
                )
            if self._worker is None:
                worker = _Worker(self._make_client)
                worker.start()
                weakref.finalize(self, worker.stop)
                self._worker = worker
            return self._worker

    @property
    def is_here(self) -> bool:
        """Whether the calling thread is the portal's own, which must not wait for itself."""
        return self._worker is not None and threading.current_thread() is self._worker.thread

    def start(self, action: Action[Result]) -> Call[Result]:
        """Begin an action and return at once."""
        return self._running().begin(action)

    def call(self, action: Action[Result]) -> Result:
        """Do an action and return its answer.

        Ctrl-C cancels it, and is raised when it has cleaned up: a motion is then stopped.

        Returns:
            What the action gave.

        Raises:
            CommunicationError: The connection was closed meanwhile.
            StateError: It is asked for in the portal's own thread.
            KeyboardInterrupt: Ctrl-C was pressed.
        """
        if self.is_here:
            raise StateError("the client's own thread cannot wait for itself")
        call = self.start(action)
        try:
            return call.future.result(FOREVER_S)
        except asyncio.CancelledError:
            raise CommunicationError("the connection was closed during the call") from None
        except KeyboardInterrupt:
            self.settle(call)
            raise

    def settle(self, call: Call[Any], timeout: float = CANCEL_S) -> None:
        """Cancel a call and wait, for a bounded time, until it has cleaned up."""
        call.cancel()
        with contextlib.suppress(BaseException):  # how it ended does not matter any more
            call.future.exception(timeout)

    def stream(
        self, source: Callable[[AsyncClient], AsyncGenerator[Result, None]], *, depth: int = 256
    ) -> BlockingStream[Result]:
        """Iterate over a stream; at most `depth` items wait for the reader."""
        return BlockingStream(source, depth, self.start)

    def notify(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function of the user's in the thread for callbacks; what it raises is logged."""
        with contextlib.suppress(RuntimeError):  # closed meanwhile: nobody is told any more
            self._running().notices.submit(self.tell, function, *arguments)

    @staticmethod
    def tell(function: Callable[..., object], *arguments: object) -> None:
        """Call a function of the user's here and now; what it raises is logged."""
        try:
            function(*arguments)
        except Exception:
            log.exception("the callback %r failed", function)

    def close(self) -> None:
        """End the thread and the connection; safe to do twice."""
        with self._lock:
            self._closed = True
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()
