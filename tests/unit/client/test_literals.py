from __future__ import annotations

import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.client.sending.literals import NUMPY, handed_out, literal
from daq.core import ParameterError
from daq.core.values import to_json

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2**63) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(PLAIN)
def test_a_value_survives_as_source(value: object) -> None:
    assert eval(literal(value), {"float": float}) == value


@given(PLAIN)
def test_a_value_survives_as_what_a_script_hands_out(value: object) -> None:
    assert handed_out(to_json([value])) == value
    assert handed_out(repr([value])) == value  # by an older daemon


def test_arrays_numbers_of_numpy_and_devices_become_what_a_script_knows() -> None:
    array = eval(literal(np.array([[1, 2], [3, 4]], ">u2")), {NUMPY: np})
    assert (array.dtype.str, array.tolist()) == (">u2", [[1, 2], [3, 4]])
    assert literal(np.float32(0.5)) == literal(np.float64(0.5)) == "0.5"
    assert literal([{np.float64(1): np.float64(math.inf)}]) == '[{1.0: float("inf")}]'
    assert literal(np.complex128(1 + 2j)) == "complex(1.0, 2.0)"
    assert literal((1,)) == "(1,)"
    assert literal(range(2)) == "(0, 1,)"
    assert literal(np.longdouble(0.5)) == literal(Fraction(1, 2)) == "0.5"
    assert literal({3, 1}) == "[1, 3]"
    assert literal(1 + 2j) == "complex(1.0, 2.0)"
    assert literal(SimpleNamespace(name="stage", capabilities=frozenset())) == "device('stage')"


def test_what_is_no_number_is_said_and_read_back() -> None:
    assert math.isnan(eval(literal(math.nan)))
    for text in ("[[nan, -inf]]", to_json([[math.nan, -math.inf]])):
        first, second = handed_out(text)
        assert math.isnan(first)
        assert second == -math.inf


def test_what_is_no_plain_data_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"an? object for a script: .* cannot be kept"):
        literal(object())
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(ParameterError, match="nested too deeply"):
        literal(loop)
    for text in ("open('x')", "1 +", "a.b", "<object>", "1"):
        with pytest.raises(ValueError, match=r"plain|malformed"):
            handed_out(text)
