from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from daq.client import AsyncClient
from daq.client.bench.device import Device
from daq.client.blocking.portal import Portal
from daq.client.calls.models import DeviceInfo
from daq.core import (
    Capability,
    Category,
    Channel,
    Column,
    DeviceAction,
    DeviceDescription,
    DeviceError,
    DeviceParameter,
    DeviceSnapshot,
    DeviceState,
    DeviceStop,
    ExecutionRecord,
    ExecutionState,
    ExecutionView,
    Limits,
    NotFoundError,
    OutputLine,
    RunOutcome,
    RunStart,
    RunSummary,
    ScriptSyntaxError,
    StopOutcome,
    StopReport,
    Transition,
)
from daq.wire.convert import (
    RecordedStream,
    device_to_wire,
    output_to_wire,
    run_detail_to_wire,
    run_to_wire,
    status_to_wire,
    stop_to_wire,
)
from daq.wire.generated import daq as pb
from tests.unit.client.fake_daemon import FakeDaemon

RUNNING = Transition(ExecutionState.RUNNING, 2_000)
DONE = Transition(ExecutionState.COMPLETED, 3_000)


def view(*transitions: Transition) -> ExecutionView:
    record = ExecutionRecord(
        "e1",
        "s1",
        "scan",
        {"points": "21"},
        "ada",
        (Transition(ExecutionState.PENDING, 1_000), *transitions),
    )
    return ExecutionView(record, version=4, source_line="move(x)")


