"""An instrument that answers as a table says, and a described driver that talks to it."""

from __future__ import annotations

from contextlib import asynccontextmanager

import trio

from daq.drivers import DriverContext, Timebase
from daq.drivers.declarative import declarative
from daq.simulators.instrument import SimulatedInstrument
from daq.testing.instruments import plug_loopback

__all__ = ["HEAD", "VALUE", "Talker", "talking"]

HEAD = '[instrument]\nname = "Acme"\n'
VALUE = """
[values.x]
units = "V"
limits = [-10.0, 10.0]
read = "X?"
write = "X {value:.2f}"
parameter = true
[readable]
value = "x"
"""


class Talker(SimulatedInstrument):
    """Answers as a table says: bytes, or what a function makes of the rest of the command."""

    end = b"\n"

    def __init__(self, answers):
        super().__init__(trio.current_time)
        self.answers = answers
        self.log = []
        self._input = b""

    @property
    def name(self):
        return "Talker"

    def receive(self, data):
        *lines, self._input = (self._input + data).split(self.end)
        for line in lines:
            self.log.append(line)
            word, _, rest = line.partition(b" ")
            answer = self.answers.get(line, self.answers.get(word))
            said = answer(rest) if callable(answer) else answer
            if said is not None:
                self.say(said)


@asynccontextmanager
async def talking(tmp_path, description, answers, **options):
    """A connected driver, and what it talks to."""
    (tmp_path / "acme.toml").write_text(HEAD + description, encoding="utf-8")
    instrument = Talker(answers)
    async with plug_loopback(instrument) as plugged:
        given = {"description": str(tmp_path / "acme.toml"), **options}
        driver = plugged.maker(declarative)(DriverContext("acme", "declarative", Timebase(), given))
        await driver.connect()
        yield driver, instrument
