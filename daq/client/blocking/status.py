"""An operation under way: ask, wait, be called back, watch, cancel. Fits `bluesky.protocols`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from daq.client.blocking.call import FOREVER_S, Call
from daq.client.blocking.portal import Portal
from daq.core import DaqError, DeviceError
from daq.core import TimeoutError as NotDoneError

__all__ = ["MotionProgress", "Status"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class MotionProgress:
    """What a motion is about, for those who watch it."""

    name: str
    units: str
    positions: Callable[[], Iterable[float]]
    """The position, again and again, while somebody iterates."""
    target: float | None = None
    distance: float = 0.0
    """From where it was to the target, where no target is given."""


class Status(Generic[Result]):
    """The outcome of an operation that has begun, such as a move; several may be under way.

    status = stage.move(3.0, wait=False)
    status.add_callback(print)
    status.wait(timeout=10)
    """

    def __init__(
        self,
        portal: Portal,
        call: Call[Result],
        what: str,
        progress: MotionProgress | None = None,
    ) -> None:
        self._portal = portal
        self._call = call
        self._what = what
        self._progress = progress
        self._began = time.monotonic()

    def __repr__(self) -> str:
        if not self.done:
            return f"Status({self._what}, pending)"
        error = self.exception()
        how = "done" if error is None else f"failed: {str(error).partition(chr(10))[0]}"
        return f"Status({self._what}, {how})"

    @property
    def done(self) -> bool:
        """Whether it has ended, however it did."""
        return self._call.future.done()

    @property
    def success(self) -> bool:
        """Whether it has ended well."""
        return self.done and self._call.future.exception() is None

    def exception(self, timeout: float | None = 0.0) -> BaseException | None:
        """What went wrong, or None.

        Args:
            timeout: Seconds to wait for the end; None for no limit.

        Returns:
            The error, or None when it ended well.

        Raises:
            TimeoutError: It has not ended by then; it goes on.
        """
        if timeout != 0.0:
            self._call.check_here()
        try:
            error = self._call.future.exception(FOREVER_S if timeout is None else timeout)
        except concurrent.futures.TimeoutError:
            raise NotDoneError(
                f"{self._what} has not ended after {timeout:g} s",
                advice="it goes on; `cancel()` stops it",
            ) from None
        if isinstance(error, asyncio.CancelledError):
            return DeviceError(f"{self._what} was cancelled")
        return error

    def wait(self, timeout: float | None = None) -> Result:
        """Wait for the end and return the result, such as the position read back.

        Args:
            timeout: Seconds to wait; None for no limit.

        Returns:
            What it gave, such as the position read back.

        Raises:
            TimeoutError: It has not ended by then; it goes on.
            KeyboardInterrupt: Ctrl-C was pressed; the operation was cancelled, a motion stopped.
            DaqError: What went wrong.
        """
        try:
            error = self.exception(timeout)
        except KeyboardInterrupt:
            self._portal.settle(self._call)
            raise
        if error is not None:
            raise error
        return self._call.future.result()

    def add_callback(self, callback: Callable[[Self], object]) -> None:
        """Call `callback(status)` at the end, or here and now if it has ended.

        Callbacks run one after the other in a thread of their own; what they raise is logged.
        """
        if self.done:
            self._portal.tell(callback, self)
            return
        self._call.future.add_done_callback(lambda _: self._portal.notify(callback, self))

    def cancel(self) -> None:
        """End the operation; a motion is stopped. `wait` then raises that it was cancelled."""
        self._call.cancel()

    def watch(self, watcher: Callable[..., object]) -> None:
        """Call `watcher` with keywords as the operation goes on, in the terms of ophyd's progress.

        `name current initial target unit precision fraction time_elapsed time_remaining`, where
        `fraction` is what is left: 1 at the start, 0 at the end. What does not move has nothing to
        watch.
        """
        if self._progress is not None and not self.done:
            threading.Thread(
                target=self._tell, args=(watcher, self._progress), name="daq watch", daemon=True
            ).start()

    def _tell(self, watcher: Callable[..., object], progress: MotionProgress) -> None:
        initial: float | None = None
        with contextlib.suppress(DaqError):  # what goes wrong is told by `wait`
            for position in progress.positions():
                initial = position if initial is None else initial
                state = self._state(progress, initial, position)
                self._portal.notify(functools.partial(watcher, **state))
                if self.done:
                    return

    def _state(self, progress: MotionProgress, initial: float, position: float) -> dict[str, Any]:
        target = initial + progress.distance if progress.target is None else progress.target
        distance = target - initial
        left = min(abs((target - position) / distance), 1.0) if distance else 0.0
        elapsed = time.monotonic() - self._began
        return {
            "name": progress.name,
            "current": position,
            "initial": initial,
            "target": target,
            "unit": progress.units,
            "precision": 3,
            "fraction": left,
            "time_elapsed": elapsed,
            "time_remaining": elapsed * left / (1.0 - left) if 0.0 < left < 1.0 else None,
        }
