"""Arrow Flight: runs and live channels for everything that speaks Arrow, on a port of its own.

A ticket is JSON. `{"run": REF, "stream": "primary", "columns": [...], "follow": true}` is a run, by
id, unique prefix or name; an open one gives what is stored so far, or with `follow` goes on to its
end. `{"channel": NAME, "history": true}` is a channel live, from the ring, until the client leaves;
each batch comes with the number of samples that were lost before it, as JSON metadata.
Descriptors are paths: `runs/RUN/STREAM` and `channels/NAME`.

The server has threads of its own. What belongs to Trio it asks for through a `Crossing`; live
channels it reads from the ring, as any other process would, so that they cost the loop nothing.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import traceback
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.flight as fl
import trio

from daq.api.door.access import ANYBODY, Access, Knock
from daq.api.door.local_peers import is_loopback, owner_of_peer
from daq.api.flight.crossing import Crossing
from daq.bus.ring import RingChannel, RingReader
from daq.core import (
    AuthenticationError,
    Column,
    CommunicationError,
    ConfigurationError,
    DaqError,
    EventBlock,
    NotFoundError,
    ParameterError,
    StorageError,
    brief,
)
from daq.core.columns import missing_values
from daq.storage import RunDescription, Storage
from daq.wire.arrow import to_arrow

__all__ = ["serve_flight"]

_END_S = 2.0
_POLL_S = 0.05
_LISTED_RUNS = 100

_log = logging.getLogger(__name__)


async def serve_flight(
    storage: Storage,
    ring: Path | None,
    host: str,
    port: int,
    access: Access | None = None,
    *,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; reports "host:port". Raises ConfigurationError for a port in use."""
    async with trio.open_nursery() as nursery:
        server = await trio.to_thread.run_sync(
            _listen, storage, ring, host, port, access or Access(), Crossing(nursery)
        )
        task_status.started(f"{_in_url(host)}:{server.port}")
        try:
            await trio.sleep_forever()
        finally:
            server.ending.set()
            nursery.cancel_scope.cancel()
            with trio.move_on_after(_END_S, shield=True) as bound:
                await trio.to_thread.run_sync(server.shutdown, abandon_on_cancel=True)
            if bound.cancelled_caught:
                _log.warning("Arrow Flight: a client that takes nothing was left behind")


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listen(
    storage: Storage, ring: Path | None, host: str, port: int, access: Access, crossing: Crossing
) -> _FlightServer:
    try:
        # gRPC would share the port with whoever has it already, and say nothing.
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
        scheme = "grpc+tls" if access.tls else "grpc"
        options = _options(access)
        return _FlightServer(
            f"{scheme}://{_in_url(host)}:{port}", storage, ring, crossing, **options
        )
    except (OSError, pa.ArrowException) as error:
        raise ConfigurationError(
            f"Arrow Flight cannot listen on {host}:{port}: {error}",
            advice="give another [server] flight_port, or 0 for any free one",
        ) from error


def _options(access: Access) -> dict[str, Any]:
    """What the stack under Flight is told about TLS and tokens."""
    options: dict[str, Any] = {"middleware": {"access": _Door()}, "access": access}
    if access.tls:
        options["tls_certificates"] = [(access.tls.certificate, access.tls.key)]
        options["verify_client"] = access.tls.asks_clients
        options["root_certificates"] = access.tls.client_ca or None
    return options


class _Door(fl.ServerMiddlewareFactory):
    """Notes what a call shows: who calls from where is known only when it is served."""

    def start_call(self, _info: object, headers: dict[str, list[Any]]) -> _Shown:
        (authorization,) = headers.get("authorization", [None])[:1]
        return _Shown(authorization)


class _Shown(fl.ServerMiddleware):
    """The token of one call."""

    def __init__(self, authorization: object) -> None:
        super().__init__()
        self.authorization = authorization


