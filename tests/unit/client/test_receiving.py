"""Bulk data past h2: however the bytes are cut, the same messages come, and h2 keeps account."""

from __future__ import annotations

import asyncio
import inspect
import struct
from importlib.metadata import version

import grpclib.protocol
import pytest
from grpclib.client import Handler
from grpclib.config import Configuration
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.stream import H2Stream, H2StreamStateMachine
from h2.windows import WindowManager
from hypothesis import given, settings
from hypothesis import strategies as st

from daq.client.rpc.inbox import ADMITTED_BYTES, LARGE_BYTES, Inbox
from daq.client.rpc.receiving import BULK_BYTES, ClientProtocol
from tests.unit.fake_transport import Transport

WINDOW = 4 << 20
CLIENT = H2Configuration(
    client_side=True,
    header_encoding="ascii",
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
)
REQUEST = [(":method", "POST"), (":path", "/x"), (":scheme", "http"), (":authority", "bench")]


def framed(message: bytes) -> bytes:
    return struct.pack(">?I", False, len(message)) + message


@pytest.mark.parametrize(("library", "wanted"), [("grpclib", "0.4.9"), ("h2", "4.4.1")])
def test_the_libraries_are_those_that_were_adjusted(library, wanted):
    assert version(library) == wanted, "read daq/client/rpc/receiving.py before this pin moves"


def test_the_inside_of_the_libraries_is_where_it_was():
    source = inspect.getsource(H2Connection._receive_data_frame)
    assert "self._inbound_flow_control_window_manager.window_consumed(" in source
    source = inspect.getsource(H2Stream.receive_data)
    assert "self._inbound_window_manager.window_consumed(" in source
    assert "_expected_content_length" in inspect.getsource(H2Stream)
    assert "headers_received" in inspect.getsource(H2StreamStateMachine)
    assert hasattr(WindowManager(1), "current_window_size")
    assert "self.buffer = Buffer(partial(connection.ack, self.id))" in inspect.getsource(
        grpclib.protocol.Stream.init_stream
    )
    buffer = grpclib.protocol.Buffer
    assert {name for name in vars(buffer) if not name.startswith("_")} == {
        name for name in vars(Inbox) if not name.startswith("_")
    }


class Talk:
    """A client's protocol and h2 as its daemon; one call is open."""

    def __init__(self) -> None:
        config = Configuration(
            http2_stream_window_size=WINDOW, http2_connection_window_size=WINDOW
        ).__for_client__()
        self.protocol = ClientProtocol(Handler(), config, CLIENT)
        self.transport = Transport()
        self.protocol.connection_made(self.transport)
        self.daemon = H2Connection(H2Configuration(client_side=False))
        self.daemon.initiate_connection()
        self.flush()
        self.protocol.data_received(self.daemon.data_to_send())

    async def call(self):
        stream = self.protocol.processor.connection.create_stream()
        await stream.send_request(REQUEST, _processor=self.protocol.processor)
        self.flush()
        return stream

    def flush(self) -> None:
        """What the client has written reaches the daemon."""
        self.protocol.connection._transport.flush()  # type: ignore[attr-defined]
        written, self.transport.written = self.transport.written, b""
        self.daemon.receive_data(written)

    def answer(self, number: int, data: bytes, frame: int) -> None:
        for start in range(0, len(data), frame):
            self.daemon.send_data(number, data[start : start + frame])

    def received(self, data: bytes, sizes) -> None:
        """The same bytes in pieces, as a socket may give them."""
        while data:
            size = next(sizes)
            piece, data = data[:size], data[size:]
            while piece:
                room = self.protocol.get_buffer(-1)
                part, piece = piece[: len(room)], piece[len(room) :]
                room[: len(part)] = part
                self.protocol.buffer_updated(len(part))


async def read_all(stream) -> list[bytes]:
    messages = []
    while prefix := await stream.recv_data(5):
        messages.append(bytes(await stream.recv_data(struct.unpack_from(">I", prefix, 1)[0])))
    return messages


def endless(numbers):
    while True:
        yield from numbers


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.sampled_from([0, 1, 700, 1024, 5000, 40_000, 70_000]), max_size=8),
    frame=st.sampled_from([BULK_BYTES - 1, BULK_BYTES, 3000, 16_384]),
    pieces=st.lists(st.integers(1, 30_000), min_size=1, max_size=6),
    padded=st.booleans(),
)
def test_however_the_bytes_come_the_messages_are_the_same(sizes, frame, pieces, padded):
    async def main():
        talk = Talk()
        stream = await talk.call()
        talk.daemon.send_headers(1, [(":status", "200")])
        messages = [bytes([n % 251]) * size for n, size in enumerate(sizes)]
        for message in messages:
            talk.answer(1, framed(message), frame)
            talk.daemon.ping(b"12345678")
            if padded:
                talk.daemon.send_data(1, framed(b"padded"), pad_length=9)
        talk.daemon.send_headers(1, [("grpc-status", "0")], end_stream=True)
        talk.received(talk.daemon.data_to_send(), endless(pieces))
        assert not talk.transport.closed
        expected = [m for each in messages for m in ([each, b"padded"] if padded else [each])]
        assert await read_all(stream) == expected
        assert await stream.recv_trailers() == [("grpc-status", "0")]
        talk.flush()  # h2 on the other side would refuse an account that is not right

    asyncio.run(main())


