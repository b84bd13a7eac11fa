from __future__ import annotations

import asyncio

from daq.wire.gathering import HELD_BYTES, GatheringTransport


class Recording:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def test_what_is_written_in_one_turn_travels_in_one_piece() -> None:
    async def main() -> list[bytes]:
        inner = Recording()
        transport = GatheringTransport(inner, asyncio.get_running_loop().call_soon)
        transport.write(b"headers ")
        transport.write(b"message")
        assert inner.written == []
        await asyncio.sleep(0)
        transport.write(b"more")
        await asyncio.sleep(0)
        return inner.written

    assert asyncio.run(main()) == [b"headers message", b"more"]


def test_bulk_goes_at_once_and_in_order() -> None:
    async def main() -> list[bytes]:
        inner = Recording()
        transport = GatheringTransport(inner, asyncio.get_running_loop().call_soon)
        transport.write(b"a")
        transport.write(bytes(HELD_BYTES))
        assert len(inner.written) == 1
        await asyncio.sleep(0)
        return inner.written

    assert asyncio.run(main()) == [b"a" + bytes(HELD_BYTES)]


def test_closing_sends_what_is_held_and_nothing_after() -> None:
    async def main() -> list[bytes]:
        inner = Recording()
        transport = GatheringTransport(inner, asyncio.get_running_loop().call_soon)
        transport.write(b"last")
        transport.close()
        transport.write(b"too late")
        await asyncio.sleep(0)
        return inner.written

    assert asyncio.run(main()) == [b"last"]
