"""SIGTERM ends the daemon within its stated bound, whatever holds its threads."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from .daemon_process import DaemonProcess
from .test_serve import start_and_wait_for_points

HANGING = """
import sys

def hang():
    import os, pathlib, threading
    import daq.daemon
    from daq.drivers.simulated.stage import SimulatedStage
    from daq.storage.catalogue.database import Database
    from daq.supervision import last_resort
    import trio

    last_resort.AT_ONCE_S = 0.5
    daq.daemon.LET_GO_S, daq.daemon.DRAIN_S = 1.0, 1.0
    daq.daemon.ENDING_S = USUAL_S - 5.0
    never = threading.Event()
    trigger = pathlib.Path(os.environ["PYTHONPATH"]) / "hang"

    def hanging(real):
        def call(*arguments):
            if trigger.exists():
                never.wait()
            return real(*arguments)
        return call

    os.fdatasync, os.fsync = hanging(os.fdatasync), hanging(os.fsync)
    Database._transact = hanging(Database._transact)

    async def disconnect(self):
        if trigger.exists():
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(never.wait)
    SimulatedStage.disconnect = disconnect

if "serve" in sys.orig_argv:
    hang()
"""
CLEANUP = """
def main():
    try:
        with open_run("slow"):
            while True:
                record("power_meter")
                sleep(0.02)
    finally:
        while True:
            sleep(1)
"""


def hanging_daemon(directory: Path, usual_s: float) -> DaemonProcess:
    """One whose disk, database and drivers hang as soon as there is a file `hang`."""
    fall = directory / "hang"
    fall.mkdir(parents=True)
    (fall / "sitecustomize.py").write_text(HANGING.replace("USUAL_S", repr(usual_s)))
    return DaemonProcess(directory / "data", python_path=fall)


def end(daemon: DaemonProcess, signals: int) -> None:
    """Ask it to end so often, and see that it does."""
    began = time.monotonic()
    daemon.process.send_signal(signal.SIGTERM)
    while signals == 2 and "received SIGTERM, ending" not in daemon.log:
        time.sleep(0.01)  # else the kernel makes one of two
    # A signal of no meaning where one is enough.
    status = daemon.end(signal.SIGTERM if signals == 2 else signal.SIGWINCH, timeout=60)
    assert status == 1
    assert "does not let go within" in daemon.log
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("signals", [1, 2])
def test_neither_a_dead_database_nor_a_driver_keeps_the_daemon(tmp_path, signals):
    with hanging_daemon(tmp_path, 3.0 if signals == 1 else 600.0) as daemon:
        (tmp_path / "hang" / "hang").touch()
        end(daemon, signals)


@pytest.mark.slow
@pytest.mark.parametrize("signals", [1, 2])
def test_nor_does_a_dead_disk_under_an_open_run(tmp_path, script, signals):
    with hanging_daemon(tmp_path, 3.0 if signals == 1 else 600.0) as daemon:
        start_and_wait_for_points(daemon, script(CLEANUP, "slow.py"))
        (tmp_path / "hang" / "hang").touch()
        end(daemon, signals)
