"""The line to an instrument: a serial port, a connection or a file."""

from __future__ import annotations

import os
import select
import socket
import termios
from typing import Any

SEND_S = 1.8
CONNECT_S = 0.8

Json = dict[str, Any]


class Line:
    """An open serial port, pseudo-terminal, connection or file, by its descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, data: bytes) -> None:
        while data:
            select.select([], [self._descriptor], [], SEND_S)
            data = data[os.write(self._descriptor, data) :]

    def receive(self, timeout: float) -> bytes:
        """What came within `timeout` seconds, empty when nothing did."""
        ready, _, _ = select.select([self._descriptor], [], [], timeout)
        if not ready:
            return b""
        if not (data := os.read(self._descriptor, 4096)):
            raise ConnectionResetError("the instrument closed the line")
        return data

    def close(self) -> None:
        os.close(self._descriptor)


def open_line(port: str, serial: Json) -> Line:
    """Open a port by its URL; a plain path is a serial port."""
    scheme, separator, rest = port.partition("://")
    if not separator:
        return _open_serial(port, serial)
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


def _open_serial(path: str, serial: Json) -> Line:
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        _set_up(descriptor, serial)
    except BaseException:
        os.close(descriptor)
        raise
    return Line(descriptor)


def _set_up(descriptor: int, serial: Json) -> None:
    """Raw bytes at the given rate; what the instrument said to the daemon is thrown away."""
    speed = getattr(termios, f"B{serial['baud']}", None)
    if speed is None:
        raise OSError(f"{serial['baud']} baud is no standard rate")
    control = termios.CREAD | termios.CLOCAL | getattr(termios, f"CS{serial['data_bits']}")
    control |= termios.CSTOPB if serial["stop_bits"] == 2 else 0
    control |= {"N": 0, "E": termios.PARENB, "O": termios.PARENB | termios.PARODD}[serial["parity"]]
    control |= termios.CRTSCTS if serial["rts_cts"] else 0
    input_flags = termios.IXON | termios.IXOFF if serial["xon_xoff"] else 0
    special = termios.tcgetattr(descriptor)[6]
    special[termios.VMIN], special[termios.VTIME] = 0, 0
    attributes = [input_flags, 0, control, 0, speed, speed, special]
    termios.tcsetattr(descriptor, termios.TCSANOW, attributes)
    termios.tcflush(descriptor, termios.TCIOFLUSH)