@dataclass(frozen=True, slots=True)
class _Ticket:
    """What a client wants."""

    run: str | None = None
    stream: str = "primary"
    columns: tuple[str, ...] = ()
    follow: bool = False
    channel: str | None = None
    history: bool = False

    @classmethod
    def parse(cls, text: bytes) -> _Ticket:
        try:
            fields = json.loads(text)
            ticket = cls(**fields | {"columns": tuple(fields.get("columns", ()))})
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ParameterError(
                f"a ticket is a JSON object, not {text[:80]!r}",
                advice='such as {"run": "knife_edge"} or {"channel": "stage"}',
            ) from error
        if (ticket.run is None) == (ticket.channel is None):
            raise ParameterError('a ticket names either a "run" or a "channel"')
        return ticket


class _FlightServer(fl.FlightServerBase):
    """It serves once it is made; `serve` would only wait, and take the signals for itself."""

    def __init__(
        self,
        location: str,
        storage: Storage,
        ring: Path | None,
        crossing: Crossing,
        access: Access,
        **options: Any,
    ) -> None:
        _tell_without_traceback()
        super().__init__(location, **options)
        self._access = access
        self._storage = storage
        self._ring = ring
        self._crossing = crossing
        self.ending = threading.Event()

    # ---------------------------------------------------------------- what Flight calls, in threads

    def _admit(self, context: Any) -> None:
        """Let a call in, or raise FlightUnauthenticatedError. Every role may read, which is all."""
        shown: _Shown = context.get_middleware("access")
        try:
            self._access.user("/arrow.flight", shown.authorization, None, self._knock(context))
        except AuthenticationError as error:
            raise fl.FlightUnauthenticatedError(f"{error.message} ({error.advice})") from None

    def _knock(self, context: Any) -> Knock:
        _, _, address = unquote(context.peer()).partition(":")
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        if not (is_loopback(host) and port.isdecimal()):
            return ANYBODY
        return Knock(is_near=True, uid=owner_of_peer((host, int(port)), (host, self.port)))

    def list_flights(self, context: Any, criteria: Any) -> Iterator[fl.FlightInfo]:
        """The newest runs and every live channel; criteria are JSON: name, outcome, limit."""
        self._admit(context)
        with _translated():
            yield from self._list_runs(criteria)
            for channel in self._channels():
                yield _channel_info(channel)

    def get_schema(self, context: Any, descriptor: fl.FlightDescriptor) -> Any:
        return fl.SchemaResult(self.get_flight_info(context, descriptor).schema)

    def list_actions(self, context: Any) -> list[Any]:
        """There are none: all that is here is reading."""
        self._admit(context)
        return []

    def do_action(self, context: Any, action: fl.Action) -> Iterator[Any]:
        self._admit(context)
        with _translated():
            raise NotFoundError(f"there is no action {brief(action.type)!r} here")

    def do_put(self, context: Any, *_: Any) -> None:
        self._refuse_writing(context)

    def do_exchange(self, context: Any, *_: Any) -> None:
        self._refuse_writing(context)

    def _refuse_writing(self, context: Any) -> None:
        self._admit(context)
        with _translated():
            raise ParameterError(
                "Arrow Flight only reads here", advice="runs are written by RunService and scripts"
            )

    def get_flight_info(self, context: Any, descriptor: fl.FlightDescriptor) -> fl.FlightInfo:
        self._admit(context)
        with _translated():
            path = [part.decode() for part in descriptor.path or ()]
            match path:
                case ["runs", run, *stream] if len(stream) <= 1:
                    description = self._crossing.call(self._describe, run)
                    return _run_info(description, *stream)
                case ["channels", name]:
                    for channel in self._channels():
                        if channel.name == name:
                            return _channel_info(channel)
                    raise NotFoundError(f"there is no channel {name!r} in the ring")
            raise ParameterError(
                f"there is no flight {'/'.join(path)!r}",
                advice="flights are runs/RUN/STREAM and channels/NAME",
            )

    def do_get(self, context: Any, ticket: fl.Ticket) -> fl.GeneratorStream:
        self._admit(context)
        with _translated():
            wanted = _Ticket.parse(ticket.ticket)
            if wanted.channel is not None:
                channel = next((c for c in self._channels() if c.name == wanted.channel), None)
                if channel is None:
                    raise NotFoundError(
                        f"nothing was published on {wanted.channel!r} yet",
                        advice="list the flights to see the live channels",
                    )
                schema = _channel_schema(channel)
                live: Iterator[Any] = _clean(self._live(channel, schema, wanted))
                return fl.GeneratorStream(schema, live)
            return self._get_run(wanted)

    # ---------------------------------------------------------------------------------------- runs

    def _list_runs(self, criteria: bytes) -> Iterator[fl.FlightInfo]:
        try:
            asked = json.loads(criteria or b"{}")
            wanted = {str(key): asked[key] for key in ("name", "outcome", "limit") if key in asked}
        except (ValueError, TypeError, RecursionError) as error:
            raise ParameterError(f"criteria are a JSON object, not {criteria[:80]!r}") from error
        for run in self._crossing.stream(lambda: self._descriptions(wanted)):
            for stream in run.streams:
                yield _run_info(run, stream.name)

    async def _descriptions(self, wanted: dict[str, Any]) -> AsyncGenerator[RunDescription, None]:
        runs, _ = await self._storage.list_runs(**{"limit": _LISTED_RUNS, **wanted})
        for run in runs:
            try:
                yield await self._storage.describe_run(run.run_id)
            except DaqError as error:
                _log.info("run %s is not listed: %s", run.run_id, error.message)

    async def _describe(self, ref: str) -> RunDescription:
        return await self._storage.describe_run((await self._storage.find_run(ref)).run_id)

    def _get_run(self, wanted: _Ticket) -> fl.GeneratorStream:
        batches = self._crossing.stream(lambda: self._read(wanted))
        first = next(batches, None)
        if first is None:
            raise NotFoundError(f"run {wanted.run!r} holds no {wanted.stream} data")
        schema = first.schema.with_metadata({"stream": wanted.stream})
        return fl.GeneratorStream(schema, _guarded(_as(schema, chain([first], batches)), batches))

    async def _read(self, wanted: _Ticket) -> AsyncGenerator[pa.RecordBatch, None]:
        run = await self._storage.find_run(wanted.run or "")
        if wanted.follow:
            blocks = self._storage.follow_run(run.run_id)
        else:
            blocks = self._storage.read_run(run.run_id, wanted.stream, wanted.columns)
        columns: tuple[Column, ...] | None = None
        async with aclosing(blocks):
            async for block in blocks:
                if block.stream != wanted.stream:
                    continue
                chosen = _selected(block, wanted.columns)
                if columns is None:
                    columns = chosen.columns
                elif columns != chosen.columns:
                    raise ParameterError(
                        f"the columns of stream {block.stream!r} widened at event {block.first}, "
                        "and a Flight stream has one schema",
                        advice="follow it again: from then on it has the new columns",
                    )
                yield to_arrow(chosen)

    # -------------------------------------------------------------------------------- live channels

    def _channels(self) -> tuple[RingChannel, ...]:
        """The newest shape of every channel in the ring."""
        if self._ring is None:
            return ()
        with RingReader(self._ring) as ring:
            return tuple({channel.name: channel for channel in ring.channels()}.values())

    def _live(
        self, channel: RingChannel, schema: pa.Schema, wanted: _Ticket
    ) -> Iterator[tuple[pa.RecordBatch, bytes]]:
        if self._ring is None:
            return
        with RingReader(self._ring, channel.name, history=wanted.history) as ring:
            while not (self.ending.is_set() or ring.has_ended()):
                for batch in ring.batches(timeout_s=_POLL_S):
                    if not batch.schema.equals(schema):
                        return  # the instrument was set differently: this is another table
                    note = {
                        "first": int(batch.schema.metadata[b"first"]),
                        "lost": ring.lost(channel.name),
                    }
                    columns = batch.columns
                    yield (
                        pa.RecordBatch.from_arrays(columns, schema=schema),
                        json.dumps(note).encode(),
                    )
                    if self.ending.is_set():
                        return


