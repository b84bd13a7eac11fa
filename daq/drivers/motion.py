"""What a driver of something that moves says about its motion; supervision judges by it."""

from __future__ import annotations

from dataclasses import dataclass

from daq.core import Reading

__all__ = ["MotionLook", "MotionTiming"]


@dataclass(frozen=True, slots=True)
class MotionLook:
    """A movable as the instrument tells of it now."""

    moving: bool
    """Whether it says that it moves."""
    position: Reading
    """Its position, read after that, so that one at rest is where it rests."""


@dataclass(frozen=True, slots=True)
class MotionTiming:
    """The times by which a motion is judged, all in seconds.

    A motion is over when it began, went, and rests. An instrument may say `at rest` for a moment
    after a command has come, and for a moment on its way: neither ends a motion.
    """

    begin_s: float = 1.0
    """So long it may say that it is at rest, away from where it was sent, before that counts.

    0 where its word is exact: it neither lags nor blinks.
    """
    rest_s: float = 0.1
    """So long it has to be seen at rest; 0 where one look is enough."""
    look_s: float = 0.05
    """From one look to the next."""
    timeout_s: float = 120.0
    """What a whole motion may take."""
