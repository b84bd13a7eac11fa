"""The process that makes all others is killed in the middle of a run."""

from __future__ import annotations

import os
import signal
import time

PATIENCE_S = 20


def started(grpc_client, source: str) -> str:
    control, pb = grpc_client.control, grpc_client.pb
    upload = control.UploadScript(pb.UploadRequest(script_content=source, name="long.py"))
    assert upload.success, upload.error_message
    execution = control.StartScript(pb.StartRequest(script_id=upload.script_id)).execution_id
    wait_for(lambda: status_of(grpc_client, execution).line > 2)
    return execution


def status_of(grpc_client, execution: str):
    return grpc_client.control.GetScriptStatus(grpc_client.pb.StatusRequest(execution_id=execution))


def counters(grpc_client):
    return grpc_client.control.GetDaemonInfo(grpc_client.pb.DaemonInfoRequest()).counters


def wait_for(condition) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_lost_zygote_ends_its_execution_safely_and_the_next_one_runs(grpc_client):
    control, pb = grpc_client.control, grpc_client.pb
    source = "stage = device('stage')\nwith open_run('lost'):\n    while True:\n        stage.move_abs(9.0)\n        record(stage)\n        stage.move_abs(-9.0)\n"
    for losses in (1, 2):
        execution = started(grpc_client, source)
        before = counters(grpc_client)
        os.kill(int(before["sandbox.zygote_pid"]), signal.SIGKILL)
        wait_for(lambda execution=execution: status_of(grpc_client, execution).end_time_ns)
        status = status_of(grpc_client, execution)
        assert (status.state, status.error_message) == ("KILLED", "the sandbox was lost")
        # Hardware: it stands, somewhere on its way.
        stage = grpc_client.hardware.GetDeviceState(pb.DeviceStateRequest(device_id="stage"))
        assert not getattr(stage, "is_moving", False)
        # Record: the run is closed, as killed.
        runs = grpc_client.runs.ListRuns(grpc_client.runs_pb.ListRunsRequest()).runs
        assert [(run.name, run.outcome) for run in runs] == [("lost", "killed")] * losses
        # And on it goes: the next script waits for the new zygote by itself.
        upload = control.UploadScript(
            pb.UploadRequest(script_content=f"print({losses})\n", name=f"next{losses}.py")
        )
        after = control.StartScript(pb.StartRequest(script_id=upload.script_id)).execution_id
        wait_for(lambda after=after: status_of(grpc_client, after).end_time_ns)
        assert status_of(grpc_client, after).state == "COMPLETED"
        now = counters(grpc_client)
        assert now["sandbox.restarts"] == losses
        assert now["sandbox.zygote_pid"] not in (0, before["sandbox.zygote_pid"])


def test_status_names_the_line_inside_of_a_c_call_while_it_runs_and_while_it_stops(grpc_client):
    control, pb = grpc_client.control, grpc_client.pb
    source = (
        "def busy():\n    x = 1\n    y = 2\n    return sum(range(10**12))\n\n"
        "def main():\n    try:\n        busy()\n    finally:\n        sum(range(10**12))\n"
    )
    execution = started(grpc_client, source)
    wait_for(lambda: status_of(grpc_client, execution).line == 4)
    assert status_of(grpc_client, execution).source_line == "return sum(range(10**12))"
    updates = control.WatchExecution(
        pb.WatchRequest(execution_id=execution, max_rate_hz=20), timeout=PATIENCE_S
    )
    assert any(update.status.line == 4 for update in updates)
    updates.cancel()
    answer = control.StopScript(pb.StopRequest(execution_id=execution, grace_s=0.2))
    assert (answer.state, answer.escalated, answer.line) == ("KILLED", True, 4)
    assert "at line 4" in answer.message


def test_every_layer_of_confinement_is_told(grpc_client):
    info = grpc_client.control.GetDaemonInfo(grpc_client.pb.DaemonInfoRequest())
    assert set(info.confinement) == {
        "memory_limit",
        "resource_limits",
        "unprivileged_user",
        "death_with_parent",
        "not_dumpable",
        "no_new_privileges",
        "landlock",
        "seccomp",
    }
    assert all(info.confinement.values())
    assert info.confinement["seccomp"] == "active"
