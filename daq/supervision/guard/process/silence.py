"""How a daemon that gives no sign of life is told from one that is only busy: by evidence.

A daemon hangs when its loop's thread does not run, and does not wait for a processor either: it is
stopped, or waits for something that does not come. One that computes, or that an overloaded machine
does not let run, is busy, and gets far longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TICK_S = 0.25
"""How often the daemon is looked at."""
_SHARE = 0.1
"""Of a processor: a process that takes less computes nothing."""
_STARVED = 6
"""How much longer than `busy_s` a daemon may wait for its `busy_s` of processor time."""
_STATES = {"T": "it is stopped", "t": "it is stopped by a debugger", "D": "it waits for a disk"}


@dataclass(frozen=True, slots=True)
class Look:
    """What the kernel says of the daemon at one moment."""

    state: str
    """Of the loop's thread: R runs or waits for a processor, S sleeps, D waits for a disk, T is
    stopped."""
    turns: int
    """How often the loop's thread has stopped running, for whatever reason."""
    threads: str
    """The states of all its threads."""
    ran_s: float
    """The processor time of all threads."""


class Silence:
    """How long the daemon has been silent, and what it did meanwhile."""

    def __init__(self) -> None:
        self.end()

    def end(self) -> None:
        """The daemon was heard."""
        self._before: Look | None = None
        self.lasted_s = 0.0
        self._still_s = 0.0
        self._computed_s = 0.0

    def add(self, elapsed_s: float, now: Look) -> None:
        """Some more of it. What the guard itself was late was the machine's pause, not its own."""
        elapsed_s = min(elapsed_s, 2 * TICK_S)
        before, self._before = self._before or now, now
        self.lasted_s += elapsed_s
        # As of one thread: however many processors a library uses, it computes for one loop.
        ran_s = min(now.ran_s - before.ran_s, elapsed_s)
        if _is_busy(before, now, ran_s / elapsed_s):
            self._computed_s += ran_s
            self._still_s = 0.0
        else:
            self._still_s += elapsed_s

    def verdict(self, bounds: Mapping[str, Any]) -> str:
        """Why the daemon hangs; empty while it need not.

        Args:
            bounds: `timeout_s` for one that stands still, and `busy_s` of processor time.
        """
        if self._still_s >= bounds["timeout_s"]:
            state = self._before.state if self._before else ""
            why = _STATES.get(state, "it stands still")
        elif self._computed_s >= bounds["busy_s"]:
            why = f"it has computed for {self._computed_s:.1f} s"
        elif self.lasted_s >= _STARVED * bounds["busy_s"]:
            why = "it does not get a processor"
        else:
            return ""
        return f"the daemon gave no sign of life for {self.lasted_s:.1f} s: {why}"


def _is_busy(before: Look, now: Look, share: float) -> bool:
    """Whether the daemon got on, or would have, had the machine let it."""
    if now.state == "R":
        return True
    if now.turns == before.turns:
        return False
    # It wakes up and sleeps again: it waits for Python's lock. Is whoever holds it at work?
    return share >= _SHARE or not set("RD").isdisjoint(now.threads)
