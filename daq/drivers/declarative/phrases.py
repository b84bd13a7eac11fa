"""Reads what is said and answered: commands, questions, patterns and expressions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from daq.drivers.declarative.expression import Expression, ExpressionError
from daq.drivers.declarative.model import Command, Pattern, Question, Reply
from daq.drivers.declarative.source import Table
from daq.drivers.declarative.template import Template, TemplateError

__all__ = ["Phrases"]

_NO_TEMPLATE = "none"


@dataclass(frozen=True, slots=True)
class Phrases:
    """Reads them with what holds for the whole instrument."""

    options: Mapping[str, Any]
    """A sample of each option that commands may hold."""
    acknowledge: Pattern | None = None
    """What every command is answered with, unless it says otherwise."""
    sample: Mapping[str, Any] = field(default_factory=dict)
    """A value to try formats on, as `value`, where a value is sent."""

    def pattern(self, table: Table, key: str, default: str | None = None) -> Pattern | None:
        """A regular expression; None when it is not given or empty."""
        text = table.text(key, default or "")
        try:
            return re.compile(text, re.DOTALL) if text else None
        except re.error as error:
            place = "" if error.pos is None else f" at character {error.pos + 1}"
            table.problem(key, f"{text!r} is not a regular expression: {error.msg}{place}")
            return None

    def expression(self, table: Table, key: str, known: Iterable[str]) -> Expression | None:
        text = table.text(key, "")
        if not text:
            return None
        try:
            return Expression(text, known)
        except ExpressionError as error:
            table.problem(key, str(error))
            return None

    def template(self, table: Table, key: str) -> Template:
        return self.make_template(table, key, table.text(key))

    def make_template(self, table: Table, key: str, text: str) -> Template:
        try:
            return Template(text, {**self.sample, **self.options})
        except TemplateError as error:
            table.problem(key, str(error))
        return Template(_NO_TEMPLATE, {})

    def question(self, table: Table, key: str) -> Question | None:
        """`key = "VOLT?"`, or a table with `send` and what the reply looks like."""
        inner = _short_or_long(table, key)
        if isinstance(inner, str):
            return Question(self.make_template(table, key, inner))
        if inner is None:
            return None
        return self.whole_question(inner)

    def whole_question(self, table: Table) -> Question:
        """A question of a table of its own."""
        reply = self.reply(table)
        groups = reply.pattern.groupindex if reply.pattern else ()
        question = Question(
            self.template(table, "send"),
            reply,
            self.expression(table, "convert", ("value", "text", *groups)),
            _seconds(table, "timeout"),
        )
        table.finish()
        return question

    def reply(self, table: Table) -> Reply:
        """Where the value stands in the reply: by pattern or by place."""
        pattern = self.pattern(table, "reply")
        place = table.whole("field", 0)
        separator = table.text("separator", ",")
        if pattern is not None and place:
            table.problem("field", "a value is found by `reply` or by `field`, not by both")
        if "field" in table and place < 1:
            table.problem("field", "places are counted from 1")
        if not separator:
            table.problem("separator", "a separator has at least one character")
        return Reply(pattern, place or None, separator or ",")

    def command(self, table: Table, key: str) -> Command | None:
        """`key = "VOLT {value}"`, or a table with `send` and more."""
        inner = _short_or_long(table, key)
        if isinstance(inner, str):
            return Command(self.make_template(table, key, inner), self.acknowledge)
        return None if inner is None else self.whole_command(inner)

    def whole_command(self, table: Table) -> Command:
        """A command of a table of its own."""
        given = "acknowledge" in table
        acknowledge = self.pattern(table, "acknowledge")
        command = Command(
            self.template(table, "send"),
            acknowledge if given else self.acknowledge,
            self.expression(table, "convert", (*self.sample, *self.options)),
            _seconds(table, "timeout"),
            table.number("pause", 0.0, "s"),
        )
        table.finish()
        return command

    def commands(self, table: Table) -> tuple[Command, ...]:
        """An action: a table whose `send` is one command or several in a row."""
        if not isinstance(table.values.get("send"), list):
            return (self.whole_command(table),)
        given = "acknowledge" in table
        acknowledge = self.pattern(table, "acknowledge") if given else self.acknowledge
        timeout_s, pause_s = _seconds(table, "timeout"), table.number("pause", 0.0, "s")
        texts = table.texts("send")
        table.finish()
        return tuple(
            Command(
                self.make_template(table, "send", text),
                acknowledge,
                timeout_s=timeout_s,
                pause_s=pause_s,
            )
            for text in texts
        )


def _short_or_long(table: Table, key: str) -> str | Table | None:
    if isinstance(table.values.get(key), dict):
        return table.table(key)
    return table.text(key) if key in table else None


def _seconds(table: Table, key: str) -> float | None:
    seconds = table.number(key, 0.0, "s")
    return seconds or None
