"""The ring: what writing and reading cost, against copying the same bytes within memory."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from daq.bus.ring import RingReader, RingWriter
from daq.core import Measurement
from tests.benchmarks.table import Row, summary

CAPACITY = 128 << 20
SIZES = {"64 KiB": 64 << 10, "1 MiB": 1 << 20, "8 MiB": 8 << 20}


def measure(*, quick: bool) -> list[Row]:
    """All rows; `quick` takes fewer rounds."""
    rounds = 2 if quick else 8
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        path = Path(name) / "ring"
        rows = [row for what, size in SIZES.items() for row in _copies(path, what, size, rounds)]
        return [*rows, *_scalars(path, 20_000 if quick else 200_000)]


def _block(size: int, first: int) -> Measurement:
    values = np.full((1, size // 2), first, "<u2")
    return Measurement("camera", np.array([first]), values, "counts", first)


def _copies(path: Path, what: str, size: int, rounds: int) -> list[Row]:
    """A ring full of blocks, written and read again and again; in turn with plain copies."""
    count = CAPACITY * 3 // 4 // size
    blocks = [_block(size, number) for number in range(min(count, 8))]
    target = np.zeros((count, size // 2), "<u2")
    spent: dict[str, list[float]] = {"write": [], "take": [], "view": [], "memcpy": []}
    with RingWriter(path, CAPACITY) as writer, RingReader(path) as reader:
        for _ in range(rounds + 1):  # the first touches every page
            spent["write"].append(_timed(lambda: [writer.write(b) for b in _cycle(blocks, count)]))
            second = RingReader(path, history=False)
            second._position = reader._position
            spent["take"].append(_timed(lambda: _take(reader, count)))
            spent["view"].append(_timed(lambda r=second: [_used(r) for _ in range(count)]))
            second.close()
            spent["memcpy"].append(
                _timed(
                    lambda: [
                        np.copyto(target[n], block.values[0])
                        for n, block in enumerate(_cycle(blocks, count))
                    ]
                )
            )
    total = count * size
    rate = {name: total / min(series[1:]) / 1e9 for name, series in spent.items()}
    peer = f"memcpy: {rate['memcpy']:.2f} GB/s"
    return [
        Row(f"ring, {what}: written", f"{rate['write']:.2f} GB/s", peer,
            rate["memcpy"] / rate["write"]),
        Row(f"ring, {what}: read as a checked copy", f"{rate['take']:.2f} GB/s", peer,
            rate["memcpy"] / rate["take"]),
        Row(f"ring, {what}: viewed in place, checked",
            f"{min(spent['view'][1:]) / count * 1e6:.1f} µs a block"),
    ]  # fmt: skip


def _cycle(blocks: list[Measurement], count: int):
    return (blocks[number % len(blocks)] for number in range(count))


def _used(reader: RingReader) -> None:
    view = reader.view()
    assert view is not None
    assert view.is_intact()


def _take(reader: RingReader, count: int) -> None:
    for _ in range(count):
        assert reader.take() is not None


def _timed(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _scalars(path: Path, count: int) -> list[Row]:
    """One sample a block: what is left is what a block costs."""
    blocks = [
        Measurement("stage", np.array([n]), np.array([float(n)]), "mm", n) for n in range(1000)
    ]
    written, taken = [], []
    with RingWriter(path, CAPACITY) as writer, RingReader(path) as reader:
        for _ in range(count // len(blocks)):
            written.append(_timed(lambda: [writer.write(b) for b in blocks]) / len(blocks))
            taken.append(_timed(lambda: [reader.take() for _ in blocks]) / len(blocks))
    return [
        Row("ring, one scalar: written", summary(written, "us")),
        Row("ring, one scalar: read as a checked copy", summary(taken, "us")),
    ]
