"""Whether a device that moves still knows where it is; else it is not sent anywhere.

A controller that was switched off counts from 0 again, wherever its stage stands. Two things tell:
a position that jumped while nobody could see it, and a driver that says so (`referenced` in its
poll, of a flag such as `not homed` or `power on`). `home` mends it, or a person who has looked.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

import trio

from daq.core import (
    Capability,
    Category,
    DeviceDescription,
    Invalid,
    Scalar,
    UnreferencedError,
)
from daq.drivers import Driver
from daq.supervision.device.job import Job
from daq.supervision.kept import Kept

__all__ = ["LostReference", "Reference", "ReferencePolicy", "References"]

logger = logging.getLogger(__name__)

REFERENCED = "referenced"
"""The field of a poll by which a driver tells."""


class ReferencePolicy(StrEnum):
    """What becomes of a device that has lost its reference; the words of the configuration."""

    REFUSE = "refuse"
    """Moves are refused until it was homed, or a person has accepted its position."""
    WARN = "warn"
    """It is said, and moves are carried out."""
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class LostReference:
    """One device's loss."""

    reason: str
    since_ns: int
    """ns since the epoch."""

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since_ns / 1e9, UTC)
        return f"since {since:%Y-%m-%d %H:%M:%S} UTC: {self.reason}"


class References(Kept[LostReference]):
    """The devices that have lost their reference, by id: a restart of the daemon mends none.

    Args:
        path: The file that holds them; without one they are forgotten with the daemon.
        now_ns: The daemon's time.
    """

    def __init__(self, path: Path | None, now_ns: Callable[[], int]) -> None:
        super().__init__(path, "unreferenced", _parse)
        self.policies: Mapping[str, ReferencePolicy] = MappingProxyType({})
        """By device id, where the configuration says something."""
        self._now_ns = now_ns

    def policy(self, description: DeviceDescription) -> ReferencePolicy:
        """What is configured; else only stages have a reference to lose.

        What else moves, such as a temperature, drifts while nobody sees it.
        """
        usual = ReferencePolicy.IGNORE
        if description.category is Category.STAGE:
            usual = ReferencePolicy.REFUSE
        return self.policies.get(description.id, usual)

    def lose(self, device_id: str, reason: str) -> None:
        """It does not know where it is. The first reason stays."""
        if self.find(device_id) is None:
            logger.warning("%s: it is unreferenced: %s", device_id, reason)
            self._put(device_id, LostReference(reason, self._now_ns()))

    def settle(self, device_id: str, why: str) -> None:
        """It knows where it is."""
        if self.find(device_id) is not None:
            logger.info("%s: its position is right again: %s", device_id, why)
            self._put(device_id, None)


def _parse(record: Mapping[str, Any]) -> LostReference:
    return LostReference(str(record["reason"]), int(record["since_ns"]))


class Reference:
    """One device's knowledge of where it is.

    Args:
        references: Of all devices.
        driver: Tells how far apart two positions are.
        description: The device.
    """

    def __init__(
        self, references: References, driver: Driver, description: DeviceDescription
    ) -> None:
        self._all = references
        self._driver = driver
        self._description = description
        self._left_at: float | None = None
        """Where it rested before it was lost, until it says where it is."""
        self._left_since = -math.inf
        """Trio's time."""
        self._found_at = -math.inf
        """When it found its reference, Trio's time."""
        self._accepted = False
        """A person has accepted its position, whatever its flag says until it is lost again."""
        is_movable = Capability.MOVABLE in description.capabilities
        if is_movable and (why := references.doubt(description.id)):
            # Now, and not when it is reached: the next start would know nothing of the doubt.
            self._lose(f"nobody knows whether it is: {why}")

    def left(self, position: float | None) -> None:
        """It was lost while it rested there; None when it moved or nobody knew."""
        # Else it has not told where it is since it was lost before, or nothing could be compared.
        if self._left_at is None and self._description.tolerance is not None:
            self._left_at = position
            self._left_since = trio.current_time()
        self._accepted = False

    def polled(self, fields: Mapping[str, Scalar | Invalid], since: float) -> None:
        """It says this of itself, and was asked then, Trio's time."""
        now = fields.get("position")
        if since >= self._left_since and not isinstance(now, Invalid):
            before, self._left_at = self._left_at, None
            if isinstance(before, float) and isinstance(now, float):
                self._compare(before, now)
        told = fields.get(REFERENCED)
        if told is False and not self._accepted and since > self._found_at:
            self._lose("it says that it has no reference")

    def done(self, operation: str) -> None:
        """It did this, by which it may have found its reference."""
        if operation in self._driver.finds_reference:
            self._found_at = trio.current_time()
            self._all.settle(self._description.id, f"{operation} has ended")

    def accept(self, by: str) -> None:
        """A person says that its position is right."""
        self._left_at, self._accepted = None, True
        self._all.settle(self._description.id, f"accepted{f' by {by}' if by else ''}")

    def require(self, job: Job, *, force: bool) -> None:
        """Raise UnreferencedError for a motion that would end nobody knows where, unless forced.

        It is there: what it says of its position is then compared no more.
        """
        if not job.is_motion:
            return
        lost, device_id = self._all.find(self._description.id), self._description.id
        finds = self._driver.finds_reference
        refuses = self._all.policy(self._description) is ReferencePolicy.REFUSE
        if refuses and not force and job.name not in finds:
            why = "" if lost is None else f"it is unreferenced {lost}"
            if not why and self._left_at is not None:
                why = "it was away, and has not told yet where it is"
            if why:
                home = f"`home {device_id}`, or " if "home" in finds else ""
                raise UnreferencedError(
                    f"{device_id}: {job} was refused: {why}",
                    advice=f"{home}look where it is and accept its position: `enable {device_id}`",
                )
        self._left_at = None

    def _compare(self, before: float, now: float) -> None:
        tolerance, units = self._description.tolerance, self._description.units
        # Each of the two may be off by the tolerance.
        if tolerance is not None and self._driver.distance(before, now) > 2 * tolerance:
            was = f"it was at {before:.6g} {units} when it was lost"
            self._lose(f"{was}, and came back at {now:.6g} {units}")

    def _lose(self, reason: str) -> None:
        if self._all.policy(self._description) is not ReferencePolicy.IGNORE:
            self._all.lose(self._description.id, reason)
