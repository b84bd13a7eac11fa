"""The bus: one `publish`, any number of subscriptions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase

from daq.bus.subscription import LosslessSubscription, LossySubscription, Overflow
from daq.core import Measurement

__all__ = ["Bus"]

VIEWER_BLOCKS = 1024
VIEWER_BYTES = 64 << 20
RECORDER_BYTES = 256 << 20


class Bus:
    """Hands every published block to the subscriptions whose patterns match its channel.

    Subscribing is a `with` block, so that no subscription outlives its reader. Patterns are globs
    such as `stage` or `laser.*`; none means every channel.
    """

    def __init__(self) -> None:
        self._lossy: list[LossySubscription] = []
        self._lossless: list[LosslessSubscription] = []
        self._routes: dict[str, tuple[list[LossySubscription], list[LosslessSubscription]]] = {}
        self._latest: dict[str, Measurement] = {}

    async def publish(self, block: Measurement) -> None:
        """Give the block to everybody; waits only for lossless subscribers without room.

        Does not yield otherwise: a producer that never waits for its instrument makes checkpoints
        of its own. A viewer's share is the same whether it reads or is stalled.
        """
        self._latest[block.channel] = block
        lossy, lossless = self._routes.get(block.channel) or self._route(block.channel)
        for viewer in lossy:
            viewer.offer(block)
        for recorder in tuple(lossless):
            await recorder.send(block)

    def latest(self, channel: str) -> Measurement | None:
        """The newest block of a channel, or None when nothing was published yet."""
        return self._latest.get(channel)

    def channels(self) -> tuple[str, ...]:
        """Every channel on which something was published, sorted."""
        return tuple(sorted(self._latest))

    @contextmanager
    def view(
        self,
        *patterns: str,
        capacity: int = VIEWER_BLOCKS,
        overflow: Overflow = Overflow.DROP_OLDEST,
        capacity_bytes: int = VIEWER_BYTES,
    ) -> Iterator[LossySubscription]:
        """Subscribe as a viewer: bounded in blocks and in bytes, drops are counted."""
        subscription = LossySubscription(patterns, capacity, overflow, capacity_bytes)
        self._lossy.append(subscription)
        self._routes.clear()
        try:
            yield subscription
        finally:
            subscription.close()
            self._lossy.remove(subscription)
            self._routes.clear()

    @contextmanager
    def record(
        self, *patterns: str, capacity_bytes: int = RECORDER_BYTES
    ) -> Iterator[LosslessSubscription]:
        """Subscribe losslessly: producers wait while `capacity_bytes` are not yet received."""
        subscription = LosslessSubscription(patterns, capacity_bytes)
        self._lossless.append(subscription)
        self._routes.clear()
        try:
            yield subscription
        finally:
            subscription.close()
            self._lossless.remove(subscription)
            self._routes.clear()

    def __repr__(self) -> str:
        return f"<Bus {len(self._lossy)} viewers, {len(self._lossless)} recorders>"

    def _route(self, channel: str) -> tuple[list[LossySubscription], list[LosslessSubscription]]:
        route = (
            [s for s in self._lossy if _matches(s.patterns, channel)],
            [s for s in self._lossless if _matches(s.patterns, channel)],
        )
        self._routes[channel] = route
        return route


def _matches(patterns: tuple[str, ...], channel: str) -> bool:
    return not patterns or any(fnmatchcase(channel, pattern) for pattern in patterns)
