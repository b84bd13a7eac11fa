from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from daq.cli.main import cli
from daq.core import (
    Capability,
    Category,
    Channel,
    Column,
    DeviceDescription,
    DeviceParameter,
    DeviceSnapshot,
    DeviceState,
    DeviceStop,
    ExecutionRecord,
    ExecutionState,
    ExecutionView,
    LimitError,
    OutputLine,
    RunOutcome,
    RunStart,
    RunSummary,
    StopOutcome,
    StopReport,
    Transition,
    standard,
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
from tests.unit.cli.asking import ask
from tests.unit.client.fake_daemon import FakeDaemon

S = ExecutionState


def view(*states: ExecutionState, **fields: Any) -> ExecutionView:
    transitions = tuple(
        Transition(state, 1_700_000_000_000_000_000 + index) for index, state in enumerate(states)
    )
    record = ExecutionRecord(
        "e1",
        "s1",
        "scan",
        {"points": "21"},
        "ada",
        transitions,
        line=12,
        progress=fields.pop("progress", 0.45),
        message=fields.pop("message", ""),
        traceback=fields.pop("traceback", ""),
        run_ids=fields.pop("run_ids", ()),
    )
    return ExecutionView(record, 3, source_line="    stage.move_abs(x)", elapsed_s=4.2, **fields)


def updates(*views: ExecutionView, output: Sequence[OutputLine] = ()) -> list[pb.ExecutionUpdate]:
    first, *rest = views
    return [
        pb.ExecutionUpdate(status_to_wire(first), output_to_wire(output)),
        *(pb.ExecutionUpdate(status_to_wire(v)) for v in rest),
    ]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "scan.py"
    path.write_text("def main(points: int = 41): pass\n", encoding="utf-8")
    return path


def accept(request: pb.UploadRequest) -> pb.UploadResponse:
    return pb.UploadResponse(
        "s1", True, parameters=[pb.ScriptParameterInfo("points", "int", False, "41")]
    )


def test_an_upload_tells_the_id_and_the_parameters(script: Path) -> None:
    with FakeDaemon({"UploadScript": accept}) as daemon:
        result = ask(daemon, "upload", str(script), "--metadata", "sample=blade")
        request = daemon.last("UploadScript")
    assert result.output == "uploaded scan as s1\nmain(points: int = 41)\n"
    assert (request.name, request.metadata) == ("scan", {"sample": "blade"})


def test_a_refused_upload_shows_each_violation_with_its_caret(script: Path) -> None:
    violation = (
        '  File "scan", line 1, column 1\n    import os\n    ^^^^^^^^^\n'
        "IMPORT: os is not available to scripts"
    )
    answer = pb.UploadResponse(error_message=violation)
    with FakeDaemon({"UploadScript": lambda r: answer}) as daemon:
        result = ask(daemon, "upload", str(script))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == f"refused:\n{violation}\n"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.py"
    with FakeDaemon() as daemon:
        result = ask(daemon, "upload", str(missing))
    assert result.exit_code == 1
    assert result.stderr == f"error: {missing}: cannot be read: No such file or directory\n"


def test_start_prints_the_execution() -> None:
    waiting = status_to_wire(view(S.PENDING, queue_position=2))
    answers: dict[str, Any] = {"StartScript": lambda r: pb.StartResponse(True, "e1")}
    with FakeDaemon(answers) as daemon:
        # It was started, also where the question after its place in the queue fails.
        result = ask(daemon, "start", "scan", "--param", "points=21", "--param", "dwell=0.1")
        assert daemon.last("StartScript").parameters == {"points": "21", "dwell": "0.1"}
        assert result.output == "started e1\n"
        as_json = ask(daemon, "start", "scan", "--json")
        daemon.answers["GetScriptStatus"] = lambda r: waiting
        assert ask(daemon, "start", "scan").output == "queued, 2nd: e1\n"
    assert json.loads(as_json.output) == {"execution_id": "e1", "queue_position": 0}


def test_a_parameter_without_a_value_is_a_usage_error() -> None:
    with FakeDaemon() as daemon:
        result = ask(daemon, "start", "scan", "--param", "points")
    assert result.exit_code == 2
    assert "'points' is not KEY=VALUE" in result.stderr


def test_status_tells_where_the_script_stands() -> None:
    with FakeDaemon({"GetScriptStatus": lambda r: status_to_wire(view(S.PENDING, S.RUNNING))}) as d:
        lines = ask(d, "status").output.splitlines()
        document = json.loads(ask(d, "status", "--json", "e1").output)
        assert d.last("GetScriptStatus").execution_id == "e1"
    assert lines[0].split() == ["execution", "e1"]
    assert "state       RUNNING" in lines
    assert "progress    45 %" in lines
    assert "at          line 12: stage.move_abs(x)" in lines
    assert document["state"] == "RUNNING"
    assert document["execution_id"] == "e1"
    assert document["line"] == 12
    assert document["progress"] == 0.45


@pytest.mark.parametrize(
    ("state", "status"), [(S.COMPLETED, 0), (S.ERROR, 1), (S.STOPPED, 3), (S.KILLED, 3)]
)
def test_the_exit_status_of_a_watch_is_the_outcome(state: ExecutionState, status: int) -> None:
    answers = {
        "GetScriptStatus": lambda r: status_to_wire(view(S.RUNNING)),
        "WatchExecution": lambda r: updates(view(S.RUNNING), view(S.RUNNING, state)),
    }
    with FakeDaemon(answers) as daemon:
        result = ask(daemon, "watch")
    assert result.exit_code == status
    assert state.value in result.output


def test_a_piped_watch_prints_changes_output_and_the_verdict() -> None:
    line = OutputLine(1_700_000_000_000_000_000, "output", "at the edge", 3)
    summary = RunSummary(
        "r1", "scan", 5, 9, RunOutcome.COMPLETED, points=41, path="/d/r1.h5",
        other_points={"baseline": 2},
    )  # fmt: skip
    end = replace(view(S.RUNNING, S.COMPLETED, run_ids=("r1",)), result={"width": 0.5, "z": 1j})
    answers = {
        "GetScriptStatus": lambda r: status_to_wire(
            end if r.execution_id == "e2" else view(S.RUNNING)
        ),
        "WatchExecution": lambda r: updates(
            view(S.RUNNING),
            view(S.RUNNING),
            end,
            output=[line],
        ),
        "ListRuns": lambda r: pb.ListRunsResponse([run_to_wire(summary)], 1),
    }
    with FakeDaemon(answers) as daemon:
        result = ask(daemon, "watch", "e1")
        status = ask(daemon, "status", "e2")
        document = json.loads(ask(daemon, "status", "e2", "--json").output)
    returned = '{"width": 0.5, "z": {"re": 0.0, "im": 1.0}}'
    assert document["result"] == json.loads(returned)
    assert status.output.splitlines()[-1] == f"returned {returned}"
    lines = result.output.splitlines()
    assert lines[0].endswith("| at the edge")
    assert lines[1].endswith("RUNNING    45 % line 12: stage.move_abs(x)")
    assert lines[2].split()[1:] == ["COMPLETED", "45", "%", "line", "12:", "stage.move_abs(x)"]
    assert lines[3:] == [
        "scan e1 COMPLETED after 4.2 s", f"returned {returned}",
        "run r1: 41 points, baseline 2", "file /d/r1.h5",
    ]  # fmt: skip
    assert "\x1b" not in result.output


def test_a_json_watch_is_a_document_a_line() -> None:
    answers = {
        "GetScriptStatus": lambda r: status_to_wire(view(S.RUNNING)),
        "WatchExecution": lambda r: updates(view(S.RUNNING), view(S.RUNNING, S.STOPPED)),
    }
    with FakeDaemon(answers) as daemon:
        result = ask(daemon, "--json", "watch")
    documents = [json.loads(line) for line in result.output.splitlines()]
    assert [d["execution"]["state"] for d in documents] == ["RUNNING", "STOPPED", "STOPPED"]
    assert documents[-1]["runs"] == []
    assert result.exit_code == 3


def test_a_failed_script_shows_its_traceback(script: Path) -> None:
    traceback = (
        'Traceback (most recent call last):\n  File "scan.py", line 12, in main\n'
        "    stage.move_abs(x)\nLimitError: stage: position 12 mm is outside"
    )
    failed = view(S.RUNNING, S.ERROR, message="LimitError", traceback=traceback)
    answers = {
        "UploadScript": accept,
        "StartScript": lambda r: pb.StartResponse(True, "e1"),
        "WatchExecution": lambda r: updates(failed),
    }
    with FakeDaemon(answers) as daemon:
        result = ask(daemon, "run", str(script))
    assert result.exit_code == 1
    assert result.output.endswith(f"scan e1 ERROR after 4.2 s\n{traceback}\n")


def test_what_was_made_safe_is_told_and_nothing_that_merely_is_not_known() -> None:
    rows = (standard("shutter"), DeviceParameter("autoscale", "bool"), DeviceParameter("n", "int"))
    laser = DeviceDescription(
        "laser", "own", Category.LASER, frozenset(), Channel("laser", "W"), parameters=rows
    )
    snapshot = DeviceSnapshot("laser", DeviceState.READY, 1, 1, fields={"shutter": False})
    failed = view(S.RUNNING, S.ERROR, devices=(DeviceStop("laser", StopOutcome.STOPPED, 0.01),))
    answers = {
        "GetScriptStatus": lambda r: status_to_wire(failed),
        "WatchExecution": lambda r: updates(failed),
        "ListDevices": lambda r: pb.ListDevicesResponse([device_to_wire(laser, snapshot)]),
    }
    with FakeDaemon(answers) as daemon:
        told = ask(daemon, "watch", "e1").stderr.splitlines()
    assert told == ["laser: shutter is closed now; `daq client set laser shutter open`"]


def test_stop_shows_a_line_for_each_device() -> None:
    report = StopReport(
        "e1",
        S.STOPPED,
        "",
        0.25,
        (
            DeviceStop("stage", StopOutcome.STOPPED, 0.0123),
            DeviceStop("meter", StopOutcome.IDLE, 0.0001),
            DeviceStop("rotator", StopOutcome.UNREACHABLE, 1.0, "no answer in 1 s"),
        ),
        line=12,
        escalated=True,
    )
    with FakeDaemon({"StopScript": lambda r: stop_to_wire(report)}) as daemon:
        result = ask(daemon, "stop", "--grace", "2.5", "--reason", "lunch")
        request = daemon.last("StopScript")
        document = json.loads(ask(daemon, "stop", "--force", "--json").output)
        assert daemon.last("StopScript").force
    assert result.output == (
        "e1 is STOPPED at line 12, after 250 ms\n"
        "the graceful stop passed its deadline and became a force stop\n"
        "DEVICE   OUTCOME          TIME  MESSAGE\n"
        "stage    stopped       12.3 ms\n"
        "meter    already idle   100 µs\n"
        "rotator  unreachable       1 s  no answer in 1 s\n"
    )
    assert (request.execution_id, request.grace_s, request.reason) == ("", 2.5, "lunch")
    assert document["devices"][2]["outcome"] == "unreachable"
    assert result.exit_code == 0


def test_pause_and_resume_tell_the_state() -> None:
    answers = {
        "PauseScript": lambda r: pb.PauseResponse("e1", "PAUSED", "at line 3"),
        "ResumeScript": lambda r: pb.ResumeResponse("e1", "RUNNING"),
    }
    with FakeDaemon(answers) as daemon:
        assert ask(daemon, "pause").output == "e1 is PAUSED: at line 3\n"
        assert ask(daemon, "resume").output == "e1 is RUNNING\n"


def test_empty_lists_say_so() -> None:
    answers = {
        "ListScripts": lambda r: pb.ListScriptsResponse(),
        "ListExecutions": lambda r: pb.ListExecutionsResponse(),
        "ListRuns": lambda r: pb.ListRunsResponse(),
        "ListDevices": lambda r: pb.ListDevicesResponse(),
    }
    with FakeDaemon(answers) as daemon:
        assert ask(daemon, "scripts").output == (
            "no scripts; upload one with `daq client upload FILE`\n"
        )
        assert ask(daemon, "executions", "--state", "killed").output == "no executions\n"
        assert daemon.last("ListExecutions").state == "KILLED"
        assert ask(daemon, "runs", "list").output == "no runs\n"
        assert ask(daemon, "devices").output == "no devices are configured\n"
        assert json.loads(ask(daemon, "scripts", "--json").output) == []


STAGE = DeviceDescription(
    "stage",
    "simulated.stage",
    Category.STAGE,
    frozenset({Capability.MOVABLE}),
    Channel("stage", "mm"),
    units="mm",
)


def devices(request: object) -> pb.ListDevicesResponse:
    snapshot = DeviceSnapshot("stage", DeviceState.READY, 1, 1, fields={"position": 1.5})
    failures = [pb.RegistrationFailure("rotator", error="no such port")]
    return pb.ListDevicesResponse([device_to_wire(STAGE, snapshot)], failures)


def test_devices_are_a_table_with_the_failures() -> None:
    with FakeDaemon({"ListDevices": devices}) as daemon:
        result = ask(daemon, "devices")
        document = json.loads(ask(daemon, "devices", "--json").output)
    assert result.output.splitlines() == [
        "DEVICE   DRIVER           STATE   VALUE   OFFERS",
        (
            "stage    simulated.stage  ready   1.5 mm  "
            "move_abs, move_rel, home, position, wait_settled"
        ),
        "rotator                   failed          no such port",
    ]
    assert document["devices"][0]["snapshot"]["fields"] == {"position": 1.5}


def test_a_move_takes_a_negative_position_and_tells_the_readback() -> None:
    answers = {
        "MoveAbsolute": lambda r: pb.MoveResponse(True, final_position=-2.5004),
        "ListDevices": devices,
    }
    with FakeDaemon(answers) as daemon:
        result = ask(daemon, "move", "stage", "-2.5")
        assert daemon.last("MoveAbsolute").value == -2.5
        document = json.loads(ask(daemon, "move", "stage", "-2.5", "--json").output)
    assert result.output == "stage is at -2.5004 mm\n"
    assert document == {"device": "stage", "position": -2.5004, "units": "mm"}


def test_an_interrupted_move_says_when_nobody_knows_that_it_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def interrupted(_request: object) -> pb.MoveResponse:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)
        raise AssertionError

    async def silent(_request: object) -> pb.StopMotionResponse:
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr("daq.cli.client.devices.STOP_TIMEOUT", 0.2)
    answers = {"MoveAbsolute": interrupted, "StopMotion": silent, "ListDevices": devices}
    with FakeDaemon(answers) as daemon:
        result = ask(daemon, "move", "stage", "2")
    assert result.exit_code == 130
    assert result.stderr == "stage may still move: no answer within 0.2 s\n"


