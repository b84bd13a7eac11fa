"""A unit test that leaves a thread, a process or a file descriptor behind has failed."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

# Kept warm by their libraries for the next caller; they end by themselves.
_POOLED_THREADS = ("Trio thread", "AnyIO", "asyncio_", "grpc", "ThreadPoolExecutor")


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    before = _possessions()
    yield
    left = _left_behind(before)
    if left:
        gc.collect()  # what only waits to be collected is not lost
        left = _left_behind(before)
    assert not left, f"left behind: {', '.join(sorted(left))}"


def _left_behind(before: set[str]) -> set[str]:
    return _possessions() - before


def _possessions() -> set[str]:
    threads = {
        f"thread {thread.name}"
        for thread in threading.enumerate()
        if not thread.name.startswith(_POOLED_THREADS)
    }
    return threads | _descriptors() | _children()


def _descriptors() -> set[str]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:  # the one that lists the folder
            continue
        if "/matplotlib/" not in target:  # it keeps its fonts open
            found.add(f"descriptor {entry.name} of {target}")
    return found


def _children() -> set[str]:
    found = set()
    for task in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        with suppress(FileNotFoundError):  # a thread that has just ended
            found |= {f"process {pid}" for pid in task.read_text().split()}
    return found
