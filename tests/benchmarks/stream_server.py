"""Serves one channel as fast as it is taken: `python -m tests.benchmarks.stream_server KIND`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import trio

from daq.bus import Bus
from daq.core import Measurement

AHEAD = 256
"""Blocks that may wait for the fastest subscriber: none is dropped for it."""
SCALARS_A_BLOCK = 10_000


def block(size: int, first: int = 0) -> Measurement:
    """A block of `size` bytes of values; a scalar when that is 8."""
    if size == 8:
        return Measurement("fast", np.array([first]), np.array([1.5]), "V", first)
    if size == 8 * SCALARS_A_BLOCK:
        numbers = np.arange(first, first + SCALARS_A_BLOCK)
        return Measurement("fast", numbers, numbers * 1.0, "V", first)
    return Measurement("fast", np.array([first]), np.zeros((1, size // 2), "<u2"), "counts", first)


async def publish(bus: Bus, size: int) -> None:
    sample, first = block(size), 0
    samples = len(sample)
    while True:
        viewers = bus._viewers
        lag = min((viewer.statistics().lag for viewer in viewers), default=0)
        if not viewers or lag >= AHEAD * samples or lag * size >= 32 << 20:
            await trio.sleep(0.0002 if viewers else 0.01)
            continue
        for _ in range(16 if size <= 65536 else 1):
            following = Measurement(
                sample.channel, sample.timestamps, sample.values, sample.units, first
            )
            await bus.publish(following)
            first += samples
        await trio.lowlevel.checkpoint()


async def heartbeat(bus: Bus) -> None:
    """Measure by how much a sleep of 5 ms is late, while anybody views; say so when asked."""
    late: list[float] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_tell_when_asked, late)
        while True:
            due = trio.current_time() + 0.005
            await trio.sleep_until(due)
            if bus._viewers:
                late.append(trio.current_time() - due)


async def _tell_when_asked(late: list[float]) -> None:
    if await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
        print(json.dumps(late), flush=True)
        sys.stdout.close()
        os._exit(0)


async def ours(size: int) -> None:
    from tests.integration.api.harness import serving

    with tempfile.TemporaryDirectory() as name:
        async with serving(Path(name), {}) as served:
            print(served.address, flush=True)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(publish, served.services.bus, size)
                nursery.start_soon(heartbeat, served.services.bus)


async def grpc_aio(size: int, folder: str) -> None:
    import grpc

    from daq.api.door.ipc import measurement_to_ipc

    sys.path.insert(0, folder)
    import daq_pb2
    import daq_pb2_grpc

    sample = block(size)
    ipc = bytes(measurement_to_ipc(sample))

    class Control(daq_pb2_grpc.ControlServiceServicer):
        async def StreamMeasurements(self, request, context):  # noqa: N802
            number = 0
            while True:
                number += 1
                yield daq_pb2.DataPoint(
                    channel="fast", value=1.5, timestamp_ns=number, units="V", sequence=number
                )

        async def StreamBlocks(self, request, context):  # noqa: N802
            number = 0
            while True:
                number += len(sample)
                yield daq_pb2.MeasurementBlock(
                    channel="fast", ipc=ipc, sequence=number, samples=len(sample)
                )

    server = grpc.aio.server(options=[("grpc.max_send_message_length", -1)])
    daq_pb2_grpc.add_ControlServiceServicer_to_server(Control(), server)
    print(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}", flush=True)
    await server.start()
    await server.wait_for_termination()


def flight(size: int) -> None:
    import pyarrow.flight as fl

    from daq.wire.arrow import measurement_to_arrow

    batch = measurement_to_arrow(block(size))

    class Server(fl.FlightServerBase):
        def do_get(self, context, ticket):
            def batches():
                while True:
                    yield batch

            return fl.GeneratorStream(batch.schema, batches())

    server = Server("grpc://127.0.0.1:0")
    print(f"127.0.0.1:{server.port}", flush=True)
    server.serve()


if __name__ == "__main__":
    kind, options = sys.argv[1], json.loads(sys.argv[2])
    if kind == "ours":
        trio.run(ours, options["size"])
    elif kind == "grpc.aio":
        asyncio.run(grpc_aio(options["size"], options["folder"]))
    else:
        flight(options["size"])
