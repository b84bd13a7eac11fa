"""`python -m daq shell` as a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .daemon_process import ROOT, DaemonProcess, cli


def test_the_prompt_has_the_devices_as_names(daemon: DaemonProcess, tmp_path: Path) -> None:
    lines = ["stage.position = 0.5", "%wa stage", "float(power_meter.read()) > 0", "stage.move(99)"]
    done = subprocess.run(
        [sys.executable, "-m", "daq", "shell", "--address", daemon.address],
        input="\n".join([*lines, "exit", ""]),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={"IPYTHONDIR": str(tmp_path), "PATH": "", "TERM": "dumb", "HOME": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"daq at {daemon.address}" in done.stdout
    assert "[-10, 10]" in done.stdout
    assert "True" in done.stdout
    assert "outside the limits" in done.stdout
    assert "portal.py" not in done.stdout


def test_one_command_and_out(daemon: DaemonProcess, tmp_path: Path) -> None:
    code = "stage.position = 1.5; print(round(stage.position, 1), bench.address)"
    done = cli("shell", "--address", daemon.address, "-c", code, IPYTHONDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1.5", daemon.address]


def test_without_a_daemon_there_is_one_clear_message(tmp_path: Path) -> None:
    done = cli("shell", "--address", "127.0.0.1:9", IPYTHONDIR=str(tmp_path))
    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr
