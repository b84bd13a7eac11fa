"""The gRPC API: services over the daemon's parts, and the one door between asyncio and Trio."""

# On Python 3.12 and later trio_asyncio must come before grpclib, which otherwise finds no loop.
import trio_asyncio  # noqa: F401

from daq.api.server import serve_api
from daq.api.services import ApiServices, DaemonInfo

__all__ = ["ApiServices", "DaemonInfo", "serve_api"]
