"""A port that does not open says why and what helps; one port under two names is told as such."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest
import trio

from daq.core import ConfigurationError, OfflineError
from daq.drivers import DriverContext, Timebase
from daq.drivers.newport.esp300 import Esp300Axis
from daq.transport import Line, Ports, PortSettings, loopback_pair
from daq.transport.port_files import failure_to_open, find_holders


@pytest.fixture
def terminal(tmp_path):
    """A pseudo-terminal, and a second name for it."""
    master, slave = os.openpty()
    link = tmp_path / "by-id"
    link.symlink_to(os.ttyname(slave))
    yield os.ttyname(slave), str(link)
    os.close(master)
    os.close(slave)


def make(kind, folder):
    path = folder / kind
    if kind == "directory":
        path.mkdir()
    elif kind == "file":
        path.touch()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    elif kind == "dangling":
        path.symlink_to(folder / "gone")
    return str(path)


@pytest.mark.parametrize(
    ("kind", "number", "reason", "advice"),
    [
        ("missing", errno.ENOENT, "No such file or directory", "is the instrument plugged in"),
        (
            "dangling",
            errno.ENOENT,
            "No such file or directory: it is a link to ",
            "is the instrument plugged in",
        ),
        ("directory", errno.EISDIR, "it is a directory, not a serial port", "by-id"),
        ("file", errno.ENOTTY, "it is a file, not a serial port", "by-id"),
        ("pipe", errno.ENOTTY, "it is a pipe, not a serial port", "by-id"),
        ("socket", errno.ENXIO, "it is a socket, not a serial port", "by-id"),
        ("/dev/null", errno.ENOTTY, "it is not a serial port", "by-id"),
        ("tcp://meter:23", errno.ECONNREFUSED, "Connection refused", "nothing listens there"),
        ("tcp://meter:23", errno.EHOSTUNREACH, "No route to host", "in this network"),
        ("tcp://meter:23", socket.EAI_NONAME, "Name or service", "is the name spelt"),
    ],
)
def test_why_a_port_does_not_open_and_what_helps(kind, number, reason, advice, tmp_path):
    address = kind if "/" in kind else make(kind, tmp_path)
    words = os.strerror(number) if number > 0 else "Name or service not known"
    told, help_ = failure_to_open(PortSettings(address), OSError(number, words))
    assert told.startswith(reason)
    assert advice in help_


@pytest.mark.parametrize(
    ("mode", "reason", "advice"),
    [
        (0o620, "may not use it", "the group dialout may"),
        (0o660, "; its group, ", "sudo usermod -aG "),
    ],
)
def test_who_may_not_use_a_port_is_told_which_group_may(mode, reason, advice, terminal):
    Path(terminal[0]).chmod(mode)
    told = failure_to_open(PortSettings(terminal[0]), OSError(errno.EACCES, "Permission denied"))
    assert told[0].startswith("the daemon's user, ")
    assert reason in told[0]
    assert advice in told[1]


def test_whoever_has_a_port_open_is_found(terminal):
    assert find_holders(PortSettings(terminal[1])) == ""
    child = os.fork()
    if child == 0:
        try:
            os.read(os.open(terminal[0], os.O_RDWR | os.O_NOCTTY), 1)
        finally:
            os._exit(0)
    try:
        while not find_holders(PortSettings(terminal[1])):
            pass
        assert find_holders(PortSettings(terminal[1])).endswith(f"(process {child})")
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


async def test_an_error_names_the_device_the_port_and_the_mend():
    async def refuse(settings):
        await trio.lowlevel.checkpoint()
        raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")

    line = Line(Ports(refuse).port(PortSettings("/dev/null")), "stage")
    problem = "stage: the port /dev/null cannot be opened: it is not a serial port"
    with pytest.raises(OfflineError, match=problem) as failed:
        await line.open()
    assert failed.value.advice.startswith("give a serial port")


def test_one_port_under_two_names_is_refused_when_it_is_configured(terminal):
    name, link = terminal
    ports = Ports()
    kept = ports.port(PortSettings(name), "x")
    problem = f"{link} is the same port as {name} of x"
    with pytest.raises(ConfigurationError, match=problem):
        ports.port(PortSettings(link), "y")
    assert ports.port(PortSettings(name), "y") is kept


async def test_the_option_of_the_second_device_is_named(terminal):
    name, link = terminal
    shared = {}

    def make(device_id, port):
        context = DriverContext(device_id, "newport.esp300", Timebase(), {"port": port}, shared)
        return Esp300Axis(context)

    first = make("x", name)
    with pytest.raises(ConfigurationError, match=f"y: port: {link} is the same port as {name} of"):
        make("y", link)
    assert first.id == "x"


async def test_one_that_was_plugged_in_later_is_refused_when_it_is_opened(terminal, tmp_path):
    name, _ = terminal

    async def open_stream(settings):
        await trio.lowlevel.checkpoint()
        return loopback_pair()[0]

    ports, late = Ports(open_stream), tmp_path / "late"
    first, second = Line(ports.port(PortSettings(name), "x"), "x"), None
    second = Line(ports.port(PortSettings(str(late)), "y"), "y")
    late.symlink_to(name)
    await first.open()
    problem = f"y: the port {late} cannot be opened: it is the same one as {name}, which x has open"
    with pytest.raises(OfflineError, match=problem):
        await second.open()
    await first.close()
    await second.open()
    await second.close()
