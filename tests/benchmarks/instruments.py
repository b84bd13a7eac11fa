"""Instruments on serial lines: an exchange over a pseudo-terminal against a bare blocking loop."""

from __future__ import annotations

import os
import statistics
import threading
import time
import tty

import serial
import trio

from daq.transport import Dialect, Line, Ports, PortSettings, open_serial_loop
from tests.benchmarks.table import Row, summary

COMMAND, REPLY = "1TP?", b"12.345678901234\r\n"


def measure(*, quick: bool) -> list[Row]:
    count = 200 if quick else 5000
    master, slave = os.openpty()
    tty.setraw(slave)
    name = os.ttyname(slave)
    threading.Thread(target=_answer, args=(master,), daemon=True).start()
    try:
        ours, peer = trio.run(_ours, name, count), _blocking(name, count)
    finally:
        os.write(slave, b"\x00")  # ends the one who answers
        os.close(slave)
    ratio = statistics.median(ours) / statistics.median(peer)
    return [
        Row(
            "an exchange on a pty, 17 bytes, against blocking pyserial",
            summary(ours, "us"),
            summary(peer, "us"),
            ratio,
        )
    ]


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


def _answer(master: int) -> None:
    """The instrument: a thread, so that both sides meet the same one."""
    while True:
        data = os.read(master, 4096)
        if b"\x00" in data:
            os.close(master)
            return
        os.write(master, REPLY * data.count(b"\r"))
