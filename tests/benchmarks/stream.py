"""What reaches a remote client: samples and messages, against grpc.aio and Arrow Flight."""

from __future__ import annotations

import asyncio
import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

from daq.client import AsyncClient
from daq.wire.generated import daq as pb
from tests.benchmarks.stream_server import SCALARS_A_BLOCK
from tests.benchmarks.table import Row, summary

ROOT = Path(__file__).parents[2]
SCALAR, SCALARS = 8, 8 * SCALARS_A_BLOCK
SMALL, LARGE, FRAME = 64 << 10, 1 << 20, 4 << 20
FASTEST_HZ = 1000

Messages = AsyncGenerator[Any, None]


def measure(*, quick: bool) -> list[Row]:
    """All rows; each is a stream that is read for some seconds."""
    seconds = 0.4 if quick else 3.0
    with tempfile.TemporaryDirectory() as folder:
        generate_stubs(Path(folder))
        return [
            _points(folder, seconds),
            _batched(folder, seconds),
            *_messages(folder, "64 KiB", SMALL, seconds),
            *_messages(folder, "1 MiB", LARGE, seconds),
            *_messages(folder, "4 MiB", FRAME, seconds),
            _heartbeat(seconds),
            *(_subscribers(count, seconds) for count in (1, 4, 16)),
        ]


def generate_stubs(folder: Path) -> None:
    from grpc_tools import protoc

    arguments = ["", f"-I{ROOT / 'proto'}", f"--python_out={folder}"]
    assert protoc.main([*arguments, f"--grpc_python_out={folder}", "daq.proto"]) == 0
    sys.path.insert(0, str(folder))


@contextmanager
def _server(kind: str, size: int, folder: str = "") -> Iterator[str]:
    with _process(kind, size, folder) as process:
        yield process.stdout.readline().strip()


@contextmanager
def _process(kind: str, size: int, folder: str = "") -> Iterator[subprocess.Popen[str]]:
    options = json.dumps({"size": size, "folder": folder})
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.stream_server", kind, options],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def _counted(messages: Messages, weight: Callable[[object], int], seconds: float) -> float:
    """What comes a second, from the first message on."""
    total, began = 0, 0.0
    async with aclosing(messages):
        async for message in messages:
            now = time.perf_counter()
            if not began:
                began = now
                continue
            total += weight(message)
            if now - began > seconds:
                return total / (now - began)
    raise AssertionError("the stream ended")


def _ours(size: int, method: str, weight: Callable[[object], int], seconds: float) -> float:
    request, answer = (
        (pb.MeasurementRequest(), pb.DataPoint)
        if method == "StreamMeasurements"
        else (pb.BlockRequest(max_rate_hz=FASTEST_HZ), pb.MeasurementBlock)
    )

    async def run(address: str) -> float:
        async with AsyncClient(address) as client:
            route = f"/daq.ControlService/{method}"
            stream = client._connection.stream(route, request, answer)
            return await _counted(stream, weight, seconds)

    with _server("ours", size) as address:
        return asyncio.run(run(address))


def _grpc_aio(
    folder: str, size: int, method: str, weight: Callable[[object], int], seconds: float
) -> float:
    import grpc

    messages = importlib.import_module("daq_pb2")
    services = importlib.import_module("daq_pb2_grpc")

    async def run(address: str) -> float:
        unlimited = [("grpc.max_receive_message_length", -1)]
        async with grpc.aio.insecure_channel(address, options=unlimited) as channel:
            stub = services.ControlServiceStub(channel)
            request = (
                messages.MeasurementRequest()
                if method == "StreamMeasurements"
                else messages.BlockRequest()
            )
            call = getattr(stub, method)(request)

            async def replies():
                async for reply in call:
                    yield reply

            rate = await _counted(replies(), weight, seconds)
            call.cancel()
            return rate

    with _server("grpc.aio", size, folder) as address:
        return asyncio.run(run(address))


def _flight(size: int, seconds: float) -> float:
    """Bytes a second of Arrow Flight with its own client."""
    import pyarrow.flight as fl

    with _server("flight", size) as address, fl.connect(f"grpc://{address}") as client:
        reader = client.do_get(fl.Ticket(b""))
        reader.read_chunk()
        total, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            reader.read_chunk()
            total += size
        rate = total / (time.perf_counter() - began)
        reader.cancel()
        return rate


