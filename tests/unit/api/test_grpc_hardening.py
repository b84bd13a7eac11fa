"""Guards: each fails when the inside that `daq.api.grpc_hardening` relies on has changed."""

from __future__ import annotations

import asyncio
import inspect
from importlib.metadata import version

import betterproto.grpc.grpclib_server
import grpclib.protocol
import grpclib.server
import grpclib.utils
import pytest
import trio_asyncio
from grpclib.const import Handler
from h2.exceptions import StreamClosedError

from daq.api.grpc_hardening import FRAME_COST, SERVER_CONFIGURATION, TURN_COST, FairStream
from daq.api.grpc_hardening import tune_allocator as tune


@pytest.mark.parametrize(("library", "wanted"), [("grpclib", "0.4.9"), ("h2", "4.4.1")])
def test_the_libraries_are_those_that_were_adjusted(library, wanted):
    assert version(library) == wanted, "read daq/api/grpc_hardening.py before this pin moves"


def test_trio_asyncio_is_of_the_series_that_was_tried():
    assert version("trio-asyncio").startswith("0.16.")


def test_the_inside_of_grpclib_is_where_it_was():
    send_data = inspect.signature(grpclib.protocol.Stream.send_data)
    assert list(send_data.parameters) == ["self", "data", "end_stream"]
    created = inspect.getsource(grpclib.protocol.EventsProcessor.process_request_received)
    assert "self.handler.accept(" in created
    assert "self.register(stream)" in created
    factory = inspect.getsource(grpclib.server.Server._protocol_factory)
    assert "H2Protocol(handler, self._config, self._h2_config)" in factory
    made = inspect.getsource(grpclib.protocol.H2Protocol.connection_made)
    assert "self.processor = EventsProcessor(self.handler, self.connection)" in made
    assert Handler._fields == ("func", "cardinality", "request_type", "reply_type")


def test_grpclib_still_keeps_the_current_task_of_its_import():
    assert "_current_task = asyncio.current_task" in inspect.getsource(grpclib.utils)
    assert "task = _current_task()" in inspect.getsource(grpclib.utils.Wrapper)


def test_betterproto_still_leaves_generators_to_the_garbage_collector():
    base = betterproto.grpc.grpclib_server.ServiceBase
    source = inspect.getsource(base._call_rpc_handler_server_stream)
    assert "aclosing" not in source
    assert "async for response_message in response_iter" in source


def test_the_window_of_a_connection_is_larger_than_that_of_a_stream():
    assert (
        SERVER_CONFIGURATION.http2_connection_window_size
        > SERVER_CONFIGURATION.http2_stream_window_size
    )


def test_the_allocator_can_be_tuned_again_and_again():
    tune()
    tune()


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