def test_an_error_of_the_daemon_is_one_message_on_stderr_with_its_advice() -> None:
    def refuse(request: object) -> None:
        raise LimitError.outside("stage", "position", 12.0, -10.0, 10.0, "mm")

    with FakeDaemon({"MoveAbsolute": refuse, "ListDevices": devices}) as daemon:
        result = ask(daemon, "move", "stage", "12")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        "error: stage: position 12 mm is outside the limits [-10, 10] mm; nothing was changed\n"
    )


def test_a_reading_is_shown_with_its_units() -> None:
    answer = pb.ReadValueResponse(True, value=0.00123, units="W", timestamp_ns=5)
    with FakeDaemon({"ReadValue": lambda r: answer}) as daemon:
        assert ask(daemon, "read", "power_meter").output == "power_meter 1.23 mW\n"
        document = json.loads(ask(daemon, "read", "power_meter", "--json").output)
    assert document == {"channel": "power_meter", "timestamp_ns": 5, "value": 0.00123, "units": "W"}


def test_parameters_are_listed_got_and_set() -> None:
    answers = {
        "ListParameters": lambda r: pb.ListParametersResponse(
            [
                pb.ParameterDescriptor(
                    "laser", "power", "Output", "float", "W", True, True, 0.0, 1.0
                ),
                pb.ParameterDescriptor("laser", "serial", "", "str", "", True),
            ]
        ),
        "GetParameter": lambda r: pb.ParameterValue("laser", r.parameter_name, "0.5", "W"),
        "SetParameter": lambda r: pb.SetParameterResponse(True, actual_value=r.value),
    }
    with FakeDaemon(answers) as daemon:
        assert ask(daemon, "get", "laser", "power").output == "0.5 W\n"
        assert ask(daemon, "get", "laser").output.splitlines() == [
            "PARAMETER  VALUE  UNITS  ACCEPTS       DESCRIPTION",
            "power        0.5  W      float [0, 1]  Output",
            "serial       0.5         read only",
        ]
        assert ask(daemon, "set", "laser", "power", "-0.25").output == "laser.power is -0.25 W\n"


