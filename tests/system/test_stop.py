"""Stopping whatever a script does, through the real wire, while the daemon stays answerable."""

import time

import pytest

HOSTILE = {
    "busy": "while True:\n    pass\n",
    "busy in C": "sum(range(10**12))\n",
    "swallows": "while True:\n    try:\n        sleep(0.01)\n    except Exception:\n        pass\n",
    "endless cleanup": "try:\n    sleep(1000)\nfinally:\n    while True:\n        pass\n",
    "sleeps": "sleep(1e6)\n",
    "floods": "while True:\n    print('x' * 1000)\n",
    "records": "while True:\n    record(device('power_meter'))\n",
    "moves": "device('stage').move_abs(9.0)\ndevice('stage').move_abs(-9.0)\n" * 50,
}


def started(grpc_client, source):
    control, pb = grpc_client.control, grpc_client.pb
    upload = control.UploadScript(pb.UploadRequest(script_content=source, name="hostile.py"))
    assert upload.success, upload.error_message
    execution = control.StartScript(pb.StartRequest(script_id=upload.script_id)).execution_id
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        status = control.GetScriptStatus(pb.StatusRequest(execution_id=execution))
        if status.state == "RUNNING" and status.line:
            return execution
    raise AssertionError(f"never ran: {status}")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_force_stop_ends_it_within_two_seconds(grpc_client, name):
    control, pb = grpc_client.control, grpc_client.pb
    execution = started(grpc_client, HOSTILE[name])
    began = time.monotonic()
    answer = control.StopScript(pb.StopRequest(execution_id=execution, force=True, user="ada"))
    assert time.monotonic() - began < 2.0
    assert (answer.stopped, answer.state) == (True, "KILLED")
    assert answer.line > 0
    assert {device.outcome for device in answer.devices} <= {"stopped", "idle"}
    status = control.GetScriptStatus(pb.StatusRequest(execution_id=execution))
    assert status.state == "KILLED"
    assert "ada" in status.error_message


@pytest.mark.parametrize("name", HOSTILE)
def test_a_graceful_stop_ends_it_within_its_grace(grpc_client, name):
    control, pb = grpc_client.control, grpc_client.pb
    execution = started(grpc_client, HOSTILE[name])
    began = time.monotonic()
    answer = control.StopScript(pb.StopRequest(execution_id=execution, grace_s=0.5))
    assert time.monotonic() - began < 2.5
    assert answer.state == ("KILLED" if answer.escalated else "STOPPED")
    assert answer.escalated == (name in ("busy in C", "endless cleanup"))


def test_the_daemon_answers_while_a_script_computes(grpc_client):
    control, pb = grpc_client.control, grpc_client.pb
    execution = started(grpc_client, HOSTILE["busy in C"])
    for _ in range(20):
        began = time.monotonic()
        control.GetDaemonInfo(pb.DaemonInfoRequest())
        assert time.monotonic() - began < 1.0
    status = control.GetScriptStatus(pb.StatusRequest(execution_id=execution))
    assert status.line == 1
    assert status.source_line == "sum(range(10**12))"
    control.StopScript(pb.StopRequest(force=True))


def test_stop_without_an_id_stops_the_one_that_runs(daemon, script):
    path = script("sleep(1000)\n", "nap.py")
    daemon.json("upload", path)
    execution = daemon.json("start", "nap")["execution_id"]
    time.sleep(0.5)
    done = daemon.client("stop")
    assert done.returncode == 0
    assert execution[:8] in done.stdout
    assert daemon.json("status")["state"] == "STOPPED"


def test_a_watcher_sees_the_stop_and_exits_with_three(daemon, script):
    path = script("sleep(1000)\n", "nap.py")
    watcher = daemon.client_process("run", path)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        listed = daemon.json("executions")
        if listed and listed[0]["state"] == "RUNNING":
            break
    assert daemon.client("stop", "--force").returncode == 0
    out, err = watcher.communicate(timeout=20)
    assert watcher.returncode == 3, out + err
    assert "KILLED" in out


def test_pause_and_resume_through_the_command_line(daemon, script):
    path = script("for i in range(1000):\n    sleep(0.01)\n", "loop.py")
    daemon.json("upload", path)
    daemon.json("start", "loop")
    time.sleep(0.3)
    assert daemon.json("pause")["state"] == "PAUSED"
    before = daemon.json("status")
    time.sleep(0.3)
    after = daemon.json("status")
    assert (after["state"], after["progress"]) == ("PAUSED", before["progress"])
    assert daemon.json("resume")["state"] == "RUNNING"
    daemon.json("stop")
