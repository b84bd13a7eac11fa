"""How a command ends: exit status, and one clear message instead of a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import IO, Any

import click
from rich.console import Console
from rich.text import Text

from daq.core import DaqError, ExecutionState, ScriptSyntaxError, did_you_mean

__all__ = ["INTERRUPTED", "CommandError", "ExitStatus", "ReportingGroup", "exit_status"]

INTERRUPTED = 130
"""What shells expect of a command that Ctrl-C ended."""


class ExitStatus(IntEnum):
    """What the shell learns."""

    COMPLETED = 0
    ERROR = 1
    USAGE = 2
    STOPPED = 3
    """The script was stopped or killed."""


_BY_STATE = {
    ExecutionState.COMPLETED: ExitStatus.COMPLETED,
    ExecutionState.STOPPED: ExitStatus.STOPPED,
    ExecutionState.KILLED: ExitStatus.STOPPED,
}


def exit_status(state: ExecutionState) -> ExitStatus:
    """The exit status that stands for an execution's final state."""
    return _BY_STATE.get(state, ExitStatus.ERROR)


class CommandError(click.ClickException):
    """A `DaqError` on its way to the shell: message on stderr, advice below, exit status 1."""

    exit_code = ExitStatus.ERROR

    def __init__(self, error: DaqError) -> None:
        super().__init__(error.message)
        self.error = error

    def show(self, file: IO[Any] | None = None) -> None:
        console = Console(file=file, stderr=True, highlight=False, soft_wrap=True)
        heading = "refused:\n" if isinstance(self.error, ScriptSyntaxError) else "error: "
        console.print(Text.assemble((heading, "bold red"), self.error.message))
        if self.error.advice:
            console.print(Text(self.error.advice, "cyan"))


class ReportingGroup(click.Group):
    """A group whose commands may raise `DaqError`, also out of the one task of a nursery."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        is_option = not name[:1].isalnum()
        if not is_option and not ctx.resilient_parsing and self.get_command(ctx, name) is None:
            hint = did_you_mean(name, self.list_commands(ctx), "; ")
            ctx.fail(f"there is no command {name!r}{hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DaqError as error:
            raise CommandError(error) from error
        except BaseExceptionGroup as group:
            leaves = list(_leaves(group))
            if len(leaves) == 1 and isinstance(leaves[0], DaqError):
                raise CommandError(leaves[0]) from group
            raise


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
