"""The rule for values: the table of the API's README, and what must come back of JSON with tags."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from daq.core import ParameterError
from daq.core.values import from_json, needs_tags, plain, plain_mapping, recordable, to_json

README = Path(__file__).parents[3] / "proto" / "README.md"
NAMES = {
    "np": np, "Decimal": Decimal, "Fraction": Fraction, "datetime": datetime, "Path": Path,
    "timedelta": timedelta, "UUID": UUID, "HTTPStatus": HTTPStatus,
}  # fmt: skip


def rows() -> list[list[str]]:
    text = README.read_text(encoding="utf-8").partition("## Values")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def in_words(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, str):
        return "text"
    return f"array of {value.dtype}" if value.shape else str(value.dtype)


@pytest.mark.parametrize(("given", "recorded", "elsewhere", "text"), rows())
def test_the_table_of_the_readme_is_true(
    given: str, recorded: str, elsewhere: str, text: str
) -> None:
    value = eval(given, NAMES)
    if recorded == "refused":
        with pytest.raises(ParameterError, match=r"^the name: "):
            recordable(value, "the name")
    else:
        assert in_words(recordable(value, "the name")) == recorded
    if elsewhere == "refused":
        with pytest.raises(ParameterError, match=r"^the name: "):
            plain(value, "the name")
        return
    known = plain(value)
    is_array = isinstance(known, np.ndarray)
    assert (in_words(known) if is_array else repr(known)) == elsewhere
    assert not text or to_json(value) == text


scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text()
    | st.complex_numbers() | hnp.arrays(
        st.sampled_from(["|b1", "|u1", "<i2", ">i4", "<u8", "<f2", "<f8", "<c8", "<c16"]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    )
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["$array"]), inner),
    max_leaves=12,
)


def same(value: Any, other: Any) -> bool:
    """Equal, of equal types, bit by bit but for the payload of NaN."""
    if isinstance(value, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and (value.dtype, value.shape) == (other.dtype, other.shape)
            and np.array_equal(value, other, equal_nan=value.dtype.kind in "fc")
        )
    if isinstance(value, list):
        return len(value) == len(other) and all(map(same, value, other))
    if isinstance(value, dict):
        return list(value) == list(other) and all(same(value[k], other[k]) for k in value)
    if isinstance(value, complex):
        return same([value.real, value.imag], [other.real, other.imag])
    both_nan = isinstance(value, float) and math.isnan(value) and math.isnan(other)
    return type(value) is type(other) and (both_nan or value == other)


def strictly(text: str) -> Any:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


@given(values)
def test_json_with_tags_gives_the_same_value_again(value: Any) -> None:
    known = plain(value)
    text = to_json(known)
    strictly(text)
    assert same(from_json(text), known)


@given(values)
def test_what_needs_no_tags_is_the_same_without_them(value: Any) -> None:
    known = plain(value)
    text = to_json(known, typed=False)
    strictly(text)
    if not needs_tags(known):
        assert text == to_json(known)
        assert same(json.loads(text), known)


@pytest.mark.parametrize(
    "text",
    [
        '{"$array": 3}', '{"$array": {"dtype": "O", "shape": [1], "values": [1]}}',
        '{"$array": {"dtype": "<f8", "shape": [2], "values": [1.0]}}',
        '{"$array": {"dtype": "<f8", "shape": [1], "base64": "###"}}',
        '{"$array": {"dtype": "<f8,<i4", "shape": [1], "values": [1]}}',
        '{"$array": {"dtype": "(3,", "shape": [1], "values": [1]}}',
        '{"$array": {"dtype": "|u1", "shape": [1], "values": [300]}}',
        '{"$complex": [1]}', '{"$complex": "1"}', '{"$float": []}', '{"$dict": 1}', "{",
    ],
)  # fmt: skip
def test_a_tag_that_does_not_hold_its_kind_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(text)


def test_what_is_refused_is_named_where_it_stands() -> None:
    with pytest.raises(ParameterError, match=r"^sample\['parts'\]\[1\]: a value of type object"):
        plain_mapping({"sample": {"parts": [1, object()]}})
    with pytest.raises(ParameterError, match="two keys of the same text"):
        plain({1: 2, "1": 3})
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ParameterError, match="inside of itself"):
        plain(loop)