def test_a_stream_is_a_line_a_value_and_tells_drops() -> None:
    points = [
        pb.DataPoint("stage", 1.5, 1_700_000_000_123_000_000, "mm"),
        pb.DataPoint("stage", 1.75, 1_700_000_000_223_000_000, "mm", dropped=3),
    ]
    with FakeDaemon({"StreamMeasurements": lambda r: points}) as daemon:
        result = ask(daemon, "stream", "--channels", "stage", "-c", "laser.*", "--rate", "10")
        request = daemon.last("StreamMeasurements")
        as_json = ask(daemon, "stream", "--json", "--count", "1")
    assert (request.channels, request.max_rate_hz) == (["stage", "laser.*"], 10)
    first, second = result.stdout.splitlines()
    assert first.split()[1:] == ["stage", "1.5", "mm"]
    assert first.partition(" ")[0].endswith(".123")
    assert second.split()[1:] == ["stage", "1.75", "mm"]
    assert result.stderr == "3 values were dropped\n"
    (line,) = as_json.output.splitlines()
    assert json.loads(line)["value"] == 1.5


def test_a_stream_of_means_tells_of_how_many() -> None:
    points = [pb.DataPoint("stage", 1.5, 1_700_000_000_123_000_000, "mm", averaged=12)]
    with FakeDaemon({"StreamMeasurements": lambda r: points}) as daemon:
        result = ask(daemon, "stream", "--rate", "10", "--average")
        request = daemon.last("StreamMeasurements")
        as_json = ask(daemon, "stream", "--json", "--rate", "10", "--average")
        refused = ask(daemon, "stream", "--average")
    assert request.average
    assert result.stdout.rstrip().endswith("stage             1.5 mm  mean of 12 samples")
    assert json.loads(as_json.output)["averaged"] == 12
    assert refused.exit_code == 2
    assert "--average needs --rate" in refused.stderr


