"""The server as one Trio task: binds, serves until it is cancelled, and ends within a bound."""

from __future__ import annotations

import errno
import importlib.resources
import logging
import socket
from collections.abc import Mapping
from typing import Any

import trio
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from grpclib.health.check import ServiceStatus
from grpclib.health.service import OVERALL, Health
from grpclib.reflection.service import ServerReflection

from daq.api.bench_service import BenchService
from daq.api.control_service import ControlService
from daq.api.door.access import Access
from daq.api.door.bridge import Bridge
from daq.api.door.call_boundary import CallBoundary, OpenCalls
from daq.api.door.grpc_hardening import BACKLOG, HardenedServer, tune_allocator
from daq.api.hardware import HardwareService
from daq.api.parts import Parts
from daq.api.run_service import RunService
from daq.core import ConfigurationError

__all__ = ["require_free_address", "serve_api"]

logger = logging.getLogger(__name__)

GRACE_S = 1.0
"""How long calls may finish when the server ends; streams end at once."""
CLOSE_S = 2.5
"""How long a cancelled call may take; a device that it moved is stopped within 2 s."""
END_S = GRACE_S + 2 * CLOSE_S + 0.5


async def serve_api(
    services: Parts,
    host: str,
    port: int,
    access: Access | None = None,
    *,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; then end streams, let calls finish for a second, and say goodbye.

    Reports "host:port" when clients can connect; port 0 takes a free one. Without `access` whoever
    reaches it may call. Raises ConfigurationError when the address cannot be had.
    """
    sockets = await _bind(host, port)
    stop = trio.Event()
    async with trio.open_nursery() as server_nursery:
        await server_nursery.start(_run_loop, services, access or Access(), sockets, stop)
        task_status.started(_address(sockets[0]))
        try:
            await trio.sleep_forever()
        finally:
            stop.set()


async def _run_loop(
    services: Parts,
    access: Access,
    sockets: list[socket.socket],
    stop: trio.Event,
    *,
    task_status: trio.TaskStatus[None],
) -> None:
    """The asyncio loop with the server on it, from inside of which it can still be ended.

    Cancelling it would stop the loop first, and nobody could say goodbye any more. So it is
    shielded once it serves, and bounded from the moment on which it is told to stop.
    """
    import trio_asyncio  # only now: it replaces asyncio's functions, for the whole process

    tune_allocator()
    with trio.CancelScope() as scope:
        async with trio_asyncio.open_loop() as loop, trio.open_nursery() as command_nursery:
            loop.set_exception_handler(_log_loop_error)
            server: HardenedServer = await trio_asyncio.aio_as_trio(_start)(
                services, access, Bridge(loop), command_nursery, sockets
            )
            scope.shield = True
            task_status.started()
            await stop.wait()
            scope.deadline = trio.current_time() + END_S
            await trio_asyncio.aio_as_trio(server.shut_down)(GRACE_S, CLOSE_S)
            command_nursery.cancel_scope.cancel()
    if scope.cancelled_caught:
        logger.error("the server did not end within %g s and was cut off", END_S)


async def _start(
    services: Parts,
    access: Access,
    bridge: Bridge,
    command_nursery: trio.Nursery,
    sockets: list[socket.socket],
) -> HardenedServer:
    own: list[Any] = [
        ControlService(bridge, services),
        HardwareService(bridge, services, command_nursery),
        RunService(bridge, services),
        BenchService(bridge, services),
    ]
    health = Health({OVERALL: [_serving()], **{service: [_serving()] for service in own}})
    everything = ServerReflection.extend([*own, health], pool=_descriptors())
    calls = OpenCalls(access)
    behind = [CallBoundary(service, calls, access, services.audit) for service in everything]
    server = HardenedServer(behind, calls, services.limits)
    await server.listen(sockets, access.tls.context if access.tls else None)
    return server


def _serving() -> ServiceStatus:
    status = ServiceStatus()
    status.set(True)
    return status


def _descriptors() -> DescriptorPool:
    """Betterproto keeps no descriptors, so reflection answers from the generated set."""
    content = importlib.resources.files("daq.wire.generated").joinpath("daq.desc").read_bytes()
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(content).file:
        pool.Add(file)
    return pool


async def require_free_address(host: str, port: int) -> None:
    """Raise ConfigurationError when the address cannot be had, before anything else is begun."""
    for bound in await _bind(host, port, backlog=0):
        bound.close()


async def _bind(host: str, port: int, *, backlog: int = BACKLOG) -> list[socket.socket]:
    """Sockets on every address of `host` that this machine has, all on one port.

    They listen, where a `backlog` says how many clients may wait.
    """
    try:
        found = await trio.socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise _cannot_listen(host, port, error) from error
    sockets: list[socket.socket] = []
    failure = OSError(errno.EADDRNOTAVAIL, "it has no address")
    for family, _, _, _, address in found:
        chosen = sockets[0].getsockname()[1] if sockets else port
        try:
            sockets.append(_bound(family, (address[0], chosen, *address[2:]), backlog))
        except OSError as error:
            failure = error
            if error.errno not in _NOT_OURS:
                break
    else:
        if sockets:
            return sockets
    for bound in sockets:
        bound.close()
    raise _cannot_listen(host, port, failure) from failure


# `localhost` also names ::1, on machines without IPv6 too.
_NOT_OURS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def _cannot_listen(host: str, port: int, error: OSError) -> ConfigurationError:
    advice = {
        errno.EADDRINUSE: "another daemon may be running there: stop it, or give another --port",
        errno.EACCES: "ports below 1024 are not for everybody: give another --port",
    }
    return ConfigurationError(
        f"cannot listen on {host}:{port}: {error.strerror or error}",
        advice=advice.get(error.errno or 0, "give an address of this machine with --host"),
    )


def _bound(family: int, address: tuple[Any, ...], backlog: int) -> socket.socket:
    # Naming TCP matters: asyncio turns Nagle's algorithm off only for sockets that say so, and with
    # it on every answer waits 40 ms for the client's delayed acknowledgement.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        if backlog:
            bound.listen(backlog)
        bound.setblocking(False)
    except BaseException:
        bound.close()
        raise
    return bound


def _address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if bound.family == socket.AF_INET6 else f"{host}:{port}"


def _log_loop_error(_loop: object, context: Mapping[str, Any]) -> None:
    """trio-asyncio would end the daemon with an error that no callback of asyncio took care of."""
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        logger.error(
            "a client was not let in: %s (tried again every second; raise `ulimit -n`, or find "
            "who holds so many connections)",
            error.strerror,
        )
        return
    logger.error("asyncio: %s", context.get("message", "unknown"), exc_info=error)
