"""What both ends of the wire adjust inside of the libraries that carry it.

Written against grpclib 0.4.9, h2 4.4.1, hyperframe 6.1.0 and betterproto 2.0.0b7.

Where a class can be derived, it is; only what these libraries look up as a global is replaced, by
`tune`. Measured here on a stream of 2 MB batches, these take a sender from 170 to 700 messages/s.
`tests/unit/wire/test_grpc_tuning.py` fails when one of the versions changes.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import struct
import zlib
from collections.abc import Callable
from typing import Any, ClassVar

import betterproto
import grpclib.client
import grpclib.server
import grpclib.stream
from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from grpclib.protocol import EventsProcessor, H2Protocol, Stream
from h2.events import Event
from h2.settings import SettingCodes
from hyperframe.frame import Frame

from daq.wire.bulk_codec import BulkCodec
from daq.wire.request_bounds import require_few_fields

__all__ = [
    "CLIENT_CONFIGURATION",
    "TolerantProcessor",
    "TunedChannel",
    "TunedProtocol",
    "receive_message",
    "send_message",
    "tune",
]

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 1 << 30
"""Of one message that a client accepts; the server's own bound is far lower."""

LONG_BYTES = 4096
"""A request of more is decoded in a thread: an entry of a map takes betterproto some 75 us."""
FRAME_BYTES = 64 << 10
"""HTTP/2's default of 16 KiB costs a third of the throughput; more than 64 KiB gains nothing."""

CLIENT_CONFIGURATION = Configuration(
    # By default the window of the connection is that of one stream: one stream that nobody reads
    # then blocks every other call of its channel.
    http2_connection_window_size=2**31 - 1,
    http2_stream_window_size=4 << 20,
)
"""For every channel to the daemon."""


def tune() -> None:
    """Replace what the libraries look up as globals. Calling it again changes nothing."""
    # h2 4.4.1 formats every received frame for a debug log that is off, and hyperframe 6.1.0 turns
    # the whole payload into hexadecimal for it.
    Frame.__repr__ = _brief  # type: ignore[method-assign]
    # betterproto 2.0.0b7 enters warnings.catch_warnings() for each default: slow, and from two
    # threads at once it loses entries of the process's warning filters.
    betterproto.Message._get_field_default = _field_default  # type: ignore  # noqa: PGH003, SLF001
    # grpclib 0.4.9 accepts messages of any size, knows no compression and lets decoding errors
    # out as crashes of the handler. Each module holds its own reference.
    for module in (grpclib.stream, grpclib.server, grpclib.client):
        module.recv_message = receive_message  # type: ignore[attr-defined]
        # It joins the message to its prefix, and so copies it.
        module.send_message = send_message  # type: ignore[attr-defined]


def _brief(frame: Frame) -> str:
    return type(frame).__name__


def _field_default(message: Any, name: str) -> Any:
    return message._betterproto.default_gen[name]()  # noqa: SLF001


async def send_message(
    stream: Stream, codec: CodecBase, message: Any, message_type: Any, *, end: bool = False
) -> None:
    """Send one message; one with a large field without a copy, where the stream can do that."""
    if isinstance(codec, BulkCodec):
        parts = codec.encode_parts(message, message_type)
    else:
        parts = (codec.encode(message, message_type),)
    prefix = struct.pack(">?I", False, sum(map(len, parts)))
    if len(parts) > 1 and hasattr(stream, "send_bulk"):
        head, payload = parts
        await stream.send_bulk(prefix + bytes(head), memoryview(payload).cast("B"))
    else:
        await stream.send_data(b"".join((prefix, *parts)), end_stream=end)


