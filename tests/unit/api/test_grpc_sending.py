"""How the server sends: in turns, and in bulk without a copy; and what that relies on in h2."""

from __future__ import annotations

import asyncio
import inspect
import os
import socket

import pytest
import trio_asyncio
from grpclib.config import Configuration
from grpclib.protocol import Connection as GrpclibConnection
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived
from h2.exceptions import ProtocolError, StreamClosedError
from h2.stream import H2Stream

from daq.api.door.grpc_sending import FRAME_COST, TURN_COST, FairStream
from daq.wire.gathering import GatheringTransport


class Window:
    """An HTTP/2 connection that takes everything at once."""

    max_outbound_frame_size = 64 << 10

    def __init__(self) -> None:
        self.frames: list[tuple[int, bool]] = []

    def local_flow_control_window(self, _stream: int) -> int:
        return 1 << 30

    def send_data(self, _stream: int, data, *, end_stream: bool) -> None:
        self.frames.append((len(data), end_stream))

    def data_to_send(self) -> bytes:
        return b"x"


class Connection:
    data_sent = 0
    streams_started = 0

    def __init__(self) -> None:
        self._connection = Window()
        self._transport = self
        self.write_ready = asyncio.Event()
        self.write_ready.set()

        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def flush(self) -> None: ...

    def write(self, _data) -> None: ...
    def ack(self, _stream, _size) -> None: ...
    def data_send_process(self) -> None: ...


async def turns_while(send) -> int:
    """How often another task got its turn while `send` ran; under asyncio."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.ensure_future(other())
    await asyncio.sleep(0)
    before = turns
    await send()
    beside.cancel()
    return turns - before


async def on_asyncio(function):
    async with trio_asyncio.open_loop():
        return await trio_asyncio.aio_as_trio(function)()


async def test_a_large_message_gives_others_a_turn_again_and_again():
    async def client():
        connection = Connection()
        stream = FairStream(connection, 1)
        turns = await turns_while(lambda: stream.send_data(bytes(16 << 20)))
        assert sum(size for size, _ in connection._connection.frames) == 16 << 20
        return turns

    assert await on_asyncio(client) >= (16 << 20) // TURN_COST


async def test_many_small_messages_give_others_a_turn_too():
    async def client():
        stream = FairStream(Connection(), 1)

        async def send() -> None:
            for _ in range(1000):
                await stream.send_data(b"tiny")

        return await turns_while(send)

    assert await on_asyncio(client) >= 1000 * FRAME_COST // TURN_COST // 2


async def test_only_the_last_frame_ends_the_stream():
    async def client():
        connection = Connection()
        await FairStream(connection, 1).send_data(bytes(150 << 10), end_stream=True)
        return connection._connection.frames

    frames = await on_asyncio(client)
    assert frames == [(64 << 10, False), (64 << 10, False), (22 << 10, True)]


async def test_nothing_is_sent_to_a_client_that_has_left():
    async def client():
        connection = Connection()
        connection.closing = True
        with pytest.raises(StreamClosedError):
            await FairStream(connection, 1).send_data(b"late")
        return connection._connection.frames

    assert await on_asyncio(client) == []


async def test_an_empty_message_is_sent_nevertheless():
    async def client():
        connection = Connection()
        await FairStream(connection, 1).send_data(b"", end_stream=True)
        return connection._connection.frames

    assert await on_asyncio(client) == [(0, True)]


# ------------------------------------------------------------------------------------------- bulk

REQUEST = [(":method", "POST"), (":path", "/x"), (":scheme", "http"), (":authority", "bench")]
SERVER = H2Configuration(client_side=False, header_encoding="ascii")


def test_the_inside_of_h2_is_where_it_was():
    source = inspect.getsource(H2Connection.send_data)
    assert "self.state_machine.process_input(ConnectionInputs.SEND_DATA)" in source
    assert "self.outbound_flow_control_window -= frame_size" in source
    source = inspect.getsource(H2Stream.send_data)
    assert "self.state_machine.process_input(StreamInputs.SEND_DATA)" in source
    assert "self.outbound_flow_control_window -= df.flow_controlled_length" in source


class Narrow:
    """asyncio's transport over a real socket that takes little at a time."""

    def __init__(self, own: socket.socket) -> None:
        self.own = own
        self.waiting = b""
        self.connection: GrpclibConnection | None = None
        self.is_over = False

    def get_extra_info(self, name: str):
        return self.own if name == "socket" else None

    def is_closing(self) -> bool:
        return self.is_over

    def write(self, data: bytes) -> None:
        self.waiting += data
        self.connection.pause_writing()
        self.drain()

    def drain(self) -> None:
        """What the loop does when the socket has room."""
        if self.waiting:
            try:
                self.waiting = self.waiting[os.write(self.own.fileno(), self.waiting) :]
            except BlockingIOError:
                return
            if not self.waiting:
                self.connection.resume_writing()


