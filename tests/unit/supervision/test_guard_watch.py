"""The guard at its post: what it hears, when it acts, how often."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import daq.supervision.guard.guard as daemon_side
from daq.supervision.guard.process.silence import Look
from daq.supervision.guard.process.watch import Watch

HASTY = {"timeout_s": 0.3}


@pytest.fixture
def orders(tmp_path):
    """Of a patient guard, with no last wills."""
    plain = {"wills": [], "pid": os.getpid(), "kill_frozen": True, "directory": str(tmp_path)}
    return plain | {"timeout_s": 60.0, "busy_s": 60.0}


class FakeDaemon:
    """As the kernel tells of it."""

    state = "S"

    def look(self):
        if self.state == "":
            raise ProcessLookupError
        return Look(self.state, 0, self.state, 0.0)


class Conversation:
    """A watch in a thread, and the daemon's end of the line."""

    def __init__(self, clock=None):
        self.link, self._theirs = socket.socketpair()
        self.link.settimeout(20)
        self.daemon = FakeDaemon()
        self.acts = []
        self._heard = b""
        watch = Watch(
            self._theirs, lambda *_: self.daemon, self._act, **({"clock": clock} if clock else {})
        )
        self._thread = threading.Thread(target=watch.run)
        self._thread.start()

    def _act(self, given, reason, daemon):
        self.acts.append(reason)
        return {"timestamp_ns": len(self.acts) * 10**9, "wills": [{"frames": [1]}]}

    def tell(self, *messages):
        self.link.sendall(b"".join(json.dumps(m).encode() + b"\n" for m in messages))

    def hear(self):
        while b"\n" not in self._heard:
            self._heard += self.link.recv(1000)
        line, _, self._heard = self._heard.partition(b"\n")
        return json.loads(line)

    def ended(self):
        self._thread.join(20)
        self._theirs.close()
        self.link.close()
        return not self._thread.is_alive()


def test_it_acts_when_the_line_ends_without_a_goodbye(orders):
    talk = Conversation()
    talk.tell({"arm": orders})
    assert talk.hear() == {"armed": 0}
    talk.link.close()
    assert talk.ended()
    assert talk.acts == ["the daemon died"]


def test_a_daemon_that_is_gone_is_dead_also_when_a_child_keeps_the_line_open(orders):
    talk = Conversation()
    talk.daemon.state = ""
    talk.tell({"arm": orders})
    assert talk.hear() == {"armed": 0}
    assert "report-" in talk.hear()["acted"]
    assert talk.ended()
    assert talk.acts == ["the daemon died"]


def test_it_goes_quietly_after_a_goodbye_also_in_one_gulp(orders):
    talk = Conversation()
    talk.tell({"arm": orders}, {"beat": 1}, {"bye": True})
    assert talk.ended()
    assert talk.acts == []


def test_it_acts_once_in_a_silence_and_again_in_the_next(orders):
    talk = Conversation()
    talk.tell({"arm": orders | HASTY})
    assert talk.hear() == {"armed": 0}
    for time in (1, 2):
        assert "report-" in talk.hear()["acted"]
        assert len(talk.acts) == time
        talk.tell({"beat": time})
        assert talk.hear() == {"alive": time}
    talk.tell({"bye": True})
    assert talk.ended()
    assert all("no sign of life" in reason for reason in talk.acts)


def test_a_silence_goes_on_after_it_has_acted_and_nothing_more_is_done(orders):
    talk = Conversation()
    talk.tell({"arm": orders | {"timeout_s": 0.2}})
    assert talk.hear() == {"armed": 0}
    assert "report-" in talk.hear()["acted"]
    talk.link.settimeout(0.8)
    with pytest.raises(TimeoutError):
        talk.hear()
    talk.tell({"bye": True})
    assert talk.ended()


def test_a_suspended_machine_is_no_silence(orders):
    times = iter([0.0, *(1e5 * n for n in range(1, 100))])  # each look at the clock is a day later
    talk = Conversation(lambda: next(times))
    talk.tell({"arm": orders | {"timeout_s": 1.6}})
    assert talk.hear() == {"armed": 0}
    assert "report-" in talk.hear()["acted"]
    talk.tell({"bye": True})
    assert talk.ended()
    # Half a second each, not a day: it took four.
    assert "no sign of life for 2.0 s" in talk.acts[0]


def test_before_it_is_armed_it_does_nothing(orders):
    talk = Conversation()
    talk.link.close()
    assert talk.ended()
    assert talk.acts == []


@pytest.fixture
def guard(tmp_path):
    """The real program, and our end of its line."""
    ours, theirs = socket.socketpair()
    lock = tmp_path / "lock"
    command = [sys.executable, "-I", "-S", str(daemon_side._PROGRAM), str(lock)]
    with ours, theirs, subprocess.Popen(command, stdin=theirs) as process:  # type: ignore[call-overload]
        ours.settimeout(20)
        yield process, ours, lock
        process.kill()


def test_what_ends_the_daemon_ends_no_guard_and_its_lock_is_held_to_its_end(guard, orders):
    process, ours, lock = guard
    ours.sendall(json.dumps({"arm": orders}).encode() + b"\n")
    assert json.loads(ours.recv(1000)) == {"armed": 0}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process.send_signal(number)
    ours.sendall(json.dumps({"arm": orders}).encode() + b"\n")
    assert json.loads(ours.recv(1000)) == {"armed": 0}  # it lives
    assert lock.read_text() == str(process.pid)
    with lock.open() as held:
        with pytest.raises(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ours.sendall(b'{"bye": true}\n')
        assert process.wait(20) == 0
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)


def kept(orders):
    return (Path(orders["directory"]) / "wills.json").exists()


def test_the_wills_are_on_disk_until_they_are_done(orders):
    talk = Conversation()
    talk.tell({"arm": orders | HASTY})
    assert talk.hear() == {"armed": 0}
    assert kept(orders)
    assert "report-" in talk.hear()["acted"]
    assert not kept(orders)
    talk.tell({"arm": orders})
    assert talk.hear() == {"armed": 0}
    assert kept(orders)
    talk.tell({"bye": True})
    assert talk.ended()
    assert not kept(orders)


def test_new_orders_take_the_place_of_the_old(orders):
    given = []
    talk = Conversation()
    for number in (1, 2):
        talk.tell({"arm": orders | {"wills": [{"device": "lamp"}] * number}})
        assert talk.hear() == {"armed": number}
        text = (Path(orders["directory"]) / "wills.json").read_text()
        given.append(len(json.loads(text)["orders"]["wills"]))
    assert given == [1, 2]
    talk.tell({"bye": True})
    assert talk.ended()


def test_a_full_disk_keeps_nobody_from_acting(orders):
    talk = Conversation()
    talk.tell({"arm": orders | HASTY | {"directory": "/nowhere"}})
    armed = talk.hear()
    assert armed["armed"] == 0
    assert "No such file" in armed["not_kept"]
    acted = talk.hear()
    assert "No such file" in acted["acted"]
    assert acted["report"]["wills"] == [{"frames": []}]
    talk.tell({"bye": True})
    assert talk.ended()