async def receive_message(stream: Stream, codec: CodecBase, message_type: Any) -> Any:
    """One message of the stream, or None at its end.

    Raises GRPCError: RESOURCE_EXHAUSTED when it is too large, compressed or not, or has too many
    fields (where the stream counts them: a server's); UNIMPLEMENTED for an unknown compression;
    INVALID_ARGUMENT when it is cut short or does not decode.
    """
    try:
        prefix = await stream.recv_data(5)
        if not prefix:
            return None
        compressed, size = struct.unpack(">?I", prefix)
        limit: int = getattr(stream, "max_message_bytes", MAX_MESSAGE_BYTES)
        if size > limit:
            raise _too_large(size, limit)
        receiving = getattr(stream, "receiving", contextlib.nullcontext)
        with receiving(size):
            data = await stream.recv_data(size)
    except AssertionError as error:  # how grpclib's buffer says that the stream ended too early
        raise GRPCError(Status.INVALID_ARGUMENT, "the message was cut short") from error
    # A server has a thread for what may take long; a client has nobody else to think of.
    in_thread = getattr(stream, "in_thread", None)
    if compressed:
        inflate = functools.partial(_inflate, data, dict(stream.headers or ()), limit)
        # A few KiB can become `limit`, which takes some 15 ms.
        data = await in_thread(inflate) if in_thread else inflate()
    try:
        if getattr(stream, "counts_fields", False):
            require_few_fields(data, message_type)
        decode = functools.partial(codec.decode, data, message_type)
        return await in_thread(decode) if in_thread and len(data) > LONG_BYTES else decode()
    except OverflowError as error:
        raise GRPCError(
            Status.RESOURCE_EXHAUSTED, f"the {message_type.__name__} is too large: {error}"
        ) from error
    except Exception as error:
        raise GRPCError(
            Status.INVALID_ARGUMENT, f"this is not a {message_type.__name__}: {error}"
        ) from error


def _too_large(size: int, limit: int) -> GRPCError:
    return GRPCError(
        Status.RESOURCE_EXHAUSTED, f"a message of {size} bytes exceeds the limit of {limit} bytes"
    )


def _inflate(data: bytes, headers: dict[str, str], limit: int) -> bytes:
    encoding = headers.get("grpc-encoding", "identity")
    if encoding not in ("gzip", "deflate"):
        raise GRPCError(Status.UNIMPLEMENTED, f"there is no compression {encoding!r} here")
    inflater = zlib.decompressobj(wbits=47)  # gzip or zlib, told apart by the header
    try:
        plain = inflater.decompress(data, limit)
    except zlib.error as error:
        raise GRPCError(Status.INVALID_ARGUMENT, f"this is not {encoding}: {error}") from error
    if inflater.unconsumed_tail:
        raise GRPCError(
            Status.RESOURCE_EXHAUSTED, f"the message exceeds {limit} bytes when decompressed"
        )
    if not inflater.eof:
        raise GRPCError(Status.INVALID_ARGUMENT, f"this is not all of a {encoding} stream")
    return plain


class TolerantProcessor(EventsProcessor):
    """Ignores HTTP/2 events that grpclib does not know, as RFC 9113 (5.5) demands.

    grpclib 0.4.9 raises NotImplementedError for them, out of a callback of the event loop.
    """

    def process(self, event: Event) -> None:
        # grpclib deletes the table when the connection closes, maybe in the midst of events.
        process = getattr(self, "processors", {}).get(type(event))
        if process is not None:
            process(event)


class TunedProtocol(H2Protocol):
    """A connection that accepts larger frames and that no input of the peer can crash."""

    processor_class: ClassVar[type[TolerantProcessor]] = TolerantProcessor
    frame_bytes: ClassVar[int] = FRAME_BYTES
    """The longest frame that the peer may send."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.processor = self.processor_class(self.handler, self.connection)
        # grpclib's Configuration has no option for the frame size.
        h2 = self.connection._connection  # noqa: SLF001
        h2.update_settings({SettingCodes.MAX_FRAME_SIZE: self.frame_bytes})
        # h2 raises its own limit only for the chunk of input after the one with the peer's
        # acknowledgement; a large frame in the same chunk would close the connection.
        h2.max_inbound_frame_size = self.frame_bytes
        self.connection.flush()

    def data_received(self, data: bytes) -> None:
        self.guarded(super().data_received, data)

    def guarded(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call it; what goes wrong ends this connection and nothing else."""
        try:
            function(*arguments)
        except Exception as error:  # noqa: BLE001 - logged; the peer's fault must stay the peer's
            # Seen: UnicodeDecodeError for a header that is not ASCII. trio-asyncio would end the
            # whole loop with what comes out of a callback.
            logger.warning("closing a connection after %s: %s", type(error).__name__, error)
            self.processor.close("protocol failure")


class TunedChannel(grpclib.client.Channel):
    """grpclib's channel with the adjustments above and the codec for bulk data.

    Needs a running asyncio loop.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        configuration: Configuration = CLIENT_CONFIGURATION,
        **options: Any,
    ) -> None:
        tune()
        super().__init__(host, port, config=configuration, codec=BulkCodec(), **options)

    def _protocol_factory(self) -> H2Protocol:
        return TunedProtocol(grpclib.client.Handler(), self._config, self._h2_config)
