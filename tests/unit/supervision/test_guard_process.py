"""The guard's own program, driven in this process: what it sends, when it acts, what it writes."""

import json
import os
import pty
import socket
import threading
import time
import tty
from contextlib import contextmanager

import pytest

from daq.drivers import LastWill, SerialSettings, WillFrame
from daq.supervision.guard.process.daemon import Daemon
from daq.supervision.guard.process.wills import act, blank_report, fill_in
from daq.supervision.guard.report import file_away, read_report, unseen_reports

DEAD = Daemon({"pid": 4711, "kill_frozen": True}, lambda: False)
SERIAL = SerialSettings(baud=19200, parity="E", stop_bits=2, rts_cts=True, xon_xoff=True)


@contextmanager
def instrument(answers):
    """A pseudo-terminal that answers lines; yields its path and what it was told."""
    controller, terminal = pty.openpty()
    tty.setraw(terminal)
    told = []
    path = os.ttyname(terminal)

    def serve():
        buffer = b""
        while True:
            try:
                buffer += os.read(controller, 100)
            except OSError:
                return
            *lines, buffer = buffer.split(b"\r")
            for line in lines:
                told.append(line)
                os.write(controller, answers.get(line, b""))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield path, told
    finally:
        os.close(terminal)
        thread.join(5)
        os.close(controller)


def orders(directory, *wills, timeout_s=0.3):
    return {
        "wills": [{"device": f"d{n}", **will.as_plain()} for n, will in enumerate(wills)],
        "directory": str(directory),
        "pid": 4711,
        "timeout_s": timeout_s,
        "kill_frozen": True,
    }


def carry_out(port, wills, deadline):
    report = blank_report(port, wills)
    fill_in(report, wills, deadline, DEAD)
    return report


def test_the_frames_of_a_port_go_out_in_order_and_the_answers_are_checked(tmp_path):
    with instrument({b"SHUT 0": b"OK 0\r", b"OFF": b"ER"}) as (path, told):
        will = LastWill(
            path,
            (
                WillFrame(b"\r"),
                WillFrame(b"SHUT 0\r", rb"OK \d\r"),
                WillFrame(b"OFF\r", b"OK", 0.1),
                WillFrame(b"STOP\r"),
            ),
            serial=SERIAL,
        )
        report = carry_out(path, orders(tmp_path, will)["wills"], time.monotonic() + 5)
        deadline = time.monotonic() + 5
        while len(told) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert told == [b"", b"SHUT 0", b"OFF", b"STOP"]
    assert [frame["ok"] for frame in report["frames"]] == [True, True, False, True]
    assert report["frames"][2]["reply"] == "ER"
    assert report["ok"] is False


def test_ports_are_served_at_the_same_time_and_a_dead_one_delays_nobody(tmp_path):
    with instrument({}) as (silent, _), instrument({b"X": b"OK"}) as (good, told):
        path = act(
            orders(
                tmp_path,
                LastWill(silent, tuple(WillFrame(b"X\r", b"OK", 60.0) for _ in range(5))),
                LastWill(good, (WillFrame(b"X\r", b"OK"),), "shutter closed"),
                LastWill("/dev/nothing-here", (WillFrame(b"X\r"),)),
                LastWill("ftp://somewhere", (WillFrame(b"X\r"),)),
                LastWill(f"file://{tmp_path}/bench", (WillFrame(b"CLOSE\n"), WillFrame(b"OFF\n"))),
            ),
            "the daemon died",
            DEAD,
        )
    report = read_report(path)
    by_device = {port["devices"][0]: port for port in report.ports}
    assert [by_device[f"d{n}"]["ok"] for n in range(5)] == [False, True, False, False, True]
    assert len(by_device["d0"]["frames"]) == 5  # all were sent
    assert told == [b"X"]
    assert "No such file" in by_device["d2"]["error"]
    assert "ftp://somewhere" in by_device["d3"]["error"]
    assert (tmp_path / "bench").read_text() == "CLOSE\nOFF\n"
    assert report.devices == ("d0", "d1", "d2", "d3", "d4")
    assert "d1: shutter closed" in str(report)
    assert "d2: NOT MADE SAFE on /dev/nothing-here" in str(report)


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_network_instruments_are_reached_too(tmp_path, family):
    if family == "tcp":
        server = socket.create_server(("127.0.0.1", 0))
        port = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    else:
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(tmp_path / "socket"))
        server.listen()
        port = f"unix://{tmp_path}/socket"

    def serve():
        connection, _ = server.accept()
        with connection:
            if connection.recv(100) == b"OUTP 0\n":
                connection.sendall(b"0\n")

    thread = threading.Thread(target=serve)
    thread.start()
    with server:
        wills = orders(tmp_path, LastWill(port, (WillFrame(b"OUTP 0\n", b"0"),)))["wills"]
        report = carry_out(port, wills, time.monotonic() + 5)
        thread.join(5)
    assert report["ok"], report


def test_an_instrument_that_hangs_up_is_told_at_once(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        wills = orders(tmp_path, LastWill(port, (WillFrame(b"A", b"B", 60.0),)))["wills"]
        report = carry_out(port, wills, time.monotonic() + 60)
        thread.join(5)
    assert report["duration_s"] < 30
    assert not report["ok"]


def test_reports_are_listed_until_they_are_filed_away(tmp_path):
    path = act(orders(tmp_path, LastWill(f"file://{tmp_path}/x", (WillFrame(b"A"),))), "why", DEAD)
    (tmp_path / "report-broken.json").write_text("{")
    (report,) = unseen_reports(tmp_path)
    filed = file_away(report)
    assert unseen_reports(tmp_path) == []
    assert filed.path.name == path.name.replace("report-", "reported-")
    assert json.loads(filed.path.read_text())["reason"] == "why"


@pytest.fixture
def held_by_this_process(monkeypatch):
    """This process plays the daemon, and the guard that it started."""
    monkeypatch.setattr(os, "getppid", os.getpid)
    return lambda **changed: {"pid": os.getpid(), "kill_frozen": True} | changed


def test_a_living_daemon_holds_the_lines_that_it_has_open_and_no_others(held_by_this_process):
    daemon = Daemon(held_by_this_process(), lambda: False)
    with instrument({}) as (path, _), socket.create_server(("127.0.0.1", 0)) as server:
        port = f"tcp://localhost:{server.getsockname()[1]}"
        assert daemon.holds(path)
        assert not daemon.holds(port)
        with socket.create_connection(server.getsockname()):
            assert daemon.holds(port)
            assert not daemon.holds(port.replace("localhost", "127.0.0.2"))
            assert not Daemon(held_by_this_process(pid=4711), lambda: False).holds(port)
        assert not daemon.holds("/dev/nothing-here")
        assert not daemon.holds("unix:///nowhere")


def test_a_connection_by_the_next_version_of_the_protocol_counts_too(held_by_this_process):
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("::1", port)):
            assert Daemon(held_by_this_process(), lambda: False).holds(f"tcp://[::1]:{port}")


def test_a_daemon_that_has_come_back_or_may_not_be_killed_lives(held_by_this_process):
    assert not Daemon(held_by_this_process(), lambda: True).give_way()
    assert not Daemon(held_by_this_process(kill_frozen=False), lambda: False).give_way()


def test_a_daemon_that_is_gone_is_not_in_the_way():
    assert DEAD.give_way()