def test_frames_of_several_streams_go_each_to_its_own():
    async def main():
        talk = Talk()
        streams = [await talk.call() for _ in range(3)]
        for stream in streams:
            talk.daemon.send_headers(stream.id, [(":status", "200")])
        for part in range(10):
            for stream in streams:
                talk.answer(stream.id, framed(bytes([part, stream.id]) * 5000), 10_005)
        for stream in streams:
            talk.daemon.end_stream(stream.id)
        talk.received(talk.daemon.data_to_send(), endless([7001]))
        for stream in streams:
            expected = [bytes([part, stream.id]) * 5000 for part in range(10)]
            assert await read_all(stream) == expected

    asyncio.run(main())


def test_a_daemon_may_send_no_more_than_the_window_and_more_when_it_was_read():
    async def main():
        talk = Talk()
        stream = await talk.call()
        talk.daemon.send_headers(1, [(":status", "200")])
        for _ in range(20):
            window = talk.daemon.local_flow_control_window(1)
            talk.answer(1, framed(bytes(window - 5)), 16_384)
            talk.received(talk.daemon.data_to_send(), endless([100_000]))
            talk.flush()
            assert talk.daemon.local_flow_control_window(1) == 0
            assert len(await stream.recv_data(5)) == 5
            await stream.recv_data(window - 5)
            talk.flush()
            assert talk.daemon.local_flow_control_window(1) > 0
        assert not talk.transport.closed

    asyncio.run(main())


def test_more_than_the_window_closes_the_connection():
    async def main():
        talk = Talk()
        await talk.call()
        talk.daemon.send_headers(1, [(":status", "200")])
        talk.protocol.data_received(talk.daemon.data_to_send())
        frame = (16_384).to_bytes(3, "big") + b"\x00\x00" + (1).to_bytes(4, "big") + bytes(16_384)
        for _ in range(WINDOW // 16_384 + 1):
            if not talk.transport.closed:
                talk.protocol.data_received(frame)
        assert talk.transport.closed

    asyncio.run(main())


@pytest.mark.parametrize("number", [1, 3, 2, 0])
def test_data_where_none_may_be_are_h2s_to_judge(number):
    """Before the headers, on streams that nobody opened, on the connection itself."""

    async def main():
        talk = Talk()
        stream = await talk.call()
        frame = (2000).to_bytes(3, "big") + b"\x00\x00" + number.to_bytes(4, "big") + bytes(2000)
        talk.protocol.data_received(frame)
        assert talk.transport.closed
        assert stream.data_received == 0

    asyncio.run(main())


def test_data_for_a_call_that_was_left_are_dropped_and_acknowledged():
    async def main():
        talk = Talk()
        stream = await talk.call()
        talk.daemon.send_headers(1, [(":status", "200")])
        talk.answer(1, framed(bytes(50_000)), 10_000)
        on_their_way = talk.daemon.data_to_send()
        await stream.reset()
        talk.flush()
        talk.received(on_their_way, endless([4000]))
        assert not talk.transport.closed

    asyncio.run(main())


def test_a_connection_that_says_nothing_but_an_alert_was_not_heard():
    async def main():
        talk = Talk()
        assert talk.protocol.heard
        silent = ClientProtocol(Handler(), Configuration().__for_client__(), CLIENT)
        transport = Transport()
        silent.connection_made(transport)
        silent.data_received(b"\x15\x03\x03\x00\x02\x02\x28")
        assert not silent.heard

    asyncio.run(main())


# ------------------------------------------------------------------------------------------ inbox


def test_memory_of_a_message_is_used_again_only_when_nobody_holds_it():
    async def main():
        inbox = Inbox(lambda size: None)
        held = []
        for number in range(12):
            message = bytes([number]) * LARGE_BYTES
            inbox.add(framed(message), len(message) + 5)
            await inbox.read(5)
            view = await inbox.read(LARGE_BYTES)
            assert bytes(view) == message
            if number % 2:
                held.append((number, view[100:]))
            del view
        assert all(set(view) == {number} for number, view in held)
        assert len(inbox._rooms) < 12

    asyncio.run(main())


def test_a_message_that_is_waited_for_is_acknowledged_while_it_comes_and_no_other():
    async def main():
        told = []
        inbox = Inbox(told.append)
        message = framed(bytes(300_000))
        inbox.add(message[:100_000], 100_000)
        assert told == []
        reading = asyncio.ensure_future(inbox.read(5))
        await asyncio.sleep(0)
        assert len(reading.result()) == 5
        reading = asyncio.ensure_future(inbox.read(300_000))
        await asyncio.sleep(0)
        assert sum(told) == 100_000
        inbox.add(message[100_000:200_000], 100_000)
        assert sum(told) == 200_000
        inbox.add(message[200_000:] + message + message, 100_005 + 2 * len(message))
        assert len(await reading) == 300_000
        assert sum(told) <= 300_005 + ADMITTED_BYTES  # the two behind it wait

    asyncio.run(main())


async def read_pieces(inbox):
    while await inbox.read(5):
        pass


@pytest.mark.parametrize("come", [b"\x00", framed(b"x" * 10)[:5], framed(b"x" * 10)[:9]])
def test_a_stream_that_ends_within_a_message_says_so(come):
    async def main():
        inbox = Inbox(lambda size: None)
        inbox.add(come, len(come))
        inbox.eof()
        with pytest.raises(AssertionError, match="ended"):
            await read_pieces(inbox)
        assert inbox.unacked_size() == len(come)

    asyncio.run(main())


def test_no_memory_is_set_aside_for_an_absurd_message():
    async def main():
        inbox = Inbox(lambda size: None)
        inbox.add(struct.pack(">?I", False, 2**32 - 1) + bytes(100), 105)
        assert await inbox.read(5) == b"\x00\xff\xff\xff\xff"
        inbox.add(bytes(1000), 1000)
        assert len(inbox._piece) == 5

    asyncio.run(main())
