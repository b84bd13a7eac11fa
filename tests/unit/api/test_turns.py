"""Pieces of what comes on a connection, and whose turn it is to have one taken."""

from __future__ import annotations

import asyncio
import itertools
import time

from hypothesis import given
from hypothesis import strategies as st

from daq.api.door.turns import PIECE_BYTES, PIECE_FRAMES, PREFACE_BYTES, TURN_S, FrameCutter, Turns

PREFACE = bytes(PREFACE_BYTES)


def a_frame(size: int) -> bytes:
    return size.to_bytes(3, "big") + bytes(6) + b"x" * size


def pieces(cutter: FrameCutter) -> list[bytes]:
    found = []
    while cutter.has_piece:
        found.append(cutter.take())
        assert found[-1]
    assert cutter.take() == b""
    return found


@given(st.lists(st.integers(0, 3 * PIECE_BYTES) | st.integers(0, 20), max_size=60), st.data())
def test_pieces_are_all_that_came_however_it_is_cut_and_hold_few_frames(sizes, data):
    stream = PREFACE + b"".join(map(a_frame, sizes))
    cutter, taken, position = FrameCutter(), b"", 0
    while position < len(stream):
        step = data.draw(st.integers(1, len(stream)), label="bytes that come together")
        cutter.feed(stream[position : position + step])
        position += step
        for piece in pieces(cutter):
            assert len(piece) <= PIECE_BYTES
            taken += piece
    assert taken == stream


def test_small_frames_are_taken_sixteen_at_a_time():
    cutter = FrameCutter()
    cutter.feed(PREFACE + a_frame(4) * 100)
    first, *others = pieces(cutter)
    assert len(first) == PREFACE_BYTES + PIECE_FRAMES * len(a_frame(4))
    assert {len(piece) for piece in others[:-1]} == {PIECE_FRAMES * len(a_frame(4))}


def test_half_a_head_waits_for_its_rest():
    cutter = FrameCutter()
    cutter.feed(PREFACE + a_frame(3)[:5])
    assert pieces(cutter) == [PREFACE]
    cutter.feed(a_frame(3)[5:])
    assert pieces(cutter) == [a_frame(3)]


def busy(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_what_takes_long_is_done_in_turns_and_others_run_in_between():
    order: list[str] = []

    async def run() -> None:
        turns, loop = Turns(), asyncio.get_running_loop()
        for name in "abcd":
            turns.take(lambda name=name: (busy(1.1 * TURN_S), order.append(name)))  # type: ignore[misc]
        loop.call_soon(order.append, "other")
        while len(order) < 5:
            await asyncio.sleep(0)
        assert repr(turns) == "<Turns 0 wait>"

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(run())
    assert order == ["a", "b", "other", "c", "d"]


def test_a_deed_that_fails_keeps_no_other_from_its_turn():
    done: list[str] = []

    async def run() -> None:
        turns = Turns()
        asyncio.get_running_loop().set_exception_handler(lambda *_: done.append("told"))
        turns.take(lambda: busy(1.1 * TURN_S))
        turns.take(lambda: 1 / 0)
        turns.take(lambda: done.append("next"))
        while len(done) < 2:
            await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(run())
    assert done == ["told", "next"]


def test_who_goes_on_for_ever_has_one_place_in_the_queue_and_not_more():
    """Each turn of the loop runs it some times, and everything else once: nothing piles up."""
    others, rounds = [], []

    async def run() -> None:
        turns, loop = Turns(), asyncio.get_running_loop()

        def go_on() -> None:
            busy(TURN_S / 3)
            rounds.append(len(others))
            if len(rounds) < 100:
                turns.take_later(go_on)

        def other() -> None:
            others.append(len(rounds))
            if len(rounds) < 100:
                loop.call_soon(other)

        turns.take(go_on)
        loop.call_soon(other)
        while len(rounds) < 100:
            await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(run())
    gained = [after - before for before, after in itertools.pairwise(others)]
    assert max(gained) <= 4
