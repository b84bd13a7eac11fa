"""Last wills and reports on disk: what survives, what is done with it, what is damaged."""

import fcntl
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from daq.drivers import LastWill, WillFrame
from daq.supervision.guard import aftermath
from daq.supervision.guard.aftermath import carry_out_what_is_left
from daq.supervision.guard.process import keeping
from daq.supervision.guard.report import file_away, read_report, unseen_reports
from daq.supervision.json_file import set_aside_in


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "guard").mkdir()
    return tmp_path / "guard"


def orders(directory, pid=None):
    will = LastWill(f"file://{directory.parent}/bench", (WillFrame(b"OFF\n"),), "lamp off")
    return {
        "wills": [{"device": "lamp", "after": [], **will.as_plain()}],
        "directory": str(directory),
        "pid": os.getpid() if pid is None else pid,
        "kill_frozen": True,
    }


def changed(directory, **values):
    path = directory / keeping.KEPT
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.fixture
def done(directory):
    """What has been carried out so far."""
    bench = directory.parent / "bench"
    return lambda: bench.read_text() if bench.exists() else ""


def test_wills_are_the_user_s_alone_and_on_disk_before_they_count(directory, monkeypatch):
    synced = []
    fsync = os.fsync

    def note(descriptor):
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    keeping.keep(orders(directory))
    path = directory / keeping.KEPT
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert synced == [f".{keeping.KEPT}", "guard"]  # the file before its name, then the name
    document = json.loads(path.read_text())
    assert document["version"] == keeping.VERSION
    assert document["orders"] == orders(directory)
    keeping.forget(directory)
    assert synced[2:] == ["guard"]
    assert not path.exists()
    keeping.forget(directory)  # nothing is left to forget


def test_a_report_is_on_disk_before_it_has_its_name(directory, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append(list(directory.glob("report-*"))))
    path = keeping.write_report(orders(directory), {"timestamp_ns": 61 * 10**9, "wills": []})
    assert seen == [[], [path]]
    assert path.name == f"report-19700101-000101-{os.getpid()}.json"


def test_the_wills_of_a_daemon_that_lives_are_left_alone(directory, done):
    keeping.keep(orders(directory))
    carry_out_what_is_left(directory)
    assert done() == ""
    assert (directory / keeping.KEPT).exists()


@pytest.mark.parametrize(
    "gone", [{"boot": "an earlier one"}, {"born": 1}, {"born": None}], ids=["boot", "pid", "zombie"]
)
def test_when_daemon_and_guard_died_together_the_next_start_does_it_once(directory, done, gone):
    keeping.keep(orders(directory))
    changed(directory, **gone)
    for _ in range(2):
        carry_out_what_is_left(directory)
        assert done() == "OFF\n"
        assert not (directory / keeping.KEPT).exists()
    (report,) = unseen_reports(directory)
    assert "it died together with its guard" in str(report)
    assert "lamp: lamp off (sent, not answered)" in str(report)


def test_a_process_that_has_ended_and_was_not_fetched_yet_does_not_live(directory):
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert keeping.started_at(process.pid) is None  # it is there, and is nobody
    assert keeping.started_at(process.pid) is None


def test_a_start_of_the_machine_has_a_name(directory):
    keeping.keep(orders(directory))
    assert json.loads((directory / keeping.KEPT).read_text())["boot"].count("-") == 4


def test_a_process_that_lives_has_a_beginning():
    assert keeping.started_at(os.getpid()) > 0  # type: ignore[operator]


