"""The guard around every call: what becomes of one that the client has left."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from grpclib.const import Cardinality, Handler

from daq.api.door.access import Access
from daq.api.door.call_boundary import CallBoundary, OpenCalls
from daq.core import LimitError


class FakeStream:
    metadata = None
    peer = SimpleNamespace(addr=lambda: None, cert=lambda: None)

    def __init__(self) -> None:
        self.trailers = []

    async def send_trailing_metadata(self, **trailers) -> None:
        self.trailers.append(trailers)


def guarded(handle):
    handler = Handler(handle, Cardinality.UNARY_UNARY, None, None)
    service = SimpleNamespace(__mapping__=lambda: {"/daq.X/Y": handler})
    return CallBoundary(service, OpenCalls(), Access()).__mapping__()["/daq.X/Y"].func


@pytest.mark.parametrize("verdict", [LimitError("stage: too far"), None])
def test_a_call_whose_client_left_ends_cancelled_also_when_its_verdict_was_there(verdict):
    async def handle(stream):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if verdict is not None:
                raise verdict from None

    async def leave():
        call = asyncio.ensure_future(guarded(handle)(FakeStream()))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(leave())


def test_an_error_reaches_a_client_that_stays():
    async def handle(stream):
        raise LimitError("stage: too far")

    stream = FakeStream()
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(guarded(handle)(stream))
    assert [t["status_message"] for t in stream.trailers] == ["stage: too far"]
