"""Frames come out whole, however the bytes came in."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.transport import FixedLength, IdleGap, Terminated


def frames_of(framing, pieces):
    buffer, frames = bytearray(), []
    for piece in pieces:
        buffer += piece
        while (frame := framing.split(buffer)) is not None:
            frames.append(frame)
    return frames, bytes(buffer)


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
