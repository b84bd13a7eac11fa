"""A log that no client can fill: a few lines in ten seconds, and the number of those left out."""

from __future__ import annotations

import logging
import time

__all__ = ["Seldom", "SeldomLogger"]

LINES = 20
PERIOD_S = 10.0


class Seldom(logging.Filter):
    """Passes the first lines of a period; the first of the next tells how many it left out."""

    def __init__(self) -> None:
        super().__init__()
        self._began = -PERIOD_S
        self._passed = 0
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now - self._began > PERIOD_S:
            if self._left_out:
                record.msg = f"{record.msg} (and {self._left_out} more lines like this before)"
            self._began, self._passed, self._left_out = now, 0, 0
        self._passed += 1
        if self._passed > LINES:
            self._left_out += 1
            return False
        return True


class SeldomLogger:
    """The same for some lines of a logger, and not for its others."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger.getChild("calls")
        self._logger.addFilter(Seldom())

    def info(self, message: str, *arguments: object) -> None:
        self._logger.info(message, *arguments)
