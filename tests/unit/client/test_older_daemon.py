"""A daemon that speaks an older API: what it lacks is named, with who has it; the rest works."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import daq
from daq.client import AsyncClient, Bench, Motor, connect
from daq.client.rpc.connection import OlderDaemonError
from daq.core import CommunicationError, DeviceState, ExecutionState, StopOutcome
from daq.wire.generated import daq as pb
from tests.unit.client.fake_daemon import FakeDaemon

STAGE = pb.DeviceInfo(
    id="stage",
    name="Stage",
    driver_type="newport",
    is_movable=True,
    is_parameterized=True,
    metadata=pb.DeviceMetadata(position_units="mm", min_position=-1.0, max_position=1.0),
)
METER = pb.DeviceInfo(
    id="meter", driver_type="newport", is_readable=True, metadata=pb.DeviceMetadata()
)
ENDED = pb.ScriptStatus("e1", "COMPLETED", "", 1, 2, "s1", 100, "3: pass")
ANSWERS = {
    # No field of theirs has a number from 50, and no method is newer.
    "GetDaemonInfo": lambda r: pb.DaemonInfoResponse("0.0.9", ["scripts"], ["stage"], 60),
    "ListDevices": lambda r: pb.ListDevicesResponse([STAGE, METER]),
    "GetDeviceState": lambda r: pb.DeviceStateResponse("stage", True, 0.5),
    "MoveAbsolute": lambda r: pb.MoveResponse(True, "", r.value, True),
    "StopMotion": lambda r: pb.StopMotionResponse(True, 0.5),
    "ReadValue": lambda r: pb.ReadValueResponse(True, "", 2.5, "W", 7),
    "ExecuteDeviceCommand": lambda r: pb.DeviceCommandResponse(True, "", json.dumps(0.5)),
    "StreamValues": lambda r: [pb.ValueUpdate("meter", 2.5, "W", 7)],
    "StreamMeasurements": lambda r: [pb.DataPoint("meter", 2.5, 7)],
    "UploadScript": lambda r: pb.UploadResponse("s1", True),
    "StartScript": lambda r: pb.StartResponse(True, "e1"),
    "GetScriptStatus": lambda r: ENDED,
    "StopScript": lambda r: pb.StopResponse(True, "stopped"),
    "ListExecutions": lambda r: pb.ListExecutionsResponse([ENDED]),
}


@pytest.fixture
def older() -> Iterator[FakeDaemon]:
    with FakeDaemon(ANSWERS, older=True) as daemon:
        yield daemon


@pytest.fixture
def bench(older: FakeDaemon) -> Iterator[Bench]:
    with connect(older.address) as bench:
        yield bench


def asked(older: FakeDaemon) -> list[str]:
    return [method for method, _ in older.requests]


def test_what_both_know_works(bench: Bench) -> None:
    stage = bench["stage"]
    assert isinstance(stage, Motor)
    assert stage.move(0.25) == 0.25
    assert (stage.position, stage.units, str(stage.limits)) == (0.5, "mm", "[-1, 1]")
    assert stage.state().state is DeviceState.READY
    assert stage.state().fields == {"position": 0.5}
    assert stage.stop().outcome is StopOutcome.STOPPED
    assert bench.detector("meter").value == 2.5
    assert [reading.value for reading in bench.detector("meter")] == [2.5]
    assert bench.info().version == "0.0.9"
    assert "stage" in stage._repr_html_()


def test_scripts_run_there(older: FakeDaemon) -> None:
    async def main() -> None:
        async with AsyncClient(older.address) as client:
            script = await client.scripts.upload("pass")
            execution = await client.scripts.start(script.id)
            view = await client.scripts.status(execution)
            assert (view.record.state, view.record.progress) == (ExecutionState.COMPLETED, 1.0)
            assert (await client.scripts.stop(execution)).state is ExecutionState.STOPPED
            assert len(await client.scripts.executions()) == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("missing", "use"),
    [
        ("ListRuns", lambda bench: bench.runs[-1]),
        ("GetRun", lambda bench: bench.runs["name"]),
        ("StartRun", lambda bench: bench.run("by hand").__enter__()),
        ("StreamBlocks", lambda bench: next(bench.portal.stream(lambda c: c.streams.blocks()))),
        ("StreamDocuments", lambda bench: next(bench.portal.stream(lambda c: c.runs.documents()))),
        ("PauseScript", lambda bench: bench.execution().pause()),
        ("ListInterlocks", lambda bench: bench.call(lambda c: c.interlocks.list())),
        ("DisableDevice", lambda bench: bench.call(lambda c: c.bench.disable("stage"))),
        ("ListPresets", lambda bench: bench.call(lambda c: c.presets.list())),
        ("limits of a start", lambda b: b.call(lambda c: c.scripts.start("s1", limits={"x": 1}))),
    ],
)
def test_what_is_missing_is_named(bench: Bench, missing: str, use: Callable[[Bench], Any]) -> None:
    with pytest.raises(OlderDaemonError) as caught:
        use(bench)
    assert caught.value.message == (
        f"the daemon on {bench.address} is daq 0.0.9 and does not know {missing}, "
        f"which daq {daq.__version__} does"
    )
    assert caught.value.advice.startswith(f"update it to daq {daq.__version__}")


def test_a_scan_that_could_not_be_watched_is_not_started(bench: Bench, older: FakeDaemon) -> None:
    with pytest.raises(CommunicationError, match=r"does not know WatchExecution"):
        bench.scan(["meter"], "stage", -1, 1, 3)
    assert "StartScript" not in asked(older)


def test_a_result_that_is_not_sent_is_not_taken_for_none(bench: Bench, older: FakeDaemon) -> None:
    older.answers["WatchExecution"] = lambda r: [pb.ExecutionUpdate(ENDED)]
    with pytest.raises(OlderDaemonError):
        bench.execution().result()


def test_a_daemon_that_does_not_even_know_its_version_is_named_too() -> None:
    async def main(address: str) -> None:
        async with AsyncClient(address) as client:
            await client.interlocks.list()

    with (
        FakeDaemon({}, older=True) as daemon,
        pytest.raises(OlderDaemonError, match="is older and does not know ListInterlocks"),
    ):
        asyncio.run(main(daemon.address))
