"""A disk that runs full under a real daemon."""

import re
import subprocess

import h5py
import pytest

from .daemon_process import DaemonProcess

FRAMES = """
with open_run("frames"):
    for i in range(100):
        record(device("camera"), number=i)
        print(i)
"""


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(disk)]
    try:
        mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("only root can mount a small file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_the_run_fails_loudly_what_was_acknowledged_is_kept_and_the_daemon_lives(
    small_disk, script
):
    with DaemonProcess(small_disk / "data") as daemon:
        done = daemon.client("run", script(FRAMES, "frames.py"))
        assert done.returncode == 1
        said = done.stdout + done.stderr
        assert "no space left on device" in said.lower(), said
        acknowledged = len(re.findall(r"\| \d+$", done.stdout, re.MULTILINE))
        assert acknowledged > 3
        (run,) = daemon.json("runs", "list")["runs"]
        assert run["outcome"] in ("failed", None)
        assert daemon.json("read", "power_meter")["units"] == "W"
        assert daemon.client("move", "stage", "0.5").returncode == 0
    subprocess.run(["mount", "-o", "remount,size=512m", str(small_disk)], check=True)
    with DaemonProcess(small_disk / "data") as again:
        run = again.json("runs", "show")["summary"]
        assert run["points"] >= acknowledged
        with h5py.File(run["path"]) as file:
            numbers = file["entry/primary/number"][:]
            assert list(numbers[:acknowledged]) == list(range(acknowledged))
            assert file["entry/primary/camera"].shape[0] == run["points"]
