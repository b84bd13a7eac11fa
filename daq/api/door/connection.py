"""One client's connection as the server holds it: bounded in what it asks, ended when it is gone.

Written against grpclib 0.4.9 and h2 4.4.1; `tests/unit/api/test_grpc_hardening.py` fails when they
change.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import quote

from grpclib.const import Status
from grpclib.metadata import decode_timeout
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    PingReceived,
    PriorityUpdated,
    RemoteSettingsChanged,
    RequestReceived,
    StreamReset,
    WindowUpdated,
)

from daq.api.door.admission import Admission
from daq.api.door.grpc_sending import FairStream
from daq.api.door.local_peers import is_loopback, owner_of_peer
from daq.api.door.turns import FrameCutter, Turns
from daq.core import DaqError, OverloadError
from daq.core import TimeoutError as DeadlineError
from daq.wire.gathering import GatheringTransport
from daq.wire.grpc_tuning import TolerantProcessor, TunedProtocol
from daq.wire.status import to_status

__all__ = ["Connections", "ServerProtocol"]

logger = logging.getLogger(__name__)

READ_BYTES = 32 << 10
MAX_UNREAD_BYTES = 1 << 20
SHORTEST_S = 1e-3
"""What a call's own deadline must leave for it to be begun."""
LOOP_SHARE = 0.15
BURST_S = 0.05
"""What one connection may spend of the loop's time on frames that are no calls: whoever sends more
is read later."""
PATIENCE_S = 2.0
"""Who had to be slowed down for so long is sent away."""
SMALLEST_FRAME = 64
FREE_FRAMES = 1000
"""Of a request, before they have to hold some bytes each."""

_COST_S: dict[type[Event], float] = {
    RemoteSettingsChanged: 60e-6,
    PingReceived: 15e-6,
    PriorityUpdated: 15e-6,
    WindowUpdated: 2e-6,
    StreamReset: 0.3e-3,
}
"""Measured, with the end of the call that a reset ends."""


