"""A lost sandbox, a script that hangs in C, limits: seen through the real wire."""

from __future__ import annotations

import os
import signal
import time

from .daemon_process import DaemonProcess

PATIENCE_S = 20
METER = 'driver = "simulated.power_meter"'
MOVES = """
stage = device("stage")
with open_run("lost"):
    while True:
        stage.move_abs(9.0)
        record(stage)
        stage.move_abs(-9.0)
"""


def started(grpc_client, source: str, line: int) -> str:
    control, pb = grpc_client.control, grpc_client.pb
    upload = control.UploadScript(pb.UploadRequest(script_content=source, name="long.py"))
    assert upload.success, upload.error_message
    execution = control.StartScript(pb.StartRequest(script_id=upload.script_id)).execution_id
    wait_for(lambda: status_of(grpc_client, execution).line >= line)
    return execution


def status_of(grpc_client, execution: str):
    return grpc_client.control.GetScriptStatus(grpc_client.pb.StatusRequest(execution_id=execution))


def position(grpc_client) -> float:
    time.sleep(0.1)  # of a motion at several mm/s
    request = grpc_client.pb.DeviceStateRequest(device_id="stage")
    return grpc_client.hardware.GetDeviceState(request).position


def counters(grpc_client):
    return grpc_client.control.GetDaemonInfo(grpc_client.pb.DaemonInfoRequest()).counters


def wait_for(condition) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_lost_zygote_ends_its_execution_safely_and_the_next_one_runs(grpc_client):
    control, pb = grpc_client.control, grpc_client.pb
    for losses in (1, 2):
        execution = started(grpc_client, MOVES, line=5)
        before = counters(grpc_client)
        os.kill(int(before["sandbox.zygote_pid"]), signal.SIGKILL)
        wait_for(lambda execution=execution: status_of(grpc_client, execution).end_time_ns)
        status = status_of(grpc_client, execution)
        assert (status.state, status.error_message) == ("KILLED", "the sandbox was lost")
        # Hardware: it stands, somewhere on its way, and has not gone on to where it was sent.
        wait_for(lambda: abs(position(grpc_client) - position(grpc_client)) < 0.01)
        assert abs(position(grpc_client)) < 8.0
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
    execution = started(grpc_client, source, line=4)
    text = "return sum(range(10**12))"
    wait_for(lambda: status_of(grpc_client, execution).source_line == text)
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


def test_a_start_can_lower_the_limits_and_the_end_names_the_one_that_was_reached(daemon, script):
    path = script("while True:\n    record('power_meter')\n", "many.py")
    done = daemon.client("run", path, "--limit", "max_records=5", "--limit", "memory_mb=100")
    assert done.returncode == 3
    assert "the limit of 5 events was reached (max_records)" in done.stdout
    (run,) = daemon.json("runs", "list")["runs"]
    assert (run["outcome"], run["points"]) == ("killed", 5)
    refused = daemon.client("run", path, "--limit", "memory_mb=100000")
    assert refused.returncode != 0
    assert "can be lowered for one start, not raised: 100000 is more than 512" in refused.stderr
    unknown = daemon.client("run", path, "--limit", "records=1")
    assert "there are memory_mb, max_duration_s" in unknown.stderr


LIMITS = {
    "memory_mb": (64, "x = [0] * 10**8", "more than its 64 MB of memory"),
    "max_duration_s": (1.5, "while True: pass", "1.5 s of run time"),
    "max_output_mb": (0.01, "while True: print('x' * 1000)", "0.01 MB of output"),
    "max_output_lines": (50, "while True: print()", "50 lines of output"),
    "max_records": (5, "while True: record('power_meter')", "5 events"),
    "max_runs": (3, "while True:\n    with open_run('x'): pass", "3 runs"),
}


def test_every_limit_says_which_one_it_is_and_how_to_raise_it(tmp_path, script):
    config = tmp_path / "bench.toml"
    settings = "\n".join(f"{name} = {value}" for name, (value, _, _) in LIMITS.items())
    config.write_text(f"[scripts]\n{settings}\n[devices.power_meter]\n{METER}\n")
    with DaemonProcess(tmp_path / "data", "--config", config) as daemon:
        for name, (_, source, reached) in LIMITS.items():
            done = daemon.client("run", script(f"{source}\n", f"{name}.py"))
            shown = " ".join((done.stdout + done.stderr).split())
            assert done.returncode in (1, 3)
            assert reached in shown
            advice = f"({name}); to allow more, raise {name} in [scripts] of the configuration"
            assert advice in shown
