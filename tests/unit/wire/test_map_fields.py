"""Maps that are encoded by hand say the same as those that betterproto encodes."""

from __future__ import annotations

import inspect

import betterproto
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from daq.wire.generated import daq as pb
from daq.wire.map_fields import encode_with_maps

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
TEXTS = st.dictionaries(TEXT, TEXT, max_size=4)
NUMBERS = st.dictionaries(TEXT, st.floats(allow_nan=False), max_size=4)


@given(version=TEXT, versions=TEXTS, confinement=TEXTS, counters=NUMBERS)
def test_what_is_encoded_decodes_to_the_same(version, versions, confinement, counters):
    message = pb.DaemonInfoResponse(
        version=version, versions=versions, confinement=confinement, counters=counters
    )
    encoded = encode_with_maps(message)
    assert message.versions == versions  # as it was before
    assert pb.DaemonInfoResponse.FromString(encoded) == message
    assert len(encoded) >= len(bytes(message))


def test_messages_without_such_maps_and_those_of_others_are_left_to_their_library():
    request = pb.MoveRequest("stage", 1.5)
    assert encode_with_maps(request) == bytes(request)
    struct = Struct()
    struct["a"] = 1
    assert encode_with_maps(struct) == struct.SerializeToString()


def test_betterproto_still_tells_the_types_of_a_map():
    found = pb.DaemonInfoResponse._betterproto.meta_by_field_name
    assert found["counters"].map_types == (betterproto.TYPE_STRING, betterproto.TYPE_DOUBLE)
    assert found["versions"].map_types == (betterproto.TYPE_STRING, betterproto.TYPE_STRING)
    assert "_serialize_single(1, meta.map_types[0], k)" in inspect.getsource(betterproto.Message)
