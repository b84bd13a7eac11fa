"""Where one reply ends and the next begins: bytes in, frames out, no I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Block", "FixedLength", "Framing", "IdleGap", "Terminated", "UntilRefused"]

_LONGEST = 1 << 16
_REFUSED_S = 0.1
"""After so long without its end, a reply that says that it is a refusal is one."""


class Framing(Protocol):
    """Takes whole frames off the front of a buffer."""

    @property
    def idle_s(self) -> float | None:
        """Silence after which `after_silence` is asked; None where silence means nothing."""

    @property
    def longest(self) -> int:
        """Bytes. What gets longer is no reply, and is taken as it is."""

    def split(self, buffer: bytearray) -> bytes | None:
        """The first whole frame, taken out of `buffer`; None while there is none."""

    def after_silence(self, buffer: bytearray) -> bytes | None:
        """The frame that ends because nothing more comes; None when it goes on."""


class _NoSilence:
    """Silence means nothing."""

    __slots__ = ()

    @property
    def idle_s(self) -> None:
        return None

    def after_silence(self, buffer: bytearray) -> bytes | None:  # noqa: ARG002
        return None


@dataclass(frozen=True)
class Terminated(_NoSilence):
    r"""A frame ends with `end`, which is not part of it.

    With `end` as a line feed, carriage returns around a frame are not part of it either: lines that
    end in `\n`, `\r\n` and `\n\r` all come out the same.

    Where a reply may end in several ways, with one of `others` too, how it ended says something, so
    that stays in the frame, without its carriage return and line feed. Where each of them is a line
    end, such as `\r` and `\n`, what is left of a longer one is no empty frame.
    """

    end: bytes = b"\n"
    others: tuple[bytes, ...] = ()
    longest: int = _LONGEST

    def __post_init__(self) -> None:
        if not self.end or not all(self.others):
            raise ValueError("a terminator has at least one byte")

    def split(self, buffer: bytearray) -> bytes | None:
        if self.others and not b"".join((self.end, *self.others)).strip(b"\r\n"):
            del buffer[: len(buffer) - len(buffer.lstrip(b"\r\n"))]
        places = [(buffer.find(end), end) for end in (self.end, *self.others)]
        found, end = min(((place, end) for place, end in places if place >= 0), default=(-1, b""))
        if found < 0:
            return None
        frame = bytes(buffer[:found])
        del buffer[: found + len(end)]
        if self.others:
            frame += end.strip(b"\r\n")
        return frame.strip(b"\r") if end.endswith(b"\n") and len(end) <= 2 else frame


@dataclass(frozen=True)
class FixedLength(_NoSilence):
    """Every frame has `length` bytes."""

    length: int
    longest: int = _LONGEST

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"a frame has at least one byte, not {self.length}")

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
    longest: int = _LONGEST

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise ValueError(f"a gap takes some time, not {self.seconds:g} s")

    @property
    def idle_s(self) -> float:
        return self.seconds

    def split(self, buffer: bytearray) -> None:  # noqa: ARG002 - only time tells
        return None

    def after_silence(self, buffer: bytearray) -> bytes:
        return _take(buffer, len(buffer))


@dataclass(frozen=True)
class Block(_NoSilence):
    """A block of IEEE 488.2 and what ends the line: `#`, digits, how many bytes, the bytes.

    Its bytes may be those of any end. What does not begin with `#` is no block, and ends as a line
    does: most often it says why there is none.
    """

    line: Framing
    longest: int = 1 << 26

    def split(self, buffer: bytearray) -> bytes | None:
        begin = len(buffer) - len(buffer.lstrip(b"\r\n"))
        if bytes(buffer[begin : begin + 1]) not in (b"#", b""):
            return self.line.split(buffer)
        digits = bytes(buffer[begin + 1 : begin + 2])
        if not digits:
            return None
        if not digits.isdigit() or digits == b"0":
            return self.line.split(buffer)
        head = begin + 2 + int(digits)
        count = bytes(buffer[begin + 2 : head])
        if not count.isdigit() and len(count) == int(digits):
            return self.line.split(buffer)
        if len(count) < int(digits) or len(buffer) < head + int(count):
            return None
        rest = bytearray(buffer[head + int(count) :])
        if self.line.split(rest) is None and self.line.idle_s is None:
            return None
        frame = bytes(buffer[begin : head + int(count)])
        buffer[:] = rest
        return frame


@dataclass(frozen=True, slots=True)
class UntilRefused:
    """As another framing; but what is a refusal ends, too, when nothing more comes.

    Some instruments end an answer in one way and a refusal in another.
    """

    usual: Framing
    is_refusal: Callable[[bytes], bool]

    @property
    def idle_s(self) -> float:
        return _REFUSED_S if self.usual.idle_s is None else self.usual.idle_s

    @property
    def longest(self) -> int:
        return self.usual.longest

    def split(self, buffer: bytearray) -> bytes | None:
        return self.usual.split(buffer)

    def after_silence(self, buffer: bytearray) -> bytes | None:
        if self.usual.idle_s is not None:
            return self.usual.after_silence(buffer)
        return _take(buffer, len(buffer)) if self.is_refusal(bytes(buffer)) else None


def _take(buffer: bytearray, count: int) -> bytes:
    taken = bytes(buffer[:count])
    del buffer[:count]
    return taken
