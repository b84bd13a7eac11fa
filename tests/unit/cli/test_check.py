from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from daq.cli.main import cli


def check(path: Path, *options: str) -> Result:
    return CliRunner().invoke(cli, ["check", str(path), *options], catch_exceptions=False)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_script_shows_what_it_declares(tmp_path: Path) -> None:
    text = '"""A scan."""\n\ndef main(points: int = 41):\n    print(points)\n'
    path = write(tmp_path / "scan.py", text)
    result = check(path)
    assert result.exit_code == 0
    assert result.output == f"{path}: ok\nA scan.\nmain(points: int = 41)\n"
    document = json.loads(check(path, "--json").output)
    assert document["accepted"] is True
    assert document["check"]["parameters"][0]["name"] == "points"


def test_a_refused_script_shows_every_violation(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.py", "import os\nx = ().__class__\n")
    result = check(path)
    assert result.exit_code == 1
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0] == "refused:"
    assert any(line.startswith(f'  File "{path}", line 1') for line in lines)
    assert lines[lines.index("    import os") + 1].lstrip(" ").startswith("^")
    assert any(line.startswith(f'  File "{path}", line 2') for line in lines)
    as_json = check(path, "--json")
    assert as_json.exit_code == 1
    assert len(json.loads(as_json.output)["check"]["diagnostics"]) >= 2


def test_a_good_configuration_shows_its_devices(tmp_path: Path) -> None:
    text = '[server]\nport = 7000\n[devices.edge]\ndriver = "simulated.stage"\n'
    path = write(tmp_path / "bench.toml", text)
    result = check(path)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == f"{path}: ok"
    assert lines[1] == "listens on  127.0.0.1:7000"
    assert lines[3:] == ["DEVICE  DRIVER           PROBLEM", "edge    simulated.stage"]


def test_a_last_will_that_cannot_be_carried_out_is_told(tmp_path: Path) -> None:
    text = '[devices.laser]\ndriver = "spectra_physics.maitai"\nport = "/dev/x"\nparity = "mark"\n'
    path = write(tmp_path / "bench.toml", text)
    result = check(path)
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: laser: no last will: /dev/x: the guard sets parity")
    assert set(json.loads(check(path, "--json").stdout)["unguarded"]) == {"laser"}


def test_every_device_that_cannot_be_built_is_told(tmp_path: Path) -> None:
    text = '[devices.edge]\ndriver = "simulated.stag"\n[devices.spare]\ndriver = "nothing"\n'
    path = write(tmp_path / "bench.toml", text)
    result = check(path)
    assert result.exit_code == 1
    assert result.output.startswith(f"{path}: not usable\n")
    document = json.loads(check(path, "--json").output)
    assert document["accepted"] is False
    assert set(document["failures"]) == {"edge", "spare"}


def test_a_configuration_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    result = check(write(tmp_path / "bench.toml", "[server]\nport = 'high'\n"))
    assert result.exit_code == 1
    assert ":2: server.port: 'high' is not a whole number" in result.stderr


def test_a_mistake_about_safety_is_an_error(tmp_path: Path) -> None:
    text = '[devices.edge]\ndriver = "simulated.stage"\non_pause = "close_shutter"\n'
    result = check(write(tmp_path / "bench.toml", text))
    assert result.exit_code == 1
    assert ":1: devices.edge: on_pause = 'close_shutter' cannot be done" in result.stderr


def test_only_scripts_and_configurations_are_checked(tmp_path: Path) -> None:
    result = check(write(tmp_path / "notes.txt", ""))
    assert result.exit_code == 2
    assert "neither a script (.py) nor a configuration (.toml)" in result.stderr
