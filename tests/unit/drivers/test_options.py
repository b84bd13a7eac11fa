"""Options: every mistake names the option, what stands there and what was expected."""

from __future__ import annotations

import math

import pytest

from daq.config import parse_toml
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
        (lambda o: o.number("word", 0.0, "mm"), "word: 'slow' is not a number in mm"),
        (lambda o: o.number("flag", 0.0), "flag: True is not a number"),
        (lambda o: o.number("number", 0.0, "s", Limits(0, 1)), "a number in s within [0, 1]"),
        (lambda o: o.number("number", 0.0, "", Limits(5, math.inf)), "a number, at least 5"),
        (lambda o: o.integer("size", 0), "size: [640, 480] is not a whole number"),
        (lambda o: o.integer("whole", 0, limits=Limits(0, 5)), "a whole number within [0, 5]"),
        (lambda o: o.boolean("whole", False), "whole: 7 is not true or false"),
        (lambda o: o.text("whole", "", "a serial port"), "whole: 7 is not a serial port"),
        (lambda o: o.choice("word", "a", ["slower", "fast"]), "did you mean 'slower'?"),
        (lambda o: o.limits("size", REQUIRED, "mm"), "two numbers [low, high] in mm"),
        (lambda o: o.limits("inner", REQUIRED), "two numbers [low, high]"),
        (lambda o: o.size("range", REQUIRED, Limits(1, 9)), "two whole numbers [width, height]"),
        (lambda o: o.table("word"), "word: 'slow' is not a table"),
        (lambda o: o.text("port", REQUIRED), "port: is missing; give it as port = a text"),
    ],
)
def test_a_wrong_value_is_refused_with_what_was_expected(read, message):
    options = Options("stage", VALUES)
    read(options)
    with pytest.raises(ConfigurationError) as caught:
        options.require_right()
    assert message in str(caught.value)
    assert str(caught.value).startswith("stage: ")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_is_finite(value):
    options = Options("stage", {"a": value})
    options.number("a", 0.0)
    with pytest.raises(ConfigurationError, match="is not a number"):
        options.finish()


def test_an_unknown_option_is_refused_with_the_nearest_and_all_that_there_are():
    options = Options("stage", {"velocty": 3.0, "colour": "red"})
    options.number("velocity", 1.0, "mm/s")
    options.limits("limits", Limits(0, 1), "mm")
    with pytest.raises(ConfigurationError) as caught:
        options.finish()
    colour, velocity = caught.value.message.splitlines()
    assert colour == (
        "stage: colour: there is no such option; "
        "known here: limits (two numbers [low, high] in mm), velocity (a number in mm/s)"
    )
    assert velocity == "stage: velocty: there is no such option; did you mean 'velocity'?"


def test_an_option_of_an_inner_table_is_named_with_its_table():
    options = Options("stage", {"fault": {"kind": 3, "untli": 1}})
    inner = options.table("fault")
    assert inner is not None
    inner.text("kind", REQUIRED)
    inner.number("until", 0.0)
    with pytest.raises(ConfigurationError, match=r"stage\.fault: kind: 3 is not a text") as caught:
        options.finish()
    assert "stage.fault: untli: there is no such option; did you mean 'until'?" in str(caught.value)


def test_the_options_of_a_file_are_told_with_their_lines_all_at_once():
    text = '[devices.stage]\nvelocity = "fast"\n\n[devices.stage.fault]\nknd = "slow"\n'
    table = parse_toml(text, "lab.toml")["devices"]["stage"]
    options = Options("stage", table)
    options.number("velocity", 1.0)
    options.text("port", REQUIRED)
    fault = options.table("fault")
    assert fault is not None
    fault.text("kind", "")
    with pytest.raises(ConfigurationError) as caught:
        options.finish()
    assert str(caught.value).splitlines() == [
        "lab.toml:1: devices.stage.port: is missing; give it as port = a text",
        "lab.toml:2: devices.stage.velocity: 'fast' is not a number",
        "lab.toml:5: devices.stage.fault.knd: there is no such option; did you mean 'kind'?",
    ]