def _selected(block: EventBlock, columns: tuple[str, ...]) -> EventBlock:
    if not columns:
        return block
    by_name = {column.name: column for column in block.columns}
    if missing := [name for name in columns if name not in by_name]:
        raise NotFoundError(
            f"stream {block.stream!r} has no column {', '.join(map(repr, missing))}",
            advice=f"it has {', '.join(by_name)}",
        )
    chosen = tuple(by_name[name] for name in columns)
    return replace(block, columns=chosen)


def _as(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same columns under one schema: each batch's own says where it begins."""
    for batch in batches:
        yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)


def _guarded(batches: Iterator[pa.RecordBatch], source: Iterator[Any]) -> Iterator[pa.RecordBatch]:
    try:
        yield from _clean(batches)
    finally:
        source.close()  # type: ignore[attr-defined]  # it is a generator


def _tell_without_traceback() -> None:
    """Errors of Flight are what they say.

    pyarrow 26 makes a status of them everywhere but in `get_schema`, where it sends the whole
    traceback, with the paths of this machine; it has that formatted by Python's own module.
    """
    plain = traceback.format_exception

    def formatted(error: Any, *arguments: Any, **options: Any) -> list[str]:
        shown = arguments[0] if arguments else error
        if isinstance(shown, fl.FlightError):
            return [str(shown)]
        return plain(error, *arguments, **options)

    if plain.__module__ == "traceback":
        traceback.format_exception = formatted


