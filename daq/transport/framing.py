"""Where one reply ends and the next begins: bytes in, frames out, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["FixedLength", "Framing", "IdleGap", "Terminated"]


class Framing(Protocol):
    """Takes whole frames off the front of a buffer."""

    @property
    def idle_s(self) -> float | None:
        """Silence after which whatever has come is a frame; None where silence means nothing."""

    def split(self, buffer: bytearray) -> bytes | None:
        """The first whole frame, taken out of `buffer`; None while there is none."""


@dataclass(frozen=True, slots=True)
class Terminated:
    r"""A frame ends with `end`, which is not part of it.

    Carriage returns around a frame are not part of it either: with `end` as a line feed, lines that
    end in `\n`, `\r\n` and `\n\r` all come out the same.
    """

    end: bytes = b"\n"

    def __post_init__(self) -> None:
        if not self.end:
            raise ValueError("a terminator has at least one byte")

    @property
    def idle_s(self) -> None:
        return None

    def split(self, buffer: bytearray) -> bytes | None:
        found = buffer.find(self.end)
        if found < 0:
            return None
        frame = bytes(buffer[:found])
        del buffer[: found + len(self.end)]
        return frame.strip(b"\r")


@dataclass(frozen=True, slots=True)
class FixedLength:
    """Every frame has `length` bytes."""

    length: int

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"a frame has at least one byte, not {self.length}")

    @property
    def idle_s(self) -> None:
        return None

    def split(self, buffer: bytearray) -> bytes | None:
        if len(buffer) < self.length:
            return None
        frame = bytes(buffer[: self.length])
        del buffer[: self.length]
        return frame


@dataclass(frozen=True, slots=True)
class IdleGap:
    """A frame ends when nothing more came for `seconds`: for replies without any mark."""

    seconds: float

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise ValueError(f"a gap takes some time, not {self.seconds:g} s")

    @property
    def idle_s(self) -> float:
        return self.seconds

    def split(self, buffer: bytearray) -> None:  # noqa: ARG002 - only time tells
        return None
