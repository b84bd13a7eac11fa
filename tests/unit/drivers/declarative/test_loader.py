"""Mistakes are found at load, all at once, with line and reason."""

from __future__ import annotations

import contextlib
import json
import tomllib
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.core import STANDARD, Capability, ConfigurationError
from daq.drivers.declarative import (
    is_description,
    load_description,
    parse_description,
    shipped_descriptions,
)
from daq.drivers.declarative.tables import DescriptionTable
from tests.unit.drivers.declarative.instruments import ODD

METER = """\
[instrument]
name = "meter"

[values.voltage]
units = "V"
read = "V?"

[readable]
value = "voltage"
"""

TEXTS = ("", "x", "{value}", "{", "(", "'\u2126'", "OK", "utf-16")
KEYS = ("send", "reply", "convert", "type", "limits", "value", "x")


def as_toml(value):
    """A value on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, list):
        return f"[{', '.join(map(as_toml, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(k)} = {as_toml(v)}' for k, v in value.items())} }}"
    return repr(value)


def paths_of(value, path=()):
    """Every place in a table."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for name, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths_of(each, (*path, name))


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse_description(text, "meter.toml")
    return caught.value.message.splitlines()


def test_only_what_is_described_is_offered():
    assert parse_description(METER, "meter.toml").capabilities == {Capability.READABLE}
    odd = parse_description(ODD, "odd.toml")
    assert odd.capabilities == {
        Capability.MOVABLE,
        Capability.READABLE,
        Capability.TRIGGERABLE,
    }
    assert list(odd.standard) == ["shutter", "emission", "wavelength", "exposure"]


@pytest.mark.parametrize("name", shipped_descriptions())
def test_shipped_descriptions_are_right(name):
    assert load_description(name).capabilities
    assert load_description(name).identify is not None


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('value = "voltage"', 'value = "volt"', "9: readable.value: there is no value 'volt'; did"),
        ('read = "V?"', "", "9: readable.value: the value 'voltage' needs `read`"),
        ('units = "V"', 'unit = "V"', "5: values.voltage.unit: there is no such key; did you mean"),
        ('units = "V"', "units = 5", "5: values.voltage.units: 5 is not a text"),
        ('"V?"', '"V {chan}?"', "6: values.voltage.read: 'V {chan}?': there is no place {chan}"),
        ('"V?"', '"V{"', "6: values.voltage.read: 'V{':"),
        ('"V?"', '"V\u2126?"', "6: values.voltage.read: 'V\u2126?' has characters that latin-1"),
        ('"V?"', '{ send = "V?", reply = "[" }', "6: values.voltage.read.reply: '[' is not a reg"),
        ('"V?"', '{ send = "V?", convert = "x" }', "6: values.voltage.read.convert: there is no"),
        ('"V?"', '{ send = "V?", field = 0 }', "6: values.voltage.read.field: places are counted"),
        ('"V?"', '{ reply = "." }', "6: values.voltage.read.send: is missing"),
        ('"V?"', '"V?"\nlimits = [5, 1]', "7: values.voltage.limits: [5, 1] is not two numbers"),
        ('"V?"', '"V?"\nchoices = ["a"]', "7: values.voltage.choices: only a value of type"),
        ('"V?"', '"V?"\nreach = 1', "7: values.voltage.reach: only a value that is written and"),
        ('"V?"', '"V?"\nwrite = "V{value:d}"', "7: values.voltage.write: 'V{value:d}' cannot be"),
        ('"V?"', '"V?"\nrequires = "x"', "7: values.voltage.requires: there is no 'x' here"),
        ('"V?"', '"V?"\nrequires = "voltage"', "7: values.voltage.requires: there is no 'voltage'"),
        ("[readable]", "[readible]", "8: readible: there is no such key; did you mean 'readable'?"),
        ("[instrument]", "[line]\nparity = 'odd!'\n[instrument]", "2: line.parity: 'odd!' is not"),
        ("[instrument]", "[safe]\nvoltage = 0\n[instrument]", "2: safe.voltage: only what is read"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_reason(old, new, problem):
    assert old in METER
    found = problems(METER.replace(old, new, 1))
    assert any(line.startswith(f"meter.toml:{problem}") for line in found), found


def test_all_mistakes_are_told_at_once_and_in_order():
    text = METER.replace('"V?"', '"V {a}"').replace('"voltage"', '"nothing"') + "more = 1\n"
    lines = [int(line.split(":")[1]) for line in problems(text)]
    assert lines == sorted(lines)
    assert len(lines) == 3


def test_a_movable_has_to_say_how_it_is_stopped():
    text = METER + '[movable]\nposition = "voltage"\ntolerance = 0.1\nhome = 0\n'
    assert "meter.toml:10: movable: says not how it is stopped" in "\n".join(problems(text))


def test_a_look_that_may_take_longer_than_the_whole_motion_is_refused():
    text = METER.replace('read = "V?"', 'read = { send = "V?", timeout = 70 }')
    text += '[movable]\nposition = "voltage"\ntolerance = 0.1\nhold = true\n'
    found = "\n".join(problems(text))
    assert "movable.timeout: 60 s is too short: one look at 'voltage' may take 70 s" in found


def test_what_is_no_toml_is_told_with_its_line():
    assert "line 3" in problems("[instrument]\nname = 'x'\nvalue == 3\n")[0]


def test_an_instrument_that_offers_nothing_is_refused():
    found = problems("[instrument]\nname = 'x'\n")
    assert "meter.toml:1: the instrument offers nothing" in found[0]


def test_a_description_that_is_not_there(tmp_path):
    with pytest.raises(ConfigurationError, match="there is no description 'scpi_multimetre'"):
        load_description("scpi_multimetre")
    with pytest.raises(ConfigurationError, match=r"mine\.toml cannot be read: No such file"):
        load_description("mine.toml", tmp_path)


def test_relative_paths_begin_at_the_configuration(tmp_path):
    (tmp_path / "mine.toml").write_text(METER)
    assert load_description("mine.toml", tmp_path).name == "meter"


def test_a_description_is_told_from_a_configuration():
    assert is_description(METER)
    assert not is_description('[devices.stage]\ndriver = "simulated.stage"\n')


def test_every_standard_parameter_has_a_table():
    assert set(STANDARD) <= {field.name for field in fields(DescriptionTable)}


anything = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.sampled_from(TEXTS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=4,
)


@given(st.sampled_from(list(paths_of(tomllib.loads(ODD)))), anything)
def test_whatever_stands_somewhere_is_taken_or_refused_in_words(path, value):
    tables = tomllib.loads(ODD)
    owner = tables
    for part in path[:-1]:
        owner = owner[part]
    owner[path[-1]] = value
    text = "".join(f"{name} = {as_toml(each)}\n" for name, each in tables.items())
    with contextlib.suppress(ConfigurationError):
        parse_description(text, "any.toml")
