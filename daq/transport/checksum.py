"""Checksums by name: made for what is sent, verified in what comes. No I/O."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import xor
from types import MappingProxyType

__all__ = ["CHECKSUMS", "CHECKSUM_FORMS", "Checksum", "WrongChecksumError"]

CHECKSUM_FORMS = ("hex", "decimal", "raw", "raw_little")
"""Digits, hexadecimal ones in upper case, or bytes, the highest or the lowest first."""


class WrongChecksumError(ValueError):
    """What came was changed on its way; the message tells both checksums."""


def _crc(data: bytes, polynomial: int, start: int, bits: int, *, reflected: bool) -> int:
    """A cyclic redundancy check, bit by bit: replies are short."""
    crc, top, mask = start, 1 << (bits - 1), (1 << bits) - 1
    for byte in data:
        if reflected:
            crc ^= byte
            for _ in range(8):
                crc = (crc >> 1) ^ polynomial if crc & 1 else crc >> 1
        else:
            crc ^= byte << (bits - 8)
            for _ in range(8):
                crc = ((crc << 1) ^ polynomial) & mask if crc & top else crc << 1 & mask
    return crc


CHECKSUMS: Mapping[str, tuple[int, Callable[[bytes], int]]] = MappingProxyType(
    {
        "sum8": (1, lambda data: sum(data) & 0xFF),
        "sum16": (2, lambda data: sum(data) & 0xFFFF),
        "sum6_printable": (1, lambda data: sum(data) % 64 + 64),
        "negative8": (1, lambda data: -sum(data) & 0xFF),
        "xor8": (1, lambda data: reduce(xor, data, 0)),
        "crc8": (1, lambda data: _crc(data, 0x07, 0, 8, reflected=False)),
        "crc16_modbus": (2, lambda data: _crc(data, 0xA001, 0xFFFF, 16, reflected=True)),
        "crc16_ccitt": (2, lambda data: _crc(data, 0x1021, 0xFFFF, 16, reflected=False)),
        "crc16_xmodem": (2, lambda data: _crc(data, 0x1021, 0, 16, reflected=False)),
        "crc32": (4, zlib.crc32),
    }
)
"""By name: how many bytes it has, and how it is computed. `sum6_printable` is the sum modulo 64 as
one character from `@` on, `negative8` the two's complement of the sum."""


@dataclass(frozen=True, slots=True)
class Checksum:
    """Stands at the end of a message, before what ends the line."""

    kind: str
    """One of `CHECKSUMS`."""
    form: str = "raw"
    """One of `CHECKSUM_FORMS`."""
    skip: int = 0
    """Bytes at the begin that are not counted, such as a start character."""
    in_commands: bool = True
    in_replies: bool = True

    def sign(self, data: bytes) -> bytes:
        """A message with its checksum behind it."""
        return data + self._of(data) if self.in_commands else data

    def verified(self, frame: bytes) -> bytes:
        """What came, without its checksum. Raises WrongChecksumError."""
        if not self.in_replies:
            return frame
        size = len(self._of(b""))
        data, given = frame[:-size], frame[-size:]
        computed = self._of(data)
        if given.upper() != computed if self.form == "hex" else given != computed:
            raise WrongChecksumError(
                f"{frame!r}: its checksum is {given!r}, computed is {computed!r} ({self.kind})"
            )
        return data

    def _of(self, data: bytes) -> bytes:
        size, compute = CHECKSUMS[self.kind]
        number = compute(data[self.skip :])
        if self.form == "hex":
            return f"{number:0{2 * size}X}".encode("ascii")
        if self.form == "decimal":
            return f"{number:0{len(str(256**size - 1))}d}".encode("ascii")
        return number.to_bytes(size, "little" if self.form == "raw_little" else "big")
