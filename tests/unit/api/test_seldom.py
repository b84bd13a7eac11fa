"""No client fills the log: some lines in ten seconds, then how many were left out."""

from __future__ import annotations

import logging
import time

import pytest

from daq.api.door.call_boundary import OpenCalls
from daq.api.door.grpc_hardening import WRITTEN_BY_CLIENTS, HardenedServer
from daq.api.door.seldom import LINES, PERIOD_S, Seldom, SeldomLogger


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_the_first_lines_pass_and_the_next_period_tells_how_many_did_not(clock, caplog):
    caplog.set_level(logging.INFO)
    log = SeldomLogger(logging.getLogger("daq.test_seldom"))
    for number in range(1000):
        log.info("refused %d", number)
    assert [r.getMessage() for r in caplog.records] == [f"refused {n}" for n in range(LINES)]
    clock.now += PERIOD_S + 0.1
    log.info("refused %d", 1000)
    log.info("refused %d", 1001)
    assert [r.getMessage() for r in caplog.records[LINES:]] == [
        f"refused 1000 (and {1000 - LINES} more lines like this before)",
        "refused 1001",
    ]


def test_exactly_as_many_lines_as_fit_leave_none_out(clock):
    filter_ = Seldom()
    record = logging.LogRecord("x", logging.INFO, "", 1, "line", (), None)
    assert [filter_.filter(record) for _ in range(LINES + 1)] == [True] * LINES + [False]


async def test_all_that_clients_can_write_is_filtered(clock, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("asyncio.get_event_loop", lambda: None)
    monkeypatch.setattr("asyncio.Event", lambda: None)
    HardenedServer([], OpenCalls())
    for name in WRITTEN_BY_CLIENTS:
        before = len(caplog.records)
        for _ in range(100):
            logging.getLogger(name).warning("a client did something")
        assert len(caplog.records) - before <= LINES
