"""How many items a msgpack text holds, and how deep: found out before anything is made of it.

Fifteen million empty lists are 15 MB to send and 840 MB to decode, in one call that holds the
interpreter. This walk stops at the limit, so it costs no more than that, and as Python code it
gives way to other threads.
"""

from __future__ import annotations

__all__ = ["TooLargeError", "require_bounded"]


class TooLargeError(ValueError):
    """It holds more than it may; the message names the limit."""


def _shapes() -> tuple[tuple[int, int, int], ...]:
    """For each first byte: bytes of content, of a length behind it, and items for each of it.

    Items: 0 for what holds none, 1 for arrays and 2 for maps, whose length counts items.
    """
    table = [(0, 0, 0)] * 256  # fixint, nil, false, true, the unused one
    for n in range(16):
        table[0x80 + n] = (n, 0, 2)
        table[0x90 + n] = (n, 0, 1)
    for n in range(32):
        table[0xA0 + n] = (n, 0, 0)
    for first, size in ((0xC4, 1), (0xC5, 2), (0xC6, 4), (0xD9, 1), (0xDA, 2), (0xDB, 4)):
        table[first] = (0, size, 0)
    for first, size in ((0xC7, 1), (0xC8, 2), (0xC9, 4)):
        table[first] = (1, size, 0)  # ext: a byte says of which type
    for n in range(5):
        table[0xD4 + n] = (1 + (1 << n), 0, 0)
    for first, size in ((0xCA, 4), (0xCB, 8), (0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)):
        table[first] = (size, 0, 0)
    for n in range(4):
        table[0xD0 + n] = (1 << n, 0, 0)
    table[0xDC], table[0xDD], table[0xDE], table[0xDF] = (0, 2, 1), (0, 4, 1), (0, 2, 2), (0, 4, 2)
    return tuple(table)


_SHAPES = _shapes()


def require_bounded(data: bytes | bytearray | memoryview, items: int, depth: int) -> None:
    """Raise TooLargeError for more than `items` in all lists and maps, or more than `depth` levels.

    A text that is cut short is left to the decoder.
    """
    position, end, left = 0, len(data), items
    open_lists = [1]
    """How many items each list still has to come, the innermost last."""
    while position < end:
        while open_lists and not open_lists[-1]:
            open_lists.pop()
        if not open_lists:
            return
        open_lists[-1] -= 1
        content, size, per_length = _SHAPES[data[position]]
        position += 1
        if size:
            content += int.from_bytes(data[position : position + size], "big")
            position += size
        if not per_length:
            position += content
            continue
        count = content * per_length
        left -= count
        if left < 0:
            raise TooLargeError(f"there are more than {items} items")
        if len(open_lists) > depth:
            raise TooLargeError(f"lists and maps are nested more than {depth} deep")
        open_lists.append(count)
