"""Last wills carried out: what goes over the line, in which order, and what is made of answers."""

import contextlib
import fcntl
import os
import pty
import socket
import termios
import threading
import time
import tty
from contextlib import contextmanager
from unittest import mock

import pytest

from daq.drivers import LastWill, SerialSettings, WillFrame
from daq.supervision.guard.process import wills as wills_module
from daq.supervision.guard.process.daemon import Daemon
from daq.supervision.guard.process.line import Line, open_line, real_port
from daq.supervision.guard.process.wills import act, carry_out
from daq.supervision.guard.report import parse_report

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


@pytest.fixture(autouse=True)
def all_the_time_in_the_world(monkeypatch):
    """A loaded machine fails no test; those about time have a short one of their own."""
    monkeypatch.setattr(wills_module, "REPLIES_S", 20.0)
    monkeypatch.setattr(wills_module, "ACT_S", 21.0)


def plain(*wills, after=()):
    """As the daemon tells them; `after` are pairs of devices, of which the first waits."""
    return [
        {"device": f"d{n}", "after": [b for a, b in after if a == f"d{n}"], **will.as_plain()}
        for n, will in enumerate(wills)
    ]


def acted(*wills, after=(), daemon=DEAD):
    return act({"pid": 4711, "wills": plain(*wills, after=after)}, "the daemon died", daemon)


def outcomes(report):
    return {will["device"]: will["outcome"] for will in report["wills"]}


class FakeLine:
    """Notes what is done with it; answers what `answers` has for a command."""

    def __init__(self, answers=None):
        self.deeds = []
        self._answers = answers or {}
        self._said = []

    def set_up(self, settings):
        if settings["baud"] == 7:
            raise OSError("7 baud is no standard rate")
        self.deeds.append(settings["baud"])

    def send(self, data, deadline):
        self.deeds.append(data)
        answers = self._answers.get(data, [])
        if answers:
            self._said.append(answers.pop(0))

    def receive(self, timeout):
        if self._said:
            return self._said.pop(0)
        wills_module.time.sleep(timeout)  # type: ignore[attr-defined]
        return b""

    def forget(self, quiet_s):
        self.deeds.append("forget")
        self._said.clear()


class VirtualTime:
    """Goes on only while somebody sleeps."""

    now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def on(line, *wills):
    """The reports of wills carried out one after the other on one line, in virtual time."""
    reports, unanswered = [], []
    with mock.patch.object(wills_module, "time", VirtualTime()) as virtual:
        for will in plain(*wills):
            report = {"outcome": "failed", "error": "did not end in time", "frames": []}
            carry_out(line, will, report, virtual.monotonic() + 0.6, unanswered)
            reports.append(report)
    return reports


def will_of(*frames, **more):
    return LastWill("/dev/x", tuple(frames), **more)


def test_each_will_has_its_own_settings_and_begins_by_ending_half_a_command():
    line = FakeLine()
    on(
        line,
        will_of(WillFrame(b"A\r\n"), WillFrame(b"B\r"), serial=SerialSettings(9600)),
        will_of(WillFrame(b"C;"), serial=SerialSettings(19200)),
        will_of(WillFrame(b"D\r"), clear=b";"),
        will_of(WillFrame(b"E\r"), clear=b""),
    )
    assert [deed for deed in line.deeds if deed != "forget"] == [
        *(9600, b"\r\n", b"A\r\n", b"B\r"),
        *(19200, b"C;"),
        *(9600, b";", b"D\r"),
        *(9600, b"E\r"),
    ]


def test_what_ended_half_a_command_is_no_answer_to_the_will():
    line = FakeLine({b"\r": [b"OK"]})  # it has carried out the half command, and says so
    (report,) = on(line, will_of(WillFrame(b"OFF\r", b"OK", 0.05)))
    assert report["outcome"] == "failed"
    assert report["frames"][0]["reply"] == ""


