"""Lists are encoded item by item, a page at a time, and others get their turn in between."""

from __future__ import annotations

import trio

from daq.api.door.paging import MAX_PAGE, MAX_PAGE_BYTES, page
from daq.wire.generated import daq as pb


def status(number: int) -> pb.ScriptStatus:
    return pb.ScriptStatus(str(number), "RUNNING", parameters={"points": str(number)})


async def test_a_page_reads_as_the_items_would_in_one_piece():
    reply = pb.ListExecutionsResponse(await page(range(20), status), 20)
    read = pb.ListExecutionsResponse().parse(bytes(reply))
    assert read.executions == [status(number) for number in range(20)]
    assert read.total == 20


async def test_a_page_ends_at_its_number_and_at_its_size():
    assert len(await page(range(10_000), status)) == MAX_PAGE
    large = "x" * (MAX_PAGE_BYTES // 4)
    assert len(await page(range(100), lambda n: pb.ScriptStatus(str(n), traceback=large))) == 4


async def test_others_get_their_turn_in_between():
    turns = 0

    async def count():
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    def slow(number: int) -> pb.ScriptStatus:
        for _ in range(10):
            answer = status(number)
        return answer

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await page(range(300), slow)
        nursery.cancel_scope.cancel()
    assert turns > 3
