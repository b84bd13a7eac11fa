"""Asks and commands one instrument in the words of its description."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import trio

from daq.core import DeviceError, LimitError, Scalar
from daq.drivers.declarative.expression import Expression, ExpressionError
from daq.drivers.declarative.model import Command, Description, Pattern, Question, Value
from daq.drivers.declarative.replies import decode, encode, extract
from daq.drivers.declarative.values import fits
from daq.transport import Line

__all__ = ["Conversation", "Look"]

_MOST_ERRORS = 20
"""An instrument's queue of errors that does not get empty is broken off after so many."""
_LOOK_S = 0.05
_VALUE_TOLERANCE = 1e-3
_ROUNDING = 1e-9


class Conversation:
    """Values by their names, actions by theirs; errors name device, command and raw reply.

    Args:
        description: The instrument.
        line: To it; opened and closed by the driver.
        device_id: As errors name it.
        options: What the configuration gives for the description's options.
    """

    def __init__(
        self, description: Description, line: Line, device_id: str, options: Mapping[str, Any]
    ) -> None:
        self.line = line
        self._description = description
        self._id = device_id
        self._options = dict(options)
        mine = description.mine
        self._mine = None if mine is None else re.compile(mine.render(self._options), re.DOTALL)

    def __repr__(self) -> str:
        return f"<Conversation of {self._id} as {self._description.name!r}>"

    def value(self, name: str) -> Value:
        """The value of that name; raises DeviceError listing those that exist."""
        try:
            return self._description.values[name]
        except KeyError:
            known = ", ".join(self._description.values) or "none"
            raise DeviceError(f"{self._id}: there is no value {name!r}; it has {known}") from None

    def look(self) -> Look:
        """A look at the instrument in which no question is asked twice."""
        return Look(self)

    async def read(self, name: str) -> Scalar:
        """Ask for a value."""
        return await self.look().read(name)

    async def identify(self) -> str:
        """What it says that it is; DeviceError when that is not what the description expects."""
        question = self._description.identify
        if question is None:
            await trio.lowlevel.checkpoint()
            return ""
        reply = await self.ask(question)
        if extract(question.reply, reply) is None:
            pattern = question.reply.pattern
            expected = pattern.pattern if pattern else f"{question.reply.field} fields"
            raise DeviceError(
                f"{self._id}: on {self.line.address} answers {reply!r} to "
                f"{question.send.text!r}; {self._description.name} answers as {expected!r}",
                advice="is it another instrument, or the wrong port or address?",
            )
        return reply

    async def ask(self, question: Question) -> str:
        """The raw reply to a question; DeviceError when the reply is an error."""
        sent = question.send.render(self._options)
        reply = await self.line.query(sent, accepts=self._accepts(), timeout_s=question.timeout_s)
        self._refuse_error(sent, reply)
        return reply

    async def tell(self, command: Command, value: Any = None) -> str:
        """Send a command, check its acknowledgement and the error queue; returns what was sent."""
        names = {**self._options, "value": value}
        if command.convert is not None:
            names["value"] = self.evaluate(command.convert, names)
        try:
            sent = command.send.render(names)
        except ValueError as error:
            raise DeviceError(
                f"{self._id}: {command.send.text!r} was not sent: {value!r} does not fit: {error}"
            ) from error
        await self._send(command, sent)
        if command.pause_s:
            await trio.sleep(command.pause_s)
        await self._check_errors(sent)
        return sent

    async def act(self, name: str) -> None:
        """Do an action: its commands one after the other."""
        for command in self._description.actions[name]:
            await self.tell(command)

    async def write(self, name: str, given: Scalar, *, verify: bool = True) -> None:
        """Set a value and read it back.

        Raises:
            LimitError: It is outside of the limits or not one of the choices; nothing was sent.
            DeviceError: The instrument refused it, or reads back something else.
        """
        value = self.value(name)
        if value.write is None:
            raise DeviceError(f"{self._id}: {name} can only be read")
        self._check(value, given)
        sent = await self.tell(value.write, encode(value, given))
        if verify and value.verify and value.read is not None:
            await self._verify(value, given, sent)

    def evaluate(self, expression: Expression, names: Mapping[str, Any]) -> Any:
        """The value of an expression; DeviceError when it cannot be computed."""
        try:
            return expression.evaluate(names)
        except ExpressionError as error:
            raise DeviceError(f"{self._id}: {error}") from error

    def interpret(self, value: Value, sent: str, reply: str) -> Scalar:
        """What a reply says about a value; DeviceError when it says nothing of that kind."""
        question = value.read
        try:
            if question is None:
                raise ValueError("it cannot be read")
            result = decode(value, question, reply)
        except ValueError as error:
            raise DeviceError(
                f"{self._id}: {value.name}: {sent!r} got the reply {reply!r}: {error}"
            ) from error
        is_invalid = value.invalid is not None and self.evaluate(value.invalid, {"value": result})
        if is_invalid:
            rule = value.invalid.text if value.invalid is not None else ""
            raise DeviceError(
                f"{self._id}: {value.name}: {sent!r} got the reply {reply!r}, which is no "
                f"measurement: {rule}",
                advice="the instrument reports an overload or has nothing to measure",
            )
        return result

    def rendered(self, question: Question) -> str:
        """A question as it is sent."""
        return question.send.render(self._options)

    async def _send(self, command: Command, sent: str) -> None:
        if command.acknowledge is None:
            await self.line.command(sent, timeout_s=command.timeout_s)
            return
        reply = await self.line.query(sent, accepts=self._accepts(), timeout_s=command.timeout_s)
        self._refuse_error(sent, reply)
        if command.acknowledge.fullmatch(reply.strip()) is None:
            raise DeviceError(
                f"{self._id}: {sent!r} was not acknowledged: the reply is {reply!r}, not "
                f"{command.acknowledge.pattern!r}"
            )

    def _refuse_error(self, sent: str, reply: str) -> None:
        pattern = self._description.errors.reply
        found = pattern.fullmatch(reply.strip()) if pattern is not None else None
        if found is not None:
            raise DeviceError(f"{self._id}: {sent!r} got the error {reply!r}{self._meaning(found)}")

    async def _check_errors(self, sent: str) -> None:
        """Empty the instrument's queue of errors; the first one is the command's."""
        rules = self._description.errors
        if rules.question is None or rules.ok is None:
            return
        asked = self.rendered(rules.question)
        found: list[str] = []
        while len(found) < _MOST_ERRORS:
            reply = (await self.line.query(asked, accepts=self._accepts())).strip()
            if rules.ok.fullmatch(reply):
                break
            found.append(reply + self._meaning(_code(rules.question.reply.pattern, reply)))
        if found:
            raise DeviceError(
                f"{self._id}: {sent!r} was refused: {asked!r} says {'; '.join(found)}"
            )

    def _meaning(self, found: re.Match[str] | None) -> str:
        groups = found.groupdict() if found is not None else {}
        code = groups.get("code") or ""
        meaning = self._description.errors.codes.get(code) or groups.get("message") or ""
        return f": {meaning}" if meaning else ""

    def _accepts(self) -> Any:
        mine = self._mine
        return None if mine is None else lambda text: mine.match(text) is not None

    def _check(self, value: Value, given: Scalar) -> None:
        if not fits(value, given):
            raise DeviceError(f"{self._id}: {value.name} takes {value.dtype}, not {given!r}")
        limits = value.limits
        if limits is not None and given not in limits:
            raise LimitError.outside(
                self._id, value.name, float(given), limits.low, limits.high, value.units
            )
        if isinstance(given, float) and not math.isfinite(given):
            raise LimitError(f"{self._id}: {value.name} {given} is not a finite number")
        if value.choices and given not in value.words:
            raise LimitError(
                f"{self._id}: {value.name} {given!r} is not one of {', '.join(value.choices)}; "
                "nothing was changed"
            )

    async def _verify(self, value: Value, given: Scalar, sent: str) -> None:
        deadline = trio.current_time() + value.reach_s
        while True:
            actual = await self.read(value.name)
            if _agree(value, given, actual):
                return
            if trio.current_time() >= deadline:
                break
            await trio.sleep(_LOOK_S)
        units = f" {value.units}" if value.units else ""
        within = f" within {value.reach_s:g} s" if value.reach_s else ""
        raise DeviceError(
            f"{self._id}: {value.name} was set to {given!r}{units} by {sent!r} and reads back "
            f"{actual!r}{units}{within}"
        )


