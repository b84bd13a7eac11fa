"""A run's batches as files for other programs."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daq.client.recorded.export import write_batches
from daq.core import Column, EventBlock, NotFoundError, ParameterError, StorageError
from daq.wire.arrow import from_arrow, to_arrow

COLUMNS = (
    Column("stage", "mm", "<f8", (), "stage", "positioner"),
    Column("note", "", "O"),
    Column("wave", "V", ">f4", (3,), "digitizer"),
    Column("camera", "counts", "<u2", (8, 9), "camera"),
)


def batch(first: int, rows: int = 2) -> pa.RecordBatch:
    numbers = np.arange(first, first + rows)
    values = {
        "stage": numbers * 0.5,
        "note": np.array([f"point, {n}" for n in numbers], dtype=object),
        "wave": np.tile(numbers[:, np.newaxis], 3).astype(">f4"),
        "camera": np.ones((rows, 8, 9), "<u2"),
    }
    times = 1_700_000_000_000_000_000 + numbers.astype(np.int64)
    return to_arrow(EventBlock("primary", first, COLUMNS, times, values))


def test_csv_spreads_small_arrays_and_says_what_it_left_out(tmp_path: Path) -> None:
    write_batches([batch(0)], "csv", tmp_path / "units.csv")
    with (tmp_path / "units.csv").open(newline="") as file:
        assert next(csv.reader(file))[:4] == ["time", "stage (mm)", "note", "wave[0] (V)"]
    notes = write_batches([batch(0), batch(2)], "csv", tmp_path / "run.csv", units=False)
    assert len(notes) == 1
    assert "'camera' is not in the file" in notes[0]
    with (tmp_path / "run.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["time", "stage", "note", "wave[0]", "wave[1]", "wave[2]"]
    assert [row["stage"] for row in rows] == ["0", "0.5", "1", "1.5"]
    assert rows[3]["note"] == "point, 3"
    assert rows[3]["wave[2]"] == "3"
    assert rows[1]["time"] == "2023-11-14 22:13:20.000000001Z"


def test_parquet_and_arrow_hold_everything(tmp_path: Path) -> None:
    assert write_batches([batch(0), batch(2)], "parquet", tmp_path / "run.parquet") == ()
    assert write_batches([batch(0), batch(2)], "arrow", tmp_path / "run.arrow") == ()
    with pa.ipc.open_file(tmp_path / "run.arrow") as reader:
        arrow = reader.read_all()
    for table in (pq.read_table(tmp_path / "run.parquet"), arrow):
        assert table.num_rows == 4
        block = from_arrow(table.combine_chunks().to_batches()[0])
        assert block.columns == COLUMNS
        assert block.values["stage"].tolist() == [0.0, 0.5, 1.0, 1.5]


@pytest.mark.parametrize("file_format", ["csv", "parquet", "arrow"])
def test_one_batch_is_held_at_a_time(tmp_path: Path, file_format: str) -> None:
    made: list[int] = []

    def batches() -> Iterator[pa.RecordBatch]:
        for i in range(5):
            made.append(i)
            yield batch(2 * i)

    write_batches(batches(), file_format, tmp_path / "run")
    assert made == [0, 1, 2, 3, 4]
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_nothing_to_write_and_unknown_formats_are_told(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no events"):
        write_batches([], "csv", tmp_path / "run.csv")
    with pytest.raises(ParameterError, match=r"no format 'xls'\nchoose one of csv, parquet, arrow"):
        write_batches([batch(0)], "xls", tmp_path / "run.xls")
    with pytest.raises(StorageError, match=r"missing/run\.csv: cannot be written"):
        write_batches([batch(0)], "csv", tmp_path / "missing" / "run.csv")


def test_a_place_that_cannot_be_written_is_named_as_it_was_given(tmp_path: Path) -> None:
    target = tmp_path / "nowhere" / "run.csv"
    with pytest.raises(StorageError) as caught:
        write_batches([batch(0)], "csv", target)
    assert caught.value.message == f"{target}: cannot be written: No such file or directory"


def test_a_column_that_has_another_name_in_csv_is_told(tmp_path: Path) -> None:
    columns = (Column("time", "s", "<f8"), Column("time_", "", "<i8"))
    values = {"time": np.array([0.5]), "time_": np.array([1])}
    block = EventBlock("primary", 0, columns, np.array([10**18]), values)
    (note,) = write_batches([to_arrow(block)], "csv", tmp_path / "run.csv")
    assert note == "column 'time' is called 'time__' in the file: that name is taken"
    with (tmp_path / "run.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["time", "time__ (s)", "time_"]
