"""Frames are data: what goes in comes out, and nothing else gets through."""

from __future__ import annotations

import struct
from typing import get_args

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.core import (
    Call,
    CloseRun,
    Describe,
    Diagnostic,
    Ending,
    LimitError,
    ListDevices,
    Log,
    OpenRun,
    Pause,
    Point,
    ProgramEnd,
    Progress,
    Record,
    ScriptCheck,
    ScriptParameter,
)
from daq.scripting.codec import CodecError, pack, require_plain, unpack
from daq.scripting.protocol import (
    Asked,
    Checked,
    Ended,
    FrameBuffer,
    Joined,
    Message,
    ProtocolError,
    Started,
    decode,
    encode_check,
    encode_end,
    encode_request,
    frame,
    refusal,
)

names = st.text(max_size=20)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | names
)
plains = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
numbers = st.floats(allow_nan=False) | st.integers(-(2**53), 2**53)
requests = st.one_of(
    st.builds(ListDevices),
    st.builds(Describe, names),
    st.builds(Call, names, names, st.lists(plains, max_size=3)),
    st.builds(OpenRun, names, st.dictionaries(names, plains, max_size=3)),
    st.builds(CloseRun, st.booleans(), names),
    st.builds(
        Record, st.lists(names, max_size=3), st.dictionaries(names, plains, max_size=3), names
    ),
    st.builds(
        Point,
        st.dictionaries(names, numbers, max_size=3),
        st.lists(names, max_size=3),
        numbers,
        st.just({}),
        names,
    ),
    st.builds(Log, names, st.sampled_from(["output", "info", "warning"]), st.integers(0, 10**6)),
    st.builds(Progress, names),
    st.builds(Pause, st.integers(0, 10**6)),
)


def payload(data: bytes) -> bytes:
    (only,) = FrameBuffer().feed(data)
    return only


@given(requests, st.integers(0, 2**50), st.booleans())
def test_every_request_survives_the_crossing(request, sequence, stopping) -> None:
    message = decode(payload(encode_request(sequence, stopping, request)))
    assert message == Asked(sequence, stopping, request, not isinstance(request, Log | Progress))


@given(
    names,
    names,
    st.integers(0, 9),
    plains,
    st.sampled_from(["completed", "failed", "stopped"]),
)
def test_an_end_survives_the_crossing(message, traceback, line, result, ending) -> None:
    end = ProgramEnd(Ending(ending), message, traceback, line, result)
    assert decode(payload(encode_end(end))) == Ended(end)


def test_a_check_survives_the_crossing() -> None:
    check = ScriptCheck(
        (Diagnostic(1, 2, 3, 4, "POLICY", "no", "x = 1"),),
        (ScriptParameter("a", "float", False, [1, "x", None]),),
        "What it does.",
    )
    assert decode(payload(encode_check(check))) == Checked(check)


@given(st.binary(max_size=200))
def test_garbage_is_a_protocol_error_and_nothing_else(data) -> None:
    with pytest.raises(ProtocolError):
        decode(data)


@given(plains)
def test_any_data_that_is_no_message_is_a_protocol_error(value) -> None:
    with pytest.raises(ProtocolError):
        decode(pack([value, value]))


@given(
    st.sampled_from(
        ["call", "record", "point", "log", "end", "checked", "confined", "start", "join"]
    ),
    st.lists(plains, max_size=7),
)
def test_wrong_fields_are_a_protocol_error(op, rest) -> None:
    try:
        message = decode(pack([op, *rest]))
    except ProtocolError:
        return
    assert type(message) in get_args(Message)  # by chance they were right


@given(requests, st.data())
def test_a_flipped_byte_is_a_message_or_a_protocol_error(request, data) -> None:
    changed = bytearray(payload(encode_request(1, False, request)))
    place = data.draw(st.integers(0, len(changed) - 1))
    changed[place] ^= data.draw(st.integers(1, 255))
    try:
        message = decode(bytes(changed))
    except ProtocolError:
        return
    assert type(message) in get_args(Message)


@pytest.mark.parametrize(
    "message",
    [
        ["call", 1, False, "stage"],
        ["call", 1, 0, "stage", "read", []],
        ["call", -1, False, "stage", "read", []],
        ["call", True, False, "stage", "read", []],
        ["call", 1, False, b"stage", "read", []],
        ["call", 1, False, "stage", "read", [b"bytes"]],
        ["point", 1, False, {"stage": "far"}, [], 0, {}, "primary", {}],
        ["point", 1, False, {"stage": True}, [], 0, {}, "primary", {}],
        ["log", 0, False, "text", "shout", 1],
        ["log", 0, False, "x" * (2 << 20), "output", 1],
        ["end", "killed", "", "", 0, None],
        ["end", "completed", "", "", 2**60, None],
        ["checked", [["x"]], [], ""],
        ["confined", {"seccomp": 1}],
        ["exec", 1, False],
        "call",
        {},
        [],
        [["call"]],
        [None],
    ],
)
def test_each_field_is_checked(message) -> None:
    with pytest.raises(ProtocolError):
        decode(msgpack.packb(message))