def _one(_message: object) -> int:
    return 1


def _samples(message: pb.MeasurementBlock) -> int:
    return message.samples


def _bytes(message: pb.MeasurementBlock) -> int:
    return len(message.ipc)


def _points(folder: str, seconds: float) -> Row:
    ours = _ours(SCALAR, "StreamMeasurements", _one, seconds)
    peer = _grpc_aio(folder, SCALAR, "StreamMeasurements", _one, seconds)
    return Row(
        "scalars from a driver to a remote client, a message each",
        f"{ours:,.0f}/s",
        f"grpc.aio, no driver: {peer:,.0f}/s",
        peer / ours,
    )


def _batched(folder: str, seconds: float) -> Row:
    """Published one by one and in blocks of 10,000, both as Arrow batches."""
    single = _ours(SCALAR, "StreamBlocks", _samples, seconds)
    blocks = _ours(SCALARS, "StreamBlocks", _samples, seconds)
    peer = _grpc_aio(folder, SCALARS, "StreamBlocks", _samples, seconds)
    return Row(
        "scalars, batched: published one by one; in blocks",
        f"{single:,.0f}/s; {blocks / 1e6:.1f} M/s",
        f"grpc.aio, ready-made blocks: {peer / 1e6:.1f} M/s",
        peer / blocks,
        ">= 50,000/s; >= 5 M/s",
    )


def _messages(folder: str, what: str, size: int, seconds: float) -> list[Row]:
    ours = _ours(size, "StreamBlocks", _bytes, seconds) / 1e9
    peers = {
        "grpc.aio": _grpc_aio(folder, size, "StreamBlocks", _bytes, seconds) / 1e9,
        "Arrow Flight": _flight(size, seconds) / 1e9,
    }
    goals = {"grpc.aio": "<= 1.1" if size == SMALL else "<= 0.5", "Arrow Flight": "<= 1.1"}
    return [
        Row(
            f"messages of {what}, one subscriber",
            f"{ours:.2f} GB/s",
            f"{name}, ready-made: {rate:.2f} GB/s",
            rate / ours,
            goals[name],
        )
        for name, rate in peers.items()
    ]


def _heartbeat(seconds: float) -> Row:
    """How late a task of Trio wakes up that sleeps 5 ms, while one subscriber takes all it can."""

    async def run(address: str) -> float:
        async with AsyncClient(address) as client:
            request = pb.BlockRequest(max_rate_hz=FASTEST_HZ)
            route = "/daq.ControlService/StreamBlocks"
            stream = client._connection.stream(route, request, pb.MeasurementBlock)
            return await _counted(stream, _bytes, seconds)

    with _process("ours", FRAME) as process:
        rate = asyncio.run(run(process.stdout.readline().strip()))
        late = json.loads(process.communicate("late\n")[0])
    return Row(
        "delay of a Trio task while frames of 4 MiB saturate a stream",
        summary(late),
        f"{rate / 1e9:.2f} GB/s meanwhile",
        goal="p99 <= 10 ms",
    )


def _subscribers(count: int, seconds: float) -> Row:
    """All in one client process; beside them one that takes nothing."""

    async def run(address: str) -> list[float]:
        async with AsyncClient(address) as stalled, AsyncClient(address) as client:
            request = pb.BlockRequest(max_rate_hz=FASTEST_HZ)
            route = "/daq.ControlService/StreamBlocks"
            idle = stalled._connection.stream(route, request, pb.MeasurementBlock)
            async with aclosing(idle):
                await anext(idle)
                streams = [
                    client._connection.stream(route, request, pb.MeasurementBlock)
                    for _ in range(count)
                ]
                return await asyncio.gather(*(_counted(s, _bytes, seconds) for s in streams))

    with _server("ours", SMALL) as address:
        rates = [rate / 1e9 for rate in asyncio.run(run(address))]
    return Row(
        f"64 KiB to {count} subscriber{'s' * (count > 1)}, and one that is stalled",
        f"{sum(rates):.2f} GB/s in all; slowest {min(rates):.3f}, fastest {max(rates):.3f}",
    )
