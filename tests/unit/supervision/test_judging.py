"""Whatever a channel carries is judged by the stated rule, or cannot be judged and says why."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.core import Measurement
from daq.supervision.interlocks.judging import CannotJudgeError, extremes


def block(values):
    values = np.asarray(values)
    return Measurement("meter", np.arange(len(values)), values, "W", 0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.5], (1.5, 1.5)),
        ([[1, 2, 3]], (1, 3)),
        ([True, False], (0, 1)),
        ([3 + 4j], (5, 5)),
        (np.array([1.0, 2], dtype=object), (1, 2)),
        (np.array([np.array([5.0, 7.0]), 1], dtype=object), (1, 7)),
        ([np.inf], (math.inf, math.inf)),
    ],
)
def test_numbers_are_judged_by_their_extremes(values, expected):
    assert extremes(block(values)) == expected


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (["12"], "text"),
        ([b"12"], "text"),
        (np.array([None], dtype=object), "nothing"),
        (np.array(["12"], dtype=object), "text"),
        (np.empty((1, 0)), "an empty array"),
        (np.array([{"a": 1}], dtype=object), "object"),
        (np.array(["2020-01-01"], dtype="M8[D]"), "datetime64"),
    ],
)
def test_what_is_no_number_cannot_be_judged_and_says_why(values, why):
    with pytest.raises(CannotJudgeError, match=why):
        extremes(block(values))


@pytest.mark.parametrize("values", [[math.nan], [1.0, math.nan], [complex(math.nan, 1)]])
def test_nan_comes_through_and_trips(values):
    assert all(map(math.isnan, extremes(block(values))))


_ANYTHING = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.complex_numbers()
    ),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(_ANYTHING, min_size=1, max_size=4))
def test_nothing_else_ever_comes_of_it(items):
    values = np.empty(len(items), dtype=object)
    values[:] = items
    try:
        low, high = extremes(block(values))
    except CannotJudgeError:
        return
    assert isinstance(low, float)
    assert isinstance(high, float)
