"""A stranger's gRPC client, made from `proto/` alone, does the whole job."""

import threading
import time

import grpc
import numpy as np
import pyarrow as pa
import pytest

KNIFE_EDGE = '''
"""Cuts the beam."""

def main(points: int, start: float = -1.0, stop: float = 1.0):
    stage, meter = device("stage"), device("power_meter")
    with open_run("edge", sample="razor"):
        for x in linspace(start, stop, points):
            stage.move_abs(x)
            record(stage, meter)
    print("done")
'''


@pytest.fixture
def daemon(shared_daemon):
    return shared_daemon


def code_of(call):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


def test_upload_start_watch_and_read_back(grpc_client):
    control, pb = grpc_client.control, grpc_client.pb
    upload = control.UploadScript(
        pb.UploadRequest(script_content=KNIFE_EDGE, name="edge.py", metadata={"owner": "ada"})
    )
    assert upload.success
    assert upload.description == "Cuts the beam."
    assert [(p.name, p.annotation, p.required, p.default_json) for p in upload.parameters] == [
        ("points", "int", True, ""),
        ("start", "float", False, "-1.0"),
        ("stop", "float", False, "1.0"),
    ]
    execution = control.StartScript(
        pb.StartRequest(script_id=upload.script_id, parameters={"points": "11"}, user="ada")
    ).execution_id

    updates = list(
        control.WatchExecution(pb.WatchRequest(execution_id=execution, include_output=True))
    )
    progress = [u.status.progress for u in updates if u.status.HasField("progress")]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    final = updates[-1].status
    assert (final.state, final.user, final.progress_percent) == ("COMPLETED", "ada", 100)
    assert [line.text for update in updates for line in update.output] == ["done"]
    states = [t.state for t in final.transitions]
    assert states == ["PENDING", "RUNNING", "COMPLETED"]

    runs, runs_pb = grpc_client.runs, grpc_client.runs_pb
    (run_id,) = final.run_ids
    detail = runs.GetRun(runs_pb.GetRunRequest(run_id=run_id))
    assert (detail.info.name, detail.info.outcome, detail.info.points) == ("edge", "completed", 11)
    assert detail.info.metadata_json["sample"] == '"razor"'
    assert detail.parameters_json["points"] == "11"
    assert detail.script_source == KNIFE_EDGE
    columns = {c.name: (c.units, c.role) for c in detail.streams[0].columns}
    assert columns == {"stage": ("mm", "positioner"), "power_meter": ("W", "detector")}
    batches = [
        pa.ipc.open_stream(batch.ipc).read_all()
        for batch in runs.ReadRun(runs_pb.ReadRunRequest(run_id=run_id))
    ]
    table = pa.concat_tables(batches)
    assert np.allclose(table["stage"].to_numpy(), np.linspace(-1, 1, 11), atol=0.02)
    assert table["time"].type == pa.timestamp("ns", "UTC")


def test_the_same_upload_is_kept_once_and_listed(grpc_client):
    control, pb = grpc_client.control, grpc_client.pb
    request = pb.UploadRequest(script_content="print(1)", name="one.py")
    assert control.UploadScript(request).script_id == control.UploadScript(request).script_id
    names = [s.name for s in control.ListScripts(pb.ListScriptsRequest()).scripts]
    assert names.count("one.py") == 1


def test_every_violation_of_a_script_is_reported_at_once(grpc_client):
    control, pb = grpc_client.control, grpc_client.pb
    source = "import os\n\nx = ().__class__\nopen('/etc/passwd')._y\n"
    answer = control.UploadScript(pb.UploadRequest(script_content=source, name="evil.py"))
    assert not answer.success
    assert [d.line for d in answer.diagnostics][:3] == [1, 3, 4]
    assert 'File "evil.py", line 3' in answer.error_message
    assert "^" in answer.error_message


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def broken(:\n", "line 1"),
        ("x = 1\n" * 200_000, "1200000 bytes, more than 262144"),
        ("\x00\x01\x02binary", "line 1"),
        ("async def main(): pass", "synchronous"),
    ],
)
def test_bad_uploads_are_explained(grpc_client, source, expected):
    control, pb = grpc_client.control, grpc_client.pb
    answer = control.ValidateScript(pb.UploadRequest(script_content=source, name="bad.py"))
    assert not answer.accepted
    text = " ".join(f"line {d.line} {d.message}" for d in answer.diagnostics)
    assert expected in text


