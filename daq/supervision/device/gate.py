"""Who may command a device now: its owner, unless an interlock forbids it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from daq.core import BusyError, Capability, InterlockError
from daq.supervision.device.job import Job

__all__ = ["Claim", "Gate"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """The right to be the only one who commands a device; two claims are never the same."""

    holder: str
    """For people: `execution 3f2a91bc of knife_edge (started by ada)`."""
    advice: str = "stop it first, or repeat the command with force"


class Gate:
    """Commands pass, unless somebody else has claimed the device or an interlock has tripped.

    Reading passes always, and so does every stop.
    """

    def __init__(self, device_id: str) -> None:
        self._id = device_id
        self._claim: Claim | None = None
        self._forbidden: dict[str, str] = {}

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

    def forbid(self, interlock: str, reason: str) -> None:
        """From now on refuse what moves or lets light out, with this reason."""
        self._forbidden[interlock] = reason

    def allow(self, interlock: str) -> None:
        """The interlock does not forbid it any more."""
        self._forbidden.pop(interlock, None)

    def require(self, job: Job, claim: Claim | None, *, force: bool) -> None:
        """Let a command pass. Raises InterlockError, or BusyError for one without the claim.

        Args:
            job: What is to be done.
            claim: The claim of who asks, None for a person at a client.
            force: Pass in spite of another's claim; an interlock is never forced.
        """
        if self._forbidden and _is_restrained(job):
            reason = "; ".join(self._forbidden.values())
            raise InterlockError(
                f"{self._id}: {job} was refused: {reason}",
                advice="see `interlocks`; `interlocks --reset NAME` releases what is latched",
            )
        if self._claim is None or self._claim is claim:
            return
        if not force:
            raise self._claimed(str(job), self._claim)
        by = f" by {job.by}" if job.by else ""
        logger.warning("%s: %s%s was forced, beside %s", self._id, job, by, self._claim.holder)

    def _claimed(self, what: str, claim: Claim | None) -> BusyError:
        holder, advice = (claim.holder, claim.advice) if claim else ("", "")
        return BusyError(f"{self._id}: {what} was refused: {holder} uses the device", advice=advice)


def _is_restrained(job: Job) -> bool:
    """Whether a tripped interlock forbids it: motion, an opening shutter, emission, tuning."""
    operation = job.operation
    if operation is None or not job.exclusive:
        return False
    if operation.capability is Capability.MOVABLE or operation.name in ("open", "wavelength"):
        return True
    return operation.name == "emission" and tuple(job.arguments) == (True,)
