"""What a guard wrote down: read by the next daemon, and kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daq.supervision.guard.process.wills import FAILED, SAFE, SENT, VERSION
from daq.supervision.json_file import read_kept

__all__ = ["GuardReport", "file_away", "parse_report", "read_report", "unseen_reports"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GuardReport:
    """One intervention."""

    path: Path | None
    """None when it could not be written down."""
    reason: str
    timestamp_ns: int
    duration_s: float
    wills: tuple[Mapping[str, Any], ...]
    """Per last will: `device`, `port`, `summary`, `outcome` (`made safe`, `sent` or `failed`),
    `error`, and each frame with its reply."""
    daemon_killed: bool = False
    """It hung and held the line of an instrument."""

    @property
    def devices(self) -> tuple[str, ...]:
        """Those whose last will was carried out, or tried."""
        return tuple(dict.fromkeys(will["device"] for will in self.wills))

    def not_confirmed(self) -> Mapping[str, str]:
        """Why nobody knows that they are safe, by device."""
        return {will["device"]: _in_words(will) for will in self.wills if will["outcome"] != SAFE}

    def __str__(self) -> str:
        when = datetime.fromtimestamp(self.timestamp_ns / 1e9, UTC)
        wills = "; ".join(f"{will['device']}: {_in_words(will)}" for will in self.wills)
        killed = " (and was killed, since it held the line)" if self.daemon_killed else ""
        return (
            f"the guard acted on {when:%Y-%m-%d %H:%M:%S} UTC because {self.reason}{killed}: "
            f"{wills} (in {self.duration_s:.2f} s; {self.path or 'not written down'})"
        )


def parse_report(content: Mapping[str, Any], path: Path | None) -> GuardReport:
    """Raises KeyError, TypeError or AttributeError for what is no report."""
    version = content.get("version", 1)
    wills = content["wills"] if version > 1 else map(_of_version_1, content["ports"])
    report = GuardReport(
        path=path,
        reason=content["reason"],
        timestamp_ns=int(content["timestamp_ns"]),
        duration_s=float(content["duration_s"]),
        wills=tuple(wills),
        daemon_killed=content.get("daemon_killed", False),
    )
    str(report)  # a will that cannot be told is damaged too
    return report


def read_report(path: Path) -> tuple[GuardReport | None, str]:
    """The report, or why there is none to read: it is set aside then."""
    return read_kept(path, VERSION, lambda content: parse_report(content, path))


def unseen_reports(directory: Path) -> list[GuardReport]:
    """Those that no daemon has reported yet, oldest first."""
    read = [read_report(path)[0] for path in sorted(directory.glob("report-*.json"))]
    return [report for report in read if report is not None]


def file_away(report: GuardReport) -> GuardReport:
    """It is reported now: kept under a name that says so; returns it with its new path."""
    if report.path is None:
        return report
    name = report.path.name.replace("report-", "reported-", 1)
    return replace(report, path=report.path.rename(report.path.with_name(name)))


def _of_version_1(port: Mapping[str, Any]) -> Mapping[str, Any]:
    """As the guards of daq 1.x wrote it: a port, not a will, and never what was only sent."""
    answered = [frame["expected"] is not None for frame in port["frames"]]
    done = SAFE if answered and answered[-1] else SENT
    return {
        "device": ", ".join(port["devices"]),
        "port": port["port"],
        "summary": port.get("summary", ""),
        "outcome": done if port["ok"] else FAILED,
        "error": port.get("error", ""),
        "frames": port["frames"],
    }


def _in_words(will: Mapping[str, Any]) -> str:
    if will["outcome"] == SAFE:
        return will["summary"] or "made safe"
    if will["outcome"] == SENT:
        return f"{will['summary'] or 'its last will'} (sent, not answered)"
    failed = [frame for frame in will["frames"] if not frame["ok"]]
    why = will["error"] or "; ".join(map(_frame_in_words, failed))
    return f"NOT MADE SAFE on {will['port']}: {why}"


def _frame_in_words(frame: Mapping[str, Any]) -> str:
    why = frame.get("error") or f"was answered {frame['reply']!r}, not {frame['expected']!r}"
    return f"{frame['send']!r} {why}"
