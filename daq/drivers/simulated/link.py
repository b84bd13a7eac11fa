"""The line between a simulated driver and its instrument, and everything that can go wrong with it.

Every driver of the bench talks through `query` and `command`. A fault is another link around the
sound one, so no driver knows that there are faults.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import trio

from daq.core import DeviceError, OfflineError
from daq.drivers.options import NOT_NEGATIVE, REQUIRED, Options

__all__ = ["Fault", "Link", "SoundLink", "open_link", "read_fault"]

T = TypeVar("T")


class Link(Protocol):
    """An exchange with the instrument: something is asked, or something is made to happen."""

    def open(self) -> None:
        """Let exchanges through from now on."""

    def close(self) -> None:
        """Refuse exchanges with OfflineError."""

    async def query(self, text: str, answer: Callable[[], T]) -> T:
        """Ask `text`; `answer` is the instrument's side, evaluated when it answers."""

    async def command(self, text: str, effect: Callable[[], None]) -> None:
        """Tell `text`; `effect` is what the instrument does, at the end of the exchange."""


class SoundLink:
    """A line that works while it is open, with a latency in seconds."""

    def __init__(self, device: str, latency: float) -> None:
        self._device = device
        self._latency = latency
        self._open = False

    def open(self) -> None:
        self._open = True

    def close(self) -> None:
        self._open = False

    async def query(self, text: str, answer: Callable[[], T]) -> T:
        await self._exchange(text)
        return answer()

    async def command(self, text: str, effect: Callable[[], None]) -> None:
        await self._exchange(text)
        effect()

    async def _exchange(self, text: str) -> None:
        await trio.sleep(self._latency)
        if not self._open:
            raise OfflineError(f"{self._device}: {text!r} was not sent: it is not connected")


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, and when: it begins after both `after` and `exchanges` have passed."""

    kind: str
    """`offline`, `hang`, `slow`, `garbage` or `stuck`."""
    after: float = 0.0
    """Seconds since the first exchange."""
    exchanges: int = 0
    """Exchanges that still go well."""
    duration: float = math.inf
    """Seconds until the instrument is well again."""
    delay: float = 1.0
    """Seconds that a slow exchange takes."""
    reply: str = "\x00\ufffd?#"
    """The raw reply of an instrument that talks garbage."""


def read_fault(options: Options | None) -> Fault | None:
    """The `fault` table of a device, None when there is none."""
    if options is None:
        return None
    usual = Fault(options.choice("kind", REQUIRED, _FAULTS))
    fault = replace(
        usual,
        after=options.number("after", usual.after, "s", NOT_NEGATIVE),
        exchanges=options.integer("exchanges", usual.exchanges, limits=NOT_NEGATIVE),
        duration=options.number("duration", usual.duration, "s", NOT_NEGATIVE),
        delay=options.number("delay", usual.delay, "s", NOT_NEGATIVE),
        reply=options.text("reply", usual.reply, "the raw reply"),
    )
    options.finish()
    return fault


def open_link(device: str, latency: float, fault: Fault | None) -> Link:
    """A sound link, or one with a fault around it."""
    sound = SoundLink(device, latency)
    return _InTurn(sound if fault is None else _FAULTS[fault.kind](device, sound, fault))


class _InTurn:
    """One exchange at a time, in the order in which they were asked for.

    A stop that is told while a move is still on the line therefore comes after it, and ends it.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._turn = trio.Lock()

    def open(self) -> None:
        self._link.open()

    def close(self) -> None:
        self._link.close()

    async def query(self, text: str, answer: Callable[[], T]) -> T:
        async with self._turn:
            return await self._link.query(text, answer)

    async def command(self, text: str, effect: Callable[[], None]) -> None:
        async with self._turn:
            await self._link.command(text, effect)


class _FaultyLink:
    """A sound link until the fault begins, and again after it ended."""

    def __init__(self, device: str, sound: Link, fault: Fault) -> None:
        self._device = device
        self._sound = sound
        self._fault = fault
        self._first: float | None = None
        self._exchanges = 0

    def open(self) -> None:
        self._sound.open()

    def close(self) -> None:
        self._sound.close()

    async def query(self, text: str, answer: Callable[[], T]) -> T:
        if self._is_present():
            await self._disturb(text)
        return await self._sound.query(text, answer)

    async def command(self, text: str, effect: Callable[[], None]) -> None:
        if self._is_present():
            await self._disturb(text)
        await self._sound.command(text, effect)

    async def _disturb(self, text: str) -> None:
        raise NotImplementedError

    def _is_present(self) -> bool:
        now = trio.current_time()
        if self._first is None:
            self._first = now
        self._exchanges += 1
        begun = now - self._first - self._fault.after
        return 0.0 <= begun < self._fault.duration and self._exchanges > self._fault.exchanges


class _OfflineLink(_FaultyLink):
    async def _disturb(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        raise OfflineError(
            f"{self._device}: no answer to {text!r}: the simulated instrument is unplugged",
            advice="remove the option fault from its table to plug it in",
        )


class _HangingLink(_FaultyLink):
    async def _disturb(self, text: str) -> None:  # noqa: ARG002
        await trio.sleep_forever()


class _SlowLink(_FaultyLink):
    async def _disturb(self, text: str) -> None:  # noqa: ARG002
        await trio.sleep(self._fault.delay)


class _GarbageLink(_FaultyLink):
    async def _disturb(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        raise DeviceError(f"{self._device}: {text!r} was answered with {self._fault.reply!r}")


class _StuckLink(_FaultyLink):
    """The instrument answers and takes commands, but nothing moves or switches any more."""

    async def command(self, text: str, effect: Callable[[], None]) -> None:
        await self._sound.command(text, _nothing if self._is_present() else effect)

    async def _disturb(self, text: str) -> None:
        """Questions are answered as ever."""


def _nothing() -> None:
    """What a seized instrument does."""


_FAULTS: dict[str, type[_FaultyLink]] = {
    "offline": _OfflineLink,
    "hang": _HangingLink,
    "slow": _SlowLink,
    "garbage": _GarbageLink,
    "stuck": _StuckLink,
}
