from __future__ import annotations

from urllib.parse import quote

import grpc
import pytest
from grpclib.const import Status
from grpclib.metadata import encode_grpc_message, encode_metadata
from hypothesis import given
from hypothesis import strategies as st

import daq.core
from daq.core import DaqError, LimitError, OfflineError
from daq.wire.status import (
    ADVICE_TRAILER,
    KIND_TRAILER,
    STATUS_OF_KIND,
    from_wire,
    to_status,
)

CLASSES = sorted(
    {
        value
        for value in vars(daq.core).values()
        if isinstance(value, type) and issubclass(value, DaqError)
    },
    key=lambda cls: cls.kind,
)


def test_every_class_of_error_has_a_status():
    assert {cls.kind for cls in CLASSES} == set(STATUS_OF_KIND)


@given(st.sampled_from(CLASSES), st.text(min_size=1, max_size=300), st.text(max_size=300))
def test_an_error_comes_back_as_the_same_class_with_its_message_and_advice(cls, message, advice):
    status, text, metadata = to_status(cls(message, advice=advice))
    error = from_wire(status, text, metadata)
    assert type(error) is cls
    assert error.message == message
    assert error.advice == advice


@given(st.text(), st.text())
def test_whatever_an_error_says_its_trailers_are_legal_and_small(message, advice):
    status, text, metadata = to_status(LimitError(message * 50, advice=advice * 50))
    encode_metadata(metadata)  # raises for what grpclib refuses
    assert all(value.isascii() for value in metadata.values())
    assert len(encode_grpc_message(text)) + sum(map(len, metadata.values())) < 8000
    assert status == "OUT_OF_RANGE"


def test_a_text_that_is_too_long_is_cut_and_says_so():
    _, text, _ = to_status(DaqError("ä" * 5000))
    assert text.startswith("ääää")
    assert text.endswith("more characters)")
    kept = text.partition(" ...")[0]
    assert f"({5000 - len(kept)} more characters)" in text
    assert len(quote(text)) <= 4200


def test_lone_surrogates_do_not_break_the_answer():
    _, text, metadata = to_status(DaqError("bad \udc80 byte", advice="\udfff"))
    assert text == "bad ? byte"
    assert from_wire("INTERNAL", text, metadata).advice == "?"


def test_a_subclass_made_elsewhere_takes_its_parents_status():
    class StuckError(OfflineError):
        kind = "stuck"

    status, _, metadata = to_status(StuckError("it is stuck"))
    assert status == "UNAVAILABLE"
    assert metadata[KIND_TRAILER] == "stuck"


def test_a_kind_from_a_newer_daemon_is_a_plain_error_with_its_advice():
    error = from_wire("INTERNAL", "new", {KIND_TRAILER: "quantum", ADVICE_TRAILER: "wait%20"})
    assert type(error) is DaqError
    assert error.advice == "wait "


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ("UNAVAILABLE", "CommunicationError"),
        ("DEADLINE_EXCEEDED", "TimeoutError"),
        ("CANCELLED", "CommunicationError"),
        ("NOT_FOUND", "NotFoundError"),
        ("INVALID_ARGUMENT", "ConfigurationError"),
        ("UNKNOWN", "DaqError"),
        ("UNIMPLEMENTED", "DaqError"),
    ],
)
def test_a_foreign_error_is_told_by_its_status(status, name):
    assert type(from_wire(status, "m", {})).__name__ == name


def test_an_error_without_a_message_still_says_something():
    assert "UNAVAILABLE" in from_wire("UNAVAILABLE", "", {}).message


def test_the_names_of_statuses_are_those_of_grpc():
    assert {status.name for status in Status} == {code.name for code in grpc.StatusCode}
