"""What is handed over is measured before it is worked on."""

from __future__ import annotations

import numpy as np
import pytest

from daq.core import OverloadError, brief, require_small


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
