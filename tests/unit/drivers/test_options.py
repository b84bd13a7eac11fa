"""Options: every mistake names the option, what stands there and what was expected."""

from __future__ import annotations

import math

import pytest

from daq.core import ConfigurationError, Limits
from daq.drivers import REQUIRED, Options

VALUES = {
    "number": 3,
    "whole": 7,
    "flag": True,
    "word": "slow",
    "range": [-1, 2.5],
    "size": [640, 480],
    "inner": {"kind": "x"},
}


def test_options_are_read_by_type():
    options = Options("stage", VALUES)
    assert options.number("number", 0.0) == 3.0
    assert type(options.number("number", 0.0)) is float
    assert options.integer("whole", 0) == 7
    assert options.boolean("flag", False) is True
    assert options.choice("word", "fast", ["fast", "slow"]) == "slow"
    assert options.limits("range", REQUIRED) == Limits(-1.0, 2.5)
    assert options.size("size", REQUIRED, Limits(1, 1000)) == (640, 480)
    inner = options.table("inner")
    assert inner is not None
    assert inner.text("kind", REQUIRED) == "x"
    inner.finish()
    options.finish()


def test_what_is_not_given_has_its_default():
    options = Options("stage", {})
    assert options.number("a", math.inf) == math.inf
    assert options.limits("b", Limits(0, 1)) == Limits(0, 1)
    assert options.size("c", (2, 3), Limits(1, 10)) == (2, 3)
    assert options.table("d") is None
    options.finish()


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda o: o.number("word", 0.0, "mm"), "word = 'slow' is not a number in mm"),
        (lambda o: o.number("flag", 0.0), "flag = True is not a number"),
        (lambda o: o.number("number", 0.0, "s", Limits(0, 1)), "a number in s within [0, 1]"),
        (lambda o: o.number("number", 0.0, "", Limits(5, math.inf)), "a number, at least 5"),
        (lambda o: o.integer("size", 0), "size = [640, 480] is not a whole number"),
        (lambda o: o.integer("whole", 0, limits=Limits(0, 5)), "a whole number within [0, 5]"),
        (lambda o: o.boolean("whole", False), "whole = 7 is not true or false"),
        (lambda o: o.text("whole", "", "a serial port"), "whole = 7 is not a serial port"),
        (lambda o: o.choice("word", "a", ["slower", "fast"]), "did you mean 'slower'?"),
        (lambda o: o.limits("size", REQUIRED, "mm"), "two numbers [low, high] in mm"),
        (lambda o: o.limits("inner", REQUIRED), "two numbers [low, high]"),
        (lambda o: o.size("range", REQUIRED, Limits(1, 9)), "two whole numbers [width, height]"),
        (lambda o: o.table("word"), "word = 'slow' is not a table"),
        (lambda o: o.text("port", REQUIRED), "the option 'port' is missing"),
    ],
)
def test_a_wrong_value_is_refused_with_what_was_expected(read, message):
    with pytest.raises(ConfigurationError) as caught:
        read(Options("stage", VALUES))
    assert message in str(caught.value)
    assert str(caught.value).startswith("stage: ")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_is_finite(value):
    with pytest.raises(ConfigurationError):
        Options("stage", {"a": value}).number("a", 0.0)


def test_an_unknown_option_is_refused_with_the_nearest_and_all_that_there_are():
    options = Options("stage", {"velocty": 3.0})
    options.number("velocity", 1.0, "mm/s")
    options.limits("limits", Limits(0, 1), "mm")
    with pytest.raises(ConfigurationError) as caught:
        options.finish()
    assert str(caught.value) == (
        "stage: there is no option 'velocty'; did you mean 'velocity'?\n"
        "it takes limits: two numbers [low, high] in mm; velocity: a number in mm/s"
    )


def test_an_option_of_an_inner_table_is_named_with_its_table():
    inner = Options("stage", {"fault": {"kind": 3}}).table("fault")
    assert inner is not None
    with pytest.raises(ConfigurationError, match=r"^stage\.fault: kind = 3"):
        inner.text("kind", REQUIRED)
