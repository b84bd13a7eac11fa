"""HardwareService on the simulated bench, as Google's own client sees it."""

from __future__ import annotations

import json
from contextlib import aclosing

import grpc
import numpy as np
import pytest
import trio

from daq.client import AsyncClient, FrameQuality
from daq.wire.lz4 import decompress_lz4
from tests.integration.api.harness import grpcio_channel, in_asyncio, in_thread, serving


def hardware(stubs, channel):
    return stubs.daq_grpc.HardwareServiceStub(channel)


async def use(served, stubs, function):
    """Run `function(hardware_stub, messages)` in a thread."""

    def client():
        with grpcio_channel(served.address) as channel:
            return function(hardware(stubs, channel), stubs.daq)

    return await in_thread(client)


async def test_devices_are_listed_with_what_they_offer(tmp_path, stubs):
    def client(api, pb):
        everything = api.ListDevices(pb.ListDevicesRequest())
        movable = api.ListDevices(pb.ListDevicesRequest(capability_filter="movable"))
        return everything, movable

    bench = {
        "stage": {"driver": "simulated.stage"},
        "meter": {"driver": "simulated.power_meter"},
        "broken": {"driver": "no.such.driver"},
    }
    async with serving(tmp_path, bench) as served:
        everything, movable = await use(served, stubs, client)
    stage = next(device for device in everything.devices if device.id == "stage")
    assert stage.is_movable
    assert stage.metadata.max_position == 10
    assert stage.metadata.position_units == "mm"
    assert stage.state == "ready"
    assert "move_abs(position)" in stage.operations
    assert json.loads(stage.fields_json["position"]) is not None
    assert [device.id for device in movable.devices] == ["stage"]
    assert [failure.device_id for failure in everything.registration_failures] == ["broken"]
    assert "no.such.driver" in everything.registration_failures[0].error


async def test_a_move_answers_with_the_position_that_was_read_back(tmp_path, stubs):
    def client(api, pb):
        absolute = api.MoveAbsolute(
            pb.MoveRequest(device_id="stage", value=1.5, wait_for_completion=True)
        )
        relative = api.MoveRelative(
            pb.MoveRequest(device_id="stage", value=-0.5, wait_for_completion=True)
        )
        state = api.GetDeviceState(pb.DeviceStateRequest(device_id="stage"))
        return absolute, relative, state

    async with serving(tmp_path) as served:
        absolute, relative, state = await use(served, stubs, client)
    assert absolute.success
    assert absolute.settled
    assert absolute.final_position == pytest.approx(1.5, abs=0.01)
    assert relative.final_position == pytest.approx(1.0, abs=0.01)
    assert state.online
    assert state.position == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("device", "value", "code", "kind", "words"),
    [
        ("stage", 99.0, "OUT_OF_RANGE", "limit", "[-10, 10] mm"),
        ("nope", 1.0, "NOT_FOUND", "unknown_device", "there is no device 'nope'"),
        ("camera", 1.0, "INVALID_ARGUMENT", "capability", "does not offer 'move_abs'"),
    ],
)
async def test_what_a_device_refuses_is_an_error_of_the_call(
    tmp_path, stubs, device, value, code, kind, words
):
    def client(api, pb):
        errors = []
        for wait in (True, False):
            with pytest.raises(grpc.RpcError) as caught:
                api.MoveAbsolute(
                    pb.MoveRequest(device_id=device, value=value, wait_for_completion=wait)
                )
            errors.append(caught.value)
        return errors

    async with serving(tmp_path) as served:
        for error in await use(served, stubs, client):
            assert error.code().name == code
            assert words in error.details()
            assert dict(error.trailing_metadata())["x-daq-error-kind"] == kind


async def test_a_move_that_nobody_waits_for_goes_on_after_its_call(tmp_path, stubs):
    slow = {"stage": {"driver": "simulated.stage", "velocity": 2.0}}

    def client(api, pb):
        begun = api.MoveAbsolute(
            pb.MoveRequest(device_id="stage", value=1.0, wait_for_completion=False)
        )
        with pytest.raises(grpc.RpcError) as caught:
            api.MoveAbsolute(pb.MoveRequest(device_id="stage", value=2.0, wait_for_completion=True))
        early = api.WaitSettled(pb.WaitSettledRequest(device_id="stage", timeout_ms=50))
        settled = api.WaitSettled(pb.WaitSettledRequest(device_id="stage", timeout_ms=10_000))
        return begun, caught.value, early, settled

    async with serving(tmp_path, slow) as served:
        begun, busy, early, settled = await use(served, stubs, client)
    assert begun.success
    assert not begun.settled
    assert begun.final_position < 0.9
    assert busy.code() is grpc.StatusCode.ABORTED
    assert "move_abs" in busy.details()
    assert not early.settled
    assert settled.settled
    assert settled.position == pytest.approx(1.0, abs=0.01)


