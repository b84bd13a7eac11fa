"""What one script may use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from daq.core import ParameterError

__all__ = ["SandboxLimits", "how_to_raise", "reached"]

_LOWERABLE: Mapping[str, type] = MappingProxyType(
    {
        "memory_mb": int,
        "max_duration_s": float,
        "max_output_mb": float,
        "max_output_lines": int,
        "max_records": int,
        "max_runs": int,
    }
)


def reached(bound: str, name: str) -> str:
    """Why a script was ended, for people: what it had used up, and what to do about it."""
    return f"the limit of {bound} was reached ({name}); {how_to_raise(name)}"


def how_to_raise(name: str) -> str:
    return f"to allow more, raise {name} in [scripts] of the configuration, or where it was started"


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """Bounds for every script; reaching one ends the script with a message that names it.

    None stands for no bound.
    """

    memory_mb: int = 512
    """Address space beyond what the warm interpreter holds already, MiB."""
    max_duration_s: float | None = None
    """Wall time without the time spent paused, seconds."""
    max_output_mb: float = 16.0
    """All that a script prints and logs, MiB of UTF-8."""
    max_output_lines: int = 1_000_000
    max_records: int | None = None
    """Events that a script stores, by `record` or in a plan."""
    max_runs: int | None = 10_000
    """Runs that a script opens, one after the other."""
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

    def lowered(self, wanted: Mapping[str, float]) -> SandboxLimits:
        """The same limits, some of them lower: what one start of a script asks for.

        Raises ParameterError for what is not a limit, or more than what is allowed here.
        """
        lowered: dict[str, Any] = {name: self._lower(name, value) for name, value in wanted.items()}
        return replace(self, **lowered)

    def _lower(self, name: str, value: float) -> float:
        kind = _LOWERABLE.get(name)
        if kind is None:
            raise ParameterError(
                f"there is no limit {name!r} that a start can lower",
                advice=f"there are {', '.join(_LOWERABLE)}",
            )
        highest = getattr(self, name)
        if not 0 < value < math.inf or (kind is int and value != int(value)):
            raise ParameterError(f"{name} is a positive number, not {value:g}")
        if highest is not None and value > highest:
            raise ParameterError(
                f"{name} can be lowered for one start, not raised: {value:g} is more than "
                f"{highest:g}",
                advice="the daemon's configuration sets it, in [scripts]",
            )
        return kind(value)  # type: ignore[no-any-return]
