"""What a journal does not give back of what was acknowledged, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Gap", "Losses"]

Gap = tuple[int, int]
"""The first event of a stream that is missing, and how many are."""


@dataclass(frozen=True, slots=True)
class Losses:
    """Counted while a journal is replayed."""

    gaps: Mapping[str, tuple[Gap, ...]] = field(default_factory=dict)
    """By stream, the events that are missing between or behind those that are there."""
    orphans: int = 0
    """Events whose stream's columns are lost."""
    places: int = 0
    """Places of the journal that are damaged."""
    damaged_bytes: int = 0
    samples: int = 0
    """Large samples that were not on the disk as they had been written."""
    odd: int = 0
    """Records that are whole, and that say nothing that can be understood."""
    torn: int = 0
    """Bytes of a record that was never finished: nobody was told that it is stored."""
    acknowledged: int = 0
    """Events in all, by the record of the run's end; 0 without it."""

    @property
    def missing(self) -> int:
        """Events that were there by the numbers of the others."""
        return self.orphans + sum(count for gaps in self.gaps.values() for _, count in gaps)

    def describe(self, found: int, acknowledged: int = 0) -> str:
        """Everything in words, empty when nothing is lost.

        Args:
            found: Events that were read.
            acknowledged: How many there were at least, from another source.
        """
        total = max(found + self.missing, self.acknowledged, acknowledged)
        lost = total - found
        causes = [*self._causes()]
        if lost:
            why = ": " + ", ".join(causes or ["the journal ends before them"])
            return f"{lost} of {total} acknowledged events are missing{why}"
        if causes:
            return f"no event is missing, but {', '.join(causes)}"
        return ""

    def _causes(self) -> list[str]:
        causes = []
        if self.places:
            where = "1 place" if self.places == 1 else f"{self.places} places"
            causes.append(f"the journal is damaged in {where} ({self.damaged_bytes} bytes)")
        if self.samples:
            causes.append(f"{self.samples} large samples had not reached the disk")
        if self.odd:
            causes.append(f"{self.odd} records cannot be understood")
        if self.orphans:
            causes.append(f"the columns of {self.orphans} events are lost")
        return causes