async def test_a_stop_ends_a_move_and_tells_where(tmp_path, stubs):
    slow = {"stage": {"driver": "simulated.stage", "velocity": 1.0}}

    def client(api, pb):
        api.MoveAbsolute(pb.MoveRequest(device_id="stage", value=9.0, wait_for_completion=False))
        stopped = api.StopMotion(pb.StopMotionRequest(device_id="stage"))
        idle = api.StopMotion(pb.StopMotionRequest(device_id="stage"))
        return stopped, idle

    async with serving(tmp_path, slow) as served:
        stopped, idle = await use(served, stubs, client)
        assert not served.stage.snapshot().activity
    assert stopped.success
    assert stopped.outcome == "stopped"
    assert stopped.stopped_position < 5
    assert idle.outcome == "idle"


async def test_a_move_past_its_timeout_is_stopped_and_says_so(tmp_path, stubs):
    slow = {"stage": {"driver": "simulated.stage", "velocity": 1.0}}

    def client(api, pb):
        with pytest.raises(grpc.RpcError) as caught:
            api.MoveAbsolute(
                pb.MoveRequest(
                    device_id="stage", value=9.0, timeout_ms=100, wait_for_completion=True
                )
            )
        return caught.value

    async with serving(tmp_path, slow) as served:
        error = await use(served, stubs, client)
        assert not served.stage.snapshot().activity
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert error.details() == "stage: move_abs(9) did not end within 100 ms and was stopped"
    assert dict(error.trailing_metadata())["x-daq-error-kind"] == "timeout"


@pytest.mark.parametrize("how", ["cancel", "deadline", "vanish"])
async def test_a_client_that_leaves_stops_the_move_that_it_waits_for(tmp_path, stubs, how):
    slow = {"stage": {"driver": "simulated.stage", "velocity": 1.0}}
    moving = trio.Event()

    def client(address):
        channel = grpc.insecure_channel(address)
        request = stubs.daq.MoveRequest(device_id="stage", value=9.0, wait_for_completion=True)
        timeout = 0.3 if how == "deadline" else 20
        call = hardware(stubs, channel).MoveAbsolute.future(request, timeout=timeout)
        trio.from_thread.run(moving.wait)
        if how == "cancel":
            call.cancel()
        if how == "vanish":
            channel.close()
        if how == "deadline":
            assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        channel.close()

    async with serving(tmp_path, slow) as served, trio.open_nursery() as nursery:
        nursery.start_soon(in_thread, client, served.address)
        seen = 0
        with trio.fail_after(10):
            while not served.stage.snapshot().activity:
                seen = await served.services.supervisor.wait_changed(seen)
            moving.set()
            while served.stage.snapshot().activity:
                seen = await served.services.supervisor.wait_changed(seen)
        assert await served.stage.call("position") < 8


async def test_positions_are_streamed_while_it_moves(tmp_path, stubs):
    slow = {"stage": {"driver": "simulated.stage", "velocity": 5.0}}

    def client(api, pb):
        api.MoveAbsolute(pb.MoveRequest(device_id="stage", value=2.0, wait_for_completion=False))
        stream = api.StreamPosition(
            pb.StreamPositionRequest(device_id="stage", rate_hz=50), timeout=20
        )
        updates = [next(stream)]
        while updates[-1].is_moving:
            updates.append(next(stream))
        stream.cancel()
        return updates

    async with serving(tmp_path, slow) as served:
        updates = await use(served, stubs, client)
    assert updates[0].is_moving
    assert updates[-1].position == pytest.approx(2.0, abs=0.05)
    assert len({update.position for update in updates}) > 2


async def test_values_are_read_once_and_streamed(tmp_path, stubs):
    def client(api, pb):
        value = api.ReadValue(pb.ReadValueRequest(device_id="power_meter"))
        stream = api.StreamValues(
            pb.StreamValuesRequest(device_id="power_meter", rate_hz=100), timeout=20
        )
        values = [next(stream) for _ in range(3)]
        stream.cancel()
        return value, values

    async with serving(tmp_path) as served:
        value, values = await use(served, stubs, client)
    assert value.success
    assert value.units == "W"
    assert value.timestamp_ns > 1e18
    assert len({update.timestamp_ns for update in values}) == 3