SUMMARY = RunSummary(
    "r1",
    "scan",
    1_700_000_000_000_000_000,
    1_700_000_002_500_000_000,
    RunOutcome.COMPLETED,
    points=3,
)
PRIMARY = RecordedStream("primary", 3, (Column("stage", "mm", "<f8", role="positioner"),))


def test_runs_are_listed_and_shown() -> None:
    answers = {
        "ListRuns": lambda r: pb.ListRunsResponse([run_to_wire(SUMMARY)], 7),
        "GetRun": lambda r: run_detail_to_wire(SUMMARY, RunStart("r1", "scan", 5), [PRIMARY]),
    }
    with FakeDaemon(answers) as daemon:
        listed = ask(daemon, "runs", "list", "--limit", "1", "--outcome", "completed")
        request = daemon.last("ListRuns")
        shown = ask(daemon, "runs", "show", "r1").output
        document = json.loads(ask(daemon, "runs", "show", "--json").output)
    assert (request.limit, request.outcome) == (1, "completed")
    assert listed.stdout.splitlines()[1].split()[:4] == ["r1", "scan", "completed", "3"]
    assert "1 of 7 runs" in listed.stderr
    assert "duration  2.5 s" in shown
    assert shown.splitlines()[-1].split() == ["primary", "stage", "mm", "numbers", "positioner"]
    assert document["summary"]["outcome"] == "completed"


