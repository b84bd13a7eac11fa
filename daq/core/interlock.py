"""An interlock as everybody sees it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["INTERLOCK_CHANNELS", "InterlockState", "InterlockStatus"]

INTERLOCK_CHANNELS = "interlock."
"""How the channels begin that say whether an interlock is tripped, 0 or 1, when that changes."""


class InterlockState(StrEnum):
    """What is known of what an interlock watches; only `ok` is good news."""

    UNKNOWN = "unknown"
    """Its channel was not yet heard to be well: it refuses what it would refuse."""
    OK = "ok"
    PENDING = "pending"
    """Something is wrong, but not yet for so long that it trips."""
    TRIPPED = "tripped"
    LATCHED = "latched"
    """Nothing is wrong any more, but it waits until somebody acknowledges it."""


@dataclass(frozen=True, slots=True)
class InterlockStatus:
    """How one interlock is now."""

    name: str
    channel: str
    condition: str
    """For people: `above 0.5 W or silent for 5 s`."""
    action: str
    """`none`, `pause`, `stop`, `force_stop` or `safe`."""
    tripped: bool
    latched: bool = False
    """Its condition is over, and it stays tripped until it is reset."""
    reason: str = ""
    """Why it tripped, with channel, value, limit and units; empty unless tripped."""
    value: float | None = None
    """The newest sample of its channel; None before the first."""
    units: str = ""
    changed_ns: int = 0
    """When it tripped or cleared last, ns since the epoch; 0 if it never did."""
    trips: int = 0
    """Since the daemon started."""
    refuses: tuple[str, ...] = ()
    """What is refused while it is tripped, or unknown: `laser` or `laser.power`."""
    state: InterlockState = InterlockState.OK
    acknowledged_by: str = ""
    """Who has reset it last; empty when nobody ever did."""
    acknowledged_ns: int = 0
    """When, ns since the epoch."""
    note: str = ""
    """What that person wrote down."""

    def __post_init__(self) -> None:
        if self.tripped and self.state is InterlockState.OK:  # who said the one need not say both
            state = InterlockState.LATCHED if self.latched else InterlockState.TRIPPED
            object.__setattr__(self, "state", state)
