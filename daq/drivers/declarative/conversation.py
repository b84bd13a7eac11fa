"""Talks with one instrument by the names of its values and actions; how is up to a subclass."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from typing import Any

import trio

from daq.core import DeviceError, Invalid, InvalidReadingError, LimitError, Scalar
from daq.drivers.declarative.expression import Expression, ExpressionError
from daq.drivers.declarative.model import Value
from daq.drivers.declarative.values import fits
from daq.transport import Busy, GarbledReplyError

__all__ = ["Conversation", "Look", "UnreadableError"]

_LOOK_S = 0.05
_VALUE_TOLERANCE = 1e-3
_ROUNDING = 1e-9
_ATTEMPTS, _NOISE_S = 3, 0.1
"""How often a question is asked whose answer cannot be understood, and how long noise may last."""


class UnreadableError(DeviceError):
    """The instrument answered, and the answer does not tell the value."""


class Conversation(ABC):
    """Values by their names, actions by theirs; errors name device, command and reply.

    Args:
        device_id: As errors name it.
        values: Of the instrument.
        place: Where that is, as errors say it behind a command: ` on /dev/ttyUSB0`.
    """

    def __init__(self, device_id: str, values: Mapping[str, Value], place: str = "") -> None:
        self.device_id = device_id
        self.place = place
        self._values = values

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.device_id}>"

    @abstractmethod
    async def open(self) -> None:
        """Reach the instrument, see that it is the right one, and set it up.

        Raises OfflineError or DeviceError; nothing is left open then.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let it go. Nothing when it is not open."""

    async def wait_plugged_in(self) -> None:
        """As `Driver.wait_plugged_in`."""
        await trio.sleep_forever()

    def busy(self) -> Busy | None:
        """As `Driver.busy`."""
        return None

    @abstractmethod
    def declared_s(self, value: Value) -> float:
        """How long the answer to the question for a value may take, s."""

    @abstractmethod
    async def check(self) -> None:
        """See that it still answers, where there is no value to be asked for."""

    @abstractmethod
    def key(self, value: Value) -> Hashable:
        """Values with the same key come from the same exchange."""

    @abstractmethod
    async def fetch(self, value: Value) -> Any:
        """What the instrument answers when it is asked for a value."""

    @abstractmethod
    def interpret(self, value: Value, answer: Any, others: Mapping[str, Scalar]) -> Any:
        """What that says about the value; `UnreadableError` when it says nothing of that kind.

        Args:
            value: What was asked for.
            answer: What `fetch` gave.
            others: The values that the conversion of a waveform names.
        """

    @abstractmethod
    async def send(self, value: Value, given: Scalar) -> str:
        """Set a value that was checked; returns what was done, for people."""

    @abstractmethod
    async def act(self, name: str, *arguments: Scalar) -> Scalar | None:
        """Do an action; returns what the instrument says of it, if anything."""

    def value(self, name: str) -> Value:
        """The value of that name; raises DeviceError listing those that exist."""
        try:
            return self._values[name]
        except KeyError:
            known = ", ".join(self._values) or "none"
            raise DeviceError(
                f"{self.device_id}: there is no value {name!r}; it has {known}"
            ) from None

    def look(self) -> Look:
        """A look at the instrument in which nothing is asked for twice."""
        return Look(self)

    async def read(self, name: str) -> Any:
        """Ask for a value: a scalar, or the points of a waveform."""
        return await self.look().read(name)

    async def write(self, name: str, given: Scalar, *, verify: bool = True) -> Any:
        """Set a value and read it back. Gives what it reads back; None where it is not asked.

        Raises:
            LimitError: It is outside of the limits or not one of the choices; nothing was sent.
            DeviceError: The instrument refused it, or reads back something else.
        """
        value = self.value(name)
        if not value.write:
            raise DeviceError(f"{self.device_id}: {name} can only be read")
        self._require(value, given)
        if value.dtype in ("int", "float") and not isinstance(given, str):
            given = int(given) if value.dtype == "int" else float(given)
        sent = await self.send(value, given)
        if verify and value.verify and value.is_readable and await self.look().is_there(value):
            return await self._verify(value, given, sent)
        return None

    def evaluate(self, expression: Expression, names: Mapping[str, Any]) -> Any:
        """The value of an expression; DeviceError when it cannot be computed."""
        try:
            return expression.evaluate(names)
        except ExpressionError as error:
            raise DeviceError(f"{self.device_id}: {error}") from error

    def no_measurement(self, value: Value, error: ValueError) -> InvalidReadingError:
        """The instrument is well, and has no number to give."""
        return InvalidReadingError(
            f"{self.device_id}: {value.name}: {self.key(value)!r}{self.place}: {error}",
            advice="the instrument reports an overload or has nothing to measure",
        )

    def require_valid(self, value: Value, result: Scalar, sent: str, reply: str) -> Scalar:
        """The result, unless the description says that it stands for an error."""
        if value.invalid is not None and self.evaluate(value.invalid, {"value": result}):
            raise InvalidReadingError(
                f"{self.device_id}: {value.name}: {sent!r}{self.place} got the reply {reply!r}, "
                f"which is no measurement: {value.invalid.text}",
                advice="the instrument reports an overload or has nothing to measure",
            )
        return result

    def _require(self, value: Value, given: Scalar) -> None:
        if isinstance(given, float) and not math.isfinite(given):
            raise LimitError(f"{self.device_id}: {value.name} {given} is not a finite number")
        if not fits(value, given):
            what = "whole numbers" if value.dtype == "int" else value.dtype
            raise DeviceError(f"{self.device_id}: {value.name} takes {what}, not {given!r}")
        if value.limits is not None:
            value.limits.require(self.device_id, value.name, float(given), value.units)
        if value.choices and given not in value.words:
            raise LimitError(
                f"{self.device_id}: {value.name} {given!r} is not one of "
                f"{', '.join(value.choices)}; nothing was changed"
            )

    async def _verify(self, value: Value, given: Scalar, sent: str) -> Any:
        deadline = trio.current_time() + value.reach_s
        while True:
            actual = await self.read(value.name)
            if _agree(value, given, actual):
                return actual
            if trio.current_time() >= deadline:
                break
            await trio.sleep(_LOOK_S)
        units = f" {value.units}" if value.units else ""
        within = f" within {value.reach_s:g} s" if value.reach_s else ""
        raise DeviceError(
            f"{self.device_id}: {value.name} was set to {given!r}{units} by {sent!r} and reads "
            f"back {actual!r}{units}{within}"
        )


class Look:
    """Values as they are now: those that stand in one reply come from one exchange."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._answers: dict[Hashable, Any] = {}

    async def read(self, name: str) -> Any:
        """Ask for a value, unless its question was answered already.

        A reply that cannot be understood is asked for again, which is harmless.
        """
        value = self._conversation.value(name)
        if value.text is not None:
            parts = {part: await self.read(part) for part in sorted(value.text.names)}
            return value.text.render(parts)
        if value.read is None:
            raise DeviceError(f"{self._conversation.device_id}: {name} can only be written")
        if value.requires is not None and not await self.is_there(value):
            raise InvalidReadingError(
                f"{self._conversation.device_id}: {name} is not available now: "
                f"{value.requires.text!r} is not so"
            )
        others = await self._scale(value)
        for attempt in range(_ATTEMPTS):
            try:
                return await self._read_once(value, others)
            except (GarbledReplyError, UnreadableError):
                self._answers.pop(self._conversation.key(value), None)
                if attempt == _ATTEMPTS - 1:
                    raise
            await trio.sleep(_NOISE_S)
        raise AssertionError("unreachable")

    async def _read_once(self, value: Value, others: Mapping[str, Scalar]) -> Any:
        key = self._conversation.key(value)
        if key not in self._answers:
            self._answers[key] = await self._conversation.fetch(value)
        return self._conversation.interpret(value, self._answers[key], others)

    async def _scale(self, value: Value) -> dict[str, Scalar]:
        """What the conversion of a waveform names beside what stands in its reply."""
        convert = None if value.read is None else value.read.convert
        if not value.shape or convert is None:
            return {}
        names = convert.names - {"value", "text"}
        return {name: await self.read(name) for name in sorted(names)}

    async def is_there(self, value: Value) -> bool:
        """Whether it can be asked for now."""
        return value.requires is None or bool(await self.evaluate(value.requires, {}))

    async def read_or_invalid(self, name: str) -> Scalar | Invalid:
        """As `read`; a value that there is not now is told as such."""
        try:
            value: Scalar = await self.read(name)
        except InvalidReadingError as error:
            return Invalid(error.message.removeprefix(f"{self._conversation.device_id}: "))
        return value

    async def evaluate(self, expression: Expression, known: Mapping[str, Any]) -> Any:
        """The value of an expression; names that are not `known` are values that are asked for."""
        names: dict[str, Any] = dict(known)
        for name in sorted(expression.names - names.keys()):
            names[name] = await self.read(name)
        return self._conversation.evaluate(expression, names)


def _agree(value: Value, given: Scalar, actual: Scalar) -> bool:
    if isinstance(given, str | bool) or isinstance(actual, str | bool):
        return given == actual
    if value.tolerance is not None:
        return abs(actual - given) <= value.tolerance
    tolerance = 0.0 if value.dtype == "int" else abs(given) * _VALUE_TOLERANCE + _ROUNDING
    return abs(actual - given) <= tolerance
