"""What one script has used of its limits, counted by the daemon: the script itself is not asked."""

from __future__ import annotations

from daq.core import Log, OpenRun, Point, Record, Request
from daq.scripting.limits import SandboxLimits, reached
from daq.scripting.parent.throttle import TokenBucket

__all__ = ["Allowance"]

_BURST_S = 2.0


class Allowance:
    """Counts output, events and runs, and says how long a flood has to wait."""

    def __init__(self, limits: SandboxLimits) -> None:
        self._limits = limits
        self._output_bytes = 0
        self._output_lines = 0
        self._records = 0
        self._runs = 0
        self.refill()

    def refill(self) -> None:
        """Let the next output pass at once, however much there was before."""
        self._byte_bucket = _bucket(self._limits.output_bytes_per_s)
        self._line_bucket = _bucket(self._limits.output_lines_per_s)

    def spend(self, request: Request) -> str:
        """Count a request; returns which limit it exceeds, for people, or nothing."""
        match request:
            case Log():
                return self._spend_output(request)
            case Record() | Point():
                self._records += 1
                return _exceeded(self._records, self._limits.max_records, "events", "max_records")
            case OpenRun():
                self._runs += 1
                return _exceeded(self._runs, self._limits.max_runs, "runs", "max_runs")
            case _:
                return ""

    def _spend_output(self, log: Log) -> str:
        limits = self._limits
        self._output_bytes += len(log.text.encode())
        self._output_lines += _lines(log.text)
        if self._output_bytes > limits.max_output_mb * (1 << 20):
            return reached(f"{limits.max_output_mb:g} MB of output", "max_output_mb")
        return _exceeded(
            self._output_lines, limits.max_output_lines, "lines of output", "max_output_lines"
        )

    def delay(self, text: str, now: float) -> float:
        """Seconds to wait before more is taken, after `text` at time `now`."""
        return max(
            self._byte_bucket.spend(len(text.encode()), now),
            self._line_bucket.spend(_lines(text), now),
        )

    def __repr__(self) -> str:
        return f"<Allowance: {self._output_lines} lines, {self._records} events, {self._runs} runs>"


def _lines(text: str) -> int:
    # As the record of the execution splits it: one text can hold thousands of lines.
    return len(text.splitlines()) or 1


def _exceeded(used: int, limit: int | None, what: str, name: str) -> str:
    return reached(f"{limit} {what}", name) if limit is not None and used > limit else ""


def _bucket(rate: float) -> TokenBucket:
    return TokenBucket(rate, rate * _BURST_S)
