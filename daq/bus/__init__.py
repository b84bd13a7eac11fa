"""In-process publish/subscribe for measurements: producers never know who listens."""

from daq.bus.bus import Bus
from daq.bus.subscription import LosslessSubscription, LossySubscription, Overflow, Statistics

__all__ = ["Bus", "LosslessSubscription", "LossySubscription", "Overflow", "Statistics"]
