"""A command of `daq client`, run against a daemon of canned answers."""

from __future__ import annotations

from click.testing import CliRunner, Result

from daq.cli.main import cli
from tests.unit.client.fake_daemon import FakeDaemon

__all__ = ["ask"]


def ask(daemon: FakeDaemon, *arguments: str) -> Result:
    return CliRunner().invoke(
        cli, ["client", "--address", daemon.address, *arguments], catch_exceptions=False
    )
