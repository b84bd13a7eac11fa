"""Hung or busy: what the guard makes of the kernel's evidence."""

import os
import signal
import subprocess
import sys

import pytest

from daq.supervision.guard.process.daemon import Daemon
from daq.supervision.guard.process.silence import TICK_S, Look, Silence

BOUNDS = {"timeout_s": 3.0, "busy_s": 10.0}


def watched(looks, tick_s=TICK_S):
    """The seconds after which the guard acts on a silent daemon that looks so, and why."""
    silence = Silence()
    for number, look in enumerate(looks, 1):
        silence.add(tick_s, look)
        if why := silence.verdict(BOUNDS):
            return number * TICK_S, why
    return None, ""


def daemon(state, *, threads="", turns=0, share=0.0, for_s=600.0):
    """A daemon that goes on in one way: `turns` of its loop's thread and processor, each second."""
    return [
        Look(state, int(turns * n * TICK_S), state + threads, share * n * TICK_S)
        for n in range(int(for_s / TICK_S))
    ]


@pytest.mark.parametrize(
    ("looks", "word"),
    [
        (daemon("T"), "it is stopped"),
        (daemon("t"), "debugger"),
        (daemon("D"), "waits for a disk"),
        (daemon("S"), "stands still"),
        (daemon("S", threads="RRR", share=1.0), "stands still"),  # others compute, the loop waits
        (daemon("S", threads="SS", turns=200, share=0.01), "stands still"),  # for the lock of one
    ],
    ids=["stopped", "traced", "disk", "blocked", "blocked beside work", "lock never given back"],
)
def test_a_daemon_that_stands_still_hangs(looks, word):
    after_s, why = watched(looks)
    assert after_s == BOUNDS["timeout_s"]
    assert why.startswith("the daemon gave no sign of life for 3.0 s: ")
    assert word in why


@pytest.mark.parametrize(
    ("looks", "after_s"),
    [
        (daemon("R", turns=10, share=0.02), 60.0),  # it gets little of an overloaded machine
        (daemon("R"), 60.0),  # nothing at all
        (daemon("S", threads="SD", turns=3, share=0.02), 60.0),  # it is being swapped in
        (daemon("D", turns=3, share=0.02), 60.0),
        # From the second look on it is known what was computed.
        (daemon("R", turns=10, share=1.0), 10.25),  # a legal call computes
        (daemon("S", threads="R", turns=200, share=1.0), 10.25),  # the same in a thread
        (daemon("S", threads="S", turns=200, share=0.5), 20.25),  # seen between two steps
        (daemon("R", turns=10, share=8.0), 10.25),  # on eight processors
    ],
)
def test_a_daemon_that_computes_or_is_not_let_gets_far_longer(looks, after_s):
    assert watched(looks)[0] == after_s


def test_an_endless_loop_and_a_machine_that_lets_nobody_run_are_told_apart():
    assert "computed for 10.0 s" in watched(daemon("R", share=1.0))[1]
    assert "does not get a processor" in watched(daemon("R"))[1]


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_short_of_the_bounds_nobody_acts(share):
    assert watched(daemon("R", turns=10, share=share, for_s=9.75)) == (None, "")
    assert watched(daemon("S", for_s=2.75)) == (None, "")


def test_work_in_between_is_not_standing_still():
    mixed = [Look("S" if n % 12 else "R", 0, "S", 0.01 * n) for n in range(int(50 / TICK_S))]
    assert watched(mixed) == (None, "")


def test_a_word_from_the_daemon_begins_it_anew():
    silence = Silence()
    for _ in range(20):
        for look in daemon("T", for_s=2.75):
            silence.add(TICK_S, look)
        assert silence.verdict(BOUNDS) == ""
        silence.end()
    assert silence.lasted_s == 0.0


def test_after_a_word_old_evidence_is_none():
    silence = Silence()
    silence.add(TICK_S, Look("S", 5, "S", 1.0))
    silence.end()
    for _ in range(12):
        silence.add(TICK_S, Look("S", 900, "S", 9.0))  # it ran before, and not since
    assert "stands still" in silence.verdict(BOUNDS)


def test_a_machine_that_was_suspended_does_not_count_as_silence():
    silence = Silence()
    silence.add(86_400.0, Look("S", 0, "S", 0.0))
    assert silence.lasted_s == 2 * TICK_S
    assert silence.verdict(BOUNDS) == ""


@pytest.fixture
def child():
    """A child of this process, so that it is the daemon in the eyes of the kernel's tables."""
    program = "import sys\nprint('up', flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-S", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        yield process
        process.kill()


def test_the_kernel_tells_how_a_process_is(monkeypatch, child):
    monkeypatch.setattr(os, "getppid", lambda: child.pid)
    process = Daemon({"pid": child.pid, "kill_frozen": True}, lambda: False)
    assert process.look().state in "RS"
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    stopped = process.look()
    assert (stopped.state, stopped.threads) == ("T", "T")
    assert stopped.turns > 0
    assert process.look() == stopped
    child.send_signal(signal.SIGCONT)
    child.stdin.close()  # it wakes up once more
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process.look().turns > stopped.turns


def test_it_tells_the_processor_time_of_all_threads(monkeypatch):
    monkeypatch.setattr(os, "getppid", os.getpid)
    look = Daemon({"pid": os.getpid(), "kill_frozen": True}, lambda: False).look()
    assert look.state == "R"
    assert look.ran_s == pytest.approx(sum(os.times()[:2]), abs=0.05)


def test_a_process_that_is_not_our_parent_any_more_is_gone():
    with pytest.raises(ProcessLookupError):
        Daemon({"pid": os.getpid(), "kill_frozen": True}, lambda: False).look()
