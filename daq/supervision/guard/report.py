"""What a guard wrote down: read by the next daemon, and kept."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["GuardReport", "file_away", "read_report", "unseen_reports"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GuardReport:
    """One intervention."""

    path: Path
    reason: str
    timestamp_ns: int
    duration_s: float
    ports: tuple[Mapping[str, Any], ...]
    """Per port: `port`, `devices`, `summary`, `ok`, `error`, and each frame with its reply."""
    daemon_killed: bool = False
    """It stood still and held the line of an instrument."""

    @property
    def devices(self) -> tuple[str, ...]:
        """Those whose last will was carried out, or tried."""
        return tuple(dict.fromkeys(d for port in self.ports for d in port["devices"]))

    def __str__(self) -> str:
        when = datetime.fromtimestamp(self.timestamp_ns / 1e9, UTC)
        ports = "; ".join(map(_port_in_words, self.ports))
        killed = " (and was killed, since it held the line)" if self.daemon_killed else ""
        return (
            f"the guard acted on {when:%Y-%m-%d %H:%M:%S} UTC because {self.reason}{killed}: "
            f"{ports} (in {self.duration_s:.2f} s; {self.path})"
        )


def read_report(path: Path) -> GuardReport:
    """Raises OSError or ValueError for what is no report."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return GuardReport(
        path=path,
        reason=content["reason"],
        timestamp_ns=content["timestamp_ns"],
        duration_s=content["duration_s"],
        ports=tuple(content["ports"]),
        daemon_killed=content.get("daemon_killed", False),
    )


def unseen_reports(directory: Path) -> list[GuardReport]:
    """Those that no daemon has reported yet, oldest first."""
    found = []
    for path in sorted(directory.glob("report-*.json")):
        try:
            found.append(read_report(path))
        except (OSError, ValueError, KeyError) as error:
            logger.warning("%s cannot be read: %s", path, error)
    return found


def file_away(report: GuardReport) -> GuardReport:
    """It is reported now: kept under a name that says so; returns it with its new path."""
    name = report.path.name.replace("report-", "reported-", 1)
    return replace(report, path=report.path.rename(report.path.with_name(name)))


def _port_in_words(port: Mapping[str, Any]) -> str:
    who = ", ".join(port["devices"])
    if port["ok"]:
        return f"{who}: {port.get('summary') or 'made safe'}"
    failed = [f for f in port["frames"] if not f["ok"]]
    why = port.get("error") or "; ".join(_frame_in_words(frame) for frame in failed)
    return f"{who}: NOT MADE SAFE on {port['port']}: {why}"


def _frame_in_words(frame: Mapping[str, Any]) -> str:
    why = frame.get("error") or f"was answered {frame['reply']!r}, not {frame['expected']!r}"
    return f"{frame['send']!r} {why}"
