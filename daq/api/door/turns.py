"""Whose turn it is on the loop: what clients send is taken in pieces of a few frames, in turn."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

__all__ = ["PREFACE_BYTES", "FrameCutter", "Turns"]

TURN_S = 0.001
"""What all connections together may take of one turn of the loop, before everybody else has one. A
call needs some ten turns: with 5 ms a flood of pings made it wait for half a second."""
PIECE_FRAMES = 16
"""A small frame costs up to 0.2 ms: a piece of these takes 3 ms at most."""
PIECE_BYTES = 32 << 10
PREFACE_BYTES = 24
"""With which a connection begins."""
HEAD_BYTES = 9


class Turns:
    """Runs what clients have brought: at once while there is time, else one after the other.

    Needs a running asyncio loop.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._spent_s = self._ended_at = 0.0
        self._is_scheduled = False

    def __repr__(self) -> str:
        return f"<Turns {len(self._waiting)} wait>"

    def take(self, deed: Callable[[], None]) -> None:
        """Run `deed` now, or in its turn when this one is used up."""
        if time.perf_counter() - self._ended_at > TURN_S:
            self._spent_s = 0.0  # others have had theirs since
        if not self._waiting and self._spent_s < TURN_S:
            self._run(deed)
        else:
            self.take_later(deed)

    def take_later(self, deed: Callable[[], None]) -> None:
        """Run `deed` in its turn, behind everybody who waits."""
        self._waiting.append(deed)
        self._schedule()

    def _schedule(self) -> None:
        if self._waiting and not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _run(self, deed: Callable[[], None]) -> None:
        began = time.perf_counter()
        try:
            deed()
        finally:
            self._ended_at = time.perf_counter()
            self._spent_s += self._ended_at - began

    def _go_on(self) -> None:
        self._spent_s = 0.0
        try:
            while self._waiting and self._spent_s < TURN_S:
                self._run(self._waiting.popleft())
        finally:
            self._is_scheduled = False
            self._schedule()


class FrameCutter:
    """Cuts what comes on one connection into pieces of at most some frames.

    HTTP/2 costs by the frame and not by the byte: 4 KiB are one frame or four hundred.
    """

    def __init__(self) -> None:
        self._received = bytearray()
        self._rest = PREFACE_BYTES
        """Of the frame that is being taken."""

    def feed(self, data: bytes) -> None:
        """Keep what came."""
        self._received += data

    def clear(self) -> None:
        """Forget what was not taken."""
        self._received.clear()

    @property
    def has_piece(self) -> bool:
        """Whether there is a next one already."""
        return len(self._received) >= (1 if self._rest else HEAD_BYTES)

    def take(self) -> bytes:
        """The next piece; empty when there is none yet."""
        most = min(len(self._received), PIECE_BYTES)
        end = self._rest
        for _ in range(PIECE_FRAMES):
            if end + HEAD_BYTES > most:
                break
            end += HEAD_BYTES + int.from_bytes(self._received[end : end + 3], "big")
        size = min(end, most)
        self._rest = end - size
        piece = bytes(memoryview(self._received)[:size])
        del self._received[:size]
        return piece