class _ServerProcessor(TolerantProcessor):
    """Makes a `FairStream` of each request, and counts what else comes."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.protocol: ServerProtocol
        self._came: list[Event] = []

    def process(self, event: Event) -> None:
        self._came.append(event)

    def end_piece(self) -> None:
        """Act on what one piece brought; a call that it takes back as well is never begun."""
        came, self._came = self._came, []
        taken_back = {event.stream_id for event in came if isinstance(event, StreamReset)}
        for event in came:
            if isinstance(event, RequestReceived) and event.stream_id in taken_back:
                continue
            self.protocol.spent_s += _COST_S.get(type(event), 0.0)
            super().process(event)

    def process_request_received(self, event: RequestReceived) -> None:
        number = event.stream_id
        protocol = self.protocol
        headers = cast("list[tuple[str, str]]", event.headers)  # as the configuration decodes them
        if _is_over(headers):
            protocol.refuse(number, DeadlineError("the call's deadline passed before it began"))
            return
        refusal = protocol.refusal or protocol.admission.begin_call(protocol.peer)
        if refusal:
            protocol.refuse(number, OverloadError(refusal))
            return
        stream = FairStream(self.connection, number)
        stream.client = protocol
        # grpclib fills `headers` on the client's side only; `receive_message` needs them here too,
        # for the compression.
        stream.headers = headers
        release = self.register(stream)

        def end(_: object) -> None:
            protocol.admission.end_call(protocol.peer)
            release()

        # grpclib's task lets go of its stream by itself, but not when it is cancelled before its
        # first step: it would be counted for ever.
        self.handler.accept(stream, headers, _nothing)
        cast("Any", self.handler)._tasks[stream].add_done_callback(end)  # noqa: SLF001

    def process_data_received(self, event: DataReceived) -> None:
        stream = cast("FairStream | None", self.streams.get(event.stream_id))
        if stream is not None:
            stream.frames += 1
            if stream.frames > FREE_FRAMES + stream.data_received // SMALLEST_FRAME:
                self.protocol.send_away("a request in frames of some bytes each")
                return
        super().process_data_received(event)


def _is_over(headers: list[tuple[str, str]]) -> bool:
    """Whether a call has no time at all, for which grpclib 0.4.9 logs two tracebacks."""
    given = dict(headers).get("grpc-timeout")
    try:
        return given is not None and decode_timeout(given) < SHORTEST_S
    except ValueError:  # grpclib says so
        return False


def _nothing() -> None:
    pass


class ServerProtocol(TunedProtocol):
    """One connection of a client, which the server can close for good."""

    processor_class = _ServerProcessor

    transport: asyncio.Transport

    def __init__(self, *arguments: Any, connections: Connections) -> None:
        super().__init__(*arguments)
        self._connections = connections
        self.admission = connections.admission
        self.peer = ""
        """Its network address, without the port."""
        self.refusal = ""
        """Why it is not let in."""
        self.heard_at = 0.0
        """On the loop's clock, when it said something the last time."""
        self.asked_at = 0.0
        """When it was last asked whether it is there; 0 once it said something."""
        self.idle_since = 0.0
        self.spent_s = 0.0
        """Of the loop's time, which it may spend slowly."""
        self._slowed_s = 0.0
        self._settled_at = 0.0
        self._cutter = FrameCutter()
        self._is_taken = False
        """A piece of what came waits for its turn, or for later; no more is read meanwhile."""
        self._owner: asyncio.Future[int | None] | None = None

    # what asyncio says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        loop = asyncio.get_running_loop()
        self.heard_at = self.idle_since = self._settled_at = loop.time()
        address = transport.get_extra_info("peername") or ("",)
        self.peer = str(address[0])
        self.refusal = self.admission.connect(self.peer, near=is_loopback(self.peer))
        self._connections.add(self)  # only now: one that fails in TLS's handshake is never lost
        if transport.get_extra_info("ssl_object") is None:
            # What the socket does not take at once is waited for, to the last byte: `FairStream`
            # writes past the transport when nothing waits in it.
            self.transport.set_write_buffer_limits(0)
        cast("Any", transport).max_size = READ_BYTES
        _notice_silence(transport.get_extra_info("socket"), self.admission.limits.silence_s)
        super().connection_made(GatheringTransport(transport, loop.call_soon))
        cast("_ServerProcessor", self.processor).protocol = self

    def data_received(self, data: bytes) -> None:
        self.heard_at, self.asked_at = asyncio.get_running_loop().time(), 0.0
        self._cutter.feed(data)
        if not self._is_taken:
            self._is_taken = True
            self._connections.turns.take(self._take)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.discard(self)
        self.admission.disconnect(self.peer)
        self._cutter.clear()
        # To end what it had open takes a while, and many may go together.
        self._connections.turns.take(lambda: super(ServerProtocol, self).connection_lost(exc))

    # what it may spend

    def _take(self) -> None:
        """Act on one piece of what came; the next one has its turn, or comes later."""
        self._is_taken = False
        if self.transport.is_closing():
            return
        if piece := self._cutter.take():
            self._act_on(piece)
        delay = self._delay()
        if self.transport.is_closing():
            return
        if not delay and not self._cutter.has_piece:
            self.transport.resume_reading()
            return
        self._is_taken = True
        self.transport.pause_reading()
        turns = self._connections.turns
        if delay:
            asyncio.get_running_loop().call_later(delay, turns.take, self._take)
        else:
            turns.take_later(self._take)

    def _act_on(self, piece: bytes) -> None:
        super().data_received(piece)
        self.guarded(cast("_ServerProcessor", self.processor).end_piece)
        if self.transport.is_closing():
            return
        self.guarded(self.connection.flush)
        # Streams wait for room before they write; what HTTP/2 itself answers, to pings and
        # settings, does not.
        if self.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            logger.warning("cutting off a client that asks without end and reads nothing")
            self.transport.abort()

    def _delay(self) -> float:
        """How long this client has to wait before more of it is read."""
        now = asyncio.get_running_loop().time()
        self.spent_s = max(0.0, self.spent_s - (now - self._settled_at) * LOOP_SHARE)
        self._settled_at = now
        if not self.spent_s:
            self._slowed_s = 0.0
        if self.spent_s <= BURST_S:
            return 0.0
        delay = (self.spent_s - BURST_S) / LOOP_SHARE
        self._slowed_s += delay
        if self._slowed_s > PATIENCE_S:
            self.send_away("a flood of settings, pings or calls that are taken back")
        return delay

    # ending

    def refuse(self, number: int, error: DaqError) -> None:
        """Answer a call without a task for it; who is not let in at all is said goodbye."""
        status = to_status(error)
        headers = [
            (":status", "200"),
            ("content-type", "application/grpc"),
            ("grpc-status", str(Status[status.status].value)),
            ("grpc-message", quote(status.message, safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}")),
            *status.metadata.items(),
        ]
        h2 = self.connection._connection  # noqa: SLF001
        with contextlib.suppress(Exception):  # it was taken back already
            h2.send_headers(number, headers, end_stream=True)
            self.connection.flush()
        if self.refusal:
            self.say_goodbye()

    def send_away(self, why: str) -> None:
        """End a connection that takes too much, with the reason."""
        logger.warning("sending a client of %s away: %s", self.peer, why)
        self.say_goodbye(ErrorCodes.ENHANCE_YOUR_CALM, why.encode())

    def say_goodbye(
        self, code: ErrorCodes = ErrorCodes.NO_ERROR, reason: bytes | None = None
    ) -> None:
        """GOAWAY and close: the client learns that no new call is welcome on this connection."""
        if self.transport.is_closing():
            return
        try:
            self.connection._connection.close_connection(code, reason)  # noqa: SLF001
            self.connection.flush()
        except Exception:
            logger.exception("could not say goodbye to a client")
        self.connection.close()

    def look_after(self, now: float) -> None:
        """What has to be noticed though nothing comes: silence, idleness, requests without end."""
        limits = self.admission.limits
        streams = cast("dict[int, FairStream]", self.processor.streams)
        for stream in tuple(streams.values()):
            stream.give_up_after(limits.request_s)
        if streams:
            self.idle_since = now
            self._notice_silence(now, limits.silence_s)
            return
        strange = self.refusal or not self.connection.streams_started
        if now - self.idle_since > (limits.strange_s if strange else limits.idle_s):
            self.say_goodbye()

    def _notice_silence(self, now: float, silence_s: float) -> None:
        if self.asked_at and now - self.asked_at > silence_s / 2:
            logger.warning("a client of %s is gone without a word", self.peer)
            self.transport.abort()
        elif not self.asked_at and now - self.heard_at > silence_s / 2 - _SWEEP_SHARE * silence_s:
            self.asked_at = now
            self.guarded(self._ask)

    def _ask(self) -> None:
        self.connection._connection.ping(b"there???")  # noqa: SLF001
        self.connection.flush()

    # who

    async def owner(self) -> int | None:
        """The uid at the other end, when that is on this machine."""
        if self._owner is None:
            ours = self.transport.get_extra_info("sockname")
            peer = self.transport.get_extra_info("peername")
            loop = asyncio.get_running_loop()
            if not peer or not ours or not is_loopback(self.peer):
                return None
            # In a thread: the kernel writes a line for every connection of the machine.
            self._owner = loop.run_in_executor(None, owner_of_peer, peer, ours)
        return await asyncio.shield(self._owner)


_SWEEP_SHARE = 0.1


def _notice_silence(bound: socket.socket | None, silence_s: float) -> None:
    """Let the kernel end a connection whose peer acknowledges nothing any more."""
    if bound is None or bound.family == socket.AF_UNIX:
        return
    with contextlib.suppress(OSError, AttributeError):
        half = max(1, int(silence_s / 2))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, half)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, half // 3))
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(silence_s * 1000))


