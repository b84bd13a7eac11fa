from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daq.wire.bulk_codec import BULK_BYTES, BulkCodec, encoded, walk
from daq.wire.generated import daq as pb

few = settings(deadline=None, max_examples=50)
CODEC = BulkCodec()
sizes = st.sampled_from([0, 1, BULK_BYTES - 1, BULK_BYTES, 3 * BULK_BYTES])


@few
@given(sizes, st.integers(0, 2**63), st.integers(0, 2**31))
def test_a_batch_comes_back_whatever_its_size(size, first, rows):
    batch = pb.RunBatch(b"\x0a" * size, first, rows)
    encoded = CODEC.encode(batch, pb.RunBatch)
    assert CODEC.decode(encoded, pb.RunBatch) == batch
    assert batch.ipc == b"\x0a" * size  # encoding leaves the message as it was


@few
@given(sizes)
def test_both_ways_around_betterproto_give_the_same_message(size):
    point = pb.DataPoint(channel="camera", value=1.5, shape=[size], dtype="|u1", data=b"x" * size)
    assert pb.DataPoint.FromString(CODEC.encode(point, pb.DataPoint)) == point
    assert CODEC.decode(bytes(point), pb.DataPoint) == point


def test_a_frame_keeps_the_fields_on_both_sides_of_its_data():
    frame = pb.FrameData(
        device_id="camera",
        width=64,
        data=bytes(range(256)) * 64,
        frame_number=9,
        metadata={"dtype": "<u2"},
        metrics=pb.StreamingMetrics(current_fps=30.0),
    )
    for data in (CODEC.encode(frame, pb.FrameData), bytes(frame)):
        assert CODEC.decode(data, pb.FrameData) == frame


def test_the_last_of_two_payloads_counts_as_protobuf_says():
    twice = bytes(pb.RunBatch(b"a" * BULK_BYTES)) + bytes(pb.RunBatch(b"b" * BULK_BYTES))
    assert CODEC.decode(twice, pb.RunBatch).ipc == b"b" * BULK_BYTES


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"\x0a\x05ab", "cut short"),  # two of five bytes
        (b"\x0a", "cut short"),
        (b"\x80", "cut short"),
        (b"\xff" * 11, "64 bits"),
        (b"\x08\x01", "wire type 0"),  # a number where text is declared
        (b"\x03\x01", "number 0"),
        (b"\x0f", "no wire type 7"),
        (b"\x09\x01", "cut short"),
    ],
)
def test_what_betterproto_would_swallow_is_refused(data, complaint):
    with pytest.raises(ValueError, match=complaint):
        CODEC.decode(data, pb.StartRequest)


@few
@given(st.binary(max_size=40))
@example(b"\x0a\x02ab\x10\x01")
def test_garbage_is_a_value_error_or_a_message_never_a_crash(data):
    try:
        message = CODEC.decode(data, pb.RunBatch)
    except (ValueError, TypeError, EOFError):
        return
    assert isinstance(message, pb.RunBatch)


def test_fields_that_are_not_known_yet_are_passed_over():
    newer = bytes(pb.RunBatch(b"x", 1, 2)) + b"\xfa\x01\x03abc"
    assert CODEC.decode(newer, pb.RunBatch).rows == 2


def test_packed_and_plain_numbers_are_both_fine():
    plain = b"\xa0\x03\x02" + b"\xa0\x03\x03"  # field 52, one by one
    packed = b"\xa2\x03\x02\x02\x03"
    assert CODEC.decode(plain, pb.DataPoint).shape == [2, 3]
    assert CODEC.decode(packed, pb.DataPoint).shape == [2, 3]


def test_a_message_of_the_wrong_type_is_not_sent():
    with pytest.raises(TypeError, match="RunBatch expected, not DataPoint"):
        CODEC.encode(pb.DataPoint(), pb.RunBatch)


def test_a_walk_tells_where_each_field_lies():
    (name, user) = walk(bytes(pb.StartRequest(script_id="abc", user="me")))
    assert (name.number, name.start, name.value, name.end) == (1, 0, 2, 5)
    assert user.number == 50


def test_a_message_that_was_encoded_in_a_thread_is_sent_as_it_is():
    message = pb.Document("start", "{}")
    assert BulkCodec().encode(encoded(message), pb.Document) == bytes(message)
    with pytest.raises(TypeError):
        BulkCodec().encode(encoded(message), pb.RunBatch)
