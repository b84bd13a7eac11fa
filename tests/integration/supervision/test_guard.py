"""The daemon's side of the guard, with the real process at the other end of the line."""

import json
import logging
import os
import signal
import time
from pathlib import Path

import pytest
import trio

from daq.bus import Bus
from daq.config import GuardConfig
from daq.core import Category, Channel, DeviceDescription, DeviceState
from daq.drivers import Driver, DriverContext, LastWill, Timebase, WillFrame
from daq.supervision import Debts, Guard, OutOfUse, Supervisor
from daq.supervision.device.out_of_use import Disabled
from daq.supervision.guard import guard as guard_module

PATIENT = GuardConfig(timeout_s=60.0)
HASTY = GuardConfig(heartbeat_s=0.05, timeout_s=0.5)


class Lamp(Driver):
    """Reachable; counts how often it was connected."""

    connected = 0

    @property
    def description(self):
        return DeviceDescription(
            "lamp", "lamp", Category.OTHER, frozenset(), Channel("lamp", units="")
        )

    async def connect(self):
        await trio.lowlevel.checkpoint()
        self.connected += 1

    async def stop(self):
        await trio.lowlevel.checkpoint()
        return False

    async def poll(self):
        await trio.lowlevel.checkpoint()
        return {}


class Killer:
    def __init__(self):
        self.reasons = []
        self.killed = trio.Event()

    async def kill(self, reason):
        await trio.lowlevel.checkpoint()
        self.reasons.append(reason)
        self.killed.set()


class Lab:
    def __init__(self, directory):
        timebase = Timebase()
        self.bench = directory / "bench"
        self.directory = directory / "guard"
        self.driver = Lamp(DriverContext("lamp", "lamp", timebase))
        self.out_of_use = OutOfUse()
        self.debts = Debts(None, timebase.now_ns)
        self.supervisor = Supervisor(
            {"lamp": self.driver}, Bus(), timebase, out_of_use=self.out_of_use, debts=self.debts
        )
        self.killer = Killer()
        self.wills = {"lamp": (self.will(b"OFF\n"),)}

    def will(self, command):
        return LastWill(f"file://{self.bench}", (WillFrame(command),), "lamp off")

    def kept(self):
        """The commands that would survive the guard."""
        try:
            document = json.loads((self.directory / "wills.json").read_text())
        except FileNotFoundError:
            return []
        return [frame["send"] for will in document["orders"]["wills"] for frame in will["frames"]]

    def guard(self, settings=PATIENT):
        return Guard(self.wills, self.directory, self.supervisor, settings=settings)

    def reports(self, pattern="report-*.json"):
        return sorted(path.name for path in self.directory.glob(pattern))

    def pid(self):
        return int((self.directory / "lock").read_text() or 0)


async def until(condition):
    with trio.fail_after(30):
        while not condition():
            await trio.sleep(0.02)


@pytest.fixture(autouse=True)
def quick_succession(monkeypatch):
    """A guard that was lost is followed by another at once, and is given up soon."""
    monkeypatch.setattr(guard_module, "RESTART_S", 0.02)
    monkeypatch.setattr(guard_module, "DEAF_S", 1.0)


async def test_after_a_goodbye_nothing_is_carried_out(tmp_path):
    lab = Lab(tmp_path)
    guard = lab.guard()
    async with trio.open_nursery() as nursery:
        await nursery.start(guard.run, lab.killer)
        assert guard.statistics().armed
        await guard.stand_down()
        with trio.fail_after(30):
            while guard.statistics().armed:
                await trio.sleep(0.02)
    assert not lab.bench.exists()
    assert lab.reports() == []


async def test_an_end_without_a_goodbye_is_carried_out_and_the_next_start_reports_it(
    tmp_path, caplog
):
    lab = Lab(tmp_path)
    async with trio.open_nursery() as nursery:
        await nursery.start(lab.guard().run, lab.killer)
        nursery.cancel_scope.cancel()
    await until(lab.reports)
    assert lab.bench.read_text() == "OFF\n"

    later = lab.guard()
    async with trio.open_nursery() as nursery:
        with caplog.at_level(logging.WARNING):
            await nursery.start(later.run, lab.killer)
        (report,) = later.reports
        assert "the daemon died: lamp: lamp off" in str(report)
        assert str(report) in caplog.text
        assert "lamp off (sent, not answered)" in lab.debts.find("lamp").reason
        assert lab.reports() == []
        assert lab.reports("reported-*.json") == [report.path.name]
        await later.stand_down()


async def test_a_device_that_could_not_be_made_safe_is_left_to_the_guard(tmp_path):
    lab = Lab(tmp_path)
    guard = lab.guard()
    async with trio.open_nursery() as nursery:
        await nursery.start(guard.run, lab.killer)
        await guard.stand_down(["lamp", "another"])
        nursery.cancel_scope.cancel()
    await until(lab.reports)
    assert lab.bench.read_text() == "OFF\n"


async def test_a_daemon_that_hung_finds_out_and_goes_on_honestly(tmp_path):
    lab = Lab(tmp_path)
    guard = lab.guard(HASTY)
    async with trio.open_nursery() as nursery:
        await nursery.start(guard.run, lab.killer)
        await nursery.start(lab.supervisor.run)
        deadline = time.monotonic() + 30
        while not lab.bench.exists() and time.monotonic() < deadline:
            time.sleep(0.05)  # the whole loop hangs
        with trio.fail_after(30):
            await lab.killer.killed.wait()
        device = lab.supervisor.device("lamp")
        assert "the guard made lamp safe: the daemon gave no sign of life" in lab.killer.reasons[0]
        await until(lambda: device.snapshot().state is DeviceState.READY)
        assert lab.driver.connected == 2
        assert guard.statistics().acted == 1
        assert len(guard.reports) == 1
        await until(lambda: guard.statistics().armed)
        nursery.cancel_scope.cancel()
    await until(lab.reports)  # armed again: this end had no goodbye either


