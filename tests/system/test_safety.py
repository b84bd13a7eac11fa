"""Claims, pauses and interlocks of the whole daemon, over the real wire."""

import time

import grpc
import h5py
import pytest

from .daemon_process import DaemonProcess

BENCH = """
[devices.stage]
driver = "simulated.stage"
velocity = 2.0
[devices.power_meter]
driver = "simulated.power_meter"
[devices.laser]
driver = "simulated.laser"
on_pause = "close_shutter"

[interlocks.too_far]
channel = "stage"
above = 5.0
action = "pause"
latched = true
refuse_moves = ["laser"]
"""
FORCE = (("x-daq-force", "1"),)


@pytest.fixture
def daemon(tmp_path):
    config = tmp_path / "bench.toml"
    config.write_text(BENCH)
    with DaemonProcess(tmp_path / "data", "--config", config) as process:
        yield process


def started(client, source):
    upload = client.control.UploadScript(
        client.pb.UploadRequest(script_content=source, name="scan.py")
    )
    assert upload.success, upload.error_message
    client.control.StartScript(client.pb.StartRequest(script_id=upload.script_id, user="ada"))


def status(client):
    return client.control.GetScriptStatus(client.pb.StatusRequest())


def until(client, condition):
    deadline = time.monotonic() + 30
    while not condition(now := status(client)):
        assert time.monotonic() < deadline, now
        time.sleep(0.02)
    return now


def is_open(client):
    return client.hardware.GetShutter(client.pb.GetShutterRequest(device_id="laser")).is_open


def position(client):
    return client.hardware.GetDeviceState(client.pb.DeviceStateRequest(device_id="stage")).position


def test_a_device_in_use_is_refused_by_name_unless_forced(grpc_client):
    pb, hardware = grpc_client.pb, grpc_client.hardware
    started(grpc_client, "device('stage')\nsleep(1000)\n")
    until(grpc_client, lambda now: now.line == 2)
    move = pb.MoveRequest(device_id="stage", value=1.0, wait_for_completion=True)
    with pytest.raises(grpc.RpcError) as refusal:
        hardware.MoveAbsolute(move)
    assert "of scan.py (started by ada) uses the device" in refusal.value.details()
    assert dict(refusal.value.trailing_metadata())["x-daq-error-kind"] == "busy"
    assert hardware.StopMotion(pb.StopMotionRequest(device_id="stage")).success
    assert hardware.MoveAbsolute(move, metadata=FORCE).final_position == pytest.approx(1.0, abs=0.1)
    grpc_client.control.StopScript(pb.StopRequest(force=True))
    assert hardware.MoveAbsolute(move).success


def test_the_command_line_forces_too(daemon, grpc_client):
    started(grpc_client, "device('stage')\nsleep(1000)\n")
    until(grpc_client, lambda now: now.line == 2)
    refused = daemon.client("move", "stage", "1")
    assert refused.returncode == 1
    assert "repeat the command with force" in refused.stderr
    assert daemon.client("move", "stage", "1", "--force").returncode == 0


def test_a_pause_breaks_the_move_off_closes_the_shutter_and_goes_back_to_both(grpc_client):
    pb, control = grpc_client.pb, grpc_client.control
    source = "device('laser').open()\ndevice('stage').move_abs(4.5)\nprint('there')\nsleep(1000)\n"
    started(grpc_client, source)
    until(grpc_client, lambda now: now.line == 2 and is_open(grpc_client))
    control.PauseScript(pb.PauseRequest(user="ada"))
    until(grpc_client, lambda now: now.state == "PAUSED")
    assert not is_open(grpc_client)
    assert position(grpc_client) < 4.4
    control.ResumeScript(pb.ResumeRequest())
    assert is_open(grpc_client)
    until(grpc_client, lambda now: now.line == 4)
    assert position(grpc_client) == pytest.approx(4.5, abs=0.1)
    control.StopScript(pb.StopRequest(force=True))


def test_a_fly_scan_is_paused_after_its_line_not_in_it(grpc_client):
    pb, control = grpc_client.pb, grpc_client.control
    started(grpc_client, "fly_scan(['power_meter'], 'stage', -1, 1, 0.05)\nsleep(1000)\n")
    until(grpc_client, lambda now: now.progress > 0.02)
    control.PauseScript(pb.PauseRequest(user="ada"))
    until(grpc_client, lambda now: now.state == "PAUSED")
    assert position(grpc_client) == pytest.approx(1.0, abs=0.1)
    control.StopScript(pb.StopRequest(force=True))


def test_an_interlock_pauses_is_listed_recorded_and_reset(daemon, grpc_client):
    pb, control, hardware = grpc_client.pb, grpc_client.control, grpc_client.hardware
    source = (
        "stage = device('stage')\nwith open_run('far'):\n    record(stage)\n"
        "    for x in linspace(0.3, 8.3, 9):\n        stage.move_abs(x)\n"
    )
    started(grpc_client, source)
    paused = until(grpc_client, lambda now: now.state == "PAUSED")
    assert "by interlock too_far: stage" in paused.transitions[-1].reason
    assert "mm, above 5 mm" in paused.transitions[-1].reason
    with pytest.raises(grpc.RpcError, match="above 5 mm"):
        control.ResumeScript(pb.ResumeRequest())
    with pytest.raises(grpc.RpcError, match="above 5 mm"):
        hardware.SetShutter(pb.SetShutterRequest(device_id="laser", open=True), metadata=FORCE)
    assert "TRIPPED" in daemon.client("interlocks").stdout

    hardware.MoveAbsolute(
        pb.MoveRequest(device_id="stage", value=0.0, wait_for_completion=True), metadata=FORCE
    )
    (lock,) = hardware.ListInterlocks(pb.ListInterlocksRequest()).interlocks
    assert (lock.tripped, lock.latched, lock.trips) == (True, True, 1)
    assert daemon.client("interlocks", "--reset", "too_far").returncode == 0
    control.ResumeScript(pb.ResumeRequest())
    control.StopScript(pb.StopRequest())
    (path,) = daemon.directory.rglob("*_far_*.h5")
    with h5py.File(path) as file:
        names = []
        file.visit(names.append)
    assert [name for name in names if "interlock.too_far" in name], names
