"""The wire: our server and grpc.aio's, asked the same by the same client."""

from __future__ import annotations

import asyncio
import importlib
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from daq.client import connect
from tests.benchmarks.table import Row, summary

ROOT = Path(__file__).parents[2]

PEER = """
import asyncio, sys, grpc
import daq_pb2, daq_pb2_grpc

class Control(daq_pb2_grpc.ControlServiceServicer):
    async def ListScripts(self, request, context):
        return daq_pb2.ListScriptsResponse()

    async def GetDaemonInfo(self, request, context):
        return daq_pb2.DaemonInfoResponse(
            version="0.1.0",
            available_hardware=list("abcdef"),
            versions={str(n): "1.2.3" for n in range(8)},
            confinement={str(n): "active" for n in range(8)},
            counters={str(n): n for n in range(8)},
        )

class Hardware(daq_pb2_grpc.HardwareServiceServicer):
    async def ExecuteDeviceCommand(self, request, context):
        return daq_pb2.DeviceCommandResponse(success=True, results="0.0")

async def main():
    server = grpc.aio.server()
    daq_pb2_grpc.add_ControlServiceServicer_to_server(Control(), server)
    daq_pb2_grpc.add_HardwareServiceServicer_to_server(Hardware(), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()

asyncio.run(main())
"""


def measure(*, quick: bool) -> list[Row]:
    """A unary call, p50, in turns."""
    with tempfile.TemporaryDirectory() as name:
        return _measure(Path(name), 3 if quick else 9, 100 if quick else 500)


def _measure(directory: Path, rounds: int, calls: int) -> list[Row]:
    _generate(directory)
    daemon = subprocess.Popen(
        [sys.executable, "-m", "daq", "serve", "--port", "0", "--data-dir", directory / "data"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    peer = subprocess.Popen(
        [sys.executable, "-c", PEER], cwd=directory, stdout=subprocess.PIPE, text=True
    )
    try:
        ours = daemon.stdout.readline().rpartition(" ")[2].strip()
        theirs = f"127.0.0.1:{peer.stdout.readline().strip()}"
        rows = asyncio.run(_compare(ours, theirs, rounds, calls))
        return [*rows, _blocking(ours, theirs, rounds, calls)]
    finally:
        for process in (daemon, peer):
            process.terminate()
            process.wait(20)
            process.stdout.close()


def _generate(directory: Path) -> None:
    from grpc_tools import protoc

    arguments = ["", f"-I{ROOT / 'proto'}", f"--python_out={directory}"]
    assert protoc.main([*arguments, f"--grpc_python_out={directory}", "daq.proto"]) == 0
    sys.path.insert(0, str(directory))


def _blocking(ours: str, theirs: str, rounds: int, calls: int) -> Row:
    """What a prompt or a notebook waits for: each side with its own client."""
    import grpc

    messages = importlib.import_module("daq_pb2")
    services = importlib.import_module("daq_pb2_grpc")
    request = messages.DeviceCommandRequest(device_id="stage", command="position")
    with connect(ours) as bench, grpc.insecure_channel(theirs) as channel:
        stage, stub = bench.motor("stage"), services.HardwareServiceStub(channel)
        asked = {
            "daq": lambda: stage.position,
            "grpcio": lambda: stub.ExecuteDeviceCommand(request),
        }
        spent: dict[str, list[float]] = {name: [] for name in asked}
        for _ in range(rounds):
            for name, ask in asked.items():
                ask()
                for _ in range(calls):
                    began = time.perf_counter()
                    ask()
                    spent[name].append(time.perf_counter() - began)
    return Row(
        "`motor.position`, blocking, from the driver",
        summary(spent["daq"], "us"),
        f"grpcio and grpc.aio, no driver: {summary(spent['grpcio'], 'us')}",
        statistics.median(spent["daq"]) / statistics.median(spent["grpcio"]),
    )


async def _compare(ours: str, theirs: str, rounds: int, calls: int) -> list[Row]:
    import grpc

    messages = importlib.import_module("daq_pb2")
    services = importlib.import_module("daq_pb2_grpc")
    calls_by_name = {
        "empty answer": ("ListScripts", messages.ListScriptsRequest()),
        "30 fields": ("GetDaemonInfo", messages.DaemonInfoRequest()),
    }
    rows = []
    for what, (method, request) in calls_by_name.items():
        spent: dict[str, list[float]] = {ours: [], theirs: []}
        for _ in range(rounds):
            for address, series in spent.items():
                async with grpc.aio.insecure_channel(address) as channel:
                    call = getattr(services.ControlServiceStub(channel), method)
                    await call(request)
                    for _ in range(calls):
                        began = time.perf_counter()
                        await call(request)
                        series.append(time.perf_counter() - began)
        rows.append(
            Row(
                f"unary call, {what}, grpc.aio client",
                summary(spent[ours], "us"),
                f"grpc.aio server: {summary(spent[theirs], 'us')}",
                statistics.median(spent[ours]) / statistics.median(spent[theirs]),
                "<= 1.6",
            )
        )
    return rows
