"""The bus: one `publish`, any number of subscriptions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from daq.bus.channel_log import ChannelLog
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
        self._viewers: list[LossySubscription] = []
        self._recorders: list[LosslessSubscription] = []
        self._logs: dict[str, ChannelLog] = {}
        self._routes: dict[str, tuple[LosslessSubscription, ...]] = {}
        self._latest: dict[str, Measurement] = {}
        self._arrivals = count()

    def __repr__(self) -> str:
        return f"<Bus {len(self._viewers)} viewers, {len(self._recorders)} recorders>"

    async def publish(self, block: Measurement) -> None:
        """Give the block to everybody; waits only for lossless subscribers without room.

        Does not yield otherwise: a producer that never waits for its instrument makes checkpoints
        of its own. Viewers that do not read cost nothing, however many they are.
        """
        channel = block.channel
        self._latest[channel] = block
        log = self._logs.get(channel) or self._open_log(channel)
        log.append(block, next(self._arrivals))
        for recorder in self._routes[channel]:
            if not recorder.send_nowait(block):
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
        """Subscribe as a viewer: bounded per channel, in blocks and in bytes; drops are counted."""
        viewer = LossySubscription(patterns, capacity, overflow, capacity_bytes)
        self._viewers.append(viewer)
        for log in self._logs.values():
            if viewer.matches(log.channel):
                viewer.follow(log)
                self._fit(log)
        try:
            yield viewer
        finally:
            viewer.close()
            self._viewers.remove(viewer)
            for log in self._logs.values():
                self._fit(log)

    @contextmanager
    def record(
        self, *patterns: str, capacity_bytes: int = RECORDER_BYTES
    ) -> Iterator[LosslessSubscription]:
        """Subscribe losslessly: producers wait while `capacity_bytes` are not yet received."""
        recorder = LosslessSubscription(patterns, capacity_bytes)
        self._recorders.append(recorder)
        self._route_all()
        try:
            yield recorder
        finally:
            recorder.close()
            self._recorders.remove(recorder)
            self._route_all()

    def _open_log(self, channel: str) -> ChannelLog:
        """The first block of a channel: find out who is subscribed to it."""
        log = self._logs[channel] = ChannelLog(channel)
        self._route(channel)
        for viewer in self._viewers:
            if viewer.matches(channel):
                viewer.follow(log)
        self._fit(log)
        return log

    def _fit(self, log: ChannelLog) -> None:
        """Keep as much of a channel as the most patient of its viewers may want."""
        bounds = [viewer.bounds for viewer in self._viewers if viewer.matches(log.channel)]
        log.keep(
            max((blocks for blocks, _ in bounds), default=0),
            max((nbytes for _, nbytes in bounds), default=0),
        )

    def _route(self, channel: str) -> None:
        self._routes[channel] = tuple(r for r in self._recorders if r.matches(channel))

    def _route_all(self) -> None:
        for channel in self._logs:
            self._route(channel)
