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


def fill(daemon, script) -> int:
    """Record frames until the disk is full; returns how many events were acknowledged."""
    done = daemon.client("run", script(FRAMES, "frames.py"))
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "no space left on device" in said.lower(), said
    acknowledged = len(re.findall(r"\| \d+$", done.stdout, re.MULTILINE))
    assert acknowledged > 3
    return acknowledged


def make_room(disk) -> None:
    subprocess.run(["mount", "-o", "remount,size=512m", str(disk)], check=True)


def test_the_run_fails_loudly_what_was_acknowledged_is_kept_and_the_daemon_lives(
    small_disk, script
):
    with DaemonProcess(small_disk / "data") as daemon:
        acknowledged = fill(daemon, script)
        (run,) = daemon.json("runs", "list")["runs"]
        assert run["outcome"] in ("failed", None)
        assert daemon.json("read", "power_meter")["units"] == "W"
        assert daemon.client("move", "stage", "0.5").returncode == 0
    make_room(small_disk)
    with DaemonProcess(small_disk / "data") as again:
        run = again.json("runs", "show")["summary"]
        assert run["points"] >= acknowledged
        with h5py.File(run["path"]) as file:
            numbers = file["entry/primary/number"][:]
            assert list(numbers[:acknowledged]) == list(range(acknowledged))
            assert file["entry/primary/camera"].shape[0] == run["points"]


def test_the_run_is_read_from_its_journal_and_completed_when_there_is_room(
    small_disk, script, tmp_path
):
    with DaemonProcess(small_disk / "data") as daemon:
        acknowledged = fill(daemon, script)
        run = daemon.json("runs", "show")
        assert run["summary"]["path"].endswith(".journal")
        assert run["summary"]["points"] >= acknowledged
        target = tmp_path / "frames.csv"
        assert daemon.client("runs", "export", "--output", target).returncode == 0
        numbers = [line.split(",")[-1] for line in target.read_text().splitlines()[1:]]
        assert numbers[:acknowledged] == [str(n) for n in range(acknowledged)]
        refused = daemon.client("runs", "export", "--format", "nexus", "--output", target)
        assert refused.returncode == 1
        assert "could not be completed: it has no HDF5 file yet" in refused.stderr
        assert "runs rebuild" in refused.stderr

        make_room(small_disk)
        assert daemon.json("runs", "rebuild") == {"files": 1, "added": 0, "problems": []}
        summary = daemon.json("runs", "show")["summary"]
        assert summary["points"] == run["summary"]["points"]
        with h5py.File(summary["path"]) as file:
            assert file["entry/primary/camera"].shape[0] == summary["points"]