def test_the_catalogue_is_rebuilt_and_what_is_damaged_is_told() -> None:
    steps = [
        pb.RebuildProgress(20, 21, 3, ["/data/a.h5: the file cannot be read"]),
        pb.RebuildProgress(21, 21, 4),
    ]
    with FakeDaemon({"RebuildCatalogue": lambda r: steps}) as daemon:
        result = ask(daemon, "runs", "rebuild")
        document = json.loads(ask(daemon, "runs", "rebuild", "--json").output)
    assert result.stdout == "21 files, 4 runs were not listed\n"
    assert result.stderr == "/data/a.h5: the file cannot be read\n"
    assert document == {
        "files": 21, "added": 4, "problems": ["/data/a.h5: the file cannot be read"]
    }  # fmt: skip


def test_a_run_is_exported_to_a_file(tmp_path: Path) -> None:
    record = pa.record_batch({"stage": pa.array([0.0, 0.5])})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, record.schema) as writer:
        writer.write_batch(record)
    answers = {
        "GetRun": lambda r: run_detail_to_wire(SUMMARY, RunStart("r1", "scan", 5), [PRIMARY]),
        "ReadRun": lambda r: [pb.RunBatch(sink.getvalue().to_pybytes(), 0, 2)],
    }
    target = tmp_path / "scan.csv"
    with FakeDaemon(answers) as daemon:
        result = ask(daemon, "runs", "export", "r1", "--format", "csv", "--output", str(target))
        printed = ask(daemon, "runs", "export", "r1", "--output", "-")
    assert result.output == f"wrote {target}\n"
    assert target.read_text(encoding="utf-8") == printed.stdout == '"stage"\n0\n0.5\n'


