"""StreamDocuments: a run as event-model documents, live or read back."""

from __future__ import annotations

from contextlib import aclosing

import trio

from daq.api.door.bridge import Emit
from daq.core import EventBlock, RunStop
from daq.storage import Storage
from daq.wire.convert import json_to_wire
from daq.wire.event_model import Document, DocumentComposer
from daq.wire.generated import daq as pb

__all__ = ["stream_documents"]


async def stream_documents(storage: Storage, ref: str, emit: Emit[pb.Document]) -> None:
    """Send what is stored of a run; of an open one go on as events come, to its end."""
    run_id = (await storage.find_run(ref)).run_id
    run = await storage.describe_run(run_id)
    composer = DocumentComposer(run.start, f"file://{run.start.host}{storage.file_of(run)}")

    def events(block: EventBlock) -> list[pb.Document]:
        return [_to_wire(document) for document in composer.events(block)]

    await emit(_to_wire(composer.begin()))
    blocks = storage.follow_run(run_id)
    async with aclosing(blocks):
        async for block in blocks:
            for message in await trio.to_thread.run_sync(events, block):
                await emit(message)
    summary = await storage.find_run(run_id)
    if summary.outcome is not None:
        stop = RunStop(summary.outcome, summary.ended_ns, summary.reason, summary.by)
        await emit(_to_wire(composer.end(stop)))


def _to_wire(document: Document) -> pb.Document:
    name, content = document
    return pb.Document(name, json_to_wire(content))