def _clean(batches: Iterator[Any]) -> Iterator[Any]:
    with _translated():
        yield from batches


@contextmanager
def _translated() -> Iterator[None]:
    """Errors as those of Flight: whatever else is raised leaves with a traceback of this machine.

    `extra_info` holds the kind of the error, for programs.
    """
    try:
        yield
    except fl.FlightError:
        raise
    except DaqError as error:
        text = f"{error.message} ({error.advice})" if error.advice else error.message
        is_ours = not isinstance(error, CommunicationError | StorageError)
        kind = fl.FlightServerError if is_ours else fl.FlightUnavailableError
        raise kind(text, error.kind.encode()) from None
    except Exception as error:  # noqa: BLE001 - it is logged, and leaves as an error of Flight
        _log.exception("a call of Arrow Flight failed")
        text = f"it failed inside of the daemon, whose log tells more: {type(error).__name__}"
        raise fl.FlightInternalError(text, b"internal") from None


def _schema(name: str, columns: tuple[Column, ...]) -> pa.Schema:
    """The schema that batches of these columns have."""
    # One row, since Arrow makes no tensor of none.
    values = {c.name: missing_values(1, c) for c in columns}
    row = EventBlock(name, 0, columns, np.zeros(1, np.int64), values)
    return to_arrow(row).schema.with_metadata({"stream": name})


def _channel_schema(channel: RingChannel) -> pa.Schema:
    column = Column(channel.name, channel.units, channel.dtype, channel.shape)
    return _schema(channel.name, (column,))


def _channel_info(channel: RingChannel) -> fl.FlightInfo:
    descriptor = fl.FlightDescriptor.for_path("channels", channel.name)
    return _info(_channel_schema(channel), descriptor, {"channel": channel.name}, -1)


def _run_info(run: RunDescription, stream: str = "primary") -> fl.FlightInfo:
    for known in run.streams:
        if known.name == stream:
            run_id = run.summary.run_id
            descriptor = fl.FlightDescriptor.for_path("runs", run_id, stream)
            ticket = {"run": run_id, "stream": stream}
            return _info(_schema(stream, known.columns), descriptor, ticket, known.points)
    raise NotFoundError(f"run {run.summary.run_id} has no stream {stream!r}")


def _info(
    schema: pa.Schema, descriptor: fl.FlightDescriptor, ticket: dict[str, str], rows: int
) -> fl.FlightInfo:
    # Without a location: the client reads from where it asked.
    endpoint = fl.FlightEndpoint(json.dumps(ticket).encode(), [])
    return fl.FlightInfo(schema, descriptor, [endpoint], rows, -1)