def test_nothing_is_done_and_made_where_there_was_no_guard(tmp_path):
    carry_out_what_is_left(tmp_path / "guard")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def stopped_guard(directory):
    """A process with the lock that does nothing, such as a guard that is stopped."""
    program = (
        "import fcntl, os, sys\nlock = open(sys.argv[1], 'a+')\nfcntl.flock(lock, fcntl.LOCK_EX)\n"
        "lock.truncate(0)\nlock.write(str(os.getpid()))\nlock.flush()\n"
        "print('up', flush=True)\nsys.stdin.read()"
    )
    command = [sys.executable, "-S", "-c", program, str(directory / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        process.kill()


def test_an_old_guard_that_does_not_end_never_acts_under_a_new_daemon(
    directory, done, stopped_guard, monkeypatch
):
    monkeypatch.setattr(aftermath, "PREDECESSOR_S", 0.1)
    keeping.keep(orders(directory))
    changed(directory, born=1)
    carry_out_what_is_left(directory)
    assert stopped_guard.wait(5) == -9
    assert done() == "OFF\n"


def test_a_guard_at_work_is_waited_for(directory, done, stopped_guard):
    keeping.keep(orders(directory))
    changed(directory, born=1)
    waiting = threading.Thread(target=carry_out_what_is_left, args=(directory,))
    waiting.start()
    keeping.forget(directory)  # it has carried them out
    stopped_guard.stdin.close()
    waiting.join(20)
    assert stopped_guard.wait(5) == 0
    assert done() == ""


def test_the_guard_of_a_daemon_that_lives_is_left_alone(
    directory, done, stopped_guard, monkeypatch
):
    monkeypatch.setattr(aftermath, "PREDECESSOR_S", 0.05)
    keeping.keep(orders(directory))
    carry_out_what_is_left(directory)
    assert stopped_guard.poll() is None
    assert done() == ""


def test_a_stranger_with_the_number_in_the_lock_is_not_killed(directory, done, monkeypatch):
    monkeypatch.setattr(aftermath, "PREDECESSOR_S", 0.05)
    keeping.keep(orders(directory))
    changed(directory, born=1)
    lock = directory / "lock"
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as other:
        lock.write_text(str(other.pid))
        with lock.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            carry_out_what_is_left(directory)
        assert other.poll() is None
        other.kill()
    assert done() == ""


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"version": 99}', '{"boot": 1, "born": 2}'])
def test_damaged_wills_stop_no_start_and_are_named(directory, done, caplog, text):
    (directory / keeping.KEPT).write_text(text)
    carry_out_what_is_left(directory)
    assert done() == ""
    assert "wills.json cannot be read" in caplog.text
    (aside,) = directory.glob("damaged-*-wills.json")
    assert aside.read_text() == text
    (told,) = set_aside_in(directory)
    assert str(aside) in told


def report_of(directory, **values):
    will = {"device": "lamp", "port": "file:///x", "summary": "lamp off", "outcome": "made safe"}
    document = {
        "version": 2,
        "reason": "why",
        "timestamp_ns": 1,
        "duration_s": 0.1,
        "wills": [will | {"error": "", "frames": []}],
    }
    path = directory / "report-1.json"
    path.write_text(json.dumps(document | values))
    return path


def test_reports_are_listed_until_they_are_filed_away(directory):
    path = report_of(directory)
    (report,) = unseen_reports(directory)
    filed = file_away(report)
    assert unseen_reports(directory) == []
    assert filed.path == path.with_name("reported-1.json")
    assert read_report(filed.path)[0].reason == "why"


@pytest.mark.parametrize(
    "wrong", [{"version": 3}, {"wills": None}, {"wills": [{}]}, {"timestamp_ns": "soon"}]
)
def test_a_damaged_report_hides_no_other_and_is_named(directory, wrong):
    report_of(directory, **wrong).rename(directory / "report-0.json")
    report_of(directory)
    assert len(unseen_reports(directory)) == 1
    assert "report-0.json" in set_aside_in(directory)[0]


def test_a_report_of_the_time_before_versions_is_read(directory):
    frame = {"send": "A", "expected": None, "reply": "", "ok": True}
    port = {"port": "/dev/x", "devices": ["a", "b"], "summary": "off", "frames": [frame]}
    good, bad = port | {"ok": True, "error": ""}, port | {"ok": False, "error": "no such port"}
    answered = port | {"ok": True, "frames": [frame | {"expected": "OK"}], "error": ""}
    path = report_of(directory, ports=[good, bad, answered])
    document = json.loads(path.read_text())
    del document["version"], document["wills"]
    path.write_text(json.dumps(document))
    report, _ = read_report(path)
    assert [will["outcome"] for will in report.wills] == ["sent", "failed", "made safe"]
    assert "a, b: NOT MADE SAFE on /dev/x: no such port" in str(report)
