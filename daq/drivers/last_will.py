"""What is to be done for an instrument when the daemon can no longer do it: its last will."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["LastWill", "SerialSettings", "WillFrame"]


@dataclass(frozen=True, slots=True)
class SerialSettings:
    """How a serial line is set before anything is sent on it."""

    baud: int = 9600
    data_bits: int = 8
    parity: str = "N"
    """`N`, `E` or `O`."""
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

    def __post_init__(self) -> None:
        if self.reply is not None:
            re.compile(self.reply)


@dataclass(frozen=True, slots=True)
class LastWill:
    """Commands on one port that make an instrument safe, whatever state it is in.

    They are carried out by another process, with no driver around them: they must be complete,
    repeatable and harmless when the instrument is safe already. The frames of a port are sent in
    order; ports are served in parallel. Each frame is sent even when the one before it failed.

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

    def as_plain(self) -> Mapping[str, Any]:
        """As JSON carries it; bytes as Latin-1 text."""
        line = self.serial
        return {
            "port": self.port,
            "summary": self.summary,
            "serial": {
                "baud": line.baud,
                "data_bits": line.data_bits,
                "parity": line.parity,
                "stop_bits": line.stop_bits,
                "xon_xoff": line.xon_xoff,
                "rts_cts": line.rts_cts,
            },
            "frames": [
                {
                    "send": frame.send.decode("latin-1"),
                    "reply": None if frame.reply is None else frame.reply.decode("latin-1"),
                    "timeout_s": frame.timeout_s,
                }
                for frame in self.frames
            ],
        }
