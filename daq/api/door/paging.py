"""Lists of any length: a page at a time, encoded in pieces between which others get a turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import trio

from daq.wire.map_fields import encode_with_maps

__all__ = ["MAX_PAGE", "page"]

MAX_PAGE = 500
"""Items; whoever asks for more gets these, and asks for the rest."""
MAX_PAGE_BYTES = 2 << 20
"""About as much: many stacks refuse messages of more than 4 MiB."""
TURN_S = 0.002

Item = TypeVar("Item")


async def page(items: Iterable[Item], to_wire: Callable[[Item], Any]) -> list[Any]:
    """The first of the items, each encoded: for the one repeated field of a reply.

    betterproto encodes a message of 500 in one go, which takes a tenth of a second; of a field that
    is encoded already it takes the bytes.
    """
    encoded: list[bytes] = []
    size, turn = 0, time.perf_counter()
    for item in items:
        data = encode_with_maps(to_wire(item))
        encoded.append(data)
        size += len(data)
        if len(encoded) == MAX_PAGE or size > MAX_PAGE_BYTES:
            break
        if time.perf_counter() - turn > TURN_S:
            await trio.lowlevel.checkpoint()
            turn = time.perf_counter()
    await trio.lowlevel.checkpoint()
    return encoded
