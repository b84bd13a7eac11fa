"""Frames come out whole, however the bytes came in."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.transport import Block, FixedLength, IdleGap, Terminated, UntilRefused


def frames_of(framing, pieces):
    buffer, frames = bytearray(), []
    for piece in pieces:
        buffer += piece
        while (frame := framing.split(buffer)) is not None:
            frames.append(frame)
    return frames, bytes(buffer)


cuts = st.lists(st.integers(0, 10_000))


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@given(
    st.lists(st.binary(max_size=20).filter(lambda b: b"\n" not in b and b"\r" not in b)),
    st.sampled_from([b"\n", b"\r\n"]),
    st.lists(st.integers(0, 10_000)),
)
def test_lines_survive_any_cutting(lines, end, places):
    data = b"".join(line + end for line in lines)
    assert frames_of(Terminated(b"\n"), cut(data, places)) == (lines, b"")


@given(st.binary(max_size=200), st.integers(1, 9), st.lists(st.integers(0, 10_000)))
def test_fixed_lengths_survive_any_cutting(data, length, places):
    frames, rest = frames_of(FixedLength(length), cut(data, places))
    assert b"".join(frames) + rest == data
    assert all(len(frame) == length for frame in frames)
    assert len(rest) < length


def test_a_frame_may_be_empty_and_a_rest_waits():
    assert frames_of(Terminated(b";"), [b"a;;b"]) == ([b"a", b""], b"b")


def test_silence_alone_ends_a_frame_without_marks():
    assert frames_of(IdleGap(0.1), [b"abc", b"def"]) == ([], b"abcdef")
    assert IdleGap(0.1).idle_s == 0.1
    assert Terminated().idle_s is None is FixedLength(1).idle_s


@pytest.mark.parametrize(
    "wrong", [lambda: Terminated(b""), lambda: FixedLength(0), lambda: IdleGap(0.0)]
)
def test_framing_without_meaning_is_refused(wrong):
    with pytest.raises(ValueError, match=r"at least|takes some time"):
        wrong()


@given(st.lists(st.sampled_from([(b"1.5", b"OK"), (b"", b"OK"), (b"no such", b"ERROR")])), cuts)
def test_of_several_ends_the_one_that_came_stays(answers, places):
    framing = Terminated(b"OK\r\n", (b"ERROR\r\n",))
    data = b"".join(text + end + b"\r\n" for text, end in answers)
    found, rest = frames_of(framing, cut(data, places))
    assert (found, rest) == ([text + end for text, end in answers], b"")


@given(
    st.lists(st.binary(min_size=1, max_size=9).filter(lambda b: not set(b"\r\n") & set(b))),
    st.sampled_from([b"\r", b"\n", b"\r\n", b"\n\r"]),
    cuts,
)
def test_any_line_end_ends_a_line_once(lines, end, places):
    data = b"".join(line + end for line in lines)
    found, rest = frames_of(Terminated(b"\r", (b"\n",)), cut(data, places))
    assert (found, rest.strip(b"\r\n")) == (lines, b"")


@given(st.binary(max_size=300), st.integers(0, 3), cuts)
def test_a_block_may_hold_any_bytes(data, zeros, places):
    count = f"{len(data):0{len(str(len(data))) + zeros}d}"
    block = f"#{len(count)}{count}".encode() + data
    found, rest = frames_of(Block(Terminated()), cut(block + b"\n" + block + b"\r\n", places))
    assert (found, rest) == ([block, block], b"")


@pytest.mark.parametrize(
    "line",
    [b"-100,no data", b"", b"#0abc", b"#x12", b"#3ab4..."],
    ids=["an error", "nothing", "of indefinite length", "no digit", "no count"],
)
def test_what_is_no_block_ends_as_a_line_does(line):
    assert frames_of(Block(Terminated()), [line + b"\n"])[0] == ([line] if line else [])


def test_a_refusal_ends_by_silence_where_an_answer_has_an_end():
    framing = UntilRefused(Terminated(b"> "), lambda came: came.startswith(b"%SYS-E"))
    assert framing.idle_s is not None
    buffer = bytearray(b"1.5 ")
    assert framing.split(buffer) is None
    assert framing.after_silence(buffer) is None
    buffer = bytearray(b"%SYS-E, no such command")
    assert framing.after_silence(buffer) == b"%SYS-E, no such command"
    assert frames_of(framing, [b"1.5> "]) == ([b"1.5"], b"")
