"""A parameter's value is a number like any other, that knows whose it is."""

from __future__ import annotations

import copy
import json
import pickle

from daq.client.bench.axis_value import AxisValue
from daq.client.sending.literals import literal


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
