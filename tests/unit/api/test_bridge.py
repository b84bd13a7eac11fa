from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
import trio
import trio_asyncio

from daq.api.door.bridge import Bridge


async def across(function, *arguments):
    """Run an asyncio function that is given a bridge, from Trio."""
    async with trio_asyncio.open_loop() as loop:
        return await trio_asyncio.aio_as_trio(function)(Bridge(loop), *arguments)


async def test_a_call_returns_what_the_trio_function_returns():
    async def double(number: int) -> int:
        await trio.lowlevel.checkpoint()
        return 2 * number

    async def client(bridge):
        return await bridge.call(double, 21)

    assert await across(client) == 42


async def test_an_error_of_the_trio_function_comes_back_as_it_is():
    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise KeyError("missing")

    async def client(bridge):
        with pytest.raises(KeyError, match="missing"):
            await bridge.call(fail)

    await across(client)


async def test_a_cancelled_call_ends_only_after_its_trio_task():
    order = []

    async def slow(started) -> None:
        try:
            started.set()
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.02)
            order.append("device stopped")

    async def client(bridge):
        started = trio.Event()
        call = asyncio.ensure_future(bridge.call(slow, started))
        while not started.is_set():
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        order.append("call ended")

    await across(client)
    assert order == ["device stopped", "call ended"]


async def test_items_come_in_order_and_the_end_is_the_end():
    async def count(emit) -> None:
        for number in range(20):
            await emit(number)

    async def client(bridge):
        async with aclosing(bridge.subscribe(count, buffer=3)) as items:
            return [item async for item in items]

    assert await across(client) == list(range(20))


async def test_a_producer_waits_when_the_consumer_is_behind():
    emitted = []

    async def count(emit) -> None:
        for number in range(100):
            await emit(number)
            emitted.append(number)

    async def client(bridge):
        async with aclosing(bridge.subscribe(count, buffer=3)) as items:
            await anext(items)
            for _ in range(50):
                await asyncio.sleep(0)
        return len(emitted)

    assert await across(client) == 4  # one taken, three waiting


async def test_the_error_of_a_producer_comes_after_the_items_before_it():
    async def fail(emit) -> None:
        await emit(1)
        await emit(2)
        raise ValueError("broken")

    async def client(bridge):
        async with aclosing(bridge.subscribe(fail, buffer=8)) as items:
            seen = [await anext(items), await anext(items)]
            with pytest.raises(ValueError, match="broken"):
                await anext(items)
        return seen

    assert await across(client) == [1, 2]


async def test_closing_the_subscription_ends_the_producer_first():
    order = []

    async def forever(emit) -> None:
        try:
            while True:
                await emit(0)
        finally:
            order.append("producer ended")

    async def client(bridge):
        async with aclosing(bridge.subscribe(forever, buffer=2)) as items:
            async for _ in items:
                break
        order.append("consumer ended")

    await across(client)
    assert order == ["producer ended", "consumer ended"]


async def test_cancelling_the_consumer_ends_a_producer_that_waits():
    ended = []

    async def silent(_emit) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append("producer")

    async def consume(bridge):
        async with aclosing(bridge.subscribe(silent, buffer=2)) as items:
            async for _ in items:
                raise AssertionError

    async def client(bridge):
        task = asyncio.ensure_future(consume(bridge))
        for _ in range(10):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    await across(client)
    assert ended == ["producer"]


async def test_no_error_is_reported_to_the_loop_as_never_retrieved():
    reported = []

    async def fail(emit) -> None:
        await emit(1)
        raise ValueError("broken")

    async def client(bridge):
        asyncio.get_running_loop().set_exception_handler(lambda _, c: reported.append(c))
        async with aclosing(bridge.subscribe(fail, buffer=2)) as items:
            async for _ in items:
                break

    await across(client)
    assert reported == []