class Look:
    """Values as they are now: those that stand in one reply come from one exchange."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._replies: dict[str, str] = {}

    async def read(self, name: str) -> Scalar:
        """Ask for a value, unless its question was answered already."""
        value = self._conversation.value(name)
        if value.read is None:
            raise DeviceError(f"{self._conversation!r}: {name} can only be written")
        sent = self._conversation.rendered(value.read)
        if sent not in self._replies:
            self._replies[sent] = await self._conversation.ask(value.read)
        return self._conversation.interpret(value, sent, self._replies[sent])

    async def evaluate(self, expression: Expression, known: Mapping[str, Any]) -> Any:
        """The value of an expression; names that are not `known` are values that are asked for."""
        names = dict(known)
        for name in sorted(expression.names - names.keys()):
            names[name] = await self.read(name)
        return self._conversation.evaluate(expression, names)


def _code(pattern: Pattern | None, reply: str) -> re.Match[str] | None:
    return None if pattern is None else pattern.fullmatch(reply)


def _agree(value: Value, given: Scalar, actual: Scalar) -> bool:
    if isinstance(given, str | bool) or isinstance(actual, str | bool):
        return given == actual
    if value.tolerance is not None:
        return abs(actual - given) <= value.tolerance
    tolerance = 0.0 if value.dtype == "int" else abs(given) * _VALUE_TOLERANCE + _ROUNDING
    return abs(actual - given) <= tolerance
