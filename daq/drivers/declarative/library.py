"""Instruments that are reached through a library that blocks: its calls run in worker threads."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import trio

from daq.core import DeviceError, OfflineError, Scalar
from daq.drivers.declarative.conversation import Conversation, UnreadableError
from daq.drivers.declarative.described import DescribedDriver, read_limits, with_capabilities
from daq.drivers.declarative.loader import FOREIGN_TABLES, read_tables
from daq.drivers.declarative.model import Command, Description, Value
from daq.drivers.declarative.replies import (
    NoMeasurementError,
    encode,
    encode_all,
    points_of,
    require_value,
    scaled,
    typed,
)
from daq.drivers.driver import Driver, DriverContext
from daq.drivers.options import Options
from daq.transport import LONG_S, Busy

__all__ = ["LibraryConversation", "build_driver", "read_description"]

T = TypeVar("T")

_SPARE_S = 0.5
"""What a call gets beyond the library's own timeout."""


def read_description(options: Options, owner: str) -> Description:
    """What the tables of a device's configuration say about its values and capabilities.

    Raises ConfigurationError with every mistake.
    """
    return read_tables(options.tables(FOREIGN_TABLES), owner)


def build_driver(
    context: DriverContext,
    options: Options,
    description: Description,
    conversation: Conversation,
) -> Driver:
    """The driver of a described instrument; reads the options that all of them have."""
    label = options.text("label", "")
    limits = read_limits(options, description)
    options.finish()
    driver_class = with_capabilities(DescribedDriver, description)
    return driver_class(context, description, conversation, label, limits)


class LibraryConversation(Conversation):
    """One call at a time, each with a deadline.

    A call that is cancelled or late goes on in its thread; the next one waits until it has ended.

    Args:
        device_id: As errors name it.
        description: The instrument.
        timeout_s: Of a call.
    """

    def __init__(self, device_id: str, description: Description, timeout_s: float) -> None:
        super().__init__(device_id, description.values)
        self._description = description
        self._timeout_s = timeout_s
        self._busy: Busy | None = None
        """With the call that was begun last."""
        self._library = threading.Lock()
        self._limiter = trio.CapacityLimiter(2)

    @abstractmethod
    def open_blocking(self) -> None:
        """Reach the instrument."""

    @abstractmethod
    def close_blocking(self) -> None:
        """Let it go."""

    @abstractmethod
    def get_blocking(self, source: str) -> Any:
        """What stands behind `read` of a value."""

    @abstractmethod
    def put_blocking(self, target: str, value: Scalar, sent: str) -> None:
        """Set what stands behind `write` of a value; `sent` is `target` with the value in it."""

    @abstractmethod
    def act_blocking(self, what: str, *arguments: Scalar) -> None:
        """Do what an action, or a step of `[[init]]`, says; with arguments that stand not in it."""

    @abstractmethod
    def translate(self, what: str, error: Exception) -> Exception:
        """The library's error as one of ours."""

    async def open(self) -> None:
        try:
            await self._perform("connect", self.open_blocking)
            for command in self._description.init:
                text = command.send.text
                await self._perform(text, lambda text=text: self.act_blocking(text))  # type: ignore[misc]
        except BaseException:
            with trio.CancelScope(shield=True):
                await self.close()
            raise

    async def close(self) -> None:
        """Bounded: a call that hangs is left to end by itself."""
        with trio.move_on_after(self._timeout_s + _SPARE_S):
            try:
                await self._perform("disconnect", self.close_blocking)
            except DeviceError:
                return

    def busy(self) -> Busy | None:
        return self._busy

    def declared_s(self, value: Value) -> float:  # noqa: ARG002 - one for all calls
        return self._timeout_s

    async def check(self) -> None:
        await self._perform("check", self.check_blocking)

    def check_blocking(self) -> None:
        """Raise when it is known to be lost; by default nobody knows."""

    def key(self, value: Value) -> str:
        return "" if value.read is None else value.read.send.text

    async def fetch(self, value: Value) -> Any:
        source = self.key(value)
        return await self._perform(source, lambda: self.get_blocking(source))

    def interpret(self, value: Value, answer: Any, others: Mapping[str, Scalar]) -> Any:
        source = self.key(value)
        try:
            if value.shape:
                return scaled(value, points_of(value, answer), others)
            raw = _single(answer)
            if value.read is not None:
                require_value(value.read, str(raw))
            if value.read is not None and value.read.convert is not None:
                raw = value.read.convert.evaluate({"value": raw, "text": str(raw)})
            result = typed(value, raw)
        except NoMeasurementError as error:
            raise self.no_measurement(value, error) from error
        except (ValueError, TypeError) as error:
            raise UnreadableError(
                f"{self.device_id}: {value.name}: {source!r} gave {answer!r:.80}: {error}"
            ) from error
        return self.require_valid(value, result, source, repr(raw))

    async def send(self, value: Value, given: Scalar) -> str:
        done = [await self._put(value, command, given) for command in value.write]
        return "; ".join(done)

    async def _put(self, value: Value, command: Command, given: Scalar) -> str:
        target, raw = command.send.text, self._raw(value, command, given)
        in_words = raw if command.convert is not None else encode(value, given)
        sent = command.send.render({"value": in_words})
        await self._perform(f"{target} = {raw!r}", lambda: self.put_blocking(target, raw, sent))
        if command.pause_s:
            await trio.sleep(command.pause_s)
        return f"{target} = {raw!r}"

    async def act(self, name: str, *arguments: Scalar) -> Scalar | None:
        act = self._description.actions[name]
        given = encode_all(act.arguments, arguments)
        for command in act.commands:
            text = command.send.render(given)
            free = () if command.send.names else tuple(given.values())
            await self._perform(text, partial(self.act_blocking, text, *free))
            if command.pause_s:
                await trio.sleep(command.pause_s)
        return None

    def _raw(self, value: Value, command: Command, given: Scalar) -> Scalar:
        """As the library takes it: a choice in the instrument's words, True and False as such."""
        if value.dtype == "str":
            return value.words.get(given, str(given))
        if command.convert is not None:
            result: Scalar = self.evaluate(command.convert, {"value": given})
            return result
        return float(given) if value.dtype == "float" else given

    async def _perform(self, what: str, call: Callable[[], T]) -> T:
        """Run one call in a thread, alone and within its time."""
        within = self._timeout_s + _SPARE_S

        def alone() -> T:
            if not self._library.acquire(timeout=within):
                raise OfflineError(f"{self.device_id}: {what}: an earlier call has not ended yet")
            try:
                return call()
            finally:
                self._library.release()

        busy = None
        if self._timeout_s > LONG_S:
            said = f"it waits for {what}, which may take {self._timeout_s:g} s"
            busy = Busy(said, trio.current_time() + within)
        self._busy = busy
        with trio.move_on_after(within):
            try:
                return await trio.to_thread.run_sync(
                    alone, abandon_on_cancel=True, limiter=self._limiter
                )
            except DeviceError:
                raise
            except Exception as error:
                raise self.translate(f"{self.device_id}: {what}", error) from error
            finally:
                if self._busy is busy:
                    self._busy = None
        raise OfflineError(f"{self.device_id}: {what} did not end within {within:g} s")


def _single(answer: Any) -> Any:
    """One value as such; ValueError for many."""
    size = getattr(answer, "size", 1)
    if size != 1:
        raise ValueError(f'it has {size} values, not one: describe it by type = "waveform"')
    return answer.item() if hasattr(answer, "item") else answer