@pytest.mark.parametrize(
    ("frames", "answers", "outcome"),
    [
        ([WillFrame(b"OFF\r")], {}, "sent"),
        ([WillFrame(b"OFF\r", b"OK")], {b"OFF\r": [b"OK"]}, "made safe"),
        ([WillFrame(b"OFF\r", b"OK", 0.05)], {b"OFF\r": [b"NO"]}, "failed"),
        ([WillFrame(b"OFF\r", b"OK", 0.05)], {}, "failed"),
        # After the last answer something was sent that nobody has confirmed.
        ([WillFrame(b"A\r", b"OK"), WillFrame(b"B\r")], {b"A\r": [b"OK"]}, "sent"),
        ([WillFrame(b"A\r"), WillFrame(b"B?\r", b"0")], {b"B?\r": [b"0"]}, "made safe"),
        # It is not at once as it shall be; a plain question is not asked again.
        (
            [WillFrame(b"B?\r", b"0", 0.4, repeat=True)],
            {b"B?\r": [b"1", b"1", b"0"]},
            "made safe",
        ),
        ([WillFrame(b"B?\r", b"0", 0.2)], {b"B?\r": [b"1", b"1", b"0"]}, "failed"),
        ([WillFrame(b"B?\r", b"0", 0.2, repeat=True)], {b"B?\r": [b"1"] * 99}, "failed"),
    ],
)
def test_made_safe_is_what_the_instrument_has_confirmed_last(frames, answers, outcome):
    (report,) = on(FakeLine({key: list(said) for key, said in answers.items()}), will_of(*frames))
    assert report["outcome"] == outcome


def test_every_frame_is_sent_also_after_one_that_failed():
    line = FakeLine()
    on(line, will_of(WillFrame(b"A\r", b"OK", 0.02), WillFrame(b"B\r", b"OK", 0.02)))
    assert line.deeds[-3:] == [b"A\r", "forget", b"B\r"]


def test_a_late_answer_of_one_instrument_is_not_that_of_the_next():
    same, other = WillFrame(b"B\r", b"OK", 0.05), WillFrame(b"C\r", b"2GS", 0.05)
    line = FakeLine({b"B\r": [b"OK"], b"C\r": [b"2GS"]})
    silent, next_one, third = on(
        line, will_of(WillFrame(b"A\r", b"OK", 0.05)), will_of(same), will_of(other)
    )
    assert (silent["outcome"], next_one["outcome"], third["outcome"]) == (
        *("failed", "failed"),
        "made safe",
    )
    assert "may be that to a command before" in next_one["frames"][0]["error"]


def test_settings_that_one_will_cannot_have_cost_the_others_nothing():
    line = FakeLine({b"B\r": [b"OK"]})
    odd, good = on(
        line,
        will_of(WillFrame(b"A\r"), serial=SerialSettings(7)),
        will_of(WillFrame(b"B\r", b"OK")),
    )
    assert (odd["outcome"], odd["error"]) == ("failed", "7 baud is no standard rate")
    assert good["outcome"] == "made safe"


def test_the_frames_of_a_port_go_out_in_order_and_the_answers_are_checked():
    with instrument({b"SHUT 0": b"OK 0\r", b"OFF": b"ER"}) as (path, told):
        report = acted(
            LastWill(
                path,
                (
                    WillFrame(b"SHUT 0\r", rb"OK \d\r", 20.0),
                    WillFrame(b"OFF\r", b"OK", 0.1),
                    WillFrame(b"STOP\r"),
                ),
                serial=SERIAL,
            )
        )
        wait_until(lambda: len(told) == 4)
    assert told == [b"", b"SHUT 0", b"OFF", b"STOP"]
    (will,) = report["wills"]
    assert [frame["ok"] for frame in will["frames"]] == [True, False, True]
    assert will["frames"][1]["reply"] == "ER"
    assert will["outcome"] == "failed"


def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_wills_of_one_real_port_take_turns_whatever_its_names_are(tmp_path):
    with instrument({b"A": b"OK", b"B": b"OK"}) as (path, told):
        link = tmp_path / "laser"
        link.symlink_to(path)
        frames = [(WillFrame(name + b"\r", b"OK", 20.0),) for name in (b"A", b"B")]
        report = acted(LastWill(path, frames[0]), LastWill(str(link), frames[1]))
    assert told == [b"", b"A", b"", b"B"]
    assert set(outcomes(report).values()) == {"made safe"}