def test_wrong_parameters_are_refused_with_the_signature(grpc_client):
    control, pb = grpc_client.control, grpc_client.pb
    script = control.UploadScript(pb.UploadRequest(script_content=KNIFE_EDGE, name="edge.py"))
    error = code_of(
        lambda: control.StartScript(
            pb.StartRequest(script_id=script.script_id, parameters={"pionts": "3"})
        )
    )
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "'pionts'" in error.details()
    trailers = dict(error.trailing_metadata())
    assert trailers["x-daq-error-kind"] == "parameter"


def test_an_error_in_a_script_comes_back_with_its_own_line(grpc_client):
    control, pb = grpc_client.control, grpc_client.pb
    source = "def main():\n    stage = device('stage')\n    stage.move_abs(99)\n"
    script = control.UploadScript(pb.UploadRequest(script_content=source, name="far.py"))
    execution = control.StartScript(pb.StartRequest(script_id=script.script_id)).execution_id
    final = list(control.WatchExecution(pb.WatchRequest(execution_id=execution)))[-1].status
    assert final.state == "ERROR"
    assert "99 mm is outside the limits [-10, 10] mm" in final.error_message
    assert 'File "far.py", line 3, in main' in final.traceback
    assert "stage.move_abs(99)" in final.traceback
    assert final.line == 3


@pytest.mark.parametrize(
    ("call", "code", "part"),
    [
        (
            lambda c: c.control.GetScriptStatus(c.pb.StatusRequest(execution_id="nope")),
            grpc.StatusCode.NOT_FOUND,
            "nope",
        ),
        (
            lambda c: c.control.StartScript(c.pb.StartRequest(script_id="nope")),
            grpc.StatusCode.NOT_FOUND,
            "nope",
        ),
        (
            lambda c: c.control.StopScript(c.pb.StopRequest()),
            grpc.StatusCode.NOT_FOUND,
            "no execution is running",
        ),
        (
            lambda c: c.hardware.ReadValue(c.pb.ReadValueRequest(device_id="powermeter")),
            grpc.StatusCode.NOT_FOUND,
            "power_meter",
        ),
        (
            lambda c: c.hardware.MoveAbsolute(
                c.pb.MoveRequest(device_id="stage", value=11.0, wait_for_completion=True)
            ),
            grpc.StatusCode.OUT_OF_RANGE,
            "11 mm is outside the limits [-10, 10] mm",
        ),
        (
            lambda c: c.hardware.MoveAbsolute(
                c.pb.MoveRequest(device_id="stage", value=float("nan"), wait_for_completion=True)
            ),
            None,
            "nan",
        ),
        (
            lambda c: c.hardware.MoveAbsolute(
                c.pb.MoveRequest(device_id="camera", value=1.0, wait_for_completion=True)
            ),
            None,
            "camera",
        ),
        (
            lambda c: c.runs.GetRun(c.runs_pb.GetRunRequest(run_id="nope")),
            grpc.StatusCode.NOT_FOUND,
            "nope",
        ),
    ],
)
def test_errors_have_a_proper_status_and_a_clear_message(grpc_client, call, code, part):
    error = code_of(lambda: call(grpc_client))
    assert error.code() not in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)
    if code is not None:
        assert error.code() is code
    assert part in error.details()


def test_two_commands_at_once_for_one_device_are_not_mixed(grpc_client):
    hardware, pb = grpc_client.hardware, grpc_client.pb
    first = hardware.MoveAbsolute.future(
        pb.MoveRequest(device_id="stage", value=9.0, wait_for_completion=True)
    )
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if hardware.GetDeviceState(pb.DeviceStateRequest(device_id="stage")).activity:
            break
    error = code_of(
        lambda: hardware.MoveAbsolute(
            pb.MoveRequest(device_id="stage", value=-9.0, wait_for_completion=True)
        )
    )
    assert error.code() is grpc.StatusCode.ABORTED
    assert "move_abs(9.0)" in error.details()
    assert first.result().final_position == pytest.approx(9.0, abs=0.05)


