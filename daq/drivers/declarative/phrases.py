"""Makes questions, commands, patterns and expressions of what stands in a description."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from daq.config import KeyPath, Mistakes
from daq.drivers.declarative.expression import Expression, ExpressionError
from daq.drivers.declarative.model import Command, Pattern, Question, Reply
from daq.drivers.declarative.tables import CommandTable, QuestionTable, WriteTable
from daq.drivers.declarative.template import Template, TemplateError

__all__ = ["LONGEST_S", "Phrases"]

LONGEST_S = 600.0
"""What one exchange may be declared to take."""
_NO_TEMPLATE = "none"


@dataclass(frozen=True, slots=True)
class Phrases:
    """Makes them with what holds for the whole instrument."""

    mistakes: Mistakes
    options: Mapping[str, Any]
    """A sample of each option that commands may hold."""
    strip: bool = False
    """Spaces around a value are taken away, unless a question says otherwise."""
    encoding: str = "latin-1"
    acknowledge: Pattern | None = None
    """What every command is answered with, unless it says otherwise."""
    sample: Mapping[str, Any] = field(default_factory=dict)
    """A value to try formats on, as `value`, where a value is sent, and values that may be asked
    for before."""

    def pattern(self, at: KeyPath, text: str) -> Pattern | None:
        """A regular expression; None for an empty text."""
        try:
            return re.compile(text, re.DOTALL) if text else None
        except re.error as error:
            place = "" if error.pos is None else f" at character {error.pos + 1}"
            self.mistakes.note(at, f"{text!r} is not a regular expression: {error.msg}{place}")
            return None

    def expression(self, at: KeyPath, text: str, known: Iterable[str]) -> Expression | None:
        """A formula; None for an empty text."""
        if not text:
            return None
        try:
            return Expression(text, known)
        except ExpressionError as error:
            self.mistakes.note(at, str(error))
            return None

    def template(self, at: KeyPath, text: str, more: Mapping[str, Any] | None = None) -> Template:
        """A text with places."""
        try:
            samples = {**(more or {}), **self.sample, **self.options}
            return Template(text, samples, self.encoding)
        except TemplateError as error:
            self.mistakes.note(at, str(error))
        return Template(_NO_TEMPLATE, {})

    def question(
        self, at: KeyPath, table: QuestionTable | None, scale: Iterable[str] = ()
    ) -> Question | None:
        """A question.

        Args:
            at: Where it stands.
            table: What stands there.
            scale: Values that its conversion may name, beside those that every one may.
        """
        if table is None:
            return None
        reply = self._reply(at, table)
        groups = reply.pattern.groupindex if reply.pattern else ()
        known = ("value", "text", *groups, *scale)
        return Question(
            self.template((*at, "send"), table.send),
            reply,
            self.expression((*at, "convert"), table.convert, known),
            self.bounded((*at, "timeout"), table.timeout),
            table.block,
            self.pattern((*at, "no_value"), table.no_value),
        )

    def _reply(self, at: KeyPath, table: QuestionTable) -> Reply:
        """Where the value stands in the reply: by pattern or by place."""
        pattern = self.pattern((*at, "reply"), table.reply)
        if table.field == 0:
            self.mistakes.note((*at, "field"), "places are counted from 1")
        if pattern is not None and table.field:
            self.mistakes.note((*at, "field"), "the value is found by `reply` or `field`, not both")
        if not table.separator:
            self.mistakes.note((*at, "separator"), "a separator has at least one character")
        if table.block and (pattern or table.field):
            self.mistakes.note((*at, "block"), "in a block there is neither `reply` nor `field`")
        strip = self.strip if table.strip is None else table.strip
        return Reply(pattern, table.field or None, table.separator or ",", strip)

    def commands(self, at: KeyPath, table: CommandTable | None) -> tuple[Command, ...]:
        """One command, or several in a row; none where there is no table."""
        if table is None:
            return ()
        given = table.acknowledge
        acknowledge = (
            self.acknowledge if given is None else self.pattern((*at, "acknowledge"), given)
        )
        formula = table.convert if isinstance(table, WriteTable) else ""
        convert = self.expression((*at, "convert"), formula, (*self.sample, *self.options))
        if not table.send:
            self.mistakes.note((*at, "send"), "is empty: give at least one command")
        timeout_s = self.bounded((*at, "timeout"), table.timeout)
        return tuple(
            Command(
                self.template((*at, "send"), text), acknowledge, convert, timeout_s, table.pause
            )
            for text in table.send
        )

    def bounded(self, at: KeyPath, seconds: float | None) -> float | None:
        """A time that an exchange may be declared to take."""
        if seconds is not None and seconds > LONGEST_S:
            self.mistakes.note(at, f"{seconds:g} s is longer than an exchange may take, 600 s")
        return seconds