@pytest.mark.parametrize(
    "data",
    [
        b"\x91" * 100_000,
        msgpack.packb(["log", 0, False, msgpack.Timestamp(1), "output", 0]),
        msgpack.packb(
            ["record", 1, False, [], {"a": msgpack.ExtType(5, b"")}, "primary", False, {}]
        ),
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdf\x7f\xff\xff\xff\x01\x02",
    ],
)
def test_bombs_are_refused(data) -> None:
    with pytest.raises(ProtocolError):
        decode(data)


def test_calls_in_the_background_are_understood() -> None:
    call = Call("stage", "move_abs", [1.0])
    assert decode(pack(["start", 3, False, "stage", "move_abs", [1.0]])) == Started(3, False, call)
    assert decode(pack(["join", 4, False, 0.5])) == Joined(4, False, 0.5)


@given(st.lists(plains, max_size=5), st.integers(1, 40))
def test_frames_are_cut_wherever_the_bytes_are_split(messages, size) -> None:
    stream = b"".join(map(frame, messages))
    buffer = FrameBuffer()
    found = []
    for start in range(0, len(stream), size):
        found += buffer.feed(stream[start : start + size])
    assert [unpack(data) for data in found] == messages


def test_a_frame_beyond_the_limit_is_refused_before_it_arrives() -> None:
    with pytest.raises(ProtocolError, match="more than 100"):
        list(FrameBuffer(100).feed(struct.pack("<I", 101)))


def test_a_refusal_carries_kind_message_and_advice() -> None:
    data = refusal(7, LimitError("too far", advice="go less far"))
    assert unpack(payload(data)) == [7, "error", "limit", "too far", "go less far"]


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", ">i4", "f4", "f8", "c16", "g"])
def test_numeric_arrays_survive_the_crossing(dtype) -> None:
    array = np.arange(6).astype(dtype).reshape(2, 3)
    back = unpack(pack({"a": array}))["a"]
    assert back.shape == (2, 3)
    assert (back == array).all()


def test_arrays_that_are_not_contiguous_or_empty_survive() -> None:
    array = np.arange(12.0).reshape(3, 4)[:, ::2]
    assert (unpack(pack(array)) == array).all()
    assert unpack(pack(np.zeros((0, 3)))).shape == (0, 3)
    assert unpack(pack(np.array(3.0))).shape == ()


@pytest.mark.parametrize(
    "value", [np.array(["a"]), np.array([object()]), {1}, object(), 2**70, "\udcff", b"x".__class__]
)
def test_what_cannot_cross_is_named(value) -> None:
    with pytest.raises(CodecError):
        pack(value)


def _array(dtype: bytes, shape: tuple[int, ...], data: bytes) -> bytes:
    header = struct.pack(f"<B{len(dtype)}sB{len(shape)}Q", len(dtype), dtype, len(shape), *shape)
    return msgpack.packb(msgpack.ExtType(1, header + data))


@pytest.mark.parametrize(
    "data",
    [
        _array(b"|O8", (1,), b"12345678"),
        _array(b"<U1", (1,), b"1234"),
        _array(b"|V8", (1,), b"12345678"),
        _array(b"<f8", (2**40, 2**40), b""),
        _array(b"<f8", (2,), b"12345678"),
        _array(b"<f8", (1,) * 9, b"12345678"),
        _array(b"<f8", (), b""),
        _array(b"f8,f8", (1,), b"1234567812345678"),
        msgpack.packb(msgpack.ExtType(1, b"")),
        msgpack.packb(msgpack.ExtType(1, b"\x03<f8\x02")),
    ],
)
def test_forged_arrays_are_refused(data) -> None:
    with pytest.raises(CodecError):
        unpack(data)


def test_plain_data_is_bounded_in_depth() -> None:
    deep: list = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(CodecError):
        require_plain(deep)


@pytest.mark.parametrize(
    "rest", [[[], [None], ""], [[None], [], ""], [[[1]], [], ""], [[], [[1, 2, 3, 4]], ""]]
)
def test_a_forged_check_is_refused(rest) -> None:
    with pytest.raises(ProtocolError):
        decode(msgpack.packb(["checked", *rest]))


def test_bytes_are_refused_where_they_are_sent_not_taken_for_an_attack() -> None:
    with pytest.raises(CodecError, match="bytes cannot leave the script"):
        encode_request(1, False, Call("stage", "set", ["name", b"abc"]))


def test_a_complex_number_crosses_as_one() -> None:
    assert unpack(pack([1j, np.complex64(2 + 1j)])) == [1j, 2 + 1j]
