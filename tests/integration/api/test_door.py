"""Clients that vanish, never come, or come too many: noticed, told, and nobody else's trouble."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import struct
import time
from collections.abc import Iterable
from dataclasses import replace

import grpc
import pytest
import trio

from daq.api import serve_api
from daq.api.door.access import Access
from daq.api.door.admission import DoorLimits
from daq.client import AsyncClient, Credentials
from daq.config import UserConfig
from daq.core import AuthenticationError, CommunicationError
from daq.wire.generated import daq as pb
from tests.integration.api.harness import grpcio_channel, in_asyncio, in_thread, serving
from tests.integration.api.test_floods import HEADERS, Rude
from tests.integration.api.test_server import still_serves

SLOW = {"stage": {"driver": "simulated.stage", "velocity": 0.5}}
LIMITS = DoorLimits(
    connections=6, connections_of_one=4, kept_for_this_machine=1, request_s=0.5, silence_s=1.0,
    strange_s=0.5,
)  # fmt: skip


@contextlib.asynccontextmanager
async def door(directory, devices=SLOW, access=None, **limits):
    """The API with a door of these limits; gives what serves, with its own address."""
    async with serving(directory, devices) as served, trio.open_nursery() as nursery:
        services = replace(served.services, limits=replace(LIMITS, **limits))
        address = await nursery.start(serve_api, services, "127.0.0.1", 0, access or Access())
        yield replace(served, address=address)
        nursery.cancel_scope.cancel()


def begin(peer: Rude, method: str, request) -> None:
    """Begin a call, and read nothing."""
    number = peer.h2.get_next_available_stream_id()
    path = f"/daq.HardwareService/{method}"
    peer.h2.send_headers(number, [(k, path if k == ":path" else v) for k, v in HEADERS])
    data = bytes(request)
    peer.h2.send_data(number, struct.pack(">?I", False, len(data)) + data, end_stream=True)
    peer.flush()


async def test_the_move_of_a_client_that_vanished_without_a_word_is_stopped(tmp_path):
    async with door(tmp_path) as served:
        peer = await in_thread(Rude, served.port)
        begin(peer, "MoveAbsolute", pb.MoveRequest("stage", 9.0, wait_for_completion=True))
        stage = served.stage
        with trio.fail_after(10):
            while not stage.snapshot().activity:
                await trio.sleep(0.01)
            began = trio.current_time()
            while stage.snapshot().activity:
                await trio.sleep(0.01)
        assert trio.current_time() - began < 4
        assert (await stage.call("position")) < 3
        peer.socket.close()


async def test_a_client_that_answers_keeps_its_quiet_stream(tmp_path):
    def client(address):
        with grpcio_channel(address) as channel:
            stream = channel.unary_stream("/daq.HardwareService/SubscribeDeviceState")
            states = stream(bytes(pb.DeviceStateSubscribeRequest(include_snapshot=True)))
            next(states)
            time.sleep(3)
            alive = not states.done()
            states.cancel()
            return alive

    async with door(tmp_path) as served:
        assert await in_thread(client, served.address)


def answer_to(port: int, call: Iterable[tuple[str, str]], data: bytes, *, whole: bool):
    """The headers with which a call ends; `whole`: these data are all of its request."""
    peer = Rude(port)
    peer.h2.send_headers(1, call)
    peer.h2.send_data(1, data, end_stream=whole)
    peer.flush()
    headers: dict[bytes, bytes] = {}
    seen: list[str] = []
    while "StreamEnded" not in seen:
        data = peer.socket.recv(65536)
        for event in peer.h2.receive_data(data):
            seen.append(type(event).__name__)
            if hasattr(event, "headers"):
                headers = {bytes(k): bytes(v) for k, v in event.headers}
        peer.flush()
    peer.socket.close()
    return headers


async def test_a_request_that_never_comes_to_its_end_is_told(tmp_path):
    half = struct.pack(">?I", False, 100) + b"half"
    async with door(tmp_path) as served:
        headers = await in_thread(lambda: answer_to(served.port, HEADERS, half, whole=False))
    assert headers[b"grpc-status"] == b"4"
    assert b"did not come to its end" in headers[b"grpc-message"]


async def test_a_connection_that_never_calls_is_closed(tmp_path):
    async with door(tmp_path) as served:
        peer = await in_thread(Rude, served.port)
        assert await in_thread(peer.is_cut_off)
        await still_serves(served)
        peer.socket.close()


async def test_one_connection_too_many_is_refused_in_words(tmp_path):
    def client(address):
        info = "/daq.ControlService/GetDaemonInfo"
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                options = [("grpc.use_local_subchannel_pool", 1)]
                channel = stack.enter_context(grpc.insecure_channel(address, options))
                channel.unary_unary(info)(b"", timeout=10)
            channel = stack.enter_context(grpc.insecure_channel(address, options))
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(info)(b"", timeout=10)
            return caught.value

    async with door(tmp_path, strange_s=30) as served:
        error = await in_thread(client, served.address)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "4 connections already, which is the limit for one" in error.details()
        await still_serves(served)


async def test_one_call_too_many_is_refused_in_words_and_the_others_go_on(tmp_path):
    def client(address):
        with grpcio_channel(address) as channel:
            stream = channel.unary_stream("/daq.HardwareService/StreamPosition")
            request = bytes(pb.StreamPositionRequest("stage", rate_hz=50))
            open_ones = [stream(request) for _ in range(3)]
            for each in open_ones:
                next(each)
            with pytest.raises(grpc.RpcError) as caught:
                next(stream(request))
            for each in open_ones:
                next(each)
                each.cancel()
            return caught.value.code(), caught.value.details()

    async with door(tmp_path, calls_of_one=3) as served:
        code, details = await in_thread(client, served.address)
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "3 open calls already" in details


@pytest.mark.parametrize("given", ["0n", "0S", "1n", "900u"])
async def test_a_call_without_any_time_is_told_so_and_leaves_no_traceback(tmp_path, caplog, given):
    call, empty = [*HEADERS, ("grpc-timeout", given)], struct.pack(">?I", False, 0)
    async with door(tmp_path) as served:
        headers = await in_thread(lambda: answer_to(served.port, call, empty, whole=True))
    assert headers[b"grpc-status"] == b"4"
    assert b"deadline passed" in headers[b"grpc-message"]
    assert "Traceback" not in caplog.text


def take_back(together):
    """A client that takes back 400 calls as soon as they are begun."""

    def client(port):
        peer = Rude(port)
        for _ in range(400 // together):
            numbers = []
            for _ in range(together):
                number = peer.h2.get_next_available_stream_id()
                peer.h2.send_headers(number, HEADERS)
                numbers.append(number)
            for number in numbers:
                peer.h2.reset_stream(number)
            peer.flush()
        peer.h2.ping(b"all seen")
        peer.flush()
        seen = b""
        while b"all seen" not in seen:
            seen += peer.socket.recv(65536)
        peer.socket.close()

    return client


@pytest.mark.parametrize("together", [1, 16], ids=["in a piece", "over two pieces"])
async def test_calls_that_are_taken_back_at_once_are_not_counted_for_ever(tmp_path, together):
    async with door(tmp_path, calls_of_one=20) as served:
        await in_thread(take_back(together), served.port)
        await still_serves(served)


async def test_who_floods_with_settings_is_slowed_down_and_then_sent_away(tmp_path):
    def client(port):
        peer = Rude(port)
        frame = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" * 1000
        peer.socket.settimeout(20)
        with contextlib.suppress(OSError):
            for _ in range(200):
                peer.socket.sendall(frame)
        peer.socket.close()
        return True

    async with door(tmp_path) as served, trio.open_nursery() as nursery:
        nursery.start_soon(in_thread, client, served.port)
        worst = 0.0
        for _ in range(20):
            began = trio.current_time()
            await still_serves(served)
            worst = max(worst, trio.current_time() - began)
    assert worst < 5


MARIA = UserConfig("0123456789abcdef-maria")


EXPIRED = UserConfig(MARIA.token, expires=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))


@pytest.mark.parametrize("maria_then", [{}, {"maria": EXPIRED}], ids=["taken away", "expired"])
async def test_a_token_that_is_good_no_more_ends_its_streams_and_no_others(tmp_path, maria_then):
    users = {"maria": MARIA, "jo": UserConfig("0123456789abcdef-jo")}
    access = Access(users, is_open=False, owners=())

    async def watch(address, token, ended, seen):
        async with AsyncClient(address, credentials=Credentials(token), resume_s=0) as client:
            try:
                async for _ in client.streams.positions("stage", 50):
                    seen.set()
                    if ended.is_set():
                        return None
            except (AuthenticationError, CommunicationError) as error:
                return error

    async def client(address):
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        first, second = asyncio.Event(), asyncio.Event()
        maria = loop.create_task(watch(address, users["maria"].token, ended, first))
        jo = loop.create_task(watch(address, users["jo"].token, ended, second))
        await first.wait()
        await second.wait()
        access.reconfigure({"jo": users["jo"], **maria_then})
        error = await asyncio.wait_for(maria, 10)
        ended.set()
        return error, await asyncio.wait_for(jo, 10)

    async with door(tmp_path, access=access) as served:
        error, other = await in_asyncio(client, served.address)
    assert isinstance(error, AuthenticationError)
    assert "taken away or has expired" in error.message
    assert other is None


@contextlib.asynccontextmanager
async def black_hole(address, swallow):
    """A proxy before `address` that passes nothing on and closes nothing once `swallow` is set."""
    host, _, port = address.rpartition(":")
    tasks, writers = set(), []

    async def pipe(reader, writer):
        while data := await reader.read(65536):
            if swallow.is_set():
                await asyncio.Event().wait()
            writer.write(data)

    async def proxy(reader, writer):
        back, forth = await asyncio.open_connection(host, int(port))
        writers.extend((forth, writer))
        for ends in ((reader, forth), (back, writer)):
            tasks.add(asyncio.ensure_future(pipe(*ends)))

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for task in tasks:
        task.cancel()
    for writer in writers:
        writer.transport.abort()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)


async def test_a_stream_gives_up_within_its_own_time_when_the_network_swallows_all(tmp_path):
    async def client(address):
        swallow, loop, began = asyncio.Event(), asyncio.get_running_loop(), 0.0
        async with (
            black_hole(address, swallow) as near,
            AsyncClient(near, resume_s=2.0) as client,
        ):
            try:
                async for _ in client.streams.positions("stage", 50):
                    began = began or loop.time()
                    swallow.set()
            except CommunicationError:
                return loop.time() - began

    async with door(tmp_path, silence_s=10.0) as served:
        took = await in_asyncio(client, served.address)
    assert took < 4
