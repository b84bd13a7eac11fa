"""An interlock as everybody sees it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["INTERLOCK_CHANNELS", "InterlockStatus"]

INTERLOCK_CHANNELS = "interlock."
"""How the channels begin that say whether an interlock is tripped, 0 or 1, when that changes."""


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
    """Devices that do not move while it is tripped."""
