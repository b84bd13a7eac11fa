from __future__ import annotations

import io
import logging
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from daq import __version__
from daq.cli.commands.serve import configure_logging
from daq.cli.main import cli
from daq.cli.showing.documents import as_document, to_json
from daq.cli.showing.errors import ReportingGroup, exit_status
from daq.cli.showing.output import Output
from daq.config import Config
from daq.core import BusyError, ConfigurationError, ExecutionState, Limits, StopOutcome


def run(*arguments: str | Path):
    return CliRunner().invoke(cli, [str(a) for a in arguments], prog_name="daq")


def test_help_lists_every_command() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for name in ("demo", "serve", "run", "check", "client", "shell", "completion"):
        assert f"\n  {name}" in result.output


def test_every_command_has_help() -> None:
    for name in ("demo", "serve", "run", "check", "client", "shell", "completion"):
        assert run(name, "--help").exit_code == 0


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("fly", "there is no command 'fly'"),
        ("sreve", "there is no command 'sreve'; did you mean 'serve'?"),
        ("client strat", "there is no command 'strat'; did you mean 'start'?"),
        ("client runs lst", "there is no command 'lst'; did you mean 'list'?"),
        ("client presets laod", "there is no command 'laod'; did you mean 'load'?"),
    ],
)
def test_an_unknown_command_is_a_usage_error_that_asks_what_was_meant(
    typed: str, said: str
) -> None:
    result = run(*typed.split())
    assert result.exit_code == 2
    assert result.stderr.endswith(f"Error: {said}\n")


def test_the_version_is_printed() -> None:
    assert run("--version").output == f"daq, version {__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_shells_script(shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_DAQ_COMPLETE" in result.output


def test_completion_offers_commands() -> None:
    from click.shell_completion import ShellComplete

    offered = ShellComplete(cli, {}, "daq", "_DAQ_COMPLETE").get_completions(["client"], "st")
    assert [item.value for item in offered] == ["start", "status", "stop", "stream"]


def test_completion_offers_the_first_commands_without_importing_them() -> None:
    code = (
        "import sys\nfrom click.shell_completion import ShellComplete\n"
        "from daq.cli.main import cli\n"
        "offered = ShellComplete(cli, {}, 'daq', '').get_completions([], 'c')\n"
        "assert [item.value for item in offered] == ['check', 'client', 'completion'], offered\n"
        "assert 'grpclib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_daemons_process_starts_without_the_clients_libraries() -> None:
    code = (
        "import sys\nfrom daq.cli.main import cli\ncli.get_command(None, 'serve')\n"
        "heavy = {'grpclib', 'asyncio', 'matplotlib', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """A daemon that is ready at once and ends at once."""
    module = types.ModuleType("daq.daemon")
    seen: list[Config] = []

    def serve(config: Config, announce: Callable[[str], None]) -> None:
        seen.append(config)
        announce(f"{config.server.host}:{config.server.port}")

    module.serve, module.seen = serve, seen  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "daq.daemon", module)
    monkeypatch.setattr(sys.modules["daq"], "daemon", module, raising=False)
    handlers, level = logging.root.handlers[:], logging.root.level
    yield module
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_serve_announces_itself_on_stdout(daemon: types.ModuleType, tmp_path: Path) -> None:
    result = run("serve", "--host", "::1", "--port", "7", "--data-dir", tmp_path)
    assert result.exit_code == 0
    assert result.stdout == "daq is serving on ::1:7\n"
    (config,) = daemon.seen
    assert config.storage.directory == tmp_path
    assert set(config.devices) >= {"stage", "power_meter", "laser"}


def test_serve_reports_a_wrong_configuration_without_a_traceback(
    daemon: types.ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "bench.toml"
    path.write_text("[server]\nprot = 1\n", encoding="utf-8")
    result = run("serve", "--config", path)
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: {path}:2: server.prot: there is no such key; did you mean 'port'?\n"
    )


def test_the_error_that_ended_the_daemon_is_told_without_its_groups(
    daemon: types.ModuleType,
) -> None:
    def fail(config: Config, announce: Callable[[str], None]) -> None:
        inner = ExceptionGroup("api", [ConfigurationError("port 7 is taken", advice="use another")])
        raise ExceptionGroup("daemon", [inner])

    daemon.serve = fail  # type: ignore[attr-defined]
    result = run("serve")
    assert result.exit_code == 1
    assert result.stderr == "error: port 7 is taken\nuse another\n"


def test_several_errors_at_once_are_not_hidden(daemon: types.ModuleType) -> None:
    def fail(config: Config, announce: Callable[[str], None]) -> None:
        raise ExceptionGroup("daemon", [ConfigurationError("one"), ConfigurationError("two")])

    daemon.serve = fail  # type: ignore[attr-defined]
    assert isinstance(run("serve").exception, ExceptionGroup)


def test_the_level_of_a_log_line_is_coloured_on_a_terminal() -> None:
    from daq.cli.commands.serve import _TerminalFormatter

    formatter = _TerminalFormatter("{levelname:<7} {name}: {message}", style="{")
    record = logging.LogRecord("daq", logging.WARNING, "", 1, "slow WARNING", None, None)
    assert formatter.format(record) == "\x1b[33mWARNING\x1b[0m daq: slow WARNING"


@pytest.mark.parametrize(
    ("state", "status"),
    [("COMPLETED", 0), ("ERROR", 1), ("STOPPED", 3), ("KILLED", 3), ("RUNNING", 1)],
)
def test_the_exit_status_stands_for_the_outcome(state: str, status: int) -> None:
    assert exit_status(ExecutionState(state)) == status


def test_an_error_in_a_command_is_shown_with_its_advice() -> None:
    @click.group(cls=ReportingGroup)
    def group() -> None:
        """A group."""

    @group.command()
    def fail() -> None:
        raise BusyError("stage moves for ada", advice="wait, or stop it")

    result = CliRunner().invoke(group, ["fail"])
    assert result.exit_code == 1
    assert result.stderr == "error: stage moves for ada\nwait, or stop it\n"


@dataclass(frozen=True)
class Example:
    path: Path
    limits: Limits
    outcome: StopOutcome
    values: np.ndarray
    numbers: tuple[float, ...]


def test_any_answer_becomes_plain_json() -> None:
    example = Example(
        Path("/d"), Limits(0, 1), StopOutcome.IDLE, np.arange(3, dtype="u2"), (0.5, float("nan"))
    )
    assert as_document(example) == {
        "path": "/d",
        "limits": {"low": 0, "high": 1},
        "outcome": "idle",
        "values": [0, 1, 2],
        "numbers": [0.5, None],
    }
    assert to_json({"µ": np.float64(1.5), "n": np.int64(2), "s": {3}}) == (
        '{"µ": 1.5, "n": 2, "s": [3]}'
    )


def test_a_text_of_somebody_else_forges_no_line_of_the_log() -> None:
    stream = io.StringIO()
    configure_logging("info", stream)
    try:
        logging.getLogger("daq").info("disabled: %s", "x\n2026 ERROR forged\x1b[2J\0")
    finally:
        logging.basicConfig(force=True)
    first, second = stream.getvalue().splitlines()
    assert first.endswith("daq: disabled: x")
    assert second == "    2026 ERROR forged\\x1b[2J\\x00"


def test_a_table_has_one_line_for_each_row_whatever_names_hold(capsys) -> None:
    Output().table(["name", "points>"], [["a\nb\x1b[2J", "1"], ["x" * 5000, "2"]])
    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.split() == ["NAME", "POINTS"]
    assert first.startswith("a\\nb\\x1b[2J ")
    assert "xxx... " in second
    assert len(second) < 600
