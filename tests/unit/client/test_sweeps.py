"""Where the line of a curve ends, and which way it went."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.client.figures.sweeps import split_sweeps

UP = np.arange(6.0)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (UP, [(0, 5, True)]),
        (-UP, [(0, 5, False)]),
        ([*UP, *UP[::-1]], [(0, 6, True), (6, 11, False)]),
        ([*UP, *UP[-2::-1]], [(0, 5, True), (5, 10, False)]),
        ([*UP, *UP, *UP], [(0, 5, True), (6, 11, True), (12, 17, True)]),
        ([0, 1, 2] * 3, [(0, 2, True), (3, 5, True), (6, 8, True)]),
        ([0, 1, 2, 3, 2.4, 3.4, 4.4], [(0, 6, True)]),  # a closer look
        ([3, 2, 1, 0, 0.4, -0.5, -1], [(0, 6, False)]),
        ([1], [(0, 0, True)]),
        ([2, 1], [(0, 1, False)]),
        ([1] * 5, [(0, 4, True)]),
        ([3, 0, 5, 1, 4, 2, 9, 7, 8, 6, 11, 10], []),
    ],
)
def test_sweeps_are_told_apart(x, expected) -> None:
    sweeps = split_sweeps(np.array(x, float))
    found = [(int(s.rows.min()), int(s.rows.max()), s.upward) for s in sweeps]
    # A point that was taken twice where it turned may belong to either.
    assert len(found) == len(expected)
    for (first, last, up), (begin, end, upward) in zip(found, expected, strict=True):
        assert up is upward
        assert abs(first - begin) <= 1
        assert abs(last - end) <= 1


@given(st.lists(st.integers(3, 20), min_size=1, max_size=6), st.integers(0, 99))
def test_jitter_makes_no_sweep(lengths, seed) -> None:
    rng = np.random.default_rng(seed)
    x = np.concatenate([np.arange(float(n)) for n in lengths])
    sweeps = split_sweeps(x + rng.uniform(-0.02, 0.02, len(x)))
    assert all(s.upward for s in sweeps)
    assert all(np.all(np.diff(s.rows) == 1) for s in sweeps)


@given(st.lists(st.floats(-1e6, 1e6), max_size=40))
def test_any_positions_have_sweeps_or_none(x) -> None:
    positions = np.array(x)
    for sweep in split_sweeps(positions):
        along = positions[sweep.rows]
        assert np.all(np.diff(along) >= 0) if sweep.upward else np.all(np.diff(along) <= 0)
