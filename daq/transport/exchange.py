"""What a port is busy with, and what goes before it: a stop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

import trio

__all__ = ["LONG_S", "Busy", "Exchange", "is_urgent", "urgently"]

LONG_S: Final = 3.0
"""An exchange that may take longer than this was declared to: until it is over, its instrument
is busy, not silent."""

_urgent: ContextVar[bool] = ContextVar("urgent", default=False)


def is_urgent() -> bool:
    """Whether this task is within `urgently`."""
    return _urgent.get()


@contextmanager
def urgently() -> Iterator[None]:
    """What this task exchanges meanwhile goes before all else, as a stop has to.

    A long exchange of whoever is on the same port is broken off for it, and it listens only for a
    moment for an answer that is still owed.
    """
    token = _urgent.set(True)
    try:
        yield
    finally:
        _urgent.reset(token)


@dataclass(frozen=True, slots=True)
class Busy:
    """What somebody waits for that was declared to take long."""

    what: str
    """For people: `it waits for the answer to 'HOME', which may take 600 s`."""
    until: float
    """Trio time when it is over at the latest."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a port is busy with."""

    user: object
    """Whose it is."""
    what: str
    """For people: `the answer to 'HOME'`."""
    seconds: float
    """What it may take."""
    until: float
    """Trio time when it is over at the latest, with all that it may have to wait for before."""
    urgent: bool = field(default_factory=is_urgent)
    """Nothing goes before it."""
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    """Breaks it off, for what is urgent."""

    @property
    def is_long(self) -> bool:
        """Whether it may take so long that nobody should take its silence for a loss."""
        return self.seconds > LONG_S
