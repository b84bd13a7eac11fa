import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.drivers.declarative.expression import Expression, ExpressionError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("value * 1e-3", 0.005),
        ("int(text, 16)", 255),
        ("signed(int('FFFFFFFE', 16), 32)", -2),
        ("bit(value, 0) and not bit(value, 1)", True),
        ("1 < value <= 5 != 6", True),
        ("text if value < 0 else 'other'", "other"),
        ("-value % 3 + 2 ** 3 // 3", 1 + 2),
        ("round(max(value, 7.26), 1)", 7.3),
        ("value >> 1 | 1 << 3 ^ 1", 11),
        ("sqrt(value - 1) * pi / pi", 2.0),
    ],
)
def test_it_computes(text, value):
    assert Expression(text, ("value", "text")).evaluate({"value": 5, "text": "FF"}) == value


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "value.__class__",
        "(lambda: 1)()",
        "[v for v in value]",
        "value[0]",
        "open('x')",
        "f'{value}'",
        "value := 1",
        "None",
        "b'x'",
        "int(value, base=16)",
        "value in (1, 2)",
        "~value",
        "1 +",
        "(" * 300 + ")" * 300,
        "1" * 600,
    ],
)
def test_what_is_no_arithmetic_is_refused_when_it_is_read(text):
    with pytest.raises(ExpressionError):
        Expression(text, ("value",))


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(ExpressionError, match=r"there is no 'vale' here; did you mean 'value'\?"):
        Expression("vale + 1", ("value",))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 / value", "division by zero"),
        ("sqrt(value - 1)", "math domain error"),
        ("9.0 ** 9 ** 9", "math range error"),
        ("1 << 100", "100 is not a number of bits from 0 to 64"),
        ("text * 5", "'abc' is not a number"),
        ("int(text, 16) + bit(text, 1)", "'abc' is not a whole number"),
    ],
)
def test_what_cannot_be_computed_says_why_and_with_what(text, reason):
    with pytest.raises(ExpressionError) as caught:
        Expression(text, ("value", "text")).evaluate({"value": 0, "text": "abc"})
    assert reason in str(caught.value)


def test_it_names_what_it_needs():
    assert Expression("a + abs(b) * pi", ("a", "b", "c")).names == {"a", "b"}


@given(st.text(max_size=60))
def test_any_text_is_an_expression_or_refused(text):
    try:
        value = Expression(text, ("value",)).evaluate({"value": 3})
    except ExpressionError:
        return
    assert isinstance(value, int | float | str | bool)