async def test_light_is_switched_and_read_back(tmp_path, stubs):
    def client(api, pb):
        laser = {"device_id": "laser"}
        return (
            api.SetShutter(pb.SetShutterRequest(open=True, **laser)).is_open,
            api.GetShutter(pb.GetShutterRequest(**laser)).is_open,
            api.SetShutter(pb.SetShutterRequest(open=False, **laser)).is_open,
            api.SetWavelength(
                pb.SetWavelengthRequest(wavelength_nm=810, **laser)
            ).actual_wavelength_nm,
            api.GetWavelength(pb.GetWavelengthRequest(**laser)).wavelength_nm,
            api.SetEmission(pb.SetEmissionRequest(enabled=True, **laser)).is_enabled,
            api.GetEmission(pb.GetEmissionRequest(**laser)).is_enabled,
        )

    async with serving(tmp_path) as served:
        opened, asked, closed, set_nm, get_nm, enabled, emits = await use(served, stubs, client)
    assert (opened, asked, closed) == (True, True, False)
    assert set_nm == pytest.approx(810, abs=1)
    assert get_nm == pytest.approx(810, abs=1)
    assert enabled
    assert emits


async def test_a_camera_is_armed_triggered_and_exposed(tmp_path, stubs):
    def client(api, pb):
        exposed = api.SetExposure(pb.SetExposureRequest(device_id="camera", exposure_ms=20))
        asked = api.GetExposure(pb.GetExposureRequest(device_id="camera"))
        armed = api.Arm(pb.ArmRequest(device_id="camera"))
        triggered = api.Trigger(pb.TriggerRequest(device_id="camera"))
        staged = api.StageDevice(pb.StageDeviceRequest(device_id="camera"))
        unstaged = api.UnstageDevice(pb.UnstageDeviceRequest(device_id="camera"))
        other = api.StageDevice(pb.StageDeviceRequest(device_id="stage"))
        return exposed, asked, armed, triggered, staged, unstaged, other

    async with serving(tmp_path) as served:
        exposed, asked, armed, triggered, staged, unstaged, other = await use(served, stubs, client)
    assert exposed.actual_exposure_ms == pytest.approx(20)
    assert asked.exposure_ms == pytest.approx(20)
    assert armed.armed
    assert triggered.trigger_timestamp_ns > 1e18
    assert staged.staged
    assert unstaged.success
    assert other.staged


@pytest.mark.parametrize(("quality", "size"), [(0, (64, 48)), (1, (32, 24)), (2, (16, 12))])
async def test_frames_come_in_the_size_that_was_asked_for(tmp_path, stubs, quality, size):
    def client(api, pb):
        stream = api.StreamFrames(
            pb.StreamFramesRequest(device_id="camera", quality=quality, max_fps=50), timeout=20
        )
        frames = [next(stream) for _ in range(3)]
        stream.cancel()
        return frames

    async with serving(tmp_path) as served:
        frames = await use(served, stubs, client)
        camera = served.services.supervisor.device("camera")
        with trio.fail_after(10):
            seen = 0
            while camera.streaming:  # the last viewer has left
                seen = await served.services.supervisor.wait_changed(seen)
    assert (frames[-1].width, frames[-1].height) == size
    assert frames[-1].bit_depth == 16
    image = np.frombuffer(frames[-1].data, frames[-1].metadata["dtype"])
    assert image.size == size[0] * size[1]
    assert frames[-1].metrics.frames_sent == 3
    assert frames[-1].frame_number > frames[0].frame_number
    assert frames[-1].exposure_ms > 0


async def test_frames_are_compressed_for_who_accepts_it(tmp_path, stubs):
    async def client(address):
        images = []
        async with AsyncClient(address) as daemon:
            for lz4 in (False, True):
                frames = daemon.streams.frames("camera", quality=FrameQuality.PREVIEW, lz4=lz4)
                async with aclosing(frames):
                    images.append((await anext(frames)).image)
        return images

    def raw(api, pb):
        request = pb.StreamFramesRequest(
            device_id="camera", accepted_compression=[0, 1, 99], max_fps=50
        )
        stream = api.StreamFrames(request, timeout=20)
        frame = next(stream)
        stream.cancel()
        return frame

    async with serving(tmp_path) as served:
        plain, unpacked = await in_asyncio(client, served.address)
        frame = await use(served, stubs, raw)
    assert plain.shape == unpacked.shape == (24, 32)
    assert plain.dtype == unpacked.dtype
    assert frame.uncompressed_size == 64 * 48 * 2
    if frame.compression:
        assert len(frame.data) < frame.uncompressed_size
        data = decompress_lz4(frame.data, frame.uncompressed_size)
    else:
        data = frame.data
    assert np.frombuffer(data, "<u2").std() > 0


async def test_a_viewer_leaves_a_stream_of_somebody_else_alone(tmp_path, stubs):
    def client(api, pb):
        api.StartStream(pb.StartStreamRequest(device_id="camera"))
        stream = api.StreamFrames(pb.StreamFramesRequest(device_id="camera"), timeout=20)
        next(stream)
        stream.cancel()
        state = api.GetDeviceState(pb.DeviceStateRequest(device_id="camera"))
        return state, api.StopStream(pb.StopStreamRequest(device_id="camera"))

    async with serving(tmp_path) as served:
        state, stopped = await use(served, stubs, client)
    assert state.streaming
    assert stopped.success
    assert stopped.frames_captured > 0


