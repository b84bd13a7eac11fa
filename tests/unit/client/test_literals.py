from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.client.sending.literals import literal, parse_literal
from daq.core import ParameterError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(PLAIN)
def test_a_value_survives_as_source(value: object) -> None:
    assert eval(literal(value), {"float": float}) == value


@given(PLAIN)
def test_a_value_survives_as_what_a_script_hands_out(value: object) -> None:
    assert parse_literal(repr(value)) == value


def test_arrays_numbers_of_numpy_and_devices_become_what_a_script_knows() -> None:
    assert literal(np.array([[1, 2], [3, 4]])) == "[[1, 2], [3, 4]]"
    assert literal(np.float32(0.5)) == "0.5"
    assert literal((1,)) == "(1,)"
    assert literal(range(2)) == "(0, 1,)"
    assert literal(1 + 2j) == "complex(1.0, 2.0)"
    assert literal(SimpleNamespace(name="stage", capabilities=frozenset())) == "device('stage')"


def test_what_is_no_number_is_said_and_read_back() -> None:
    assert math.isnan(eval(literal(math.nan)))
    assert math.isnan(parse_literal("[nan, -inf]")[0])
    assert parse_literal("[nan, -inf]")[1] == -math.inf


def test_what_is_no_plain_data_is_refused() -> None:
    with pytest.raises(ParameterError, match="a object cannot be sent to a script"):
        literal(object())
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(ParameterError, match="nested too deeply"):
        literal(loop)
    for text in ("open('x')", "1 +", "a.b", "<object>"):
        with pytest.raises(ValueError, match=r"plain|malformed"):
            parse_literal(text)
