"""Large messages end to end: exact over TCP and TLS, to our client and to grpcio, and abandoned."""

from __future__ import annotations

from contextlib import aclosing

import grpc
import numpy as np
import pyarrow as pa
import pytest
import trio
import trustme

from daq.api import read_access, serve_api
from daq.client import AsyncClient, Credentials
from daq.config import ServerConfig
from daq.core import Measurement
from tests.integration.api.harness import in_asyncio, in_thread, serving

SHAPE = (600, 700)
FRAMES = 12


def image(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 1 << 16, SHAPE, "<u2")


async def publish(bus) -> None:
    number = 0
    while True:
        if bus._viewers:
            frame = image(number % FRAMES)[np.newaxis]
            await bus.publish(Measurement("image", np.array([number]), frame, "counts", number))
            number += 1
        await trio.sleep(0.002)


def check(ipc) -> None:
    batch = pa.ipc.open_stream(ipc).read_next_batch()
    numbers = batch.column("time").view(pa.int64()).to_pylist()
    frames = batch.column("image").to_numpy_ndarray()  # type: ignore[attr-defined]
    for number, frame in zip(numbers, frames, strict=True):
        assert np.array_equal(frame, image(number % FRAMES))  # type: ignore[operator]


@pytest.fixture(scope="module")
def pems(tmp_path_factory):
    """The authority's certificate, and the daemon's with its key."""
    folder = tmp_path_factory.mktemp("pems")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    made = authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem
    made.write_to_path(str(folder / "daemon.pem"))
    return folder / "ca.pem", folder / "daemon.pem"


@pytest.mark.parametrize("tls", [False, True])
async def test_frames_arrive_as_they_were_also_when_others_leave_half_way(
    tmp_path, stubs, pems, tls
):
    ca, daemon = pems
    credentials = Credentials("", ca) if tls else Credentials()
    server = ServerConfig(tls_certificate=daemon, tls_key=daemon) if tls else ServerConfig()

    async def watch(address):
        async with AsyncClient(address, credentials=credentials) as client:
            for left_after in (1, 2, 3, 20):
                count = 0
                async with aclosing(client.streams.blocks(["image"], max_rate_hz=1000)) as blocks:
                    async for block in blocks:
                        count += 1
                        for at, frame in zip(block.timestamps, block.values, strict=True):
                            assert np.array_equal(frame, image(int(at) % FRAMES))
                        if count == left_after:
                            break
            return (await client.info()).version

    def stranger(address):
        channel = (
            grpc.secure_channel(address, grpc.ssl_channel_credentials(ca.read_bytes()))
            if tls
            else grpc.insecure_channel(address)
        )
        with channel:
            control = stubs.daq_grpc.ControlServiceStub(channel)
            stream = control.StreamBlocks(stubs.daq.BlockRequest(), timeout=30)
            for _, block in zip(range(10), stream, strict=False):
                check(block.ipc)
            stream.cancel()

    async with serving(tmp_path, {}) as served, trio.open_nursery() as nursery:
        nursery.start_soon(publish, served.services.bus)
        address = await nursery.start(
            serve_api, served.services, "127.0.0.1", 0, read_access(server)
        )
        async with trio.open_nursery() as clients:
            clients.start_soon(in_thread, stranger, address)
            assert await in_asyncio(watch, address) == "0.1"
        nursery.cancel_scope.cancel()
