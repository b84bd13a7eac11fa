"""The gRPC API: services over the daemon's parts, and the one door between asyncio and Trio."""

from daq.api.audit import Audit
from daq.api.door.access import Access, read_access
from daq.api.door.admission import limits_here
from daq.api.parts import DaemonInfo, Parts
from daq.api.server import require_free_address, serve_api

__all__ = [
    "Access",
    "Audit",
    "DaemonInfo",
    "Parts",
    "limits_here",
    "read_access",
    "require_free_address",
    "serve_api",
]
