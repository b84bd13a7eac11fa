"""The gRPC API: services over the daemon's parts, and the one door between asyncio and Trio."""

from daq.api.door.access import Access, read_access
from daq.api.server import serve_api
from daq.api.services import ApiServices, DaemonInfo

__all__ = ["Access", "ApiServices", "DaemonInfo", "read_access", "serve_api"]
