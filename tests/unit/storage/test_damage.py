"""Damaged journals: everything intact is recovered, and what is missing is told as it is."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from daq.core import RunOutcome, RunSummary
from daq.storage.files.conversion import convert_journal, discard_journal
from daq.storage.files.directories import Directories
from daq.storage.files.summaries import summarize
from daq.storage.journal.framing import VERSION, file_header
from tests.unit.storage.damaged_journals import (
    START,
    STREAMS,
    Damaged,
    Whole,
    damaged_copies,
    event,
    whole_journal,
    write_journal,
)
from tests.unit.storage.test_storage import storing


def recover(directory: Path, data: bytes, known: RunSummary | None = None) -> RunSummary:
    directories = Directories(directory)
    journal = write_journal(directory, data)
    done = convert_journal(journal, directories, known=known)
    assert done is not None
    discard_journal(journal, Path(done.path))
    return done


def numbers_in(path: str, stream: str) -> list[int]:
    """The events of a stream, each compared with what was recorded."""
    with h5py.File(path) as file:
        if stream not in file["entry"]:
            return []
        group = file["entry"][stream]
        found = (group["stage"][:] * 4).astype(int).tolist()
        for row, number in enumerate(found):
            values = event(stream, number).values
            np.testing.assert_array_equal(group["wave"][row], values["wave"])
            assert group["note"].asstr()[row] == values["note"]
        missing = [
            n
            for first, count in group.attrs.get("missing", ())
            for n in range(first, first + count)
        ]
        assert not set(missing) & set(found)
        assert sorted({*missing, *found}) == list(range(len(missing) + len(found)))
        return found


def check(whole: Whole, damaged: Damaged, done: RunSummary) -> None:
    intact = {stream: damaged.intact(whole, stream) for stream in STREAMS}
    assert {stream: numbers_in(done.path, stream) for stream in STREAMS} == intact
    assert done.events == sum(map(len, intact.values()))
    lost = whole.events - done.events
    told = re.search(r"(\d+) of (\d+) acknowledged events are missing", done.reason)
    assert (int(told[1]), int(told[2]) if told else 0) == (lost, whole.events) if lost else not told
    assert "damaged in" in done.reason
    kept = Path(done.path + ".damaged-journal")
    assert kept.read_bytes() == damaged.data


@pytest.mark.parametrize("stopped", [False, True], ids=["died", "ended"])
def test_every_intact_event_of_a_damaged_journal_is_recovered(tmp_path, stopped):
    whole = whole_journal(stopped=stopped)
    known = replace(summarize(START), points=whole.events)
    for number, damaged in enumerate(damaged_copies(whole, 15, seed=stopped)):
        check(whole, damaged, recover(tmp_path / str(number), damaged.data, known))


@pytest.mark.parametrize("lost", [1, 2])
def test_the_runs_start_is_read_from_any_of_its_copies(tmp_path, lost):
    whole = whole_journal()
    places = tuple((begin, end) for begin, end, *_ in whole.spans[:lost])
    data = bytearray(whole.data)
    for begin, end in places:
        data[begin:end] = bytes(end - begin)
    done = recover(tmp_path, bytes(data))
    assert (done.name, done.user, done.metadata) == ("knife edge", "ada", {"sample": "razor"})
    assert done.events == whole.events
    check(whole, Damaged(bytes(data), places), done)


def test_without_any_start_the_catalogue_says_how_the_run_began(tmp_path):
    whole = whole_journal(repeat_every=1000)
    data = bytearray(whole.data)
    data[16 : whole.spans[1][1]] = bytes(whole.spans[1][1] - 16)
    known = replace(summarize(START), points=whole.events)
    done = recover(tmp_path, bytes(data), known)
    assert (done.name, done.user, done.started_ns) == ("knife edge", "ada", START.started_ns)
    assert done.events == whole.events


def test_without_any_start_and_catalogue_the_events_are_still_recovered(tmp_path):
    whole = whole_journal(repeat_every=1000)
    data = bytearray(whole.data)
    data[16 : whole.spans[1][1]] = bytes(whole.spans[1][1] - 16)
    done = recover(tmp_path, bytes(data))
    assert (done.run_id, done.name, done.events) == ("abc123", "recovered", whole.events)


def test_a_tail_that_is_gone_is_counted_against_what_the_catalogue_had_noted(tmp_path):
    whole = whole_journal()
    *_, last = (begin for begin, _, stream, _ in whole.spans if stream)
    known = replace(summarize(START), points=whole.events)
    done = recover(tmp_path, whole.data[:last], known)
    assert done.events == whole.events - 1
    assert done.reason.endswith(
        "39 points recovered; 1 of 40 acknowledged events are missing: the journal ends before them"
    )


def test_a_record_that_was_never_finished_is_no_damage(tmp_path):
    whole = whole_journal()
    done = recover(tmp_path, whole.data[:-3])
    assert "bytes of an unfinished record cut off" in done.reason
    assert "missing" not in done.reason
    assert not list(tmp_path.rglob("*.damaged-journal"))


async def test_a_damaged_run_is_listed_with_what_is_missing_and_a_path_that_exists(
    tmp_path, caplog
):
    whole = whole_journal(stopped=True)
    data = bytearray(whole.data)
    begin, *_ = whole.spans[20]
    data[begin + 20] ^= 4
    write_journal(tmp_path, bytes(data))
    with caplog.at_level(logging.WARNING):
        async with storing(tmp_path) as storage:
            run = await storage.find_run("abc123")
            described = await storage.describe_run("abc123")
    assert run.outcome is RunOutcome.COMPLETED
    assert run.events == sum(stream.points for stream in described.streams)
    assert run.reason.startswith("the script ended; ")
    assert Path(run.path).exists()
    (kept,) = tmp_path.rglob("*.damaged-journal")
    assert str(kept) in caplog.text
    assert list((tmp_path / "journal").iterdir()) == []


async def test_a_journal_of_a_newer_version_is_left_alone_and_said_to_be_one(tmp_path, caplog):
    data = bytearray(whole_journal().data)
    data[:16] = file_header(VERSION + 1)
    path = write_journal(tmp_path, bytes(data))
    async with storing(tmp_path):
        pass
    assert path.read_bytes() == data
    assert f"version {VERSION + 1}, which a newer daq wrote" in caplog.text
