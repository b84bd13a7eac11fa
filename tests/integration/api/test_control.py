"""ControlService, as Google's own client sees it."""

from __future__ import annotations

import grpc
import numpy as np
import pyarrow as pa
import pytest
import trio

from daq.core import ExecutionState, Measurement, Reading
from tests.integration.api.harness import EXECUTION, grpcio_channel, in_thread, serving


async def test_a_script_is_uploaded_started_and_stopped(tmp_path, stubs):
    def client(address):
        with grpcio_channel(address) as channel:
            control = stubs.daq_grpc.ControlServiceStub(channel)
            uploaded = control.UploadScript(
                stubs.daq.UploadRequest(script_content="x", name="knife", metadata={"a": "b"})
            )
            started = control.StartScript(
                stubs.daq.StartRequest(script_id=uploaded.script_id),
                metadata=[("x-daq-user", "maria")],
            )
            stopped = control.StopScript(
                stubs.daq.StopRequest(execution_id=started.execution_id, force=True, user="jo")
            )
            return uploaded, started, stopped

    async with serving(tmp_path) as served:
        uploaded, started, stopped = await in_thread(client, served.address)
        assert uploaded.success
        assert uploaded.description == "moves a knife"
        assert started.started
        assert started.execution_id == EXECUTION
        assert stopped.stopped
        assert stopped.state == "KILLED"
        assert stopped.duration_s == 0.25
        assert served.queue.calls == [("start", {}, "maria"), ("stop", True, None, "", "jo")]


async def test_a_refused_script_is_no_error_of_the_call(tmp_path, stubs):
    def client(address):
        with grpcio_channel(address) as channel:
            control = stubs.daq_grpc.ControlServiceStub(channel)
            request = stubs.daq.UploadRequest(script_content="import os", name="bad.py")
            return control.UploadScript(request), control.ValidateScript(request)

    async with serving(tmp_path) as served:
        uploaded, checked = await in_thread(client, served.address)
    assert not uploaded.success
    assert 'File "bad.py", line 1' in uploaded.error_message
    assert checked.diagnostics[0].code == "IMPORT"
    assert not checked.accepted


async def test_what_does_not_exist_is_not_found_with_an_advice(tmp_path, stubs):
    def client(address):
        with grpcio_channel(address) as channel:
            control = stubs.daq_grpc.ControlServiceStub(channel)
            with pytest.raises(grpc.RpcError) as caught:
                control.StartScript(stubs.daq.StartRequest(script_id="nope"))
            return caught.value

    async with serving(tmp_path) as served:
        error = await in_thread(client, served.address)
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error.details() == "there is no script 'nope'"
    trailers = dict(error.trailing_metadata())
    assert trailers["x-daq-error-kind"] == "not_found"
    assert trailers["x-daq-error-advice"] == "upload it first"


async def test_status_has_the_exact_line_and_its_source(tmp_path, stubs):
    def client(address):
        with grpcio_channel(address) as channel:
            control = stubs.daq_grpc.ControlServiceStub(channel)
            return (
                control.GetScriptStatus(stubs.daq.StatusRequest()),
                control.ListExecutions(stubs.daq.ListExecutionsRequest()),
                control.ListScripts(stubs.daq.ListScriptsRequest()),
                control.GetScript(stubs.daq.GetScriptRequest(script_id="knife.py")),
            )

    async with serving(tmp_path) as served:
        status, listed, scripts, script = await in_thread(client, served.address)
    assert status.state == "RUNNING"
    assert status.current_line == "3: print(i)"
    assert dict(status.parameters) == {"points": "3"}
    assert [execution.execution_id for execution in listed.executions] == [EXECUTION]
    assert [known.name for known in scripts.scripts] == ["knife.py"]
    assert script.script_content.startswith("def main(")


async def test_pause_and_resume_answer_with_the_state(tmp_path, stubs):
    def client(address):
        with grpcio_channel(address) as channel:
            control = stubs.daq_grpc.ControlServiceStub(channel)
            return (
                control.PauseScript(stubs.daq.PauseRequest()).state,
                control.ResumeScript(stubs.daq.ResumeRequest()).state,
            )

    async with serving(tmp_path) as served:
        assert await in_thread(client, served.address) == ("PAUSED", "RUNNING")


