"""The whole daemon killed, stopped and ended, with an instrument on a pseudo-terminal."""

import os
import pty
import signal
import threading
import time
import tty

import pytest

from .daemon_process import DaemonProcess

BENCH = """
[devices.stage]
driver = "simulated.stage"
[devices.laser]
driver = "simulated.laser"
last_will = {{ port = "{port}", send = ["SHUTTER 0\\n", "EMISSION 0\\n"], reply = "OK", \
summary = "shutter closed, emission off", baud = 9600 }}
"""


class Laser:
    """A laser on a pseudo-terminal: writes down what it is told, and answers OK."""

    def __init__(self):
        self._controller, self._terminal = pty.openpty()
        tty.setraw(self._terminal)
        self.port = os.ttyname(self._terminal)
        self.told = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        buffer = b""
        while True:
            try:
                buffer += os.read(self._controller, 100)
            except OSError:
                return
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                os.write(self._controller, b"OK\n")
                with self._changed:
                    self.told.append(line.decode())
                    self._changed.notify_all()

    def wait_told(self, count):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.told) >= count, 20), self.told

    def close(self):
        os.close(self._terminal)
        self._thread.join(5)
        os.close(self._controller)


@pytest.fixture
def laser():
    instrument = Laser()
    yield instrument
    instrument.close()


@pytest.fixture
def start(tmp_path, laser):
    config = tmp_path / "bench.toml"
    config.write_text(BENCH.format(port=laser.port))

    def start():
        return DaemonProcess(tmp_path / "data", "--config", config)

    return start


def eventually(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_kill_9_in_the_middle_of_a_scan_leaves_the_laser_dark_and_on_record(start, laser, script):
    with start() as daemon:
        assert daemon.json("info")["counters"]["guard.armed"] == 1
        daemon.json("upload", script("device('laser')\nsleep(1000)\n", "nap.py"))
        daemon.json("start", "nap")
        daemon.kill()
        laser.wait_told(2)
    assert laser.told == ["SHUTTER 0", "EMISSION 0"]
    with start() as daemon:
        (warning,) = daemon.json("info")["warnings"]
        assert "the daemon died: laser: shutter closed, emission off" in warning
        assert "the guard acted" in daemon.client("info").stdout
        assert "the guard acted" in daemon.log
    with start() as daemon:
        assert daemon.json("info")["warnings"] == []
    assert len(laser.told) == 2


def test_a_daemon_that_ends_by_itself_leaves_nothing_to_the_guard(start, laser, tmp_path):
    with start() as daemon:
        assert daemon.end(signal.SIGTERM) == 0
    assert laser.told == []
    assert list((tmp_path / "data" / "guard").glob("report*")) == []


def test_a_daemon_that_stood_still_finds_out_and_kills_what_ran(start, laser, script):
    with start() as daemon:
        daemon.json("upload", script("device('laser').open()\nsleep(1000)\n", "nap.py"))
        daemon.json("start", "nap")
        eventually(lambda: daemon.json("status")["state"] == "RUNNING")
        daemon.process.send_signal(signal.SIGSTOP)
        laser.wait_told(2)
        daemon.process.send_signal(signal.SIGCONT)
        eventually(lambda: daemon.json("status")["state"] == "KILLED")
        status = daemon.json("status")
        assert "the guard made laser safe: the daemon gave no sign of life" in status["message"]
        eventually(lambda: daemon.json("info")["counters"]["guard.armed"] == 1)
        info = daemon.json("info")
        assert info["counters"]["guard.acted"] == 1
        assert len(info["warnings"]) == 1
