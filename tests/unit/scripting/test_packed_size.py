"""How much a message holds is known before anything is made of it."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.scripting.codec import CodecError, pack, require_sendable, unpack
from daq.scripting.packed_size import TooLargeError, require_bounded

LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text()
    | st.binary() | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary())
)  # fmt: skip
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=40
)


def items(value) -> int:
    if isinstance(value, list):
        return len(value) + sum(map(items, value))
    if isinstance(value, dict):
        return 2 * len(value) + sum(map(items, value.values()))
    return 0


def depth(value) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(VALUES)
def test_it_counts_as_the_decoder_would_and_passes_just_what_fits(value):
    data, count, levels = msgpack.packb(value), items(value), depth(value)
    require_bounded(data, count, levels)
    if count:
        with pytest.raises(TooLargeError, match="more than"):
            require_bounded(data, count - 1, levels)
    if levels:
        with pytest.raises(TooLargeError, match="deep"):
            require_bounded(data, count, levels - 1)


@given(st.binary(max_size=200))
def test_no_bytes_whatsoever_break_it(data):
    try:
        require_bounded(data, 50, 5)
    except TooLargeError:
        pass


@pytest.mark.parametrize(
    "data",
    [
        b"\xdd" + (15_000_000).to_bytes(4, "big") + b"\x90" * 15_000_000,
        b"\xdc\x27\x10" * 1500 + b"\x90" * 15_000_000,
        b"\x91" * 15_000_000,
        b"\xdf\xff\xff\xff\xff" + b"\xa0\xc0" * 200_000,
        (b"\xdc\xff\xff" + b"\x90" * 65535) * 4,
    ],
    ids=["one list", "lists of lists", "depth", "a map", "lists in a row"],
)
def test_masses_of_empty_containers_are_refused_before_they_are_made(data):
    with pytest.raises(CodecError):
        unpack(b"\x94" + data)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([[[[]] * 80_000] * 3], "more than 100000 items"),
        ({"a": {"b": list(range(100_001))}}, "more than 100000 items"),
        ({1: 2}, "keys of what leaves a script are texts"),
        ({"x" * (1 << 20) + "y": 2}, "a text of 1048577 characters"),
        ("y" * (2 << 20), "a text of 2097152 characters"),
    ],
)
def test_what_the_daemon_would_refuse_is_an_error_where_it_is_sent(value, problem):
    with pytest.raises(CodecError, match=problem):
        require_sendable([value])


def nested(levels: int):
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_both_sides_agree_on_the_depth():
    require_sendable([{"x": nested(32)}])
    with pytest.raises(CodecError, match="at most 32"):
        require_sendable([{"x": nested(33)}])
    assert unpack(pack(nested(32))) == nested(32)