class Bench:
    """A server's stream that is open, on one end of a socket, and h2 as its client on the other."""

    def __init__(self, window: int = 1 << 20) -> None:
        own, self.theirs = socket.socketpair()
        own.setblocking(False)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        self.client = H2Connection()
        self.client.initiate_connection()
        self.client.increment_flow_control_window(window)
        self.client.send_headers(1, REQUEST)
        self.client.increment_flow_control_window(window, 1)
        self.server = H2Connection(SERVER)
        self.server.initiate_connection()
        self.server.receive_data(self.client.data_to_send())
        self.server.send_headers(1, [(":status", "200")])
        self.client.receive_data(self.server.data_to_send())
        self.transport = Narrow(own)
        gathering = GatheringTransport(self.transport, lambda callback: None)
        connection = GrpclibConnection(self.server, gathering, config=Configuration())
        self.transport.connection = connection
        self.stream = FairStream(connection, 1)
        self.received = b""

    def ping(self) -> None:
        """As grpclib answers what a client sends."""
        self.server.ping(b"12345678")
        self.stream.connection.flush()

    async def read(self) -> None:
        """Read as fast as it comes, until nothing more does."""
        self.theirs.setblocking(False)
        quiet = 0
        while quiet < 10:
            self.transport.drain()
            try:
                events = self.client.receive_data(self.theirs.recv(5000))
            except BlockingIOError:
                quiet += 1
                await asyncio.sleep(0)
                continue
            quiet = 0
            for event in events:
                if isinstance(event, DataReceived):
                    self.received += event.data
                    assert len(event.data) <= self.client.max_inbound_frame_size
            await asyncio.sleep(0)

    def close(self) -> None:
        self.theirs.close()
        self.transport.own.close()


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.close()


async def test_bulk_arrives_whole_in_order_and_in_frames_that_the_client_takes(bench):
    payload = os.urandom(700_001)

    async def main():
        sending = asyncio.ensure_future(bench.stream.send_bulk(b"head!", memoryview(payload)))
        await bench.read()
        await sending

    await on_asyncio(main)
    assert bench.received == b"head!" + payload
    left = (1 << 20) + 65535 - len(bench.received)
    assert bench.server.local_flow_control_window(1) == left
    assert bench.server.outbound_flow_control_window == left


async def test_what_is_written_meanwhile_comes_between_frames_and_not_into_them(bench):
    payload = os.urandom(900_000)

    async def main():
        sending = asyncio.ensure_future(bench.stream.send_bulk(b"", memoryview(payload)))

        async def ping():
            while not sending.done():
                bench.ping()
                await asyncio.sleep(0)

        pinging = asyncio.ensure_future(ping())
        await bench.read()
        await asyncio.gather(sending, pinging)

    await on_asyncio(main)
    assert bench.received == payload


async def test_bulk_waits_for_the_clients_window(bench):
    payload = bytes(2 << 20)

    async def main():
        sending = asyncio.ensure_future(bench.stream.send_bulk(b"", memoryview(payload)))
        await bench.read()
        assert not sending.done()
        assert len(bench.received) == (1 << 20) + 65535
        bench.client.increment_flow_control_window(2 << 20)
        bench.client.increment_flow_control_window(2 << 20, 1)
        bench.server.receive_data(bench.client.data_to_send())
        bench.stream.window_updated.set()
        await bench.read()
        await sending

    await on_asyncio(main)
    assert len(bench.received) == 2 << 20


async def test_bulk_and_ordinary_messages_alternate(bench):
    async def main():
        async def send():
            for number in range(20):
                await bench.stream.send_data(b"small %02d" % number)
                bench.transport.drain()
                await bench.stream.send_bulk(b"large", memoryview(bytes(10_000)))

        sending = asyncio.ensure_future(send())
        while not sending.done():
            await bench.read()
        await sending

    await on_asyncio(main)
    expected = b"".join(b"small %02dlarge" % n + bytes(10_000) for n in range(20))
    assert bench.received == expected


async def test_bulk_on_a_stream_that_was_reset_is_refused(bench):
    bench.client.reset_stream(1)
    bench.server.receive_data(bench.client.data_to_send())

    async def main():
        with pytest.raises((StreamClosedError, ProtocolError)):
            await bench.stream.send_bulk(b"", memoryview(bytes(5000)))

    await on_asyncio(main)


async def test_a_client_that_has_left_ends_bulk_too(bench):
    bench.theirs.close()

    async def main():
        with pytest.raises(StreamClosedError):
            await bench.stream.send_bulk(b"", memoryview(bytes(1 << 20)))

    await on_asyncio(main)