def test_the_recorded_file_comes_from_the_daemon_wherever_that_is(tmp_path: Path) -> None:
    closed = RunSummary("r1", "scan", 5, 9, RunOutcome.COMPLETED, path="/far/r1.h5")
    running = RunSummary("r2", "scan", 5)

    def describe(request: pb.GetRunRequest) -> pb.RunDetail:
        summary = closed if request.run_id == "r1" else running
        return run_detail_to_wire(summary, RunStart(summary.run_id, "scan", 5, host="bench"), [])

    answers = {
        "GetRun": describe,
        "ReadRunFile": lambda r: [pb.FileChunk(b"HD", 3), pb.FileChunk(b"F", 3)],
    }
    target = tmp_path / "copy.h5"
    with FakeDaemon(answers) as daemon:
        export = ("runs", "export", "--format", "nexus", "--output", str(target))
        assert ask(daemon, *export, "r1").exit_code == 0
        assert target.read_bytes() == b"HDF"
        target.unlink()
        refused = ask(daemon, *export, "r2")
        printed = ask(daemon, *export[:-1], "-", "r1")
    assert refused.exit_code == 1
    assert "run r2 is still open" in refused.stderr
    assert list(tmp_path.iterdir()) == []
    assert printed.stdout == "HDF"


def test_info_tells_what_of_the_sandbox_is_not_active() -> None:
    answer = pb.DaemonInfoResponse(
        "0.1.0",
        host="bench",
        pid=7,
        confinement={"seccomp": "active", "landlock": "kernel too old"},
    )
    with FakeDaemon({"GetDaemonInfo": lambda r: answer}) as daemon:
        lines = ask(daemon, "info").output.splitlines()
    assert "sandbox     seccomp" in lines
    assert "not active  landlock: kernel too old" in lines


def test_no_daemon_is_one_message_with_advice() -> None:
    result = CliRunner().invoke(cli, ["client", "status", "--address", "127.0.0.1:1"])
    assert result.exit_code == 1
    assert result.stderr == (
        "error: no daemon answers on 127.0.0.1:1: Connection refused\n"
        "start one with `python -m daq serve`, or say where it is with --address or DAQ_ADDRESS\n"
    )


