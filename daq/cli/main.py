"""`daq`: the root of all commands. A command's module is imported only when it is used.

That keeps start-up quick, and in the daemon's own process it keeps the client's libraries out until
the daemon has set up its event loops.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click
from click.shell_completion import CompletionItem

from daq import __version__
from daq.cli.showing.errors import ReportingGroup

__all__ = ["cli", "main"]

_COMMANDS = {
    "demo": (".demo", "A whole session on the simulated bench, in one command."),
    "serve": (".commands.serve", "Run the daemon until Ctrl-C or SIGTERM."),
    "run": (".commands.run", "Run a script without a daemon: start one, run, leave."),
    "simulate": (
        ".commands.simulate",
        "Simulate a serial instrument on a pty or a TCP port.",
    ),
    "discover": (
        ".commands.discover",
        "List the serial ports and the instruments that answer.",
    ),
    "check": (
        ".commands.check",
        "Check a script, a configuration or an instrument's description.",
    ),
    "client": (".client", "Talk to a running daemon."),
    "shell": (".commands.shell", "IPython with the bench's devices as names."),
    "completion": (".completion", "Print the shell's completion script."),
}


class LazyGroup(ReportingGroup):
    """Knows its commands by name and summary, and imports a module when its command is used."""

    def __init__(self, *, modules: Mapping[str, tuple[str, str]], **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self._modules:
            return None
        module, _ = self._modules[cmd_name]
        command = getattr(importlib.import_module(module, __package__), cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}.{cmd_name} is not a command")
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands, without importing their modules; and the options."""
        commands = [
            CompletionItem(name, help=summary)
            for name, (_, summary) in self._modules.items()
            if name.startswith(incomplete)
        ]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self._modules.items()])


cli = LazyGroup(
    name="daq",
    modules=_COMMANDS,
    help="A daemon that owns the instruments of a bench and runs scan scripts on them.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
click.version_option(__version__, prog_name="daq")(cli)


def main() -> None:
    """Entry point of `daq` and of `python -m daq`."""
    cli(prog_name="daq")
