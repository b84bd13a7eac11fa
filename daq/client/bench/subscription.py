"""Functions of the user's that are called with each reading."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from typing import Any

from daq.client.bench.readings import Readings
from daq.client.blocking.blocking_stream import BlockingStream
from daq.core import DaqError

__all__ = ["RATE_HZ", "Subscribing", "Subscription"]

log = logging.getLogger(__name__)

RATE_HZ = 10


class Subscription:
    """Calls a function with each reading, in a thread of its own, until it is closed.

    A callback that raises is logged, and called again with the next reading.
    """

    def __init__(
        self, name: str, readings: BlockingStream[Readings], callback: Callable[[Readings], object]
    ) -> None:
        self.name = name
        self.calls = 0
        """How often the callback was called."""
        self.failures = 0
        """How often it raised."""
        self._readings = readings
        self._callback = callback
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"daq {name}", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<Subscription to {self.name}, {state}, {self.calls} calls>"

    @property
    def is_open(self) -> bool:
        """Whether readings still come."""
        return self._thread.is_alive()

    def close(self) -> None:
        """No more calls after this, but for one that is going on."""
        self._closed = True
        self._readings.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(2.0)

    def _run(self) -> None:
        try:
            for readings in self._readings:
                if self._closed:
                    return
                self._tell(readings)
        except DaqError as error:
            log.error("the subscription to %s ended: %s", self.name, error)  # noqa: TRY400
        finally:
            self._readings.close()

    def _tell(self, readings: Readings) -> None:
        self.calls += 1
        try:
            self._callback(readings)
        except Exception:
            self.failures += 1
            log.exception("a callback of %s failed", self.name)


class Subscribing:
    """What can be watched: bluesky's Subscribable."""

    name: Any

    def stream(self, rate_hz: int = RATE_HZ) -> BlockingStream[Readings]:
        """Live readings, to iterate over; close it, or use it as a `with` block."""
        raise NotImplementedError

    @functools.cached_property
    def _subscriptions(self) -> list[tuple[Callable[..., object], Subscription]]:
        return []

    def subscribe(
        self, callback: Callable[[Readings], object], *, rate_hz: int = RATE_HZ
    ) -> Subscription:
        """Call `callback(readings)` until the subscription is closed; bluesky's too.

        Args:
            callback: Called in a thread of its own.
            rate_hz: So often a second.

        Returns:
            The subscription; close it to hear no more.
        """
        subscription = Subscription(self.name, self.stream(rate_hz), callback)
        still = [(c, s) for c, s in self._subscriptions if s.is_open]
        self._subscriptions[:] = [*still, (callback, subscription)]
        return subscription

    def clear_sub(self, callback: Callable[..., object]) -> None:
        """bluesky: end the subscriptions of a callback."""
        ended = [s for c, s in self._subscriptions if c == callback]
        self._subscriptions[:] = [(c, s) for c, s in self._subscriptions if c != callback]
        for subscription in ended:
            subscription.close()
