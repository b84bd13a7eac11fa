"""`python -m daq.testing`: the contracts of configured devices, told one by one."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from daq.testing import driver_checks_trouble
from daq.testing.__main__ import main

METER = '[devices.meter]\ndriver = "simulated.power_meter"\n'


@pytest.fixture
def report(tmp_path):
    def run(text, *arguments, answer=None):
        file = tmp_path / "lab.toml"
        file.write_text(text)
        return CliRunner().invoke(main, [str(file), *arguments], input=answer)

    return run


def test_each_contract_is_told_and_all_are_kept(report):
    done = report(METER, "meter", answer="y\n")
    assert done.exit_code == 0, done.output
    assert "meter (simulated.power_meter)" in done.output
    assert "ok     readings_are_true_and_in_order" in done.output


def test_what_is_broken_is_told_with_the_reason(report, tmp_path, monkeypatch):
    monkeypatch.setattr(
        driver_checks_trouble, "_PATIENCE_S", 0.2
    )  # nothing comes there later either
    port = tmp_path / "nothing"
    done = report(f'[devices.meter]\ndriver = "newport.1830c"\nport = "{port}"\n', "--yes")
    assert done.exit_code == 1
    assert "FAILED readings_are_true_and_in_order" in done.output
    assert "cannot be opened: No such file or directory" in done.output


@pytest.mark.parametrize(
    ("text", "arguments", "complaint"),
    [
        (METER, ["metre"], "there is no device metre; there are meter"),
        (METER + "averagin = 1\n", ["--yes"], "averagin: there is no such option"),
    ],
)
def test_mistakes_are_told_before_anything_is_touched(report, text, arguments, complaint):
    done = report(text, *arguments)
    assert done.exit_code == 1
    assert complaint in done.output


def test_nothing_moves_without_a_yes(report):
    done = report(METER, answer="n\n")
    assert done.exit_code == 1
    assert "ok" not in done.output
