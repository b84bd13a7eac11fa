"""Around every call: who calls, which calls are open, and how an error leaves as a gRPC status."""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from grpclib.const import Handler, Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.server import Stream
from h2.exceptions import StreamClosedError

from daq.api.audit import Audit
from daq.api.door.access import ANYBODY, READING, Access, Knock
from daq.api.door.local_peers import is_loopback, user_name
from daq.api.door.seldom import SeldomLogger
from daq.core import (
    AuthenticationError,
    CommunicationError,
    DaqError,
    OverloadError,
    PermissionDeniedError,
)
from daq.wire.status import to_status

if TYPE_CHECKING:
    from daq.api.door.connection import ServerProtocol

__all__ = ["FORCE_METADATA", "USER_METADATA", "CallBoundary", "Caller", "OpenCalls", "caller"]

logger = logging.getLogger(__name__)
_REFUSALS = SeldomLogger(logger)

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
    token: str = ""
    """Whose token came with the call; empty without one."""
    uid: int | None = None
    """Of the process that calls, on this machine."""

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

    def __init__(self, access: Access | None = None) -> None:
        self.closing = False
        self._access = access or Access()
        self._unary: set[asyncio.Task[Any]] = set()
        self._streaming: dict[asyncio.Task[Any], str] = {}
        """With the user who came in by a token; empty for others."""
        self._revoked: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._unary) + len(self._streaming)

    @contextmanager
    def entered(self, *, streaming: bool) -> Iterator[None]:
        """Count the current task in. Raises CommunicationError when the server is ending."""
        if self.closing:
            raise _stopping()
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        if streaming:
            self._streaming[task] = ""
        else:
            self._unary.add(task)
        try:
            yield
        finally:
            self._streaming.pop(task, None)
            self._unary.discard(task)
            self._revoked.discard(task)

    def belongs_to(self, user: str) -> None:
        """The current call is one of who came in by a token: a stream ends when that is revoked."""
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        if task in self._streaming:
            self._streaming[task] = user

    def end_revoked(self) -> None:
        """End the streams of those whose token was taken away or has expired."""
        for task, user in self._streaming.items():
            if user and task not in self._revoked and not self._access.is_valid(user):
                self._revoked.add(task)
                task.cancel()

    @property
    def was_revoked(self) -> bool:
        """Whether that is why the current call was cancelled."""
        return asyncio.current_task() in self._revoked

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


def _revoked() -> AuthenticationError:
    return AuthenticationError(
        "the token with which this stream was opened was taken away or has expired",
        advice="whoever runs the daemon can give a new one in the [server] token_file",
    )


def _stopping() -> CommunicationError:
    return CommunicationError("the daemon is stopping", advice="call again when it is back")


class CallBoundary:
    """A service as the server gets it: the same methods, each behind the guard."""

    def __init__(
        self, service: Any, calls: OpenCalls, access: Access, audit: Audit | None = None
    ) -> None:
        self._service = service
        self._calls = calls
        self._access = access
        self._audit = audit or Audit()

    def __mapping__(self) -> dict[str, Handler]:
        return {
            route: handler._replace(func=functools.partial(self._serve, route, handler))
            for route, handler in self._service.__mapping__().items()
        }

    async def _serve(self, route: str, handler: Handler, stream: Stream[Any, Any]) -> None:
        revoked = False
        try:
            with self._calls.entered(streaming=handler.cardinality.server_streaming):
                try:
                    who = await self._admit(route, stream)
                    _CALLER.set(who)
                    with self._noting(route, who):
                        await handler.func(stream)
                finally:
                    revoked = self._calls.was_revoked
        except asyncio.CancelledError:
            if self._calls.closing:
                await _fail(stream, _stopping())
            elif revoked:
                await _fail(stream, _revoked())
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

    async def _admit(self, route: str, stream: Stream[Any, Any]) -> Caller:
        """Who calls. Raises AuthenticationError and PermissionDeniedError."""
        metadata: Any = stream.metadata or {}
        address = stream.peer.addr()
        peer = f"{address[0]}:{address[1]}" if address else ""
        knock = await _knock(stream)
        try:
            proved = self._access.user(
                route, metadata.get("authorization"), stream.peer.cert(), knock
            )
        except (AuthenticationError, PermissionDeniedError) as error:
            _REFUSALS.info("refused %s to %s: %s", route, peer, error.message)
            raise
        token = proved if proved and self._access.knows(proved) else ""
        if token:
            self._calls.belongs_to(token)
        user = proved or metadata.get(USER_METADATA, "")
        force = metadata.get(FORCE_METADATA) in ("1", "true")
        return Caller(
            user if isinstance(user, str) else "", peer, force, bool(proved), token, knock.uid
        )

    def _noting(self, route: str, who: Caller) -> AbstractContextManager[None]:
        if route in READING or not route.startswith("/daq."):
            return nullcontext()
        peer = who.peer if who.uid is None else f"{who.peer} ({user_name(who.uid)})"
        return self._audit.noting(
            route.rpartition("/")[2], user=who.user, token=who.token, peer=peer
        )


async def _knock(stream: Stream[Any, Any]) -> Knock:
    """From where the call comes; the kernel is asked once for each connection."""
    inner = getattr(stream, "_stream", None)  # grpclib's own stream, which is ours: `FairStream`
    client: ServerProtocol | None = getattr(inner, "client", None)
    if client is None or not is_loopback(client.peer):
        return ANYBODY
    return Knock(is_near=True, uid=await client.owner())


def _as_daq_error(error: Exception, route: str) -> DaqError:
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, DaqError):
        return error
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return OverloadError(
            "the daemon has as many files and connections open as the system allows",
            advice="close some clients, or raise `ulimit -n` for the daemon",
        )
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
