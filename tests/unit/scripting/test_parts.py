"""The small parts: bucket, clock, shared page, progress, output."""

# ruff: noqa: E501 - short scripts on one line

from __future__ import annotations

import math
import os

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

import daq.scripting
from daq.scripting.child.language import arange
from daq.scripting.child.plans import linspace
from daq.scripting.child.progress import ProgressTracker
from daq.scripting.child.tracebacks import describe_error, error_line, error_title
from daq.scripting.parent.running_clock import RunningClock
from daq.scripting.parent.throttle import TokenBucket
from daq.scripting.policy.compiler import SCRIPT
from daq.scripting.shared_page import ControlWord, SharedPage


def test_the_package_offers_what_it_promises() -> None:
    assert {getattr(daq.scripting, name).__name__ for name in daq.scripting.__all__} == set(  # type: ignore[attr-defined]
        daq.scripting.__all__  # type: ignore[attr-defined]
    )
    with pytest.raises(AttributeError):
        _ = daq.scripting.nothing  # type: ignore[attr-defined]


def test_a_bucket_lets_a_burst_pass_and_then_its_rate() -> None:
    bucket = TokenBucket(10, 5)
    assert bucket.spend(5, now=0) == 0
    assert bucket.spend(1, now=0) == pytest.approx(0.1)
    assert bucket.spend(1, now=1) == 0
    assert "of 5" in repr(bucket)


async def test_the_clock_stands_still_while_paused(autojump_clock) -> None:
    clock = RunningClock()
    reached = []

    async def wait() -> None:
        await clock.wait_until(3)
        reached.append(trio.current_time())

    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.sleep(1)
        with clock.paused():
            await trio.sleep(10)
            assert clock.elapsed() == pytest.approx(1)
        await trio.sleep(1)
        assert clock.elapsed() == pytest.approx(2)
    assert reached == [pytest.approx(start + 13)]


@pytest.fixture
def page():
    made, descriptor = SharedPage.create()
    os.close(descriptor)
    yield made
    made.close()


def test_a_page_is_shared_and_cannot_be_shrunk() -> None:
    ours, descriptor = SharedPage.create()
    theirs = SharedPage(descriptor)
    ours.control = ControlWord.STOP
    theirs.line = 12
    assert (theirs.control, ours.line, ours.progress) == (ControlWord.STOP, 12, None)
    with pytest.raises(PermissionError):
        os.ftruncate(descriptor, 0)
    ours.close()
    theirs.close()
    os.close(descriptor)


@given(st.floats())
def test_progress_is_clamped_whatever_is_written(value) -> None:
    made, descriptor = SharedPage.create()
    os.close(descriptor)
    made._doubles[1] = value
    assert made.progress is None if not math.isfinite(value) else 0 <= made.progress <= 1  # type: ignore[operator]
    made.close()


def test_nested_loops_multiply(page) -> None:
    tracker = ProgressTracker(page)
    tracker.begin(1)
    seen = [page.progress for _ in tracker.track(range(2), 1) for _ in tracker.track(range(4))]
    assert seen == [i / 8 for i in range(8)]
    assert page.progress == 1


def test_a_loop_that_is_left_counts_as_done(page) -> None:
    tracker = ProgressTracker(page)
    tracker.begin(2)
    for _ in tracker.track(range(10)):
        break
    assert page.progress == 0  # it may be on its way out of the script
    seen = [page.progress for _ in tracker.track(range(2))]
    assert seen == [0.5, 0.75]
    assert page.progress == 1


def test_a_plan_without_a_count_has_its_share(page) -> None:
    tracker = ProgressTracker(page)
    tracker.begin(2)
    with tracker.segment():
        tracker.show(0.5)
        assert page.progress == 0.25
    assert page.progress == 0.5
    with tracker.segment():
        tracker.show(0.5)
        assert page.progress == 0.75
    assert page.progress == 1


def test_an_error_inside_leaves_the_outer_loop_in_order(page) -> None:
    tracker = ProgressTracker(page)
    kept = []
    seen = []
    for _ in tracker.track(range(4), 1):
        seen.append(page.progress)
        inner = iter(tracker.track(range(2)))
        next(inner)
        kept.append(inner)  # as a traceback does
    assert seen == [0, 0.25, 0.5, 0.75]


def test_what_has_no_length_is_passed_on_untouched(page) -> None:
    tracker = ProgressTracker(page)
    source = iter([1])
    assert tracker.track(source) is source
    assert tracker.track([]) == []
    assert page.progress is None


def test_ranges_of_floats() -> None:
    assert linspace(0, 1, 3) == [0, 0.5, 1]
    assert linspace(2, 9, 1) == [2]
    assert linspace(2, 9, 0) == []
    assert arange(3) == [0, 1, 2]
    assert arange(0, 1, 0.25) == [0, 0.25, 0.5, 0.75]
    assert arange(1, 0, -0.5) == [1, 0.5]
    assert arange(1, 0) == []
    for arguments in [(0, 1, 0), (0, math.inf), (0, 1, 1e-12)]:
        with pytest.raises(ValueError, match="has no end"):
            arange(*arguments)


def fail(source: str) -> BaseException:
    try:
        exec(compile(source, SCRIPT, "exec"), {})
    except Exception as error:
        return error
    raise AssertionError("it did not fail")


def test_long_recursions_are_shortened() -> None:
    source = "def f(n):\n    return f(n - 1) if n else 1 / 0\nf(50)"
    error = fail(source)
    text = describe_error(error, "s.py", source)
    assert "more frames" in text
    assert text.count("  File ") == 12
    assert error_line(error) == 2


def test_notes_and_suppressed_contexts_are_respected() -> None:
    source = "try:\n    1 / 0\nexcept ZeroDivisionError:\n    e = ValueError('x')\n    e.add_note('a note')\n    raise e from None"
    text = describe_error(fail(source), "s.py", source)
    assert "ZeroDivisionError" not in text
    assert text.endswith("ValueError: x\na note\n")


def test_a_text_that_cannot_be_made_is_replaced() -> None:
    error = fail("class E(Exception):\n    def __str__(self):\n        return 1 / 0\nraise E")
    assert error_title(error) == "E: <its text could not be made: ZeroDivisionError>"