def test_every_reading_and_position_reaches_a_subscriber(grpc_client):
    control, hardware, pb = grpc_client.control, grpc_client.hardware, grpc_client.pb
    stream = control.StreamMeasurements(pb.MeasurementRequest(channels=["power_*", "stage"]))
    received = []

    def collect():
        try:
            received.extend(stream)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.CANCELLED  # noqa: PT017

    reader = threading.Thread(target=collect)
    reader.start()
    deadline = time.monotonic() + 10
    while not received and time.monotonic() < deadline:  # until the subscription is there
        hardware.ReadValue(pb.ReadValueRequest(device_id="power_meter"))
    begin = max(point.sequence for point in list(received))
    for _ in range(20):
        hardware.ReadValue(pb.ReadValueRequest(device_id="power_meter"))
    hardware.MoveAbsolute(pb.MoveRequest(device_id="stage", value=1.0, wait_for_completion=True))
    hardware.ReadValue(pb.ReadValueRequest(device_id="laser"))
    time.sleep(0.5)
    stream.cancel()
    reader.join(10)
    powers = [p for p in received if p.channel == "power_meter" and p.sequence > begin]
    numbers = [point.sequence for point in powers]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(powers) >= 20
    assert {point.units for point in powers} == {"W"}
    assert {point.channel for point in received} == {"power_meter", "stage"}
    positions = [p for p in received if p.channel == "stage"]
    assert positions[-1].value == pytest.approx(1.0, abs=0.02)
    assert received[-1].dropped == 0


def test_frames_arrive_whole(grpc_client):
    hardware, pb = grpc_client.hardware, grpc_client.pb
    frames = hardware.StreamFrames(pb.StreamFramesRequest(device_id="camera", max_fps=20))
    first, second = next(frames), next(frames)
    frames.cancel()
    assert (first.width, first.height) == (640, 480)
    image = np.frombuffer(first.data, "<u2").reshape(480, 640)
    assert image.max() > 10 * np.median(image)
    assert second.frame_number > first.frame_number


def test_a_client_that_vanishes_in_the_middle_of_a_stream_harms_nobody(daemon, grpc_client, stubs):
    with grpc.insecure_channel(daemon.address) as doomed:
        stub = stubs.daq_pb2_grpc.HardwareServiceStub(doomed)
        next(stub.StreamFrames(stubs.daq_pb2.StreamFramesRequest(device_id="camera")))
    info = grpc_client.control.GetDaemonInfo(grpc_client.pb.DaemonInfoRequest())
    assert "camera" in info.available_hardware
    assert "Traceback" not in daemon.log


def test_a_viewer_that_never_reads_does_not_slow_a_scan(grpc_client):
    control, hardware, pb = grpc_client.control, grpc_client.hardware, grpc_client.pb
    stalled = hardware.StreamFrames(pb.StreamFramesRequest(device_id="camera"))
    source = "for i in range(200):\n    record(device('power_meter'))\n"
    script = control.UploadScript(pb.UploadRequest(script_content=source, name="r.py"))
    execution = control.StartScript(pb.StartRequest(script_id=script.script_id)).execution_id
    final = list(control.WatchExecution(pb.WatchRequest(execution_id=execution)))[-1].status
    assert final.state == "COMPLETED"
    stalled.cancel()


def test_a_manual_run_is_opened_recorded_and_closed(grpc_client):
    runs, pb = grpc_client.runs, grpc_client.runs_pb
    run = runs.StartRun(pb.StartRunRequest(name="by hand", metadata_json={"operator": '"ada"'}))
    for _ in range(3):
        answer = runs.RecordPoint(
            pb.RecordPointRequest(
                run_id=run.run_id,
                device_ids=["stage", "power_meter"],
                values_json={"note": '"fine"'},
            )
        )
    assert set(answer.values_json) == {"stage", "power_meter", "note"}
    assert answer.sequence == 2
    info = runs.StopRun(pb.StopRunRequest(reason="lunch", user="ada"))
    assert (info.outcome, info.points, info.by) == ("completed", 3, "ada")
    error = code_of(lambda: runs.StopRun(pb.StopRunRequest()))
    assert error.code() is grpc.StatusCode.NOT_FOUND


def test_the_daemon_says_what_it_is(grpc_client):
    info = grpc_client.control.GetDaemonInfo(grpc_client.pb.DaemonInfoRequest())
    assert info.version
    assert set(info.available_hardware) == {
        "camera",
        "digitizer",
        "laser",
        "power_meter",
        "rotator",
        "stage",
    }
    assert info.confinement["seccomp"] == "active"
