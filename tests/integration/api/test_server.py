"""The server itself: what breaks others must not break this one, and its end is bounded."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from pathlib import Path

import grpc
import pytest
import trio
from grpclib.client import Channel
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError

from daq.api import serve_api
from daq.core import ConfigurationError, Measurement, Reading
from daq.wire.generated import daq as pb
from daq.wire.grpc_tuning import TunedChannel
from tests.integration.api.harness import grpcio_channel, in_asyncio, in_thread, serving

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
UNKNOWN_FRAME = b"\x00\x00\x04\x10\x00\x00\x00\x00\x00" + b"\x00\x00\x00\x01"

QUIET = {"stage": {"driver": "simulated.stage", "velocity": 1.0}}


async def still_serves(served) -> None:
    async def client():
        async with TunedChannel("127.0.0.1", served.port) as channel:
            answer = await pb.ControlServiceStub(channel).get_daemon_info(pb.DaemonInfoRequest())
            assert answer.version == "0.1"

    await in_asyncio(client)


@pytest.mark.parametrize("stock", [True, False])
async def test_grpclib_clients_are_served_tuned_or_not(tmp_path, stock):
    async def client(port):
        channel = Channel("127.0.0.1", port) if stock else TunedChannel("127.0.0.1", port)
        async with channel:
            hardware = pb.HardwareServiceStub(channel)
            moved = await hardware.move_absolute(pb.MoveRequest("stage", 0.1, True))
            states = hardware.subscribe_device_state(
                pb.DeviceStateSubscribeRequest(include_snapshot=True)
            )
            first = await anext(aiter(states))
            with pytest.raises(GRPCError) as caught:
                await hardware.move_absolute(pb.MoveRequest("stage", 50.0, True))
            return moved.settled, first.is_snapshot, caught.value.message

    async with serving(tmp_path, QUIET) as served:
        settled, snapshot, message = await in_asyncio(client, served.port)
    assert settled
    assert snapshot
    assert "[-10, 10] mm" in message


async def test_leaving_a_stream_ends_its_trio_task(tmp_path):
    async def client(port):
        async with TunedChannel("127.0.0.1", port) as channel:
            request = pb.StreamPositionRequest("stage", rate_hz=100)
            stream = pb.HardwareServiceStub(channel).stream_position(request)
            async for _ in stream:
                break
            await stream.aclose()  # type: ignore[attr-defined]

    async with serving(tmp_path, QUIET) as served:
        before = trio.lowlevel.current_statistics().tasks_living
        for _ in range(5):
            await in_asyncio(client, served.port)
        with trio.fail_after(5):
            while trio.lowlevel.current_statistics().tasks_living > before:
                await trio.sleep(0.01)
        assert trio.lowlevel.current_statistics().tasks_living == before


@pytest.mark.parametrize(
    "bytes_sent",
    [
        PREFACE + UNKNOWN_FRAME,
        PREFACE + bytes(64),
        b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n",
        b"\xff" * 5000,
        b"\x16\x03\x01\x02\x00\x01\x00",  # the beginning of a TLS handshake
        b"",
    ],
)
async def test_odd_bytes_hurt_nobody_else(tmp_path, bytes_sent):
    async with serving(tmp_path, QUIET) as served:
        stream = await trio.open_tcp_stream("127.0.0.1", served.port)
        await stream.send_all(bytes_sent)
        with trio.move_on_after(0.2):
            while await stream.receive_some(1000):
                pass
        await still_serves(served)
        await stream.aclose()
        await still_serves(served)


async def test_after_an_odd_frame_the_same_connection_goes_on(tmp_path):
    async def client(port):
        async with TunedChannel("127.0.0.1", port) as channel:
            control = pb.ControlServiceStub(channel)
            await control.get_daemon_info(pb.DaemonInfoRequest())
            protocol = await channel.__connect__()
            protocol.connection._transport.write(UNKNOWN_FRAME)
            answer = await control.get_daemon_info(pb.DaemonInfoRequest())
            assert await channel.__connect__() is protocol
            return answer.version

    async with serving(tmp_path, QUIET) as served:
        assert await in_asyncio(client, served.port) == "0.1"


async def test_a_message_that_is_too_large_is_refused_and_others_go_on(tmp_path, stubs):
    def client(address):
        with grpcio_channel(address) as channel:
            control = stubs.daq_grpc.ControlServiceStub(channel)
            with pytest.raises(grpc.RpcError) as caught:
                control.UploadScript(stubs.daq.UploadRequest(script_content="#" * (33 << 20)))
            return caught.value, control.GetDaemonInfo(stubs.daq.DaemonInfoRequest()).version

    async with serving(tmp_path, QUIET) as served:
        error, version = await in_thread(client, served.address)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert version == "0.1"


async def test_a_request_that_is_no_message_is_an_invalid_argument(tmp_path):
    def client(address):
        with grpcio_channel(address) as channel:
            call = channel.unary_unary("/daq.ControlService/StartScript")
            with pytest.raises(grpc.RpcError) as caught:
                call(b"\x0a\x05ab", timeout=5)
            return caught.value

    async with serving(tmp_path, QUIET) as served:
        error = await in_thread(client, served.address)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "cut short" in error.details()


async def test_a_compressed_request_is_understood(tmp_path, stubs):
    def client(address):
        with grpc.insecure_channel(address, compression=grpc.Compression.Gzip) as channel:
            control = stubs.daq_grpc.ControlServiceStub(channel)
            request = stubs.daq.UploadRequest(script_content="x = 1\n" * 1000, name="long")
            return control.UploadScript(request)

    async with serving(tmp_path, QUIET) as served:
        assert (await in_thread(client, served.address)).success


async def test_a_defect_inside_is_an_internal_error_and_logged(tmp_path, stubs, caplog):
    def client(address):
        with grpcio_channel(address) as channel:
            control = stubs.daq_grpc.ControlServiceStub(channel)
            with pytest.raises(grpc.RpcError) as caught:
                control.ListScripts(stubs.daq.ListScriptsRequest())
            return caught.value

    async with serving(tmp_path, QUIET) as served:
        served.queue.scripts = lambda: 1 / 0
        with caplog.at_level(logging.ERROR):
            error = await in_thread(client, served.address)
        await still_serves(served)
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "ListScripts failed inside of the daemon: ZeroDivisionError" in error.details()
    assert "ZeroDivisionError" in caplog.text


async def test_an_error_with_lines_and_umlauts_arrives_as_it_was(tmp_path, stubs):
    text = "Zeile 1: Größe µ\n    ^^^^\n\U0001f52c 100 % \x7f"

    def client(address):
        with grpcio_channel(address) as channel:
            control = stubs.daq_grpc.ControlServiceStub(channel)
            with pytest.raises(grpc.RpcError) as caught:
                control.ListScripts(stubs.daq.ListScriptsRequest())
            return caught.value

    def refuse():
        raise ConfigurationError(text, advice=text)

    async with serving(tmp_path, QUIET) as served:
        served.queue.scripts = refuse
        error = await in_thread(client, served.address)
    assert error.details() == text
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_very_long_error_arrives_too(tmp_path, stubs):
    def client(address):
        with grpcio_channel(address) as channel:
            control = stubs.daq_grpc.ControlServiceStub(channel)
            with pytest.raises(grpc.RpcError) as caught:
                control.ListScripts(stubs.daq.ListScriptsRequest())
            return caught.value

    def refuse():
        raise ConfigurationError("ü" * 100_000, advice="ß" * 100_000)

    async with serving(tmp_path, QUIET) as served:
        served.queue.scripts = refuse
        error = await in_thread(client, served.address)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details().endswith("more characters)")


async def test_a_reader_that_stalls_holds_up_nobody(tmp_path):
    """One stream without a reader, on the same connection as a call; both of the tuned client."""

    async def client(port, published):
        async with TunedChannel("127.0.0.1", port) as channel:
            control = pb.ControlServiceStub(channel)
            stream = control.stream_measurements(pb.MeasurementRequest(["image"]))
            await anext(aiter(stream))
            while len(published) < 200:
                await asyncio.sleep(0.01)
            answer = await asyncio.wait_for(control.get_daemon_info(pb.DaemonInfoRequest()), 5)
            await stream.aclose()  # type: ignore[attr-defined]
            return answer.version

    published = []

    async with serving(tmp_path, QUIET) as served, trio.open_nursery() as nursery:
        image = [[0.0] * 128] * 128

        async def publish():
            for number in range(10_000):
                reading = Reading(image, number)
                await served.services.bus.publish(Measurement.single("image", reading, "", number))
                published.append(number)
                await trio.sleep(0.001)

        nursery.start_soon(publish)
        assert await in_asyncio(client, served.port, published) == "0.1"
        nursery.cancel_scope.cancel()


# In a process of its own: both stacks register the same names with protobuf.
STANDARD_SERVICES = """
import sys
from pathlib import Path
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from google.protobuf.descriptor_pool import DescriptorPool