def test_a_port_is_what_the_kernel_numbers_not_what_it_is_called(tmp_path):
    controller, terminal = pty.openpty()
    with contextlib.closing(Line(controller)), contextlib.closing(Line(terminal)):
        path = os.ttyname(terminal)
        (tmp_path / "by-id").symlink_to(path)
        assert real_port(str(tmp_path / "by-id")) == real_port(path)
        assert real_port("/dev/null") != real_port(path)
    (tmp_path / "file").touch()
    (tmp_path / "other").symlink_to("file")
    assert real_port(str(tmp_path / "file")) == real_port(str(tmp_path / "other"))
    (tmp_path / "gone").symlink_to("nothing")
    assert real_port(str(tmp_path / "gone")) == str(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("tcp://localhost:5000", "socket://127.0.0.1:5000", True),
        ("tcp://[::1]:5000", "tcp://[0:0:0:0:0:0:0:1]:5000", True),
        ("tcp://Laser.lab:5000", "tcp://laser.lab:5000", True),
        ("tcp://127.0.0.1:5000", "tcp://127.0.0.1:5001", False),
        ("tcp://127.0.0.1:5000", "tcp://127.0.0.2:5000", False),
        ("unix:///run/a", "unix:///run/b", False),
    ],
)
def test_network_ports_are_compared_by_their_address(one, other, same):
    assert (real_port(one) == real_port(other)) is same


@pytest.fixture
def finished(monkeypatch):
    """The devices in the order in which their wills were done; the second one takes its time."""
    order = []

    def slowly(line, will, *rest):
        if will["device"] == "d1":
            time.sleep(0.05)
        carry_out(line, will, *rest)
        order.append(will["device"])

    monkeypatch.setattr(wills_module, "carry_out", slowly)
    return order


def test_light_goes_before_motion_also_on_another_port(tmp_path, finished):
    stage, laser, lamp = (
        LastWill(f"file://{tmp_path}/{name}", (WillFrame(b"OFF\n"),)) for name in "abc"
    )
    report = acted(stage, laser, lamp, after=[("d0", "d1"), ("d0", "d9")])
    assert finished == ["d2", "d1", "d0"]
    assert set(outcomes(report).values()) == {"sent"}


def test_nobody_waits_for_good_for_one_that_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr(wills_module, "REPLIES_S", 0.3)
    with instrument({}) as (silent, _):
        report = acted(
            LastWill(f"file://{tmp_path}/stage", (WillFrame(b"ST\n"),)),
            LastWill(silent, (WillFrame(b"OFF?\r", b"0", 60.0),)),
            after=[("d0", "d1")],
        )
    assert outcomes(report) == {"d0": "sent", "d1": "failed"}
    assert 0.3 <= report["duration_s"] < 10.0


def test_ports_are_served_at_the_same_time_and_a_dead_one_delays_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(wills_module, "REPLIES_S", 1.0)
    with instrument({}) as (silent, _), instrument({b"X": b"OK"}) as (good, told):
        document = acted(
            LastWill(silent, tuple(WillFrame(b"X\r", b"OK", 60.0) for _ in range(5))),
            LastWill(good, (WillFrame(b"X\r", b"OK", 20.0),), "shutter closed"),
            LastWill("/dev/nothing-here", (WillFrame(b"X\r"),)),
            LastWill("/dev/null", (WillFrame(b"X\r"),)),
            LastWill("ftp://somewhere", (WillFrame(b"X\r"),)),
            LastWill(f"file://{tmp_path}/bench", (WillFrame(b"CLOSE\n"), WillFrame(b"OFF\n"))),
        )
    assert list(outcomes(document).values()) == [
        *("failed", "made safe", "failed", "failed", "failed", "sent"),
    ]
    errors = [will["error"] for will in document["wills"]]
    assert len(document["wills"][0]["frames"]) == 5  # all were sent
    assert told == [b"", b"X"]
    assert "No such file" in errors[2]
    assert "no serial port" in errors[3]
    assert "ftp://somewhere" in errors[4]
    assert (tmp_path / "bench").read_text() == "CLOSE\nOFF\n"
    report = parse_report(document, None)
    assert report.devices == ("d0", "d1", "d2", "d3", "d4", "d5")
    assert "d1: shutter closed;" in str(report)
    assert "d2: NOT MADE SAFE on /dev/nothing-here" in str(report)
    assert "d5: its last will (sent, not answered)" in str(report)
    assert set(report.not_confirmed()) == {"d0", "d2", "d3", "d4", "d5"}