async def test_any_operation_can_be_called_by_name(tmp_path, stubs):
    def client(api, pb):
        def run(device, command, args=""):
            request = pb.DeviceCommandRequest(device_id=device, command=command, args=args)
            return json.loads(api.ExecuteDeviceCommand(request).results)

        moved = run("stage", "move_abs", '{"args": [1.0]}')
        stopped = run("stage", "stop")
        frames = run("camera", "frames", "[1]")
        with pytest.raises(grpc.RpcError) as wrong:
            run("stage", "fly")
        with pytest.raises(grpc.RpcError) as large:
            run("camera", "frames", "[60]")
        return moved, stopped, frames, wrong.value, large.value

    async with serving(tmp_path) as served:
        moved, stopped, frames, wrong, large = await use(served, stubs, client)
    assert moved["result"] == pytest.approx(1.0, abs=0.01)
    assert stopped == {"result": False}
    assert np.shape(frames["result"]) == (1, 48, 64)
    assert wrong.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert large.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_parameters_are_listed_set_and_their_changes_streamed(tmp_path, stubs):
    subscribed = trio.Event()

    def watch(address):
        with grpcio_channel(address) as channel:
            stream = hardware(stubs, channel).StreamParameterChanges(
                stubs.daq.StreamParameterChangesRequest(
                    device_id="camera", parameter_names=["gain"]
                ),
                timeout=20,
            )
            trio.from_thread.run_sync(subscribed.set)
            change = next(stream)
            stream.cancel()
            return change

    def client(api, pb):
        listed = api.ListParameters(pb.ListParametersRequest(device_id="camera"))
        got = api.GetParameter(pb.GetParameterRequest(device_id="camera", parameter_name="gain"))
        with pytest.raises(grpc.RpcError) as caught:
            api.SetParameter(
                pb.SetParameterRequest(device_id="camera", parameter_name="gain", value="loud")
            )
        return listed, got, caught.value

    def change(api, pb, value):
        request = pb.SetParameterRequest(device_id="camera", parameter_name="gain", value=value)
        return api.SetParameter(request).actual_value

    changes = []

    async with serving(tmp_path) as served:
        listed, got, refused = await use(served, stubs, client)

        async def follow():
            changes.append(await in_thread(watch, served.address))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await subscribed.wait()
            for number in range(2, 40):
                await use(served, stubs, lambda api, pb, n=number: change(api, pb, f"{n}.0"))
                if changes:
                    break
    assert "gain" in [parameter.name for parameter in listed.parameters]
    assert float(got.value) == 1.0
    assert got.units == "counts per electron"
    assert "takes float, not 'loud'" in refused.details()
    assert changes[0].name == "gain"
    assert float(changes[0].new_value) >= 2.0
    assert changes[0].old_value != changes[0].new_value


async def test_state_is_streamed_sparsely_after_a_snapshot(tmp_path, stubs):
    def client(api, pb):
        stream = api.SubscribeDeviceState(
            pb.DeviceStateSubscribeRequest(device_ids=["stage"], include_snapshot=True), timeout=20
        )
        updates = [next(stream)]
        api.MoveAbsolute(pb.MoveRequest(device_id="stage", value=1.0, wait_for_completion=False))
        while "position" not in updates[-1].fields_json or updates[-1].is_snapshot:
            updates.append(next(stream))
        stream.cancel()
        return updates

    async with serving(tmp_path) as served:
        snapshot, *updates = await use(served, stubs, client)
    assert snapshot.is_snapshot
    assert json.loads(snapshot.fields_json["online"]) is True
    assert updates
    assert all(not update.is_snapshot for update in updates)
    assert all(len(update.fields_json) < len(snapshot.fields_json) for update in updates)
    assert updates[-1].version > snapshot.version


async def test_numbers_of_the_state_can_be_observed(tmp_path, stubs):
    def client(api, pb):
        stream = api.StreamObservables(
            pb.StreamObservablesRequest(
                device_ids=["stage"], observable_names=["position"], deadband=0.1
            ),
            timeout=20,
        )
        values = [next(stream)]
        api.MoveAbsolute(pb.MoveRequest(device_id="stage", value=3.0, wait_for_completion=False))
        while values[-1].value < 2.8:
            values.append(next(stream))
        stream.cancel()
        return values

    async with serving(tmp_path) as served:
        values = await use(served, stubs, client)
    assert {value.units for value in values} == {"mm"}
    steps = np.diff([value.value for value in values])
    assert (np.abs(steps) > 0.1).all()
