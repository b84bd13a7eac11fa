"""In-process publish/subscribe for measurements: producers never know who listens.

`daq.bus.ring` is for other processes, which have no use for Trio: the rest is loaded when it is
first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daq.bus.bus import Bus
    from daq.bus.ring_feed import feed_ring
    from daq.bus.subscription import LosslessSubscription, LossySubscription, Overflow, Statistics

__all__ = [
    "Bus",
    "LosslessSubscription",
    "LossySubscription",
    "Overflow",
    "Statistics",
    "feed_ring",
]

_HOMES = {
    "Bus": "bus",
    "LosslessSubscription": "subscription",
    "LossySubscription": "subscription",
    "Overflow": "subscription",
    "Statistics": "subscription",
    "feed_ring": "ring_feed",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