class Connections(set[ServerProtocol]):
    """Those that are open."""

    def __init__(self, admission: Admission) -> None:
        super().__init__()
        self.admission = admission
        self.turns = Turns()
        self._none_left = asyncio.Event()
        self._swept_at = 0.0
        self._next: asyncio.TimerHandle | None = None

    def discard(self, protocol: object) -> None:
        super().discard(protocol)
        if not self:
            self._none_left.set()

    def look_after(self, also: Callable[[], None]) -> None:
        """From now on, some times a second: who is gone, who never came; and `also`."""
        loop = asyncio.get_running_loop()
        period = min(1.0, self.admission.limits.silence_s * _SWEEP_SHARE)
        now = loop.time()
        late = max(0.0, now - (self._swept_at or now) - period)
        self._swept_at = now
        for protocol in tuple(self):
            if late > period:  # it was we who did not listen: a stopped process, a busy machine
                protocol.heard_at += late
                protocol.asked_at += late if protocol.asked_at else 0.0
            protocol.guarded(protocol.look_after, now)
        also()
        self._next = loop.call_later(period, self.look_after, also)

    async def close(self, timeout: float) -> None:
        """Say goodbye to every client, and leave those that do not go within `timeout` seconds."""
        if self._next is not None:
            self._next.cancel()
        for protocol in tuple(self):
            protocol.say_goodbye()
        if self:
            self._none_left.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._none_left.wait(), timeout)
        for protocol in tuple(self):  # a peer that reads nothing never lets us close
            protocol.transport.abort()
