"""How many may come in: the sentence names the limit, and what ends is counted out."""

from __future__ import annotations

import resource

import pytest

from daq.api.door.admission import Admission, DoorLimits, limits_here

LIMITS = DoorLimits(
    connections=4, connections_of_one=2, kept_for_this_machine=1, calls=3, calls_of_one=2,
    unfinished_bytes=100, unfinished_bytes_of_one=60,
)  # fmt: skip


def test_connections_of_one_and_in_all_are_bounded_and_some_are_kept_for_this_machine():
    door = Admission(LIMITS)
    assert [door.connect("a", near=False) for _ in range(2)] == ["", ""]
    assert "2 connections already, which is the limit for one" in door.connect("a", near=False)
    assert "3 connections already, which is the limit" in door.connect("b", near=False)
    door.disconnect("b")
    assert door.connect("127.0.0.1", near=True) == ""
    for peer in ("a", "a", "a", "127.0.0.1"):
        door.disconnect(peer)
    assert repr(door) == "<Admission: 0 connections, 0 calls, 0 bytes unfinished>"


def test_open_calls_of_one_and_in_all_are_bounded():
    door = Admission(LIMITS)
    assert [door.begin_call("a") for _ in range(2)] == ["", ""]
    assert "2 open calls" in door.begin_call("a")
    assert door.begin_call("b") == ""
    assert "the daemon has 3 open calls" in door.begin_call("c")
    door.end_call("a")
    assert door.begin_call("c") == ""


def test_the_bytes_of_unfinished_requests_are_bounded():
    door = Admission(LIMITS)
    with door.receiving("a", 60) as first, door.receiving("a", 1) as second:
        assert first == ""
        assert second.startswith("your address has 60 bytes of unfinished requests already")
        with door.receiving("b", 50) as third:
            assert "the daemon has 100 bytes" in third
    assert repr(door) == "<Admission: 0 connections, 0 calls, 0 bytes unfinished>"


@pytest.mark.parametrize(
    ("descriptors", "expected", "of_one"), [(256, 32, 16), (1024, 416, 104), (16384, 1024, 256)]
)
def test_connections_leave_descriptors_for_journals_and_scripts(
    monkeypatch, descriptors, expected, of_one
):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, descriptors))
    limits = limits_here(10.0)
    assert (limits.connections, limits.connections_of_one) == (expected, of_one)
    assert limits_here(10.0, 20).connections == 20
