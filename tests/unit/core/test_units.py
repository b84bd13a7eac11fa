import math
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.core import Limits, axis_label, format_quantity, format_time

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)


def test_limits_are_closed():
    limits = Limits(-1, 2)
    assert -1 in limits
    assert 2.0 in limits
    assert 2.0000001 not in limits
    assert str(limits) == "[-1, 2]"


@pytest.mark.parametrize("value", [np.float32(1.5), np.int64(1), np.float64(0)])
def test_numpy_numbers_are_numbers_to_limits(value):
    assert value in Limits(0, 2)


def test_a_number_too_large_for_a_float_is_outside():
    assert 10**400 not in Limits(-10, 10)


@pytest.mark.parametrize("value", [math.nan, math.inf, "1", None, 1 + 0j])
def test_what_is_no_number_inside_is_outside(value):
    assert value not in Limits(-10, 10)


@pytest.mark.parametrize(("low", "high"), [(1, 0), (math.nan, 1), (0, math.nan)])
def test_limits_that_make_no_sense_are_refused(low, high):
    with pytest.raises(ValueError, match=r"limits are \[low, high\]"):
        Limits(low, high)


@given(finite, finite, finite)
def test_a_value_is_inside_exactly_when_it_is_between(a, b, value):
    limits = Limits(min(a, b), max(a, b))
    assert (value in limits) == (min(a, b) <= value <= max(a, b))


@pytest.mark.parametrize(
    ("value", "units", "text"),
    [
        (0.00123, "W", "1.23 mW"),
        (-0.00123, "W", "-1.23 mW"),
        (1e-6, "s", "1 µs"),
        (2.5e9, "Hz", "2.5 GHz"),
        (1000, "V", "1 kV"),
        (0.99999, "W", "1 W"),
        (0.0009999999, "W", "1 mW"),
        (0, "W", "0 W"),
        (math.inf, "W", "inf W"),
        (math.nan, "W", "nan W"),
        (1e-20, "W", "1e-05 fW"),
        (0.00123, "deg", "0.00123 deg"),
        (12.3456, "", "12.35"),
    ],
)
def test_quantities_read_as_people_write_them(value, units, text):
    assert format_quantity(value, units) == text


@given(st.floats(1e-14, 1e14))
def test_a_scaled_quantity_keeps_its_value_and_three_digits_before_the_point(value):
    number, unit = format_quantity(value, "W").split()
    factor = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "µ": 1e-6, "m": 1e-3, "": 1}
    factor |= {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    assert float(number) * factor[unit.removesuffix("W")] == pytest.approx(value, rel=1e-3)
    assert 1 <= float(number) < 1000


def test_a_label_has_the_units_in_brackets_where_there_are_any():
    assert axis_label("stage", "mm") == "stage (mm)"
    assert axis_label("count", "") == "count"


def test_a_time_is_local_and_none_is_empty():
    noon = datetime(2025, 3, 1, 12).astimezone()
    assert format_time(round(noon.timestamp() * 1e9)) == "2025-03-01 12:00:00"
    assert format_time(0) == ""
