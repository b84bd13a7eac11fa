"""Asks and commands an instrument in the words of its description, over a line."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import trio

from daq.core import DeviceError, OfflineError, Scalar
from daq.drivers.declarative.conversation import Conversation, UnreadableError
from daq.drivers.declarative.model import Command, Description, Pattern, Question, Value
from daq.drivers.declarative.replies import (
    NoMeasurementError,
    decode,
    decode_points,
    encode,
    encode_all,
    extract,
    scaled,
)
from daq.drivers.line_driver import SerialPin
from daq.transport import Block, Busy, Framing, Line, Terminated, UnfitReplyError

__all__ = ["LineConversation"]

logger = logging.getLogger(__name__)

_LONG, _LONGEST_TEXT = 1 << 16, 1 << 24
"""Characters: numbers of a longer reply are read in a thread; a waveform's may have so many."""
_DEAF_ATTEMPTS = 3
_MOST_ERRORS = 20
"""An instrument's queue of errors that does not get empty is broken off after so many."""


class _StrangeAnswerError(DeviceError):
    """What came is not what the described instrument says of itself."""


class LineConversation(Conversation):
    """Text that is sent, and text that comes back.

    Args:
        description: The instrument.
        line: To it; this opens and closes it.
        device_id: As errors name it.
        options: What the configuration gives for the description's options.
        serial: The serial number that it has to have: the group `serial` of what identifies it.
    """

    def __init__(
        self,
        description: Description,
        line: Line,
        device_id: str,
        options: Mapping[str, Any],
        serial: SerialPin,
    ) -> None:
        super().__init__(device_id, description.values, f" on {line.address}")
        self._line = line
        self._description = description
        self._options = dict(options)
        self._serial = serial
        mine = description.mine
        self._mine = None if mine is None else re.compile(mine.render(self._options), re.DOTALL)

    async def open(self) -> None:
        await self._line.open()
        try:
            for command in self._description.login:
                await self._tell(command)
            await self._identify()
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

    def busy(self) -> Busy | None:
        return self._line.busy()

    def declared_s(self, value: Value) -> float:
        declared = None if value.read is None else value.read.timeout_s
        return self._line.dialect.timeout_s if declared is None else declared

    async def check(self) -> None:
        """DeviceError when what it says that it is does not fit the description."""
        question = self._description.identify
        if question is None:
            await trio.lowlevel.checkpoint()
            return
        sent, reply = self._rendered(question), question.reply

        def fits(text: str) -> bool:
            says_no = self._refused(text) is not None or self._is_busy(text)
            return self._is_mine(text) and (says_no or extract(reply, text) is not None)

        try:
            # Greetings and what comes of itself do not fit, and are passed over.
            answer = await self._line.query(sent, accepts=fits, timeout_s=question.timeout_s)
        except UnfitReplyError as error:
            expected = reply.pattern.pattern if reply.pattern else f"{reply.field} fields"
            raise _StrangeAnswerError(
                f"{self.device_id}: {sent!r}{self.place} is answered with {error.replies[-1]!r}; "
                f"{self._description.name} answers as {expected!r}",
                advice="is it another instrument, or the wrong port or address?",
            ) from error
        self._refuse_error(sent, answer)
        found = (extract(reply, answer) or {}).get("serial", "")
        self._serial.require(found, self._description.name, self._line.address)

    async def _identify(self) -> None:
        """Some boards reset when their port is opened, and are deaf until they greet."""
        attempts = _DEAF_ATTEMPTS if self._line.has_opened_port else 1
        for attempt in range(attempts):
            try:
                await self.check()
            except (OfflineError, _StrangeAnswerError):
                if attempt == attempts - 1 or not self._line.is_open:
                    raise
            else:
                return

    def key(self, value: Value) -> str:
        return "" if value.read is None else self._rendered(value.read)

    async def fetch(self, value: Value) -> Any:
        if value.read is None:
            return ""
        answer = await self._ask(value.read, is_long=bool(value.shape))
        if not value.shape:
            return answer
        read = partial(decode_points, value, answer)
        try:
            return await trio.to_thread.run_sync(read) if len(answer) > _LONG else read()
        except NoMeasurementError as error:
            raise self.no_measurement(value, error) from error
        except ValueError as error:
            raise self._unreadable(value, answer, error) from error

    def interpret(self, value: Value, answer: Any, others: Mapping[str, Scalar]) -> Any:
        try:
            if value.shape:
                return scaled(value, answer, others)
            result = decode(value, answer)
        except NoMeasurementError as error:
            raise self.no_measurement(value, error) from error
        except ValueError as error:
            raise self._unreadable(value, answer, error) from error
        return self.require_valid(value, result, self.key(value), answer)

    def _unreadable(self, value: Value, answer: Any, error: ValueError) -> UnreadableError:
        self._line.distrust()
        shown = f"{answer!r:.200}"
        return UnreadableError(
            f"{self.device_id}: {value.name}: {self.key(value)!r}{self.place} got the reply "
            f"{shown}: {error}"
        )

    async def send(self, value: Value, given: Scalar) -> str:
        raw = encode(value, given)
        sent = [(await self._tell(command, value=raw))[0] for command in value.write]
        return "; ".join(sent)

    async def act(self, name: str, *arguments: Scalar) -> Scalar | None:
        """Its commands, one after the other; the last answer that has a group `value` says it."""
        act = self._description.actions[name]
        given = encode_all(act.arguments, arguments)
        answer = None
        for command in act.commands:
            answer = (await self._tell(command, **given))[1] or answer
        return answer

    async def _ask(self, question: Question, *, is_long: bool = False) -> str:
        """The raw reply to a question; DeviceError when the reply is an error."""
        framing: Framing | None = None
        usual = self._line.dialect.framing
        if question.block is not None:
            framing = Block(usual)
        elif is_long and isinstance(usual, Terminated):
            framing = replace(usual, longest=_LONGEST_TEXT)
        sent = question.send.render(self._options)
        reply = await self._query(sent, question.timeout_s, framing)
        self._refuse_error(sent, reply)
        return reply

    async def _query(
        self, sent: str, timeout_s: float | None, framing: Framing | None = None
    ) -> str:
        """A reply; while the instrument says that it is busy, it is asked again."""
        rules = self._description.errors
        deadline = trio.current_time() + rules.busy_timeout_s
        while True:
            reply = await self._line.query(
                sent, accepts=self._accepts(), timeout_s=timeout_s, framing=framing
            )
            if not self._is_busy(reply):
                return reply
            if trio.current_time() >= deadline:
                raise DeviceError(
                    f"{self.device_id}: {sent!r}{self.place} is answered with {reply!r} for "
                    f"{rules.busy_timeout_s:g} s: it is busy"
                )
            await trio.sleep(rules.busy_pause_s)

    async def _tell(self, command: Command, **given: Any) -> tuple[str, str | None]:
        """Send a command, check its acknowledgement and the error queue.

        Returns what was sent, and what the group `value` of its acknowledgement says.
        """
        names = {**self._options, **given}
        needed = command.send.names | (command.convert.names if command.convert else frozenset())
        look = self.look()
        for other in sorted(needed - names.keys()):
            names[other] = encode(self.value(other), await look.read(other))
        if command.convert is not None:
            names["value"] = self.evaluate(command.convert, names)
        try:
            sent = command.send.render(names)
        except ValueError as error:
            raise DeviceError(
                f"{self.device_id}: {command.send.text!r} was not sent: "
                f"{', '.join(map(repr, given.values()))} does not fit: {error}"
            ) from error
        answer = await self._transmit(command, sent)
        if command.pause_s:
            await trio.sleep(command.pause_s)
        await self._check_errors(sent)
        return sent, answer

    def _rendered(self, question: Question) -> str:
        """A question as it is sent."""
        return question.send.render(self._options)

    async def _transmit(self, command: Command, sent: str) -> str | None:
        if command.acknowledge is None:
            await self._line.command(sent, timeout_s=command.timeout_s)
            return None
        reply = await self._query(sent, command.timeout_s)
        self._refuse_error(sent, reply)
        found = command.acknowledge.fullmatch(self._stripped(reply))
        if found is None:
            self._line.distrust()
            raise DeviceError(
                f"{self.device_id}: {sent!r}{self.place} was not acknowledged: the reply is "
                f"{reply!r}, not {command.acknowledge.pattern!r}"
            )
        return found.groupdict().get("value")

    def _refuse_error(self, sent: str, reply: str) -> None:
        found = self._refused(reply)
        if found is not None:
            raise DeviceError(
                f"{self.device_id}: {sent!r}{self.place} got the error {reply!r}"
                f"{self._meaning(found)}"
            )

    def _refused(self, reply: str) -> re.Match[str] | None:
        pattern = self._description.errors.reply
        return None if pattern is None else pattern.fullmatch(self._stripped(reply).rstrip("\r\n"))

    def _is_busy(self, reply: str) -> bool:
        pattern = self._description.errors.busy
        return pattern is not None and pattern.fullmatch(self._stripped(reply)) is not None

    def _stripped(self, reply: str) -> str:
        return reply.strip() if self._description.strip else reply

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
            reply = self._stripped(await self._query(asked, rules.question.timeout_s))
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
        return None if self._mine is None else self._is_mine

    def _is_mine(self, text: str) -> bool:
        return self._mine is None or self._mine.match(text) is not None


def _code(pattern: Pattern | None, reply: str) -> re.Match[str] | None:
    return None if pattern is None else pattern.fullmatch(reply)
