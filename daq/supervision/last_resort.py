"""The end of the daemon when nothing else ends it."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["AT_ONCE_S", "LastResort", "last_resort"]

log = logging.getLogger(__name__)

AT_ONCE_S = 3.0
"""What is left after a second signal, whatever was said before."""
KERNEL_S = 2.0
"""So much later the kernel ends the process, by SIGALRM: a call in C may keep Python's threads from
running at all."""


class LastResort:
    """Ends the process when a driver, a disk or the database holds a thread, or the loop's own.

    A thread cannot be ended, and neither Trio nor Python goes on without it: it is left behind.
    What was acknowledged is in the journal, and the guard carries out the last wills where it was
    not dismissed.

    Args:
        leave: Called in a thread of its own when the time is over, with the time in seconds.
    """

    def __init__(self, leave: Callable[[float], None]) -> None:
        self._leave = leave
        self._timer: threading.Timer | None = None
        self.signals = 0
        """How many have come."""

    def __repr__(self) -> str:
        return f"<LastResort {'counting' if self._timer else 'idle'}, {self.signals} signals>"

    def leave_in(self, seconds: float) -> None:
        """From now on so long, whatever was said before; a second signal is not taken back."""
        if self.signals > 1:
            seconds = min(seconds, AT_ONCE_S)
        self.cancel()
        self._timer = threading.Timer(seconds, self._leave, [seconds])
        self._timer.name = "last resort"
        self._timer.daemon = True
        self._timer.start()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds + KERNEL_S)

    def cancel(self) -> None:
        """It is not needed any more."""
        if self._timer is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._timer.cancel()
            self._timer = None


@contextmanager
def last_resort(usual_s: float) -> Iterator[LastResort]:
    """Counts `usual_s` from the first signal on, also when that finds the loop blocked."""
    resort = LastResort(_leave)
    passed_on = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def heed(number: int, frame: FrameType | None) -> None:
        resort.signals += 1
        if resort.signals <= 2:
            resort.leave_in(usual_s)
        handler = passed_on[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in passed_on:
        signal.signal(number, heed)
    try:
        yield resort
    finally:
        resort.cancel()
        for number, handler in passed_on.items():
            signal.signal(number, handler)


def _leave(after_s: float) -> None:
    names = ", ".join(
        thread.name
        for thread in threading.enumerate()
        if thread.name not in ("MainThread", "last resort")
    )
    log.error(
        "a driver, the disk or the database does not let go within %g s; the process ends without: "
        "%s",
        after_s,
        names or "its own loop",
    )
    logging.shutdown()
    os._exit(1)
