"""Around every call: who calls, which calls are open, and how an error leaves as a gRPC status."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

from grpclib.const import Handler, Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.server import Stream
from h2.exceptions import StreamClosedError

from daq.api.door.access import Access
from daq.core import AuthenticationError, CommunicationError, DaqError, PermissionDeniedError
from daq.wire.status import to_status

__all__ = ["FORCE_METADATA", "USER_METADATA", "CallBoundary", "Caller", "OpenCalls", "caller"]

logger = logging.getLogger(__name__)

FORCE_METADATA = "x-daq-force"
"""Metadata with which a client commands a device that an execution has claimed."""
USER_METADATA = "x-daq-user"
"""Metadata with which a client may say for whom it calls."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes the call that is being served."""

    user: str = ""
    """As a token or a certificate proves, else as the client says; empty when it says nothing."""
    peer: str = ""
    """Its network address."""
    force: bool = False
    """It commands devices in spite of another's claim."""
    proved: bool = False

    def __str__(self) -> str:
        return self.user or (f"client {self.peer}" if self.peer else "")

    @property
    def party(self) -> str:
        """Whose turn it is where several wait: the user, or else the machine."""
        return self.user or self.peer.rpartition(":")[0]

    def on_record(self, claimed: str) -> str:
        """The user for the record: a request may name one, unless it is proved who calls."""
        return self.user if self.proved else claimed or self.user


_CALLER: ContextVar[Caller] = ContextVar("caller", default=Caller())  # noqa: B039 - it is frozen


def caller() -> Caller:
    """Who makes the call in whose task this is asked."""
    return _CALLER.get()


class OpenCalls:
    """The calls that are being served, so that the server's end can end them."""

    def __init__(self) -> None:
        self.closing = False
        self._unary: set[asyncio.Task[Any]] = set()
        self._streaming: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._unary) + len(self._streaming)

    @contextmanager
    def entered(self, *, streaming: bool) -> Iterator[None]:
        """Count the current task in. Raises CommunicationError when the server is ending."""
        if self.closing:
            raise _stopping()
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        tasks = self._streaming if streaming else self._unary
        tasks.add(task)
        try:
            yield
        finally:
            tasks.discard(task)

    async def end(self, grace_s: float, close_s: float) -> None:
        """Admit no more; end streams at once, and the others when they had `grace_s` to finish."""
        self.closing = True
        for task in tuple(self._streaming):
            task.cancel()
        await self._wait(grace_s)
        for task in (*self._unary, *self._streaming):
            task.cancel()
        await self._wait(close_s)

    async def _wait(self, timeout: float) -> None:
        tasks = {*self._unary, *self._streaming}
        if tasks:
            await asyncio.wait(tasks, timeout=timeout)


def _stopping() -> CommunicationError:
    return CommunicationError("the daemon is stopping", advice="call again when it is back")


class CallBoundary:
    """A service as the server gets it: the same methods, each behind the guard."""

    def __init__(self, service: Any, calls: OpenCalls, access: Access) -> None:
        self._service = service
        self._calls = calls
        self._access = access

    def __mapping__(self) -> dict[str, Handler]:
        return {
            route: handler._replace(func=functools.partial(self._serve, route, handler))
            for route, handler in self._service.__mapping__().items()
        }

    async def _serve(self, route: str, handler: Handler, stream: Stream[Any, Any]) -> None:
        try:
            with self._calls.entered(streaming=handler.cardinality.server_streaming):
                _CALLER.set(_caller_of(stream, route, self._access))
                await handler.func(stream)
        except asyncio.CancelledError:
            if self._calls.closing:
                await _fail(stream, _stopping())
            raise
        except (GRPCError, StreamTerminatedError):
            raise
        except StreamClosedError:
            logger.debug("%s: the client left while it was answered", route)
        except Exception as error:  # noqa: BLE001 - it becomes a status, and is logged if unexpected
            await _fail(stream, _as_daq_error(error, route))
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # The client left when the verdict was there already; grpclib logs as an error what does
            # not end by its cancellation.
            raise asyncio.CancelledError


def _caller_of(stream: Stream[Any, Any], route: str, access: Access) -> Caller:
    metadata: Any = stream.metadata or {}
    address = stream.peer.addr()
    peer = f"{address[0]}:{address[1]}" if address else ""
    try:
        proved = access.user(route, metadata.get("authorization"), stream.peer.cert())
    except (AuthenticationError, PermissionDeniedError) as error:
        logger.info("refused %s to %s: %s", route, peer, error.message)
        raise
    user = proved or metadata.get(USER_METADATA, "")
    force = metadata.get(FORCE_METADATA) in ("1", "true")
    return Caller(user if isinstance(user, str) else "", peer, force, bool(proved))


def _as_daq_error(error: Exception, route: str) -> DaqError:
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, DaqError):
        return error
    logger.error("%s failed", route, exc_info=error)
    return DaqError(
        f"{route.rpartition('/')[2]} failed inside of the daemon: {type(error).__name__}: {error}",
        advice="this is a defect of the daemon; its log holds the traceback",
    )


async def _fail(stream: Stream[Any, Any], error: DaqError) -> None:
    status = to_status(error)
    try:
        await stream.send_trailing_metadata(
            status=Status[status.status], status_message=status.message, metadata=status.metadata
        )
    except StreamClosedError:
        logger.debug("the client left before it could be told: %s", error.message)
