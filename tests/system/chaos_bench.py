"""The bench of the chaos test: a daemon with everything switched on, and instruments on ptys."""

from __future__ import annotations

import random
import re
import signal
import threading
from pathlib import Path
from typing import Self

import trio

from daq.simulators import Ell14Bus, Esp300Simulator, Faults, PtyOutlet

from .daemon_process import DaemonProcess

__all__ = ["ALWAYS", "DEVICES", "ChaosDaemon", "Instruments", "suspicious"]

BENCH = """
[server]
flight_port = 0
[ring]
size_mb = 4
[guard]
timeout_s = 5.0
[scripts]
grace_s = 2.0
memory_mb = 128
{scripts}
[devices.slow_stage]
driver = "simulated.stage"
limits = [-1e6, 1e6]
velocity = {velocity}
[devices.meter]
driver = "simulated.power_meter"
[devices.camera]
driver = "simulated.camera"
resolution = [64, 48]
on_pause = "stop"
[devices.laser]
driver = "simulated.laser"
on_pause = "safe"
[devices.rotator]
driver = "simulated.rotator"
on_pause = "veto"
pause_reason = "the polymer is warm"
[devices.digitizer]
driver = "simulated.digitizer"
[devices.esp]
driver = "newport.esp300"
port = "{esp}"
[devices.ell]
driver = "thorlabs.ell14"
port = "{ell}"
address = "2"
[interlocks.far]
channel = "slow_stage"
above = {far}
clear_below = 40.0
action = "{action}"
refuse_moves = ["laser"]
{then}
[interlocks.dim]
channel = "meter"
below = -1.0
outside = [-2.0, 2.0]
read_every_s = 0.2
stale_s = 1e6
action = "none"
{more}
"""
DEVICES = ("slow_stage", "meter", "camera", "laser", "rotator", "digitizer", "esp", "ell")
ALWAYS = {"velocity": "10.0", "far": "50.0", "action": "pause", "then": "resume = true"} | {
    "scripts": "",
    "more": "",
}
GOOD = (
    {},
    {"velocity": "20.0"},
    {"far": "60.0"},
    {"action": "stop", "then": ""},
    {"action": "safe", "then": 'devices = ["laser", "esp"]'},
    {"action": "force_stop", "then": "latched = true"},
    {"scripts": "max_runs = 50"},
    {"more": '[devices.extra]\ndriver = "simulated.stage"'},
    {"more": '[devices.absent]\ndriver = "newport.1830c"\nport = "/dev/nothing"'},
)
BROKEN = (
    {"velocity": "fast"},
    {"velocity": "-1.0"},
    {"velocity": "nan"},
    {"action": "explode"},
    {"more": "[devices.x]"},
    {"more": '[devices.x]\ndriver = "simulated.stagecoach"'},
    {"more": '[interlocks.blind]\nchannel = "nothing"\nabove = 1.0'},
    {"more": "[[["},
    {"scripts": "max_runs = -1"},
    {"scripts": 'grace = "\\u0000"'},
)
_SUSPICIOUS = re.compile(
    r"Traceback|Task was destroyed|never (retrieved|awaited)|[Ee]xception ignored|[Uu]nraisable"
    r"|ResourceWarning|RuntimeWarning|internal error|defect|not daemonic|Fatal Python"
)


def suspicious(log: str) -> list[str]:
    """Lines of a daemon's log that must never be there."""
    return [line for line in log.splitlines() if _SUSPICIOUS.search(line)]


class Instruments:
    """An ESP300 and an ELL14 on pseudo-terminals, in a thread; plugs can be pulled."""

    def __init__(self, directory: Path) -> None:
        self.links = {"esp": directory / "esp", "ell": directory / "ell"}
        self._outlets: dict[str, PtyOutlet] = {}
        self._ready = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._run,))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        trio.from_thread.run_sync(self._end.set, trio_token=self._token)
        self._thread.join(20)

    async def _run(self) -> None:
        self._token, self._end = trio.lowlevel.current_trio_token(), trio.Event()
        models = {
            "esp": Esp300Simulator(trio.current_time),
            "ell": Ell14Bus(trio.current_time, ("2",)),
        }
        async with trio.open_nursery() as nursery:
            for name, model in models.items():
                self._outlets[name] = PtyOutlet(Faults(model), self.links[name])
                await nursery.start(self._outlets[name].run)
            self._ready.set()
            await self._end.wait()
            nursery.cancel_scope.cancel()

    def plug(self, name: str, *, is_in: bool) -> None:
        """Pull a plug or put it back; from any thread."""
        outlet = self._outlets[name]
        self._token.run_sync_soon(outlet.plug_in if is_in else outlet.unplug)


class ChaosDaemon(DaemonProcess):
    """The daemon, its configuration file, and what the kernel knows about its process."""

    def __init__(self, directory: Path, instruments: Instruments) -> None:
        self._links = {name: str(path) for name, path in instruments.links.items()}
        self.config = directory / "chaos.toml"
        self.configure()
        super().__init__(directory / "data", "--config", str(self.config))

    @property
    def pid(self) -> int:
        return self.process.pid

    def configure(self, **changes: str) -> None:
        """Write the configuration, whole."""
        partial = self.config.with_suffix(".new")
        partial.write_text(BENCH.format(**self._links, **ALWAYS | changes))
        partial.replace(self.config)

    def configure_somehow(self, chance: random.Random) -> None:
        """Write some configuration: one in three is broken."""
        self.configure(**chance.choice(BROKEN if chance.random() < 0.33 else GOOD))

    def hang_up(self) -> None:
        """Have the configuration read again, by signal."""
        self.process.send_signal(signal.SIGHUP)

    def descriptors(self) -> int:
        """How many files, sockets and ports it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def family(self) -> set[int]:
        """Its children, their children, and so on."""
        return descendants(self.pid)


def descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = {int(child) for child in task.read_text().split()}
        except OSError:
            continue  # the thread has ended
        found |= children.union(*map(descendants, children))
    return found
