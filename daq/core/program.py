"""A running program, as the execution that owns it sees it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from daq.core.requests import Interpreter
from daq.core.script_parameters import ScriptParameter

__all__ = ["Diagnostic", "Ending", "Program", "ProgramEnd", "ProgramFactory", "ScriptCheck"]


class Ending(StrEnum):
    """How a program came to its end, by its own account or by the kernel's."""

    COMPLETED = "completed"
    FAILED = "failed"
    """An exception came out of it."""
    STOPPED = "stopped"
    """It ran its cleanup after a stop request."""
    KILLED = "killed"
    """It was killed, or died: a limit, a crash, a lost sandbox."""


@dataclass(frozen=True, slots=True)
class ProgramEnd:
    """The last word of a program."""

    ending: Ending
    message: str = ""
    """One line: `ZeroDivisionError: float division by zero`, or why it was killed."""
    traceback: str = ""
    """The script's own frames with source lines and carets; empty unless FAILED."""
    line: int = 0
    """Where it ended or stood, 0 when unknown."""
    result: Any = None
    """What `main` returned, by the rule of `daq.core.values`."""
    refused: str = ""
    """Why what it returned cannot be kept."""


class Program(Protocol):
    """A script in its sandbox. Everything but `run` and `locate` returns at once."""

    async def run(self, interpreter: Interpreter) -> ProgramEnd:
        """Run to the end. Returns only when the process is gone, however it ended.

        May be cancelled: the process is then killed before the cancellation goes on.
        """

    def request_pause(self) -> None: ...
    def request_resume(self) -> None: ...
    def standing_still(self) -> AbstractContextManager[None]:
        """While it is kept waiting: that time does not count against its limit of run time."""

    def request_stop(self) -> None:
        """Ask for a graceful stop: StopRequested at the next checkpoint, then its cleanup."""

    def kill(self, reason: str) -> None:
        """End the process now, from any state; `run` returns KILLED with this reason."""

    @property
    def line(self) -> int:
        """The line of the script being executed, at no cost; 0 before the first."""

    @property
    def progress(self) -> float | None:
        """0 to 1, or None while nothing is known."""

    async def locate(self, *, dying: bool = False) -> int:
        """The exact line now, also inside a long C call; 0 when it cannot be told in time.

        `dying` says that it is about to be killed, so that the quickest way will do.
        """


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One reason why a script is refused."""

    line: int
    column: int
    """1-based, in characters."""
    end_line: int
    end_column: int
    """Exclusive."""
    code: str
    """`SYNTAX`, `POLICY`, `IMPORT` or `SIZE`."""
    message: str
    text: str = ""
    """The source line, or the part around its column of a very long one."""
    text_start: int = 0
    """How many characters of the line come before `text`."""

    def render(self, filename: str) -> str:
        """As Python shows it: file, line, source line, caret, message."""
        stripped = self.text.strip()
        indent = len(self.text) - len(self.text.lstrip()) + self.text_start
        last = self.text_start + len(self.text.rstrip()) + 1
        end = min(self.end_column, last) if self.end_line == self.line else last
        caret = " " * max(0, self.column - 1 - indent) + "^" * max(1, end - self.column)
        cut = "... " if self.text_start else ""
        return (
            f'  File "{filename}", line {self.line}, column {self.column}\n'
            f"    {cut}{stripped}\n    {' ' * len(cut)}{caret}\n{self.code}: {self.message}"
        )


@dataclass(frozen=True, slots=True)
class ScriptCheck:
    """What an upload learns about a script without running it."""

    diagnostics: tuple[Diagnostic, ...] = ()
    parameters: tuple[ScriptParameter, ...] = ()
    description: str = ""
    """The module's docstring."""

    @property
    def accepted(self) -> bool:
        return not self.diagnostics


class ProgramFactory(Protocol):
    """The sandbox, as the execution queue sees it."""

    async def check(self, source: str, filename: str, user: str = "") -> ScriptCheck:
        """Parse and check against the language policy, in a confined process.

        Where several wait for that, users take turns.
        """

    def program(
        self,
        source: str,
        filename: str,
        parameters: Mapping[str, Any],
        execution_id: str,
        limits: Mapping[str, float],
    ) -> Program:
        """A program that is ready to `run`; nothing is started yet.

        `limits` are lower ones than those of the factory, by name.
        """

    def check_limits(self, limits: Mapping[str, float]) -> None:
        """Raise ParameterError unless a program may have these limits."""
