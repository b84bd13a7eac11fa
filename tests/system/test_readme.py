"""What the README shows works as it is written."""

import os
import re
import subprocess
import sys

import pytest

from .daemon_process import ROOT, DaemonProcess, cli

README = (ROOT / "README.md").read_text()


def blocks():
    """The indented blocks of the README, without their indent."""
    found = re.findall(r"(?:^    .*\n|^\n(?=    ))+", README, re.MULTILINE)
    return ["\n".join(line[4:] for line in block.strip("\n").splitlines()) for block in found]


def block_with(text):
    (block,) = [block for block in blocks() if text in block]
    return block


def test_the_commands_of_a_day_work_in_the_order_shown(daemon, tmp_path):
    commands = block_with("python -m daq client devices").splitlines()
    assert len(commands) > 10
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    for command in commands:
        _, _, _, *arguments = command.split()
        done = subprocess.run(
            [sys.executable, "-m", "daq", *arguments],
            cwd=tmp_path,
            env=os.environ | {"DAQ_ADDRESS": daemon.address, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert (tmp_path / "scan.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "scan.csv").read_text().count("\n") == 102


def test_the_first_script_is_accepted_and_runs(daemon, script):
    path = script(block_with("def main(start"), "first.py")
    assert cli("check", path).returncode == 0
    done = daemon.client("run", path, "--param", "points=5")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_is_accepted(tmp_path):
    path = tmp_path / "lab.toml"
    path.write_text(block_with("[devices.stage]"))
    done = cli("check", path)
    assert done.returncode == 0, done.stdout + done.stderr
    with DaemonProcess(tmp_path / "data", "--config", str(path)) as daemon:
        assert daemon.client("move", "stage", "1").returncode == 0


def test_the_python_example_reads_the_meter(daemon):
    done = subprocess.run(
        [sys.executable, "-c", block_with("AsyncClient()")],
        env=os.environ | {"DAQ_ADDRESS": daemon.address},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "power_meter" in done.stdout


@pytest.mark.parametrize("command", ["serve", "run", "check", "demo", "client"])
def test_every_command_named_has_a_help(command):
    assert f"daq {command}" in README
    assert cli(command, "--help").returncode == 0


def test_the_map_of_the_house_names_what_is_there():
    for path in re.findall(r"^\| `(daq/[\w./]+)`", README, re.MULTILINE):
        assert (ROOT / path).exists(), path


def test_the_demo_measures_the_waist_and_leaves_a_file_and_a_picture(tmp_path):
    done = cli("demo", "--output", tmp_path / "out", timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "beam waist" in done.stdout
    assert (tmp_path / "out" / "knife_edge.png").exists()
    assert len(list((tmp_path / "out").rglob("*.h5"))) == 1