@pytest.fixture
def terminal_calls(monkeypatch):
    """What the kernel was told about the line; a pseudo-terminal itself knows no parity."""
    calls = []
    monkeypatch.setattr(
        termios, "tcsetattr", lambda fd, when, attributes: calls.append((when, attributes))
    )
    monkeypatch.setattr(termios, "tcflush", lambda fd, queue: calls.append(queue))
    return calls


def test_a_line_is_set_as_its_instrument_speaks(terminal_calls):
    with instrument({}) as (path, _), contextlib.closing(open_line(path)) as line:
        line.set_up(plain(will_of(serial=SERIAL))[0]["serial"])
        line.set_up(plain(will_of(serial=SERIAL))[0]["serial"])  # as it is already
        line.set_up(plain(will_of(serial=SerialSettings(parity="O", data_bits=7)))[0]["serial"])
    flushed, (when, even), (_, odd) = terminal_calls
    assert flushed == termios.TCIOFLUSH  # what the daemon had still to say
    assert when == termios.TCSADRAIN  # not in the middle of the will before
    assert even[:2] == [termios.IXON | termios.IXOFF, 0]
    assert even[2] == (
        (termios.CREAD | termios.CLOCAL | termios.CS8 | termios.CSTOPB)
        | (termios.PARENB | termios.CRTSCTS)
    )
    assert even[3:6] == [0, termios.B19200, termios.B19200]
    assert odd[0] == 0
    assert odd[2] == (
        termios.CREAD | termios.CLOCAL | termios.CS7 | termios.PARENB | termios.PARODD
    )
    assert odd[4:6] == [termios.B9600, termios.B9600]


def test_between_wills_only_what_came_in_is_thrown_away(terminal_calls):
    with instrument({}) as (path, _), contextlib.closing(open_line(path)) as line:
        line.forget(0.0)
    assert terminal_calls == [termios.TCIOFLUSH, termios.TCIFLUSH]


def test_what_came_in_is_thrown_away_and_one_that_never_stops_talking_holds_up_nobody():
    ours, theirs = socket.socketpair()
    with ours, contextlib.closing(Line(theirs.detach())) as line:
        ours.sendall(b"late" * 2000)
        line.forget(0.02)
        assert line.receive(0) == b""
        line.receive = lambda timeout: b"and on"
        line.forget(0.01)


def test_a_rate_that_is_none_is_refused():
    odd = plain(will_of(serial=SerialSettings(12345)))[0]["serial"]
    with (
        instrument({}) as (path, _),
        contextlib.closing(open_line(path)) as line,
        pytest.raises(OSError, match="12345 baud is no standard rate"),
    ):
        line.set_up(odd)


def test_what_has_not_left_was_not_sent(monkeypatch):
    controller, terminal = pty.openpty()
    with contextlib.closing(Line(controller)), contextlib.closing(Line(terminal)):
        tty.setraw(terminal)
        with contextlib.closing(open_line(os.ttyname(terminal))) as line:
            with pytest.raises(TimeoutError, match="the line is held up"):
                line.send(bytes(1 << 20), time.monotonic() + 0.05)  # nobody reads it
            monkeypatch.setattr(fcntl, "ioctl", lambda *_: b"\3\0\0\0")
            os.read(controller, 1 << 20)
            with pytest.raises(TimeoutError, match="3 bytes have not left"):
                line.send(b"", time.monotonic() + 0.02)


class FakeDaemon:
    """Hangs, and holds the line; `yields` says whether it may be killed."""

    def __init__(self, *, held=True, yields=True):
        self.held, self.yields, self.killed = held, yields, False

    def holds(self, port):
        return self.held

    def give_way(self):
        self.killed = self.yields
        return self.yields


class Queue(FakeLine):
    """A connection: nobody answers while the daemon's stands before it."""

    def __init__(self, daemon, answers):
        super().__init__({} if daemon.held and not daemon.killed else answers)

    def close(self):
        pass


ASKS = (WillFrame(b"OFF\r"), WillFrame(b"OFF?\r", b"1", 20.0))


