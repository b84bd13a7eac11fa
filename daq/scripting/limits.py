"""What one script may use."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SandboxLimits"]


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """Bounds for every script; reaching one ends the script with a message that names it."""

    memory_mb: int = 512
    """Address space beyond what the warm interpreter holds already, MiB."""
    max_duration_s: float | None = None
    """Wall time without the time spent paused, seconds; None for no bound."""
    max_output_bytes: int = 64 << 20
    """All that a script prints and logs, bytes of text."""
    max_source_bytes: int = 256 << 10
    """The script itself, bytes of UTF-8."""
    output_bytes_per_s: float = 2e6
    """How fast output is taken; a script that prints faster waits."""
    output_lines_per_s: float = 5000.0
    check_timeout_s: float = 5.0
    """For checking a script at upload, seconds."""
    numpy: bool = True
    """Whether scripts may `import numpy`."""
    allow_unconfined: bool = False
    """Run scripts also where the kernel cannot confine them. For development only."""
