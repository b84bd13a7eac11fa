from __future__ import annotations

import asyncio
import gc
import socket
from contextlib import aclosing
from typing import cast

import pytest

from daq.client import AsyncClient, Credentials
from daq.client.rpc.connection import split_address
from daq.core import (
    CommunicationError,
    ConfigurationError,
    LimitError,
    ParameterError,
)
from daq.core import TimeoutError as NoAnswerError
from daq.wire.generated import daq as pb
from tests.unit.client.fake_daemon import FakeDaemon


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:50051", ("127.0.0.1", 50051)),
        ("bench", ("bench", 50051)),
        ("bench:1", ("bench", 1)),
        ("[::1]:7000", ("::1", 7000)),
        ("[::1]", ("::1", 50051)),
    ],
)
def test_an_address_is_host_and_port(address: str, expected: tuple[str, int]) -> None:
    assert split_address(address) == expected


@pytest.mark.parametrize("address", [":50051", "bench:", "bench:x", "bench:0", "bench:70000"])
def test_what_is_no_address_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        AsyncClient(address)
    assert caught.value.message == f"{address!r} is not an address of a daemon"
    assert caught.value.advice == "an address is HOST:PORT, such as 127.0.0.1:50051"


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAQ_ADDRESS", "bench:7")
    assert AsyncClient().address == "bench:7"
    assert AsyncClient("other:8").address == "other:8"
    monkeypatch.delenv("DAQ_ADDRESS")
    assert repr(AsyncClient()) == "<AsyncClient 127.0.0.1:50051>"


def test_a_daemon_that_is_not_there_is_a_communication_error_with_advice() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{reserved.getsockname()[1]}"

        async def ask() -> None:
            async with AsyncClient(address) as client:
                await client.info()

        with pytest.raises(CommunicationError) as caught:
            asyncio.run(ask())
    assert caught.value.message == f"no daemon answers on {address}: Connection refused"
    assert "python -m daq serve" in caught.value.advice


def test_a_client_that_was_not_opened_says_how_to_use_it() -> None:
    async def ask() -> None:
        await AsyncClient().info()

    with pytest.raises(CommunicationError, match="async with AsyncClient"):
        asyncio.run(ask())


def test_an_error_of_the_daemon_arrives_as_the_same_class_with_its_advice() -> None:
    def refuse(request: object) -> pb.MoveResponse:
        raise LimitError("stage: position 12 mm is outside …", advice="stay inside")

    async def ask(address: str) -> None:
        async with AsyncClient(address) as client:
            await client.devices.move_abs("stage", 12.0)

    with FakeDaemon({"MoveAbsolute": refuse}) as daemon, pytest.raises(LimitError) as caught:
        asyncio.run(ask(daemon.address))
    assert caught.value.message == "stage: position 12 mm is outside …"
    assert caught.value.advice == "stay inside"


def test_an_error_in_a_stream_arrives_as_the_same_class() -> None:
    async def fail(request: object):
        yield pb.DataPoint(channel="stage", value=1.0)
        raise LimitError("no more")

    values = []

    async def ask(address: str) -> None:
        async with AsyncClient(address) as client:
            async for sample in client.streams.measurements():
                values.append(sample.value)  # noqa: PERF401 - what came before the error counts

    with (
        FakeDaemon({"StreamMeasurements": fail}) as daemon,
        pytest.raises(LimitError, match="no more"),
    ):
        asyncio.run(ask(daemon.address))
    assert values == [1.0]


def test_a_daemon_that_does_not_answer_in_time_is_a_timeout() -> None:
    async def never(request: object) -> pb.DaemonInfoResponse:
        await asyncio.sleep(60)
        raise AssertionError

    async def ask(address: str) -> None:
        async with AsyncClient(address, timeout=0.05) as client:
            await client.info()

    with FakeDaemon({"GetDaemonInfo": never}) as daemon, pytest.raises(NoAnswerError) as caught:
        asyncio.run(ask(daemon.address))
    assert caught.value.message == (
        f"the daemon on {daemon.address} did not answer GetDaemonInfo within 0.05 s"
    )


def test_an_operation_of_an_instrument_outlives_the_clients_timeout() -> None:
    async def slow(request: object) -> pb.MoveResponse:
        await asyncio.sleep(0.2)
        return pb.MoveResponse(success=True, final_position=3.0)

    async def ask(address: str) -> float:
        async with AsyncClient(address, timeout=0.05) as client:
            return await client.devices.move_abs("stage", 3.0)

    with FakeDaemon({"MoveAbsolute": slow}) as daemon:
        assert asyncio.run(ask(daemon.address)) == 3.0


