"""Instruments on serial lines: one exchange, two hundred devices, and a plug that is pulled."""

from __future__ import annotations

import contextlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import tty
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import serial
import trio

from daq.bus import Bus
from daq.core import DeviceState
from daq.drivers import Driver, DriverContext, Timebase
from daq.drivers.declarative import declarative
from daq.drivers.newport.esp300 import Esp300Axis
from daq.simulators import Esp300Simulator
from daq.supervision import Supervisor, Timing
from daq.testing.instruments import plug_pty
from daq.transport import Dialect, Line, Ports, PortSettings, open_serial_loop
from tests.benchmarks.table import Row, summary

COMMAND = "1TP?"
DEVICES, RATE_HZ = 200, 10.0
BEAT_S = 0.002
ANSWERER = """
import os, selectors, sys
ports = selectors.DefaultSelector()
for fd in map(int, sys.argv[1:]):
    ports.register(fd, selectors.EVENT_READ)
while True:
    for key, _ in ports.select():
        asked = os.read(key.fd, 4096)
        os.write(key.fd, b"12.345678901234\\r\\n" * asked.count(b"\\r"))
"""
"""The instruments: in a process of their own, so that what they compute is not our time."""
DESCRIPTION = """
[instrument]
name = "Benchmark meter"
category = "detector"
[line]
send_end = "\\r"
[values.position]
units = "mm"
read = "1TP?"
[readable]
value = "position"
"""


def measure(*, quick: bool) -> list[Row]:
    return [
        _exchange(200 if quick else 5000),
        _many(2.0 if quick else 20.0),
        _replug((0.3,) if quick else (0.3, 3.0, 10.0)),
    ]


@contextmanager
def _answered(count: int) -> Iterator[list[str]]:
    """So many pseudo-terminals, on each of which somebody answers at once."""
    with contextlib.ExitStack() as closing:
        pairs = [os.openpty() for _ in range(count)]
        for fd in [fd for pair in pairs for fd in pair]:
            closing.callback(os.close, fd)
        for _, slave in pairs:
            tty.setraw(slave)
        masters = [master for master, _ in pairs]
        process = subprocess.Popen(
            [sys.executable, "-c", ANSWERER, *map(str, masters)], pass_fds=masters
        )
        closing.callback(process.wait)
        closing.callback(process.kill)
        yield [os.ttyname(slave) for _, slave in pairs]


def _exchange(count: int) -> Row:
    with _answered(1) as (name,):
        ours, peer = trio.run(_ours, name, count), _blocking(name, count)
    ratio = statistics.median(ours) / statistics.median(peer)
    what = "an exchange on a pty, 17 bytes, against blocking pyserial"
    return Row(what, summary(ours, "us"), summary(peer, "us"), ratio, "below 2")


async def _ours(name: str, count: int) -> list[float]:
    async with open_serial_loop():
        line = Line(Ports().port(PortSettings(name)), "device", Dialect(end=b"\r"))
        await line.open()
        times = []
        for _ in range(count):
            began = time.perf_counter()
            await line.query(COMMAND)
            times.append(time.perf_counter() - began)
        await line.close()
    return times


def _blocking(name: str, count: int) -> list[float]:
    times = []
    with serial.Serial(name, 9600, timeout=1.0) as port:
        for _ in range(count):
            began = time.perf_counter()
            port.write(COMMAND.encode() + b"\r")
            port.read_until(b"\n")
            times.append(time.perf_counter() - began)
    return times


def _many(seconds: float) -> Row:
    with tempfile.TemporaryDirectory() as directory, _answered(DEVICES) as names:
        file = Path(directory) / "meter.toml"
        file.write_text(DESCRIPTION)
        rate, worst, processor = trio.run(_poll_all, file, names, seconds)
    return Row(
        f"{DEVICES} devices on ptys polled at {RATE_HZ:g} Hz for {seconds:g} s",
        f"{rate:.2f} Hz each; the loop is late by {summary(worst)}; {processor:.0%} of a processor",
        goal=f"{RATE_HZ:g} Hz, late by less than 50 ms",
    )


async def _poll_all(
    file: Path, names: Sequence[str], seconds: float
) -> tuple[float, list[float], float]:
    """The rate of polls, how late the loop was, and what it took of a processor."""
    polls = 0

    def make(device_id: str, context: DriverContext) -> Driver:
        driver = declarative(context)
        ask = driver.poll

        async def poll() -> Mapping[str, Any]:
            nonlocal polls
            fields = await ask()
            polls += 1
            return fields

        driver.poll = poll  # type: ignore[method-assign]
        return driver

    timebase, shared = Timebase(), {}
    drivers = {}
    for number, name in enumerate(names):
        options = {"description": str(file), "port": name}
        context = DriverContext(f"meter{number}", "declarative", timebase, options, shared)
        drivers[context.device_id] = make(name, context)
    period = 1.0 / RATE_HZ
    timing = Timing(active_poll_s=period, idle_poll_s=period)
    async with open_serial_loop(), _supervised(drivers, timing) as supervisor:
        for device_id in drivers:
            await _reaches(supervisor, device_id, DeviceState.READY)
        polls, late, began = 0, [], trio.current_time()
        processor = time.process_time()
        while trio.current_time() < began + seconds:
            due = trio.current_time() + BEAT_S
            await trio.sleep_until(due)
            late.append(trio.current_time() - due)
        took = trio.current_time() - began
        processor = time.process_time() - processor
        rate = polls / took / len(drivers)
    return rate, late, processor / took


def _replug(outages_s: Sequence[float]) -> Row:
    times = [trio.run(_back_after, outage) for outage in outages_s]
    listed = ", ".join(f"{back:.2f} s" for back in times)
    outages = ", ".join(f"{outage:g} s" for outage in outages_s)
    return Row(f"ready again after a plug was out for {outages}", listed, goal="below 1 s")


async def _back_after(outage_s: float) -> float:
    """From the plug put in until the device can be used."""
    with tempfile.TemporaryDirectory() as directory:
        link = Path(directory) / "esp300"
        async with plug_pty(Esp300Simulator(trio.current_time), link) as plugged:
            context = DriverContext("stage", "newport.esp300", Timebase())
            driver = plugged.maker(Esp300Axis)(context)
            async with _supervised({"stage": driver}, Timing()) as supervisor:
                await _reaches(supervisor, "stage", DeviceState.READY)
                plugged.outlet.unplug()
                await _reaches(supervisor, "stage", DeviceState.OFFLINE)
                await trio.sleep(outage_s)
                plugged.outlet.plug_in()
                began = trio.current_time()
                await _reaches(supervisor, "stage", DeviceState.READY)
                return trio.current_time() - began


@asynccontextmanager
async def _supervised(drivers: Mapping[str, Driver], timing: Timing) -> AsyncIterator[Supervisor]:
    timebase = Timebase()
    supervisor = Supervisor(drivers, Bus(), timebase, timing=timing, rng=random.Random(1))
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        yield supervisor
        nursery.cancel_scope.cancel()


async def _reaches(supervisor: Supervisor, device_id: str, state: DeviceState) -> None:
    with trio.fail_after(60):
        while supervisor.device(device_id).snapshot().state is not state:
            await supervisor.wait_changed(supervisor.version)
