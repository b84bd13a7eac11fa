"""Arrow Flight: runs and live channels, as pyarrow's own client sees them."""

from __future__ import annotations

import json
import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.flight as fl
import pytest
import trio

from daq.api.flight.flight import serve_flight
from daq.bus import Bus, feed_ring
from daq.bus.ring import RingWriter
from daq.core import (
    Column,
    ConfigurationError,
    Event,
    Measurement,
    RunOutcome,
    RunStart,
    RunStop,
)
from daq.storage import Storage
from daq.wire.arrow import from_arrow

COLUMNS = (
    Column("stage", "mm", "<f8", (), "stage", "positioner"),
    Column("camera", "counts", "<u2", (3, 4), "camera"),
)
START = RunStart("0123abcd", "edge", 1_700_000_000_000_000_000)
STOP = RunStop(RunOutcome.COMPLETED, START.started_ns + 1)


def event(number: int) -> Event:
    values = {"stage": number / 2, "camera": np.full((3, 4), number, "<u2")}
    return Event("primary", number, START.started_ns + number, COLUMNS, values, {})


@dataclass
class Served:
    address: str
    storage: Storage
    bus: Bus

    def client(self) -> fl.FlightClient:
        return fl.connect(f"grpc://{self.address}")


@asynccontextmanager
async def serving(directory: Path, *, ring: bool = True):
    bus = Bus()
    storage = Storage(directory, bus)
    path = directory / "ring" if ring else None
    async with trio.open_nursery() as storing:
        await storing.start(storage.run)
        if path is not None:
            await storing.start(feed_ring, bus, RingWriter(path, 1 << 20))
        async with trio.open_nursery() as api:
            address = await api.start(serve_flight, storage, path, "127.0.0.1", 0)
            yield Served(address, storage, bus)
            with trio.fail_after(10):
                api.cancel_scope.cancel()
        storing.cancel_scope.cancel()


async def recorded(storage: Storage, points: int = 5) -> None:
    run = await storage.open_run(START)
    for number in range(points):
        await run.append(event(number))
    await run.close(STOP)


async def in_thread(work):
    return await trio.to_thread.run_sync(work)


def get(served: Served, **ticket) -> fl.FlightStreamReader:
    return served.client().do_get(fl.Ticket(json.dumps(ticket)))


