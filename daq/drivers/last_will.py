"""What is to be done for an instrument when the daemon can no longer do it: its last will."""

from __future__ import annotations

import re
import termios
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from daq.transport import PortSettings

__all__ = ["LastWill", "SerialSettings", "WillFrame"]

_SCHEMES = ("tcp", "socket", "unix", "file")
"""Of the ports that the guard can open; a plain path is a serial port."""
_PARITIES = ("N", "E", "O")


@dataclass(frozen=True, slots=True)
class SerialSettings:
    """How a serial line is set before anything is sent on it."""

    baud: int = 9600
    data_bits: int = 8
    parity: str = "N"
    """`N`, `E` or `O`; the guard can set no other."""
    stop_bits: int = 1
    xon_xoff: bool = False
    rts_cts: bool = False


@dataclass(frozen=True, slots=True)
class WillFrame:
    """One command on the line, with everything that belongs to it, terminator included."""

    send: bytes
    reply: bytes | None = None
    """A regular expression that the answer has to contain, such as `rb"SHUTTER 0\\r\\n"`; the
    line is read until it does. None: nothing is answered, and nothing is waited for."""
    timeout_s: float = 0.5
    """How long the answer may take, in seconds. All frames of one port together get 2 s."""
    repeat: bool = False
    """A question whether it is so, asked again within `timeout_s` until the answer is the right
    one: the last frame of a will that is verified, not only sent."""

    def __post_init__(self) -> None:
        if self.reply is not None:
            re.compile(self.reply)


@dataclass(frozen=True, slots=True)
class LastWill:
    """Commands on one port that make an instrument safe, whatever state it is in.

    They are carried out by another process, with no driver around them: they must be complete,
    repeatable and harmless when the instrument is safe already. The wills of a port are carried out
    one after the other, each with its own line settings; ports are served in parallel. Each frame
    is sent even when the one before it failed.

    The guard opens the port itself, while the daemon may still hold it (stopped, not dead): a
    driver must not take its port with TIOCEXCL.
    """

    port: str
    """A device path such as `/dev/ttyUSB0`, `tcp://HOST:PORT`, `unix:///PATH`, or `file:///PATH`
    for a simulated instrument: the frames are appended to that file."""
    frames: tuple[WillFrame, ...]
    summary: str = ""
    """For people, what it does: `shutter closed, emission off`."""
    serial: SerialSettings = SerialSettings()
    clear: bytes | None = None
    """Sent first: it ends a command of which the daemon sent only a half. None: the line end of the
    first frame."""

    @property
    def obstacle(self) -> str:
        """Why nobody could carry it out; empty when the guard can."""
        scheme, separator, _ = self.port.partition("://")
        if PortSettings(self.port).is_visa:
            # In a library that the dead daemon used, anything may be wrong.
            return f"{self.port} is a VISA resource, and the guard sends to serial ports and TCP"
        if separator:
            known = ", ".join(f"{each}://" for each in _SCHEMES)
            return "" if scheme in _SCHEMES else f"{self.port} is neither a path nor {known}"
        if not hasattr(termios, f"B{self.serial.baud}"):
            return f"{self.port}: the guard sets standard rates only, not {self.serial.baud} baud"
        if self.serial.parity not in _PARITIES:
            return f"{self.port}: the guard sets parity none, even or odd, no other"
        return ""

    def as_plain(self) -> Mapping[str, Any]:
        """As JSON carries it; bytes as Latin-1 text."""
        return {
            "port": self.port,
            "summary": self.summary,
            "serial": asdict(self.serial),
            "clear": self._clear().decode("latin-1"),
            "frames": [
                {
                    "send": frame.send.decode("latin-1"),
                    "reply": None if frame.reply is None else frame.reply.decode("latin-1"),
                    "timeout_s": frame.timeout_s,
                    "repeat": frame.repeat,
                }
                for frame in self.frames
            ],
        }

    def _clear(self) -> bytes:
        if self.clear is not None:
            return self.clear
        if self.port.startswith("file://") or not self.frames:
            return b""  # a file takes whole commands only
        command = self.frames[0].send
        return command[len(command.rstrip(b"\r\n")) :]
