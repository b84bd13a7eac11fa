"""What is handed over is measured before it is worked on."""

from __future__ import annotations

import numpy as np
import pytest

from daq.core import OverloadError, brief, require_short_json, require_small


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([0] * 11, "more than 10 items"),
        ([[0] * 5, [0] * 5], "more than 10 items"),
        ({"a": {"b": [0] * 9}}, "more than 10 items"),
        ("x" * 21, "texts of more than 20 characters"),
        ({"x" * 11: "y" * 10}, "texts of more than 20 characters"),
        ([[[[0]]]], "more than 3 deep"),
    ],
)
def test_what_is_too_large_is_refused_with_the_limit(value, problem):
    with pytest.raises(OverloadError, match=f"the note: .*{problem}, which is the limit"):
        require_small(value, "the note", items=10, characters=20, depth=3)


@pytest.mark.parametrize(
    "value", [None, 1.5, "x" * 20, [0] * 10, {"a": [1, [2]]}, np.zeros(1000), [[[0]]]]
)
def test_what_fits_passes(value):
    require_small(value, "the note", items=10, characters=20, depth=3)


def test_a_long_text_is_cut_for_a_message():
    assert brief("short") == "short"
    assert brief("x" * 1000) == "x" * 120 + "... (1000 characters)"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" + "[]," * 100_000 + "0]", "the limit is 100000"),
        ("[" * 1000, "nested more than 64 deep"),
        ('{"a":' * 100 + "1" + "}" * 100, "nested more than 64 deep"),
    ],
)
def test_json_is_measured_before_it_is_read(text, problem):
    with pytest.raises(OverloadError, match=problem):
        require_short_json("1", text)


def test_ordinary_json_may_be_read():
    require_short_json("[1, 2, 3]", str(list(range(50_000))), '"a, b, c"', "[[1, 2]]" * 60)


def test_the_numbers_of_arrays_count_where_they_are_shown_as_text() -> None:
    value = {"a": np.zeros((4, 5)), "b": [np.zeros(10)]}
    require_small(value, "the note", items=10, characters=20, depth=3)
    require_small(value, "the note", items=10, characters=20, depth=3, numbers=30)
    with pytest.raises(OverloadError, match="arrays of more than 29 numbers, which is the limit"):
        require_small(value, "the note", items=10, characters=20, depth=3, numbers=29)
