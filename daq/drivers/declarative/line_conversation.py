"""Asks and commands an instrument in the words of its description, over a line."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

import trio

from daq.core import DeviceError, Scalar
from daq.drivers.declarative.conversation import Conversation
from daq.drivers.declarative.model import Command, Description, Pattern, Question, Value
from daq.drivers.declarative.replies import decode, encode, extract
from daq.transport import Line

__all__ = ["LineConversation"]

logger = logging.getLogger(__name__)

_MOST_ERRORS = 20
"""An instrument's queue of errors that does not get empty is broken off after so many."""


class LineConversation(Conversation):
    """Text that is sent, and text that comes back.

    Args:
        description: The instrument.
        line: To it; this opens and closes it.
        device_id: As errors name it.
        options: What the configuration gives for the description's options.
    """

    def __init__(
        self, description: Description, line: Line, device_id: str, options: Mapping[str, Any]
    ) -> None:
        super().__init__(device_id, description.values, f" on {line.address}")
        self._line = line
        self._description = description
        self._options = dict(options)
        mine = description.mine
        self._mine = None if mine is None else re.compile(mine.render(self._options), re.DOTALL)

    async def open(self) -> None:
        await self._line.open()
        try:
            await self.check()
            await self._forget_errors()
            for command in self._description.init:
                await self._tell(command)
        except BaseException:
            await self._line.close()
            raise

    async def close(self) -> None:
        await self._line.close()

    async def wait_plugged_in(self) -> None:
        await self._line.wait_port()

    async def check(self) -> None:
        """DeviceError when what it says that it is does not fit the description."""
        question = self._description.identify
        if question is None:
            await trio.lowlevel.checkpoint()
            return
        reply = await self._ask(question)
        if extract(question.reply, reply) is None:
            pattern = question.reply.pattern
            expected = pattern.pattern if pattern else f"{question.reply.field} fields"
            raise DeviceError(
                f"{self.device_id}: {self._rendered(question)!r}{self.place} is answered with "
                f"{reply!r}; {self._description.name} answers as {expected!r}",
                advice="is it another instrument, or the wrong port or address?",
            )

    def key(self, value: Value) -> str:
        return "" if value.read is None else self._rendered(value.read)

    async def fetch(self, value: Value) -> str:
        return "" if value.read is None else await self._ask(value.read)

    def interpret(self, value: Value, answer: str) -> Scalar:
        sent = self.key(value)
        try:
            result = decode(value, answer)
        except ValueError as error:
            raise DeviceError(
                f"{self.device_id}: {value.name}: {sent!r}{self.place} got the reply {answer!r}: "
                f"{error}"
            ) from error
        return self.require_valid(value, result, sent, answer)

    async def send(self, value: Value, given: Scalar) -> str:
        if value.write is None:
            raise DeviceError(f"{self.device_id}: {value.name} can only be read")
        return await self._tell(value.write, encode(value, given))

    async def act(self, name: str) -> None:
        """Its commands, one after the other."""
        for command in self._description.actions[name]:
            await self._tell(command)

    async def _ask(self, question: Question) -> str:
        """The raw reply to a question; DeviceError when the reply is an error."""
        sent = question.send.render(self._options)
        reply = await self._line.query(sent, accepts=self._accepts(), timeout_s=question.timeout_s)
        self._refuse_error(sent, reply)
        return reply

    async def _tell(self, command: Command, value: Any = None) -> str:
        """Send a command, check its acknowledgement and the error queue; returns what was sent."""
        names = {**self._options, "value": value}
        if command.convert is not None:
            names["value"] = self.evaluate(command.convert, names)
        try:
            sent = command.send.render(names)
        except ValueError as error:
            raise DeviceError(
                f"{self.device_id}: {command.send.text!r} was not sent: {value!r} does not fit: "
                f"{error}"
            ) from error
        await self._transmit(command, sent)
        if command.pause_s:
            await trio.sleep(command.pause_s)
        await self._check_errors(sent)
        return sent

    def _rendered(self, question: Question) -> str:
        """A question as it is sent."""
        return question.send.render(self._options)

    async def _transmit(self, command: Command, sent: str) -> None:
        if command.acknowledge is None:
            await self._line.command(sent, timeout_s=command.timeout_s)
            return
        reply = await self._line.query(sent, accepts=self._accepts(), timeout_s=command.timeout_s)
        self._refuse_error(sent, reply)
        if command.acknowledge.fullmatch(reply.strip()) is None:
            raise DeviceError(
                f"{self.device_id}: {sent!r}{self.place} was not acknowledged: the reply is "
                f"{reply!r}, not {command.acknowledge.pattern!r}"
            )

    def _refuse_error(self, sent: str, reply: str) -> None:
        pattern = self._description.errors.reply
        found = pattern.fullmatch(reply.strip()) if pattern is not None else None
        if found is not None:
            raise DeviceError(
                f"{self.device_id}: {sent!r}{self.place} got the error {reply!r}"
                f"{self._meaning(found)}"
            )

    async def _check_errors(self, sent: str) -> None:
        """Empty the instrument's queue of errors; the first one is the command's."""
        if found := await self._take_errors():
            raise DeviceError(f"{self.device_id}: {sent!r}{self.place} was refused: {found}")

    async def _forget_errors(self) -> None:
        """What the instrument was asked before is not the fault of the first command."""
        if found := await self._take_errors():
            logger.info("%s: an error from before it was connected: %s", self.device_id, found)

    async def _take_errors(self) -> str:
        rules = self._description.errors
        if rules.question is None or rules.ok is None:
            return ""
        asked = self._rendered(rules.question)
        found: list[str] = []
        while len(found) < _MOST_ERRORS:
            reply = (await self._line.query(asked, accepts=self._accepts())).strip()
            if rules.ok.fullmatch(reply):
                break
            found.append(reply + self._meaning(_code(rules.question.reply.pattern, reply)))
        return f"{asked!r} says {'; '.join(found)}" if found else ""

    def _meaning(self, found: re.Match[str] | None) -> str:
        groups = found.groupdict() if found is not None else {}
        code = groups.get("code") or ""
        meaning = self._description.errors.codes.get(code) or groups.get("message") or ""
        return f": {meaning}" if meaning else ""

    def _accepts(self) -> Any:
        mine = self._mine
        return None if mine is None else lambda text: mine.match(text) is not None


def _code(pattern: Pattern | None, reply: str) -> re.Match[str] | None:
    return None if pattern is None else pattern.fullmatch(reply)
