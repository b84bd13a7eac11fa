"""Quantities with prefixes and units."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.drivers.quantities import parse_quantity


@pytest.mark.parametrize(
    ("text", "units", "value"),
    [
        ("3.000W", "W", 3.0),
        ("100mW", "W", 0.1),
        (" 850 mW", "W", 0.85),
        ("5 uW", "W", 5e-6),
        ("5µW", "W", 5e-6),
        ("2.5kW", "W", 2500.0),
        ("1MW", "W", 1e6),
        ("820nm", "nm", 820.0),
        ("+.75E-9", "W", 0.75e-9),
        ("100.00%", "%", 100.0),
        ("-3e-3", "V", -0.003),
    ],
)
def test_what_instruments_write(text, units, value):
    assert parse_quantity(text, units) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "W", "mW", "3.0V", "3 xW", "100m", "nan", "OVER", "1.2.3W"])
def test_what_is_no_power(text):
    with pytest.raises(ValueError, match="is not a quantity in W"):
        parse_quantity(text, "W")


@given(st.floats(1e-6, 1e6), st.sampled_from(["", "m", "u", "n", "k"]))
def test_prefixes_scale(number, prefix):
    factor = {"": 1, "m": 1e-3, "u": 1e-6, "n": 1e-9, "k": 1e3}[prefix]
    assert parse_quantity(f"{number!r}{prefix}W", "W") == pytest.approx(number * factor)
