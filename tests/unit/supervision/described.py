"""Described instruments that take their time, on lines in memory, under a supervisor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import trio

from daq.drivers import Driver, DriverContext, Timebase
from daq.drivers.declarative import declarative
from daq.simulators.instrument import LineInstrument
from daq.supervision import Device, Timing
from daq.testing.instruments import plug_loopback, plug_pty
from tests.unit.supervision.fakes import Bench, supervised

Answer = Callable[[str], "str | None"]


class Slow(LineInstrument):
    """Does one command after the other, each in its time, and answers at its end.

    Args:
        answer: To a command; None for none.
        times: What a command takes, s.
        deaf: It reads nothing while it does something, but later; else all but the slow commands
            are done at once.
    """

    name = "a slow instrument"
    end = b"\n"

    def __init__(
        self, answer: Answer, times: Mapping[str, float] | None = None, *, deaf: bool = True
    ) -> None:
        super().__init__(trio.current_time)
        self.log: list[tuple[float, str]] = []
        """When it did what."""
        self.answer = answer
        self.times = dict(times or {})
        self.deaf = deaf
        self._free_at = 0.0

    @property
    def done(self) -> list[str]:
        return [text for _, text in self.log]

    def command(self, text: str) -> None:
        took = self.times.get(text, self.latency)
        began = max(self.clock(), self._free_at) if self.deaf else self.clock()
        if self.deaf:
            self._free_at = began + took
        self.log.append((began, text))
        answer = self.answer(text)
        if answer is not None:
            self.say(answer.encode("latin-1") + self.end, began + took)


@asynccontextmanager
async def described(
    instrument: LineInstrument,
    descriptions: Mapping[str, str],
    folder: Path,
    *,
    on_pty: bool = False,
    timing: Timing | None = None,
) -> AsyncIterator[Bench]:
    """Devices of these descriptions, all on the line of one instrument; connected or not."""
    async with AsyncExitStack() as stack:
        line = plug_pty(instrument, folder / "line") if on_pty else plug_loopback(instrument)
        plugged = await stack.enter_async_context(line)
        timebase, drivers = Timebase(), list[Driver]()
        for device_id, text in descriptions.items():
            path = folder / f"{device_id}.toml"
            path.write_text(text)
            context = DriverContext(device_id, "declarative", timebase, {"description": str(path)})
            drivers.append(plugged.maker(declarative)(context))
        bench = await stack.enter_async_context(supervised(*drivers, timing=timing))
        bench.plugged = plugged
        yield bench


async def until(device: Device, condition: Callable[[Device], bool], within: float = 60.0) -> None:
    """Until a device is so, looked at ten times a second."""
    with trio.fail_after(within):
        while not condition(device):
            await trio.sleep(0.1)
