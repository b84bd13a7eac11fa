"""A parameter's value is a number like any other, that knows whose it is."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from daq.client.bench.parameters import AxisValue
from daq.client.sending.literals import literal
from daq.core import ParameterError


def test_it_is_a_number_wherever_one_is_wanted() -> None:
    value = AxisValue(800.5, "laser.wavelength")
    assert value == 800.5
    assert value + 1 == 801.5
    assert f"{value:.0f} {value}" == "800 800.5"
    assert json.dumps([value]) == "[800.5]"
    assert literal(value) == "800.5"


def test_it_knows_whose_it_is_also_as_a_copy() -> None:
    value = AxisValue(800.5, "laser.wavelength")
    for same in (value, copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert (same, same.axis) == (800.5, "laser.wavelength")


def test_two_axes_at_one_value_are_two_keys_and_equal_numbers() -> None:
    power, exposure = AxisValue(0.005, "laser.power"), AxisValue(0.005, "camera.exposure")
    assert power == exposure == 0.005
    assert len({power: 1, exposure: 2}) == 2


def test_a_copy_away_from_its_bench_says_that_it_cannot_be_set() -> None:
    with pytest.raises(ParameterError, match=r"copy of the value of laser\.power"):
        AxisValue(0.005, "laser.power").set(1.0)