def test_a_graceful_stop_outlives_the_clients_timeout() -> None:
    async def slow(request: object) -> pb.StopResponse:
        await asyncio.sleep(0.2)
        return pb.StopResponse(True, execution_id="e1", state="STOPPED", duration_s=0.2)

    async def ask(address: str) -> float:
        async with AsyncClient(address, timeout=0.05) as client:
            return (await client.scripts.stop(grace_s=30.0)).duration_s

    with FakeDaemon({"StopScript": slow}) as daemon:
        assert asyncio.run(ask(daemon.address)) == 0.2
        assert daemon.last("StopScript").grace_s == 30.0


def test_leaving_a_stream_early_resets_it_at_the_daemon() -> None:
    async def endless(request: object):
        while True:
            yield pb.DataPoint(channel="stage", value=1.0)
            await asyncio.sleep(0.001)

    async def ask(address: str) -> None:
        async with AsyncClient(address) as client:
            async with aclosing(client.streams.measurements(["stage"], max_rate_hz=5)) as samples:
                async for _ in samples:
                    break
            assert await asyncio.to_thread(daemon.stream_ended.wait, 5)

    with FakeDaemon({"StreamMeasurements": endless}) as daemon:
        asyncio.run(ask(daemon.address))
    assert daemon.cancelled == ["StreamMeasurements"]
    assert daemon.last("StreamMeasurements").channels == ["stage"]


def test_a_daemon_that_goes_away_in_a_stream_is_a_communication_error() -> None:
    async def silent(request: object):
        yield pb.DataPoint(channel="stage", value=1.0)
        await asyncio.sleep(60)

    async def ask(daemon: FakeDaemon) -> None:
        async with AsyncClient(daemon.address, resume_s=0.2) as client:
            async for _ in client.streams.measurements():
                daemon.go_away()

    with (
        FakeDaemon({"StreamMeasurements": silent}) as daemon,
        pytest.raises(CommunicationError, match="was lost"),
    ):
        asyncio.run(ask(daemon))


def test_what_does_not_speak_grpc_is_told_apart() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        await writer.drain()
        writer.close()

    async def ask() -> None:
        server = await asyncio.start_server(babble, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            async with AsyncClient(f"127.0.0.1:{port}", timeout=2.0) as client:
                await client.info()
        finally:
            server.close()

    with pytest.raises(CommunicationError):
        asyncio.run(ask())


def test_what_the_wire_cannot_carry_is_told_before_it_is_sent() -> None:
    async def ask(address: str) -> None:
        async with AsyncClient(address) as client:
            with pytest.raises(ParameterError, match=r"half a character .*'\\ud800'"):
                await client.scripts.upload("x = '\ud800'")
            with pytest.raises(ParameterError, match="seconds from 0 on, not nan"):
                await client.devices.move_abs("stage", 1.0, timeout=float("nan"))
            with pytest.raises(ParameterError, match="ListRuns cannot be called with that"):
                await client.runs.list(limit=cast("int", "many"))

    with FakeDaemon() as daemon:
        asyncio.run(ask(daemon.address))


def test_a_client_that_is_closed_while_it_connects_leaves_no_connection() -> None:
    async def ask(address: str) -> None:
        client = AsyncClient(address)
        async with client:
            asking = asyncio.create_task(client.info())
            await asyncio.sleep(0)
        with pytest.raises(CommunicationError, match="closed while it was connecting"):
            await asking

    with FakeDaemon() as daemon:  # what is left open is a warning, and so an error
        asyncio.run(ask(daemon.address))
        gc.collect()


def test_before_a_token_leaves_for_another_machine_in_clear_it_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("daq.client.rpc.credentials._is_this_machine", lambda _: False)
    monkeypatch.setattr("daq.client.rpc.credentials._WARNED", set())
    said_before: list[bool] = []

    def answer(_: object) -> pb.DaemonInfoResponse:
        said_before.append("in clear" in caplog.text)
        return pb.DaemonInfoResponse(version="1")

    async def ask(address: str) -> None:
        for _ in range(2):
            async with AsyncClient(address, credentials=Credentials("s3cret")) as client:
                await client.info()

    with FakeDaemon({"GetDaemonInfo": answer}) as daemon:
        asyncio.run(ask(daemon.address))
    assert said_before == [True, True]
    assert caplog.text.count("in clear") == 1
