"""From a physical cause to safe hardware: the real daemon, with instruments that move and shine.

The stage is an ESP300 on a pseudo-terminal, the laser a Mai Tai on TCP that serves one connection.
Both live in this process, so that cause and effect are timed by one clock, on the instruments
themselves. The rows have the words of the table in `daq/supervision/README.md`.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio

from daq.client import Bench, connect
from daq.core import BusyError
from daq.simulators.esp300 import Esp300Simulator
from daq.simulators.maitai import MaiTaiSimulator
from daq.testing.instruments import PluggedInstrument, plug_pty, plug_tcp
from tests.benchmarks.table import Row
from tests.system.daemon_process import DaemonProcess

CONFIG = """
[server]
keepalive_s = 1.0
[devices.stage]
driver = "newport.esp300"
port = "{stage}"
axis = 1
limits = [-1000.0, 1000.0]
[devices.gauge]
driver = "newport.esp300"
port = "{stage}"
axis = 2
[devices.laser]
driver = "spectra_physics.maitai"
port = "{laser}"
on_pause = "close_shutter"
[interlocks.high]
channel = "gauge"
above = 1.0
read_every_s = 0.1
stale_s = 1.0
action = "safe"
devices = ["laser"]
refuse = []
"""
HANGS = "device('laser').open()\nsum(range(10**12))\n"
MOVE = """
import sys
from daq.client import connect

