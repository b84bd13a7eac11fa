"""The times by which devices are supervised."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Timing"]


@dataclass(frozen=True, slots=True)
class Timing:
    """Periods and bounds, all in seconds."""

    idle_poll_s: float = 1.0
    """Between two polls of a device that nobody watches and that does nothing."""
    active_poll_s: float = 0.2
    """Between two polls while something moves, runs or is watched."""
    follow_s: float = 0.1
    """Between two published positions of a move."""
    watch_memory_s: float = 2.0
    """How long after its last look a watcher still counts as watching."""
    connect_s: float = 10.0
    poll_s: float = 5.0
    late_s: float = 1.0
    """A device that took longer for a poll is degraded."""
    stale_s: float = 3.0
    """A device that has owed the answer to a poll for so long is stale: what is known is old."""
    settings_s: float = 2.0
    disconnect_s: float = 2.0
    start_s: float = 2.0
    """How long the daemon's start waits for the first attempt of every device."""
    resume_s: float = 0.5
    """How long a detector is left alone before a live view takes it again."""
    unwind_s: float = 0.2
    """What a command gets to end by itself after it was interrupted."""
    cleanup_s: float = 0.8
    """What ending a cancelled command may take in all, its stop included.

    A force stop waits for it and then for each device's safe state, and both must fit into 2 s.
    """
    stop_s: float = 10.0
    """How long a stop goes on trying after those who asked for it were told that it is late."""
