"""One line of the audit: who changed what, on what, and how that ended."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AuditEntry"]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One call that changed something, or tried to."""

    timestamp_ns: int
    """When it came, ns since the epoch."""
    user: str
    """Who: by a token or certificate, else as the client says."""
    token: str
    """Whose token it came with; empty without one."""
    peer: str
    """Network address, and the user of this machine where that is known."""
    method: str
    """What: the name of the call."""
    target: str = ""
    """On what: a device, an execution, a script, a run."""
    details: str = ""
    """The other fields of the request, in short."""
    outcome: str = "ok"
    """`ok`, `cancelled`, or the kind of the error."""
    message: str = ""
    """What the error says."""
    duration_s: float = 0.0
