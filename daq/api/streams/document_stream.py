"""StreamDocuments: a run as event-model documents, live or read back."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial

import trio

from daq.api.door.bridge import Emit
from daq.core import EventBlock, RunStop
from daq.core.values import to_json
from daq.storage import Storage
from daq.wire.bulk_codec import encoded
from daq.wire.event_model import Document, DocumentComposer
from daq.wire.generated import daq as pb

__all__ = ["stream_documents"]


async def stream_documents(
    storage: Storage, ref: str, emit: Emit[pb.Document], *, typed: bool
) -> None:
    """Send what is stored of a run; of an open one go on as events come, to its end.

    With `typed` as JSON with tags.
    """
    to_wire = partial(_to_wire, typed=typed)
    run_id = (await storage.find_run(ref)).run_id
    run = await storage.describe_run(run_id)
    composer = DocumentComposer(run.start, f"file://{run.start.host}{storage.file_of(run)}")

    def events(block: EventBlock) -> list[pb.Document]:
        return [to_wire(document) for document in composer.events(block)]

    await emit(await trio.to_thread.run_sync(lambda: to_wire(composer.begin())))
    blocks = storage.follow_run(run_id)
    async with aclosing(blocks):
        async for block in blocks:
            for message in await trio.to_thread.run_sync(events, block):
                await emit(message)
    summary = await storage.find_run(run_id)
    if summary.outcome is not None:
        stop = RunStop(summary.outcome, summary.ended_ns, summary.reason, summary.by)
        await emit(to_wire(composer.end(stop)))


def _to_wire(document: Document, *, typed: bool) -> pb.Document:
    name, content = document
    return encoded(pb.Document(name, to_json(content, typed=typed), typed=typed))
