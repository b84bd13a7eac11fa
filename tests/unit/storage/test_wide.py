"""Streams of many columns: side by side in the file, and each to be had by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daq.core import RunOutcome, RunStart, RunStop
from daq.storage.files.hdf5_file import RunFile
from daq.storage.files.hdf5_reader import describe_file, read_block
from daq.storage.files.hdf5_stream import MOST_APART
from tests.unit.storage.test_hdf5_file import START, STOP, T0, batch, detector, setpoint
from tests.unit.storage.test_widening import Row, Stored, check

NAMES = [f"m{number}" for number in range(70)]
KINDS: tuple[type, ...] = (float, int, bool, np.float32, np.uint8, complex, str)


@st.composite
def wide_rows(draw: st.DrawFn) -> list[Row]:
    """Some events of many columns; of some columns values are missing, come late or are floats."""
    width = draw(st.integers(MOST_APART - 2, MOST_APART + 8) | st.sampled_from([200, 520]))
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3))
    begin = draw(st.dictionaries(st.integers(0, width - 1), st.integers(1, 3), max_size=5))
    gone = draw(st.sets(st.tuples(st.integers(0, 4), st.integers(0, width - 1)), max_size=5))
    floats = draw(st.dictionaries(st.integers(0, width - 1), st.integers(1, 4), max_size=3))
    rows: list[Row] = []
    for row in range(draw(st.integers(1, 5))):
        values: Row = {}
        for column in range(width):
            value: Any = kinds[column % len(kinds)]((row + column) % 100)
            if floats.get(column, 9) <= row and isinstance(value, int):
                value = row + 0.5
            if (row, column) in gone:
                value = None
            if begin.get(column, 0) <= row:
                values[f"c{column}"] = value
        rows.append(values)
    return rows


@settings(deadline=None, max_examples=12)
@given(wide_rows())
def test_what_was_recorded_is_read_back_around_the_threshold(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row]
) -> None:
    check(Stored(tmp_path_factory.mktemp("wide"), rows), rows)


@pytest.mark.parametrize("width", [MOST_APART, MOST_APART + 1])
def test_plain_h5py_has_every_column_by_its_name(tmp_path: Path, width: int) -> None:
    rows: list[Row] = [{f"c{i}": i + k for i in range(width)} for k in range(3)]
    rows[1]["c5"] = None
    with h5py.File(Stored(tmp_path, rows).path) as file:
        stream = file["entry/primary"]
        assert stream["c7"][:].tolist() == [7, 8, 9]
        np.testing.assert_array_equal(stream["c5"][:], [5, np.nan, 7])
        assert ("column_blocks" in stream) == (width > MOST_APART)


def write_wide(directory: Path, rows: int = 4, columns: int = 100) -> Path:
    """Columns that are read one ns after the other, as `batch` makes them, in two batches."""
    many = [detector(f"m{i}") for i in range(columns)]
    file = RunFile(directory / "run.h5", START)
    for first in (0, rows):
        part = batch(setpoint("stage"), *many, rows=rows)
        object.__setattr__(part, "first", first)
        file.write_rows(part)
    file.finish(STOP)
    return file.path


def test_units_and_times_and_order_come_back(tmp_path: Path) -> None:
    path = write_wide(tmp_path)
    (stream,) = describe_file(path)[2]
    assert stream.columns == (setpoint("stage"), *(detector(f"m{i}") for i in range(100)))
    block = read_block(path, "primary", ("m7", "stage"), 0)
    assert block is not None
    assert block.columns == (detector("m7"), setpoint("stage"))
    assert (block.column_times["m7"] - block.timestamps).tolist() == [8] * 8
    assert block.values["m7"].tolist() == [8.0, 9.0, 10.0, 11.0] * 2
    whole = read_block(path, "primary", (), 6)
    assert whole is not None
    assert whole.values["m99"].tolist() == [102.0, 103.0]
    with h5py.File(path) as file:
        assert file["entry/primary/m7"].attrs["units"] == "V"
        assert file["entry/instrument/m7/data"][:].tolist() == [8.0, 9.0, 10.0, 11.0] * 2
        assert len(file["entry/data"].attrs["auxiliary_signals"]) == 15
        block = file["entry/primary/column_blocks/float64"]
        names = list(block["column"].asstr())
        assert block["values"][:, names.index("m7")].tolist() == [8.0, 9.0, 10.0, 11.0] * 2


def test_a_column_costs_less_than_a_kilobyte(tmp_path: Path) -> None:
    rows: list[Row] = [{f"c{i}": float(i) for i in range(1000)} for _ in range(3)]
    path = Stored(tmp_path, rows).path
    assert path.stat().st_size / 1000 < 1000


def test_a_wide_column_that_was_empty_may_become_an_array(tmp_path: Path) -> None:
    rows: list[Row] = [{f"c{i}": None for i in range(100)} for _ in range(2)]
    rows.append({f"c{i}": np.arange(3.0) for i in range(100)})
    check(Stored(tmp_path, rows), rows)


def test_a_column_called_like_the_blocks_hides_nothing(tmp_path: Path) -> None:
    rows: list[Row] = [{"column_blocks": k, **{f"c{i}": i for i in range(100)}} for k in range(2)]
    check(Stored(tmp_path, rows), rows)


def test_making_many_datasets_counts_as_progress(tmp_path: Path) -> None:
    file = RunFile(tmp_path / "run.h5", RunStart("r", "wide", T0))
    seen = [file.progress]
    for number in range(3):
        many = [detector(f"m{number}_{i}", (2,)) for i in range(20)]
        file.write_rows(batch(*many, stream=f"s{number}"))
        seen.append(file.progress)
    assert len(set(seen)) == len(seen)
    file.finish(RunStop(RunOutcome.COMPLETED, T0))


def test_xarray_and_its_like_choose_a_column_by_name(tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    path = write_wide(tmp_path, columns=66)
    late = batch(setpoint("stage"), rows=2), batch(setpoint("stage"), *map(detector, NAMES), rows=3)
    object.__setattr__(late[1], "first", 2)
    file = RunFile(tmp_path / "late.h5", START)
    for part in late:
        file.write_rows(part)
    file.finish(STOP)
    group = "entry/primary/column_blocks/float64"
    with xarray.open_dataset(path, group=group, engine="h5netcdf", phony_dims="sort") as data:
        assert data["values"].sel(column="m7").values.tolist() == [8.0, 9.0, 10.0, 11.0] * 2
    with xarray.open_dataset(file.path, group=group, engine="h5netcdf", phony_dims="sort") as data:
        assert data["values"].dims == ("stage", "column")
        assert data["values"].sel(column="m7").values.tolist()[2:] == [8.0, 9.0, 10.0]


def test_short_arrays_stand_side_by_side_until_their_lengths_differ(tmp_path: Path) -> None:
    waves = [{f"w{i}": np.arange(5) + i + k for i in range(100)} for k in range(3)]
    images = [{f"i{i}": np.full((2, 3), i + k, "u1") for i in range(100)} for k in range(3)]
    rows: list[Row] = [a | b for a, b in zip(waves, images, strict=True)]
    rows[1]["w7"] = None
    rows[2]["w8"] = np.arange(6)
    stored = Stored(tmp_path, rows)
    check(stored, rows)
    assert stored.path.stat().st_size / 200 < 4000
    with h5py.File(stored.path) as file:
        stream = file["entry/primary"]
        assert stream["i3"].shape == (3, 2, 3)
        assert stream["w3"][2].tolist() == [5, 6, 7, 8, 9]
        assert not stream["w8"].is_virtual
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    group = "entry/primary/column_blocks/uint8_2x3"
    with xarray.open_dataset(
        stored.path, group=group, engine="h5netcdf", phony_dims="sort"
    ) as data:
        assert data["values"].sel(column="i9").values[:, 1, 2].tolist() == [9, 10, 11]
