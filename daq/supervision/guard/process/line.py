"""The line to an instrument: a serial port, a connection or a file."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import select
import socket
import stat
import struct
import termios
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

CONNECT_S = 0.8
_LOOK_MS = 5
_CLOSED = "the instrument closed the line"

Json = dict[str, Any]


class Line:
    """An open serial port, pseudo-terminal, connection or file, by its descriptor."""

    def __init__(self, descriptor: int, *, is_serial: bool = False) -> None:
        self._descriptor = descriptor
        self._is_serial = is_serial
        self._settings: Json | None = None

    def set_up(self, settings: Json) -> None:
        """Speak as the next instrument on it does; raises OSError where that cannot be."""
        if not self._is_serial or settings == self._settings:
            return
        # Not in the middle of what was sent to the one before.
        _set_up(self._descriptor, settings, termios.TCSADRAIN)
        self._settings = settings

    def send(self, data: bytes, deadline: float) -> None:
        """Raises OSError unless all of it has left by the deadline of `time.monotonic`."""
        while data:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([], [self._descriptor], [], left)[1]:
                raise TimeoutError(f"nothing of {data!r} could be sent: the line is held up")
            data = data[os.write(self._descriptor, data) :]
        broken = select.poll()
        broken.register(self._descriptor, 0)
        while waiting := self._unsent():
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{waiting} bytes have not left: the line is held up")
            if broken.poll(_LOOK_MS) and self._unsent():  # it may have read all, and gone
                raise ConnectionResetError(_CLOSED)

    def receive(self, timeout: float) -> bytes:
        """What came within `timeout` seconds, empty when nothing did."""
        ready, _, _ = select.select([self._descriptor], [], [], timeout)
        if not ready:
            return b""
        if not (data := os.read(self._descriptor, 4096)):
            raise ConnectionResetError(_CLOSED)
        return data

    def forget(self, quiet_s: float) -> None:
        """Throw away what comes until nothing does: never what is still to be sent."""
        end = time.monotonic() + 4 * quiet_s  # one that never stops talking holds up nobody
        with suppress(OSError):  # whoever sends next sees what is wrong
            while self.receive(quiet_s) and time.monotonic() < end:
                pass
            if self._is_serial:
                termios.tcflush(self._descriptor, termios.TCIFLUSH)

    def close(self) -> None:
        os.close(self._descriptor)

    def _unsent(self) -> int:
        """The bytes that the kernel still holds; the network's until they are acknowledged."""
        try:
            answer = fcntl.ioctl(self._descriptor, termios.TIOCOUTQ, bytes(4))
        except OSError:  # a file
            return 0
        return int(struct.unpack("i", answer)[0])


def real_port(port: str) -> str:
    """What is the same for all names of one port: a device's number, or a numeric address."""
    scheme, separator, rest = port.partition("://")
    if not separator:
        try:
            status = Path(port).stat()
        except OSError:
            return os.path.realpath(port)
        is_device = stat.S_ISCHR(status.st_mode)
        return f"device {status.st_rdev}" if is_device else os.path.realpath(port)
    if scheme in ("tcp", "socket"):
        host, number = host_and_port(rest)
        # No name is looked up: that may take longer than all that there is to do.
        with suppress(ValueError):
            host = str(ipaddress.ip_address("127.0.0.1" if host == "localhost" else host))
        return f"{host.lower()} {number}"
    return port


def open_line(port: str) -> Line:
    """Open a port by its URL; a plain path is a serial port."""
    scheme, separator, rest = port.partition("://")
    if not separator:
        return _open_serial(port)
    if scheme == "file":
        return Line(os.open(rest, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644))
    if scheme == "unix":
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(CONNECT_S)
            connection.connect(rest)
            return Line(connection.detach())
    if scheme in ("tcp", "socket"):
        return Line(socket.create_connection(host_and_port(rest), CONNECT_S).detach())
    raise OSError(f"a last will cannot be sent to {port!r}: use a path, tcp://, unix:// or file://")


def host_and_port(rest: str) -> tuple[str, int]:
    host, _, number = rest.rpartition(":")
    return host.strip("[]"), int(number)


def _open_serial(path: str) -> Line:
    """What the instrument said to the daemon, and what that had still to say, is thrown away."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        termios.tcflush(descriptor, termios.TCIOFLUSH)
    except termios.error as error:
        os.close(descriptor)
        raise OSError(f"{path} is no serial port: {error.args[-1]}") from error
    return Line(descriptor, is_serial=True)


def _set_up(descriptor: int, serial: Json, when: int) -> None:
    """Raw bytes at the given rate."""
    speed = getattr(termios, f"B{serial['baud']}", None)
    if speed is None:
        raise OSError(f"{serial['baud']} baud is no standard rate")
    control = termios.CREAD | termios.CLOCAL | getattr(termios, f"CS{serial['data_bits']}")
    control |= termios.CSTOPB if serial["stop_bits"] == 2 else 0
    control |= {"N": 0, "E": termios.PARENB, "O": termios.PARENB | termios.PARODD}[serial["parity"]]
    control |= termios.CRTSCTS if serial["rts_cts"] else 0
    input_flags = termios.IXON | termios.IXOFF if serial["xon_xoff"] else 0
    try:
        special = termios.tcgetattr(descriptor)[6]
        special[termios.VMIN], special[termios.VTIME] = 0, 0
        attributes = [input_flags, 0, control, 0, speed, speed, special]
        termios.tcsetattr(descriptor, when, attributes)
    except termios.error as error:
        raise OSError(f"the line could not be set: {error.args[-1]}") from error
