# ruff: noqa: I001 - one import for each module
from .bus import Bus as Bus
from .ring_feed import feed_ring as feed_ring
from .subscription import (
    LosslessSubscription as LosslessSubscription,
    LossySubscription as LossySubscription,
    Overflow as Overflow,
    Statistics as Statistics,
)
