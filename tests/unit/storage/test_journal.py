"""The journal's framing: what was written comes back, whatever happens to the file's end."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.core import StorageError
from daq.storage.journal.journal import (
    JournalReader,
    JournalWriter,
    encode_record,
    file_header,
    scan,
)

RECORDS = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=200)), max_size=20)


def encode_all(records: list[tuple[int, bytes]]) -> bytes:
    return b"".join(bytes(b) for kind, data in records for b in encode_record(kind, data))


def decoded(data: bytes) -> list[tuple[int, bytes]]:
    return [(r.kind, bytes(r.payload)) for r in scan(memoryview(data)).records]


def read_all(path: Path, budget: int = 1 << 20) -> tuple[list[tuple[int, bytes]], int]:
    reader = JournalReader(path)
    found: list[tuple[int, bytes]] = []
    while records := reader.read(budget=budget):
        found += [(r.kind, bytes(r.payload)) for r in records]
    torn = reader.torn
    reader.close()
    return found, torn


@given(RECORDS)
def test_records_come_back_as_they_were_written(records: list[tuple[int, bytes]]) -> None:
    data = encode_all(records)
    assert decoded(data) == records
    assert scan(memoryview(data)).consumed == len(data)


@given(RECORDS, st.data())
def test_a_file_cut_anywhere_gives_the_records_before_the_cut(
    records: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    whole = encode_all(records)
    cut = data.draw(st.integers(0, len(whole)))
    found = scan(memoryview(whole[:cut]))
    kept = [(r.kind, bytes(r.payload)) for r in found.records]
    assert kept == records[: len(kept)]
    assert encode_all(kept) == whole[: found.consumed]
    assert len(kept) == len(records) or cut < len(encode_all(records[: len(kept) + 1]))


@given(RECORDS.filter(bool), st.data())
def test_a_flipped_byte_ends_the_journal_at_the_record_before(
    records: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    whole = bytearray(encode_all(records))
    # The last three bytes of a frame are padding, which says nothing.
    meaningful = []
    offset = 0
    for number, (_, payload) in enumerate(records):
        size = 12 + len(payload)
        meaningful += [(number, offset + i) for i in range(size) if i not in (9, 10, 11)]
        offset += size
    number, position = data.draw(st.sampled_from(meaningful))
    whole[position] ^= data.draw(st.integers(1, 255))
    assert decoded(bytes(whole)) == records[:number]


def test_parts_of_a_record_are_joined_without_a_copy() -> None:
    part = memoryview(bytearray(b"frame"))
    buffers = encode_record(7, b"head", part)
    assert buffers[2] is part
    assert decoded(b"".join(map(bytes, buffers))) == [(7, b"headframe")]


@pytest.mark.parametrize("budget", [1, 30, 1000, 1 << 20])
def test_a_record_larger_than_the_budget_is_read_whole(tmp_path: Path, budget: int) -> None:
    writer = JournalWriter(tmp_path / "run.journal")
    records = [(1, b"a" * 10), (2, b"b" * 5000), (3, b""), (4, b"c" * 40)]
    for kind, data in records:
        writer.write(encode_record(kind, data))
    writer.close()
    assert read_all(writer.path, budget) == (records, 0)


def test_a_torn_tail_is_cut_off_and_counted(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "run.journal")
    writer.write(encode_record(1, b"whole"))
    writer.close()
    with writer.path.open("ab") as file:
        file.write(encode_all([(2, b"torn")])[:-1])
    assert read_all(writer.path) == ([(1, b"whole")], 15)


def test_a_reader_sees_what_was_acknowledged_after_it_reached_the_end(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "run.journal")
    reader = JournalReader(writer.path)
    assert reader.read() == []
    writer.write(encode_record(1, b"late"))
    assert [bytes(r.payload) for r in reader.read()] == [b"late"]
    reader.close()
    writer.close()


def test_nothing_behind_the_given_end_is_read(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "run.journal")
    writer.write(encode_record(1, b"before"))
    end = writer.size
    writer.write(encode_record(1, b"after"))
    reader = JournalReader(writer.path)
    assert [bytes(r.payload) for r in reader.read(end)] == [b"before"]
    assert reader.read(end) == []
    reader.close()
    writer.close()


def test_a_failed_write_is_truncated_away_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JournalWriter(tmp_path / "run.journal")
    writer.write(encode_record(1, b"acknowledged"))
    real = os.pwritev

    def full_disk(fd: int, buffers: list[bytes], offset: int) -> int:
        if offset > writer.size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, [b"".join(buffers)[:5]], offset)

    monkeypatch.setattr(os, "pwritev", full_disk)
    with pytest.raises(StorageError, match=r"run\.journal.*No space left"):
        writer.write(encode_record(1, b"too much"))
    monkeypatch.undo()
    assert writer.path.stat().st_size == writer.size
    writer.write(encode_record(1, b"room again"))
    writer.close()
    assert read_all(writer.path) == ([(1, b"acknowledged"), (1, b"room again")], 0)


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = JournalWriter(tmp_path / "run.journal")
    real = os.pwritev
    monkeypatch.setattr(
        os, "pwritev", lambda fd, buffers, offset: real(fd, [b"".join(buffers)[:3]], offset)
    )
    writer.write(encode_record(1, b"in", b" small ", b"bites"))
    writer.close()
    assert read_all(writer.path) == ([(1, b"in small bites")], 0)


def test_sync_makes_it_clean(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "run.journal")
    assert writer.dirty
    writer.sync()
    assert not writer.dirty
    writer.close()


def test_a_journal_is_never_overwritten(tmp_path: Path) -> None:
    JournalWriter(tmp_path / "run.journal").close()
    with pytest.raises(StorageError, match="cannot be created: File exists"):
        JournalWriter(tmp_path / "run.journal")


@pytest.mark.parametrize("content", [b"", b"DAQ", b"something else entirely", file_header()[:-1]])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(StorageError, match="not a journal of version 1"):
        JournalReader(path)


def test_a_write_of_more_parts_than_the_kernel_takes_at_once_is_one_write(tmp_path: Path) -> None:
    """A moment of a thousand channels is some thousand buffers; Linux takes 1024 a call."""
    writer = JournalWriter(tmp_path / "j")
    records = [encode_record(7, b"head", str(number).encode()) for number in range(1500)]
    writer.write([part for record in records for part in record])
    reader = JournalReader(tmp_path / "j")
    assert [bytes(r.payload) for r in reader.read()] == [
        f"head{number}".encode() for number in range(1500)
    ]
    reader.close()
    writer.close()


def test_a_journal_that_was_deleted_takes_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "gone.journal"
    writer = JournalWriter(path)
    writer.write(encode_record(1, b"kept"))
    writer.sync()
    path.unlink()
    writer.write(encode_record(1, b"lost"))
    with pytest.raises(StorageError, match="was deleted while its run is open") as caught:
        writer.sync()
    assert "leave the storage directory alone" in caught.value.advice
    writer.close()


def test_the_advice_fits_what_went_wrong(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be created") as caught:
        JournalWriter(tmp_path / "nowhere" / "x.journal")
    assert "deleted, moved or unmounted" in caught.value.advice