async def test_a_finished_run_is_listed_described_and_read(tmp_path):
    async with serving(tmp_path) as served:
        await recorded(served.storage)

        def client():
            with served.client() as flight:
                (listed,) = flight.list_flights()
                found = flight.get_flight_info(fl.FlightDescriptor.for_path("runs", "edge"))
                table = flight.do_get(listed.endpoints[0].ticket).read_all()
                some = flight.do_get(fl.Ticket(b'{"run": "edge", "columns": ["stage"]}')).read_all()
                return listed, found, table, some

        listed, found, table, some = await in_thread(client)
    assert listed.total_records == found.total_records == 5
    assert [part.decode() for part in listed.descriptor.path] == ["runs", START.run_id, "primary"]
    assert listed.schema.names == table.schema.names == ["time", "stage", "camera"]
    assert listed.schema.equals(table.schema)
    assert table.column("stage").to_pylist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    block = from_arrow(table.combine_chunks().to_batches()[0])
    assert block.columns == COLUMNS
    assert block.values["camera"][:, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert some.schema.names == ["time", "stage"]


async def test_pandas_reads_it(tmp_path):
    pandas = pytest.importorskip("pandas")
    async with serving(tmp_path) as served:
        await recorded(served.storage)
        frame = await in_thread(lambda: get(served, run="edge", columns=["stage"]).read_pandas())
    assert isinstance(frame, pandas.DataFrame)
    assert frame["stage"].sum() == 5.0


@pytest.mark.parametrize("library", ["polars", "duckdb"])
async def test_other_readers_of_arrow_take_what_comes(tmp_path, library):
    module = pytest.importorskip(library)
    async with serving(tmp_path) as served:
        await recorded(served.storage)
        points = await in_thread(lambda: get(served, run="edge", columns=["stage"]).read_all())
    if library == "polars":
        assert module.from_arrow(points)["stage"].sum() == 5.0
    else:
        assert module.sql("select sum(stage) from points").fetchall() == [(5.0,)]


async def test_a_growing_run_is_read_so_far_or_followed_to_its_end(tmp_path):
    async with serving(tmp_path) as served, trio.open_nursery() as nursery:
        run = await served.storage.open_run(START)
        for number in range(3):
            await run.append(event(number))
        so_far = await in_thread(lambda: get(served, run="edge").read_all())
        assert so_far.num_rows == 3
        token, begun, rows = trio.lowlevel.current_trio_token(), trio.Event(), []

        def follow():
            for chunk in get(served, run="edge", follow=True):
                rows.extend(chunk.data.column("stage").to_pylist())
                trio.from_thread.run_sync(begun.set, trio_token=token)

        nursery.start_soon(in_thread, follow)
        with trio.fail_after(30):
            await begun.wait()
        for number in range(3, 8):
            await run.append(event(number))
        await run.close(STOP)
        nursery.cancel_scope.deadline = trio.current_time() + 30
    assert rows == [number / 2 for number in range(8)]


async def test_a_live_channel_comes_from_the_ring_with_its_history(tmp_path):
    async with serving(tmp_path) as served:

        def block(first: int) -> Measurement:
            numbers = np.arange(first, first + 10)
            return Measurement("meter", numbers, numbers * 1.0, "W", first)

        for first in range(0, 100, 10):
            await served.bus.publish(block(first))
        values, notes = [], []
        reading, enough = trio.Event(), threading.Event()
        token = trio.lowlevel.current_trio_token()

        def read():
            with served.client() as flight:
                (info,) = flight.list_flights()
                assert [part.decode() for part in info.descriptor.path] == ["channels", "meter"]
                wanted = {"channel": "meter", "history": True}
                reader = flight.do_get(fl.Ticket(json.dumps(wanted)))
                assert reader.schema.equals(info.schema)
                assert reader.schema.field("meter").metadata[b"units"] == b"W"
                while len(values) < 150:
                    chunk = reader.read_chunk()
                    values.extend(chunk.data.column("meter").to_pylist())
                    notes.append(json.loads(chunk.app_metadata.to_pybytes()))
                    trio.from_thread.run_sync(reading.set, trio_token=token)
                reader.cancel()
            enough.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(in_thread, read)
            with trio.fail_after(30):
                await reading.wait()
            for first in range(100, 150, 10):
                await served.bus.publish(block(first))
            nursery.cancel_scope.deadline = trio.current_time() + 30
    assert values == list(map(float, range(150)))
    assert notes[0] == {"first": 0, "lost": 0}


def refused(call, words: str, kind: bytes) -> None:
    """It is refused in words and with its kind, and tells nothing of where the daemon's code is.

    pyarrow's server has no kinds in answer to `get_schema`.
    """
    with pytest.raises(pa.ArrowException, match=words) as caught:
        call()
    assert getattr(caught.value, "extra_info", kind) == kind
    assert "Traceback" not in str(caught.value)
    assert ".py" not in str(caught.value)


async def test_what_cannot_be_is_refused_with_words(tmp_path):
    def client(flight):
        for ticket, words, kind in (
            (b"nonsense", "JSON object", b"parameter"),
            (b"[" * 100_000, "JSON object", b"parameter"),
            (b'{"run": "edge", "channel": "stage"}', "either", b"parameter"),
            (b'{"who": 1}', "JSON object", b"parameter"),
            (b'{"run": "lost"}', "no run goes by 'lost'", b"not_found"),
            (b'{"run": "edge", "columns": ["z"]}', "no column 'z'", b"not_found"),
            (b'{"run": "edge", "columns": ["z"], "follow": true}', "no column 'z'", b"not_found"),
            (b'{"channel": "silence"}', "nothing was published", b"not_found"),
        ):
            refused(lambda t=ticket: flight.do_get(fl.Ticket(t)).read_all(), words, kind)
        for path, kind in (
            (["planes"], b"parameter"),
            (["channels", "silence"], b"not_found"),
            (["runs", "edge", "dark"], b"not_found"),
        ):
            descriptor = fl.FlightDescriptor.for_path(*path)
            for ask in (flight.get_flight_info, flight.get_schema):
                refused(lambda a=ask, d=descriptor: a(d), "there is no|no channel|no stream", kind)
        refused(lambda: list(flight.list_flights(b"[")), "criteria", b"parameter")
        refused(lambda: list(flight.do_action(fl.Action("x", b""))), "no action", b"not_found")
        schema = pa.schema([("a", pa.int64())])
        refused(
            lambda: flight.do_put(descriptor, schema)[0].close(), "only reads here", b"parameter"
        )
        refused(lambda: flight.do_exchange(descriptor)[0].close(), "only reads here", b"parameter")
        assert flight.list_actions() == []
        assert list(flight.list_flights(b'{"name": "x*"}')) == []

    async with serving(tmp_path) as served:
        await recorded(served.storage)
        with served.client() as flight:
            await in_thread(lambda: client(flight))


async def test_the_schema_is_that_of_what_is_read(tmp_path):
    async with serving(tmp_path) as served:
        await recorded(served.storage)
        with served.client() as flight:
            descriptor = fl.FlightDescriptor.for_path("runs", "edge", "primary")
            schema = (await in_thread(lambda: flight.get_schema(descriptor))).schema
            ticket = fl.Ticket(b'{"run": "edge"}')
            table = await in_thread(lambda: flight.do_get(ticket).read_all())
    assert schema.names == table.schema.names
    assert schema.types == table.schema.types


async def test_a_defect_is_told_without_its_traceback_which_is_in_the_log(
    tmp_path, monkeypatch, caplog
):
    def broken(*_):
        raise ZeroDivisionError("/secret/path")

    monkeypatch.setattr("daq.api.flight.flight._run_info", broken)
    async with serving(tmp_path) as served:
        await recorded(served.storage)
        with served.client() as flight:
            descriptor = fl.FlightDescriptor.for_path("runs", "edge")
            with pytest.raises(fl.FlightInternalError, match="ZeroDivisionError") as caught:
                await in_thread(lambda: flight.get_flight_info(descriptor))
    assert "secret" not in str(caught.value)
    assert "/secret/path" in caplog.text


async def test_a_port_that_is_taken_is_an_error(tmp_path):
    async with serving(tmp_path, ring=False) as served:
        port = int(served.address.rpartition(":")[2])
        with pytest.raises(ExceptionGroup) as caught:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve_flight, served.storage, None, "127.0.0.1", port)
        assert caught.group_contains(ConfigurationError, match="cannot listen")


async def test_the_end_is_bounded_also_with_clients_that_follow_and_that_stall(tmp_path):
    big = Column("camera", "counts", "<u2", (600, 600), "camera")
    readers = []
    async with serving(tmp_path) as served:
        run = await served.storage.open_run(START)
        for number in range(12):
            values = {"camera": np.full((600, 600), number, "<u2")}
            await run.append(Event("primary", number, number, (big,), values, {}))
        await served.bus.publish(Measurement("meter", np.arange(1), np.ones(1), "W", 0))
        with trio.fail_after(10):
            while not (await in_thread(lambda: list(served.client().list_flights())))[1:]:
                await trio.sleep(0.01)
        stalled = await in_thread(lambda: get(served, run="edge", follow=True))
        await in_thread(stalled.read_chunk)  # and no more of it
        live = await in_thread(lambda: get(served, channel="meter", history=True))
        await in_thread(live.read_chunk)
        readers = [stalled, live]
        await run.close(STOP)
        began = trio.current_time()
    assert trio.current_time() - began < 10
    for reader in readers:
        reader.cancel()