async def test_a_watched_execution_is_followed_to_its_end(tmp_path, stubs):
    updates = []

    def client(address):
        with grpcio_channel(address) as channel:
            control = stubs.daq_grpc.ControlServiceStub(channel)
            request = stubs.daq.WatchRequest(execution_id=EXECUTION, include_output=True)
            updates.extend(control.WatchExecution(request, timeout=20))

    async with serving(tmp_path) as served, trio.open_nursery() as nursery:
        nursery.start_soon(in_thread, client, served.address)
        await trio.sleep(0.2)
        served.queue.change(output="first")
        await trio.sleep(0.05)
        served.queue.change(state=ExecutionState.COMPLETED, output="last", progress=1.0)
    assert [entry.text for update in updates for entry in update.output] == ["first", "last"]
    assert updates[-1].status.state == "COMPLETED"
    assert updates[-1].status.progress == 1.0


async def test_live_status_ends_with_the_execution_that_was_named(tmp_path, stubs):
    seen = []

    def client(address):
        with grpcio_channel(address) as channel:
            control = stubs.daq_grpc.ControlServiceStub(channel)
            seen.extend(
                control.StreamStatus(stubs.daq.StatusRequest(execution_id=EXECUTION), timeout=20)
            )

    async with serving(tmp_path) as served, trio.open_nursery() as nursery:
        await served.services.bus.publish(Measurement.single("x", Reading(2.5, 1), "V", 0))
        nursery.start_soon(in_thread, client, served.address)
        await trio.sleep(0.2)
        served.queue.change(state=ExecutionState.COMPLETED)
    assert seen[0].current_state == "RUNNING"
    assert seen[0].current_memory_usage_mb > 10
    assert seen[0].live_values["x"] == 2.5
    assert seen[-1].current_state == "COMPLETED"


async def test_measurements_reach_a_client_that_asked_for_their_channel(tmp_path, stubs):
    points = []
    subscribed = trio.Event()

    def client(address):
        with grpcio_channel(address) as channel:
            control = stubs.daq_grpc.ControlServiceStub(channel)
            stream = control.StreamMeasurements(
                stubs.daq.MeasurementRequest(channels=["scope", "gauge*"]), timeout=20
            )
            for point in stream:
                points.append(point)
                if point.channel == "gauge.end":
                    stream.cancel()
                    return

    async with serving(tmp_path) as served, trio.open_nursery() as nursery:
        bus = served.services.bus

        async def publish() -> None:
            number = 0
            while not subscribed.is_set():
                await bus.publish(Measurement.single("gauge.up", Reading(number, 1), "bar", number))
                await trio.sleep(0.01)
                if points:
                    await bus.publish(Measurement.single("scope", Reading([1, 2, 6], 5), "V", 0))
                    await bus.publish(Measurement.single("other", Reading(1, 5), "V", 0))
                    await bus.publish(Measurement.single("gauge.end", Reading(1, 5), "bar", 0))
                    return
                number += 1

        nursery.start_soon(publish)
        await in_thread(client, served.address)
        subscribed.set()
    scope = next(point for point in points if point.channel == "scope")
    assert scope.value == 3.0
    assert list(scope.shape) == [3]
    assert scope.units == "V"
    assert "other" not in {point.channel for point in points}


async def test_blocks_arrive_as_arrow(tmp_path, stubs):
    received = []

    def client(address):
        with grpcio_channel(address) as channel:
            control = stubs.daq_grpc.ControlServiceStub(channel)
            stream = control.StreamBlocks(stubs.daq.BlockRequest(channels=["scope"]), timeout=20)
            received.append(next(stream))
            stream.cancel()

    async with serving(tmp_path) as served, trio.open_nursery() as nursery:
        nursery.start_soon(in_thread, client, served.address)
        number = 0
        while not received:
            samples = np.arange(number, number + 100)
            block = Measurement("scope", samples, samples.astype(float), "V", number)
            await served.services.bus.publish(block)
            number += 100
            await trio.sleep(0.01)
    table = pa.ipc.open_stream(received[0].ipc).read_all()
    assert table.num_rows == received[0].samples
    assert table.column("scope")[0].as_py() == received[0].sequence
    assert b"V" in table.schema.field("scope").metadata.values()


async def test_the_daemon_tells_about_itself(tmp_path, stubs):
    def client(address):
        with grpcio_channel(address) as channel:
            control = stubs.daq_grpc.ControlServiceStub(channel)
            return control.GetDaemonInfo(stubs.daq.DaemonInfoRequest())

    async with serving(tmp_path) as served:
        info = await in_thread(client, served.address)
    assert info.version == "0.1"
    assert list(info.available_hardware) == ["camera", "laser", "power_meter", "rotator", "stage"]
    assert info.confinement["seccomp"] == "active"
    assert info.counters["sandbox.started"] == 7
    assert "sandbox.note" not in info.counters
    assert info.counters["loop.tasks"] > 1
