"""What every simulated instrument is: bytes in, bytes out at their time, no I/O."""

from __future__ import annotations

import heapq
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import count

__all__ = ["Clock", "LineInstrument", "SimulatedInstrument"]

Clock = Callable[[], float]
"""Seconds; only differences matter."""

_LONGEST_COMMAND = 1024


class SimulatedInstrument(ABC):
    """Takes what the host sends, and says things, some of them later.

    Args:
        clock: The time by which it moves and answers.
        latency: Seconds that it thinks before it answers.
    """

    first_serial = 42
    """Its serial number, unless it is given another."""

    def __init__(self, clock: Clock, latency: float = 0.002) -> None:
        self.clock = clock
        self.latency = latency
        self.serial = self.first_serial
        self.stuck = False
        """Its mechanics are jammed: it takes commands, and nothing moves or switches."""
        self._order = count()
        self._outbox: list[tuple[float, int, bytes]] = []

    @property
    @abstractmethod
    def name(self) -> str:
        """What stands on its front panel."""

    @abstractmethod
    def receive(self, data: bytes) -> None:
        """The host has sent this; commands may come in pieces or several at once."""

    def say(self, data: bytes, at: float | None = None) -> None:
        """Answer after its latency, or at a time of the clock."""
        due = self.clock() + self.latency if at is None else at
        heapq.heappush(self._outbox, (due, next(self._order), data))

    def next_due(self) -> float | None:
        """When it says something next; None when it has nothing to say."""
        return self._outbox[0][0] if self._outbox else None

    def take_due(self) -> bytes:
        """What it has said until now."""
        said = bytearray()
        now = self.clock()
        while self._outbox and self._outbox[0][0] <= now:
            said += heapq.heappop(self._outbox)[2]
        return bytes(said)

    def withdraw(self, data: bytes) -> None:
        """It will not say this after all."""
        self._outbox = [entry for entry in self._outbox if entry[2] != data]
        heapq.heapify(self._outbox)

    def plugged_in(self) -> None:
        """The host's end was connected: nothing of the last conversation is left."""
        self._outbox.clear()


class LineInstrument(SimulatedInstrument):
    """One whose commands are lines, ended by carriage return, line feed or both."""

    end = b"\r\n"
    """After each of its replies."""

    def __init__(self, clock: Clock, latency: float = 0.002) -> None:
        super().__init__(clock, latency)
        self._input = b""

    def receive(self, data: bytes) -> None:
        *lines, self._input = re.split(rb"[\r\n]", self._input + data)
        self._input = self._input[-_LONGEST_COMMAND:]
        for line in lines:
            if line.strip():
                self.command(line.decode("latin-1").strip())

    @abstractmethod
    def command(self, text: str) -> None:
        """Carry out one command."""

    def reply(self, text: str) -> None:
        """Answer with one line."""
        self.say(text.encode("latin-1") + self.end)

    def plugged_in(self) -> None:
        super().plugged_in()
        self._input = b""
