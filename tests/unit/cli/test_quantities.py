"""Quantities as people type them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.cli.quantities import setting_text, to_units
from daq.core import DeviceParameter, ParameterError, standard


@pytest.mark.parametrize(
    ("text", "units", "number"),
    [
        ("1.5", "mm", 1.5),
        (" -2.5", "mm", -2.5),
        ("1.5mm", "mm", 1.5),
        ("-500um", "mm", -0.5),
        ("500 µm", "mm", 0.5),
        ("1e3nm", "mm", 0.001),
        ("2 cm/s", "mm/s", 20.0),
        ("30 arcmin", "deg", 0.5),
        ("1 turn", "deg", 360.0),
        ("20 degC", "K", 293.15),
        ("0 dBm", "mW", 1.0),
        ("5 mW", "W", 0.005),
        ("1 kOhm", "Ohm", 1000.0),
        ("1 kS/s", "S/s", 1000.0),
        ("3 counts per electron", "counts per electron", 3.0),
        ("5 min", "s", 300.0),
        ("1 Torr", "torr", 1.0),
    ],
)
def test_a_quantity_is_converted(text: str, units: str, number: float) -> None:
    assert to_units(text, units, "stage: the position") == pytest.approx(number, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("2 s", "mm"),
        # Mere numbers for a library of units, and no numbers of degrees.
        ("50 %", "deg"),
        ("5 counts", "deg"),
        ("1 sr", "deg"),
        ("1 rpm", "Hz"),
        ("1 MHz", "S/s"),
        ("3 F", "K"),
        ("1 eV", "nm"),
        ("1,5mm", "mm"),
        ("3 2mm", "mm"),
        ("3 ((", "mm"),
        ("3 __import__('os')", "mm"),
        ("three", "mm"),
        ("", "mm"),
        ("2 mm", "counts per electron"),
        ("3mm", ""),
    ],
)
def test_what_does_not_fit_is_refused_with_the_units_of_the_device(text: str, units: str) -> None:
    with pytest.raises(ParameterError) as refused:
        to_units(text, units, "stage: the position")
    message = refused.value.message
    assert message.startswith("stage: the position")
    assert units in message
    assert "nothing was sent" in message


@pytest.mark.parametrize(("text", "units"), [("20 degC", "K"), ("3 dBm", "mW")])
def test_a_distance_has_no_zero_of_a_scale(text: str, units: str) -> None:
    with pytest.raises(ParameterError):
        to_units(text, units, "cryostat: the distance", is_distance=True)


@given(text=st.text(max_size=20), units=st.sampled_from(["mm", "deg", "K", "counts", ""]))
def test_any_text_is_a_number_or_refused(text: str, units: str) -> None:
    try:
        number = to_units(f"1 {text}", units, "stage: the position")
    except ParameterError:
        return
    assert isinstance(number, float)


@given(st.floats(allow_nan=False))
def test_a_bare_number_is_itself(number: float) -> None:
    assert to_units(repr(number), "mm", "stage: the position") == number
    if math.isfinite(number):
        assert to_units(f"{number!r} mm", "mm", "stage: the position") == number


def test_a_setting_is_sent_in_the_words_of_its_row() -> None:
    shutter, averaging = standard("shutter"), DeviceParameter("averaging", "int", units="samples")
    assert setting_text(shutter, "open", "laser") == "true"
    assert setting_text(shutter, "closed", "laser") == "false"
    assert setting_text(shutter, "off", "laser") == "off"
    assert setting_text(standard("wavelength"), "0.75um", "laser") == "750.0"
    assert setting_text(averaging, "10", "meter") == "10"
    assert setting_text(averaging, "1e3", "meter") == "1000"
    assert setting_text(averaging, "1.5", "meter") == "1.5"  # the daemon refuses it, by name
    assert setting_text(DeviceParameter("mode", "str"), "5mm", "meter") == "5mm"
