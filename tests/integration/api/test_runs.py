"""RunService on the real storage, as Google's own client sees it."""

from __future__ import annotations

import json
from contextlib import aclosing
from pathlib import Path

import grpc
import pyarrow as pa
import pytest

from daq.client import AsyncClient
from tests.integration.api.harness import grpcio_channel, in_asyncio, in_thread, serving


async def test_a_run_is_opened_by_hand_recorded_closed_found_and_read(tmp_path, stubs):
    def client(address):
        with grpcio_channel(address) as channel:
            hardware = stubs.daq_grpc.HardwareServiceStub(channel)
            runs = stubs.runs_grpc.RunServiceStub(channel)
            pb = stubs.runs
            run_id = runs.StartRun(
                pb.StartRunRequest(
                    name="edge", metadata_json={"sample": '"none"', "n": "3"}, user="maria"
                )
            ).run_id
            points = []
            for x in (0.0, 1.0, 2.0):
                hardware.MoveAbsolute(
                    stubs.daq.MoveRequest(device_id="stage", value=x, wait_for_completion=True)
                )
                request = pb.RecordPointRequest(
                    run_id=run_id,
                    device_ids=["stage", "power_meter", "camera"],
                    values_json={"step": json.dumps(x)},
                )
                points.append(runs.RecordPoint(request))
            closed = runs.StopRun(pb.StopRunRequest(run_id=run_id, reason="done", user="maria"))
            listed = runs.ListRuns(pb.ListRunsRequest(name="ed*"))
            nothing = runs.ListRuns(pb.ListRunsRequest(outcome="failed"))
            detail = runs.GetRun(pb.GetRunRequest(run_id="edge"))
            batches = list(runs.ReadRun(pb.ReadRunRequest(run_id=run_id)))
            some = list(runs.ReadRun(pb.ReadRunRequest(run_id=run_id, columns=["step"])))
            return run_id, points, closed, listed, nothing, detail, batches, some

    async with serving(tmp_path) as served:
        answers = await in_thread(client, served.address)
    run_id, points, closed, listed, nothing, detail, batches, some = answers
    assert [point.sequence for point in points] == [0, 1, 2]
    assert json.loads(points[2].values_json["stage"]) == pytest.approx(2.0, abs=0.01)
    assert json.loads(points[0].values_json["camera"]) == {"shape": [48, 64]}
    assert (closed.outcome, closed.points, closed.user) == ("completed", 3, "maria")
    assert dict(closed.metadata_json) == {"sample": '"none"', "n": "3"}
    assert listed.total == 1
    assert listed.runs[0].run_id == run_id
    assert nothing.total == 0
    assert detail.info.run_id == run_id
    assert "stage" in detail.devices_json
    columns = {column.name: column for column in detail.streams[0].columns}
    assert columns["stage"].role == "positioner"
    assert list(columns["camera"].shape) == [48, 64]
    table = pa.Table.from_batches([b for batch in batches for b in pa.ipc.open_stream(batch.ipc)])
    assert sum(batch.rows for batch in batches) == table.num_rows == 3
    assert table.column("stage").to_pylist() == pytest.approx([0.0, 1.0, 2.0], abs=0.01)
    assert table.column("step").to_pylist() == [0.0, 1.0, 2.0]
    assert table.column("camera").type.shape == [48, 64]
    only = pa.ipc.open_stream(some[0].ipc).read_all()
    assert set(only.column_names) == {"time", "step"}


async def test_an_open_run_can_be_read_already(tmp_path, stubs):
    def client(address):
        with grpcio_channel(address) as channel:
            runs = stubs.runs_grpc.RunServiceStub(channel)
            pb = stubs.runs
            run_id = runs.StartRun(pb.StartRunRequest(name="open")).run_id
            request = pb.RecordPointRequest(run_id=run_id, device_ids=["stage"])
            runs.RecordPoint(request)
            rows = sum(batch.rows for batch in runs.ReadRun(pb.ReadRunRequest(run_id=run_id)))
            outcome = runs.GetRun(pb.GetRunRequest()).info.outcome
            runs.StopRun(pb.StopRunRequest())
            return rows, outcome

    async with serving(tmp_path) as served:
        assert await in_thread(client, served.address) == (1, "")


async def test_a_run_that_does_not_exist_is_not_found(tmp_path, stubs):
    def client(address):
        with grpcio_channel(address) as channel:
            runs = stubs.runs_grpc.RunServiceStub(channel)
            with pytest.raises(grpc.RpcError) as got:
                runs.GetRun(stubs.runs.GetRunRequest(run_id="nope"))
            with pytest.raises(grpc.RpcError) as read:
                list(runs.ReadRun(stubs.runs.ReadRunRequest(run_id="nope")))
            return got.value, read.value

    async with serving(tmp_path) as served:
        for error in await in_thread(client, served.address):
            assert error.code() is grpc.StatusCode.NOT_FOUND
            assert dict(error.trailing_metadata())["x-daq-error-kind"] == "not_found"


async def test_the_catalogue_is_rebuilt_over_the_wire(tmp_path):
    async def client(address):
        async with AsyncClient(address) as daemon:
            run_id = await daemon.runs.start("edge")
            await daemon.runs.record(run_id, ["stage"])
            path = Path((await daemon.runs.stop(run_id)).path)
            (path.parent / "damaged.h5").write_bytes(b"a poem")
            async with aclosing(daemon.runs.rebuild()) as steps:
                return [step async for step in steps]

    async with serving(tmp_path) as served:
        steps = await in_asyncio(client, served.address)
    assert (steps[-1].done, steps[-1].files, steps[-1].added) == (2, 2, 0)
    (problem,) = [problem for step in steps for problem in step.problems]
    assert "damaged.h5: the file cannot be read" in problem