def ask(daemon: FakeDaemon, question: Callable[[AsyncClient], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with AsyncClient(daemon.address, user="ada") as client:
            return await question(client)

    return asyncio.run(main())


def test_an_upload_answers_with_what_main_declares() -> None:
    def accept(request: pb.UploadRequest) -> pb.UploadResponse:
        parameters = [pb.ScriptParameterInfo("points", "int", False, "41")]
        return pb.UploadResponse("s1", True, parameters=parameters, description="A scan.")

    with FakeDaemon({"UploadScript": accept}) as daemon:
        script = ask(
            daemon, lambda c: c.scripts.upload("pass", name="scan", metadata={"sample": "blade"})
        )
        assert daemon.last("UploadScript").metadata == {"sample": "blade"}
    assert (script.id, script.name, script.description) == ("s1", "scan", "A scan.")
    assert [str(p) for p in script.parameters] == ["points: int = 41"]


def test_a_refused_upload_raises_with_every_violation() -> None:
    message = '  File "scan", line 1, column 1\n    import os\n    ^^^^^^^^^\nIMPORT: no os'
    with (
        FakeDaemon({"UploadScript": lambda r: pb.UploadResponse(error_message=message)}) as daemon,
        pytest.raises(ScriptSyntaxError) as caught,
    ):
        ask(daemon, lambda c: c.scripts.upload("import os"))
    assert caught.value.message == message


def test_parameters_of_a_start_travel_as_a_person_would_type_them() -> None:
    with FakeDaemon({"StartScript": lambda r: pb.StartResponse(True, "e1")}) as daemon:
        given = {"points": 21, "dwell": 0.5, "fast": True, "name": "blade"}
        assert ask(daemon, lambda c: c.scripts.start("scan", given)) == "e1"
        request = daemon.last("StartScript")
    assert request.parameters == {"points": "21", "dwell": "0.5", "fast": "true", "name": "blade"}
    assert request.user == "ada"


def test_a_watch_gives_views_and_output_and_ends_with_the_execution() -> None:
    line = OutputLine(5, "output", "hello", 3)
    updates = [
        pb.ExecutionUpdate(status_to_wire(view(RUNNING)), output_to_wire([line])),
        pb.ExecutionUpdate(status_to_wire(view(RUNNING, DONE))),
    ]

    async def collect(client: AsyncClient) -> list[Any]:
        return [update async for update in client.scripts.watch("scan", max_rate_hz=5.0)]

    with FakeDaemon({"WatchExecution": lambda r: updates}) as daemon:
        first, last = ask(daemon, collect)
        request = daemon.last("WatchExecution")
    assert (request.execution_id, request.max_rate_hz, request.include_output) == (
        "scan",
        5.0,
        True,
    )
    assert first.output == (line,)
    assert first.view == view(RUNNING)
    assert last.view.record.state is ExecutionState.COMPLETED


def test_wait_returns_how_the_execution_ended() -> None:
    updates = [pb.ExecutionUpdate(status_to_wire(view(*t))) for t in ((RUNNING,), (RUNNING, DONE))]
    with FakeDaemon({"WatchExecution": lambda r: updates}) as daemon:
        assert ask(daemon, lambda c: c.scripts.wait()).record.ended_ns == 3_000


def test_a_stop_answers_with_each_device() -> None:
    report = StopReport(
        "e1",
        ExecutionState.STOPPED,
        "stopped by ada",
        0.25,
        (
            DeviceStop("stage", StopOutcome.STOPPED, 0.01),
            DeviceStop("meter", StopOutcome.IDLE, 0.0),
        ),
        line=12,
    )
    with FakeDaemon({"StopScript": lambda r: stop_to_wire(report)}) as daemon:
        assert ask(daemon, lambda c: c.scripts.stop("e1", reason="lunch")) == report
        request = daemon.last("StopScript")
    assert (request.reason, request.user, request.force, request.grace_s) == (
        "lunch",
        "ada",
        False,
        None,
    )


def test_pause_and_resume_answer_with_the_state() -> None:
    answers = {
        "PauseScript": lambda r: pb.PauseResponse("e1", "PAUSED", "at line 3"),
        "ResumeScript": lambda r: pb.ResumeResponse("e1", "RUNNING"),
    }
    with FakeDaemon(answers) as daemon:
        assert ask(daemon, lambda c: c.scripts.pause("e1")).state is ExecutionState.PAUSED
        assert ask(daemon, lambda c: c.scripts.resume("e1")).state is ExecutionState.RUNNING


STAGE = DeviceDescription(
    "stage",
    "simulated.stage",
    Category.STAGE,
    frozenset({Capability.MOVABLE}),
    Channel("stage", "mm"),
    units="mm",
    limits=Limits(-10.0, 10.0),
)


def test_devices_are_listed_with_their_state_and_those_that_failed() -> None:
    snapshot = DeviceSnapshot("stage", DeviceState.READY, 3, 99, fields={"position": 1.5})
    answer = pb.ListDevicesResponse(
        [device_to_wire(STAGE, snapshot)],
        [pb.RegistrationFailure("rotator", error="no such port")],
    )
    with FakeDaemon({"ListDevices": lambda r: answer}) as daemon:
        listing = ask(daemon, lambda c: c.devices.list("movable"))
        assert daemon.last("ListDevices").capability_filter == "movable"
    (stage,) = listing.devices
    assert stage.id == "stage"
    assert stage.description.limits == Limits(-10.0, 10.0)
    assert stage.snapshot.fields == {"position": 1.5}
    assert listing.failures == {"rotator": "no such port"}


def test_a_reading_of_an_array_brings_the_array() -> None:
    frame = np.arange(6, dtype="<u2").reshape(2, 3)
    answer = pb.ReadValueResponse(
        True,
        value=2.5,
        units="counts",
        timestamp_ns=7,
        shape=[2, 3],
        dtype="<u2",
        data=frame.tobytes(),
    )
    with FakeDaemon({"ReadValue": lambda r: answer}) as daemon:
        sample = ask(daemon, lambda c: c.devices.read("camera"))
    assert (sample.value, sample.units, sample.timestamp_ns) == (2.5, "counts", 7)
    np.testing.assert_array_equal(sample.array, frame)


def test_an_operation_without_success_is_a_device_error() -> None:
    answer = pb.MoveResponse(error_message="stage: stalled at 3.1 mm")
    with (
        FakeDaemon({"MoveRelative": lambda r: answer}) as daemon,
        pytest.raises(DeviceError, match="stage: stalled at"),
    ):
        ask(daemon, lambda c: c.devices.move_rel("stage", 1.0, timeout=2.5))
    assert daemon.last("MoveRelative").timeout_ms == 2500


def test_any_operation_can_be_called_by_name() -> None:
    answer = pb.DeviceCommandResponse(True, results='{"result": [1, 2]}')
    with FakeDaemon({"ExecuteDeviceCommand": lambda r: answer}) as daemon:
        assert ask(daemon, lambda c: c.devices.call("camera", "frames", 2)) == [1, 2]
        request = daemon.last("ExecuteDeviceCommand")
    assert (request.command, request.args) == ("frames", '{"args": [2]}')


def test_an_action_is_a_method_with_named_arguments(monkeypatch) -> None:
    rows = (DeviceParameter("on", "bool"), DeviceParameter("times", "int"))
    lamp = DeviceDescription(
        "lamp",
        "declarative",
        Category.OTHER,
        frozenset(),
        Channel("lamp", ""),
        actions=(DeviceAction("blink", "", rows),),
    )
    calls: list[Any] = []
    monkeypatch.setattr(Device, "call", lambda _, *call: calls.append(call))
    info = DeviceInfo(lamp, DeviceSnapshot("lamp", DeviceState.READY, 1, 0))
    portal = Portal(lambda: pytest.fail("nothing here asks the daemon"))
    device = Device(portal, info, "bench:1")
    device.blink(True, times=3)
    assert calls == [("blink", True, 3)]
    assert "blink" in dir(device)
    with pytest.raises(TypeError, match="times"):
        device.blink(True)
    with pytest.raises(AttributeError, match="did you mean 'blink'"):
        device.blinc()
    portal.close()


def test_parameters_are_described_got_and_set() -> None:
    answers = {
        "ListParameters": lambda r: pb.ListParametersResponse(
            [
                pb.ParameterDescriptor(
                    "laser", "power", dtype="float", units="W", min_value=0.0, max_value=1.0
                )
            ]
        ),
        "GetParameter": lambda r: pb.ParameterValue("laser", "power", "0.5", "W"),
        "SetParameter": lambda r: pb.SetParameterResponse(True, actual_value="0.25"),
    }
    with FakeDaemon(answers) as daemon:
        (power,) = ask(daemon, lambda c: c.devices.parameters("laser"))
        assert (power.name, power.limits) == ("power", Limits(0.0, 1.0))
        assert ask(daemon, lambda c: c.devices.get("laser", "power")).value == "0.5"
        assert ask(daemon, lambda c: c.devices.set("laser", "power", 0.25)) == "0.25"
        assert daemon.last("SetParameter").value == "0.25"


def test_setters_return_what_was_read_back() -> None:
    readbacks = {"wavelength": "799.9", "exposure": "0.01"}
    kept = {"shutter": "true", "emission": "true", "wavelength": "799.9", "exposure": "0.02"}
    answers = {
        "SetParameter": lambda r: pb.SetParameterResponse(
            True, actual_value=readbacks.get(r.parameter_name, r.value)
        ),
        "GetParameter": lambda r: pb.ParameterValue(value=kept[r.parameter_name]),
        "Arm": lambda r: pb.ArmResponse(True, armed=True),
        "Trigger": lambda r: pb.TriggerResponse(True, trigger_timestamp_ns=7),
        "StageDevice": lambda r: pb.StageDeviceResponse(True, staged=True),
        "UnstageDevice": lambda r: pb.UnstageDeviceResponse(True),
    }

    async def exercise(c: AsyncClient) -> list[Any]:
        d = c.devices
        await d.stage("camera")
        await d.arm("camera")
        await d.unstage("camera")
        return [
            await d.open("laser"),
            await d.close("laser"),
            await d.is_open("laser"),
            await d.wavelength("laser", 800.0),
            await d.wavelength("laser"),
            await d.emission("laser", False),
            await d.emission("laser"),
            await d.exposure("camera", 0.01),
            await d.exposure("camera"),
            await d.trigger("camera"),
        ]

    with FakeDaemon(answers) as daemon:
        results = ask(daemon, exercise)
    assert results == [True, False, True, 799.9, 799.9, False, True, 0.01, 0.02, 7]


def test_a_motion_that_has_not_settled_in_time_is_an_error() -> None:
    answer = pb.WaitSettledResponse(True, settled=False, position=1.5)
    with (
        FakeDaemon({"WaitSettled": lambda r: answer}) as daemon,
        pytest.raises(DeviceError, match="stage: still moving after 2 s, now at 1"),
    ):
        ask(daemon, lambda c: c.devices.wait_settled("stage", timeout=2.0))


def test_streams_come_in_typed_form() -> None:
    image = np.arange(6, dtype="<u2").reshape(2, 3)
    frame = pb.FrameData(
        "camera", 3, 2, 16, image.tobytes(), 41, 7, 10.0, metadata={"dtype": "<u2"},
        metrics=pb.StreamingMetrics(frames_dropped=5),
    )  # fmt: skip
    answers = {
        "StreamFrames": lambda r: [frame],
        "StreamPosition": lambda r: [pb.PositionUpdate("stage", 1.5, 7, True)],
        "StreamValues": lambda r: [pb.ValueUpdate("meter", 0.5, "W", 7)],
        "SubscribeDeviceState": lambda r: [
            pb.DeviceStateUpdate("stage", 7, 3, True, {"moving": "false"})
        ],
        "StreamObservables": lambda r: [pb.ObservableValue("stage", "position", 1.5, "mm", 7)],
        "StreamParameterChanges": lambda r: [
            pb.ParameterChange("laser", "power", "1", "2", "W", 7)
        ],
        "StartStream": lambda r: pb.StartStreamResponse(True),
        "StopStream": lambda r: pb.StopStreamResponse(True, 12),
    }

    async def first_of_each(c: AsyncClient) -> list[Any]:
        await c.streams.start("camera", 12)
        generators = [
            c.streams.frames("camera", max_fps=5),
            c.streams.positions("stage", 10),
            c.streams.readings("meter", 10),
            c.streams.states("stage"),
            c.streams.observables(["stage"], deadband=0.1),
            c.streams.parameter_changes("laser"),
        ]
        return [
            *[await anext(g) for g in generators],
            await c.streams.stop("camera"),
        ]

    with FakeDaemon(answers) as daemon:
        shown, position, reading, state, observable, change, captured = ask(daemon, first_of_each)
    np.testing.assert_array_equal(shown.image, image)
    assert (shown.number, shown.exposure_s, shown.dropped) == (41, 0.01, 5)
    assert (position.position, position.is_moving) == (1.5, True)
    assert (reading.channel, reading.value, reading.units) == ("meter", 0.5, "W")
    assert (state.fields, state.is_snapshot) == ({"moving": False}, True)
    assert (observable.channel, observable.value) == ("stage.position", 1.5)
    assert (change.old, change.new) == ("1", "2")
    assert captured == 12


def batch(positions: list[float], first: int) -> pb.RunBatch:
    record = pa.record_batch({"stage": pa.array(positions), "n": pa.array(range(len(positions)))})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, record.schema) as writer:
        writer.write_batch(record)
    return pb.RunBatch(sink.getvalue().to_pybytes(), first, len(positions))


def test_a_run_is_read_back_as_columns() -> None:
    batches = [batch([0.0, 0.5], 0), batch([1.0], 2)]
    with FakeDaemon({"ReadRun": lambda r: batches}) as daemon:
        table = ask(daemon, lambda c: c.runs.columns("r1", columns=["stage", "n"]))
        assert daemon.last("ReadRun").columns == ["stage", "n"]
    np.testing.assert_array_equal(table["stage"], [0.0, 0.5, 1.0])


def test_a_run_without_data_is_not_found() -> None:
    with (
        FakeDaemon({"ReadRun": lambda r: []}) as daemon,
        pytest.raises(NotFoundError, match="run r1 holds nothing in its stream 'primary'"),
    ):
        ask(daemon, lambda c: c.runs.columns("r1"))


def test_runs_are_listed_and_described() -> None:
    summary = RunSummary("r1", "knife_edge", 5, 9, RunOutcome.COMPLETED, points=3, path="/d/r1.h5")
    start = RunStart("r1", "knife_edge", 5, parameters={"points": 3}, host="bench")
    stream = RecordedStream("primary", 3, (Column("stage", "mm", "<f8", role="positioner"),))
    answers = {
        "ListRuns": lambda r: pb.ListRunsResponse([run_to_wire(summary)], 12),
        "GetRun": lambda r: run_detail_to_wire(summary, start, [stream]),
    }
    with FakeDaemon(answers) as daemon:
        page = ask(daemon, lambda c: c.runs.list(limit=1, name="knife*"))
        run = ask(daemon, lambda c: c.runs.get("knife_edge"))
    assert (page.runs, page.total) == ((summary,), 12)
    assert run.summary == summary
    assert run.streams == (stream,)
    assert run.start.parameters == {"points": 3}


def test_a_manual_run_is_started_recorded_and_stopped() -> None:
    summary = RunSummary("r1", "by hand", 5, 9, RunOutcome.STOPPED, by="ada")
    answers = {
        "StartRun": lambda r: pb.StartRunResponse("r1"),
        "RecordPoint": lambda r: pb.RecordPointResponse(0, {"stage": "1.5"}),
        "StopRun": lambda r: run_to_wire(summary),
    }
    with FakeDaemon(answers) as daemon:
        assert ask(daemon, lambda c: c.runs.start("by hand", {"sample": "x"})) == "r1"
        assert ask(daemon, lambda c: c.runs.record("r1", ["stage"])).values == {"stage": 1.5}
        assert ask(daemon, lambda c: c.runs.stop("r1")) == summary
        assert daemon.last("StartRun").metadata_json == {"sample": '"x"'}


def test_the_daemon_tells_about_itself() -> None:
    answer = pb.DaemonInfoResponse(
        "0.1.0", ["runs"], ["stage"], 60, host="bench", pid=7, confinement={"seccomp": "active"}
    )
    with FakeDaemon({"GetDaemonInfo": lambda r: answer}) as daemon:
        info = ask(daemon, lambda c: c.info())
    assert (info.version, info.devices, info.uptime_s, info.pid) == ("0.1.0", ("stage",), 60, 7)
    assert info.confinement == {"seccomp": "active"}


def test_every_exported_name_is_there_and_the_import_is_light() -> None:
    import subprocess
    import sys

    code = (
        "import sys\n"
        "def loaded(*names): return set(names) & set(sys.modules)\n"
        "from daq.client import connect\n"
        "assert not loaded('numpy', 'grpclib', 'betterproto', 'asyncio', 'ssl', 'daq.core')\n"
        "import daq.client as c\n"
        "[getattr(c, name) for name in c.__all__]\n"
        "heavy = loaded('trio', 'h5py', 'pandas', 'xarray', 'pyarrow', 'matplotlib', 'scipy',\n"
        "               'rich', 'IPython', 'bluesky', 'daq.api', 'daq.storage', 'daq.drivers')\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