with grpc.insecure_channel(sys.argv[1]) as channel:
    health = health_pb2_grpc.HealthStub(channel)
    for name in ("", "daq.ControlService", "daq.HardwareService", "daq.RunService"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, name
    database = ProtoReflectionDescriptorDatabase(channel)
    print(*database.get_services())
    service = DescriptorPool(database).FindServiceByName("daq.ControlService")
    print(service.methods_by_name["WatchExecution"].output_type.fields_by_name["status"].number)
"""


async def test_health_and_reflection_are_served(tmp_path):
    async with serving(tmp_path, QUIET) as served:
        command = [sys.executable, "-c", STANDARD_SERVICES, served.address]
        done = await trio.run_process(command, capture_stdout=True)
    services, number = done.stdout.decode().splitlines()
    assert {"daq.ControlService", "daq.HardwareService", "daq.RunService"} <= set(services.split())
    assert number == "1"


GRPCLIB_FIRST = """
import grpclib.client, grpclib.server
import sys, pathlib, tempfile, trio
from tests.integration.api.test_server import QUIET, serving, still_serves

async def main():
    with tempfile.TemporaryDirectory() as folder:
        async with serving(pathlib.Path(folder), QUIET) as served:
            await still_serves(served)

trio.run(main)
"""


async def test_grpclib_may_be_imported_before_the_server():
    command = [sys.executable, "-W", "ignore", "-c", GRPCLIB_FIRST]
    await trio.run_process(command, cwd=Path(__file__).parents[3])


async def test_a_port_in_use_is_told_with_what_to_do(tmp_path):
    async with serving(tmp_path, QUIET) as served:
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{served.port}") as caught:
            await serve_api(served.services, "127.0.0.1", served.port)
        assert "--port" in caught.value.advice
        await still_serves(served)


async def test_an_address_that_is_not_ours_is_told(tmp_path):
    async with serving(tmp_path, QUIET) as served:
        for host in ("192.0.2.1", "no.such.host.invalid"):
            with pytest.raises(ConfigurationError, match="cannot listen on") as caught:
                await serve_api(served.services, host, 0)
            assert "--host" in caught.value.advice


async def test_the_port_is_free_again_right_after_the_end(tmp_path):
    async with serving(tmp_path, QUIET) as served:
        port = served.port
        await still_serves(served)
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))
        assert again.getsockname() == ("127.0.0.1", port)


async def test_at_the_end_streams_are_told_and_calls_may_finish(tmp_path, stubs):
    outcomes = {}
    begun = []

    def client(address):
        with grpcio_channel(address) as channel:
            hardware = stubs.daq_grpc.HardwareServiceStub(channel)
            short = hardware.MoveAbsolute.future(
                stubs.daq.MoveRequest(device_id="stage", value=0.5, wait_for_completion=True),
                timeout=20,
            )
            stream = hardware.StreamPosition(
                stubs.daq.StreamPositionRequest(device_id="stage", rate_hz=100), timeout=20
            )
            try:
                for update in stream:
                    begun.extend([update] if update.is_moving else [])
            except grpc.RpcError as error:
                outcomes["stream"] = error
            outcomes["move"] = short.result()

    async with serving(tmp_path, QUIET) as served, trio.open_nursery() as nursery:
        nursery.start_soon(in_thread, client, served.address)
        with trio.fail_after(10):
            while not begun:
                await trio.sleep(0.01)
        started = trio.current_time()
        served.api_scope.cancel()
        await served.api_ended.wait()
        assert trio.current_time() - started < 3
    assert outcomes["stream"].code() is grpc.StatusCode.UNAVAILABLE
    assert outcomes["stream"].details() == "the daemon is stopping"
    assert outcomes["move"].settled


async def test_at_the_end_a_move_that_nobody_waits_for_is_stopped_too(tmp_path, stubs):
    def client(address):
        with grpcio_channel(address) as channel:
            hardware = stubs.daq_grpc.HardwareServiceStub(channel)
            hardware.MoveAbsolute(
                stubs.daq.MoveRequest(device_id="stage", value=9, wait_for_completion=False)
            )

    async with serving(tmp_path, QUIET) as served:
        await in_thread(client, served.address)
        assert served.stage.snapshot().activity
        served.api_scope.cancel()
        with trio.fail_after(8):
            await served.api_ended.wait()
        assert not served.stage.snapshot().activity
        assert await served.stage.call("position") < 8


async def test_localhost_is_served_on_every_address_that_there_is(tmp_path):
    async with serving(tmp_path, QUIET) as served, trio.open_nursery() as nursery:
        address = await nursery.start(serve_api, served.services, "localhost", 0)
        port = int(address.rpartition(":")[2])
        for *_, place in socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM):
            stream = await trio.open_tcp_stream(place[0], port)
            assert stream.socket.getpeername()[:2] == place[:2]
            await stream.aclose()
        nursery.cancel_scope.cancel()


async def test_a_call_without_a_message_is_an_invalid_argument(tmp_path):
    async def client(port):
        async with TunedChannel("127.0.0.1", port) as channel:
            route = "/daq.ControlService/ListScripts"
            cardinality = Cardinality.STREAM_UNARY  # the only one that may send no message
            stream = channel.request(
                route, cardinality, pb.ListScriptsRequest, pb.ListScriptsResponse
            )
            try:
                async with stream:
                    await stream.send_request()
                    await stream.end()
                    await stream.recv_message()
            except GRPCError as error:
                return error.status
            return None

    async with serving(tmp_path, QUIET) as served:
        assert await in_asyncio(client, served.port) is Status.INVALID_ARGUMENT


async def test_at_the_end_a_long_move_is_stopped(tmp_path, stubs):
    errors = []

    def client(address):
        with grpcio_channel(address) as channel:
            hardware = stubs.daq_grpc.HardwareServiceStub(channel)
            with pytest.raises(grpc.RpcError) as caught:
                hardware.MoveAbsolute(
                    stubs.daq.MoveRequest(device_id="stage", value=9, wait_for_completion=True),
                    timeout=20,
                )
            errors.append(caught.value)

    async with serving(tmp_path, QUIET) as served, trio.open_nursery() as nursery:
        nursery.start_soon(in_thread, client, served.address)
        with trio.fail_after(10):
            while not served.stage.snapshot().activity:
                await trio.sleep(0.01)
        served.api_scope.cancel()
        with trio.fail_after(8):
            await served.api_ended.wait()
        assert not served.stage.snapshot().activity
        assert await served.stage.call("position") < 8
    assert errors[0].code() is grpc.StatusCode.UNAVAILABLE


async def test_a_client_that_reads_nothing_does_not_keep_the_server_up(tmp_path):
    async with serving(tmp_path, QUIET) as served:
        stream = await trio.open_tcp_stream("127.0.0.1", served.port)
        await stream.send_all(PREFACE)
        await trio.sleep(0.1)
        served.api_scope.cancel()
        with trio.fail_after(8):
            await served.api_ended.wait()
        await stream.aclose()


async def test_who_calls_is_known_to_those_who_find_the_device_busy(tmp_path, stubs):
    def client(address):
        with grpcio_channel(address) as channel:
            hardware = stubs.daq_grpc.HardwareServiceStub(channel)
            move = stubs.daq.MoveRequest(device_id="stage", value=9, wait_for_completion=False)
            hardware.MoveAbsolute(move, metadata=[("x-daq-user", "maria")])
            with pytest.raises(grpc.RpcError) as caught:
                hardware.MoveAbsolute(move, metadata=[("x-daq-user", "jo")])
            return caught.value

    async with serving(tmp_path, QUIET) as served:
        error = await in_thread(client, served.address)
    assert error.code() is grpc.StatusCode.ABORTED
    assert "maria" in error.details()
