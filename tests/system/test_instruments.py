"""`daq simulate` as a process, a daemon on its pseudo-terminal, a script, and a pulled plug."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from contextlib import contextmanager

import pytest

from .daemon_process import ROOT, DaemonProcess, cli

SCAN = """
def main():
    stage = device("stage")
    with open_run("scan"):
        for x in linspace(0, 20, 200):
            stage.move_abs(x)
            record(stage)
"""


@contextmanager
def simulator(*arguments):
    """`python -m daq simulate ...`; yields the process and the address that it announces."""
    process = subprocess.Popen(
        [sys.executable, "-m", "daq", "simulate", *arguments],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        line = process.stdout.readline()
        match = re.fullmatch(r"daq simulates .+ on (\S+)\n", line)
        assert match, line
        yield process, match[1]
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def eventually(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


def test_a_script_sees_the_pulled_plug_and_the_device_returns_by_itself(tmp_path, script):
    link = tmp_path / "esp"
    config = tmp_path / "lab.toml"
    config.write_text(f'[devices.stage]\ndriver = "newport.esp300"\nport = "{link}"\n')
    with simulator("esp300", "--link", link) as (process, address):
        assert address == str(link)
        arguments = ("--config", config, "--trace", "stage")
        with DaemonProcess(tmp_path / "data", *arguments) as daemon:
            scan = daemon.client_process("run", script(SCAN))
            eventually(lambda: "PA2." in daemon.log)
            process.send_signal(signal.SIGKILL)
            out, err = scan.communicate(timeout=60)
            assert scan.returncode == 1, out + err
            assert "unplugged" in out + err
            assert "stage.move_abs(x)" in out + err

            def state():
                lines = daemon.client("devices").stdout.splitlines()
                return next(line.split()[2] for line in lines if line.startswith("stage "))

            eventually(lambda: state() == "offline")
            with simulator("esp300", "--link", link):
                eventually(lambda: state() == "ready", 60)
                # Another instrument, at 0: if it was lost at rest, that is a jump.
                assert daemon.client("enable", "stage").returncode == 0
                moved = daemon.client("move", "stage", "1.5")
                assert moved.returncode == 0, moved.stderr
    assert "daq.trace.stage" in daemon.log
    assert re.search(r"> b'1PA1\.500000;TB\?\\r'", daemon.log)
    assert re.search(r"< b'.*NO ERROR DETECTED\\r\\n' \(after [\d.]+ ms\)", daemon.log)


def blocks(language):
    readme = (ROOT / "daq/drivers/README.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", readme, re.DOTALL)


@pytest.fixture
def acme(tmp_path, monkeypatch):
    """The documentation's driver, installed beside the daemon; the file that configures it."""
    site = tmp_path / "site"
    (site / "acme_daq-1.0.dist-info").mkdir(parents=True)
    (site / "acme_daq").mkdir()
    code = [block for block in blocks("python") if "async def test_" not in block]
    (site / "acme_daq" / "oven.py").write_text("\n".join(code))
    (declared, configured) = (b for b in blocks("toml") if "acme.oven" in b)
    points = tomllib.loads(declared)["project"]["entry-points"]["daq.drivers"]
    lines = [f"{name} = {target}" for name, target in points.items()]
    information = site / "acme_daq-1.0.dist-info"
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-daq\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("\n".join(["[daq.drivers]", *lines]))
    monkeypatch.setenv("PYTHONPATH", str(site))
    config = tmp_path / "lab.toml"
    config.write_text(configured)
    return config


def test_somebodys_driver_is_installed_checked_and_used(acme, tmp_path):
    assert "acme.oven" in cli("check", acme).stdout
    report = subprocess.run(
        [sys.executable, "-m", "daq.testing", acme, "--yes"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=60,
    )
    assert report.returncode == 0, report.stdout + report.stderr
    assert "ok     readings_are_true_and_in_order" in report.stdout
    with DaemonProcess(tmp_path / "data", "--config", acme) as daemon:
        assert "21.5" in daemon.client("read", "oven").stdout


def test_simulators_end_cleanly_and_leave_no_link(tmp_path):
    link = tmp_path / "meter"
    with simulator("1830c", "--link", link) as (process, _):
        assert link.is_symlink()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert not link.is_symlink()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("ell14", "--fault", "explode"), "KIND"),
        (("esp300", "--address", "2"), "--address is for ell14"),
        (("esp300", "--link", "x", "--tcp", "0"), "either --link or --tcp"),
    ],
)
def test_wrong_usage_of_simulate(arguments, complaint):
    done = cli("simulate", *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_only_devices_that_exist_can_be_traced(tmp_path):
    done = cli("serve", "--data-dir", str(tmp_path), "--port", "0", "--trace", "nobody")
    assert done.returncode == 2
    assert "there is no device 'nobody'" in done.stderr