connect(sys.argv[1])["stage"].move(float(sys.argv[2]))
"""
LOOK_S = 0.001
PATIENCE_S = 30.0

Safe = Callable[[], bool]


class Rig:
    """The instruments, and the daemon that has them."""

    def __init__(
        self,
        directory: Path,
        esp: Esp300Simulator,
        stage: PluggedInstrument,
        maitai: MaiTaiSimulator,
        laser: PluggedInstrument,
    ) -> None:
        self.outlet = stage.outlet
        self.esp = esp
        self._maitai = maitai
        self._bench: Bench | None = None
        self._directory = directory
        self._config = directory / "bench.toml"
        self._config.write_text(CONFIG.format(stage=stage.address, laser=laser.address))

    @property
    def bench(self) -> Bench:
        assert self._bench is not None, "use() comes first"
        return self._bench

    async def start(self) -> None:
        """Blocks until the daemon can be reached; its devices may not be ready."""
        self.daemon = await trio.to_thread.run_sync(
            lambda: DaemonProcess(self._directory / "data", "--config", self._config)
        )

    async def end(self) -> None:
        """The daemon, if it lives, and the connection to it."""
        await trio.to_thread.run_sync(self.daemon.kill)
        if self._bench is not None:
            await trio.to_thread.run_sync(self._bench.close)
        self._bench = None

    async def use(self) -> None:
        """Connect to the daemon, and wait until all devices are as they should be."""
        if self._bench is None:
            self._bench = await trio.to_thread.run_sync(connect, self.daemon.address)

        def is_well() -> bool:
            listing = self.bench.call(lambda client: client.devices.list())
            devices = [each.snapshot for each in listing.devices]
            locks = self.bench.call(lambda client: client.interlocks.list())
            ready = all(
                each.state == "ready" and not each.owed and not each.activity for each in devices
            )
            return ready and not any(lock.tripped for lock in locks)

        with trio.fail_after(PATIENCE_S):
            while not await trio.to_thread.run_sync(is_well):
                await trio.sleep(0.05)

    async def move(self) -> None:
        """As soon as the stop before has been verified."""
        far, motor = self.far(), self.bench.motor("stage")
        with trio.fail_after(PATIENCE_S):
            while self.rests():
                motion = await trio.to_thread.run_sync(lambda: motor.move(far, wait=False))
                while self.rests() and not motion.done:
                    await trio.sleep(LOOK_S)
                if motion.done:
                    with suppress(BusyError):
                        motion.wait()

    async def shine(self) -> None:
        await trio.to_thread.run_sync(lambda: self.bench["laser"].open())
        await self.until(lambda: not self.is_dark())

    async def run(self, source: str) -> str:
        """A script that has opened the shutter; its execution."""

        def begin() -> str:
            script = self.bench.call(lambda client: client.scripts.upload(source))
            return self.bench.call(lambda client: client.scripts.start(script.id))

        execution = await trio.to_thread.run_sync(begin)
        await self.until(lambda: not self.is_dark())
        await trio.sleep(0.2)
        return execution

    def far(self) -> float:
        """A place in mm that it needs a while to."""
        return -900.0 if self.esp.stages[1].position() > 0.0 else 900.0

    def is_dark(self) -> bool:
        return not self._maitai.shutter_is_open

    def rests(self) -> bool:
        return not self.esp.stages[1].motor.is_moving()

    async def until(self, condition: Safe) -> float:
        """The time at which it is so."""
        with trio.fail_after(PATIENCE_S):
            while not condition():
                await trio.sleep(LOOK_S)
        return trio.current_time()

    async def took(self, cause: Callable[[], object], safe: Safe) -> float:
        """Seconds from a cause to its effect."""
        began = trio.current_time()
        cause()
        return await self.until(safe) - began


Measured = dict[str, float]


async def _script_forced(rig: Rig) -> Measured:
    await rig.run(HANGS)
    stop = lambda: rig.bench.call(lambda client: client.scripts.stop(force=True))  # noqa: E731
    async with trio.open_nursery() as nursery:
        took = await rig.took(
            lambda: nursery.start_soon(trio.to_thread.run_sync, stop), rig.is_dark
        )
    return {"a script hangs, in a C call too: force stop": took}


async def _script_paused(rig: Rig) -> Measured:
    await rig.run(HANGS)
    pause = lambda: rig.bench.call(lambda client: client.scripts.pause())  # noqa: E731
    async with trio.open_nursery() as nursery:
        took = await rig.took(
            lambda: nursery.start_soon(trio.to_thread.run_sync, pause), rig.is_dark
        )
    await trio.to_thread.run_sync(
        lambda: rig.bench.call(lambda client: client.scripts.stop(force=True))
    )
    return {"a pause that protects, in a C call": took}


async def _script_killed(rig: Rig) -> Measured:
    await rig.run(HANGS)
    scripts = [each for child in _children(rig.daemon.process.pid) for each in _children(child)]
    script = max(scripts, key=_processor_ticks)  # forked by the sandbox, and at work
    return {
        "the script's process dies": await rig.took(
            lambda: os.kill(script, signal.SIGKILL), rig.is_dark
        )
    }


async def _value_beyond(rig: Rig) -> Measured:
    await rig.shine()

    def jump() -> None:
        rig.esp.stages[2].offset += 10.0

    took = await rig.took(jump, rig.is_dark)
    rig.esp.stages[2].offset -= 10.0
    return {"a value leaves its limits (read every 0.1 s)": took}


async def _unplugged(rig: Rig) -> Measured:
    await rig.shine()
    await rig.move()
    silent = await rig.took(rig.outlet.unplug, rig.is_dark)
    back = await rig.took(rig.outlet.plug_in, rig.rests)
    return {
        "the meter is silent (`stale_s = 1`)": silent,
        "a moving device is lost: from its return": back,
    }


async def _client_gone(rig: Rig, how: signal.Signals, what: str) -> Measured:
    command = [sys.executable, "-c", MOVE, rig.daemon.address, str(rig.far())]
    with subprocess.Popen(command) as client:
        try:
            await rig.until(lambda: not rig.rests())
            return {what: await rig.took(lambda: client.send_signal(how), rig.rests)}
        finally:
            client.kill()


async def _client_killed(rig: Rig) -> Measured:
    return await _client_gone(rig, signal.SIGKILL, "the client crashes in a move")


async def _client_frozen(rig: Rig) -> Measured:
    what = "cable pulled, client asleep (`keepalive_s = 1`)"
    return await _client_gone(rig, signal.SIGSTOP, what)


async def _terminated(rig: Rig) -> Measured:
    await _prepare(rig)
    took = await rig.took(rig.daemon.process.terminate, lambda: rig.is_dark() and rig.rests())
    await _succeeded(rig)
    return {"the daemon is told to end (SIGTERM)": took}


async def _stands_still(rig: Rig) -> Measured:
    await _prepare(rig)
    stop = lambda: rig.daemon.process.send_signal(signal.SIGSTOP)  # noqa: E731
    began = trio.current_time()
    rests = await rig.took(stop, rig.rests)
    dark = await rig.until(rig.is_dark) - began
    await _succeeded(rig)
    return {
        "the daemon stands still (`timeout_s = 3`): a serial port": rests,
        "the same: one TCP connection, the daemon's": dark,
    }


async def _both_die(rig: Rig) -> Measured:
    await _prepare(rig)
    guard = int((rig.daemon.directory / "guard" / "lock").read_text())
    os.kill(guard, signal.SIGSTOP)
    rig.daemon.process.kill()
    os.kill(guard, signal.SIGKILL)
    await rig.end()
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.start)
        took = await rig.until(lambda: rig.is_dark() and rig.rests()) - began
    return {"daemon and guard die together: from the next start": took}


async def _killed(rig: Rig) -> Measured:
    await _prepare(rig)
    took = await rig.took(rig.daemon.process.kill, lambda: rig.is_dark() and rig.rests())
    await _succeeded(rig)
    return {"the daemon is killed": took}


async def _prepare(rig: Rig) -> None:
    await rig.use()
    await rig.shine()
    await rig.move()


async def _succeeded(rig: Rig) -> None:
    await rig.end()
    await rig.start()


QUICK_ALIVE = (_script_forced, _script_killed, _script_paused, _value_beyond, _client_killed)
ALIVE = (*QUICK_ALIVE, _unplugged, _client_frozen)
"""The daemon lives on."""
QUICK_DEATHS = (_stands_still, _both_die)
DEATHS = (_terminated, _killed, *QUICK_DEATHS)
"""It does not, and another is there afterwards."""


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _processor_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11])


@asynccontextmanager
async def _rig() -> AsyncIterator[Rig]:
    esp = Esp300Simulator(trio.current_time, acceleration=1000.0)
    for axis in esp.stages.values():
        axis.low, axis.high = -1000.0, 1000.0
    maitai = MaiTaiSimulator(trio.current_time, shutter_s=0.0)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        async with plug_pty(esp, path / "stage") as stage, plug_tcp(maitai) as laser:
            rig = Rig(path, esp, stage, maitai, laser)
            await rig.start()
            try:
                yield rig
            finally:
                with trio.CancelScope(shield=True):
                    await rig.end()


async def measure(*, quick: bool) -> list[Row]:
    """All rows; `quick` measures some once, those in which there is little to wait for."""
    times: dict[str, list[float]] = {}
    alive, deaths = (QUICK_ALIVE, QUICK_DEATHS) if quick else (ALIVE, DEATHS)
    async with _rig() as rig:
        await rig.use()
        for _ in range(1 if quick else 50):
            for row in alive:
                _note(await row(rig), times)
                await rig.use()
            for row in deaths:
                _note(await row(rig), times)
            await rig.use()
    return [Row(what, _median_and_worst(series)) for what, series in times.items()]


def _note(measured: Measured, times: dict[str, list[float]]) -> None:
    for what, took in measured.items():
        times.setdefault(what, []).append(took)


def _median_and_worst(series: list[float]) -> str:
    middle = statistics.median(series)
    return f"{middle:.3g} s (worst {max(series):.3g}, n={len(series)})"
