"""Tells people when the disk does not keep up with a run, before anybody has to wait for it."""

from __future__ import annotations

import logging

__all__ = ["DiskWatch"]

_BEHIND, _CAUGHT_UP = 0.5, 0.1
_LATE_SYNC_S = 10.0

_log = logging.getLogger(__name__)


class DiskWatch:
    """Looks at what waits, and says so once when it is too much and once when it is over."""

    def __init__(self, run_id: str, buffer_bytes: int) -> None:
        self._run_id = run_id
        self._buffer_bytes = buffer_bytes
        self._is_behind = False
        self._is_late = False

    def look(self, waiting_bytes: int, syncing_s: float) -> None:
        """What waits for the disk, and for how long it has been busy with an fsync."""
        full = waiting_bytes / self._buffer_bytes
        if full >= _BEHIND and not self._is_behind:
            _log.warning(
                "run %s: the disk does not keep up: %.0f MB wait for it; instruments are held up "
                "at %.0f MB",
                self._run_id,
                waiting_bytes / 1e6,
                self._buffer_bytes / 1e6,
            )
        elif self._is_behind and full < _CAUGHT_UP:
            _log.warning("run %s: the disk has caught up, nothing was lost", self._run_id)
        self._is_behind = full >= (_CAUGHT_UP if self._is_behind else _BEHIND)
        if syncing_s > _LATE_SYNC_S and not self._is_late:
            _log.warning(
                "run %s: the disk has not finished an fsync for %.0f s: a power cut would cost "
                "what came since",
                self._run_id,
                syncing_s,
            )
        self._is_late = syncing_s > _LATE_SYNC_S
