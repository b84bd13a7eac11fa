"""Journals of known content, damaged in known places: what has to come back is known too."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from daq.core import Column, Event, Measurement, Reading, RunOutcome, RunStart, RunStop
from daq.storage.journal import records
from daq.storage.journal.encoder import RunEncoder
from daq.storage.journal.framing import HEADER_BYTES, encode_record, file_header
from daq.storage.journal.records import Kind

START = RunStart("abc123", "knife edge", 1_700_000_000_000_000_000, "ada", {"sample": "razor"})
STOP = RunStop(RunOutcome.COMPLETED, START.started_ns + 10**9, "the script ended")
COLUMNS = (
    Column("stage", "mm", "<f8", (), "stage", "positioner"),
    Column("wave", "V", "<f8", (5,), "scope"),
    Column("note", "", "O"),
)
STREAMS = ("primary", "darks")


@dataclass(frozen=True)
class Whole:
    """A journal as it was written, and where each of its records lies."""

    data: bytes
    spans: tuple[tuple[int, int, str, int], ...]
    """From, to, the stream of the event that it holds (or empty), and its number there."""

    @property
    def events(self) -> int:
        return sum(1 for *_, stream, _ in self.spans if stream)


def event(stream: str, number: int) -> Event:
    values = {"stage": number / 4, "wave": np.arange(5.0) * number, "note": "µ" * (number % 7)}
    return Event(stream, number, START.started_ns + number, COLUMNS, values, {})


def whole_journal(events: int = 40, *, stopped: bool = False, repeat_every: int = 16) -> Whole:
    """One of two streams and a monitor, in which the descriptions are repeated now and then."""
    encoder = RunEncoder()
    start = encode_record(Kind.START, records.encode_start(START))
    parts = [(b"".join(map(bytes, start)), "", 0)] * 2
    for number in range(events):
        stream = STREAMS[number % 2]
        buffers = encoder.event(event(stream, number // 2))
        *described, head, row = _records(buffers)
        parts += [(part, "", 0) for part in _pairs(described)]
        parts.append((head + row, stream, number // 2))
        block = Measurement.single("meter", Reading(number * 0.5, number), "W", number)
        parts += [(part, "", 0) for part in _pairs(_records(encoder.blocks([block])))]
        if number % repeat_every == repeat_every - 1:
            again = _pairs(_records([*start, *encoder.descriptions]))
            parts += [(part, "", 0) for part in again]
    if stopped:
        stop = _records(encode_record(Kind.STOP, records.encode_stop(STOP, events)))
        parts += [(part, "", 0) for part in _pairs(stop)]
    spans, offset = [], HEADER_BYTES
    for part, stream, number in parts:
        spans.append((offset, offset + len(part), stream, number))
        offset += len(part)
    return Whole(file_header() + b"".join(part for part, _, _ in parts), tuple(spans))


def _records(buffers: list) -> list[bytes]:
    """Heads and payloads in turns, whatever parts they were given in."""
    data, found = b"".join(map(bytes, buffers)), []
    while data:
        length = int.from_bytes(data[:4], "little")
        found += [data[:16], data[16 : 16 + length]]
        data = data[16 + length :]
    return found


def _pairs(parts: list[bytes]) -> list[bytes]:
    return [head + payload for head, payload in zip(parts[::2], parts[1::2], strict=True)]


@dataclass(frozen=True)
class Damaged:
    """A copy that is not as it was written."""

    data: bytes
    places: tuple[tuple[int, int], ...]

    def intact(self, whole: Whole, stream: str) -> list[int]:
        """The numbers of a stream's events that no damage has touched."""
        return [
            number
            for begin, end, of, number in whole.spans
            if of == stream and not any(a < end and b > begin for a, b in self.places)
        ]


def damaged_copies(whole: Whole, count: int, seed: int = 0) -> Iterator[Damaged]:
    """Bits that turned, pages of zeros or of something else, anywhere, one to three of them."""
    choose = random.Random(seed)
    for _ in range(count):
        data, places = bytearray(whole.data), []
        for _ in range(choose.randint(1, 3)):
            begin = choose.randrange(len(data))
            end = min(len(data), begin + choose.choice([1, 1, 1, 20, 300]))
            if end - begin == 1:
                data[begin] ^= 1 << choose.randrange(8)
            else:
                junk = choose.choice([bytes(end - begin), choose.randbytes(end - begin)])
                data[begin:end] = junk
            places.append((begin, end))
        yield Damaged(bytes(data), tuple(places))


def write_journal(directory: Path, data: bytes) -> Path:
    """Where a dead daemon leaves it."""
    path = directory / "journal" / f"{START.run_id}.journal"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
