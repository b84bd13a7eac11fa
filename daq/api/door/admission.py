"""How many may come in: connections, calls and half-finished requests, of one peer and in all."""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Admission", "DoorLimits", "limits_here"]

KEPT_DESCRIPTORS = 192
"""For journals, files, instruments, scripts: connections never take these."""
MOST_CONNECTIONS = 1024
FEWEST_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """What the door bears."""

    connections: int = MOST_CONNECTIONS
    connections_of_one: int = MOST_CONNECTIONS // 4
    """Of one network address. All of them may go at the same moment, which takes 0.3 ms each."""
    kept_for_this_machine: int = 8
    """Of all connections, so many are not for other machines: who sits at the bench comes in."""
    calls: int = 2048
    """That are open, streams included."""
    calls_of_one: int = 1024
    unfinished_bytes: int = 128 << 20
    """Of requests that are still coming."""
    unfinished_bytes_of_one: int = 32 << 20
    request_s: float = 30.0
    """How long a request may take to come."""
    idle_s: float = 3600.0
    """A connection without a call is closed after this time."""
    strange_s: float = 30.0
    """One that has never made a call, after this."""
    silence_s: float = 10.0
    """A peer with open calls that has not been heard for so long is gone."""


def limits_here(silence_s: float, connections: int | None = None) -> DoorLimits:
    """What fits into the descriptors that this process may have."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_CONNECTIONS if connections is None else connections
    if allowed != resource.RLIM_INFINITY:
        most = max(FEWEST_CONNECTIONS, min(most, (allowed - KEPT_DESCRIPTORS) // 2))
    return DoorLimits(
        connections=most,
        connections_of_one=max(1, most // 4, min(most // 2, 64)),
        kept_for_this_machine=max(1, most // 16),
        silence_s=silence_s,
    )


class Admission:
    """Counts who is in. A refusal is a sentence that names the limit; empty when there is none."""

    def __init__(self, limits: DoorLimits) -> None:
        self.limits = limits
        self._connections: Counter[str] = Counter()
        self._calls: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    def __repr__(self) -> str:
        return (
            f"<Admission: {self._connections.total()} connections, {self._calls.total()} calls, "
            f"{self._bytes.total()} bytes unfinished>"
        )

    def connect(self, peer: str, *, near: bool) -> str:
        """Count a connection in, refused or not: `disconnect` counts it out."""
        limits = self.limits
        room = limits.connections - (0 if near else limits.kept_for_this_machine)
        refusal = ""
        if self._connections[peer] >= limits.connections_of_one:
            refusal = _of_one("connections", limits.connections_of_one)
        elif self._connections.total() >= room:
            refusal = _in_all("connections", room)
        self._connections[peer] += 1
        return refusal

    def disconnect(self, peer: str) -> None:
        _take_out(self._connections, peer, 1)

    def begin_call(self, peer: str) -> str:
        """Count a call in, unless it is refused; `end_call` counts it out."""
        limits = self.limits
        if self._calls[peer] >= limits.calls_of_one:
            return _of_one("open calls", limits.calls_of_one)
        if self._calls.total() >= limits.calls:
            return _in_all("open calls", limits.calls)
        self._calls[peer] += 1
        return ""

    def end_call(self, peer: str) -> None:
        _take_out(self._calls, peer, 1)

    @contextmanager
    def receiving(self, peer: str, size: int) -> Iterator[str]:
        """While a request of `size` bytes comes; gives the refusal."""
        limits = self.limits
        if self._bytes[peer] + size > limits.unfinished_bytes_of_one:
            yield _of_one("bytes of unfinished requests", limits.unfinished_bytes_of_one)
            return
        if self._bytes.total() + size > limits.unfinished_bytes:
            yield _in_all("bytes of unfinished requests", limits.unfinished_bytes)
            return
        self._bytes[peer] += size
        try:
            yield ""
        finally:
            _take_out(self._bytes, peer, size)


def _take_out(counted: Counter[str], peer: str, count: int) -> None:
    counted[peer] -= count
    if counted[peer] <= 0:
        del counted[peer]


def _of_one(what: str, limit: int) -> str:
    return f"your address has {limit} {what} already, which is the limit for one"


def _in_all(what: str, limit: int) -> str:
    return f"the daemon has {limit} {what} already, which is the limit; try again later"
