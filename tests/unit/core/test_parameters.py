import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.core import ParameterError, ScriptParameter, convert_parameters, parse_scalar

DECLARED = (
    ScriptParameter("start", "float"),
    ScriptParameter("points", "int", required=False, default=41),
    ScriptParameter("fast", "", required=False, default=False),
    ScriptParameter("label", "str", required=False, default="run"),
)

scalars = st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=50))


@given(scalars)
def test_what_is_written_as_text_comes_back(value):
    assert parse_scalar(str(value), type(value).__name__) == value


@given(st.text(max_size=20), st.sampled_from(["bool", "int", "float", "str", "complex", ""]))
def test_any_text_gives_the_type_or_a_value_error(text, dtype):
    try:
        value = parse_scalar(text, dtype)
    except ValueError:
        return
    assert type(value).__name__ == dtype


@pytest.mark.parametrize(
    ("text", "dtype", "value"),
    [
        (" TRUE ", "bool", True),
        ("off", "bool", False),
        ("0x10", "int", 16),
        ("1_000", "int", 1000),
        ("-3", "int", -3),
        ("1e-3", "float", 0.001),
        ("inf", "float", math.inf),
        (" as it is ", "str", " as it is "),
    ],
)
def test_text_is_read_as_people_write_it(text, dtype, value):
    assert parse_scalar(text, dtype) == value


@pytest.mark.parametrize(("text", "dtype"), [("maybe", "bool"), ("1.5", "int"), ("", "float")])
def test_other_text_is_refused(text, dtype):
    with pytest.raises(ValueError, match=r".+"):
        parse_scalar(text, dtype)


def test_defaults_fill_what_was_not_given():
    assert convert_parameters(DECLARED, {"start": "-2"}) == {
        "start": -2.0,
        "points": 41,
        "fast": False,
        "label": "run",
    }


def test_text_is_converted_to_the_declared_type_or_that_of_the_default():
    given_ = {"start": 1, "points": "5", "fast": "yes", "label": "12"}
    assert convert_parameters(DECLARED, given_) == {
        "start": 1.0,
        "points": 5,
        "fast": True,
        "label": "12",
    }


def test_everything_wrong_is_told_at_once_with_the_signature():
    with pytest.raises(ParameterError) as error:
        convert_parameters(DECLARED, {"points": "many", "dwel": 1, "fast": 3})
    message = error.value.message
    assert "there is no parameter 'dwel'" in message
    assert "'start' has no default and was not given" in message
    assert "'points' takes int, not 'many'" in message
    assert "'fast' takes bool, not 3" in message
    assert "main(start: float, points: int = 41, fast=False, label: str = 'run')" in str(
        error.value
    )


@pytest.mark.parametrize(
    ("annotation", "default", "given_", "value"),
    [
        ("float | None", None, "1.5", 1.5),
        ("None | int", 3, "4", 4),
        ("Optional[float]", None, "None", None),
        ("float | None", 2.0, None, None),
        ("", None, "None", None),
        ("list[float]", [], "[1, 2.5]", [1, 2.5]),
        ("", (1, 2), "[3]", [3]),
        ("tuple[int, ...] | None", None, (1, 2), (1, 2)),
        ("Literal['a', 'b']", "a", "b", "b"),
        ("Anything", None, "text", "text"),
    ],
)
def test_optional_and_list_parameters_are_converted(annotation, default, given_, value):
    declared = [ScriptParameter("x", annotation, required=False, default=default)]
    assert convert_parameters(declared, {"x": given_}) == {"x": value}


@pytest.mark.parametrize(
    ("annotation", "given_"),
    [
        ("float | None", "fast"),
        ("float", None),
        ("float", True),
        ("int", 1.0),
        ("list", "1, 2"),
        ("list", '{"a": 1}'),
        ("list", 3),
        ("list", "[" * 100_000),
    ],
)
def test_a_value_of_another_type_is_refused(annotation, given_):
    with pytest.raises(ParameterError, match="'x' takes"):
        convert_parameters([ScriptParameter("x", annotation)], {"x": given_})


@given(
    st.lists(
        st.builds(
            ScriptParameter,
            name=st.text("abc", min_size=1, max_size=3),
            annotation=st.sampled_from(["", "int", "float", "bool", "str", "float | None", "list"]),
            required=st.booleans(),
            default=st.one_of(scalars, st.none()),
        ),
        unique_by=lambda parameter: parameter.name,
        max_size=4,
    ),
    st.dictionaries(st.text("abcd", min_size=1, max_size=3), st.one_of(scalars, st.none())),
)
def test_any_call_is_converted_completely_or_refused(declared, values):
    try:
        converted = convert_parameters(declared, values)
    except ParameterError:
        return
    assert set(converted) == {parameter.name for parameter in declared}