def test_the_last_word_on_options_is_that_of_the_command() -> None:
    with FakeDaemon({"ListScripts": lambda r: pb.ListScriptsResponse()}) as daemon:
        result = CliRunner().invoke(
            cli, ["client", "--address", "127.0.0.1:1", "scripts", "--address", daemon.address]
        )
    assert result.exit_code == 0


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_leaves_a_watched_execution_running_and_says_how_to_stop_it() -> None:
    async def endless(request: Any):
        yield pb.ExecutionUpdate(status_to_wire(view(S.RUNNING)))
        press_ctrl_c()
        await asyncio.sleep(60)

    answers = {
        "GetScriptStatus": lambda r: status_to_wire(view(S.RUNNING)),
        "WatchExecution": endless,
    }
    with FakeDaemon(answers) as daemon:
        result = ask(daemon, "watch")
        assert daemon.stream_ended.wait(5)
    assert result.exit_code == 130
    assert result.stderr == (
        "left; e1 goes on. Watch it with `daq client watch e1`, stop it with `daq client stop e1`\n"
    )
    assert "StopScript" not in [name for name, _ in daemon.requests]


def test_ctrl_c_stops_a_move() -> None:
    async def endless(request: Any) -> pb.MoveResponse:
        press_ctrl_c()
        await asyncio.sleep(60)
        raise AssertionError

    answers = {
        "MoveAbsolute": endless,
        "StopMotion": lambda r: pb.StopMotionResponse(True, outcome="stopped"),
        "ListDevices": devices,
    }
    with FakeDaemon(answers) as daemon:
        result = ask(daemon, "move", "stage", "3")
        assert daemon.last("StopMotion").device_id == "stage"
    assert result.exit_code == 130
    assert result.stderr == "stage: stopped\n"


def test_a_run_is_plotted(tmp_path: Path) -> None:
    record = pa.record_batch({"stage": pa.array([0.0, 0.5]), "meter": pa.array([1.0, 2.0])})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, record.schema) as writer:
        writer.write_batch(record)
    columns = (Column("stage", "mm", "<f8", role="positioner"), Column("meter", "W", "<f8"))
    stream = RecordedStream("primary", 2, columns)
    answers = {
        "GetRun": lambda r: run_detail_to_wire(SUMMARY, RunStart("r1", "scan", 5), [stream]),
        "ReadRun": lambda r: [pb.RunBatch(sink.getvalue().to_pybytes(), 0, 2)],
    }
    target = tmp_path / "scan.png"
    with FakeDaemon(answers) as daemon:
        result = ask(daemon, "runs", "plot", "--output", str(target), "--json")
    assert json.loads(result.output) == {"path": str(target)}
    assert target.read_bytes().startswith(b"\x89PNG")


def test_of_many_columns_and_keys_the_first_are_shown_and_the_others_counted() -> None:
    many = RecordedStream("primary", 2, tuple(Column(f"c{i}", "", "<f8") for i in range(4000)))
    summary = replace(SUMMARY, metadata={f"k{i}": i for i in range(2000)})
    answers = {"GetRun": lambda r: run_detail_to_wire(summary, RunStart("r1", "scan", 5), [many])}
    with FakeDaemon(answers) as daemon:
        shown = ask(daemon, "runs", "show")
        everything = ask(daemon, "runs", "show", "--json")
    assert "c63" in shown.output
    assert "c64" not in shown.output
    assert "k23=23 and 1976 more" in " ".join(shown.output.split())
    assert "64 of 4000 columns" in shown.output + shown.stderr
    assert "c3999" in everything.output


def test_an_export_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    def lost(request: Any) -> Any:
        raise LimitError("the journal is damaged at event 3")

    answers = {
        "GetRun": lambda r: run_detail_to_wire(SUMMARY, RunStart("r1", "scan", 5), [PRIMARY]),
        "ReadRun": lost,
    }
    target = tmp_path / "scan.csv"
    with FakeDaemon(answers) as daemon:
        result = ask(daemon, "runs", "export", "--output", str(target))
    assert result.exit_code == 1
    assert result.stderr == "error: the journal is damaged at event 3\n"
    assert not target.exists()