async def test_a_guard_that_is_lost_is_started_again(tmp_path):
    lab = Lab(tmp_path)
    guard = lab.guard()
    async with trio.open_nursery() as nursery:
        await nursery.start(guard.run, lab.killer)
        first = lab.pid()
        os.kill(first, signal.SIGTERM)  # which it does not mind
        os.kill(first, signal.SIGKILL)
        await until(lambda: guard.statistics().lost == 1)
        await until(lambda: guard.statistics().armed)
        assert lab.pid() != first
        await guard.stand_down()
    assert lab.reports() == []


@pytest.mark.parametrize("settings", [GuardConfig(enabled=False), None])
async def test_without_a_will_or_when_switched_off_there_is_no_process(tmp_path, settings):
    lab = Lab(tmp_path)
    if settings is None:
        lab.wills = {}
    guard = lab.guard(settings or PATIENT)
    async with trio.open_nursery() as nursery:
        await nursery.start(guard.run, lab.killer)
        assert guard.statistics().wills == 0
        await guard.stand_down()
        nursery.cancel_scope.cancel()
    assert list(lab.directory.iterdir()) == []  # no lock, nothing kept


async def test_a_guard_that_is_stopped_is_ended_and_replaced_and_never_acts(tmp_path):
    lab = Lab(tmp_path)
    guard = lab.guard(GuardConfig(heartbeat_s=0.02, timeout_s=60.0))
    async with trio.open_nursery() as nursery:
        await nursery.start(guard.run, lab.killer)
        first = lab.pid()
        os.kill(first, signal.SIGSTOP)
        await until(lambda: guard.statistics().lost == 1)
        assert not Path(f"/proc/{first}").exists()  # ended, and fetched
        await until(lambda: guard.statistics().armed)
        assert lab.pid() != first
        assert lab.kept() == ["OFF\n"]
        await guard.stand_down()
    assert lab.reports() == []
    assert lab.kept() == []


SLOW = """
import json, socket, time
link = socket.socket(fileno=0)
for line in link.makefile():
    message = json.loads(line)
    if "arm" in message:
        time.sleep(1.0)
        link.sendall(b'{"armed": 1}\\n')
    elif "beat" in message:
        time.sleep(0.002)
        link.sendall(json.dumps({"alive": message["beat"]}).encode() + b"\\n")
    else:
        break
"""


async def test_a_guard_whose_disk_stalls_gets_longer_than_one_that_is_deaf(tmp_path, monkeypatch):
    program = tmp_path / "slow.py"
    program.write_text(SLOW)
    monkeypatch.setattr(guard_module, "_PROGRAM", program)
    monkeypatch.setattr(guard_module, "DEAF_S", 0.6)
    lab = Lab(tmp_path)
    guard = lab.guard(GuardConfig(heartbeat_s=0.02, timeout_s=60.0))
    async with trio.open_nursery() as nursery:
        await nursery.start(guard.run, lab.killer)
        assert guard.statistics().armed
        await trio.sleep(0.5)
        assert guard.statistics().lost == 0
        await guard.stand_down()


async def test_a_goodbye_that_a_stopped_guard_does_not_hear_counts_all_the_same(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(guard_module, "LEAVE_S", 0.2)
    lab = Lab(tmp_path)
    guard = lab.guard()
    async with trio.open_nursery() as nursery:
        await nursery.start(guard.run, lab.killer)
        os.kill(lab.pid(), signal.SIGSTOP)
        await guard.stand_down()
        nursery.cancel_scope.cancel()
    assert not Path(f"/proc/{lab.pid()}").exists()
    assert lab.kept() == []
    assert lab.reports() == []


async def test_wills_that_have_changed_are_those_that_are_carried_out(tmp_path):
    lab = Lab(tmp_path)
    guard = lab.guard(GuardConfig(heartbeat_s=0.02, timeout_s=60.0))
    async with trio.open_nursery() as nursery:
        await nursery.start(guard.run, lab.killer)
        guard.reconfigure({"lamp": (lab.will(b"DIM\n"),)})
        await until(lambda: lab.kept() == ["DIM\n"])
        nursery.cancel_scope.cancel()
    await until(lab.reports)
    assert lab.bench.read_text() == "DIM\n"


async def test_a_disabled_device_is_a_person_s_unless_it_is_owed_its_safe_state(tmp_path):
    lab = Lab(tmp_path)
    guard = lab.guard(GuardConfig(heartbeat_s=0.02, timeout_s=60.0))
    async with trio.open_nursery() as nursery:
        await nursery.start(guard.run, lab.killer)
        await lab.out_of_use.add("lamp", Disabled("by ada: it is being repaired", 0))
        await until(lambda: lab.kept() == [])
        lab.supervisor.owe("lamp", "it was refused")
        await until(lambda: lab.kept() == ["OFF\n"])
        lab.debts.settle("lamp", safe=True)
        await until(lambda: lab.kept() == [])
        nursery.cancel_scope.cancel()
    await until(lab.reports)
    assert not lab.bench.exists()
