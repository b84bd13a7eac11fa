"""Clients that send what no client should, in masses: they pay for it, and nobody else does."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

import pytest
import trio
from h2.config import H2Configuration
from h2.connection import H2Connection

from daq.wire.generated import daq as pb
from daq.wire.grpc_tuning import TunedChannel
from tests.integration.api.harness import in_asyncio, in_thread, serving
from tests.integration.api.test_server import QUIET, still_serves

HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/daq.ControlService/GetDaemonInfo"),
    (":authority", "bench"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]
EMPTY_MESSAGE = struct.pack(">?I", False, 0)


class Rude:
    """HTTP/2 without manners, on a blocking socket."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.h2 = H2Connection(H2Configuration())
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def read(self) -> bool:
        """Take what comes; False when the server has closed."""
        data = self.socket.recv(65536)
        if data:
            self.h2.receive_data(data)
            self.flush()
        return bool(data)

    def is_cut_off(self) -> bool:
        """Read on until the end of the connection."""
        try:
            while self.socket.recv(1 << 20):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True


@contextlib.contextmanager
def rude(port: int):
    client = Rude(port)
    try:
        yield client
    finally:
        client.socket.close()


async def tasks_settle(before: int) -> None:
    with trio.fail_after(10):
        while trio.lowlevel.current_statistics().tasks_living > before:
            await trio.sleep(0.01)


def reset_at_once(port: int) -> None:
    with rude(port) as peer:
        peer.read()
        for _ in range(1000):
            number = peer.h2.get_next_available_stream_id()
            peer.h2.send_headers(number, HEADERS)
            peer.h2.send_data(number, EMPTY_MESSAGE)
            peer.h2.reset_stream(number)
            peer.flush()


def leave_half_open(port: int) -> None:
    with rude(port) as peer:
        peer.read()
        for _ in range(100):
            number = peer.h2.get_next_available_stream_id()
            peer.h2.send_headers(number, HEADERS)
            peer.h2.send_data(number, EMPTY_MESSAGE[:2])
        peer.h2.ping(b"answer??")
        peer.flush()
        peer.read()


@pytest.mark.parametrize("client", [reset_at_once, leave_half_open])
async def test_calls_that_come_to_nothing_leave_nothing_behind(tmp_path, client):
    async with serving(tmp_path, QUIET) as served:
        await still_serves(served)
        before = trio.lowlevel.current_statistics().tasks_living
        await in_thread(client, served.port)
        await still_serves(served)
        await tasks_settle(before)


PING = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + bytes(8)
SETTINGS = b"\x00\x00\x06\x04\x00\x00\x00\x00\x00" + b"\x00\x04\x00\x01\x00\x00"


@pytest.mark.parametrize(
    "frame",
    [pytest.param(PING, id="ping"), pytest.param(SETTINGS, id="settings", marks=pytest.mark.slow)],
)
async def test_who_asks_without_end_and_reads_nothing_is_cut_off(tmp_path, frame):
    def client(port):
        with rude(port) as peer:
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            try:
                for _ in range(1500):
                    peer.socket.sendall(frame * 1000)
            except OSError:
                return True
            return peer.is_cut_off()

    async with serving(tmp_path, QUIET) as served:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(still_serves, served)
            assert await in_thread(client, served.port)
        await still_serves(served)


async def test_pings_of_a_client_that_reads_are_answered(tmp_path):
    def client(port):
        with rude(port) as peer:
            answers = 0
            for _ in range(200):
                peer.h2.ping(b"are you?")
                peer.flush()
                data = peer.socket.recv(65536)
                events = peer.h2.receive_data(data)
                answers += sum(type(event).__name__ == "PingAckReceived" for event in events)
            return answers

    async with serving(tmp_path, QUIET) as served:
        assert await in_thread(client, served.port) > 100


async def test_many_calls_at_once_are_all_answered(tmp_path):
    async def client(port):
        async with TunedChannel("127.0.0.1", port) as channel:
            control = pb.ControlServiceStub(channel)
            calls = (control.get_daemon_info(pb.DaemonInfoRequest()) for _ in range(300))
            return {answer.version for answer in await asyncio.gather(*calls)}

    async with serving(tmp_path, QUIET) as served:
        assert await in_asyncio(client, served.port) == {"0.1"}