def answers():
    return {b"OFF?\r": [b"1"]}


@pytest.fixture
def queue(monkeypatch):
    """Makes every port a queue behind a daemon; gives the lines that are then opened."""
    monkeypatch.setattr(wills_module, "HELD_S", 0.05)

    def use(daemon):
        lines = []

        def open_queue(port):
            lines.append(Queue(daemon, answers()))
            return lines[-1]

        monkeypatch.setattr(wills_module, "open_line", open_queue)
        return lines

    return use


def test_a_daemon_that_hangs_before_an_instrument_is_killed_and_all_is_done_again(queue):
    daemon = FakeDaemon()
    lines = queue(daemon)
    report = acted(LastWill("tcp://laser:1", ASKS), daemon=daemon)
    assert len(lines) == 2
    assert outcomes(report) == {"d0": "made safe"}
    assert (report["daemon_killed"], report["wills"][0]["daemon_killed"]) == (True, True)
    assert [frame["send"] for frame in report["wills"][0]["frames"]] == ["OFF\r", "OFF?\r"]
    assert report["duration_s"] < 10.0  # it was not waited for to the end


@pytest.mark.parametrize("frames", [ASKS, ASKS[:1]])
def test_one_that_may_not_be_killed_leaves_the_instrument_as_it_was(queue, frames):
    daemon = FakeDaemon(yields=False)
    queue(daemon)
    report = acted(LastWill("tcp://laser:1", frames), daemon=daemon)
    assert outcomes(report) == {"d0": "failed"}
    assert report["wills"][0]["error"] == "nothing was heard; the daemon that hangs holds the line"
    assert not report["daemon_killed"]


@pytest.mark.parametrize(
    ("held", "port"), [(False, "tcp://laser:1"), (True, "/dev/ttyS9")], ids=["free", "serial"]
)
def test_a_line_that_can_be_used_costs_no_daemon_its_life(monkeypatch, queue, held, port):
    monkeypatch.setattr(wills_module, "REPLIES_S", 0.2)
    daemon = FakeDaemon(held=held)
    lines = queue(daemon)
    acted(LastWill(port, ASKS), daemon=daemon)
    assert not daemon.killed
    assert len(lines) == 1


@pytest.mark.parametrize("yields", [True, False])
def test_a_serial_port_that_the_daemon_keeps_for_itself_is_taken_from_it(monkeypatch, yields):
    daemon = FakeDaemon(yields=yields)

    def open_port(port):
        if not daemon.killed:
            raise OSError("Device or resource busy")
        return Queue(daemon, answers())

    monkeypatch.setattr(wills_module, "open_line", open_port)
    report = acted(LastWill("/dev/ttyS9", ASKS), daemon=daemon)
    assert outcomes(report) == {"d0": "made safe" if yields else "failed"}
    assert report["wills"][0]["error"] == ("" if yields else "Device or resource busy")


def test_whoever_waits_for_one_that_failed_goes_on_when_that_has_ended(tmp_path):
    report = acted(
        LastWill(f"file://{tmp_path}/stage", (WillFrame(b"ST\n"),)),
        LastWill("/dev/nothing-here", (WillFrame(b"OFF\n"),)),
        after=[("d0", "d1")],
    )
    assert outcomes(report) == {"d0": "sent", "d1": "failed"}
    assert report["duration_s"] < 5.0  # not after half of the time


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
    heard = []

    def serve():
        connection, _ = server.accept()
        with connection:
            while not b"".join(heard).endswith(b"OUTP 0\n"):
                heard.append(connection.recv(100))
            connection.sendall(b"0\n")

    thread = threading.Thread(target=serve)
    thread.start()
    with server:
        report = acted(LastWill(port, (WillFrame(b"OUTP 0\n", b"0", 20.0),)))
        thread.join(5)
    assert outcomes(report) == {"d0": "made safe"}
    assert b"".join(heard) == b"\nOUTP 0\n"


def test_an_instrument_that_hangs_up_is_told_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        report = acted(LastWill(port, (WillFrame(b"A", b"B", 60.0),)))
        thread.join(5)
    assert report["duration_s"] < 10.0
    assert outcomes(report) == {"d0": "failed"}


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
