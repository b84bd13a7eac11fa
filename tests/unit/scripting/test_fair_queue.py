"""Places given in turn: users, not requests, are served one after the other."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from daq.core import OverloadError
from daq.scripting.parent.fair_queue import FairQueue


async def test_two_at_a_time_and_users_in_turn(autojump_clock):
    queue, order, inside, most = FairQueue("checks", 2, 10), [], 0, 0

    async def check(user, number):
        nonlocal inside, most
        async with queue.place(user):
            inside += 1
            most = max(most, inside)
            order.append((user, number))
            await trio.sleep(1)
            inside -= 1

    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(check, "eager", number)
            await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(check, "honest", 0)
    assert most == 2
    assert order.index(("honest", 0)) <= 4  # two were in already, and one waited longer
    assert trio.current_time() == pytest.approx(4)
    assert repr(queue) == "<FairQueue of checks: 2 free, 0 waiting>"


async def test_who_waits_for_too_many_is_told_and_nobody_else(autojump_clock):
    queue = FairQueue("checks of scripts", 1, 2)

    async def wait(user):
        async with queue.place(user):
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(wait, "eager")
            await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(OverloadError, match="eager has 2 checks of scripts waiting already"):
            async with queue.place("eager"):
                pass
        with trio.move_on_after(1) as scope:
            async with queue.place("honest"):
                pass
        assert scope.cancelled_caught
        nursery.cancel_scope.cancel()
    assert repr(queue) == "<FairQueue of checks of scripts: 1 free, 0 waiting>"


async def test_a_place_given_to_somebody_who_leaves_goes_on(autojump_clock):
    queue = FairQueue("checks", 1, 2)
    first, left = trio.Event(), trio.CancelScope()

    async def hold():
        async with queue.place("first"):
            await first.wait()

    async def leave():
        with left:
            async with queue.place("second"):
                raise AssertionError("it left before")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(leave)
        await trio.testing.wait_all_tasks_blocked()
        first.set()
        left.cancel()
    async with queue.place("third"):
        assert repr(queue) == "<FairQueue of checks: 0 free, 0 waiting>"
