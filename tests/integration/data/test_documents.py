"""StreamDocuments: the same documents live and afterwards, and the frames where they say."""

from __future__ import annotations

from contextlib import aclosing
from urllib.parse import urlparse

import event_model
import h5py
import numpy as np
import trio

from daq.client import AsyncClient
from daq.core import RunOutcome
from tests.integration.api.harness import in_asyncio, serving

DEVICES = ["stage", "power_meter", "camera"]


async def collect(address, run, begun=None):
    documents = []
    async with AsyncClient(address) as client, aclosing(client.runs.documents(run)) as stream:
        async for document in stream:
            documents.append(document)
            if begun is not None:
                begun(document[0])
    return documents


def expanded(documents):
    """With events instead of pages: how many come together is a matter of time."""
    flat = []
    for name, document in documents:
        if name == "event_page":
            flat += [("event", event) for event in event_model.unpack_event_page(document)]
        elif name == "stream_datum":
            rows = document["indices"]
            numbers = range(rows["start"], rows["stop"])
            flat += [("row", (document["stream_resource"], number)) for number in numbers]
        else:
            flat.append((name, document))
    return sorted(flat, key=lambda item: item[0])  # stable


async def test_documents_come_live_and_are_the_same_when_they_are_read_back(tmp_path):
    live: list = []
    async with serving(tmp_path) as served, trio.open_nursery() as nursery:
        runs = served.services.manual_runs
        run_id = await runs.start("edge", {"sample": "none"}, "maria")
        token, seen = trio.lowlevel.current_trio_token(), trio.Event()

        def begun(name):
            if name == "event_page":
                token.run_sync_soon(seen.set)

        async def follow():
            live.extend(await in_asyncio(collect, served.address, run_id, begun))

        nursery.start_soon(follow)
        await runs.record(run_id, DEVICES, {"note": "first"})
        with trio.fail_after(30):
            await seen.wait()  # before the run has ended
        for number in range(4):
            await runs.record(run_id, DEVICES, {"note": str(number)})
        summary = await runs.stop(run_id, "", "maria", RunOutcome.COMPLETED)
        nursery.cancel_scope.deadline = trio.current_time() + 30
        while not live:
            await trio.sleep(0.01)
        after = await in_asyncio(collect, served.address, "edge")

    for name, document in live + after:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(document)
    assert [name for name, _ in live[:3]] == ["start", "descriptor", "stream_resource"]
    assert live[-1][0] == after[-1][0] == "stop"
    assert live[-1][1]["num_events"] == {"primary": 5}
    assert expanded(live) == expanded(after)

    resource = dict(after)["stream_resource"]
    assert urlparse(resource["uri"]).path == summary.path
    with h5py.File(summary.path) as file:
        frames = file[resource["parameters"]["dataset"]]
        assert frames.shape == (5, 48, 64)
        assert np.ptp(frames[0]) > 0
