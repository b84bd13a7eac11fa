"""Who may command a device now: its owner, unless an interlock forbids it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from daq.core import BusyError, InterlockError, names_of
from daq.supervision.device.job import Job

__all__ = ["EVERYTHING", "Claim", "Gate"]

logger = logging.getLogger(__name__)

EVERYTHING = ""
"""Refuses all that is dangerous of a device, instead of one operation or parameter."""
_HARMLESS = frozenset({"frames"})
"""Commands that let nothing out and move nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """The right to be the only one who commands a device; two claims are never the same."""

    holder: str
    """For people: `execution 3f2a91bc of knife_edge (started by ada)`."""
    advice: str = "stop it first, or repeat the command with force"
    on_forced: Callable[[str], None] | None = None
    """Told of each command that somebody forced in spite of the claim."""
    is_ending: Callable[[], bool] = lambda: False
    """Whether the holder is being ended: a call of its that is cancelled then makes it safe."""


class Gate:
    """Commands pass, unless somebody else has claimed the device or an interlock has tripped.

    Reading passes always, and so does every stop.
    """

    def __init__(self, device_id: str) -> None:
        self._id = device_id
        self._claim: Claim | None = None
        self._forbidden: dict[tuple[str, str], str] = {}
        """The reason, by what is refused and the interlock that refuses it."""

    def __repr__(self) -> str:
        owner = self._claim.holder if self._claim else "nobody"
        return f"<Gate of {self._id}: claimed by {owner}, {len(self._forbidden)} interlocks>"

    @property
    def claim(self) -> Claim | None:
        """Who owns the device."""
        return self._claim

    def take(self, claim: Claim) -> None:
        """Claim the device; raises BusyError when it is somebody else's."""
        if self._claim not in (None, claim):
            raise self._claimed("it", self._claim)
        self._claim = claim

    def release(self, claim: Claim) -> None:
        """Give the claim up; another's stays."""
        if self._claim is claim:
            self._claim = None

    def forbid(self, interlock: str, reason: str, what: str = EVERYTHING) -> None:
        """From now on refuse all that is dangerous, or `what` only, with this reason.

        Args:
            interlock: Which one refuses it.
            reason: For whoever asks.
            what: An operation (`trigger`) or a parameter (`power`).
        """
        self._forbidden[what, interlock] = reason

    def allow(self, interlock: str, what: str = EVERYTHING) -> None:
        """The interlock does not forbid it any more."""
        self._forbidden.pop((what, interlock), None)

    def refusal(self, job: Job) -> str:
        """Why interlocks refuse a command now, with all their reasons; empty when they do not."""
        reasons = [why for (what, _), why in self._forbidden.items() if _concerns(job, what)]
        return "; ".join(dict.fromkeys(reasons))

    def require_allowed(self, job: Job) -> None:
        """Raise InterlockError for what an interlock refuses now."""
        if reason := self.refusal(job):
            raise InterlockError(
                f"{self._id}: {job} was refused: {reason}",
                advice="see `interlocks`; `interlocks --reset NAME` releases what is latched",
            )

    def require(self, job: Job, claim: Claim | None, *, force: bool) -> None:
        """Let a command pass. Raises InterlockError, or BusyError for one without the claim.

        Args:
            job: What is to be done.
            claim: The claim of who asks, None for a person at a client.
            force: Pass in spite of another's claim; an interlock is never forced.
        """
        self.require_allowed(job)
        if self._claim is None or self._claim is claim:
            return
        if not force:
            raise self._claimed(str(job), self._claim)
        forced = f"{self._id}: {job}{f' by {job.by}' if job.by else ''} was forced"
        logger.warning("%s, beside %s", forced, self._claim.holder)
        if self._claim.on_forced is not None:
            self._claim.on_forced(forced)

    def _claimed(self, what: str, claim: Claim | None) -> BusyError:
        holder, advice = (claim.holder, claim.advice) if claim else ("", "")
        return BusyError(f"{self._id}: {what} was refused: {holder} uses the device", advice=advice)


def _concerns(job: Job, what: str) -> bool:
    """Whether a refusal of `what`, or of everything, is about this command.

    Closing and switching off, a parameter to 0 too, are never refused, nor is what only asks.
    """
    if job.operation is None or not job.exclusive:
        return False
    if job.setting is None:
        return job.operation.name not in _HARMLESS if what == EVERYTHING else what == job.name
    row, value = job.setting
    if value in (False, 0, row.off):
        return False
    return row.restrained if what == EVERYTHING else what in names_of(row)
