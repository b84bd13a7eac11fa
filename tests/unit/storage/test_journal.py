"""The journal's framing: what was written comes back, whatever happens to the file's end."""

from __future__ import annotations

import errno
import os
import struct
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.core import StorageError
from daq.storage.journal import journal
from daq.storage.journal.framing import VERSION, encode_record, file_header, scan
from daq.storage.journal.journal import JournalReader, JournalWriter

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
def test_a_flipped_byte_costs_its_own_record_and_no_other(
    records: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    whole = bytearray(encode_all(records))
    position = data.draw(st.integers(0, len(whole) - 1))
    whole[position] ^= data.draw(st.integers(1, 255))
    ends = [len(encode_all(records[: n + 1])) for n in range(len(records))]
    hit = next(number for number, end in enumerate(ends) if position < end)
    with TemporaryDirectory() as directory:
        path = Path(directory, "run.journal")
        path.write_bytes(file_header() + whole)
        found, torn, damages = read_damaged(path)
    assert found == records[:hit] + records[hit + 1 :]
    begin = 16 + ends[hit] - len(encode_all(records[hit : hit + 1]))
    assert (torn, damages) == (0, [(begin, 16 + ends[hit] - begin)])


@given(RECORDS.filter(bool), st.data())
def test_a_stretch_that_is_overwritten_costs_the_records_that_it_touches(
    records: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    whole = encode_all(records)
    begin = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(begin + 1, len(whole)))
    ends = [len(encode_all(records[: n + 1])) for n in range(len(records))]
    untouched = [
        record
        for record, first, last in zip(records, [0, *ends], ends, strict=False)
        if last <= begin or first >= end
    ]
    with TemporaryDirectory() as directory:
        path = Path(directory, "run.journal")
        junk = bytes(byte ^ 0x5A for byte in whole[begin:end])
        path.write_bytes(file_header() + whole[:begin] + junk + whole[end:])
        found, _, damages = read_damaged(path)
    assert found == untouched
    assert sum(size for _, size in damages) >= end - begin


def test_what_lies_inside_of_a_damaged_payload_is_never_taken_for_a_record(tmp_path: Path) -> None:
    inner = encode_all([(3, b"not a record of this journal")])
    whole = bytearray(encode_all([(1, b"first"), (3, b"x" + inner), (3, b"last")]))
    whole[len(encode_all([(1, b"first")])) + 16] ^= 1
    path = tmp_path / "run.journal"
    path.write_bytes(file_header() + whole)
    found, _, _ = read_damaged(path)
    assert found == [(1, b"first"), (3, b"last")]


@pytest.mark.parametrize("position", range(16))
def test_a_damaged_header_costs_nothing(tmp_path: Path, position: int) -> None:
    header = bytearray(file_header())
    header[position] ^= 0x10
    path = tmp_path / "run.journal"
    path.write_bytes(header + encode_all([(1, b"first"), (2, b"last")]))
    assert read_damaged(path) == ([(1, b"first"), (2, b"last")], 0, [(0, 16)])


def test_a_newer_journal_is_refused_by_name_and_version(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    path.write_bytes(file_header(VERSION + 1) + encode_all([(1, b"first")]))
    with pytest.raises(StorageError, match=rf"run\.journal.*version {VERSION + 1}.*newer daq"):
        JournalReader(path)


@pytest.mark.parametrize("budget", [40, 1 << 20])
def test_damage_that_is_longer_than_what_is_read_at_once_is_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    monkeypatch.setattr(journal, "_READ_BYTES", 64)
    path = tmp_path / "run.journal"
    records = [(1, b"first"), (3, b"a" * 300), (3, b"b" * 40), (2, b"last")]
    parts = [encode_all([record]) for record in records]
    path.write_bytes(file_header() + parts[0] + bytes(len(parts[1])) + parts[2] + parts[3])
    assert read_damaged(path, budget) == (
        [records[0], *records[2:]],
        0,
        [(16 + len(parts[0]), len(parts[1]))],
    )


@pytest.mark.parametrize("damaged", range(4))
def test_a_journal_of_version_1_is_read_on_behind_its_damage(tmp_path: Path, damaged: int) -> None:
    """It had no marks: a head is what begins a record whose checksum is right."""
    records = [(n, bytes([n]) * 50 + (1).to_bytes(8, "little")) for n in (1, 2, 3, 3)]
    whole = [encode_1(*record) for record in records]
    for position in range(9):  # behind them is padding
        broken = bytearray(whole[damaged])
        broken[position] ^= 0x41
        path = tmp_path / "run.journal"
        path.write_bytes(
            file_header(1) + b"".join([*whole[:damaged], broken, *whole[damaged + 1 :]])
        )
        found, _, _ = read_damaged(path)
        assert found == records[:damaged] + records[damaged + 1 :], position


def encode_1(kind: int, payload: bytes) -> bytes:
    crc = zlib.crc32(payload, zlib.crc32(struct.pack("<IB", len(payload), kind)))
    return struct.pack("<IIB3x", len(payload), crc, kind) + payload


def read_damaged(
    path: Path, budget: int = 1 << 20
) -> tuple[list[tuple[int, bytes]], int, list[tuple[int, int]]]:
    reader = JournalReader(path)
    found: list[tuple[int, bytes]] = []
    while records := reader.read(budget=budget):
        found += [(r.kind, bytes(r.payload)) for r in records]
    torn, damages = reader.torn, [(damage.offset, damage.size) for damage in reader.damages]
    reader.close()
    return found, torn, damages


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
    assert read_all(writer.path) == ([(1, b"whole")], 19)


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
    with pytest.raises(StorageError, match="this is not a journal"):
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
    with pytest.raises(StorageError, match="was deleted or moved while its run is open") as caught:
        writer.sync()
    assert "leave the storage directory alone" in caught.value.advice
    writer.close()


def test_the_advice_fits_what_went_wrong(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be created") as caught:
        JournalWriter(tmp_path / "nowhere" / "x.journal")
    assert "deleted, moved or unmounted" in caught.value.advice
