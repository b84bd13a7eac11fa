"""How many fields a request has is told from its bytes, in a time that the limit bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.wire.generated import daq as pb
from daq.wire.request_bounds import MAX_FIELDS, require_few_fields


def many(count: int) -> dict[str, str]:
    return {str(number): "x" for number in range(count)}


@pytest.mark.parametrize(
    ("request_type", "data"),
    [
        (pb.UploadRequest, bytes(pb.UploadRequest("x", metadata=many(MAX_FIELDS // 3 + 1)))),
        (
            pb.StartRequest,
            bytes(pb.StartRequest("x", limits=dict.fromkeys(many(MAX_FIELDS), 1.0))),
        ),
        (pb.UploadRequest, b"\x1a\x06" + b"\x0a\x00" * 3 + b"\x1a\x02\x0a\x00" * MAX_FIELDS),
        (pb.DaemonInfoRequest, b"\xf8\x3f\x01" * (MAX_FIELDS + 1)),
        (pb.DaemonInfoRequest, b"\x0a\x00" * (MAX_FIELDS + 1)),
        (pb.MeasurementRequest, bytes(pb.MeasurementRequest(list(many(MAX_FIELDS + 1))))),
        (pb.UploadRequest, b"\x1a\xff\xff\x7f" + b"\x0a\x00" * (MAX_FIELDS + 1)),
    ],
    ids=["map", "numbers", "fields of an entry", "unknown", "empty", "list", "one large entry"],
)
def test_a_request_of_too_many_parts_is_refused(request_type, data):
    with pytest.raises(OverflowError, match=f"more than {MAX_FIELDS} entries"):
        require_few_fields(data, request_type)


@pytest.mark.parametrize(
    "request_",
    [
        pb.UploadRequest("x = 1\n" * 100_000, "name", many(MAX_FIELDS // 3 - 2)),
        pb.MeasurementRequest([f"channel{n}" for n in range(MAX_FIELDS)]),
        pb.MoveRequest("stage", 1.5),
        pb.DaemonInfoRequest(),
    ],
)
def test_what_a_request_may_hold_passes(request_):
    require_few_fields(bytes(request_), type(request_))


@given(st.binary(max_size=300), st.sampled_from([pb.UploadRequest, pb.StartRequest, object]))
def test_bytes_that_are_no_message_are_left_to_the_decoder(data, request_type):
    require_few_fields(data, request_type)
