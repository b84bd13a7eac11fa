"""Ratios that got worse than the recorded ones are named."""

from __future__ import annotations

from tests.benchmarks.table import Row, recorded_ratios, worse

RECORD = """
| what | daq | peer, same run | ratio | goal |
|---|---|---|---|---|
| a point | 299 µs | bluesky: 1142 µs | 0.26 | <= 0.33 |
| a start | 5.1 ms |  |  | <= 10 ms |
| a call | 0.4 ms | grpc.aio: 0.3 ms | 1.30 |  |
"""


def test_ratios_are_read_from_the_tables_and_rows_without_a_peer_are_left_out():
    assert recorded_ratios(RECORD) == {"a point": 0.26, "a call": 1.30}


def test_what_got_worse_is_named_with_both_ratios_and_noise_is_not():
    rows = [Row("a point", "", "", 0.28), Row("a call", "", "", 1.5), Row("new", "", "", 9.0)]
    assert worse(rows, recorded_ratios(RECORD)) == ["a call: 1.50, recorded 1.30"]
