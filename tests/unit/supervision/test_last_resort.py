"""The daemon's last resort: it ends whatever holds it, sooner after a second signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from daq.supervision.last_resort import AT_ONCE_S, KERNEL_S, LastResort, last_resort


@pytest.fixture
def left() -> Iterator[list[float]]:
    """Who left and when; the timer of the tests' own time limit is put back behind them."""
    before = signal.setitimer(signal.ITIMER_REAL, 0)
    handler = signal.getsignal(signal.SIGALRM)
    yield []
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, *before)


def kernel_s() -> float:
    """What the kernel's timer has left, without the tick that it may add."""
    return max(0.0, signal.getitimer(signal.ITIMER_REAL)[0] - 0.01)


def test_when_the_time_is_over_it_leaves(left):
    gone = threading.Event()
    resort = LastResort(lambda seconds: (left.append(seconds), gone.set()))
    resort.leave_in(0.01)
    assert gone.wait(10)
    resort.cancel()
    assert left == [0.01]


def test_what_is_not_needed_any_more_is_taken_back_from_the_kernel_too(left):
    resort = LastResort(left.append)
    resort.leave_in(60.0)
    assert 60.0 < kernel_s() <= 60.0 + KERNEL_S
    resort.leave_in(30.0)  # the newest word counts
    assert kernel_s() <= 30.0 + KERNEL_S
    resort.cancel()
    assert (kernel_s(), left) == (0.0, [])
    assert "idle" in repr(resort)


@pytest.mark.parametrize(("signals", "most_s"), [(0, 60.0), (1, 60.0), (2, AT_ONCE_S)])
def test_after_a_second_signal_nothing_extends_what_is_left(left, signals, most_s):
    resort = LastResort(left.append)
    resort.signals = signals
    resort.leave_in(60.0)
    assert kernel_s() <= most_s + KERNEL_S
    assert kernel_s() > most_s
    resort.cancel()


def test_signals_are_counted_and_passed_on(left):
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with last_resort(40.0) as resort:
            assert kernel_s() == 0.0
            os.kill(os.getpid(), signal.SIGTERM)
            assert 40.0 < kernel_s() <= 40.0 + KERNEL_S
            os.kill(os.getpid(), signal.SIGTERM)
            assert kernel_s() <= AT_ONCE_S + KERNEL_S
            os.kill(os.getpid(), signal.SIGTERM)  # impatience does not give it more time
            assert (resort.signals, heard) == (3, [signal.SIGTERM] * 3)
        assert kernel_s() == 0.0
    finally:
        signal.signal(signal.SIGTERM, before)


HELD = """
import re, signal
from daq.supervision import last_resort
last_resort.KERNEL_S = 0.3
with last_resort.last_resort(60) as resort:
    resort.leave_in(0.1)
    print("held", flush=True)
    re.match(r"(a+)+$", "a" * 60 + "b")  # in C, with the interpreter's lock, for years
"""


def test_a_call_in_c_that_lets_no_python_run_is_ended_by_the_kernel():
    done = subprocess.run(
        [sys.executable, "-c", HELD], capture_output=True, timeout=60, check=False, text=True
    )
    assert done.stdout == "held\n", done.stderr
    assert done.returncode == -signal.SIGALRM
