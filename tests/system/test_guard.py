"""The whole daemon killed, stopped and ended, with an instrument on a pseudo-terminal."""

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import tty
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from daq.supervision.guard.process.daemon import is_connected

from .daemon_process import ROOT, DaemonProcess

BENCH = """
[devices.stage]
driver = "simulated.stage"
[devices.laser]
driver = "simulated.laser"
last_will = {{ port = "{port}", send = ["SHUTTER 0\\n", "EMISSION 0\\n"], reply = "OK", \
summary = "shutter closed, emission off", baud = 9600 }}
"""


DARK = ["", "SHUTTER 0", "EMISSION 0"]
"""What the laser is told: an end to half a command first."""


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


@contextmanager
def connected(daemon, stubs):
    """Calls of the control service, by name."""
    with grpc.insecure_channel(daemon.address) as channel:
        yield Control(stubs.daq_pb2_grpc.ControlServiceStub(channel), stubs.daq_pb2)


class Control:
    def __init__(self, control, pb):
        self._control, self._pb = control, pb

    def info(self):
        return self._control.GetDaemonInfo(self._pb.DaemonInfoRequest())

    def start(self, source):
        upload = self._control.UploadScript(
            self._pb.UploadRequest(script_content=source, name="nap.py")
        )
        self._control.StartScript(self._pb.StartRequest(script_id=upload.script_id))
        self.wait_for("RUNNING")

    def status(self):
        return self._control.GetScriptStatus(self._pb.StatusRequest())

    def wait_for(self, state):
        eventually(lambda: self.status().state == state)


def eventually(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_kill_9_in_the_middle_of_a_scan_leaves_the_laser_dark_and_on_record(
    start, laser, stubs, tmp_path
):
    with start() as daemon, connected(daemon, stubs) as control:
        assert control.info().counters["guard.armed"] == 1
        control.start("device('laser')\nsleep(1000)\n")
        daemon.kill()
        laser.wait_told(3)
    assert laser.told == DARK
    with start() as daemon:
        shown = daemon.client("info").stdout.replace("\n", " ")
        assert "because the daemon died: laser: shutter closed, emission off" in shown
        assert "the guard acted" in daemon.log
        guard = int((tmp_path / "data" / "guard" / "lock").read_text())
        os.kill(guard, signal.SIGSTOP)
        daemon.kill()
        os.kill(guard, signal.SIGKILL)  # out of memory: both are gone at once
    assert laser.told == DARK
    with start() as daemon, connected(daemon, stubs) as control:
        assert laser.told == 2 * DARK
        (warning,) = control.info().warnings
        assert "it died together with its guard, found at this start: laser: shutter" in warning
        assert warning in daemon.log


def test_a_daemon_that_ends_by_itself_leaves_nothing_to_the_guard(start, laser, tmp_path):
    with start() as daemon:
        assert daemon.end(signal.SIGTERM) == 0
    assert laser.told == []
    assert list((tmp_path / "data" / "guard").glob("report*")) == []


def test_a_daemon_that_stood_still_finds_out_and_kills_what_ran(start, laser, stubs):
    with start() as daemon, connected(daemon, stubs) as control:
        control.start("device('laser').open()\nsleep(1000)\n")
        daemon.process.send_signal(signal.SIGSTOP)
        laser.wait_told(3)
        daemon.process.send_signal(signal.SIGCONT)
        control.wait_for("KILLED")
        message = control.status().error_message
        assert "the guard made laser safe: the daemon gave no sign of life" in message
        eventually(lambda: control.info().counters["guard.armed"] == 1)
        info = control.info()
        assert info.counters["guard.acted"] == 1
        assert len(info.warnings) == 1


def test_an_overloaded_daemon_is_left_alone(tmp_path):
    config = tmp_path / "bench.toml"
    lines = BENCH.format(port=f"file://{tmp_path}/laser")
    config.write_text(f"{lines}[guard]\nheartbeat_s = 0.1\ntimeout_s = 0.5\n")
    with DaemonProcess(tmp_path / "data", "--config", config) as daemon, overload(daemon.process):
        time.sleep(4)
    assert "the guard acted" not in daemon.log
    assert list((tmp_path / "data" / "guard").glob("report*")) == []


@contextmanager
def overload(process):
    """Sixteen others compute, and the daemon comes last: it gets the processor once a second."""
    for thread in Path(f"/proc/{process.pid}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(thread.name), 19)
    # They end by themselves, should nobody come to end them.
    command = [sys.executable, "-S", "-c", "import signal; signal.alarm(20)\nwhile True: pass"]
    burners = [subprocess.Popen(command) for _ in range(16)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


ONE_LINE = """
[devices.maitai]
driver = "spectra_physics.maitai"
port = "{address}"
[guard]
timeout_s = 1.0
kill_frozen = {kill}
"""


@pytest.fixture
def one_line():
    """A laser with its shutter open, that serves one connection at a time; yields its address."""
    command = [sys.executable, "-m", "daq", "simulate", "maitai", "--tcp", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as simulator:
        try:
            yield re.search(r"[\w.]+:\d+", simulator.stdout.readline())[0]
        finally:
            simulator.kill()


def ask(address, question):
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), 20) as connection:
        connection.sendall(question)
        return connection.recv(100).strip()


def stop_in_front_of(daemon, address):
    """Stop the daemon while it is connected: one that was just connecting leaves the line free."""
    port = int(address.rpartition(":")[2])
    pid = daemon.process.pid

    def stands_on_the_line():
        daemon.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
        if is_connected(pid, "127.0.0.1", port):
            return True
        daemon.process.send_signal(signal.SIGCONT)
        return False

    eventually(stands_on_the_line)


def test_a_daemon_that_stands_still_in_front_of_a_laser_is_killed(one_line, tmp_path):
    ask(one_line, b"SHUT 1\nSHUT?\n")
    eventually(lambda: ask(one_line, b"SHUT?\n") == b"1")
    config = tmp_path / "bench.toml"
    config.write_text(ONE_LINE.format(address=one_line, kill="true"))
    with DaemonProcess(tmp_path / "data", "--config", config) as daemon:
        stop_in_front_of(daemon, one_line)
        assert daemon.process.wait(20) == -signal.SIGKILL
        eventually(lambda: ask(one_line, b"SHUT?\n") == b"0")
    with DaemonProcess(tmp_path / "data", "--config", config) as daemon:
        shown = " ".join(daemon.client("info").stdout.split())
        assert "was killed, since it held the line): maitai: shutter closed" in shown


def test_a_daemon_that_may_not_be_killed_is_reported(one_line, tmp_path):
    config = tmp_path / "bench.toml"
    config.write_text(ONE_LINE.format(address=one_line, kill="false"))
    with DaemonProcess(tmp_path / "data", "--config", config) as daemon:
        stop_in_front_of(daemon, one_line)
        eventually(lambda: list((tmp_path / "data" / "guard").glob("report-*")))
        daemon.process.send_signal(signal.SIGCONT)
        eventually(lambda: "NOT MADE SAFE" in daemon.client("info").stdout)
