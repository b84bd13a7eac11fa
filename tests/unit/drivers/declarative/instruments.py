"""Simulated instruments: an odd one with echo and acknowledgement, and one that speaks SCPI."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import trio

from daq.drivers import DriverContext
from daq.drivers.declarative import declarative
from daq.simulators import Fault, Faults, LoopbackOutlet, SimulatedInstrument
from daq.simulators.instrument import Clock, LineInstrument
from daq.transport import Ports

ODD = """
[instrument]
name = "Odd monochromator"
category = "laser"

[options.unit]
type = "int"
default = 3
description = "Its number on the bus"

[line]
send_end = "\\r"
reply_end = "\\r\\n"
timeout = 0.5
echo = true
acknowledge = 'OK'
mine = '{unit}:.*|#{unit}.*|OK|E\\d+'

[identify]
send = "#{unit}ID"
reply = '3:MONO-(?P<model>\\d+)'

[[init]]
send = "#{unit}HELLO"

[errors]
reply = 'E(?P<code>\\d+)'
codes = { "1" = "it does not know this command", "2" = "out of range" }

[values.carriage]
description = "Where the carriage is"
units = "mm"
limits = [-5.0, 5.0]
write = { send = "#{unit}P{value:.0f}", convert = "value * 1000" }

[values.carriage.read]
send = "#{unit}P?"
reply = '\\d:POS=(?P<value>[0-9A-F]{8})'
convert = "signed(int(text, 16), 32) / 1000"

[values.status]
type = "int"
read = { send = "#{unit}S?", reply = '\\d:ST,(\\d+),.*' }

[values.temperature]
units = "degC"
read = { send = "#{unit}S?", field = 3 }
poll = true
parameter = true

[values.blade]
type = "bool"
on = "OPEN"
off = "SHUT"
read = { send = "#{unit}B?", reply = '\\d:(\\w+)' }
write = "#{unit}B{value}"
reach = 1.0

[values.lamp]
type = "bool"
read = { send = "#{unit}L?", reply = '\\d:(\\w+)' }
write = "#{unit}L{value}"

[values.grating]
units = "nm"
limits = [300.0, 900.0]
read = { send = "#{unit}W?", reply = '\\d:(.*)nm' }
write = "#{unit}W{value:.1f}"
reach = 5.0

[values.integration]
units = "s"
limits = [0.001, 10.0]
read = { send = "#{unit}I?", reply = '\\d:(\\d+)', convert = "value / 1000" }
write = { send = "#{unit}I{value:.0f}", convert = "value * 1000" }

[values.speed]
type = "str"
description = "Of the carriage"
choices = { slow = "0", fast = "1" }
read = { send = "#{unit}V?", reply = '\\d:(\\d)' }
write = "#{unit}V{value}"
parameter = true

[values.reading]
units = "V"
read = { send = "#{unit}R?", reply = '\\d:(.*)' }
invalid = "value > 9"

[actions.halt]
send = "#{unit}X"

[actions.search]
send = "#{unit}H"

[actions.arm]
send = ["#{unit}T0", "#{unit}T1"]

[actions.fire]
send = "#{unit}T2"

[movable]
position = "carriage"
settled = "not bit(status, 0)"
tolerance = 0.002
interval = 0.02
timeout = 30.0
stop = "halt"
home = "search"

[readable]
value = "reading"

[shutter]
value = "blade"

[emission]
value = "lamp"

[wavelength]
value = "grating"

[exposure]
value = "integration"

[trigger]
arm = "arm"
trigger = "fire"

[safe]
blade = false
lamp = false

[last_will]
send = ["#{unit}BSHUT", "#{unit}L0"]
summary = "blade shut, lamp off"
"""


class OddInstrument(LineInstrument):
    """Echoes, acknowledges, moves at 10 mm/s and tunes at 1000 nm/s; its number on the bus is 3."""

    def __init__(self, clock: Clock, latency: float = 0.002) -> None:
        super().__init__(clock, latency)
        self.settings = {"B": "SHUT", "L": "0", "I": "100", "V": "0"}
        self.voltage = 1.25
        self.log: list[str] = []
        self.carriage = Ramp(clock, 10.0)
        self.grating = Ramp(clock, 1000.0, 500.0)

    @property
    def name(self) -> str:
        return "Odd"

    def command(self, text: str) -> None:
        self.reply(text)
        self.log.append(text)
        asked = re.fullmatch(r"#3([A-Z]+)(\??)(.*)", text)
        if asked is None or (answer := self._answer(*asked.groups())) is None:
            self.reply("E1")
        else:
            self.reply(answer)

    def _answer(self, word: str, question: str, rest: str) -> str | None:
        if question:
            return self._tell(word)
        if word in ("ID", "HELLO", "X", "H"):
            return self._act(word)
        if word[0] in "PWT":
            return self._go(word[0], float(rest))
        name, value = word[0], word[1:] + rest
        if name not in self.settings:
            return None
        if not self.stuck:
            self.settings[name] = value
        return "OK"

    def _act(self, word: str) -> str:
        if word == "ID":
            return "3:MONO-77"
        if word == "X":
            self.carriage.go(self.carriage.now())
        if word == "H":
            self.carriage.go(0.0)
        return "OK"

    def _go(self, word: str, value: float) -> str:
        if word == "T":
            return "OK"
        if word == "P" and abs(value) > 6000:
            return "E2"
        if not self.stuck:
            (self.carriage if word == "P" else self.grating).go(
                value / 1000 if word == "P" else value
            )
        return "OK"

    def _tell(self, word: str) -> str | None:
        if word == "P":
            return f"3:POS={round(self.carriage.now() * 1000) & 0xFFFFFFFF:08X}"
        if word == "S":
            return f"3:ST,{int(self.carriage.is_moving())},23.5"
        if word == "W":
            return f"3:{self.grating.now():.1f}nm"
        if word == "R":
            return f"3:{self.voltage}"
        return f"3:{self.settings[word]}" if word in self.settings else None


class Ramp:
    """Goes at a constant speed."""

    def __init__(self, clock: Clock, speed: float, start: float = 0.0) -> None:
        self._clock = clock
        self._speed = speed
        self._start = self._target = start
        self._began = clock()

    def go(self, target: float) -> None:
        self._start, self._target, self._began = self.now(), target, self._clock()

    def now(self) -> float:
        way = self._target - self._start
        gone = self._speed * (self._clock() - self._began)
        return self._target if gone >= abs(way) else self._start + gone * (1 if way > 0 else -1)

    def is_moving(self) -> bool:
        return self.now() != self._target


class Bench:
    """An instrument on a loopback, and drivers for it."""

    def __init__(self, instrument: Any) -> None:
        self.instrument = instrument
        self.line = Faults(instrument)
        self.outlet = LoopbackOutlet(self.line)

    def make(self, context: DriverContext):
        """Make a declarative driver whose ports end at the instrument."""
        ports = context.shared.setdefault(Ports, Ports(self.outlet.open))
        return declarative(replace(context, shared={Ports: ports}))

    def fault(self, kind: str | None, **more: float) -> None:
        self.line.begin(None if kind is None else Fault(kind, **more))


@asynccontextmanager
async def on_loopback(make: Callable[[Clock], SimulatedInstrument]) -> AsyncIterator[Bench]:
    """A bench whose instrument follows Trio's clock."""
    bench = Bench(make(trio.current_time))
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.outlet.run)
        yield bench
        nursery.cancel_scope.cancel()
