"""Streams over a connection that is lost, with a daemon that comes back on the same port."""

from __future__ import annotations

import asyncio
import logging

import pytest

from daq.client import AsyncClient
from daq.client.rpc.resuming import GapCounter
from daq.core import CommunicationError, OutputLine
from daq.wire.convert import output_to_wire, status_to_wire
from daq.wire.generated import daq as pb
from tests.unit.client.fake_daemon import FakeDaemon
from tests.unit.client.test_services import DONE, RUNNING, batch, view


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "daq.client.rpc.resuming")


def test_gaps_are_counted_by_sequence_numbers() -> None:
    counter = GapCounter()
    assert counter.take(0, "a", 5, 0) == (0, 0)
    assert counter.take(0, "b", 9, 2) == (0, 2)
    assert counter.take(0, "a", 8, 2) == (0, 2)  # thinned by a rate, not missed
    assert counter.take(1, "a", 12, 0) == (3, 5)
    assert counter.take(1, "a", 13, 1) == (0, 6)
    assert counter.take(1, "b", 10, 1) == (0, 6)
    assert counter.take(2, "a", 4, 0) == (4, 10)  # the daemon counts from 0 again
    assert counter.take(2, "new", 100, 0) == (0, 10)
    assert counter.take(2, "block", 0, 0, samples=10) == (0, 10)
    assert counter.take(3, "block", 12, 0, samples=10) == (2, 12)


def cut_once(*attempts: list[object]):
    """Answers of a stream that breaks after each attempt but the last."""
    left = list(attempts)

    async def answer(_request: object):
        for message in left.pop(0):
            yield message
        if left:
            await asyncio.sleep(0.05)
            daemon_of[0].cut()
            await asyncio.sleep(60)

    daemon_of: list[FakeDaemon] = []
    return answer, daemon_of


def test_measurements_go_on_and_count_the_gap() -> None:
    def point(sequence: int) -> pb.DataPoint:
        return pb.DataPoint("stage", 1.0, sequence=sequence)

    answer, of = cut_once([point(3), point(4)], [point(9)])

    async def collect(client: AsyncClient) -> list[tuple[int, int, int]]:
        return [(s.sequence, s.gap, s.dropped) async for s in client.streams.measurements()]

    async def main(address: str) -> list[tuple[int, int, int]]:
        async with AsyncClient(address) as client:
            return await collect(client)

    with FakeDaemon({"StreamMeasurements": answer}) as daemon:
        of.append(daemon)
        assert asyncio.run(main(daemon.address)) == [(3, 0, 0), (4, 0, 0), (9, 4, 4)]


def test_a_watch_tells_no_line_twice() -> None:
    lines = [OutputLine(5, "output", text, 3) for text in ("one", "two", "three")]
    first = [pb.ExecutionUpdate(status_to_wire(view(RUNNING)), output_to_wire(lines[:2]))]
    again = [
        pb.ExecutionUpdate(status_to_wire(view(RUNNING)), output_to_wire(lines[:1])),
        pb.ExecutionUpdate(status_to_wire(view(RUNNING, DONE)), output_to_wire(lines[1:])),
    ]
    answer, of = cut_once(first, again)

    async def main(address: str) -> list[str]:
        async with AsyncClient(address) as client:
            return [line.text async for u in client.scripts.watch() for line in u.output]

    with FakeDaemon({"WatchExecution": answer}) as daemon:
        of.append(daemon)
        assert asyncio.run(main(daemon.address)) == ["one", "two", "three"]
        assert [r.execution_id for _, r in daemon.requests] == ["", "e1"]


def test_a_run_is_read_on_where_it_broke() -> None:
    answer, of = cut_once(
        [batch([0.0, 1.0], 0)], [batch([0.0], 0), batch([1.0, 2.0], 1), batch([3.0], 3)]
    )

    async def main(address: str) -> list[float]:
        async with AsyncClient(address) as client:
            return (await client.runs.columns("r1", columns=["stage"]))["stage"].tolist()

    with FakeDaemon({"ReadRun": answer}) as daemon:
        of.append(daemon)
        assert asyncio.run(main(daemon.address)) == [0.0, 1.0, 2.0, 3.0]


def test_a_call_that_may_be_repeated_is_made_once_more_and_a_move_is_not() -> None:
    asked: list[str] = []

    async def break_first(name: str, answer: object):
        asked.append(name)
        if asked.count(name) == 1:
            daemon.cut()
            await asyncio.sleep(60)
        return answer

    answers = {
        "GetParameter": lambda r: break_first("get", pb.ParameterValue("laser", "power", "1", "W")),
        "MoveAbsolute": lambda r: break_first("move", pb.MoveResponse(True)),
    }

    async def main() -> None:
        async with AsyncClient(daemon.address) as client:
            assert (await client.devices.get("laser", "power")).value == "1"
            with pytest.raises(CommunicationError, match="was lost"):
                await client.devices.move_abs("stage", 1.0)

    with FakeDaemon(answers) as daemon:
        asyncio.run(main())
    assert asked == ["get", "get", "move"]
