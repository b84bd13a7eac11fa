"""A column may change its mind: one stream, every event in it, each value what was recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from daq.core import Column, Event, EventBlock, RunOutcome, RunStart, RunStop
from daq.core.columns import concatenated, joined, rows_missing
from daq.core.values import recordable
from daq.storage.files import hdf5_stream
from daq.storage.files.conversion import Conversion
from daq.storage.files.directories import Directories
from daq.storage.files.hdf5_columns import GrowingDataset
from daq.storage.files.hdf5_reader import describe_file, read_block
from daq.storage.files.journal_outline import describe_journal
from daq.storage.journal import records
from daq.storage.journal.encoder import RunEncoder
from daq.storage.journal.framing import encode_record
from daq.storage.journal.journal import JournalWriter
from daq.storage.journal.records import Kind
from daq.storage.journal_reader import JournalBlocks

Row = dict[str, Any]


def column_of(name: str, value: Any) -> Column:
    if value is None:
        return Column(name, "", "<f8", optional=True)
    if isinstance(value, str):
        return Column(name, "", "O")
    array = np.asarray(value)
    return Column(name, "", array.dtype.str, array.shape)


def as_event(number: int, row: Row) -> Event:
    given_values = {name: recordable(value, name) for name, value in row.items()}
    columns = tuple(column_of(name, value) for name, value in given_values.items())
    return Event("primary", number, 1000 + number, columns, given_values, {})


class Stored:
    """What a journal and the file made of it hold of one stream."""

    def __init__(self, directory: Path, rows: list[Row]) -> None:
        directories = Directories(directory)
        directories.create()
        journal = directories.journal("run")
        writer, encoder = JournalWriter(journal), RunEncoder()
        start = RunStart("run", "widening", 1)
        writer.write(encode_record(Kind.START, records.encode_start(start)))
        for number, row in enumerate(rows):
            writer.write(encoder.event(as_event(number, row)))
        writer.close()
        ((self.columns, self.points),) = encoder.streams().values()
        _, _, outline = describe_journal(journal)
        assert [(s.columns, s.points) for s in outline] == [(self.columns, self.points)]
        with JournalBlocks(journal, journal, "primary", self.columns) as blocks:
            self.journal = whole(list(iter(lambda: blocks.next(None), None)))
        conversion = Conversion(journal, directories)
        while conversion.advance():
            pass
        self.path = Path(conversion.finish(RunStop(RunOutcome.COMPLETED, 9)).path)
        (stream,) = describe_file(self.path)[2]
        assert stream.points == len(rows)
        found, first = [], 0
        while (block := read_block(self.path, "primary", (), first)) is not None:
            found.append(block)
            first += len(block.timestamps)
        self.file = whole(found)


def whole(blocks: list[EventBlock]) -> EventBlock:
    first = blocks[0]
    values = {c.name: concatenated([b.values[c.name] for b in blocks]) for c in first.columns}
    times = np.concatenate([b.timestamps for b in blocks])
    return EventBlock(first.stream, 0, first.columns, times, values)


def value_at(block: EventBlock, homes: list[str], row: int) -> Any:
    """The value in that event, in whichever of the columns it was put; None for missing."""
    found = [
        block.values[c][row] for c in homes if not rows_missing(block.values[c][row : row + 1])
    ]
    assert len(found) <= 1
    return found[0] if found else None


def check(stored: Stored, rows: list[Row]) -> None:
    for form in (stored.journal, stored.file):
        assert form.columns == stored.columns
        assert form.timestamps.tolist() == [1000 + i for i in range(len(rows))]
        homes: dict[str, list[str]] = {}
        for column in form.values:
            homes.setdefault(column.split(" (")[0], []).append(column)
        for number, row in enumerate(rows):
            for name in homes:
                wanted = recordable(row.get(name), name)
                found = value_at(form, homes[name], number)
                if wanted is None or isinstance(wanted, str):
                    assert found == wanted
                else:
                    assert np.shape(found) == np.shape(wanted)
                    np.testing.assert_array_equal(found, wanted)
                    if np.asarray(wanted).dtype.kind in "iu":  # each digit of it
                        assert np.all(np.real(found).astype(np.asarray(wanted).dtype) == wanted)


CHANGES: dict[str, list[Row]] = {
    "int then float": [{"x": 0}, {"x": 0.5}, {"x": 1}],
    "float then int": [{"x": 0.5}, {"x": 1}],
    "bool then int": [{"x": True}, {"x": 2}],
    "bool then float": [{"x": False}, {"x": 2.5}],
    "float then complex": [{"x": 1.0}, {"x": 2j}],
    "narrow then wide": [{"x": np.uint8(255)}, {"x": np.uint16(65535)}, {"x": np.int8(-1)}],
    "text then number": [{"x": "off"}, {"x": 3.5}, {"x": "on"}],
    "number then text": [{"x": 3}, {"x": "off"}, {"x": 4.5}],
    "a long integer among floats": [{"x": 0.5}, {"x": 2**53 + 1}, {"x": 1}],
    "a long integer, then floats": [{"x": 2**53 + 1}, {"x": 0.5}],
    "an unsigned integer beside a signed": [{"x": np.uint64(2**63)}, {"x": -1}],
    "missing among integers": [{"x": 1}, {"x": None}, {"x": 3}],
    "missing among long integers": [{"x": 1}, {"x": None}, {"x": 2**60 + 1}],
    "missing among booleans": [{"x": True}, {"x": None}, {"x": False}],
    "missing among texts": [{"x": "a"}, {"x": None}, {"x": ""}],
    "missing among complex": [{"x": 1j}, {"x": None}],
    "missing among waveforms": [{"w": np.arange(3)}, {"w": None}, {"w": np.arange(3) + 0.5}],
    "missing first": [{"x": None}, {"x": None}, {"x": "text"}, {"x": None}],
    "missing for ever": [{"x": None}, {"x": None}],
    "a column that comes late": [{"x": 1}, {"x": 2, "y": "late", "w": np.arange(2)}],
    "a column that goes": [{"x": 1, "y": 2.5}, {"x": 2}],
    "one after the other": [{"x": 1}, {"y": 1.5}, {"x": 2}, {"y": 2.5}],
    "waveforms of other lengths": [{"w": np.zeros(n)} for n in (5, 6, 5, 7)],
    "no peaks, then some": [{"w": np.zeros(0)}, {"w": np.ones(2)}, {"w": None}, {"w": np.ones(1)}],
    "waveforms of other types": [{"w": np.arange(3, dtype="u1")}, {"w": np.array([0.5, 1.5])}],
    "images of other sizes": [{"i": np.full((h, w), h, "u2")} for h, w in ((2, 3), (4, 3), (4, 5))],
    "images of one width": [{"i": np.ones((h, 3))} for h in (2, 4)],
    "a number, then a waveform": [{"w": 1.0}, {"w": np.arange(3.0)}, {"w": np.ones((2, 2))}],
    "complex waveforms": [{"w": np.array([1j])}, {"w": np.array([1.0, 2.0])}],
    "a name that looks like ours": [{"x": 1}, {"x": "a"}, {"x": 1, "x (text)": 5.5}],
    "large, then larger": [{"i": np.ones((300, 300))}, {"i": np.ones((310, 300))}],
    "large, missing in between": [
        {"i": np.ones((300, 300))},
        {"x": 1},
        {"i": np.zeros((300, 300))},
    ],
}


@pytest.mark.parametrize("apart", [hdf5_stream.MOST_APART, 0], ids=["apart", "side by side"])
@pytest.mark.parametrize("rows", CHANGES.values(), ids=CHANGES)
def test_a_stream_that_changes_holds_every_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[Row], apart: int
) -> None:
    monkeypatch.setattr(hdf5_stream, "MOST_APART", apart)
    if "x (text)" in rows[-1]:
        assert Stored(tmp_path, rows).file.values["x (text)_"][-1] == 5.5
        return
    check(Stored(tmp_path, rows), rows)


def test_missing_numbers_are_nan_for_whoever_reads_the_file_plainly(tmp_path: Path) -> None:
    import h5py

    rows: list[Row] = [{"n": 1, "big": 2**60}, {"n": None, "big": None}, {"n": 3, "big": 1}]
    stored = Stored(tmp_path, rows)
    with h5py.File(stored.path) as file:
        group = file["entry/primary"]
        np.testing.assert_array_equal(group["n"][:], [1.0, np.nan, 3.0])
        assert group["big"][:].tolist() == [2**60, 0, 1]
        assert group["valid/big"][:].tolist() == group["valid/n"][:].tolist() == [1, 0, 1]
        assert group["n"].attrs["dtype"] == "<i8"


def test_what_is_kept_apart_says_why(tmp_path: Path) -> None:
    stored = Stored(tmp_path, [{"x": 1}, {"x": "off"}])
    apart = {column.name: column.note for column in stored.file.columns if column.note}
    assert apart == {"x (text)": "values of 'x' that do not fit beside the others: text"}


@st.composite
def values(draw: st.DrawFn) -> Any:
    dtype = draw(st.sampled_from(["<f8", "<i8", "<u8", "|u1", "<i2", "<f4", "|b1", "<c16", ">i4"]))
    kind = draw(st.sampled_from(["number", "text", "nothing", "wave", "image"]))
    if kind == "text":
        return draw(st.text(max_size=5)).encode(errors="replace").decode().replace("\0", "")
    if kind == "nothing":
        return None
    lengths = st.integers(0, 4)
    shape = {"number": (), "wave": (draw(lengths),), "image": (draw(lengths), draw(lengths))}[kind]
    return draw(hnp.arrays(dtype, shape))[()]


@settings(max_examples=20)
@given(
    st.lists(st.dictionaries(st.sampled_from("xyz"), values(), min_size=1), min_size=1, max_size=6),
    st.sampled_from([hdf5_stream.MOST_APART, 1, 0]),
)
def test_whatever_comes_in_whatever_order_is_all_there(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], apart: int
) -> None:
    with mock.patch.object(hdf5_stream, "MOST_APART", apart):
        check(Stored(tmp_path_factory.mktemp("wide"), rows), rows)


def test_of_what_a_script_gives_a_number_without_units_is_in_those_of_the_others() -> None:
    bare, with_units = Column("w", "", "<f8"), Column("w", "nm", "<f8")
    for pair in ((bare, with_units), (with_units, bare)):
        assert joined(*pair, exact=True) == with_units
    assert joined(with_units, Column("w", "mm", "<f8"), exact=True) is None
    read = Column("w", "nm", "<f8", source="laser")
    assert joined(read, replace(read, units=""), exact=True) is None


@pytest.mark.parametrize(
    "shape", [(0,), (0, 0), (3, 80_000, 0), (240_000, 0), (0, 240_000), (200, 0, 200, 0)], ids=str
)
def test_a_value_that_is_empty_makes_no_file_impossible(tmp_path: Path, shape: tuple) -> None:
    """Whatever else its lengths are; longer ones may follow."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        column = GrowingDataset(file, "x", "<f8", shape)
        column.append(np.zeros((2, *shape)))
        column.append_ragged([np.full(tuple(min(n or 2, 3) for n in shape), 7.0), None])
        column.finish()
        assert column.dataset.shape[0] == 4
        corner = (2, *(slice(min(n or 2, 3)) for n in shape))
        assert (column.dataset[corner] == 7.0).all()
        assert column.dataset[(0, *(slice(1) for _ in shape))].size == 1
        chunk = np.prod(column.dataset.chunks, dtype=float) * 8
        assert chunk <= 1 << 20
