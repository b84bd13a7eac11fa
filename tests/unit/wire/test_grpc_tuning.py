"""Guards: each fails when the inside that `daq.wire.grpc_tuning` relies on has changed."""

from __future__ import annotations

import gzip
import inspect
import struct
import warnings
import zlib
from importlib.metadata import version

import betterproto
import grpclib.client
import grpclib.protocol
import grpclib.server
import grpclib.stream
import pytest
from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import UnknownFrameReceived
from hyperframe.frame import DataFrame

from daq.wire.bulk_codec import BulkCodec
from daq.wire.generated import daq as pb
from daq.wire.grpc_tuning import (
    CLIENT_CONFIGURATION,
    FRAME_BYTES,
    TolerantProcessor,
    TunedProtocol,
    receive_message,
    tune,
)
from tests.unit.fake_transport import Transport


@pytest.mark.parametrize(
    ("library", "wanted"),
    [("grpclib", "0.4.9"), ("h2", "4.4.1"), ("hyperframe", "6.1.0"), ("betterproto", "2.0.0b7")],
)
def test_the_libraries_are_those_that_were_adjusted(library, wanted):
    assert version(library) == wanted, "read daq/wire/grpc_tuning.py before this pin moves"


def test_the_inside_of_the_libraries_is_where_it_was():
    assert "hexlify" in inspect.getsource(inspect.getmodule(DataFrame))
    assert "repr(frame)" in inspect.getsource(H2Connection._receive_frame)
    assert "default_gen" in betterproto.ProtoClassMetadata.__slots__
    for module in (grpclib.stream, grpclib.server, grpclib.client):
        assert callable(module.recv_message)
    for name in ("connection_made", "data_received", "connection_lost"):
        assert callable(getattr(grpclib.protocol.H2Protocol, name))
    assert "raise NotImplementedError(event)" in inspect.getsource(
        grpclib.protocol.EventsProcessor.process
    )
    assert list(inspect.signature(grpclib.stream.recv_message).parameters) == [
        "stream",
        "codec",
        "message_type",
    ]


def test_a_frame_is_not_turned_into_hexadecimal():
    tune()
    assert repr(DataFrame(1, b"\xab" * 1000)) == "DataFrame"


def test_defaults_leave_the_warning_filters_alone(monkeypatch):
    tune()
    monkeypatch.setattr(warnings, "catch_warnings", lambda: pytest.fail("entered"))
    assert pb.ScriptStatus().line == 0
    assert pb.ScriptStatus().progress is None
    assert pb.ScriptStatus().transitions == []


def test_the_window_of_a_clients_connection_is_not_that_of_one_stream():
    assert (
        CLIENT_CONFIGURATION.http2_connection_window_size
        > 100 * CLIENT_CONFIGURATION.http2_stream_window_size
    )


class Handler(grpclib.protocol.AbstractHandler):
    def accept(self, stream, headers, release_stream) -> None:
        self.accepted = headers

    def cancel(self, stream) -> None: ...
    def close(self) -> None: ...


@pytest.fixture
def connected():
    """The protocol of a server, whose client has introduced itself."""
    configuration = Configuration().__for_server__()
    configuration = type(configuration)(_keepalive_time=None)
    protocol = TunedProtocol(
        Handler(), configuration, H2Configuration(client_side=False, header_encoding="ascii")
    )
    transport = Transport()
    protocol.connection_made(transport)
    client = H2Connection()
    client.initiate_connection()
    protocol.data_received(client.data_to_send())
    client.receive_data(transport.written)
    return protocol, transport, client


def test_the_peer_may_send_large_frames(connected):
    _, _, client = connected
    assert client.max_outbound_frame_size == FRAME_BYTES


def test_a_large_frame_may_come_together_with_the_acknowledgement(connected):
    protocol, transport, client = connected
    client.send_headers(
        1, [(":method", "POST"), (":path", "/x"), (":scheme", "http"), (":authority", "bench")]
    )
    client.send_data(1, bytes(60_000))
    protocol.data_received(client.data_to_send())  # the acknowledgement is in there too
    assert not transport.closed


def test_a_frame_of_an_unknown_type_is_passed_over(connected):
    protocol, transport, _ = connected
    protocol.data_received(b"\x00\x00\x04\x10\x00\x00\x00\x00\x00" + b"\x00\x00\x00\x01")
    assert not transport.closed


def test_h2_still_tells_about_unknown_frames_and_grpclib_still_does_not_know_them(connected):
    protocol, _, _ = connected
    assert UnknownFrameReceived not in protocol.processor.processors
    assert isinstance(protocol.processor, TolerantProcessor)


def test_bytes_that_are_not_http2_close_the_connection_and_nothing_else(connected):
    protocol, transport, _ = connected
    protocol.data_received(bytes(64))
    assert transport.closed


def test_a_header_that_is_not_ascii_closes_the_connection_and_nothing_else(connected, caplog):
    protocol, transport, client = connected
    client.send_headers(
        1,
        [
            (":method", "POST"),
            (":path", "/x"),
            (":scheme", "http"),
            (":authority", "bench"),
            ("x-name", b"\xe4\xff"),
        ],
    )
    protocol.data_received(client.data_to_send())
    assert transport.closed
    assert "closing a connection" in caplog.text


def test_an_event_after_the_end_of_the_connection_is_passed_over(connected):
    protocol, _, _ = connected
    protocol.processor.close("test")
    protocol.processor.process(UnknownFrameReceived(frame=None))


class Incoming:
    """A stream on which `data` has arrived."""

    max_message_bytes = 1000

    def __init__(self, data: bytes, encoding: str = "identity") -> None:
        self._data = data
        self.headers = [("grpc-encoding", encoding)]

    async def recv_data(self, size: int) -> bytes:
        if not self._data:
            return b""
        if len(self._data) < size:
            raise AssertionError("Received less data than expected")
        taken, self._data = self._data[:size], self._data[size:]
        return taken


def framed(data: bytes, compressed: bool = False) -> bytes:
    return struct.pack(">?I", compressed, len(data)) + data


async def receive(data: bytes, encoding: str = "identity"):
    return await receive_message(Incoming(data, encoding), BulkCodec(), pb.StartRequest)


REQUEST = pb.StartRequest(script_id="knife")


async def test_a_message_is_received_plain_or_compressed():
    plain = bytes(REQUEST)
    assert await receive(framed(plain)) == REQUEST
    assert await receive(framed(gzip.compress(plain), True), "gzip") == REQUEST
    assert await receive(framed(zlib.compress(plain), True), "deflate") == REQUEST
    assert await receive(b"") is None


@pytest.mark.parametrize(
    ("data", "encoding", "status"),
    [
        (struct.pack(">?I", False, 1001), "identity", Status.RESOURCE_EXHAUSTED),
        (framed(gzip.compress(b"\x00" * 10_000, mtime=0), True), "gzip", Status.RESOURCE_EXHAUSTED),
        (framed(b"x", True), "snappy", Status.UNIMPLEMENTED),
        (framed(b"x", True), "gzip", Status.INVALID_ARGUMENT),
        (framed(b"\x0a\x05ab"), "identity", Status.INVALID_ARGUMENT),
        (framed(b"\x0a\x02\xff\xfe"), "identity", Status.INVALID_ARGUMENT),
        (framed(bytes(REQUEST))[:-1], "identity", Status.INVALID_ARGUMENT),
    ],
)
async def test_a_message_that_cannot_be_taken_is_refused_with_a_status(data, encoding, status):
    with pytest.raises(GRPCError) as caught:
        await receive(data, encoding)
    assert caught.value.status is status
