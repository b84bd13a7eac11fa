"""The wire trace of a device: what was sent and received, byte by byte, with times.

Each device has a logger of its own, `daq.trace.<device>`, silent unless somebody asks for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

__all__ = ["Trace", "trace_device"]

_ROOT = "daq.trace"


def trace_device(device_id: str) -> None:
    """Log everything that is exchanged with this device from now on, at level DEBUG."""
    logging.getLogger(f"{_ROOT}.{device_id}").setLevel(logging.DEBUG)


class Trace:
    """Writes one device's exchanges to its logger.

    Args:
        device_id: Whose exchanges these are.
        port: The port's address, as configured.
        clock: Seconds; only differences matter.
    """

    def __init__(self, device_id: str, port: str, clock: Callable[[], float]) -> None:
        self._logger = logging.getLogger(f"{_ROOT}.{device_id}")
        # Silent under `--log-level debug` too: polling writes several lines a second.
        if self._logger.level == logging.NOTSET:
            self._logger.setLevel(logging.INFO)
        self._port = port
        self._clock = clock
        self._sent_at = 0.0

    def sent(self, data: bytes) -> None:
        """These bytes were handed to the port."""
        self._sent_at = self._clock()
        self._logger.debug("%s > %r", self._port, data)

    def received(self, data: bytes) -> None:
        """These bytes came, in one piece."""
        if self._logger.isEnabledFor(logging.DEBUG):
            after_ms = (self._clock() - self._sent_at) * 1e3
            self._logger.debug("%s < %r (after %.2f ms)", self._port, data, after_ms)

    def event(self, text: str) -> None:
        """The port was opened, lost or closed, or a reply is not what it seems."""
        self._logger.debug("%s - %s", self._port, text)
