"""People are told once that the disk is behind, and once that it is not any more."""

from __future__ import annotations

import logging

import pytest

from daq.storage.disk_watch import DiskWatch


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    watch = DiskWatch("r1", 100_000_000)

    def look(waiting: float, syncing_s: float = 0.0) -> list[str]:
        caplog.clear()
        watch.look(int(waiting * 1e8), syncing_s)
        return [record.getMessage() for record in caplog.records]

    return look


def test_half_a_buffer_is_told_once_and_so_is_the_end(said):
    assert said(0.4) == []
    assert said(0.5) == [
        "run r1: the disk does not keep up: 50 MB wait for it; instruments are held up at 100 MB"
    ]
    assert said(0.9) == said(0.2) == []
    assert said(0.05) == ["run r1: the disk has caught up, nothing was lost"]
    assert said(0.05) == []


def test_an_fsync_that_takes_long_is_told_once(said):
    assert said(0, 9.0) == []
    (message,) = said(0, 12.0)
    assert "has not finished an fsync for 12 s: a power cut would cost what came since" in message
    assert said(0, 13.0) == []
    assert said(0, 0.0) == []
    assert len(said(0, 11.0)) == 1
