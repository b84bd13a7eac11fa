"""Replies of any length: a page at a time, encoded in pieces or in a thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import betterproto
import trio

from daq.wire.bulk_codec import encoded
from daq.wire.map_fields import encode_with_maps

__all__ = ["MAX_PAGE", "first_page", "in_thread", "page"]

MAX_PAGE = 500
"""Items; whoever asks for more gets these, and asks for the rest."""
MAX_PAGE_BYTES = 2 << 20
"""About as much: many stacks refuse messages of more than 4 MiB."""
TURN_S = 0.002

Item = TypeVar("Item")
Reply = TypeVar("Reply", bound=betterproto.Message)


def first_page(items: Iterable[Item], to_wire: Callable[[Item], Any]) -> Iterator[Any]:
    """The first of the items, each encoded: for the one repeated field of a reply.

    betterproto encodes a message of 500 in one go, which takes a tenth of a second; of a field that
    is encoded already it takes the bytes.
    """
    size = 0
    for item in islice(items, MAX_PAGE):
        data = encode_with_maps(to_wire(item))
        yield data
        size += len(data)
        if size > MAX_PAGE_BYTES:
            return


async def page(items: Iterable[Item], to_wire: Callable[[Item], Any]) -> list[Any]:
    """The first page, on the loop: for what changes while it is looked at."""
    items_encoded: list[bytes] = []
    turn = time.perf_counter()
    for data in first_page(items, to_wire):
        items_encoded.append(data)
        if time.perf_counter() - turn > TURN_S:
            await trio.lowlevel.checkpoint()
            turn = time.perf_counter()
    await trio.lowlevel.checkpoint()
    return items_encoded


async def in_thread(make: Callable[[], Reply]) -> Reply:
    """A reply that is made and encoded in a thread, since it may be large; it is only sent."""
    return await trio.to_thread.run_sync(lambda: encoded(make()))
