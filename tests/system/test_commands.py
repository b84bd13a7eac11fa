"""The commands that need no daemon of yours: run, check, completion; and what they exit with."""

import json

from .daemon_process import ROOT, cli


def test_run_starts_a_daemon_runs_the_script_and_leaves(tmp_path):
    script = ROOT / "scripts" / "knife_edge.py"
    done = cli("run", script, "--param", "points=5", "--data-dir", tmp_path / "data")
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = (tmp_path / "data").rglob("*.h5")
    assert str(file) in done.stdout
    assert "5 points" in done.stdout


def test_a_script_that_fails_exits_with_one_and_shows_its_line(tmp_path, script):
    path = script("def main():\n    device('stage').move_abs(99)\n", "far.py")
    done = cli("run", path, "--data-dir", tmp_path / "data")
    assert done.returncode == 1
    text = done.stdout + done.stderr
    assert 'File "far.py", line 2, in main' in text
    assert "99 mm is outside the limits [-10, 10] mm" in text


def test_wrong_parameters_show_the_signature(tmp_path):
    script = ROOT / "scripts" / "knife_edge.py"
    done = cli("run", script, "--param", "pionts=5", "--data-dir", tmp_path / "data")
    assert done.returncode == 1
    assert "'pionts'" in done.stderr
    assert "points: int = 41" in done.stderr


def test_wrong_usage_exits_with_two():
    assert cli("client", "stop", "--grace", "soon").returncode == 2
    assert cli("nonsense").returncode == 2


def test_check_accepts_what_would_run_and_says_what_it_found():
    done = cli("check", ROOT / "scripts" / "knife_edge.py")
    assert done.returncode == 0
    assert "points: int = 41" in done.stdout


def test_check_reports_every_violation_with_its_caret(script):
    path = script("import os\nx = ().__class__\nasync def f(): pass\n", "evil.py")
    done = cli("check", path)
    assert done.returncode == 1
    text = done.stdout + done.stderr
    for line in ("line 1", "line 2", "line 3"):
        assert f'File "{path.name}", {line}' in text or f'File "{path}", {line}' in text
    assert text.count("^") >= 3
    document = json.loads(cli("check", path, "--json").stdout)
    assert len(document["check"]["diagnostics"]) >= 3


def test_files_that_are_no_scripts_are_refused_politely(tmp_path):
    binary = tmp_path / "binary.py"
    binary.write_bytes(bytes(range(256)))
    for path in (binary, tmp_path / "missing.py"):
        done = cli("check", path)
        assert done.returncode in (1, 2)
        assert str(path) in done.stderr + done.stdout
        assert "Traceback" not in done.stderr


def test_check_explains_a_configuration(tmp_path):
    path = tmp_path / "lab.toml"
    path.write_text('[devices.stage]\ndriver = "simulated.stage"\nlimitz = [0, 1]\n')
    done = cli("check", path)
    assert done.returncode == 1
    text = done.stdout + done.stderr
    assert "limitz" in text
    assert "limits" in text


def test_completion_prints_a_script_for_each_shell():
    for shell in ("bash", "zsh", "fish"):
        done = cli("completion", shell)
        assert done.returncode == 0
        assert "daq" in done.stdout
