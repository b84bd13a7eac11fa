"""Scripts in confined processes: the language, its policy, the sandbox and the built-in plans.

The names load on first use: the processes that run scripts import this package too, and must not
import trio, which only the daemon's side needs.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daq.scripting.limits import SandboxLimits
    from daq.scripting.parent.sandbox import Sandbox, SandboxStatistics

__all__ = ["Sandbox", "SandboxLimits", "SandboxStatistics"]

_HOMES = {
    "Sandbox": "daq.scripting.parent.sandbox",
    "SandboxLimits": "daq.scripting.limits",
    "SandboxStatistics": "daq.scripting.parent.sandbox",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
