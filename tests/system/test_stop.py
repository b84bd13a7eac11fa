"""Stopping whatever a script does, through the real wire, while the daemon stays answerable."""

import time

import grpc
import pytest

PATIENCE_S = 20
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


@pytest.fixture
def daemon(shared_daemon):
    return shared_daemon


def started(grpc_client, source, line=1):
    control, pb = grpc_client.control, grpc_client.pb
    upload = control.UploadScript(pb.UploadRequest(script_content=source, name="hostile.py"))
    assert upload.success, upload.error_message
    execution = control.StartScript(pb.StartRequest(script_id=upload.script_id)).execution_id
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        status = control.GetScriptStatus(pb.StatusRequest(execution_id=execution))
        if status.state == "RUNNING" and status.line >= line:
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


CLEANS_UP = """
stage = device('stage')
try:
    with open_run('stopped twice'):
        while True:
            stage.move_abs(1.0)
            record(stage)
            stage.move_abs(-1.0)
finally:
    stage.move_abs(0.0)
"""
GENTLY, AT_ONCE = False, True


def test_two_clients_that_stop_at_the_same_moment_hear_of_the_same_end(grpc_client):
    control, pb = grpc_client.control, grpc_client.pb
    for orders in ((GENTLY, GENTLY), (GENTLY, AT_ONCE), (AT_ONCE, AT_ONCE)):
        execution = started(grpc_client, CLEANS_UP, line=6)
        answers = [
            control.StopScript.future(
                pb.StopRequest(execution_id=execution, force=force, user=user, reason="enough")
            )
            for force, user in zip(orders, ("ada", "bob"), strict=True)
        ]
        first, second = (answer.result(PATIENCE_S) for answer in answers)
        assert (first.state, first.message) == (second.state, second.message)
        assert list(first.devices) == list(second.devices)
        assert [(device.device_id, device.outcome) for device in first.devices] != []
        run = grpc_client.runs.ListRuns(grpc_client.runs_pb.ListRunsRequest()).runs[0]
        if AT_ONCE in orders:
            # Whoever's order came first is named, in both answers and on record.
            assert (first.state, run.outcome) == ("KILLED", "killed")
            assert first.message.startswith(f"force stop by {run.by}: enough (at line ")
            assert run.by in [
                user for force, user in zip(orders, ("ada", "bob"), strict=True) if force
            ]
        else:
            assert (first.state, run.outcome) == ("STOPPED", "stopped")
            assert first.message == f"stop by {run.by}: enough"
        assert run.reason == first.message


def test_a_second_stop_waits_for_the_cleanup_of_the_first_and_a_third_comes_too_late(grpc_client):
    control, pb = grpc_client.control, grpc_client.pb
    source = "try:\n    sleep(1000)\nfinally:\n    sleep(0.5)\n    print(1)\n"
    execution = started(grpc_client, source)
    first = control.StopScript.future(pb.StopRequest(execution_id=execution, user="ada"))
    wait_for_state(grpc_client, execution, "STOPPING")
    second = control.StopScript(pb.StopRequest(execution_id=execution, user="bob", grace_s=100.0))
    assert second.state == "STOPPED"
    assert "stop by ada" in second.message
    assert first.result(PATIENCE_S).message == "stop by ada"
    third = control.StopScript(pb.StopRequest(execution_id=execution, force=True))
    assert (third.state, third.message) == ("STOPPED", "had already ended: STOPPED (stop by ada)")
    assert list(third.devices) == []


def test_force_during_a_graceful_stop_ends_its_cleanup(grpc_client):
    control, pb = grpc_client.control, grpc_client.pb
    source = "try:\n    sleep(1000)\nfinally:\n    sleep(1000)\n"
    execution = started(grpc_client, source)
    stop = pb.StopRequest(execution_id=execution, user="ada", grace_s=100.0)
    graceful = control.StopScript.future(stop)
    wait_for(lambda: status_of(grpc_client, execution).line == 4)
    force = pb.StopRequest(execution_id=execution, user="bob", reason="fire", force=True)
    answer = control.StopScript(force)
    assert (answer.state, answer.message) == ("KILLED", "force stop by bob: fire (at line 4)")
    heard = graceful.result(PATIENCE_S)
    assert (heard.state, heard.message, heard.escalated) == (answer.state, answer.message, False)


def test_a_stop_ends_a_pause(grpc_client):
    control, pb = grpc_client.control, grpc_client.pb
    for force in (GENTLY, AT_ONCE):
        execution = started(grpc_client, "while True:\n    sleep(0.01)\n")
        control.PauseScript(pb.PauseRequest(execution_id=execution))
        wait_for_state(grpc_client, execution, "PAUSED")
        answer = control.StopScript(pb.StopRequest(execution_id=execution, force=force))
        assert answer.state == ("KILLED" if force else "STOPPED")
        assert answer.line > 0
        with pytest.raises(grpc.RpcError, match=f"is {answer.state}, it does not run"):
            control.ResumeScript(pb.ResumeRequest(execution_id=execution))


def test_what_waits_is_cancelled_and_what_runs_goes_on(grpc_client):
    control, pb = grpc_client.control, grpc_client.pb
    for force in (GENTLY, AT_ONCE):
        running = started(grpc_client, "sleep(1000)\n")
        script = control.ListScripts(pb.ListScriptsRequest()).scripts[0].script_id
        waiting = control.StartScript(pb.StartRequest(script_id=script)).execution_id
        stop = pb.StopRequest(execution_id=waiting, force=force, user="ada", reason="not needed")
        answer = control.StopScript(stop)
        word = "force stop" if force else "stop"
        assert (answer.state, list(answer.devices)) == ("STOPPED", [])
        assert answer.message == f"cancelled before it started ({word} by ada: not needed)"
        assert status_of(grpc_client, running).state == "RUNNING"
        assert control.StopScript(stop).message.startswith("had already ended: STOPPED (cancelled")
        control.StopScript(pb.StopRequest(execution_id=running, force=True))


def status_of(grpc_client, execution):
    return grpc_client.control.GetScriptStatus(grpc_client.pb.StatusRequest(execution_id=execution))


def wait_for_state(grpc_client, execution, state):
    wait_for(lambda: status_of(grpc_client, execution).state == state)


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


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
