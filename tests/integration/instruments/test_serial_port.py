"""Real serial ports on pseudo-terminals: settings, exclusive use, flow control, unplugging, TCP."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import termios
import time
import tty
from contextlib import asynccontextmanager, contextmanager

import pytest
import serial
import trio

from daq.core import OfflineError
from daq.simulators import Meter1830cSimulator
from daq.testing.instruments import plug_pty, plug_tcp
from daq.transport import Line, Ports, PortSettings, open_serial_loop

SELECT_KNOWS = 1024
INPUT, OUTPUT, CONTROL, SPEED = 0, 1, 2, 5


@contextmanager
def terminal():
    """A pseudo-terminal: the master's descriptor and the slave's name."""
    master, slave = os.openpty()
    try:
        tty.setraw(slave)
        yield master, os.ttyname(slave)
    finally:
        os.close(slave)
        os.close(master)


@asynccontextmanager
async def opened(**settings):
    with terminal() as (master, name):
        async with open_serial_loop():
            line = Line(Ports().port(PortSettings(name, **settings)), "device")
            await line.open()
            try:
                yield line, master
            finally:
                await line.close()


async def test_what_a_port_cannot_do_is_told():
    with terminal() as (_, name):
        async with open_serial_loop():
            settings = PortSettings(name, data_bits=7, parity="odd")
            line = Line(Ports().port(settings), "device")
            with pytest.raises(OfflineError, match="it does not take 7 data bits, parity odd"):
                await line.open()


@pytest.mark.parametrize(
    ("flow_control", "hardware", "software"),
    [("none", False, False), ("hardware", True, False), ("software", False, True)],
)
async def test_flow_control_is_really_applied(flow_control, hardware, software):
    async with opened(flow_control=flow_control) as (_, master):
        flags = termios.tcgetattr(master)
        assert bool(flags[CONTROL] & termios.CRTSCTS) is hardware
        assert bool(flags[INPUT] & termios.IXON) is software
        assert bool(flags[INPUT] & termios.IXOFF) is software


@pytest.mark.parametrize("baudrate", [9600, 19200, 115200])
async def test_the_baud_rate_is_really_applied(baudrate):
    async with opened(baudrate=baudrate, stop_bits=2.0) as (_, master):
        flags = termios.tcgetattr(master)
        assert flags[SPEED] == getattr(termios, f"B{baudrate}")
        assert flags[CONTROL] & termios.CSTOPB


@pytest.mark.parametrize(
    ("parity", "flags"),
    [
        ("none", 0),
        ("even", termios.PARENB),
        ("odd", termios.PARENB | termios.PARODD),
    ],
)
async def test_parity_and_data_bits_are_asked_of_the_port(parity, flags, monkeypatch):
    asked = []
    set_attributes = termios.tcsetattr

    def record(fd, when, attributes):
        asked.append(attributes[CONTROL])
        control = attributes[CONTROL] & ~(termios.PARENB | termios.PARODD | termios.CSIZE)
        set_attributes(fd, when, [*attributes[:CONTROL], control | termios.CS8, *attributes[3:]])

    # A pseudo-terminal has no parity and always 8 bits, whatever it is told.
    monkeypatch.setattr(termios, "tcsetattr", record)
    async with opened(parity=parity, data_bits=7):
        mask = termios.PARENB | termios.PARODD
        assert any(flag & mask == flags and flag & termios.CSIZE == termios.CS7 for flag in asked)


async def test_a_port_is_for_one_program_alone():
    with terminal() as (_, name):
        async with open_serial_loop():
            one = Line(Ports().port(PortSettings(name)), "one")
            other = Line(Ports().port(PortSettings(name)), "other")
            await one.open()
            with pytest.raises(OfflineError, match="another program has it open"):
                await other.open()
            await one.close()
            await other.open()
            await other.close()


async def test_a_port_that_is_not_there_says_so():
    async with open_serial_loop():
        line = Line(Ports().port(PortSettings("/dev/no-such-port")), "stage")
        with pytest.raises(
            OfflineError, match="stage: the port /dev/no-such-port cannot be op"
        ) as e:
            await line.open()
        assert "plugged in" in e.value.advice


async def test_a_line_that_takes_nothing_neither_hangs_nor_is_slow_to_close():
    with terminal() as (_, name):
        async with open_serial_loop():
            line = Line(Ports().port(PortSettings(name)), "device")
            await line.open()
            for _ in range(20):  # nobody reads the master: its buffer fills
                with pytest.raises(OfflineError, match="no reply"):
                    await line.query("x" * 1000, timeout_s=0.01)
            began = time.monotonic()
            await line.close()
            assert time.monotonic() - began < 5.0


async def test_a_process_may_have_more_descriptors_open_than_select_knows(tmp_path):
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < 2 * SELECT_KNOWS:
        pytest.skip("this machine allows no more")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limit, 2 * SELECT_KNOWS), most))
    with contextlib.ExitStack() as taken:
        taken.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (limit, most))
        async with plug_pty(Meter1830cSimulator(trio.current_time), tmp_path / "meter") as plugged:
            while (one := os.open(os.devnull, os.O_RDONLY)) < SELECT_KNOWS:
                taken.callback(os.close, one)
            taken.callback(os.close, one)
            line = Line(plugged.ports.port(PortSettings(plugged.address)), "meter")
            await line.open()
            assert await line.query("W?", accepts=str.isdigit) == "0800"
            await line.close()


async def test_without_a_loop_the_mistake_is_named():
    with terminal() as (_, name):
        line = Line(Ports().port(PortSettings(name)), "device")
        with pytest.raises(RuntimeError, match="open_serial_loop"):
            await line.open()


async def test_a_cancellation_does_not_take_the_port_away_before_instruments_are_safe(tmp_path):
    async with plug_pty(Meter1830cSimulator(trio.current_time), tmp_path / "meter") as plugged:
        line = Line(plugged.ports.port(PortSettings(plugged.address)), "meter")
        async with open_serial_loop():
            with trio.CancelScope() as scope:
                await line.open()
                scope.cancel()
                try:
                    await trio.sleep_forever()
                finally:
                    with trio.CancelScope(shield=True):
                        assert await line.query("W?", accepts=str.isdigit) == "0800"
                        await line.close()


async def test_unplugging_is_noticed_at_once_and_replugging_works(tmp_path):
    link = tmp_path / "meter"
    async with plug_pty(Meter1830cSimulator(trio.current_time), link) as plugged:
        line = Line(plugged.ports.port(PortSettings(plugged.address)), "meter")
        await line.open()
        async with trio.open_nursery() as nursery:

            async def pull():
                plugged.line.instrument.latency = 60.0
                await trio.sleep(0.05)
                plugged.outlet.unplug()

            nursery.start_soon(pull)
            with pytest.raises(OfflineError, match=r"was lost in 'W\?': it hung up"):
                await line.query("W?", timeout_s=3.0)
        while link.is_symlink():  # it vanishes a moment after the hang-up
            await trio.sleep(0.01)
        with pytest.raises(OfflineError, match="No such file") as caught:
            await line.open()
        assert "plugged in" in caught.value.advice
        plugged.line.instrument.latency = 0.0
        plugged.outlet.plug_in()
        with trio.fail_after(10):
            while not link.exists():
                await trio.sleep(0.01)
        await line.open()
        assert await line.query("W?", accepts=str.isdigit) == "0800"
        await line.close()


async def test_a_serial_server_over_tcp(tmp_path):
    async with plug_tcp(Meter1830cSimulator(trio.current_time)) as plugged:
        for address in (plugged.address, f"socket://{plugged.address}"):
            line = Line(plugged.ports.port(PortSettings(address)), "meter")
            await line.open()
            assert await line.query("W?", accepts=str.isdigit) == "0800"
            await line.close()
        line = Line(plugged.ports.port(PortSettings(plugged.address)), "meter")
        await line.open()
        plugged.outlet.unplug()
        with pytest.raises(OfflineError, match="was lost"):
            await line.query("nothing", timeout_s=30.0)
        await line.close()
        with pytest.raises(OfflineError, match="cannot be opened"):
            await line.open()


async def test_a_connection_that_is_refused_is_told_with_the_reason():
    line = Line(Ports().port(PortSettings("127.0.0.1:1")), "device")
    with pytest.raises(OfflineError) as caught:
        await line.open()
    assert (
        caught.value.message == "device: the port 127.0.0.1:1 cannot be opened: Connection refused"
    )
    assert "nothing listens there" in caught.value.advice


async def test_a_host_that_is_not_known_is_told_in_words(monkeypatch):
    async def find_nobody(*_):
        await trio.lowlevel.checkpoint()
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(trio, "open_tcp_stream", find_nobody)
    line = Line(Ports().port(PortSettings("nobody:4001")), "device")
    with pytest.raises(OfflineError, match="cannot be opened: Name or service not known"):
        await line.open()


async def test_a_rate_that_the_port_does_not_do_is_told_with_the_settings(monkeypatch):
    def refuse(port, rate):
        raise ValueError(f"Failed to set custom baud rate ({rate})")

    monkeypatch.setattr(serial.Serial, "_set_special_baudrate", refuse)
    with terminal() as (_, name):
        async with open_serial_loop():
            line = Line(Ports().port(PortSettings(name, baudrate=12345)), "device")
            with pytest.raises(OfflineError, match="Invalid argument") as caught:
                await line.open()
    assert "it cannot be set up like this: baud rate" in caught.value.advice
